// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inbound processing: RFC 4301, Section 5.2; RFC 4303, Section 3.4; RFC 3948, Section 3.3. Datagrams are anybody's; what is opened is the
// peer's, and believed only as far as the selectors of its SA go. Packets stay where they were opened.

package dataplane

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// maxPackets of one batch: what the system joins is at most 64 datagrams a message.
	maxPackets = BatchSize * 64
	// maxIKE of one batch: more come only in a flood, and the sender of an IKE message sends it again.
	maxIKE = 256
)

// Message is an IKE message among the datagrams.
type Message struct {
	// Bytes is the message without its marker, in the caller's buffer: copy it before the buffer is used again. By the rules of
	// a system the marker is in place.
	Bytes         []byte
	Remote, Local netip.AddrPort
	// Encap is the mode of the port it arrived at.
	Encap natt.Mode
}

// Received is what Open made. The slices are the Inbound's own and valid until the next call; the octets lie in the
// caller's buffers or the Inbound's.
type Received struct {
	// Packets go to the inner side, each behind Headroom octets that may be overwritten:
	// Device.Write(Packets, dataplane.Headroom).
	Packets [][]byte
	// IKE are the messages for the key daemon.
	IKE []Message
}

// Inbound turns datagrams into inner packets. It belongs to one goroutine.
type Inbound struct {
	e       *Engine
	n       Counters
	now     int64
	rcv     *sadb.Receiver // the inbound half that is taken
	arrival sadb.Arrival
	within  sadb.Arrival // of every layer but the outermost
	encap   natt.Mode
	rules   natt.Rules
	tos     uint8
	ident   uint16 // of the outermost header
	in      inner
	chain   chain
	level   level
	fix     fix
	quote   quote
	memo    rawMemo

	packets [maxPackets][]byte
	ike     [maxIKE]Message
	got     Received
	joins   joins
	chunks  chunks
	spis    [BatchSize]uint32
	warmth  sadb.Warm
}

// NewInbound makes the inbound half for one goroutine.
func (e *Engine) NewInbound() *Inbound { return &Inbound{e: e, within: sadb.Arrival{Raw: true}} }

// Open takes a batch as port/udp.Conn.ReadBatch fills it on a socket that has a mode, or what a raw socket delivered. It
// tells keepalives, IKE and ESP apart and opens ESP in place.
func (in *Inbound) Open(now time.Time, msgs []Datagram) *Received {
	in.now = in.e.db.Clock(now)
	in.got = Received{Packets: in.packets[:0], IKE: in.ike[:0]}
	in.joins.begin()
	in.chunks.begin()
	if in.e.db.Crowded() {
		in.warm(msgs)
	}
	for i := range msgs {
		m := &msgs[i]
		if i >= BatchSize {
			in.n[InNoRoom]++
			continue
		}
		in.message(m)
	}
	in.e.add(&in.n)
	return &in.got
}

// message takes one message apart. The inbound half of a pair is given back at its end: others may wait for it.
// RFC 4303, Section 3.4.1: a fragment is not given to ESP: sockets deliver whole datagrams, and half of one is not authentic.
func (in *Inbound) message(m *Datagram) {
	in.arrival = sadb.Arrival{From: m.Remote, To: m.Local, Raw: m.Raw()}
	in.encap, in.rules, in.tos, in.ident, in.fix.sa = m.Encap, m.Rules, m.TOS, m.Ident, nil
	seg := m.N
	if m.SegSize > 0 {
		seg = min(m.SegSize, m.N)
	}
	for off := 0; off < m.N; off += seg {
		end := min(off+seg, m.N)
		if in.arrival.Raw {
			in.raw(m.Buf[off:end:end], m.Proto)
		} else {
			in.datagram(m.Buf[off:end:end])
		}
	}
	in.take(nil)
}

// raw takes what a raw socket of a protocol delivered.
func (in *Inbound) raw(b []byte, proto uint8) {
	switch proto {
	case 0, protoESP:
		in.esp(b)
	case protoAH:
		in.ah(b)
	case protoIPComp:
		in.begin()
		in.unwrap(b, 0, len(b), protoIPComp)
	default:
		in.n[InNotESP]++
	}
}

func (in *Inbound) datagram(b []byte) {
	v, rest := natt.Classify(in.encap, b)
	if in.rules != natt.Strict {
		v, rest = in.rules.Verdict(in.encap, b)
	}
	switch v {
	case natt.Keepalive:
		in.n[InKeepalives]++ // RFC 3948, Section 4: ignored, and no sign of life
	case natt.ESP:
		in.esp(rest)
	case natt.IKE:
		if len(in.got.IKE) == maxIKE {
			in.n[InNoRoom]++
			return
		}
		in.n[InIKE]++
		in.got.IKE = append(in.got.IKE, Message{Bytes: rest, Remote: in.arrival.From, Local: in.arrival.To, Encap: in.encap})
	default:
		in.n[InNotESP]++
	}
}

// take gives the half in hand back and takes r.
func (in *Inbound) take(r *sadb.Receiver) {
	if in.rcv != nil {
		in.rcv.EndOpen()
	}
	if r != nil {
		r.BeginOpen(in.now)
	}
	in.rcv = r
}

// find takes the SA of a packet; false: there is none. RFC 4303, Section 3.4.2: the packet MUST be discarded. Nothing is answered (HOSTILE
// T-081).
func (in *Inbound) find(proto uint8, spi uint32) bool {
	if in.chain.n > 0 {
		return in.findInner(proto, spi)
	}
	if in.rcv != nil && in.rcv.SPI() == spi && in.rcv.Proto() == proto {
		return true
	}
	r := in.e.db.Receiver(proto, spi, in.arrival.To.Addr())
	if r == nil {
		in.n[InUnknownSPI]++
		return false
	}
	in.take(r)
	return true
}

// esp opens one ESP packet that came from outside.
func (in *Inbound) esp(b []byte) {
	in.begin()
	in.unwrap(b, 0, len(b), protoESP)
}

func reason(err error) Counter {
	switch err {
	case esp.ErrShort:
		return InShort
	case ah.ErrHeader, ah.ErrFragment:
		return InMalformed
	case esp.ErrReplay:
		return InReplay
	case esp.ErrPadding:
		return InPadding
	case sadb.ErrEnded:
		return InExpired
	}
	return InICV
}

// tunnel delivers the packet of an SA in tunnel mode, b[at:end], which parse has seen.
func (in *Inbound) tunnel(b []byte, at, end int) {
	i := &in.in
	if !in.allowed() {
		return
	}
	tos, ok := innerTOS(i.tos, in.tos, in.chain.last())
	if !ok {
		in.n[InECN]++
		return
	}
	p := b[at : at+i.n]
	if i.n < end-at { // RFC 4303, Section 2.7: what is behind the inner packet is padding
		in.n[InTrimmed]++
	}
	if tos != i.tos {
		setTOS(p, tos)
	}
	if f := &i.flow; f.Proto == protoICMP || f.Proto == protoICMPv6 {
		in.told(p)
	}
	in.clampMSS(p, 0)
	in.deliver(b, at)
}

// allowed: RFC 4301, Section 5.2, step 4: the packet must match the selectors of the SA it came by, or the policy whose SAs they
// are; otherwise it MUST be discarded.
func (in *Inbound) allowed() bool {
	switch ok, hidden := in.covers(&in.in.flow); {
	case hidden:
		in.n[InFragmentPorts]++
		return false
	case !ok:
		in.n[InSelectors]++
		return false
	}
	return true
}

// covers reports whether a packet of a flow may come by the SAs in hand.
func (in *Inbound) covers(f *sadb.Flow) (ok, hidden bool) {
	if pair := in.chain.pair; pair != nil {
		return pair.Contains(f)
	}
	v := in.judge(f)
	return v == sadb.Accepted, v == sadb.PortsHidden
}

// clampMSS lowers the MSS of a SYN to what fits on the way back, header octets more than the SA's payload.
func (in *Inbound) clampMSS(p []byte, header int) {
	pair := in.chain.pair
	if pair == nil || !in.e.clamp || !isSYN(p, &in.in) {
		return
	}
	if clampMSS(p, &in.in, in.e.mostOf(pair, in.now)+header) {
		in.n[InClamped]++
	}
}

// deliver appends the packet at b[at:] with the octets in front of it, which are its own ESP header, or that of a packet made
// anew: Headroom at least. Its capacity ends where its datagram does: who appends to it must not reach into the next one.
func (in *Inbound) deliver(b []byte, at int) {
	if len(in.got.Packets) == maxPackets {
		in.n[InNoRoom]++
		return
	}
	i := &in.in
	in.n[InOpened]++
	in.n[InOpenedOctets] += uint64(i.n)
	if at < Headroom {
		// NULL encryption has no IV, and its header is shorter than the room: padding length, next header and ICV, ten octets at
		// least, are behind the packet, and it moves over them.
		copy(b[Headroom:], b[at:at+i.n])
		at = Headroom
	}
	in.got.Packets = append(in.got.Packets, b[at-Headroom:at+i.n:len(b)])
	in.joins.see(in.got.Packets, i)
}

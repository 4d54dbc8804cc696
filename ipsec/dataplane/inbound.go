// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inbound processing: RFC 4301, Section 5.2; RFC 4303, Section 3.4; RFC 3948, Section 3.3. Datagrams are anybody's; what is opened is the
// peer's, and believed only as far as the selectors of its SA go. Packets stay where they were opened.

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"time"

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
	// Bytes is the message without its marker, in the caller's buffer: copy it before the buffer is used again.
	Bytes         []byte
	Remote, Local netip.AddrPort
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
	pair    *sadb.Pair // whose inbound half is taken
	arrival sadb.Arrival
	tos     uint8
	in      inner

	packets [maxPackets][]byte
	ike     [maxIKE]Message
	got     Received
	joins   joins
}

// NewInbound makes the inbound half for one goroutine.
func (e *Engine) NewInbound() *Inbound { return &Inbound{e: e} }

// Open takes a batch as port/udp.Conn.ReadBatch fills it on a socket where IKE has the non-ESP marker (4500), and with
// Raw set what a raw socket delivered. It tells keepalives, IKE and ESP apart and opens ESP in place.
func (in *Inbound) Open(now time.Time, msgs []Datagram) *Received {
	in.now = in.e.db.Clock(now)
	in.got = Received{Packets: in.packets[:0], IKE: in.ike[:0]}
	in.joins.begin()
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
	in.arrival = sadb.Arrival{From: m.Remote, To: m.Local, Raw: m.Raw}
	in.tos = m.TOS
	seg := m.N
	if m.SegSize > 0 {
		seg = min(m.SegSize, m.N)
	}
	for off := 0; off < m.N; off += seg {
		end := min(off+seg, m.N)
		in.datagram(m.Buf[off:end:end])
	}
	in.take(nil)
}

func (in *Inbound) datagram(b []byte) {
	if in.arrival.Raw {
		in.esp(b)
		return
	}
	switch v, rest := natt.Classify(natt.NonESP, b); v {
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
		in.got.IKE = append(in.got.IKE, Message{Bytes: rest, Remote: in.arrival.From, Local: in.arrival.To})
	default:
		in.n[InNotESP]++
	}
}

// take gives the pair in hand back and takes p.
func (in *Inbound) take(p *sadb.Pair) {
	if in.pair != nil {
		in.pair.EndOpen()
	}
	if p != nil {
		p.BeginOpen(in.now)
	}
	in.pair = p
}

// esp opens one ESP packet.
func (in *Inbound) esp(b []byte) {
	if len(b) < esp.HeaderLen {
		in.n[InShort]++
		return
	}
	spi := binary.BigEndian.Uint32(b)
	if in.pair == nil || in.pair.SPIIn() != spi {
		p := in.e.db.Inbound(spi)
		if p == nil {
			// RFC 4303, Section 3.4.2: no SA: the packet MUST be discarded. Nothing is answered (HOSTILE T-081).
			in.n[InUnknownSPI]++
			return
		}
		in.take(p)
	}
	o, err := in.pair.Open(b, &in.arrival)
	if err != nil {
		in.n[reason(err)]++
		return
	}
	switch o.Next {
	case esp.NextHeaderNone: // RFC 4303, Section 2.6: a dummy MUST be discarded without an error
		in.n[InDummies]++
	case esp.NextHeaderIPv4, esp.NextHeaderIPv6:
		in.inner(b, o)
	default:
		in.n[InNextHeader]++
	}
}

func reason(err error) Counter {
	switch err {
	case esp.ErrShort:
		return InShort
	case esp.ErrReplay:
		return InReplay
	case esp.ErrPadding:
		return InPadding
	case sadb.ErrEnded:
		return InExpired
	}
	return InICV
}

// inner checks an opened packet and delivers it.
func (in *Inbound) inner(b []byte, o esp.Opened) {
	i := &in.in
	switch parse(o.Payload, false, i) {
	case malformed:
		in.n[InMalformed]++
		return
	case truncated:
		in.n[InTruncated]++
		return
	}
	if i.flow.V6 != (o.Next == esp.NextHeaderIPv6) {
		in.n[InMalformed]++
		return
	}
	// RFC 4301, Section 5.2, step 4: the packet must match the selectors of the SA it came by; otherwise it MUST be discarded.
	switch ok, hidden := in.pair.Contains(&i.flow); {
	case hidden:
		in.n[InFragmentPorts]++
		return
	case !ok:
		in.n[InSelectors]++
		return
	}
	tos, ok := innerTOS(i.tos, in.tos, in.pair)
	if !ok {
		in.n[InECN]++
		return
	}
	p := o.Payload[:i.n]
	if i.n < len(o.Payload) { // RFC 4303, Section 2.7: what is behind the inner packet is padding
		in.n[InTrimmed]++
	}
	if tos != i.tos {
		setTOS(p, tos)
	}
	if in.e.clamp && isSYN(p, i) && clampMSS(p, i, in.pair.MaxInner(in.now)) {
		in.n[InClamped]++
	}
	in.deliver(b, i)
}

// deliver appends the packet with the octets in front of it, which are its own ESP header: 16 at least. Its capacity ends where
// its datagram does: who appends to it must not reach into the next one.
func (in *Inbound) deliver(b []byte, i *inner) {
	if len(in.got.Packets) == maxPackets {
		in.n[InNoRoom]++
		return
	}
	in.n[InOpened]++
	in.n[InOpenedOctets] += uint64(i.n)
	head := in.pair.HeadIn()
	in.got.Packets = append(in.got.Packets, b[head-Headroom:head+i.n:len(b)])
	in.joins.see(in.got.Packets, i)
}

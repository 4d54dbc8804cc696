// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What may lie in what: RFC 4301, Section 5.2, the loop over the headers of a packet that was received. From outside to inside AH, ESP,
// IPComp, each once and in this order, then an IP packet (tunnel mode) or an upper layer (transport mode); so nothing is opened
// in itself (HOSTILE T-092), and what is opened costs at most two ICVs and one decompression. All of it is the peer's.

package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// maxLayers: AH, ESP, IPComp.
	maxLayers = 3
	// expandHead is the octets in front of what was decompressed: a device's headroom.
	expandHead = Headroom
)

// chain is the SAs that a packet came by, the outermost first.
type chain struct {
	n    int
	sas  [maxLayers]*sadb.Receiver
	pair *sadb.Pair // whose SA it is; nil: single SAs
	in   uint8      // the protocol of the innermost
}

func (c *chain) begin() { c.n, c.pair, c.in = 0, nil, 0 }

func (c *chain) list() []*sadb.Receiver { return c.sas[:c.n] }

// rank is the order of the layers; zero: it is none.
func rank(proto uint8) int {
	switch proto {
	case protoAH:
		return 1
	case protoESP:
		return 2
	case protoIPComp:
		return 3
	}
	return 0
}

// fits reports whether a layer of proto may be inside of what was opened.
func (c *chain) fits(proto uint8) bool {
	return rank(proto) > rank(c.in) && (proto != protoIPComp || c.n > 0)
}

// push adds an SA. A pair's packet has one, and IPComp of the pair's own; single SAs and pairs do not mix.
func (c *chain) push(r *sadb.Receiver, proto uint8) bool {
	pair := r.Pair()
	if c.n > 0 && (pair != nil || c.pair != nil) {
		return false
	}
	c.sas[c.n], c.pair, c.in = r, pair, proto
	c.n++
	return true
}

// modes says what the chain may carry: IP packets, the payloads of others. A pair's mode is known; of single SAs the policy has the
// last word (sadb.DB.CheckInner), since the SA of the tunnel may be one of compression that was not used.
func (c *chain) modes() (tunnel, transport bool) {
	if c.n == 0 {
		return false, false
	}
	m := c.sas[c.n-1].Mode()
	return m != sadb.Transport || c.pair == nil && c.in != protoIPComp, m != sadb.Tunnel
}

// unwrap opens b[at:end], which is of protocol proto, as far as it goes, and delivers what is inside.
func (in *Inbound) unwrap(b []byte, at, end int, proto uint8) {
	for rank(proto) > 0 {
		if !in.chain.fits(proto) {
			in.n[InNextHeader]++
			return
		}
		var ok bool
		switch proto {
		case protoESP:
			at, end, proto, ok = in.openESP(b, at, end)
		case protoIPComp:
			b, at, end, proto, ok = in.expand(b, at, end)
		default: // AH in front of a payload was taken by ah
			in.n[InNextHeader]++
			return
		}
		if !ok {
			return
		}
	}
	tunnel, transport := in.chain.modes()
	switch {
	case proto == esp.NextHeaderNone: // RFC 4303, Section 2.6: a dummy MUST be discarded without an error
		in.n[InDummies]++
	case proto == protoIPv4 || proto == protoIPv6:
		if !tunnel {
			in.n[InNextHeader]++
			return
		}
		in.tunnel(b, at, end, proto == protoIPv6)
	case transport:
		in.transport(b, at, end, proto)
	default:
		in.n[InNextHeader]++
	}
}

// openESP opens one ESP packet in place.
func (in *Inbound) openESP(b []byte, at, end int) (from, to int, next uint8, ok bool) {
	if end-at < esp.HeaderLen {
		in.n[InShort]++
		return 0, 0, 0, false
	}
	if !in.find(protoESP, binary.BigEndian.Uint32(b[at:])) {
		return 0, 0, 0, false
	}
	o, err := in.rcv.Open(b[at:end], &in.arrival)
	if err != nil {
		in.n[reason(err)]++
		return 0, 0, 0, false
	}
	if !in.chain.push(in.rcv, protoESP) {
		in.n[InSelectors]++
		return 0, 0, 0, false
	}
	at += in.rcv.Head()
	return at, at + len(o.Payload), o.Next, true
}

// expand decompresses into memory of the batch. RFC 3173, Section 3: a CPI that nobody agreed on is dropped.
func (in *Inbound) expand(b []byte, at, end int) (out []byte, from, to int, next uint8, ok bool) {
	cpi, known := ipcomp.CPI(b[at:end])
	src := b[at:end]
	var room []byte
	if known {
		if known = in.agreed(cpi); known {
			room = in.chunks.take(expandHead + maxPacket)
		}
	}
	if room == nil {
		in.n[InCompression]++
		return nil, 0, 0, 0, false
	}
	var n int
	var err error
	if in.chain.pair != nil {
		n, next, err = in.e.codec.Decompress(room[expandHead:], src)
	} else {
		n, next, err = in.rcv.Decompress(in.e.codec, room[expandHead:], src)
	}
	if err != nil {
		// Its room is not given back: what a batch costs to decompress is bounded by its memory, whatever comes of it.
		in.n[InCompression]++
		return nil, 0, 0, 0, false
	}
	in.chunks.shrink(maxPacket - n)
	in.chain.in = protoIPComp
	return room[: expandHead+n : expandHead+n], expandHead, expandHead + n, next, true
}

// agreed finds the association of a CPI: the pair's own, or a single SA, which is taken.
func (in *Inbound) agreed(cpi uint16) bool {
	if pair := in.chain.pair; pair != nil {
		own, _ := pair.CPI()
		return own != 0 && cpi == own
	}
	return in.find(protoIPComp, uint32(cpi)) && in.chain.push(in.rcv, protoIPComp)
}

// ah verifies a whole IP packet with AH in it. The addresses of its header, which are authentic then, are where it came from.
func (in *Inbound) ah(b []byte) {
	in.chain.begin()
	spi, _, ok := ah.SPI(b)
	if !ok {
		in.n[InShort]++
		return
	}
	src, dst, tos := addressesOf(b)
	in.arrival.From, in.arrival.To = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	in.tos, in.fix.sa = tos, nil
	if in.rcv != nil { // of another destination, perhaps
		in.take(nil)
	}
	if !in.find(protoAH, spi) {
		return
	}
	o, err := in.rcv.OpenAH(b, &in.arrival)
	if err != nil {
		in.n[reason(err)]++
		return
	}
	if !in.chain.push(in.rcv, protoAH) {
		in.n[InSelectors]++
		return
	}
	at := len(b) - len(o.Payload)
	in.unwrap(b, at, len(b), o.Next)
}

// addressesOf reads the header of a packet in which ah.SPI has found AH.
func addressesOf(b []byte) (src, dst netip.Addr, tos uint8) {
	if b[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[0]<<4 | b[1]>>4
	}
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[1]
}

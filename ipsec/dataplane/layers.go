// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Layer by layer, from outside to inside: RFC 4301, Section 5.2, the loop over the headers of a packet that was received; RFC 4303, RFC
// 4302 and RFC 3173 in it. A layer is opened if an SA of this host is named there; at most maxLayers are, none by an SA that has opened
// one of them already, and each decompresses to one packet at most. All of it is the peer's.
//
// What is in UDP inside of a tunnel is a datagram like any other, though it be to the port of ESP in UDP: it is delivered, if the policy of
// datagrams lets it, and this host's socket receives it as if it had come from outside; its ESP then has to satisfy a policy alone.

package dataplane

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// expandHead is the octets in front of what was decompressed: a device's headroom and an IP header.
const expandHead = Headroom + maxLevelHead

// protected reports whether an SA opens a protocol.
func protected(proto uint8) bool {
	return proto == protoESP || proto == protoAH || proto == protoIPComp
}

// unwrap opens b[at:end], which is of protocol proto, as far as it goes, and delivers what is inside.
func (in *Inbound) unwrap(b []byte, at, end int, proto uint8) {
	for ok := true; ok; {
		switch {
		case in.chain.pair != nil && (proto == protoESP || proto == protoAH): // of a pair's packet there is one layer, and IPComp of its own
			in.n[InNextHeader]++
			return
		case in.chain.n == maxLayers && protected(proto):
			in.n[InDepth]++
			return
		case proto == protoESP:
			at, end, proto, ok = in.openESP(b, at, end)
		case proto == protoIPComp:
			b, at, end, proto, ok = in.expand(b, at, end)
		case proto == protoAH:
			b, at, end, proto, ok = in.openAH(b, at, end)
		case proto == protoIPv4 || proto == protoIPv6:
			at, end, proto, ok = in.inside(b, at, end, proto == protoIPv6)
		default:
			in.payload(b, at, end, proto)
			return
		}
	}
}

// payload delivers what transport mode carries.
func (in *Inbound) payload(b []byte, at, end int, proto uint8) {
	switch {
	case proto == esp.NextHeaderNone: // RFC 4303, Section 2.6: a dummy MUST be discarded without an error
		in.n[InDummies]++
	case in.chain.last().Mode() == sadb.Tunnel:
		in.n[InNextHeader]++
	case in.level.nested:
		in.nestedPayload(b, at, end, proto)
	default:
		in.transport(b, at, end, proto)
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
	o, err := in.rcv.Open(b[at:end], in.arrived())
	if err != nil {
		in.n[reason(err)]++
		return 0, 0, 0, false
	}
	in.push(in.rcv)
	at += in.rcv.Head()
	return at, at + len(o.Payload), o.Next, true
}

// expand decompresses into memory of the batch. RFC 3173, Section 3: a CPI that nobody agreed on is dropped, before anything is spent on it.
func (in *Inbound) expand(b []byte, at, end int) (out []byte, from, to int, next uint8, ok bool) {
	src := b[at:end]
	cpi, known := ipcomp.CPI(src)
	if !known || !in.agreed(cpi) {
		in.n[InCompression]++
		return nil, 0, 0, 0, false
	}
	room := in.chunks.take(expandHead + maxPacket)
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
	if in.chain.pair == nil {
		in.push(in.rcv)
	}
	return room[: expandHead+n : expandHead+n], expandHead, expandHead + n, next, true
}

// agreed finds the association of a CPI: the pair's own, or a single SA, which is taken. One that comes by itself is anybody's: not even
// decompressed unless it comes from where the SA's peer is.
func (in *Inbound) agreed(cpi uint16) bool {
	if pair := in.chain.pair; pair != nil {
		own, _ := pair.CPI()
		return own != 0 && cpi == own
	}
	if !in.find(protoIPComp, uint32(cpi)) {
		return false
	}
	src, _ := in.ends()
	return in.chain.n > 0 || in.rcv.ComesFrom(src)
}

// openAH verifies AH inside of another layer. It covers the IP header, which is put together again in front of it. In UDP it could not have
// been right before either: AH does not pass a NAT.
func (in *Inbound) openAH(b []byte, at, end int) (out []byte, from, to int, next uint8, ok bool) {
	if !in.arrival.Raw && !in.level.nested {
		in.n[InNextHeader]++
		return nil, 0, 0, 0, false
	}
	p, start := in.settle(b, at, end, protoAH)
	if p == nil {
		in.n[InNoRoom]++
		return nil, 0, 0, 0, false
	}
	n, next, ok := in.verify(p[start:])
	return p, len(p) - n, len(p), next, ok
}

// verify opens AH in a whole IP packet and returns the length of what is behind it.
func (in *Inbound) verify(pkt []byte) (n int, next uint8, ok bool) {
	spi, _, found := ah.SPI(pkt)
	if !found {
		in.n[InShort]++
		return 0, 0, false
	}
	if !in.find(protoAH, spi) {
		return 0, 0, false
	}
	o, err := in.rcv.OpenAH(pkt, in.arrived())
	if err != nil {
		in.n[reason(err)]++
		return 0, 0, false
	}
	in.push(in.rcv)
	return len(o.Payload), o.Next, true
}

// ah verifies a whole IP packet with AH in it that came from outside. The addresses of its header, which are authentic then, are where it came
// from.
func (in *Inbound) ah(b []byte) {
	in.begin()
	_, at, ok := ah.SPI(b)
	if !ok {
		in.n[InShort]++
		return
	}
	src, dst, tos := addressesOf(b)
	in.arrival.From, in.arrival.To = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	in.tos, in.fix.sa = tos, nil
	in.level.is(src, dst, b[:at])
	in.take(nil) // it is of another destination, perhaps
	if n, next, ok := in.verify(b); ok {
		in.unwrap(b, len(b)-n, len(b), next)
	}
}

// addressesOf reads the header of a packet in which ah.SPI has found AH.
func addressesOf(b []byte) (src, dst netip.Addr, tos uint8) {
	if b[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[0]<<4 | b[1]>>4
	}
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[1]
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Checksums of the layer above IP, where what they cover is changed: addresses by a NAT between two hosts in transport mode (RFC
// 3948, Section 3.1.2), ports by that of clients.go. A known original address is taken out and the other put in (RFC
// 1624), so that a wrong checksum stays wrong; where the original is unknown the checksum is made anew, which is no loss: the
// ICV has covered the octets from the peer to here. Packets are the peer's; parse has seen them.

package dataplane

import (
	"encoding/binary"
	"net/netip"
)

const (
	// Offsets of the checksum in the headers of RFC 768, RFC 9293, RFC 792 and RFC 4443.
	sumUDP  = 6
	sumTCP  = 16
	sumICMP = 2
)

// sumAt is where the checksum of a protocol lies in its header, and whether addresses are in it: those of SCTP (CRC32c) and ICMP
// have none, and for protocols that are not known nothing is done. UDP-Lite is not among them.
func sumAt(proto uint8) (at int, pseudo bool) {
	switch proto {
	case protoTCP:
		return sumTCP, true
	case protoUDP:
		return sumUDP, true
	case protoICMPv6:
		return sumICMP, true
	}
	return 0, false
}

// delta is what a checksum changes by: a ones' complement sum of ~old and new words. Zero: nothing.
type delta uint32

// deltaOf replaces the address old by now; both of one family.
func deltaOf(old, now netip.Addr) delta {
	if old == now {
		return 0
	}
	var s uint32
	if now.Is4() {
		a, b := old.As4(), now.As4()
		s = ^addressSum(a[:])&0xffff + addressSum(b[:])
	} else {
		a, b := old.As16(), now.As16()
		s = ^addressSum(a[:])&0xffff + addressSum(b[:])
	}
	return delta(s>>16 + s&0xffff)
}

// addressSum folds to 16 bits.
func addressSum(a []byte) uint32 { return uint32(^fold(sum(a, 0))) }

// plus adds two.
func (d delta) plus(e delta) delta {
	s := d + e
	return s>>16 + s&0xffff
}

// word replaces one 16-bit word.
func wordDelta(old, now uint16) delta {
	s := uint32(^old) + uint32(now)
	return delta(s>>16 + s&0xffff)
}

// repair applies d to the checksum of the layer above IP: HC' = ~(~HC + ~m + m'), RFC 1624, Section 3.
func (d delta) repair(upper []byte, proto uint8, at int) {
	if d == 0 || len(upper) < at+2 {
		return
	}
	field := upper[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if proto == protoUDP && old == 0 {
		return // RFC 768: there is none. RFC 3948, Section 3.1.2 leaves it.
	}
	s := uint32(^old) + uint32(d)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	now := ^uint16(s)
	if proto == protoUDP && now == 0 {
		now = 0xffff // RFC 768: zero means that there is none
	}
	binary.BigEndian.PutUint16(field, now)
}

// recompute makes the checksum of a whole IP packet anew, where its protocol has one with addresses in it.
func recompute(p []byte, in *inner) {
	at, pseudo := sumAt(in.flow.Proto)
	if !pseudo || in.upper == 0 || in.fragment {
		return
	}
	upper := p[in.upper:in.n]
	if len(upper) < at+2 {
		return
	}
	field := upper[at : at+2]
	if in.flow.Proto == protoUDP && !in.flow.V6 && field[0]|field[1] == 0 {
		return
	}
	field[0], field[1] = 0, 0
	addresses := p[12:20]
	if in.flow.V6 {
		addresses = p[8:40]
	}
	s := fold(sum(upper, sum(addresses, uint32(len(upper))+uint32(in.flow.Proto))))
	if s == 0 && in.flow.Proto == protoUDP {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(field, s)
}

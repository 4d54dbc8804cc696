// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a tunnel does to inner headers and takes from them for the outer ones: ECN (RFC 6040), DSCP (RFC 4301, Section 5.1.2),
// the TCP MSS option. parse has seen the packets: their headers lie in the buffer. Checksums are updated, not made anew
// (RFC 1624), so that a wrong one stays wrong.

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	ecnMask = 3
	notECT  = 0
	ect1    = 1
	ce      = 3

	flagSYN   = 0x02
	mssOption = 2
	mssLength = 4
)

// outerTOS is the octet of the outer header. RFC 6040, Section 4.1: normal mode copies ECN, compatibility mode clears it.
func outerTOS(tos uint8, p *sadb.Sender) uint8 {
	var t uint8
	if p.DSCP == sadb.DSCPOut || p.DSCP == sadb.DSCPBoth {
		t = tos &^ ecnMask
	}
	if p.CopyECN {
		t |= tos & ecnMask
	}
	return t
}

// innerTOS is the octet of the inner header after decapsulation; false: the packet must be dropped. RFC 6040, Section 4.2, Figure 4.
func innerTOS(tos, outer uint8, p *sadb.Receiver) (uint8, bool) {
	if p.DSCP == sadb.DSCPIn || p.DSCP == sadb.DSCPBoth {
		tos = outer&^ecnMask | tos&ecnMask
	}
	if !p.CopyECN {
		return tos, true
	}
	switch in, out := tos&ecnMask, outer&ecnMask; {
	case in == notECT:
		return tos, out != ce
	case in == ce:
	case out == ce, out == ect1 && in != ect1:
		tos = tos&^ecnMask | out
	}
	return tos, true
}

// setTOS writes the octet into an IP header.
func setTOS(p []byte, tos uint8) {
	if p[0]>>4 == 6 {
		p[0] = 0x60 | tos>>4
		p[1] = p[1]&15 | tos<<4
		return
	}
	old := binary.BigEndian.Uint16(p)
	p[1] = tos
	updateSum(p[10:], old, binary.BigEndian.Uint16(p))
}

// updateSum: RFC 1624, Section 3: HC' = ~(~HC + ~m + m').
func updateSum(field []byte, old, now uint16) {
	s := uint32(^binary.BigEndian.Uint16(field)) + uint32(^old) + uint32(now)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	binary.BigEndian.PutUint16(field, ^uint16(s))
}

// isSYN says whether clampMSS has anything to look at.
func isSYN(p []byte, in *inner) bool {
	return in.flow.Proto == protoTCP && in.upper != 0 && !in.fragment && p[in.upper+13]&flagSYN != 0
}

// clampMSS lowers the MSS option of a SYN to what fits an inner packet of most octets; true: it changed the packet.
func clampMSS(p []byte, in *inner, most int) bool {
	if !isSYN(p, in) {
		return false
	}
	tcp := p[in.upper:in.n]
	end := int(tcp[12]>>4) * 4
	if end > len(tcp) {
		return false
	}
	header := ipv4Header
	if in.flow.V6 {
		header = ipv6Header
	}
	limit := most - header - tcpHeader
	if limit <= 0 {
		return false
	}
	for at := tcpHeader; at < end; {
		kind := tcp[at]
		if kind == 0 {
			return false
		}
		if kind == 1 {
			at++
			continue
		}
		if at+1 >= end || int(tcp[at+1]) < 2 || at+int(tcp[at+1]) > end {
			return false
		}
		if kind == mssOption && tcp[at+1] == mssLength {
			return lowerMSS(tcp, at+2, uint16(limit))
		}
		at += int(tcp[at+1])
	}
	return false
}

func lowerMSS(tcp []byte, at int, limit uint16) bool {
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= limit {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], limit)
	now := limit
	if at%2 == 1 { // the value straddles two words of the sum
		old, now = old<<8|old>>8, now<<8|now>>8
	}
	updateSum(tcp[16:], old, now)
	return true
}

// sum adds the octets of b to a ones' complement sum.
func sum(b []byte, s uint32) uint32 {
	for len(b) >= 2 {
		s += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

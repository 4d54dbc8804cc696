// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inner IPv4 packets: echo requests, UDP, and the header with everything in it that a test changes.

package bogus

import (
	"encoding/binary"
	"net/netip"
)

// IPv4 is an inner packet. Zero fields are written as they should be: version 4, five words, TTL 64, true lengths.
type IPv4 struct {
	From, To netip.Addr
	Proto    uint8
	TTL, TOS uint8
	// First, where not zero, replaces the octet of version and header length; Total, where not nil, the total length.
	First   uint8
	Total   *uint16
	Flags   uint16 // the 16 bits of flags and fragment offset
	Options []byte // a multiple of four octets
	Body    []byte
}

// Append writes the packet with a right checksum of its header.
func (h IPv4) Append(b []byte) []byte {
	at := len(b)
	size := 20 + len(h.Options)
	first := byte(0x40 + size/4)
	if h.First != 0 {
		first = h.First
	}
	total := uint16(size + len(h.Body))
	if h.Total != nil {
		total = *h.Total
	}
	ttl := h.TTL
	if ttl == 0 {
		ttl = 64
	}
	b = append(b, first, h.TOS)
	b = binary.BigEndian.AppendUint16(b, total)
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint16(b, h.Flags)
	b = append(b, ttl, h.Proto, 0, 0)
	b = append(append(b, h.From.AsSlice()...), h.To.AsSlice()...)
	b = append(b, h.Options...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(b[at:]))
	return append(b, h.Body...)
}

// Echo is an echo request.
func Echo(from, to netip.Addr, id, seq uint16, data []byte) []byte {
	return IPv4{From: from, To: to, Proto: 1, Body: EchoBody(id, seq, data)}.Append(nil)
}

// EchoBody is the ICMP message of an echo request.
func EchoBody(id, seq uint16, data []byte) []byte {
	b := []byte{8, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(binary.BigEndian.AppendUint16(b, seq), data...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// IsEchoReply reports whether b answers the echo request to an address.
func IsEchoReply(b []byte, from netip.Addr, id, seq uint16) bool {
	if len(b) < 28 || b[0] != 0x45 || b[9] != 1 || b[20] != 0 {
		return false
	}
	a, _ := netip.AddrFromSlice(b[12:16])
	return a == from && binary.BigEndian.Uint16(b[24:]) == id && binary.BigEndian.Uint16(b[26:]) == seq
}

// UDP is an inner UDP datagram without checksum.
func UDP(from, to netip.AddrPort, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(append(b, 0, 0), data...)
	return IPv4{From: from.Addr(), To: to.Addr(), Proto: 17, Body: b}.Append(nil)
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

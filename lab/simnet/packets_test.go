// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inner packets, made and read octet by octet.

package simnet

import (
	"encoding/binary"
	"net/netip"
)

// checksum is RFC 1071's.
func checksum(parts ...[]byte) uint16 {
	n, odd := 0, false
	for _, p := range parts {
		for _, b := range p {
			if odd {
				n += int(b)
			} else {
				n += int(b) << 8
			}
			odd = !odd
		}
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}

// udpPacket makes an IP packet with UDP in it.
func udpPacket(src, dst netip.AddrPort, payload []byte) []byte {
	u := binary.BigEndian.AppendUint16(nil, src.Port())
	u = binary.BigEndian.AppendUint16(u, dst.Port())
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(payload)))
	u = append(append(u, 0, 0), payload...)
	s, d := src.Addr().AsSlice(), dst.Addr().AsSlice()
	binary.BigEndian.PutUint16(u[6:], checksum(s, d, []byte{0, 17, byte(len(u) >> 8), byte(len(u))}, u))
	if src.Addr().Is4() {
		h := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(u)))
		h = append(append(h, s...), d...)
		binary.BigEndian.PutUint16(h[10:], checksum(h))
		return append(h, u...)
	}
	h := []byte{0x60, 0, 0, 0, 0, 0, 17, 64}
	binary.BigEndian.PutUint16(h[4:], uint16(len(u)))
	return append(append(append(h, s...), d...), u...)
}

// readUDP takes one apart; sound: its checksum is right.
func readUDP(p []byte) (src, dst netip.AddrPort, payload []byte, sound bool) {
	at, n := 40, 16
	if p[0]>>4 == 4 {
		at, n = 20, 4
	}
	s, _ := netip.AddrFromSlice(p[at-2*n : at-n])
	d, _ := netip.AddrFromSlice(p[at-n : at])
	u := p[at:]
	src = netip.AddrPortFrom(s, binary.BigEndian.Uint16(u))
	dst = netip.AddrPortFrom(d, binary.BigEndian.Uint16(u[2:]))
	sum := checksum(s.AsSlice(), d.AsSlice(), []byte{0, 17, byte(len(u) >> 8), byte(len(u))}, u)
	return src, dst, u[8:], sum == 0
}

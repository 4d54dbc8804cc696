// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// UDP inside IPv4 and IPv6 packets: finding the endpoints and writing others in their place (RFC 791, RFC 8200, RFC 768;
// checksums by RFC 1624), and the ICMP message about a packet that is too big (RFC 1191, Section 4; RFC 4443, Section
// 3.2). Packets are anybody's: every length is checked before it is used.

package nat

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

const (
	protoICMP, protoUDP, protoICMPv6 = 1, 17, 58
	header4, header6, headerUDP      = 20, 40, 8
	// maxQuote is what of the packet an ICMP message quotes: all of it that fits the least MTU.
	maxQuote4, maxQuote6 = 576 - header4 - 8, 1280 - header6 - 8
)

// ErrNotUDP means a packet that this NAT does not translate: another protocol, a fragment, an extension header.
var ErrNotUDP = errors.New("packet: not a whole UDP datagram in IPv4 or IPv6")

var errShort = errors.New("packet: length field above what there is")

// ParseUDP returns the endpoints and the payload of a whole UDP datagram.
func ParseUDP(b []byte) (Packet, error) {
	u, src, dst, err := transport(b)
	if err != nil {
		return Packet{}, err
	}
	n := int(binary.BigEndian.Uint16(u[4:]))
	if n < headerUDP || n > len(u) {
		return Packet{}, errShort
	}
	return Packet{
		Src:     netip.AddrPortFrom(src, binary.BigEndian.Uint16(u)),
		Dst:     netip.AddrPortFrom(dst, binary.BigEndian.Uint16(u[2:])),
		Payload: u[headerUDP:n],
	}, nil
}

// transport returns the UDP header and payload and the addresses.
func transport(b []byte) (u []byte, src, dst netip.Addr, err error) {
	if len(b) < 1 {
		return nil, src, dst, errShort
	}
	switch b[0] >> 4 {
	case 4:
		if len(b) < header4 {
			return nil, src, dst, errShort
		}
		hl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if hl < header4 || total < hl || total > len(b) {
			return nil, src, dst, errShort
		}
		if b[9] != protoUDP || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return nil, src, dst, ErrNotUDP
		}
		u, src, dst = b[hl:total], netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case 6:
		if len(b) < header6 {
			return nil, src, dst, errShort
		}
		total := header6 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return nil, src, dst, errShort
		}
		if b[6] != protoUDP {
			return nil, src, dst, ErrNotUDP
		}
		u, src, dst = b[header6:total], netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return nil, src, dst, ErrNotUDP
	}
	if len(u) < headerUDP {
		return nil, src, dst, errShort
	}
	return u, src, dst, nil
}

// Rewrite puts other endpoints into a packet that ParseUDP took, in place, and corrects the checksums.
func Rewrite(b []byte, src, dst netip.AddrPort) error {
	u, oldSrc, oldDst, err := transport(b)
	if err != nil {
		return err
	}
	if src.Addr().Is4() != oldSrc.Is4() || dst.Addr().Is4() != oldDst.Is4() {
		return errors.New("endpoint: of another family than the packet")
	}
	var delta sum
	if oldSrc.Is4() {
		delta.replace(b[12:16], src.Addr().AsSlice())
		delta.replace(b[16:20], dst.Addr().AsSlice())
		put(b[10:], delta.apply(binary.BigEndian.Uint16(b[10:])))
	} else {
		delta.replace(b[8:24], src.Addr().AsSlice())
		delta.replace(b[24:40], dst.Addr().AsSlice())
	}
	var ports [4]byte
	put(ports[:], src.Port())
	put(ports[2:], dst.Port())
	delta.replace(u[:4], ports[:])
	if old := binary.BigEndian.Uint16(u[6:]); old != 0 { // RFC 768: zero means that there is none
		c := delta.apply(old)
		if c == 0 {
			c = 0xffff
		}
		put(u[6:], c)
	}
	return nil
}

func put(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }

// sum is a ones' complement sum, not yet folded.
type sum uint64

func (s *sum) add(b []byte) {
	for ; len(b) > 1; b = b[2:] {
		*s += sum(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		*s += sum(b[0]) << 8
	}
}

// replace copies to over from and keeps the difference (RFC 1624, Section 3). Both are of one even length.
func (s *sum) replace(from, to []byte) {
	for i := 0; i+1 < len(from); i += 2 {
		*s += sum(^binary.BigEndian.Uint16(from[i:])) + sum(binary.BigEndian.Uint16(to[i:]))
	}
	copy(from, to)
}

func (s sum) fold() uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// apply corrects a checksum by the difference.
func (s sum) apply(old uint16) uint16 { return ^(s + sum(^old)).fold() }

// AppendTooBig appends to dst the ICMP message, from router to the packet's source, that b is larger than mtu.
func AppendTooBig(dst, b []byte, router netip.Addr, mtu int) ([]byte, error) {
	_, src, _, err := transport(b)
	if err != nil {
		return dst, err
	}
	if router.Is4() != src.Is4() {
		return dst, errors.New("router: of another family than the packet")
	}
	from := len(dst)
	if src.Is4() {
		quote := b[:min(len(b), maxQuote4)]
		total := header4 + 8 + len(quote)
		dst = append(dst, 0x45, 0, byte(total>>8), byte(total), 0, 0, 0, 0, 64, protoICMP, 0, 0)
		dst = append(append(dst, router.AsSlice()...), src.AsSlice()...)
		put(dst[from+10:], checksum(0, dst[from:]))
		dst = append(dst, 3, 4, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
		dst = append(dst, quote...)
		put(dst[from+header4+2:], checksum(0, dst[from+header4:]))
		return dst, nil
	}
	quote := b[:min(len(b), maxQuote6)]
	n := 8 + len(quote)
	dst = append(dst, 0x60, 0, 0, 0, byte(n>>8), byte(n), protoICMPv6, 64)
	dst = append(append(dst, router.AsSlice()...), src.AsSlice()...)
	dst = append(dst, 2, 0, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
	dst = append(dst, quote...)
	var pseudo sum
	pseudo.add(dst[from+8 : from+header6])
	pseudo += sum(n) + protoICMPv6
	put(dst[from+header6+2:], checksum(pseudo, dst[from+header6:]))
	return dst, nil
}

func checksum(s sum, b []byte) uint16 {
	s.add(b)
	return ^s.fold()
}

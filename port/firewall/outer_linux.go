// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What belongs to the daemon's own datagrams without being one: later IP fragments, and ICMP errors about what was sent.
// Both must get in where a policy covers the sender (a peer's own address, or with 0.0.0.0/0 every router on the path).
// Anybody can forge them. A later fragment comes to nothing without its first, which is judged like any packet; an ICMP
// error reaches the error queue of the daemon's socket, where it is a hint with a floor (RFC 4301, Section 8; HOSTILE T-075).

package firewall

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	icmpUnreachable = 3 // RFC 792; code 4: fragmentation needed (RFC 1191)
	// icmp6First to icmp6Last are destination unreachable and packet too big (RFC 4443, Sections 3.1 and 3.2).
	icmp6First, icmp6Last = 1, 2
	icmpHeader            = 8 // octets in front of the quoted packet
	plainIPv4             = 0x45
	ipv4Size, ipv6Size    = 20, 40
)

func quoted(offset, size uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: icmpHeader + offset, Len: size, DestRegister: 1}
}

// icmpAbout: an ICMP error that quotes a packet of the protocol, without options or extension headers, as ours are.
func icmpAbout(v6 bool, proto byte) []expr.Any {
	kind := &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: 1}
	if v6 {
		return rule(family(unix.NFPROTO_IPV6), protocol(unix.IPPROTO_ICMPV6), []expr.Any{
			kind, between([]byte{icmp6First}, []byte{icmp6Last}), quoted(6, 1), equal(proto),
		})
	}
	return rule(family(unix.NFPROTO_IPV4), protocol(unix.IPPROTO_ICMP), []expr.Any{
		kind, equal(icmpUnreachable), quoted(0, 1), equal(plainIPv4), quoted(9, 1), equal(proto),
	})
}

// icmpPort: and the quoted packet was sent from this port.
func icmpPort(v6 bool, p uint16) []expr.Any {
	at := uint32(ipv4Size)
	if v6 {
		at = ipv6Size
	}
	return []expr.Any{quoted(at, 2), equal(port(p)...)}
}

// laterFragment: the fragment's offset is not zero (RFC 791, Section 3.1; RFC 8200, Section 4.5).
func laterFragment(v6 bool) []expr.Any {
	if v6 {
		return rule(family(unix.NFPROTO_IPV6), []expr.Any{
			&expr.Exthdr{DestRegister: 1, Type: unix.IPPROTO_FRAGMENT, Offset: 2, Len: 2}, bits(0xff, 0xf8), notZero(),
		})
	}
	return rule(family(unix.NFPROTO_IPV4), []expr.Any{load(6, 2), bits(0x1f, 0xff), notZero()})
}

func bits(mask ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func notZero() expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0, 0}} }

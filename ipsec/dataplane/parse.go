// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The inner packet: IPv4 (RFC 791) and IPv6 (RFC 8200) headers as far as selectors and tunnels need them. Every octet is
// attacker controlled: outbound by whoever is on the inner side, inbound by the peer. What is accepted has a length that lies
// inside the buffer, at most eight extension headers, and a protocol and its ports, or the knowledge that this fragment hides
// them (RFC 4301, Section 7).

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// maxExtensions: RFC 8200, Section 4.1 has seven in a full packet; HOSTILE T-088.
	maxExtensions = 8

	protoHopByHop = 0
	protoICMP     = 1
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoESP      = 50
	protoAH       = 51
	protoICMPv6   = 58
	protoDstOpts  = 60
	protoIPComp   = 108
	protoSCTP     = 132
	protoMobility = 135
	protoUDPLite  = 136

	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8
	tcpHeader  = 20
	maxPacket  = 65535
)

// inner is what parse found.
type inner struct {
	flow sadb.Flow
	// n is the packet's own length.
	n int
	// upper is the offset of the upper-layer header; 0: this fragment does not have it.
	upper int
	tos   uint8
	// body is where what transport mode protects begins, the octets behind the IP header, and next the protocol there
	// (RFC 4303, Section 3.1.1). outside: there are options or extension headers that would have to stay in front of ESP.
	body    int
	next    uint8
	outside bool
	// df: IPv4 with Don't Fragment. fragment: one of several. first: the first of them.
	df, fragment, first bool
}

// verdict says why a packet was refused; zero: it was not.
type verdict uint8

const (
	good verdict = iota
	malformed
	truncated
)

// parse reads a packet that is sent (out) or was received.
func parse(p []byte, out bool, in *inner) verdict {
	if len(p) == 0 {
		return malformed
	}
	switch p[0] >> 4 {
	case 4:
		return parseV4(p, out, in)
	case 6:
		return parseV6(p, out, in)
	}
	return malformed
}

func parseV4(p []byte, out bool, in *inner) verdict {
	if len(p) < ipv4Header {
		return malformed
	}
	header, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if header < ipv4Header || total < header {
		return malformed
	}
	if total > len(p) {
		return truncated
	}
	offset := int(binary.BigEndian.Uint16(p[6:]) & 0x1fff)
	more := p[6]&0x20 != 0
	*in = inner{n: total, tos: p[1], df: p[6]&0x40 != 0, fragment: more || offset > 0, first: offset == 0,
		body: header, next: p[9], outside: header > ipv4Header}
	f := &in.flow
	f.Proto = p[9]
	src, dst := sadb.IP{Lo: uint64(binary.BigEndian.Uint32(p[12:]))}, sadb.IP{Lo: uint64(binary.BigEndian.Uint32(p[16:]))}
	if out {
		f.Local, f.Remote = src, dst
	} else {
		f.Local, f.Remote = dst, src
	}
	if offset > 0 {
		// A fragment that ends beyond the largest packet, or that overwrites the ports and flags of the first (RFC 1858).
		if offset*8+total-header > maxPacket || offset == 1 && f.Proto == protoTCP {
			return malformed
		}
		f.Ports = hiddenOf(f.Proto, false)
		return good
	}
	in.upper = header
	return ports(p[:total], out, in)
}

func parseV6(p []byte, out bool, in *inner) verdict {
	if len(p) < ipv6Header {
		return malformed
	}
	total := ipv6Header + int(binary.BigEndian.Uint16(p[4:]))
	if total > len(p) {
		return truncated
	}
	*in = inner{n: total, tos: p[0]<<4 | p[1]>>4, first: true, body: ipv6Header, next: p[6]}
	f := &in.flow
	f.V6 = true
	src := sadb.IP{Hi: binary.BigEndian.Uint64(p[8:]), Lo: binary.BigEndian.Uint64(p[16:])}
	dst := sadb.IP{Hi: binary.BigEndian.Uint64(p[24:]), Lo: binary.BigEndian.Uint64(p[32:])}
	if out {
		f.Local, f.Remote = src, dst
	} else {
		f.Local, f.Remote = dst, src
	}
	p = p[:total]
	next, at := p[6], ipv6Header
	for range maxExtensions + 1 {
		n, v := extension(p[at:], next, at == ipv6Header)
		if v != good {
			return v
		}
		if n == 0 {
			f.Proto, in.upper = next, at
			return ports(p, out, in)
		}
		// RFC 4303, Section 3.1.1: hop-by-hop, routing and fragment headers go before ESP; destination options may go behind.
		if next == protoHopByHop || next == protoRouting || next == protoFragment {
			in.outside = true
		}
		if next == protoFragment {
			field := binary.BigEndian.Uint16(p[at+2:])
			in.fragment = field&^6 != 0 // an atomic fragment (RFC 6946) is none
			if offset := int(field &^ 7); offset > 0 {
				f.Proto, in.first = p[at], false
				if offset+total-at-n > maxPacket || offset == 8 && f.Proto == protoTCP {
					return malformed
				}
				f.Ports = hiddenOf(f.Proto, true)
				return good
			}
		}
		next, at = p[at], at+n
	}
	return malformed
}

// skipped reports whether a header of IPv6 is no next layer but stands in front of it: RFC 4301, Section 4.4.1.1 has these four
// and not AH, which is a next layer like ESP; a mobility header is one too, with its type for a port.
func skipped(next uint8) bool {
	switch next {
	case protoHopByHop, protoRouting, protoFragment, protoDstOpts:
		return true
	}
	return false
}

// extension is the length of the extension header at the front of p; 0: next is an upper layer.
func extension(p []byte, next uint8, leading bool) (int, verdict) {
	if !skipped(next) {
		return 0, good
	}
	if len(p) < 8 {
		return 0, malformed
	}
	n := (int(p[1]) + 1) * 8
	switch {
	case next == protoFragment:
		n = 8
	case next == protoHopByHop && !leading: // RFC 8200, Section 4.1; a jumbogram's length, zero, does not hold the header
		return 0, malformed
	case next == protoRouting && p[2] == 0: // RFC 5095: type 0 must not be forwarded
		return 0, malformed
	}
	if n > len(p) {
		return 0, malformed
	}
	return n, good
}

// ports reads what the upper layer's first octets say. p ends where the packet does.
func ports(p []byte, out bool, in *inner) verdict {
	f, up := &in.flow, p[in.upper:]
	switch f.Proto {
	case protoTCP:
		if len(up) < tcpHeader && (!in.fragment || len(up) < 16) { // RFC 1858: tiny fragments hide the flags
			return malformed
		}
	case protoUDP, protoUDPLite, protoDCCP, protoSCTP:
		if len(up) < 8 {
			return malformed
		}
	case protoICMP, protoICMPv6:
		if len(up) < 4 {
			return malformed
		}
		// RFC 4301, Section 4.4.1.1: type and code are one selector.
		f.LocalPort, f.Ports = binary.BigEndian.Uint16(up), sadb.HavePorts
		f.RemotePort = f.LocalPort
		return good
	case protoMobility:
		if len(up) < 8 {
			return malformed
		}
		// RFC 4301, Section 4.4.1.1: the type of the message, in the upper half of a port.
		f.LocalPort, f.Ports = uint16(up[2])<<8, sadb.HavePorts
		f.RemotePort = f.LocalPort
		return good
	default:
		return good
	}
	src, dst := binary.BigEndian.Uint16(up), binary.BigEndian.Uint16(up[2:])
	f.Ports = sadb.HavePorts
	if out {
		f.LocalPort, f.RemotePort = src, dst
	} else {
		f.LocalPort, f.RemotePort = dst, src
	}
	return good
}

// hiddenOf says what a fragment that is not the first, and whose header says proto, shows of its ports.
func hiddenOf(proto uint8, v6 bool) sadb.Ports {
	switch proto {
	case protoTCP, protoUDP, protoUDPLite, protoDCCP, protoSCTP, protoICMP, protoICMPv6, protoMobility:
		return sadb.HiddenPorts
	}
	if v6 && skipped(proto) {
		return sadb.HiddenProto // it stands in front of a protocol that only the first fragment shows
	}
	return sadb.NoPorts
}

// loops reports whether p is a datagram of the tunnel itself that was routed into it (HOSTILE T-092): the recursion would have
// no end.
func loops(p []byte, in *inner, ep *sadb.Endpoint) bool {
	f := &in.flow
	if f.Proto != protoUDP && !protected(f.Proto) {
		return false
	}
	if f.Remote.Addr(f.V6) != ep.Remote.Addr() || f.Local.Addr(f.V6) != ep.Local.Addr() && !ep.Local.Addr().IsUnspecified() {
		return false
	}
	if !ep.UDP() {
		return f.Proto != protoUDP
	}
	return f.Ports == sadb.HavePorts && f.Proto == protoUDP && f.LocalPort == ep.Local.Port() && f.RemotePort == ep.Remote.Port()
}

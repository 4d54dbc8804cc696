// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// By what flows of one address are told apart: ports of TCP and UDP, identifiers of ICMP's queries (RFC 792, RFC 4443; RFC 5508,
// Section 3: a NAT translates them as it does ports). Packets are the peer's or this host's own; parse has seen them.

package dataplane

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) that are looked at.
const (
	echoReply, echoRequest           = 0, 8
	timestampRequest, timestampReply = 13, 14
	unreachable, redirect            = 3, 5
	sourceQuench                     = 4
	timeExceeded, parameterProblem   = 11, 12
	needFragment                     = 4 // a code of unreachable

	unreachableV6, tooBigTypeV6        = 1, 2
	timeExceededV6, parameterProblemV6 = 3, 4
	echoRequestV6, echoReplyV6         = 128, 129
	firstInformationalV6               = 128
	identifierAt                       = 4 // of the identifier in a query
)

// sideKind is what a slot's port is.
type sideKind uint8

const (
	// sidePort: a port of the peer's, or the identifier of a query of the peer's. It is translated.
	sidePort sideKind = iota
	// sideOurs: the identifier of a query of this host's, which chose it.
	sideOurs
	// sideNone: there is nothing to tell peers by; one alone has the protocol.
	sideNone
)

// slot is one side of a flow: a port of a protocol at a NAT's address.
type slot struct {
	remote sadb.IP
	port   uint16
	proto  uint8
	kind   sideKind
	v6     bool
}

// sideOf finds by what a flow of the peer is told from those of others behind its NAT. at is the offset of these two octets in the
// packet; 0: there are none. False: an ICMP error, which quotes a packet (see quote), or a query without an identifier.
func sideOf(p []byte, in *inner, out bool) (k slot, at int, ok bool) {
	f := &in.flow
	k = slot{remote: f.Remote, proto: f.Proto, v6: f.V6}
	k.port, at, k.kind, ok = sideAt(p[in.upper:in.n], f.Proto, out)
	if at >= 0 {
		at += in.upper
	} else {
		at = 0
	}
	return k, at, ok
}

// sideAt reads an upper-layer header; at is an offset in it, -1: nowhere.
func sideAt(up []byte, proto uint8, out bool) (port uint16, at int, kind sideKind, ok bool) {
	switch proto {
	case protoTCP, protoUDP:
		if out {
			at = 2
		}
	case protoICMP, protoICMPv6:
		switch {
		case len(up) == 0 || isError(proto, up[0]):
			return 0, -1, sideNone, false
		case isQuery(proto, up[0], out): // of the peer's: this host answers it
			kind = sidePort
		case isQuery(proto, up[0], !out):
			kind = sideOurs
		default:
			return 0, -1, sideNone, true
		}
		at = identifierAt
	default:
		return 0, -1, sideNone, true
	}
	if len(up) < at+2 {
		return 0, -1, kind, false
	}
	return binary.BigEndian.Uint16(up[at:]), at, kind, true
}

// isQuery reports whether a type is a request, or with reply the answer to one, that has an identifier.
func isQuery(proto, kind uint8, reply bool) bool {
	switch {
	case proto == protoICMPv6 && reply:
		return kind == echoReplyV6
	case proto == protoICMPv6:
		return kind == echoRequestV6
	case reply:
		return kind == echoReply || kind == timestampReply
	}
	return kind == echoRequest || kind == timestampRequest
}

// isError: RFC 1122, Section 3.2.2; RFC 4443, Section 2.1.
func isError(proto, kind uint8) bool {
	if proto == protoICMPv6 {
		return kind < firstInformationalV6
	}
	switch kind {
	case unreachable, sourceQuench, redirect, timeExceeded, parameterProblem:
		return true
	}
	return false
}

// setSide writes port at the offset that sideOf found, and repairs the checksum.
func setSide(p []byte, in *inner, at int, port uint16) {
	field := p[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if old == port {
		return
	}
	binary.BigEndian.PutUint16(field, port)
	sum, pseudo := sumAt(in.flow.Proto)
	if !pseudo { // ICMP
		sum = sumICMP
	}
	wordDelta(old, port).repair(p[in.upper:in.n], in.flow.Proto, sum)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which bundles can be, and how much fits into them: RFC 4301, Sections 4.4.1.2, 8.1 and 8.2. Policies come from the operator of the host; what
// they name and cannot be sent is dropped and counted, never sent otherwise.

package dataplane

import "github.com/natterjack/natterjack/ipsec/sadb"

// compression is the CPI that a pair compresses under; zero: it does not.
func compression(pair *sadb.Pair) uint16 {
	if pair == nil {
		return 0
	}
	_, cpi := pair.CPI()
	return cpi
}

// layered reports whether it takes more than one ESP SA.
func layered(b *sadb.Bundle) bool {
	return b.N > 1 || b.SAs[0].Proto() != sadb.ProtoESP || compression(b.SAs[0].Pair()) != 0
}

// served reports whether a bundle can be sealed. Its SAs may be ESP, AH and IPComp in any order, each in either mode, but:
//   - an SA is there once: its receiver opens nothing in itself;
//   - UDP is around the outermost alone: the receiver takes a datagram in a tunnel for a datagram (layers.go), and AH has none
//     around its level: a NAT changes what it covers;
//   - IPComp in tunnel mode has ESP or AH around it: what it does not make shorter would travel as bare IP in IP, from anybody.
func served(b *sadb.Bundle) bool {
	if b.N == 1 && b.SAs[0].Proto() == sadb.ProtoESP { // mostly
		return true
	}
	out, outer := b.SAs[b.N-1].Endpoint(), levelOf(b, b.N-1)
	sealed := false // by ESP or AH further out
	for i := b.N - 1; i >= 0; i-- {
		s := b.SAs[i]
		ep := s.Endpoint()
		if ep.UDP() && i < b.N-1 || has(b, i) {
			return false
		}
		switch s.Proto() {
		case sadb.ProtoESP:
			sealed = true
		case sadb.ProtoAH:
			sealed = true
			if ep.Local.Addr().IsUnspecified() || out.UDP() && levelOf(b, i) == outer {
				return false
			}
		case sadb.ProtoIPComp:
			if b.Modes[i] == sadb.Tunnel && !sealed {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// has reports whether the SA of layer i is in a layer inside of it too.
func has(b *sadb.Bundle, i int) bool {
	for _, s := range b.SAs[:i] {
		if s == b.SAs[i] {
			return true
		}
	}
	return false
}

// levelOf is the layer that brought the IP header which layer i lies under; -1: the packet itself did.
func levelOf(b *sadb.Bundle, i int) int {
	for i >= 0 && b.Modes[i] != sadb.Tunnel {
		i--
	}
	return i
}

// most is the largest inner packet, in tunnel mode, or payload, in transport mode, whose outer packet fits mtu octets, and the packets of
// each tunnel inside of another what is known of the path to its own end.
func (e *Engine) most(b *sadb.Bundle, now int64, mtu int) int {
	size := b.SAs[b.N-1].InnerAt(mtu)
	for i := b.N - 2; i >= 0; i-- {
		if b.Modes[i+1] == sadb.Tunnel {
			size = min(size, b.SAs[i].PathMTU(now))
		} else {
			ep := b.SAs[i+1].Endpoint()
			size += headerLen(ep.Remote.Addr().Is6())
		}
		size = b.SAs[i].InnerAt(size)
	}
	return size
}

// mostOf is most for a pair now.
func (e *Engine) mostOf(pair *sadb.Pair, now int64) int { return pair.Out().InnerAt(pair.PathMTU(now)) }

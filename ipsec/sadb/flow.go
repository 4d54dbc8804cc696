// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Selectors in the form that packets are compared with: RFC 4301, Section 4.4.1.1. A Flow is made of a packet, which may be
// anybody's; comparing allocates nothing and reads nothing but the two values.

package sadb

import (
	"encoding/binary"
	"net/netip"
)

// IP is an address as two words, IPv4 in the low 32 bits. It is only ever compared with one of its own family.
type IP struct{ Hi, Lo uint64 }

// ipOf converts an address without zone.
func ipOf(a netip.Addr) IP {
	if a.Is4() {
		b := a.As4()
		return IP{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return IP{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// Addr converts back.
func (p IP) Addr(v6 bool) netip.Addr {
	if !v6 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(p.Lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], p.Hi)
	binary.BigEndian.PutUint64(b[8:], p.Lo)
	return netip.AddrFrom16(b)
}

func (p IP) less(q IP) bool { return p.Hi < q.Hi || p.Hi == q.Hi && p.Lo < q.Lo }

// Ports says what a packet shows of its ports.
type Ports uint8

const (
	// NoPorts: its protocol has none.
	NoPorts Ports = iota
	// HavePorts: LocalPort and RemotePort are the packet's (for ICMP, both are type*256 + code).
	HavePorts
	// HiddenPorts: a fragment but the first of a protocol that has ports (RFC 4301, Section 7).
	HiddenPorts
	// HiddenProto: a fragment but the first of which not even the protocol is seen: between the fragment header and it are
	// extension headers.
	HiddenProto
)

// Flow is the selector fields of a packet, seen from this host. It is comparable: the key of a cache.
type Flow struct {
	Local, Remote         IP
	LocalPort, RemotePort uint16
	Proto                 uint8
	Ports                 Ports
	V6                    bool
}

// Tuple converts for a notice.
func (f *Flow) Tuple() Tuple {
	return Tuple{Local: f.Local.Addr(f.V6), Remote: f.Remote.Addr(f.V6), Proto: f.Proto, LocalPort: f.LocalPort,
		RemotePort: f.RemotePort, HasPorts: f.Ports == HavePorts}
}

// fit is how a packet stands to a selector or a policy.
type fit uint8

const (
	outside fit = iota
	// hidden: inside as far as one can see; the ports that would decide are not in this fragment.
	hidden
	inside
)

// span is a Selector compiled.
type span struct {
	from, to IP
	lo, hi   uint16
	proto    uint8
	v6       bool
}

func (s *span) anyPort() bool { return s.lo == 0 && s.hi == 65535 }

// all: any protocol and any port.
func (s *span) all() bool { return s.proto == 0 && s.anyPort() }

// whole: every packet of its family.
func (s *span) whole() bool {
	end := IP{Lo: 1<<32 - 1}
	if s.v6 {
		end = IP{^uint64(0), ^uint64(0)}
	}
	return s.all() && s.from == IP{} && s.to == end
}

// side compares one side of a packet.
func (s *span) side(a IP, v6 bool, proto uint8, port uint16, ports Ports) fit {
	switch {
	case s.v6 != v6 || a.less(s.from) || s.to.less(a):
		return outside
	case s.proto != 0 && ports == HiddenProto:
		return hidden
	case s.proto != 0 && s.proto != proto:
		return outside
	case s.anyPort():
		return inside
	case ports == HavePorts && port >= s.lo && port <= s.hi:
		return inside
	case ports >= HiddenPorts:
		return hidden
	}
	return outside
}

func (s *span) local(f *Flow) fit  { return s.side(f.Local, f.V6, f.Proto, f.LocalPort, f.Ports) }
func (s *span) remote(f *Flow) fit { return s.side(f.Remote, f.V6, f.Proto, f.RemotePort, f.Ports) }

// compileSelectors checks and compiles a list.
func compileSelectors(list []Selector) ([]span, error) {
	if len(list) == 0 || len(list) > maxSelectors {
		return nil, ErrSelectors
	}
	out := make([]span, len(list))
	for i := range list {
		var err error
		if out[i], err = list[i].compile(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compile checks and compiles one selector.
func (s *Selector) compile() (span, error) {
	from, to := s.From, s.To
	// An IPv4 address in IPv6 is refused and not unmapped: a peer that may have any of IPv6 would get IPv4 by it.
	if !from.IsValid() || !to.IsValid() || from.Is4In6() || to.Is4In6() || from.Is4() != to.Is4() || to.Less(from) ||
		s.PortTo < s.PortFrom || from.Zone() != "" || to.Zone() != "" {
		return span{}, ErrSelectors
	}
	return span{from: ipOf(from), to: ipOf(to), lo: s.PortFrom, hi: s.PortTo, proto: s.Proto, v6: from.Is6()}, nil
}

// selector is its inverse for one.
func (s *span) selector() Selector {
	return Selector{From: s.from.Addr(s.v6), To: s.to.Addr(s.v6), Proto: s.proto, PortFrom: s.lo, PortTo: s.hi}
}

// best is the best fit among spans: RFC 4301, Section 4.4.1: a list of ranges is a disjunction.
func best(spans []span, f *Flow, side func(*span, *Flow) fit) fit {
	got := outside
	for i := range spans {
		switch side(&spans[i], f) {
		case inside:
			return inside
		case hidden:
			got = hidden
		}
	}
	return got
}

// prefixes splits a range into the fewest prefixes, at most 62 (IPv4) or 254 (IPv6).
func (s *span) prefixes() []netip.Prefix {
	bits := 32
	if s.v6 {
		bits = 128
	}
	var out []netip.Prefix
	for at := s.from; ; {
		n := bits
		for n > 0 { // grow while aligned and inside
			last := at.last(bits - (n - 1))
			if at.low(bits-(n-1)) || s.to.less(last) {
				break
			}
			n--
		}
		out = append(out, netip.PrefixFrom(at.Addr(s.v6), n))
		last := at.last(bits - n)
		if !last.less(s.to) {
			return out
		}
		at = last.next()
	}
}

// low reports whether any of the lowest n bits is set.
func (p IP) low(n int) bool {
	if n >= 64 {
		return p.Lo != 0 || n > 64 && p.Hi<<(128-n) != 0
	}
	return p.Lo<<(64-n) != 0
}

// last sets the lowest n bits.
func (p IP) last(n int) IP {
	if n >= 64 {
		p.Lo = ^uint64(0)
		if n > 64 {
			p.Hi |= ^uint64(0) >> (128 - n)
		}
		return p
	}
	p.Lo |= 1<<n - 1
	return p
}

func (p IP) next() IP {
	p.Lo++
	if p.Lo == 0 {
		p.Hi++
	}
	return p
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Traffic selectors: narrowing (RFC 7296, Section 2.9) and the translation between wire and vocabulary. The peer's
// selectors are attacker controlled; the result never goes beyond the configured ones.

package ikev2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// maxSelectors bounds the selectors of one side of a child.
const maxSelectors = 64

// toWire makes a TS payload.
func toWire(initiator bool, list []ike.Selector) *ikev2msg.TS {
	ts := &ikev2msg.TS{Initiator: initiator}
	for _, s := range list {
		ts.Selectors = append(ts.Selectors, ikev2msg.Selector{
			Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo, AddrFrom: s.From, AddrUpTo: s.To,
		})
	}
	return ts
}

// fromWire is the list of a TS payload without what cannot be used here: OPAQUE ports, and IPv4 addresses in IPv6, which are
// within ::/0 and are not what an administrator means by it.
func fromWire(ts *ikev2msg.TS) []ike.Selector {
	var list []ike.Selector
	for _, s := range ts.Selectors {
		if s.PortFrom > s.PortTo || s.AddrFrom.Is4In6() || s.AddrUpTo.Is4In6() || len(list) == maxSelectors {
			continue
		}
		list = append(list, ike.Selector{From: s.AddrFrom, To: s.AddrUpTo, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo})
	}
	return list
}

// resolve replaces dynamic selectors by the addresses they stand for; without any they drop out.
func resolve(conf []ike.Selector, addrs []netip.Addr) []ike.Selector {
	var list []ike.Selector
	for _, s := range conf {
		if !s.Dynamic {
			list = append(list, s)
			continue
		}
		for _, a := range addrs {
			list = append(list, ike.Selector{From: a, To: a, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo})
		}
	}
	return list
}

// narrow is the intersection of what the peer offers with what is configured, in the peer's order of preference,
// without selectors that lie in another one. Empty: TS_UNACCEPTABLE.
func narrow(offer, conf []ike.Selector) []ike.Selector {
	var list []ike.Selector
	for _, o := range offer {
		for _, c := range conf {
			s, ok := intersect(o, c)
			if !ok || slices.ContainsFunc(list, func(l ike.Selector) bool { return within(s, l) }) {
				continue
			}
			list = slices.DeleteFunc(list, func(l ike.Selector) bool { return within(l, s) })
			if len(list) < maxSelectors {
				list = append(list, s)
			}
		}
	}
	return list
}

// subset reports whether every selector of list lies in one of outer.
func subset(list, outer []ike.Selector) bool {
	for _, s := range list {
		if !slices.ContainsFunc(outer, func(o ike.Selector) bool { return within(s, o) }) {
			return false
		}
	}
	return len(list) > 0
}

func intersect(a, b ike.Selector) (ike.Selector, bool) {
	if a.From.BitLen() != b.From.BitLen() {
		return ike.Selector{}, false
	}
	s := ike.Selector{From: laterAddr(a.From, b.From), To: earlierAddr(a.To, b.To), Proto: a.Proto,
		PortFrom: max(a.PortFrom, b.PortFrom), PortTo: min(a.PortTo, b.PortTo)}
	switch {
	case a.Proto == 0:
		s.Proto = b.Proto
	case b.Proto != 0 && a.Proto != b.Proto:
		return s, false
	}
	return s, !s.To.Less(s.From) && s.PortFrom <= s.PortTo
}

// within reports whether s lies in o.
func within(s, o ike.Selector) bool {
	return s.From.BitLen() == o.From.BitLen() && !s.From.Less(o.From) && !o.To.Less(s.To) &&
		(o.Proto == 0 || o.Proto == s.Proto) && s.PortFrom >= o.PortFrom && s.PortTo <= o.PortTo
}

func laterAddr(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlierAddr(a, b netip.Addr) netip.Addr {
	if b.Less(a) {
		return b
	}
	return a
}

// show prints selectors for a person.
func show(list []ike.Selector) string {
	var out strings.Builder
	for i, s := range list {
		if i > 0 {
			out.WriteByte(' ')
		}
		fmt.Fprintf(&out, "%s-%s", s.From, s.To)
		if s.Proto != 0 || s.PortFrom != 0 || s.PortTo != 65535 {
			fmt.Fprintf(&out, "[%d/%d-%d]", s.Proto, s.PortFrom, s.PortTo)
		}
	}
	return out.String()
}

// anyOf is the selector for all addresses of a's family.
func anyOf(a netip.Addr) ike.Selector {
	p := netip.PrefixFrom(a, 0).Masked()
	last := p.Addr().AsSlice()
	for i := range last {
		last[i] = 255
	}
	to, _ := netip.AddrFromSlice(last)
	return ike.Selector{From: p.Addr(), To: to, PortTo: 65535}
}

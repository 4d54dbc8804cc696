// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which policies share a rule. A gateway has one protect policy for each of its clients: all with the same local addresses
// become one rule with a set of remote ones, which the kernel searches in logarithmic time.

package firewall

import (
	"cmp"
	"net/netip"
	"slices"
)

// scope is the local addresses that one rule is for.
type scope struct{ from, to netip.Addr }

func (s scope) compare(o scope) int {
	return cmp.Or(cmp.Compare(s.from.BitLen(), o.from.BitLen()), s.from.Compare(o.from), s.to.Compare(o.to))
}

// span is a range of addresses.
type span struct{ from, to netip.Addr }

// whole reports whether a selector is of all protocols and ports.
func (s Selector) whole() bool { return s.Proto == 0 && s.PortFrom == 0 && s.PortTo == 0xffff }

// arrange divides policies into those that are rules of their own, in their order, and the remote ranges of the others,
// sorted and merged.
func arrange(policies []Policy) (rules []Policy, scopes map[scope][]span) {
	scopes = map[scope][]span{}
	for _, p := range policies {
		if p.Action != Protect || !p.Local.whole() || !p.Remote.whole() {
			rules = append(rules, p)
			continue
		}
		k := scope{p.Local.From, p.Local.To}
		scopes[k] = append(scopes[k], span{p.Remote.From, p.Remote.To})
	}
	for k, list := range scopes {
		scopes[k] = merge(list)
	}
	return rules, scopes
}

// merge sorts ranges and joins those that overlap or touch: an interval set takes no others.
func merge(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return a.from.Compare(b.from) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if next := last.to.Next(); !next.IsValid() || s.from.Compare(next) <= 0 {
				if last.to.Less(s.to) {
					last.to = s.to
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// without returns the ranges of a that are not in b, both sorted.
func without(a, b []span) []span {
	have := make(map[span]bool, len(b))
	for _, s := range b {
		have[s] = true
	}
	var out []span
	for _, s := range a {
		if !have[s] {
			out = append(out, s)
		}
	}
	return out
}

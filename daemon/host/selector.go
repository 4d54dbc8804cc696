// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Selectors as routes, policies and source addresses. Negotiated selectors come from the peer and were narrowed to the
// configuration; those of shunts are the operator's.

package host

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/route"
)

// pair is one local and one remote selector that belong together.
type pair struct{ local, remote ike.Selector }

// pairs are all that have one address family and one protocol.
func pairs(local, remote []ike.Selector) []pair {
	var list []pair
	for _, l := range local {
		for _, r := range remote {
			if l.From.BitLen() == r.From.BitLen() && (l.Proto == r.Proto || l.Proto == 0 || r.Proto == 0) {
				list = append(list, pair{l, r})
			}
		}
	}
	return list
}

// id names a pair: pairs with the same name are the same.
func (p pair) id() string { return selectorText(p.local) + " === " + selectorText(p.remote) }

func selectorText(s ike.Selector) string {
	text := s.From.String()
	if s.To != s.From {
		text += "-" + s.To.String()
	}
	if s.Proto != 0 || s.PortFrom != 0 || s.PortTo != 0xffff {
		text += fmt.Sprintf("[%d/%d-%d]", s.Proto, s.PortFrom, s.PortTo)
	}
	return text
}

func (p pair) policy(action firewall.Action) firewall.Policy {
	return firewall.Policy{ID: action.String() + " " + p.id(), Action: action, Local: filterSelector(p.local), Remote: filterSelector(p.remote)}
}

func filterSelector(s ike.Selector) firewall.Selector {
	return firewall.Selector{From: s.From, To: s.To, Proto: s.Proto, PortFrom: s.PortFrom, PortTo: s.PortTo}
}

// policies are the pairs as the packet filter knows them.
func policies(list []pair, action firewall.Action) []firewall.Policy {
	out := make([]firewall.Policy, len(list))
	for i, p := range list {
		out[i] = p.policy(action)
	}
	return out
}

const (
	// ruledPairs bounds the pairs of one child that have protocols or ports: each is two rules, which every packet of this host
	// meets, and the daemon has room for 2,048.
	ruledPairs = 256
	// routesOfChild bounds the routes of one child: the daemon has room for 65,536.
	routesOfChild = 1024
)

// checkSize refuses a child that would use up what the children of other peers need.
func checkSize(list []pair) error {
	if n := len(list) - len(wholeHosts(list)); n > ruledPairs {
		return fmt.Errorf("selectors: %d pairs with protocols or ports, at most %d", n, ruledPairs)
	}
	if n := len(destinations(list)); n > routesOfChild {
		return fmt.Errorf("selectors: %d routes, at most %d", n, routesOfChild)
	}
	return nil
}

// destinations are the remote sides of pairs as prefixes, each once.
func destinations(list []pair) []netip.Prefix {
	var out []netip.Prefix
	ranges, have := map[[2]netip.Addr]bool{}, map[netip.Prefix]bool{}
	for _, p := range list {
		r := [2]netip.Addr{p.remote.From, p.remote.To}
		if ranges[r] {
			continue // once for each local selector; a range of IPv6 can be 254 prefixes
		}
		ranges[r] = true
		for _, dst := range route.Prefixes(p.remote.From, p.remote.To) {
			if !have[dst] {
				have[dst] = true
				out = append(out, dst)
			}
		}
	}
	return out
}

// concrete replaces selectors for the host's own address, whichever it will be, by all addresses of both families.
func concrete(list []ike.Selector) []ike.Selector {
	var out []ike.Selector
	for _, s := range list {
		if !s.Dynamic {
			out = append(out, s)
			continue
		}
		for _, p := range []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")} {
			s.Dynamic, s.From, s.To = false, p.Addr(), route.Last(p)
			out = append(out, s)
		}
	}
	return out
}

func within(a netip.Addr, s ike.Selector) bool {
	return a.IsValid() && a.BitLen() == s.From.BitLen() && !a.Less(s.From) && !s.To.Less(a)
}

func anyAddress(s ike.Selector) bool {
	return s.From.IsUnspecified() && !s.To.Next().IsValid()
}

// sourceFor is the address that this host's own sockets take towards dst: a virtual address, else the outer address, else
// whichever of the host's lies within a local selector. Invalid: the system chooses.
func sourceFor(c *child, dst netip.Prefix) netip.Addr {
	var candidates []netip.Addr
	candidates = append(candidates, c.vips...)
	candidates = append(candidates, c.outer)
	for _, a := range candidates {
		if a.BitLen() == dst.Addr().BitLen() && slices.ContainsFunc(c.local, func(s ike.Selector) bool { return within(a, s) }) {
			return a
		}
	}
	for _, s := range c.local {
		if s.From.BitLen() != dst.Addr().BitLen() || anyAddress(s) {
			continue
		}
		if a, ok := route.SourceIn(s.From, s.To); ok {
			return a
		}
	}
	return netip.Addr{}
}

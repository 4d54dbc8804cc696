// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A set of prefixes with values, by which everything that may overlap a prefix is found without looking at the rest: a
// binary trie with compressed paths. Prefixes come from negotiated selectors; a step for each bit is the most that any of
// them costs, beside what is found.

package daemon

import (
	"net/netip"
	"slices"
)

// prefixes maps prefixes of one address family to values; several may have the same prefix. The zero value is empty.
type prefixes[T comparable] struct{ root *prefixNode[T] }

// prefixNode has values, or two children, or both.
type prefixNode[T comparable] struct {
	prefix netip.Prefix
	values []T
	child  [2]*prefixNode[T]
}

// holds reports whether p lies in the node's prefix.
func (n *prefixNode[T]) holds(p netip.Prefix) bool {
	return n.prefix.Bits() <= p.Bits() && n.prefix.Contains(p.Addr())
}

// bit is the bit of p that follows n bits.
func bit(p netip.Prefix, n int) int {
	b := p.Addr().As16()
	if p.Addr().Is4() {
		n += 96
	}
	return int(b[n/8] >> (7 - n%8) & 1)
}

// common is the longest prefix that holds both.
func common(a, b netip.Prefix) netip.Prefix {
	for bits := min(a.Bits(), b.Bits()); ; bits-- {
		if p := netip.PrefixFrom(a.Addr(), bits).Masked(); p.Contains(b.Addr()) {
			return p
		}
	}
}

// add notes a value under a masked prefix.
func (t *prefixes[T]) add(p netip.Prefix, v T) {
	at := &t.root
	for {
		n := *at
		switch {
		case n == nil:
			*at = &prefixNode[T]{prefix: p, values: []T{v}}
			return
		case n.prefix == p:
			n.values = append(n.values, v)
			return
		case n.holds(p):
			at = &n.child[bit(p, n.prefix.Bits())]
		default:
			above := &prefixNode[T]{prefix: common(n.prefix, p)}
			above.child[bit(n.prefix, above.prefix.Bits())] = n
			*at = above // p is now this node's own prefix or goes below it
		}
	}
}

// remove forgets a value.
func (t *prefixes[T]) remove(p netip.Prefix, v T) {
	path := []**prefixNode[T]{&t.root}
	for {
		at := path[len(path)-1]
		n := *at
		if n == nil || !n.holds(p) {
			return
		}
		if n.prefix == p {
			if i := slices.Index(n.values, v); i >= 0 {
				n.values = slices.Delete(n.values, i, i+1)
			}
			break
		}
		path = append(path, &n.child[bit(p, n.prefix.Bits())])
	}
	// A node without values and with less than two children is not needed, and then perhaps not the one above either.
	for _, at := range slices.Backward(path) {
		n := *at
		switch {
		case len(n.values) > 0 || n.child[0] != nil && n.child[1] != nil:
			return
		case n.child[0] != nil:
			*at = n.child[0]
		default:
			*at = n.child[1]
		}
	}
}

// overlapping calls f for every value whose prefix holds p or lies in it, until f returns false.
func (t *prefixes[T]) overlapping(p netip.Prefix, f func(T) bool) {
	n := t.root
	for n != nil && n.prefix != p && n.holds(p) {
		for _, v := range n.values {
			if !f(v) {
				return
			}
		}
		n = n.child[bit(p, n.prefix.Bits())]
	}
	if n != nil && p.Bits() <= n.prefix.Bits() && p.Contains(n.prefix.Addr()) {
		n.all(f)
	}
}

func (n *prefixNode[T]) all(f func(T) bool) bool {
	for _, v := range n.values {
		if !f(v) {
			return false
		}
	}
	for _, c := range n.child {
		if c != nil && !c.all(f) {
			return false
		}
	}
	return true
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SPD: RFC 4301, Section 4.4.1. One builder (under DB's lock) makes a new root for every change; readers load the root
// from an atomic pointer. The tables are persistent: a change copies the path to one prefix and that prefix's rules, never
// the whole. Packets are anybody's on the inner side; a lookup costs one walk per prefix that covers the remote address.

package sadb

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

const (
	// maxSelectors of one side: what a TS payload can hold (RFC 7296, Section 3.13).
	maxSelectors = 255
	// maxRules of one policy: selectors times prefixes. A range of IPv6 can need 254 prefixes.
	maxRules = 4096
	// maxPolicies bounds the SPD: 2^16 clients of a gateway with a few selectors each.
	maxPolicies = 1 << 18
)

// class is the order between policies of different origin.
type class uint8

const (
	classBypass class = iota
	classChild
	classTrap
	classDiscard
	classes
)

// policy is one entry as it was added.
type policy struct {
	id            PolicyID
	action        Action
	class         class
	bundle        *bundle // Protect
	local, remote []span
	rules         []placed
	refs          int // children that brought it
	name          string
}

// rule is one local and one remote selector of a policy under one remote prefix. Immutable.
type rule struct {
	p             *policy
	local, remote span
	bits          int // length of the prefix around the local range
}

// placed is where a rule stands.
type placed struct {
	prefix netip.Prefix
	r      *rule
}

// leaf is the rules of one prefix, in order. Immutable.
type leaf struct{ rules []*rule }

// root is the whole SPD at one time. Immutable but for what bart shares between generations.
type root struct {
	gen    uint64
	tables [classes]*bart.Table[*leaf]
	used   [classes]bool
}

func newRoot() *root {
	r := &root{gen: 1}
	for i := range r.tables {
		r.tables[i] = &bart.Table[*leaf]{}
	}
	return r
}

// build places a policy's rules.
func (p *policy) build() error {
	for i := range p.remote {
		remote := &p.remote[i]
		prefixes := remote.prefixes()
		for j := range p.local {
			local := &p.local[j]
			if local.v6 != remote.v6 || local.proto != 0 && remote.proto != 0 && local.proto != remote.proto {
				continue
			}
			r := &rule{p: p, local: *local, remote: *remote, bits: local.common()}
			for _, pfx := range prefixes {
				p.rules = append(p.rules, placed{pfx, r})
			}
			if len(p.rules) > maxRules {
				return ErrTooMany
			}
		}
	}
	if len(p.rules) == 0 {
		return ErrSelectors
	}
	return nil
}

// common is the length of the longest prefix around the range.
func (s *span) common() int {
	n, bits := 0, 32
	if s.v6 {
		bits = 128
	}
	for s.from.last(n) != s.to.last(n) {
		n++
	}
	return bits - n
}

// order: see Policy.
func (r *rule) order(o *rule) int {
	return cmp.Or(
		cmp.Compare(o.bits, r.bits),
		cmp.Compare(o.protoRank(), r.protoRank()),
		cmp.Compare(o.portRank(), r.portRank()),
		cmp.Compare(r.p.id, o.p.id),
	)
}

func (r *rule) protoRank() int { return int(min(r.local.proto|r.remote.proto, 1)) }

func (r *rule) portRank() int {
	n := 0
	if !r.local.anyPort() {
		n++
	}
	if !r.remote.anyPort() {
		n++
	}
	return n
}

// with returns a root that has p.
func (r *root) with(p *policy) *root {
	n := *r
	n.gen++
	t := n.tables[p.class]
	for _, pl := range p.rules {
		old, _ := t.Get(pl.prefix)
		l := &leaf{}
		if old != nil {
			l.rules = slices.Clone(old.rules)
		}
		at, _ := slices.BinarySearchFunc(l.rules, pl.r, (*rule).order)
		l.rules = slices.Insert(l.rules, at, pl.r)
		t = t.InsertPersist(pl.prefix, l)
	}
	n.tables[p.class], n.used[p.class] = t, true
	return &n
}

// without returns a root that has p no more.
func (r *root) without(p *policy) *root {
	n := *r
	n.gen++
	t := n.tables[p.class]
	for _, pl := range p.rules {
		old, ok := t.Get(pl.prefix)
		if !ok {
			continue
		}
		rules := slices.DeleteFunc(slices.Clone(old.rules), func(x *rule) bool { return x.p == p })
		if len(rules) == 0 {
			t = t.DeletePersist(pl.prefix)
		} else {
			t = t.InsertPersist(pl.prefix, &leaf{rules: rules})
		}
	}
	n.tables[p.class], n.used[p.class] = t, t.Size() > 0
	return &n
}

// Match is what the SPD says of a flow.
type Match struct {
	// Action is zero if no policy matches.
	Action Action
	// Hidden is set where a fragment without ports might have met a protecting or discarding policy that has ports
	// before the one that it met: it must not leave in clear then (RFC 4301, Section 7).
	Hidden bool
	bundle *bundle
}

// match finds the first policy of f. It allocates nothing.
func (r *root) match(f *Flow) Match {
	addr := f.Remote.Addr(f.V6)
	var m Match
	for c := range r.tables {
		if !r.used[c] {
			continue
		}
		pfx := netip.PrefixFrom(addr, addr.BitLen())
		for {
			at, l, ok := r.tables[c].LookupPrefixLPM(pfx)
			if !ok {
				break
			}
			if p := l.first(f, &m); p != nil {
				m.Action, m.bundle = p.action, p.bundle
				return m
			}
			if at.Bits() == 0 {
				break
			}
			pfx = netip.PrefixFrom(addr, at.Bits()-1).Masked()
		}
	}
	return m
}

func (l *leaf) first(f *Flow, m *Match) *policy {
	for _, r := range l.rules {
		local := r.local.local(f)
		if local == outside {
			continue
		}
		switch fit := min(local, r.remote.remote(f)); {
		case fit == inside:
			return r.p
		case fit == hidden && r.p.action != Bypass:
			m.Hidden = true
		}
	}
	return nil
}

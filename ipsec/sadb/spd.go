// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SPD: RFC 4301, Section 4.4.1. One builder (under DB's lock) makes a new root for every change; readers load the root
// from an atomic pointer. The tables are persistent: a change copies the path to one prefix and that prefix's rules, never
// the whole; the rules of single addresses have maps of their own. Packets are anybody's on the inner side; a lookup costs one walk per prefix that covers the remote address.

package sadb

import (
	"cmp"
	"net/netip"

	"github.com/gaissmai/bart"
)

const (
	// maxSelectors of one side: what a TS payload can hold (RFC 7296, Section 3.13).
	maxSelectors = 255
	// maxRules of one policy: selectors times prefixes. A range of IPv6 can need 254 prefixes.
	maxRules = 4096
	// maxPolicies bounds the SPD: what 2^18 clients of PF_KEY's need in three directions, and more than IKE's with a few selectors each.
	maxPolicies = 1 << 20
)

// class is the order between policies of different origin.
type class uint8

const (
	classBypass class = iota
	classChild
	classEntry // SPDEntries: Out
	classTrap
	classDiscard
	classOuts    // so many are for what is sent
	classIn      = classOuts
	classForward = classOuts + 1
	classes      = classOuts + 2
)

// byPriority: the policies of the class are in order of priority and age, not of prefixes.
func (c class) byPriority() bool { return c == classEntry || c >= classOuts }

// policy is one entry as it was added.
type policy struct {
	id       PolicyID
	action   Action
	class    class
	dir      Dir   // of an SPDEntry
	refs     int32 // children that brought it; of an SPDEntry, unanswered Acquires: under db.mu
	priority uint32
	bundle   *bundle // Protect
	db       *DB
	entry    *entry // of an SPDEntry
	lies     *road  // where its one rule is, for one address; nil: see parts
	parts    *parts // nil: see lies
	age      uint64
}

// parts is what a policy has that is not one rule for one address.
type parts struct {
	local, remote []span
	rules         []placed
}

// selectors are both sides'.
func (p *policy) selectors() (local, remote []span) {
	if d := p.lies; d != nil {
		return []span{d.rule.local}, []span{d.rule.remote}
	}
	return p.parts.local, p.parts.remote
}

// eachRule gives every rule with the prefix that it stands under.
func (p *policy) eachRule(f func(netip.Prefix, *rule)) {
	if d := p.lies; d != nil {
		addr := d.rule.remote.from.Addr(d.rule.remote.v6)
		f(netip.PrefixFrom(addr, addr.BitLen()), &d.rule)
		return
	}
	for _, pl := range p.parts.rules {
		f(pl.prefix, pl.r)
	}
}

// rule is one local and one remote selector of a policy under one remote prefix. Immutable.
type rule struct {
	local, remote span
	p             *policy
	bits          int // length of the prefix around the local range
}

// placed is where a rule stands.
type placed struct {
	prefix netip.Prefix
	r      *rule
}

// root is the whole SPD at one time. Immutable but for what bart shares between generations and for the rules of single
// addresses, which change just before the generation does.
type root struct {
	gen    uint64
	tables [classes]*bart.Table[*leaf]
	hosts  *hosts
	single [classes]int // rules of single addresses
	used   [classes]bool
}

func newRoot() *root {
	r := &root{gen: 1, hosts: newHosts()}
	for i := range r.tables {
		r.tables[i] = &bart.Table[*leaf]{}
	}
	return r
}

// build places a policy's rules.
func (p *policy) build() error {
	if p.lies != nil {
		return nil
	}
	d := p.parts
	for i := range d.remote {
		remote := &d.remote[i]
		prefixes := remote.prefixes()
		for j := range d.local {
			local := &d.local[j]
			if !local.meets(remote) {
				continue
			}
			r := &rule{p: p, local: *local, remote: *remote, bits: local.common()}
			for _, pfx := range prefixes {
				d.rules = append(d.rules, placed{pfx, r})
			}
			if len(d.rules) > maxRules {
				return ErrTooMany
			}
		}
	}
	if len(d.rules) == 0 {
		return ErrSelectors
	}
	return nil
}

// meets reports whether a packet can have both sides.
func (s *span) meets(remote *span) bool {
	return s.v6 == remote.v6 && (s.proto == 0 || remote.proto == 0 || s.proto == remote.proto)
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
	if r.p.class.byPriority() {
		return cmp.Or(cmp.Compare(r.p.priority, o.p.priority), cmp.Compare(r.p.age, o.p.age))
	}
	return cmp.Or(
		cmp.Compare(o.bits, r.bits),
		cmp.Compare(o.protoRank(), r.protoRank()),
		cmp.Compare(o.portRank(), r.portRank()),
		cmp.Compare(r.p.age, o.p.age),
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

// with returns a root that has p; instead, if not nil, has the same prefixes and goes. Each address has one or the other at
// any time.
func (r *root) with(p, instead *policy) *root {
	n := *r
	n.gen++
	p.eachRule(func(pfx netip.Prefix, r *rule) { n.edit(p.class, pfx, instead, r) })
	n.used[p.class] = true
	return &n
}

// without returns a root that has p no more.
func (r *root) without(p *policy) *root {
	n := *r
	n.gen++
	p.eachRule(func(pfx netip.Prefix, _ *rule) { n.edit(p.class, pfx, p, nil) })
	n.used[p.class] = n.single[p.class] > 0 || n.tables[p.class].Size() > 0
	return &n
}

// edit takes the rules of a policy out of a prefix, puts one in, or both.
func (r *root) edit(c class, pfx netip.Prefix, out *policy, in *rule) {
	one := pfx.IsSingleIP()
	k := hostKey{class: c, v6: pfx.Addr().Is6(), addr: ipOf(pfx.Addr())}
	var old *leaf
	if one {
		old = r.hosts.at(k)
	} else {
		old, _ = r.tables[c].Get(pfx)
	}
	l := old.edited(out, in)
	switch {
	case one:
		var fresh *host
		if in != nil && in.p.lies != nil {
			fresh = &in.p.lies.host
		}
		r.hosts.set(k, l, fresh)
		r.single[c] += l.len() - old.len()
	case l != nil:
		r.tables[c] = r.tables[c].InsertPersist(pfx, l)
	case old != nil:
		r.tables[c] = r.tables[c].DeletePersist(pfx)
	}
}

// Match is what the SPD says of a flow.
type Match struct {
	// Action is zero if no policy matches.
	Action Action
	// Hidden is set where a fragment without ports might have met a protecting or discarding policy that has ports
	// before the one that it met: it must not leave in clear then (RFC 4301, Section 7).
	Hidden bool
	bundle *bundle
	policy *policy // an SPDEntry that protects
	child  *policy // what a child brought
}

// match finds the first policy of a flow that is sent. It allocates nothing.
func (r *root) match(f *Flow) (m Match) {
	for c := class(0); c < classOuts; c++ {
		if !r.used[c] {
			continue
		}
		if c == classChild {
			if b := r.road(f); b != nil {
				hidden := m.Hidden
				m = b.match()
				m.Hidden = hidden
				return m
			}
		}
		p, hidden := r.first(c, f)
		m.Hidden = m.Hidden || hidden
		if p == nil {
			continue
		}
		m.Action, m.bundle = p.action, p.bundle
		switch {
		case c == classChild:
			m.child = p
		case p.entry != nil && p.action == Protect:
			m.policy = p
		}
		return m
	}
	return m
}

// match is what the SPD says of a flow on a bundle's road.
func (b *bundle) match() Match { return Match{Action: Protect, bundle: b, child: &b.road.policy} }

// road is the bundle on whose road a flow is; nil: there may be more to look at. What it says first would say, with less of the
// memory.
func (r *root) road(f *Flow) *bundle {
	if r.single[classChild] == 0 {
		return nil
	}
	k := hostKey{class: classChild, v6: f.V6, addr: f.Remote}
	x := r.hosts.find(&k)
	if x == nil || x.near == nil {
		return nil
	}
	if d := &x.near.road; x.leaf.Load() != &d.leaf || !x.whole && d.rule.local.local(f) != inside {
		return nil
	}
	return x.near
}

// first finds the first policy of a class; hidden: there is one in front of it that a fragment's ports might have met,
// and that does not bypass.
func (r *root) first(c class, f *Flow) (p *policy, hidden bool) {
	var found, veiled *rule
	if r.single[c] > 0 {
		found, veiled = r.hosts.at(hostKey{class: c, v6: f.V6, addr: f.Remote}).first(f)
	}
	if found == nil || c.byPriority() { // the longest prefix goes first
		found, veiled = r.shorter(c, f, found, veiled)
	}
	if found == nil {
		return nil, veiled != nil
	}
	return found.p, veiled != nil && (!c.byPriority() || veiled.order(found) < 0)
}

// shorter goes on with the prefixes around the remote address.
func (r *root) shorter(c class, f *Flow, found, veiled *rule) (*rule, *rule) {
	addr := f.Remote.Addr(f.V6)
	pfx := netip.PrefixFrom(addr, addr.BitLen())
	for {
		at, l, ok := r.tables[c].LookupPrefixLPM(pfx)
		if !ok {
			break
		}
		got, veil := l.first(f)
		found, veiled = earlier(found, got), earlier(veiled, veil)
		if at.Bits() == 0 || found != nil && !c.byPriority() {
			break
		}
		pfx = netip.PrefixFrom(addr, at.Bits()-1).Masked()
	}
	return found, veiled
}

// earlier is the one of two rules of a class by priority that goes first; either may be nil.
func earlier(a, b *rule) *rule {
	if a == nil || b != nil && b.order(a) < 0 {
		return b
	}
	return a
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the table holds, as it is written to the kernel.

package firewall

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

const (
	// elementsAtOnce bounds the elements of one message: their attribute's length has 16 bits.
	elementsAtOnce = 256
	// commentLimit is what fits a rule's user data.
	commentLimit = 100
)

// set is the remote addresses of one scope, as they stand in the kernel.
type set struct {
	number int
	spans  []span
}

func (s *set) name() string { return fmt.Sprintf("remote-%d", s.number) }

// hasSets reports whether the kernel has a set for each of these scopes, and no other.
func (t *Table) hasSets(scopes map[scope][]span) bool {
	if len(scopes) != len(t.sets) {
		return false
	}
	for k := range scopes {
		if t.sets[k] == nil {
			return false
		}
	}
	return true
}

func (t *Table) nft() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
}

func (t *Table) nftSet(k scope, s *set) *nftables.Set {
	kind := nftables.TypeIPAddr
	if k.from.Is6() {
		kind = nftables.TypeIP6Addr
	}
	// The number within the transaction only has to differ from that of the other sets.
	return &nftables.Set{Table: t.nft(), ID: uint32(s.number), Name: s.name(), KeyType: kind, Interval: true}
}

// elements are the two ends of each range, as an interval set keeps them.
func elements(list []span) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, 2*len(list))
	for _, s := range list {
		out = append(out, nftables.SetElement{Key: s.from.AsSlice()})
		if end := s.to.Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// update changes elements alone, in one transaction.
func (t *Table) update(scopes map[scope][]span) error {
	c, err := dial()
	if err != nil {
		return err
	}
	for k, spans := range scopes {
		s := t.sets[k]
		ns := t.nftSet(k, s)
		for part := range slices.Chunk(elements(without(s.spans, spans)), elementsAtOnce) {
			if err := c.SetDeleteElements(ns, part); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(elements(without(spans, s.spans)), elementsAtOnce) {
			if err := c.SetAddElements(ns, part); err != nil {
				return err
			}
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	for k, spans := range scopes {
		t.sets[k].spans = spans
	}
	return nil
}

// rebuild replaces the whole table in one transaction. The caller holds mu, or is alone.
func (t *Table) rebuild() error {
	c, err := dial()
	if err != nil {
		return err
	}
	rules, scopes := arrange(t.policies)
	b := &builder{t: t, c: c, table: t.nft(), sets: map[scope]*set{}}
	c.AddTable(b.table)
	c.DelTable(b.table)
	c.AddTable(b.table)
	if t.validMark {
		c.AddChain(&nftables.Chain{Table: b.table, Name: validMarkChain})
	}
	for _, k := range slices.SortedFunc(maps.Keys(scopes), scope.compare) {
		if err := b.addSet(k, scopes[k]); err != nil {
			return err
		}
	}
	b.mark(rules)
	b.reroute(rules)
	b.judge(true, rules)
	b.judge(false, rules)
	if err := c.Flush(); err != nil {
		return err
	}
	t.sets = b.sets
	return nil
}

// builder writes one table.
type builder struct {
	t     *Table
	c     *nftables.Conn
	table *nftables.Table
	sets  map[scope]*set
}

func (b *builder) addSet(k scope, spans []span) error {
	b.t.nextSet++
	s := &set{number: b.t.nextSet, spans: spans}
	ns := b.t.nftSet(k, s)
	if err := b.c.AddSet(ns, nil); err != nil {
		return err
	}
	for part := range slices.Chunk(elements(spans), elementsAtOnce) {
		if err := b.c.SetAddElements(ns, part); err != nil {
			return err
		}
	}
	b.sets[k] = s
	return nil
}

func (b *builder) add(chain *nftables.Chain, comment string, exprs []expr.Any) {
	comment = comment[:min(len(comment), commentLimit)]
	b.c.AddRule(&nftables.Rule{Table: b.table, Chain: chain, Exprs: exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, comment)})
}

func (b *builder) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	return b.c.AddChain(&nftables.Chain{Table: b.table, Name: name, Type: kind, Hooknum: hook, Priority: priority})
}

// mark marks the peer's datagrams, which are addressed to this host, before the reverse-path check and the choice of a
// route, and likewise what a pass policy lets through in either direction.
func (b *builder) mark(rules []Policy) {
	o := b.t.opts
	if o.Mark == 0 {
		return
	}
	chain := b.chain("mark", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle)
	set := rule(setMark(o.Mark, o.MarkMask), accept())
	b.add(chain, "judged by the engine", rule(onDevice(o.Device, true), accept()))
	for _, port := range b.t.ports {
		b.add(chain, "to the daemon", rule(toThisHost(), udpPort(port), set))
		for _, v6 := range []bool{false, true} {
			b.add(chain, "about what the daemon sent", rule(toThisHost(), icmpAbout(v6, unix.IPPROTO_UDP), icmpPort(v6, port), set))
		}
	}
	for _, proto := range []byte{unix.IPPROTO_ESP, unix.IPPROTO_AH} {
		b.add(chain, "to the daemon", rule(toThisHost(), protocol(proto), set))
	}
	for _, v6 := range []bool{false, true} {
		for _, proto := range []byte{unix.IPPROTO_ESP, unix.IPPROTO_AH} {
			b.add(chain, "about what the daemon sent", rule(toThisHost(), icmpAbout(v6, proto), set))
		}
		for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_ESP, unix.IPPROTO_AH} { // no others: what the engine opened is reassembled with them
			b.add(chain, "fragments, of which the first is judged", rule(toThisHost(), protocol(proto), laterFragment(v6), set))
		}
	}
	for _, p := range rules {
		if p.Action == Bypass {
			b.add(chain, p.ID, rule(match(p.Remote, p.Local), set))
			b.add(chain, p.ID, rule(match(p.Local, p.Remote), set))
		}
	}
}

// reroute takes this host's own packets that a pass policy names out of the tunnel's routes.
func (b *builder) reroute(rules []Policy) {
	o := b.t.opts
	if o.Mark == 0 || !slices.ContainsFunc(rules, func(p Policy) bool { return p.Action == Bypass }) {
		return
	}
	chain := b.chain("reroute", nftables.ChainTypeRoute, nftables.ChainHookOutput, nftables.ChainPriorityMangle)
	b.add(chain, "the daemons' own", rule(marked(o.Mark, o.MarkMask), accept()))
	for _, p := range rules {
		if p.Action == Bypass {
			b.add(chain, p.ID, rule(match(p.Local, p.Remote), setMark(o.Mark, o.MarkMask), accept()))
		}
	}
}

// judge drops what should have come, or should go, through the tunnel. "in" sees packets after the destination was
// translated and "out" before the source is, so both see the addresses that selectors are about.
func (b *builder) judge(input bool, rules []Policy) {
	o := b.t.opts
	name, hook := "out", nftables.ChainHookPostrouting
	if input {
		name, hook = "in", nftables.ChainHookPrerouting
	}
	chain := b.chain(name, nftables.ChainTypeFilter, hook, nftables.ChainPriorityFilter)
	for _, device := range []string{o.Device, "lo"} {
		b.add(chain, "judged by the engine", rule(onDevice(device, input), accept()))
	}
	if o.Mark != 0 {
		b.add(chain, "the daemons' own", rule(marked(o.Mark, o.MarkMask), accept()))
	}
	b.add(chain, "neighbour discovery", rule(neighbourDiscovery(), accept()))
	for _, p := range slices.Concat(only(rules, true), only(rules, false)) {
		src, dst := p.Local, p.Remote
		if input {
			src, dst = p.Remote, p.Local
		}
		verdict := drop()
		if p.Action == Bypass {
			verdict = accept()
		}
		b.add(chain, p.ID, rule(match(src, dst), verdict))
	}
	for _, k := range slices.SortedFunc(maps.Keys(b.sets), scope.compare) {
		b.add(chain, fmt.Sprintf("protect %s-%s", k.from, k.to), b.protect(input, k))
	}
}

func only(rules []Policy, bypass bool) []Policy {
	return slices.DeleteFunc(slices.Clone(rules), func(p Policy) bool { return (p.Action == Bypass) != bypass })
}

// protect drops what goes between the local addresses of a scope and its remote ones.
func (b *builder) protect(input bool, k scope) []expr.Any {
	local := Selector{From: k.from, To: k.to}
	h := headerOf(local)
	localAt, remoteAt := h.src, h.dst
	if input {
		localAt, remoteAt = h.dst, h.src
	}
	s := b.sets[k]
	lookup := []expr.Any{load(remoteAt, h.length), &expr.Lookup{SourceRegister: 1, SetName: s.name(), SetID: uint32(s.number)}}
	return rule(family(h.family), address(localAt, h.length, local), lookup, drop())
}

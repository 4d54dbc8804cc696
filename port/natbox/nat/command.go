// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a NAT is told to do to its users: forget, rebind, impair. Called by tests and by the demo, never by packets.

package nat

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Forget drops every mapping, as a NAT does that restarts, and returns how many. The next packet from inside gets
// another external port; packets from outside to the old one are dropped with NoMapping.
func (b *Box) Forget() int {
	n := len(b.inside)
	for _, m := range b.inside {
		b.remove(m)
		b.spend(m.external)
	}
	return n
}

// Rebind gives every mapping another external endpoint at once, on addr or, if it is not valid, on the present address:
// the users' packets come from elsewhere from now on, and the old endpoint is gone.
func (b *Box) Rebind(addr netip.Addr) error {
	if addr.IsValid() {
		addr = addr.Unmap()
		i := slices.IndexFunc(b.cfg.External, func(a netip.Addr) bool { return a.Is4() == addr.Is4() })
		if i < 0 {
			return errors.New("external address: of a family that the NAT does not have")
		}
		b.cfg.External[i] = addr
	}
	for _, m := range b.sorted() {
		delete(b.outside, m.external)
		b.spend(m.external)
		e, ok := b.allocate(m.flow.inside)
		if !ok {
			delete(b.inside, m.flow)
			continue
		}
		m.external = e
		b.outside[e] = m
	}
	return nil
}

// maxSpent bounds the endpoints that are remembered as used up.
const maxSpent = 16384

func (b *Box) spend(e netip.AddrPort) {
	if len(b.spent) >= maxSpent {
		clear(b.spent)
	}
	b.spent[e] = true
}

// Exclude is for a caller that could not bind e: its mapping goes and e is not given again.
func (b *Box) Exclude(e netip.AddrPort) {
	if m := b.outside[e]; m != nil {
		b.remove(m)
	}
	b.spend(e)
}

// SetLink replaces a direction's impairments.
func (b *Box) SetLink(dir Direction, l Link) error {
	if err := l.check(); err != nil {
		return err
	}
	if dir == Out {
		b.cfg.Out = l
	} else {
		b.cfg.In = l
	}
	return nil
}

// Counters returns the totals of a direction.
func (b *Box) Counters(dir Direction) Counters { return b.counters[dir&1] }

// Mappings returns the mappings that are alive at now, ordered by their inside endpoint.
func (b *Box) Mappings(now time.Time) []Mapping {
	var list []Mapping
	for _, m := range b.sorted() {
		if now.Before(m.expires) {
			list = append(list, Mapping{Inside: m.flow.inside, External: m.external, Expires: m.expires})
		}
	}
	return list
}

// sorted gives an order to what a map has none for, so that the same seed gives the same ports.
func (b *Box) sorted() []*mapping {
	list := make([]*mapping, 0, len(b.inside))
	for _, m := range b.inside {
		list = append(list, m)
	}
	slices.SortFunc(list, func(x, y *mapping) int {
		if c := x.flow.inside.Compare(y.flow.inside); c != 0 {
			return c
		}
		return x.flow.remote.Compare(y.flow.remote)
	})
	return list
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The pools of a daemon by name: loading, leasing over several pools, and what `swanctl --list-pools` shows.

package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/natterjack/natterjack/ike"
)

const (
	maxDNS   = 8  // addresses of one answer
	maxAttrs = 32 // other attributes of one answer
)

// Set is all pools. It is not safe for concurrent use.
type Set struct{ pools map[string]*pool }

// New makes an empty set.
func New() *Set { return &Set{pools: map[string]*pool{}} }

// Load adds a pool, or replaces the one of the same name. Leases stay where the addresses are the same; other addresses
// are refused while the old ones are used.
func (s *Set) Load(conf ike.Pool) error {
	p, err := newPool(conf)
	if err != nil {
		return fmt.Errorf("pool %q: %w", conf.Name, err)
	}
	if old := s.pools[conf.Name]; old != nil {
		if old.from == p.from && old.to == p.to {
			old.conf = conf
			return nil
		}
		if n := old.online(); n > 0 {
			return fmt.Errorf("pool %q: %d addresses are used, its range cannot be changed", conf.Name, n)
		}
	}
	s.pools[conf.Name] = p
	return nil
}

// Unload removes a pool that nobody uses.
func (s *Set) Unload(name string) error {
	p := s.pools[name]
	switch {
	case p == nil:
		return fmt.Errorf("pool %q: not found", name)
	case p.online() > 0:
		return fmt.Errorf("pool %q: %d addresses are used", name, p.online())
	}
	delete(s.pools, name)
	return nil
}

// Lease leases an address of each family that is wanted, as far as the named pools have one, and fails when they have
// none at all. An unspecified address asks for any of its family. Of addresses that the identity had before, one of those
// is leased again.
func (s *Set) Lease(names []string, id ike.ID, wanted []netip.Addr) (ike.Leased, error) {
	var out ike.Leased
	pools := s.named(names)
	for _, w := range wanted {
		w = w.Unmap()
		again := func(a netip.Addr) bool { return a.BitLen() == w.BitLen() }
		if !w.IsValid() || slices.ContainsFunc(out.Addrs, again) {
			continue
		}
		if a, ok := lease1(pools, id, w); ok {
			out.Addrs = append(out.Addrs, a)
		}
	}
	if len(out.Addrs) == 0 {
		return ike.Leased{}, fmt.Errorf("no address is free in %s", describe(names))
	}
	for _, p := range pools {
		for _, a := range p.conf.DNS {
			if len(out.DNS) < maxDNS && !slices.Contains(out.DNS, a) {
				out.DNS = append(out.DNS, a)
			}
		}
		out.Attrs = append(out.Attrs, p.conf.Attrs[:min(len(p.conf.Attrs), maxAttrs-len(out.Attrs))]...)
	}
	return out, nil
}

// lease1 leases one address.
func lease1(pools []*pool, id ike.ID, want netip.Addr) (netip.Addr, bool) {
	steps := [...]func(p *pool) (netip.Addr, bool){
		func(p *pool) (netip.Addr, bool) { return p.wish(id, want) },
		func(p *pool) (netip.Addr, bool) { return p.remembered(id) },
		func(p *pool) (netip.Addr, bool) { return p.fresh(id) },
		func(p *pool) (netip.Addr, bool) { return p.reclaimed(id) },
	}
	for _, step := range steps {
		for _, p := range pools {
			if p.from.BitLen() != want.BitLen() {
				continue
			}
			if a, ok := step(p); ok {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// Release gives addresses back. What the identity does not use is ignored.
func (s *Set) Release(names []string, id ike.ID, addrs []netip.Addr) {
	for _, a := range addrs {
		for _, p := range s.named(names) {
			if p.release(id, a.Unmap()) {
				break
			}
		}
	}
}

func (s *Set) named(names []string) []*pool {
	var pools []*pool
	for _, name := range names {
		if p := s.pools[name]; p != nil && !slices.Contains(pools, p) {
			pools = append(pools, p)
		}
	}
	return pools
}

func describe(names []string) string {
	if len(names) == 0 {
		return "pools: the connection has none"
	}
	return "pools " + strings.Join(names, ", ")
}

// Status is one pool as `swanctl --list-pools` shows it.
type Status struct {
	Name                  string
	Base                  netip.Addr
	Size, Online, Offline int
	Leases                []Lease // by address
}

// Lease is one lease.
type Lease struct {
	Addr     netip.Addr
	Identity ike.ID
	Online   bool
}

// Status lists all pools by name, with their leases when they are asked for.
func (s *Set) Status(leases bool) []Status {
	list := make([]Status, 0, len(s.pools))
	for name, p := range s.pools {
		st := Status{Name: name, Base: p.from, Size: p.size, Online: p.online(), Offline: p.offline.Len()}
		if p.conf.Prefix.IsValid() {
			st.Base = p.conf.Prefix.Masked().Addr()
		}
		if leases {
			for _, l := range p.leases {
				st.Leases = append(st.Leases, Lease{Addr: l.addr, Identity: l.id, Online: l.uses > 0})
			}
			slices.SortFunc(st.Leases, func(a, b Lease) int { return a.Addr.Compare(b.Addr) })
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One pool: a range of addresses of one family. What was never leased comes first, in order, then the addresses that
// have been unused for the longest time.

package pool

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"

	"github.com/natterjack/natterjack/ike"
)

// maxLeases bounds the leases of one pool, used or remembered: at about 200 octets each, 13 MiB.
const maxLeases = 1 << 16

// maxSize is the largest size that is told.
const maxSize = math.MaxInt32

// lease is one address and whose it is.
type lease struct {
	addr    netip.Addr
	id      ike.ID
	uses    int           // SAs that use it; 0: it is only remembered
	offline *list.Element // in the pool's list; nil while used
}

// owner is an identity as a map key.
type owner string

func ownerOf(id ike.ID) owner { return owner(byte(id.Type)) + owner(id.Data) }

// pool is one range. from and to are the first and the last address that may be leased.
type pool struct {
	conf     ike.Pool
	from, to netip.Addr
	size     int
	next     netip.Addr // no address from here on was ever leased in order; invalid: all were
	leases   map[netip.Addr]*lease
	owned    map[owner][]*lease
	offline  *list.List // of *lease, longest unused first
}

// newPool checks and takes a configured pool.
func newPool(conf ike.Pool) (*pool, error) {
	from, to := conf.From.Unmap(), conf.To.Unmap()
	if conf.Prefix.IsValid() {
		from, to = usable(conf.Prefix.Masked())
	}
	if !from.IsValid() || !to.IsValid() || from.BitLen() != to.BitLen() || from.Zone() != "" || to.Zone() != "" {
		return nil, errors.New("addrs: expected a prefix or a range of one family")
	}
	if to.Less(from) {
		return nil, fmt.Errorf("addrs: %s is after %s", from, to)
	}
	return &pool{
		conf: conf, from: from, to: to, size: count(from, to), next: from,
		leases: map[netip.Addr]*lease{}, owned: map[owner][]*lease{}, offline: list.New(),
	}, nil
}

// usable is a prefix without its first and last address, which mean the network and all its hosts; a prefix of one or two
// addresses is used whole.
func usable(p netip.Prefix) (from, to netip.Addr) {
	from = p.Addr().Unmap()
	b := from.AsSlice()
	host := from.BitLen() - p.Bits()
	for i := range b {
		if low := host - 8*(len(b)-1-i); low > 0 {
			b[i] |= byte(1<<min(low, 8) - 1)
		}
	}
	to, _ = netip.AddrFromSlice(b)
	if host >= 2 {
		from, to = from.Next(), to.Prev()
	}
	return from, to
}

// count is the number of addresses from from to to, at most maxSize.
func count(from, to netip.Addr) int {
	a, b := from.As16(), to.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(a[:]), borrow)
	if high != 0 || low >= maxSize {
		return maxSize
	}
	return int(low) + 1
}

func (p *pool) contains(a netip.Addr) bool {
	return a.BitLen() == p.from.BitLen() && !a.Less(p.from) && !p.to.Less(a)
}

// wish leases a certain address: when it is the identity's already (a client that comes back before its old SA is gone
// keeps its address), or nobody's.
func (p *pool) wish(id ike.ID, a netip.Addr) (netip.Addr, bool) {
	if !p.contains(a) {
		return netip.Addr{}, false
	}
	if l := p.leases[a]; l != nil {
		return a, ownerOf(l.id) == ownerOf(id) && p.use(l)
	}
	return a, p.room() && p.add(id, a)
}

// remembered leases again an address that the identity had and does not use now.
func (p *pool) remembered(id ike.ID) (netip.Addr, bool) {
	for _, l := range p.owned[ownerOf(id)] {
		if l.uses == 0 {
			return l.addr, p.use(l)
		}
	}
	return netip.Addr{}, false
}

// fresh leases the first address that was never leased.
func (p *pool) fresh(id ike.ID) (netip.Addr, bool) {
	for p.next.IsValid() && p.leases[p.next] != nil {
		p.advance()
	}
	if !p.next.IsValid() || !p.room() {
		return netip.Addr{}, false
	}
	a := p.next
	p.advance()
	return a, p.add(id, a)
}

func (p *pool) advance() {
	if p.next == p.to {
		p.next = netip.Addr{}
		return
	}
	p.next = p.next.Next()
}

// reclaimed takes the address that has been unused for the longest time from its identity.
func (p *pool) reclaimed(id ike.ID) (netip.Addr, bool) {
	front := p.offline.Front()
	if front == nil {
		return netip.Addr{}, false
	}
	l := front.Value.(*lease)
	p.forget(l)
	return l.addr, p.add(id, l.addr)
}

func (p *pool) room() bool { return len(p.leases) < maxLeases }

func (p *pool) add(id ike.ID, a netip.Addr) bool {
	l := &lease{addr: a, id: ike.ID{Type: id.Type, Data: append([]byte(nil), id.Data...)}, uses: 1}
	p.leases[a] = l
	p.owned[ownerOf(id)] = append(p.owned[ownerOf(id)], l)
	return true
}

func (p *pool) use(l *lease) bool {
	if l.offline != nil {
		p.offline.Remove(l.offline)
		l.offline = nil
	}
	l.uses++
	return true
}

// release ends one use. What is not the identity's, or not used, does not change.
func (p *pool) release(id ike.ID, a netip.Addr) bool {
	l := p.leases[a]
	if l == nil || l.uses == 0 || ownerOf(l.id) != ownerOf(id) {
		return false
	}
	if l.uses--; l.uses == 0 {
		l.offline = p.offline.PushBack(l)
	}
	return true
}

// forget drops a lease that is not used.
func (p *pool) forget(l *lease) {
	p.offline.Remove(l.offline)
	delete(p.leases, l.addr)
	o := ownerOf(l.id)
	for i, have := range p.owned[o] {
		if have == l {
			p.owned[o] = append(p.owned[o][:i], p.owned[o][i+1:]...)
			break
		}
	}
	if len(p.owned[o]) == 0 {
		delete(p.owned, o)
	}
}

func (p *pool) online() int { return len(p.leases) - p.offline.Len() }

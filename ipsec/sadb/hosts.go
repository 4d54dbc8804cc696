// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The rules of single addresses: what a gateway has one of for every client. They are in a hash table, so that one client more costs
// the same among a hundred thousand; a table of prefixes would copy the neighbours. Addresses in packets are anybody's, those in the
// table the operator's or leased by him.

package sadb

import (
	"hash/maphash"
	"sync/atomic"
)

// hostKey is one remote address in a class.
type hostKey struct {
	addr  IP
	v6    bool
	class class
}

// host is the rules of an address.
type host struct {
	key  hostKey
	leaf atomic.Pointer[leaf]
	next atomic.Pointer[host]
	// near is whose road it is in; nil: in none. whole: that road's local selector is every address of its family, with any protocol and
	// port. Immutable while it can be found.
	near  *bundle
	whole bool
}

func (x *host) link() *atomic.Pointer[host] { return &x.next }

// hosts is the table of them.
type hosts struct {
	table[host, *host]
	factors [5]uint64 // of the hash; immutable
}

func newHosts() *hosts {
	h := &hosts{}
	for i := range h.factors {
		h.factors[i] = factor(maphash.MakeSeed())
	}
	h.init(func(x *host) uint64 { return h.hashOf(&x.key) })
	return h
}

// factor is a number that nobody knows.
func factor(seed maphash.Seed) uint64 { return maphash.Bytes(seed, nil) }

// hashOf spreads keys. A peer may have a say in the addresses of policies, by the selectors that he proposes: the upper half of a sum
// of products with numbers that nobody knows is alike for two addresses of his choice no more often than by chance.
func (h *hosts) hashOf(k *hostKey) uint64 {
	const low = 1<<32 - 1
	f := &h.factors
	return (k.addr.Lo&low*f[0] + k.addr.Lo>>32*f[1] + k.addr.Hi&low*f[2] + k.addr.Hi>>32*f[3] + uint64(k.class)*f[4]) >> 32
}

func (h *hosts) bucket(k *hostKey) *atomic.Pointer[host] { return h.chain(h.hashOf(k)) }

// find follows the chain of a key.
func (h *hosts) find(k *hostKey) *host {
	x := h.bucket(k).Load()
	for x != nil && x.key != *k {
		x = x.next.Load()
	}
	return x
}

// at is the rules of an address; nil: it has none.
func (h *hosts) at(k hostKey) *leaf {
	epoch := h.epoch.Load()
	x := h.find(&k)
	if x == nil && h.grew(epoch) {
		h.mu.Lock()
		defer h.mu.Unlock()
		x = h.find(&k)
	}
	if x == nil {
		return nil
	}
	return x.leaf.Load()
}

// set replaces the rules of an address; nil takes them away. fresh, if not nil, is memory for an address that is new. Under
// db.mu.
func (h *hosts) set(k hostKey, l *leaf, fresh *host) {
	x := h.find(&k)
	switch {
	case x != nil && l != nil:
		x.leaf.Store(l)
	case x != nil:
		h.remove(x)
	case l != nil:
		if fresh == nil {
			fresh = &host{}
		}
		fresh.key = k
		fresh.leaf.Store(l)
		h.insert(fresh)
	}
}

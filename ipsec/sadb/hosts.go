// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The rules of single addresses: what a gateway has one of for every client. They are in a hash table, so that one client more costs
// the same among a hundred thousand; a table of prefixes would copy the neighbours. Readers take no lock: a packet's look-up
// is loads alone, which a processor does for many packets at once (see Warm). Addresses in packets are anybody's, those in the
// table the operator's or leased by him.

package sadb

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// hostKey is one remote address in a class.
type hostKey struct {
	addr  IP
	v6    bool
	class class
}

// host is the rules of an address. It is put into the table once and never again after it was taken out.
type host struct {
	key  hostKey
	leaf atomic.Pointer[leaf]
	next atomic.Pointer[host]
	near *bundle // whose road it is in; nil: in none. Immutable while it can be found
}

const (
	firstHosts = 64
	// spare is how many chains there are for an address, so that most chains have one: each further one is another piece of memory.
	spare = 2
)

// hosts is a table of chains. Changes are under db.mu and mu.
type hosts struct {
	epoch   atomic.Uint32 // odd while the table grows
	buckets atomic.Pointer[[]atomic.Pointer[host]]
	factors [5]uint64  // of the hash; immutable
	mu      sync.Mutex // held while the table grows
	n       int
}

func newHosts() *hosts {
	h := &hosts{}
	seed := maphash.MakeSeed()
	for i := range h.factors {
		h.factors[i] = maphash.Bytes(seed, []byte{byte(i)})
	}
	b := make([]atomic.Pointer[host], firstHosts)
	h.buckets.Store(&b)
	return h
}

// hash spreads keys. A peer may have a say in the addresses of policies, by the selectors that he proposes: the upper half of a sum of
// products with numbers that nobody knows is alike for two addresses of his choice no more often than by chance.
func (h *hosts) hash(k *hostKey) uint64 {
	const low = 1<<32 - 1
	f := &h.factors
	return (k.addr.Lo&low*f[0] + k.addr.Lo>>32*f[1] + k.addr.Hi&low*f[2] + k.addr.Hi>>32*f[3] + uint64(k.class)*f[4]) >> 32
}

func (h *hosts) bucket(k *hostKey) *atomic.Pointer[host] {
	b := *h.buckets.Load()
	return &b[h.hash(k)&uint64(len(b)-1)]
}

// find follows the chain of a key.
func (h *hosts) find(k *hostKey) *host {
	x := h.bucket(k).Load()
	for x != nil && x.key != *k {
		x = x.next.Load()
	}
	return x
}

// at is the rules of an address; nil: it has none. While the table grows a chain may seem to end too soon: then the answer
// waits until it has grown.
func (h *hosts) at(k hostKey) *leaf {
	epoch := h.epoch.Load()
	x := h.find(&k)
	if x == nil && (epoch&1 != 0 || h.epoch.Load() != epoch) {
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
		h.insert(fresh, k, l)
	}
}

func (h *hosts) insert(x *host, k hostKey, l *leaf) {
	if h.n++; spare*h.n > len(*h.buckets.Load()) {
		h.grow()
	}
	x.key = k
	x.leaf.Store(l)
	b := h.bucket(&k)
	x.next.Store(b.Load())
	b.Store(x)
}

// remove takes an address out; a reader that stands on it goes on to what was behind it.
func (h *hosts) remove(x *host) {
	h.n--
	at := h.bucket(&x.key)
	for at.Load() != x {
		at = &at.Load().next
	}
	at.Store(x.next.Load())
}

// grow doubles the table. Its addresses change chains one by one, never in a circle.
func (h *hosts) grow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch.Add(1)
	old := *h.buckets.Load()
	b := make([]atomic.Pointer[host], 2*len(old))
	for i := range old {
		for x := old[i].Load(); x != nil; {
			next := x.next.Load()
			to := &b[h.hash(&x.key)&uint64(len(b)-1)]
			x.next.Store(to.Load())
			to.Store(x)
			x = next
		}
	}
	h.buckets.Store(&b)
	h.epoch.Add(1)
}

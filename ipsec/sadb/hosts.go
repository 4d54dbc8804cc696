// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The rules of single addresses: what a gateway has one of for every client. They are in maps, in shards with a lock each, so that
// one client more costs the same among a hundred thousand; a table of prefixes would copy the neighbours. Addresses in packets
// are anybody's: each costs one look-up.

package sadb

import "sync"

// hostKey is one remote address in a class.
type hostKey struct {
	addr  IP
	v6    bool
	class class
}

// hostShard is the rules of some addresses.
type hostShard struct {
	mu     sync.RWMutex // protects leaves; changed under db.mu too
	leaves map[hostKey]*leaf
	_      [32]byte // a shard to a cache line
}

// hosts is the rules of single addresses, and how many classes have any.
type hosts struct {
	shards [shards]hostShard
}

func newHosts() *hosts {
	h := &hosts{}
	for i := range h.shards {
		h.shards[i].leaves = map[hostKey]*leaf{}
	}
	return h
}

func (h *hosts) shard(k *hostKey) *hostShard {
	x := k.addr.Lo ^ k.addr.Hi*31 ^ uint64(k.class)<<56
	return &h.shards[x*0x9e3779b97f4a7c15>>58]
}

// at is the rules of an address; nil: it has none.
func (h *hosts) at(k hostKey) *leaf {
	s := h.shard(&k)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.leaves[k]
}

// set replaces the rules of an address; nil takes them away. Under db.mu.
func (h *hosts) set(k hostKey, l *leaf) {
	s := h.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == nil {
		delete(s.leaves, k)
	} else {
		s.leaves[k] = l
	}
}

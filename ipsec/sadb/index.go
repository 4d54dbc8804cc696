// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Indexes of what has a key of its own: a map from a hash of the key to who has it, where the next with the same hash is linked to. Keys
// of 90 octets would take the map as much memory as a whole policy takes. Keys are chosen by clients and peers; the hash is one that
// nobody knows, and two keys with the same hash cost one comparison more.

package sadb

import (
	"hash/maphash"
	"net/netip"
)

// chained is a pointer to what has a key and is linked to the next with the same hash.
type chained[K comparable, P any] interface {
	comparable
	indexed() K
	same() *P
}

// index finds by key. It is under the lock of who has it.
type index[K comparable, P chained[K, P]] map[uint64]P

// find finds who has a key with the hash h; nil: nobody.
func (x index[K, P]) find(h uint64, k K) P {
	var none P
	p := x[h]
	for p != none && p.indexed() != k {
		p = *p.same()
	}
	return p
}

// put has p found, whose key has the hash h and is nobody else's.
func (x index[K, P]) put(h uint64, p P) {
	*p.same() = x[h]
	x[h] = p
}

// drop takes out p, which is in it.
func (x index[K, P]) drop(h uint64, p P) {
	var none P
	next := *p.same()
	*p.same() = none
	switch at := x[h]; {
	case at == p && next == none:
		delete(x, h)
	case at == p:
		x[h] = next
	default:
		for *at.same() != p {
			at = *at.same()
		}
		*at.same() = next
	}
}

// hashOf is the hash of a key without pointers.
func hashOf[K comparable](seed maphash.Seed, k K) uint64 { return maphash.Comparable(seed, k) }

// hashOfEnd is that of an address and port; netip's have a pointer.
func hashOfEnd(seed maphash.Seed, a netip.AddrPort) uint64 {
	type end struct {
		IP
		port uint16
	}
	return hashOf(seed, end{ipOf(a.Addr()), a.Port()})
}

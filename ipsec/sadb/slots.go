// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where pairs are found: a table by the low bits of the inbound SPI, which this host drew itself so that no two share them. It
// grows with the pairs; readers load it from an atomic pointer. SPIs in packets are anybody's: each costs one load.

package sadb

import (
	"io"
	"sync"
	"sync/atomic"
)

// slots is the table at one size. Its size is a power of two.
type slots struct {
	pairs []atomic.Pointer[Pair]
	mask  uint32
}

func newSlots(n int) *slots {
	return &slots{pairs: make([]atomic.Pointer[Pair], n), mask: uint32(n - 1)}
}

func (t *slots) index(spi uint32) uint32 { return spi & t.mask }

func (t *slots) at(spi uint32) *atomic.Pointer[Pair] { return &t.pairs[spi&t.mask] }

// slotFree makes sure that a quarter of the slots is free, so that a draw succeeds soon. Under db.mu. SPIs that differ in
// their low bits go on doing so in a larger table. A reader that still has the old one misses what was installed since,
// as if it had come earlier.
func (db *DB) slotFree() bool {
	t := db.slots.Load()
	if db.live+len(db.larval) < len(t.pairs)/4*3 {
		return true
	}
	if len(t.pairs) >= db.maxSlots {
		return false
	}
	n := newSlots(2 * len(t.pairs))
	for i := range t.pairs {
		if p := t.pairs[i].Load(); p != nil {
			n.at(p.spiIn).Store(p)
		}
	}
	larval := make(map[uint32]*larval, len(db.larval))
	for _, l := range db.larval {
		larval[n.index(l.spi)] = l
	}
	db.larval = larval
	db.slots.Store(n)
	return true
}

// lockedReader is a source of randomness that may be read with any lock held.
type lockedReader struct {
	mu sync.Mutex // the innermost
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

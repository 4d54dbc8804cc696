// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The hash table that packets look things up in: of chains, which grows. Readers take no lock: a look-up is loads alone, which a
// processor does for many packets at once (see Warm). What stands in it has another's choice of keys, so that its hash must be one that
// nobody knows.

package sadb

import (
	"sync"
	"sync/atomic"
)

const (
	firstChains = 64
	// spare is how many chains there are for a member, so that most chains have one: each further one is another piece of memory.
	spare = 2
)

// member stands in a table, once: it is never put in again after it was taken out, since a reader may stand on it still.
type member[E any] interface {
	*E
	link() *atomic.Pointer[E] // the next in its chain
}

// table is the chains. Changes are under db.mu.
type table[E any, P member[E]] struct {
	epoch  atomic.Uint32 // odd while the table grows
	chains atomic.Pointer[[]atomic.Pointer[E]]
	hash   func(*E) uint64 // immutable
	mu     sync.Mutex      // held while the table grows; inside it no other lock is taken
	n      int
}

func (t *table[E, P]) init(hash func(*E) uint64) {
	t.hash = hash
	c := make([]atomic.Pointer[E], firstChains)
	t.chains.Store(&c)
}

// chain is the chain of a hash.
func (t *table[E, P]) chain(h uint64) *atomic.Pointer[E] {
	c := *t.chains.Load()
	return &c[h&uint64(len(c)-1)]
}

// grew reports whether a look-up that found nothing, and began when the epoch was that one, may have met a chain that seemed to end too
// soon: then it is done again with mu held.
func (t *table[E, P]) grew(epoch uint32) bool { return epoch&1 != 0 || t.epoch.Load() != epoch }

// insert has a member found.
func (t *table[E, P]) insert(x P) {
	if t.n++; spare*t.n > len(*t.chains.Load()) {
		t.grow()
	}
	c := t.chain(t.hash(x))
	x.link().Store(c.Load())
	c.Store(x)
}

// remove takes a member out; a reader that stands on it goes on to what was behind it.
func (t *table[E, P]) remove(x P) {
	t.n--
	at := t.chain(t.hash(x))
	for P(at.Load()) != x {
		at = P(at.Load()).link()
	}
	at.Store(x.link().Load())
}

// grow doubles the table. Its members change chains one by one, never in a circle.
func (t *table[E, P]) grow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch.Add(1)
	old := *t.chains.Load()
	c := make([]atomic.Pointer[E], 2*len(old))
	for i := range old {
		for x := P(old[i].Load()); x != nil; {
			next := x.link().Load()
			to := &c[t.hash(x)&uint64(len(c)-1)]
			x.link().Store(to.Load())
			to.Store(x)
			x = next
		}
	}
	t.chains.Store(&c)
	t.epoch.Add(1)
}

// each gives all members. What comes or goes meanwhile may be among them; nobody is held up but one that comes and has the table grow.
func (t *table[E, P]) each(f func(P)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := *t.chains.Load()
	for i := range c {
		for x := P(c[i].Load()); x != nil; x = x.link().Load() {
			f(x)
		}
	}
}

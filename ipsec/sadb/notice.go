// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Notices: what the data plane saw and the daemon must know. Each SA and each bundle has one set of pending bits and stands
// in the queue at most once, so that the queue is as long as there are SAs, nothing is lost, and no packet allocates.

package sadb

import "slices"

// The bits of a notifier.
const (
	noteFirst = 1 << iota
	noteMapping
	noteSoft
	noteHard
	noteAcquire
)

// notifier is the pending notices of one pair or bundle. Under db.noteMu.
type notifier struct {
	bits   uint32
	queued bool
	core   *core
	bundle *bundle
}

// post adds a bit. It may be called with any lock of a pair or bundle held.
func (db *DB) post(n *notifier, bit uint32) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	n.bits |= bit
	if !n.queued {
		n.queued = true
		db.queue = append(db.queue, n)
	}
	db.pending.Store(true)
}

// room makes sure that post does not allocate with one more notifier. Under db.mu.
func (db *DB) room(more int) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	db.notifiers += more
	if need := db.notifiers - len(db.queue); need > 0 {
		db.queue = slices.Grow(db.queue, need)
	}
}

// Pending reports, at the price of one atomic load, whether Notices has something. Ask after every batch and after
// every other call.
func (db *DB) Pending() bool { return db.pending.Load() }

// Notices moves pending notices into dst and returns how many. No notice is ever lost: those of one kind and SA are
// one until they are fetched. Notices of a pair that was removed are not told.
func (db *DB) Notices(dst []Notice) int {
	n := 0
	for n < len(dst) {
		who, bit := db.take()
		if who == nil {
			break
		}
		if db.notice(who, bit, &dst[n]) {
			n++
		}
	}
	return n
}

// take removes one pending bit, the oldest notifier first.
func (db *DB) take() (*notifier, uint32) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	if len(db.larvalGone) > 0 {
		return &notifier{}, 0
	}
	for len(db.queue) > 0 {
		who := db.queue[0]
		if who.bits != 0 {
			bit := who.bits & -who.bits
			who.bits &^= bit
			return who, bit
		}
		who.queued = false
		copy(db.queue, db.queue[1:]) // the capacity must stay
		db.queue[len(db.queue)-1] = nil
		db.queue = db.queue[:len(db.queue)-1]
	}
	db.pending.Store(false)
	return nil, 0
}

// notice makes the notice of one bit; false: there is nothing to tell after all.
func (db *DB) notice(who *notifier, bit uint32, n *Notice) bool {
	if bit == 0 {
		return db.larvalNotice(n)
	}
	if who.bundle != nil {
		return who.bundle.acquireNotice(n)
	}
	c := who.core
	if c.state.Load()&(stateOutClosed|stateInClosed) == stateOutClosed|stateInClosed {
		return false
	}
	p := c.pair
	*n = Notice{Reqid: p.reqid, SPIIn: p.spiIn}
	switch bit {
	case noteFirst:
		n.Kind = FirstUse
	case noteMapping:
		return p.mappingNotice(n)
	case noteSoft:
		n.Kind = Expire
	case noteHard:
		n.Kind, n.Hard = Expire, true
	}
	return true
}

func (db *DB) larvalNotice(n *Notice) bool {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	if len(db.larvalGone) == 0 {
		return false
	}
	*n = db.larvalGone[0]
	db.larvalGone = db.larvalGone[1:]
	return true
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Notices: what the data plane saw and the daemon must know. Each SA, bundle, policy and Acquire has one set of pending bits
// and stands in the queue at most once, so that the queue is as long as there are of these, nothing is lost, and no packet
// allocates.

package sadb

// The bits of a notifier.
const (
	noteFirst = 1 << iota
	noteMapping
	noteSoft
	noteHard
	noteAcquire
)

// notifier is the pending notices of one teller. Under db.noteMu.
type notifier struct {
	bits   uint32
	queued bool
	who    teller
}

// teller makes the notice of one bit; false: there is nothing to tell after all. It is called without locks.
type teller interface {
	tell(bit uint32, n *Notice) bool
}

// noteQueue is a ring with room for every notifier there is.
type noteQueue struct {
	ring    []*notifier // a power of two
	first   int
	n       int
	members int
}

const firstRing = 64

// fit makes the ring large enough for need, and smaller where it is eight times too large.
func (q *noteQueue) fit(need int) {
	size := max(len(q.ring), firstRing)
	for size < need {
		size *= 2
	}
	for size > firstRing && size >= 8*need {
		size /= 2
	}
	if size == len(q.ring) {
		return
	}
	ring := make([]*notifier, size)
	for i := range q.n {
		ring[i] = q.ring[(q.first+i)&(len(q.ring)-1)]
	}
	q.ring, q.first = ring, 0
}

func (q *noteQueue) push(n *notifier) {
	if q.n == len(q.ring) { // some that are gone still stand in it
		q.fit(q.n + 1)
	}
	q.ring[(q.first+q.n)&(len(q.ring)-1)] = n
	q.n++
}

func (q *noteQueue) pop() {
	q.ring[q.first] = nil
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.n--
}

// post adds a bit. It may be called with any lock held but noteMu.
func (db *DB) post(n *notifier, bit uint32) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	n.bits |= bit
	if !n.queued {
		n.queued = true
		db.queue.push(n)
	}
	db.pending.Store(true)
}

// room makes sure that post does not allocate with that many notifiers more or, negative, less.
func (db *DB) room(more int) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	db.queue.members += more
	db.queue.fit(max(db.queue.members, db.queue.n))
}

// tellLater queues a notice that is made already.
func (db *DB) tellLater(n Notice) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	db.gone = append(db.gone, n)
	db.pending.Store(true)
}

// Pending reports, at the price of one atomic load, whether Notices has something. Ask after every batch and after
// every other call.
func (db *DB) Pending() bool { return db.pending.Load() }

// Notices moves pending notices into dst and returns how many. No notice is ever lost: those of one kind and SA are
// one until they are fetched. Notices of an SA that was removed are not told. What follows from a notice for single SAs
// (the end at a hard limit, another endpoint) is done here.
func (db *DB) Notices(dst []Notice) int {
	n := 0
	for n < len(dst) {
		who, bit, ok := db.take(&dst[n])
		if !ok {
			break
		}
		if who == nil || who.tell(bit, &dst[n]) {
			n++
		}
	}
	return n
}

// take removes one pending bit, the oldest notifier first, or fills n with what is made already.
func (db *DB) take(n *Notice) (who teller, bit uint32, ok bool) {
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	if len(db.gone) > 0 {
		*n = db.gone[0]
		db.gone = db.gone[1:]
		return nil, 0, true
	}
	for db.queue.n > 0 {
		q := db.queue.ring[db.queue.first]
		if q.bits != 0 {
			bit := q.bits & -q.bits
			q.bits &^= bit
			return q.who, bit, true
		}
		q.queued = false
		db.queue.pop()
	}
	db.pending.Store(false)
	return nil, 0, false
}

func (c *core) tell(bit uint32, n *Notice) bool {
	if c.state.Load()&(stateOutClosed|stateInClosed) == stateOutClosed|stateInClosed {
		return false
	}
	if c.single != nil {
		return c.single.tell(bit, n)
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

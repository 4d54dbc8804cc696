// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What time alone brings about: one heap of timers under DB's lock. Instants are nanoseconds since the DB was made, by the
// monotonic clock: a host whose clock is set back keeps its lifetimes.

package sadb

import (
	"container/heap"
	"math"
	"time"
)

const never = math.MaxInt64

// timer is one entry of the heap.
type timer struct {
	at    int64
	index int // in the heap plus one; 0: not in it
	who   timed
}

// timed is what a timer calls, with db.mu held.
type timed interface{ due(now int64) }

// timers implements heap.Interface.
type timers []*timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*h) + 1
	*h = append(*h, t)
}
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}

func (h *timers) start(t *timer, at int64, who timed) {
	h.stop(t)
	if at == never {
		return
	}
	t.at, t.who = at, who
	heap.Push(h, t)
}

func (h *timers) stop(t *timer) {
	if t != nil && t.index > 0 {
		heap.Remove(h, t.index-1)
	}
}

// Clock is the instant as the data plane and the counters keep it; never zero.
func (db *DB) Clock(now time.Time) int64 { return max(int64(now.Sub(db.base)), 0) + 1 }

// instant is the inverse of Clock; zero for zero.
func (db *DB) instant(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return db.base.Add(time.Duration(at - 1))
}

// after is an instant later by d; never for zero.
func after(now int64, d time.Duration) int64 {
	if d <= 0 || int64(d) > never-now {
		return never
	}
	return now + int64(d)
}

// due ends an SA, or tells of its soft limit, and waits for what is next.
func (c *core) due(now int64) {
	switch {
	case c.over(now):
		c.end()
		return
	case now >= c.lim.softAt || c.usedFor(now) >= c.lim.softUse:
		c.tellSoft()
	}
	c.schedule(now)
}

// schedule starts the timer for the next limit in time. Under db.mu.
func (c *core) schedule(now int64) {
	next := c.lim.hardAt
	used := c.usedAt.Load()
	if used != 0 {
		next = min(next, after(used, time.Duration(c.lim.hardUse)))
	}
	if !c.softTold.Load() {
		next = min(next, c.lim.softAt)
		if used != 0 {
			next = min(next, after(used, time.Duration(c.lim.softUse)))
		}
	}
	if c.timer == nil {
		if next == never {
			return
		}
		c.timer = &timer{}
	}
	c.db.timers.start(c.timer, max(next, now), c)
}

// Tick does what time alone brings about: lifetimes, reservations, held packets. Call it at Deadline.
func (db *DB) Tick(now time.Time) {
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	db.seen = max(db.seen, at)
	for len(db.timers) > 0 && db.timers[0].at <= at {
		t := heap.Pop(&db.timers).(*timer)
		t.who.due(at)
	}
	db.forgetRetired(at)
}

// Deadline is when Tick has something to do next; zero: nothing is scheduled. It may come nearer with every call of
// Reserve, Install and with every Acquire.
func (db *DB) Deadline() time.Time {
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.timers) == 0 {
		return time.Time{}
	}
	return db.instant(db.timers[0].at)
}

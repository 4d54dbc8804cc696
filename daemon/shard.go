// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A shard: one goroutine that owns a part of the IKE machines, their deadlines and their mux. Everything about an IKE SA
// happens here, in one call stack per message; what crosses to other goroutines are values (inputs in, actions out).

package daemon

import (
	"container/heap"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/mux"
)

// entry is a machine with what the shell keeps about it. Owned by its shard.
type entry struct {
	m        ike.Machine
	unique   uint64
	conn     *ike.Connection            // nil: not chosen yet
	began    bool                       // this host began it
	remote   netip.AddrPort             // where it last sent to
	spis     map[uint64]struct{}        // claimed local IKE SPIs
	asks     map[ike.Token]struct{}     // outstanding questions; an answer to any other is dropped
	leases   map[netip.Addr]ike.Unlease // what its peer has of the pools, one address each
	requests map[uint64]struct{}        // commands that somebody waits for
	finished []ike.Event                // EventCommandDone of the list that is being performed
	finals   map[uint32]ike.Usage       // by inbound SPI: counts of pairs that were removed
	failed   *ike.Event                 // the last EventFailed
	down     *ike.Event                 // EventIKEDown
	deadline time.Time
	index    int // in the heap; -1: not scheduled
	closed   bool
}

// ready is an answer that is already known.
type ready struct {
	e     *entry
	token ike.Token
	a     ike.Answer
	lease ike.Lease // the question of a Leased
}

// shard owns machines. All fields but q and wakeups are touched by its goroutine only.
type shard struct {
	d     *Daemon
	index int
	q     *queue
	mux   *mux.Mux

	byUnique map[uint64]*entry
	bySPI    map[uint64]*entry
	due      deadlines
	ready    []ready
	drops    [numDrops]dropClass
	done     chan struct{}
}

func newShard(d *Daemon, index int, m *mux.Mux) *shard {
	return &shard{
		d: d, index: index, q: newQueue(), mux: m,
		byUnique: map[uint64]*entry{}, bySPI: map[uint64]*entry{}, done: make(chan struct{}),
	}
}

// run is the shard's goroutine. It ends when ctx does; Daemon.Close has terminated the machines before.
func (s *shard) run(ctx context.Context) {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []input
	for {
		items := s.q.take(spare)
		for i := range items {
			s.handle(&items[i])
			items[i] = input{}
		}
		spare = items
		s.fire(time.Now())
		if wait := s.untilNext(time.Now()); wait > 0 {
			timer.Reset(wait)
		} else {
			continue
		}
		select {
		case <-ctx.Done():
			// What the peers did not let go in time goes without them.
			for _, e := range s.entries() {
				s.drop(e)
			}
			return
		case <-s.q.wake:
		case <-timer.C:
		}
	}
}

// untilNext is how long the shard may wait; at least a moment when something is due at once.
func (s *shard) untilNext(now time.Time) time.Duration {
	const idle = time.Minute
	next := idle
	if len(s.due) > 0 {
		next = min(next, s.due[0].deadline.Sub(now))
	}
	if at := s.mux.Deadline(); !at.IsZero() {
		next = min(next, at.Sub(now))
	}
	return next
}

// fire ticks every machine whose deadline has passed.
func (s *shard) fire(now time.Time) {
	for len(s.due) > 0 && !s.due[0].deadline.After(now) {
		e := s.due[0]
		// A machine that does not move its deadline on would spin the shard: it is asked at most once a pass.
		before := e.deadline
		s.step(e, func() []ike.Action { return e.m.Tick(now) })
		if !e.closed && e.index >= 0 && !e.deadline.After(before) && !e.deadline.After(now) {
			e.deadline = now.Add(tickFloor)
			heap.Fix(&s.due, e.index)
		}
	}
	if at := s.mux.Deadline(); !at.IsZero() && !at.After(now) {
		s.mux.Tick(now)
	}
}

// tickFloor is the shortest pause between two ticks of a machine that asks for one at once again.
const tickFloor = 10 * time.Millisecond

func (s *shard) handle(in *input) {
	switch {
	case in.datagram != nil:
		s.receive(in.at, *in.datagram)
	case in.call != nil:
		in.call(s)
	case in.answer != nil:
		if e := s.byUnique[in.unique]; e != nil {
			if _, ok := e.asks[in.token]; ok {
				delete(e.asks, in.token)
				s.step(e, func() []ike.Action { return e.m.Answer(time.Now(), in.token, in.answer) })
			}
		}
	case in.notice != nil && in.unique == 0:
		for _, e := range s.entries() {
			s.notify(e, in.notice)
		}
	case in.notice != nil:
		if e := s.byUnique[in.unique]; e != nil {
			s.notify(e, in.notice)
		}
	case in.command != nil:
		s.order(in.unique, in.command)
	}
}

func (s *shard) notify(e *entry, n ike.Notice) {
	s.step(e, func() []ike.Action { return e.m.Notice(time.Now(), n) })
}

// entries is a copy: a step may close its entry.
func (s *shard) entries() []*entry {
	list := make([]*entry, 0, len(s.byUnique))
	for _, e := range s.byUnique {
		list = append(list, e)
	}
	return list
}

// add takes over a newborn machine.
func (s *shard) add(unique uint64, conn *ike.Connection, began bool, m ike.Machine) *entry {
	e := &entry{
		m: m, unique: unique, conn: conn, began: began, index: -1,
		spis: map[uint64]struct{}{}, asks: map[ike.Token]struct{}{}, requests: map[uint64]struct{}{},
	}
	s.byUnique[unique] = e
	if began {
		s.d.begun.Add(1)
	}
	return e
}

// step runs one method of a machine and performs what it wants, including every answer that is known at once.
func (s *shard) step(e *entry, f func() []ike.Action) {
	if e.closed {
		return
	}
	s.perform(e, s.guard(e, f))
	for len(s.ready) > 0 {
		r := s.ready[0]
		s.ready = s.ready[1:]
		if _, ok := r.e.asks[r.token]; !ok || r.e.closed {
			if leased, ok := r.a.(ike.Leased); ok {
				// The machine ended before it heard of its addresses: they go back.
				s.d.pools.release(ike.Unlease{Pools: r.lease.Pools, Identity: r.lease.Identity, Addrs: leased.Addrs})
			}
			continue
		}
		delete(r.e.asks, r.token)
		if leased, ok := r.a.(ike.Leased); ok {
			r.e.hold(r.lease, leased)
		}
		s.perform(r.e, s.guard(r.e, func() []ike.Action { return r.e.m.Answer(time.Now(), r.token, r.a) }))
		s.schedule(r.e)
	}
	s.ready = nil
	s.schedule(e)
}

// guard keeps a defect in one machine from taking the others along: the machine is dropped with all it had.
func (s *shard) guard(e *entry, f func() []ike.Action) (actions []ike.Action) {
	defer func() {
		if p := recover(); p != nil {
			s.d.counters.panics.Add(1)
			s.d.log.Error("an IKE machine failed and was dropped; please report this",
				"ike_sa", e.unique, "connection", e.name(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			actions = []ike.Action{
				ike.Report{Event: ike.Event{Kind: ike.EventIKEDown, Unique: e.unique, Connection: e.name(),
					Reason: ike.CloseInternal, Detail: "internal failure"}},
				ike.Close{Reason: ike.CloseInternal},
			}
		}
	}()
	return f()
}

// schedule puts the machine's deadline into the heap.
func (s *shard) schedule(e *entry) {
	if e.closed {
		return
	}
	at := e.m.Deadline()
	e.deadline = at
	switch {
	case at.IsZero() && e.index >= 0:
		heap.Remove(&s.due, e.index)
	case at.IsZero():
	case e.index >= 0:
		heap.Fix(&s.due, e.index)
	default:
		heap.Push(&s.due, e)
	}
}

// hold notes addresses, so that they go back whatever becomes of the machine.
func (e *entry) hold(q ike.Lease, leased ike.Leased) {
	if e.leases == nil {
		e.leases = map[netip.Addr]ike.Unlease{}
	}
	for _, a := range leased.Addrs {
		e.leases[a] = ike.Unlease{Pools: q.Pools, Identity: q.Identity, Addrs: []netip.Addr{a}}
	}
}

// name is that of the connection, empty while there is none.
func (e *entry) name() string {
	if e.conn == nil {
		return ""
	}
	return e.conn.Name
}

// drop forgets a machine after its Close, and takes back whatever it still had: of a machine that failed, everything.
func (s *shard) drop(e *entry) {
	e.closed = true
	if e.index >= 0 {
		heap.Remove(&s.due, e.index)
	}
	clear(e.asks)
	for spi := range e.spis {
		if s.bySPI[spi] == e {
			delete(s.bySPI, spi)
		}
	}
	delete(s.byUnique, e.unique)
	s.mux.Closed(e.unique)
	s.d.kernel.RemoveAll(e.unique)
	for _, lease := range e.leases {
		s.d.pools.release(lease)
	}
	s.d.client.gone(e.unique)
	s.d.disown(e.unique)
	if e.began {
		s.d.begun.Add(-1)
	}
	s.settle(e)
	for n := range e.requests {
		s.d.requests.resolve(n, outcome{done: goneOutcome(n).done, failed: e.failed, down: e.down})
	}
	if e.began && e.down != nil && !s.d.closing.Load() {
		s.d.starter.lost(s.d.connections.byName(e.name()), e.down.Reason)
	}
}

// deadlines is a heap of entries by deadline.
type deadlines []*entry

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *deadlines) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *deadlines) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A bundle is what a reqid names: the pairs that serve the same policies, of which one sends, and the packets that wait
// while there is none.

package sadb

import (
	"sync"
	"sync/atomic"
)

// bundle is the pairs of one reqid.
type bundle struct {
	db    *DB
	reqid uint32
	refs  int32 // pairs, reservations and policies: under db.mu

	mu        sync.Mutex // protects what follows; db.noteMu may be taken inside
	pairs     []*Pair    // whose outbound half lives, in order of installation
	acquiring bool
	again     bool  // what waits is to look for its policy once more
	held      *held // nil: nothing was ever held

	sending atomic.Pointer[Pair] // a packet touches this and the beginning of the road
	road    road
}

// held is the packets that wait for a child, and the flow of the one that asked.
type held struct {
	flow    Flow
	waiting waiting
	note    notifier
	timer   timer // of the Acquire: under db.mu
}

// road is a policy of one rule for one remote address, with all that it has in the SPD: what a road warrior has. That of a child lies
// with its bundle if its remote selector is the whole address: among a hundred thousand clients a packet finds both in one piece of
// memory, and where the address has no other rule (root.road) it needs no more of it than the host, the local selector and who sends.
// It is used once in the life of a bundle.
type road struct {
	host   host
	rule   rule
	leaf   leaf
	policy policy
}

// policyOf makes the policy of a child. Under db.mu.
func (b *bundle) policyOf(local, remote []span) *policy {
	var q *policy
	if b.road.host.near == nil && len(local) == 1 && len(remote) == 1 && remote[0].from == remote[0].to && remote[0].all() && local[0].v6 == remote[0].v6 {
		b.road.host.near, b.road.host.whole = b, local[0].whole()
		q = b.road.take(&local[0], &remote[0])
	} else {
		q = &policy{parts: &parts{local: local, remote: remote}}
	}
	q.action, q.class, q.bundle, q.refs = Protect, classChild, b, 1
	return q
}

// take makes the road's policy: of selectors that meet, the remote one of one address.
func (d *road) take(local, remote *span) *policy {
	d.rule = rule{p: &d.policy, local: *local, remote: *remote, bits: local.common()}
	d.leaf.one = &d.rule
	d.policy.lies = d
	return &d.policy
}

// join adds a pair; it sends from now on unless it is standby and another sends.
func (b *bundle) join(p *Pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pairs = append(b.pairs, p)
	if cur := b.sending.Load(); !p.standby || cur == nil || cur.state.Load() != 0 {
		b.sending.Store(p)
	}
	b.acquiring = false
}

// promote has p send from now on.
func (b *bundle) promote(p *Pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.state.Load()&(stateDead|stateOutClosed) == 0 {
		b.sending.Store(p)
	}
}

// ended lets another pair send if p did and there is one. A pair at a hard limit without a successor stays in place: its
// traffic is dropped and counted, it is not a reason for an Acquire.
func (b *bundle) ended(p *Pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending.Load() != p {
		return
	}
	if next := b.newest(p); next != nil {
		b.sending.Store(next)
	}
}

func (b *bundle) newest(not *Pair) *Pair {
	for i := len(b.pairs) - 1; i >= 0; i-- {
		if p := b.pairs[i]; p != not && p.state.Load()&(stateDead|stateOutClosed) == 0 {
			return p
		}
	}
	return nil
}

// part takes a pair out whose outbound half is closed.
func (b *bundle) part(p *Pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, q := range b.pairs {
		if q == p {
			b.pairs = append(b.pairs[:i:i], b.pairs[i+1:]...)
			break
		}
	}
	if b.sending.Load() == p {
		next := b.newest(p)
		if next == nil && len(b.pairs) > 0 {
			next = b.pairs[len(b.pairs)-1] // at its end, but it keeps the traffic from asking for another
		}
		b.sending.Store(next)
	}
}

// hold copies a packet that has no SA, and asks for one. If there is one after all it says so and keeps nothing.
func (b *bundle) hold(now int64, f *Flow, pkt []byte) (held Held, dropped int) {
	if len(pkt) > maxHeldOctets {
		return Refused, 0
	}
	held, dropped, ask := b.keep(f, pkt)
	if ask {
		b.db.acquiring(now, b)
	}
	return held, dropped
}

func (b *bundle) keep(f *Flow, pkt []byte) (got Held, dropped int, ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending.Load() != nil {
		return Ready, 0, false
	}
	if b.held == nil {
		b.held = &held{}
		b.held.note.who = b
	}
	dropped = b.held.waiting.keep(pkt)
	b.db.list(b, &b.held.waiting)
	if b.acquiring {
		return Kept, dropped, false
	}
	b.acquiring, b.held.flow = true, *f
	b.db.post(&b.held.note, noteAcquire)
	return Kept, dropped, true
}

// due: the Acquire was not answered in time.
func (b *bundle) due(int64) { b.drop() }

// drop lets go of what is held and returns how many packets that were.
func (b *bundle) drop() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acquiring = false
	if b.held == nil {
		return 0
	}
	n := b.held.waiting.clear()
	b.db.heldDropped.Add(uint64(n))
	return n
}

func (b *bundle) release(buf []byte, most int, f func(pkt []byte)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &b.held.waiting // who is listed has held something
	if len(w.lens) > 0 && b.sending.Load() == nil && !b.again {
		return
	}
	if w.move(buf, most, f) {
		b.again = false
		b.db.unlist(b, w)
	}
}

// Held is what became of a packet given to Hold.
type Held uint8

const (
	// Refused: it is too large to be held.
	Refused Held = iota
	// Kept: a copy waits for Release.
	Kept
	// Ready: an SA has come meanwhile; ask Sending again.
	Ready
)

func (b *bundle) tell(_ uint32, n *Notice) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.acquiring || b.sending.Load() != nil {
		return false
	}
	*n = Notice{Kind: Acquire, Reqid: b.reqid, Packet: b.held.flow.Tuple()}
	return true
}

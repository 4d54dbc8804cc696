// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Acquires of SPDEntries (RFC 2367, Section 3.1.6): a template without an SA asks its key daemon for one, once, and the packets
// that met it wait. Packets are anybody's on the inner side: one flow asks once in 30 s, what waits is bounded, and so is the
// number of those who wait (HOSTILE T-063).

package sadb

import (
	"sync"
)

const (
	// maxTraps bounds the Acquires that are not answered; each may hold maxHeldOctets.
	maxTraps = 256
	// maxPolicyTraps are those of one policy, which a host that scans its addresses can use up: some are left for the others.
	maxPolicyTraps = maxTraps / 4 * 3
)

// trapKey is who waits: a policy, for an SA to one address.
type trapKey struct {
	p   *policy
	dst IP
}

// trap is an unanswered Acquire.
type trap struct {
	db    *DB
	key   trapKey
	seq   uint32
	tmpl  Template // with its addresses
	note  notifier
	timer timer // under db.mu

	mu      sync.Mutex // protects the rest; locks of sets, and noteMu, may be taken inside
	flow    Flow
	over    bool // answered, failed or too old: no longer in db.traps
	waiting waiting
}

// hold copies a packet that lacks a required SA, and asks for it. If there is one after all it says so and keeps nothing.
func (p *policy) hold(now int64, f *Flow, pkt []byte) (held Held, dropped int) {
	if len(pkt) > maxHeldOctets {
		return Refused, 0
	}
	db := p.db
	db.mu.Lock()
	defer db.mu.Unlock()
	var b Bundle
	var l lack
	if p.resolve(f, &b, &l, whose{}) != Missing {
		return Ready, 0
	}
	t := db.trapOf(now, p, f, &l)
	if t == nil {
		return Refused, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	dropped = t.waiting.keep(pkt)
	db.list(t, &t.waiting)
	return Kept, dropped
}

// ask is for a template that is not required: the packet goes without, and the daemon is asked all the same, once in 30 s.
func (p *policy) ask(now int64, f *Flow, l *lack) {
	asked := &p.entry.life.askedAt
	at := asked.Load()
	if at != 0 && now-at < acquireLife || !asked.CompareAndSwap(at, now) {
		return
	}
	p.db.mu.Lock()
	defer p.db.mu.Unlock()
	p.db.trapOf(now, p, f, l)
}

// trapOf finds the Acquire of a policy and an address, or begins one; nil: there are too many, or the policy is gone.
// Under db.mu.
func (db *DB) trapOf(now int64, p *policy, f *Flow, l *lack) *trap {
	k := trapKey{p, l.dst}
	if t := db.traps[k]; t != nil {
		return t
	}
	if len(db.traps) >= maxTraps || p.refs >= maxPolicyTraps || db.policies[p.id] != p {
		return nil
	}
	p.refs++
	if db.asked++; db.asked == 0 {
		db.asked = 1
	}
	t := &trap{db: db, key: k, seq: db.asked, tmpl: p.entry.templates[l.at].Template, flow: *f}
	t.tmpl.Src, t.tmpl.Dst = l.src.Addr(l.v6), l.dst.Addr(l.v6)
	t.note.who = t
	db.traps[k] = t
	db.room(1)
	db.timers.start(&t.timer, now+acquireLife, t)
	db.post(&t.note, noteAcquire)
	return t
}

// due: nobody has answered.
func (t *trap) due(int64) { t.db.dropTrap(t) }

// dropTrap ends an Acquire; what waits is dropped. Under db.mu.
func (db *DB) dropTrap(t *trap) {
	db.timers.stop(&t.timer)
	t.mu.Lock()
	defer t.mu.Unlock()
	db.leaveTrap(t)
	db.heldDropped.Add(uint64(t.waiting.clear()))
	if t.waiting.listed {
		db.unlist(t, &t.waiting)
	}
}

// leaveTrap lets the next packet ask again. Under db.mu and t.mu.
func (db *DB) leaveTrap(t *trap) {
	if t.over {
		return
	}
	t.over = true
	delete(db.traps, t.key)
	t.key.p.refs--
	db.room(-1)
}

// tell makes the Acquire, if it is wanted still.
func (t *trap) tell(_ uint32, n *Notice) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	*n = Notice{Kind: Acquire, Reqid: t.tmpl.Reqid, Policy: t.key.p.id, Template: t.tmpl, Seq: t.seq, Packet: t.flow.Tuple()}
	return true
}

// release moves what waits once its policy has its SAs.
func (t *trap) release(buf []byte, most int, f func(pkt []byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b Bundle
	var l lack
	if t.key.p.resolve(&t.flow, &b, &l, whose{}) == Missing {
		return
	}
	if t.waiting.move(buf, most, f) {
		t.db.unlist(t, &t.waiting)
	}
}

// answered ends the Acquires that a new SA answers. What waits for them is released soon; if the SA was not enough, it goes
// when the time of the Acquire is up. Under db.mu.
func (db *DB) answered(sa *SA) {
	for _, t := range db.traps {
		if t.tmpl.Proto != sa.Proto || t.tmpl.Dst != sa.Dst || t.seq != sa.Seq && t.tmpl.Src != sa.Src ||
			t.tmpl.Reqid != 0 && t.tmpl.Reqid != sa.Reqid {
			continue
		}
		t.mu.Lock()
		db.leaveTrap(t)
		t.mu.Unlock()
	}
}

// SPDAcquireFailed says that no SA came of an Acquire with this Seq: what waits for it is dropped, and the next packet may
// ask again.
func (db *DB) SPDAcquireFailed(seq uint32) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, t := range db.traps {
		if t.seq == seq {
			db.dropTrap(t)
			return
		}
	}
}

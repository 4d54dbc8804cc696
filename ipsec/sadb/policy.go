// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Adding and removing policies, those of children and those of the operator, and the packets that wait at them.

package sadb

import "slices"

// AddPolicy adds an entry to the SPD.
func (db *DB) AddPolicy(p Policy) (PolicyID, error) {
	q := &policy{action: p.Action}
	switch {
	case p.Action == Bypass:
		q.class = classBypass
	case p.Action == Discard:
		q.class = classDiscard
	case p.Action == Protect && p.Reqid != 0:
		q.class = classTrap
	default:
		return 0, ErrPolicy
	}
	var err error
	q.parts = &parts{}
	if q.parts.local, err = compileSelectors(p.Local); err != nil {
		return 0, err
	}
	if q.parts.remote, err = compileSelectors(p.Remote); err != nil {
		return 0, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if q.action == Protect {
		q.bundle = db.bundle(p.Reqid)
	}
	if err := db.insert(q); err != nil {
		if q.bundle != nil && q.bundle.refs == 0 {
			q.bundle.refs++
			db.unref(q.bundle)
		}
		return 0, err
	}
	return q.id, nil
}

// insert places a policy and counts its reference to the bundle.
func (db *DB) insert(q *policy) error {
	if err := db.exchange(nil, q); err != nil {
		return err
	}
	if q.bundle != nil {
		q.bundle.refs++
	}
	return nil
}

func (db *DB) removePolicy(q *policy) {
	delete(db.policies, q.id)
	db.spd.Store(db.spd.Load().without(q))
	if q.bundle != nil {
		db.unref(q.bundle)
	}
}

// RemovePolicy removes what AddPolicy added; idempotent. Packets that wait at its reqid are dropped with the last policy.
func (db *DB) RemovePolicy(id PolicyID) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if q := db.policies[id]; q != nil && q.class != classChild && q.entry == nil {
		db.removePolicy(q)
	}
}

// childPolicies gives a pair the policy of its selectors, shared with the pairs of the same reqid and selectors.
func (db *DB) childPolicies(p *Pair, none bool) error {
	if none {
		return nil
	}
	local, remote := p.selectors()
	for _, other := range p.bundle.pairs {
		q := other.policy
		if q == nil || q.refs == 0 {
			continue
		}
		if l, r := q.selectors(); slices.Equal(l, local) && slices.Equal(r, remote) {
			q.refs++
			p.policy = q
			return nil
		}
	}
	q := p.bundle.policyOf(local, remote)
	if err := db.insert(q); err != nil {
		return err
	}
	p.policy = q
	return nil
}

func (db *DB) dropChildPolicies(p *Pair) {
	if q := p.policy; q != nil {
		if q.refs--; q.refs == 0 {
			db.removePolicy(q)
		}
	}
}

// Match finds the policy of a packet that is to be sent: RFC 4301, Section 5.1. gen changes whenever another answer is possible.
func (db *DB) Match(f *Flow) (m Match, gen uint64) {
	r := db.spd.Load()
	return r.match(f), r.gen
}

// MatchRoad is Match where the policy is that of a child with one remote address and what goes before it is nothing: then it costs less
// than to look whether the flow was seen lately. False: ask Match.
func (db *DB) MatchRoad(f *Flow) (m Match, ok bool) {
	r := db.spd.Load()
	if r.used[classBypass] {
		return m, false
	}
	b := r.road(f)
	if b == nil {
		return m, false
	}
	return b.match(), true
}

// Generation is the SPD's now.
func (db *DB) Generation() uint64 { return db.spd.Load().gen }

// Sending is the pair that seals for the policy now; nil: there is none.
func (m *Match) Sending() *Pair {
	if m.bundle == nil {
		return nil
	}
	return m.bundle.sending.Load()
}

// Hold keeps a copy of a packet whose policy has no SA, and asks for one (Acquire). dropped is how many older ones went for it.
func (m *Match) Hold(now int64, f *Flow, pkt []byte) (held Held, dropped int) {
	switch {
	case m.bundle != nil:
		return m.bundle.hold(now, f, pkt)
	case m.policy != nil:
		return m.policy.hold(now, f, pkt)
	}
	return Refused, 0
}

// acquiring starts the life of an Acquire.
func (db *DB) acquiring(now int64, b *bundle) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.timers.start(&b.held.timer, now+acquireLife, b)
}

// Again has the packets that wait for an SA of a reqid look for their policy once more, at the next Release: a child of another reqid
// may have come that has them. Those that it has not go on waiting.
func (db *DB) Again(reqid uint32) {
	db.mu.Lock()
	defer db.mu.Unlock()
	b := db.bundles[reqid]
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = b.held != nil && len(b.held.waiting.lens) > 0
}

// AcquireFailed says that no child came of an Acquire: the packets held for reqid are dropped, and the next packet may
// ask again.
func (db *DB) AcquireFailed(reqid uint32) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if b := db.bundles[reqid]; b != nil {
		db.answer(b)
		b.drop()
	}
}

// answer ends the life of an Acquire, if there was one. Under db.mu.
func (db *DB) answer(b *bundle) {
	b.mu.Lock()
	h := b.held
	b.mu.Unlock()
	if h != nil {
		db.timers.stop(&h.timer)
	}
}

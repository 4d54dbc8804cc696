// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Lifetimes of SPDEntries (X_SPDEXPIRE): from when they were added, and from their last use.

package sadb

// life is the limits of a policy that has any.
type life struct {
	p     *policy
	db    *DB
	timer timer // under db.mu
	told  bool  // the soft one: under db.mu
}

// beginLife watches a policy if it has limits. Under db.mu.
func (db *DB) beginLife(p *policy) {
	e := p.entry
	if e.softTime <= 0 && e.hardTime <= 0 && e.softIdle <= 0 && e.hardIdle <= 0 {
		return
	}
	e.life = &life{p: p, db: db}
	e.life.schedule()
}

func (db *DB) endLife(p *policy) {
	if l := p.entry.life; l != nil {
		db.timers.stop(&l.timer)
	}
}

// at are the instants of the limits as things are.
func (l *life) at() (soft, hard int64) {
	e := l.p.entry
	used := max(e.added, e.used.Load())
	return min(after(e.added, e.softTime), after(used, e.softIdle)), min(after(e.added, e.hardTime), after(used, e.hardIdle))
}

func (l *life) schedule() {
	soft, hard := l.at()
	if l.told {
		soft = never
	}
	l.db.timers.start(&l.timer, min(soft, hard), l)
}

// due looks again: the policy may have been used meanwhile.
func (l *life) due(now int64) {
	switch soft, hard := l.at(); {
	case now >= hard:
		i := l.db.removeEntry(l.p)
		l.db.tellLater(Notice{Kind: PolicyExpire, Hard: true, Policy: i.ID, SPD: &i})
		return
	case now >= soft && !l.told:
		l.told = true
		i := l.p.spdInfo(l.db)
		l.db.tellLater(Notice{Kind: PolicyExpire, Policy: i.ID, SPD: &i})
	}
	l.schedule()
}

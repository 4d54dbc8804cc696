// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Lifetimes of SPDEntries (X_SPDEXPIRE): from when they were added, and from their last use.

package sadb

import (
	"slices"
	"sync/atomic"
	"time"
)

// life is the limits of a policy that has any, and when it last asked for an SA that it can do without.
type life struct {
	p                                      *policy
	softTime, hardTime, softIdle, hardIdle time.Duration
	askedAt                                atomic.Int64
	timer                                  timer // under db.mu
	told                                   bool  // the soft one: under db.mu
}

// life is nil for an entry without limits that requires all its SAs.
func (e *SPDEntry) life(p *policy) *life {
	optional := slices.ContainsFunc(e.Templates, func(t Template) bool { return t.Level == Use })
	if !optional && e.SoftTime == 0 && e.HardTime == 0 && e.SoftIdle == 0 && e.HardIdle == 0 {
		return nil
	}
	return &life{p: p, softTime: e.SoftTime, hardTime: e.HardTime, softIdle: e.SoftIdle, hardIdle: e.HardIdle}
}

// beginLife watches a policy if it has limits. Under db.mu.
func (db *DB) beginLife(p *policy) {
	if l := p.entry.life; l != nil {
		l.schedule()
	}
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
	return min(after(e.added, l.softTime), after(used, l.softIdle)), min(after(e.added, l.hardTime), after(used, l.hardIdle))
}

func (l *life) schedule() {
	soft, hard := l.at()
	if l.told {
		soft = never
	}
	l.p.db.timers.start(&l.timer, min(soft, hard), l)
}

// due looks again: the policy may have been used meanwhile.
func (l *life) due(now int64) {
	switch soft, hard := l.at(); {
	case now >= hard:
		i := l.p.db.removeEntry(l.p)
		l.p.db.tellLater(Notice{Kind: PolicyExpire, Hard: true, Policy: i.ID, SPD: &i})
		return
	case now >= soft && !l.told:
		l.told = true
		i := l.p.spdInfo(l.p.db)
		l.p.db.tellLater(Notice{Kind: PolicyExpire, Policy: i.ID, SPD: &i})
	}
	l.schedule()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verbs of PF_KEY on the SPD (X_SPDADD and the others of KAME; RFC 4301, Section 4.4.1). They come from a privileged client.
// An entry's ID is stable, its selectors in a direction are unique, and what is removed takes along what waits for it.

package sadb

import (
	"slices"
	"sync/atomic"
	"time"
)

// entry is what a policy has that came as an SPDEntry.
type entry struct {
	// of the SPDEntry; the rest is in the policy
	dir                                    Dir
	softTime, hardTime, softIdle, hardIdle time.Duration
	owner                                  uint64

	templates []template // with the reqids that were picked
	added     int64
	used      atomic.Int64 // DB.Clock, to a second; 0: never
	askedAt   atomic.Int64 // the last Acquire of a template that is not required
	life      *life        // nil: without limits
	traps     int          // unanswered Acquires: under db.mu
}

// entryKey is what entries differ in.
type entryKey struct {
	dir           Dir
	local, remote span
}

// template is a Template compiled. Immutable.
type template struct {
	Template
	set      *set // tunnel mode: the addresses are known
	src, dst IP
	v6       bool
}

const (
	// firstUnique and lastUnique are the reqids that are picked for level unique: above those that people choose
	// (IPSEC_MANUAL_REQID_MAX of KAME and Linux).
	firstUnique = 16384
	lastUnique  = 1<<31 - 1
	// usedGrain is how exact LastUsed is: writing it for every packet would have processors wait for each other.
	usedGrain = int64(time.Second)
)

// SPDAdd adds a policy. ErrPolicyExists: one with this direction and these selectors is there.
func (db *DB) SPDAdd(now time.Time, e SPDEntry) (PolicyID, error) { return db.addEntry(now, e, false) }

// SPDUpdate adds a policy or replaces the one with its direction and selectors, whose ID stays.
func (db *DB) SPDUpdate(now time.Time, e SPDEntry) (PolicyID, error) {
	return db.addEntry(now, e, true)
}

func (db *DB) addEntry(now time.Time, e SPDEntry, replace bool) (PolicyID, error) {
	p, err := e.compile()
	if err != nil {
		return 0, err
	}
	p.db = db
	db.mu.Lock()
	defer db.mu.Unlock()
	old := db.entries[p.key()]
	if old != nil && !replace {
		return 0, ErrPolicyExists
	}
	if old != nil {
		p.id = old.id
	}
	for i := range p.entry.templates {
		t := &p.entry.templates[i]
		if t.Level == Unique && t.Reqid == 0 {
			t.Reqid = db.newUnique()
		}
		if t.Mode == Tunnel {
			t.set = db.joinSet(setKey{src: t.src, dst: t.dst, v6: t.v6, proto: t.Proto, reqid: t.Reqid})
		}
	}
	p.entry.added = db.Clock(now)
	if err := db.exchange(old, p); err != nil {
		db.leaveTemplates(p)
		return 0, err
	}
	db.entries[p.key()] = p
	db.beginLife(p)
	return p.id, nil
}

// compile checks an entry.
func (e SPDEntry) compile() (*policy, error) {
	classOf := map[Dir]class{Out: classEntry, In: classIn, Forward: classForward}
	c, ok := classOf[e.Dir]
	switch {
	case !ok || e.Action < Protect || e.Action > Discard:
		return nil, ErrPolicy
	case (e.Action == Protect) != (len(e.Templates) > 0) || len(e.Templates) > MaxTemplates:
		return nil, ErrTemplate
	}
	p := &policy{action: e.Action, class: c, priority: e.Priority, entry: &entry{
		dir: e.Dir, softTime: e.SoftTime, hardTime: e.HardTime, softIdle: e.SoftIdle, hardIdle: e.HardIdle, owner: e.Owner,
	}}
	var err error
	if p.local, err = compileSelectors([]Selector{e.Local}); err != nil {
		return nil, err
	}
	if p.remote, err = compileSelectors([]Selector{e.Remote}); err != nil {
		return nil, err
	}
	p.entry.templates = make([]template, 0, len(e.Templates))
	for i := range e.Templates {
		t, err := e.Templates[i].compile()
		if err != nil {
			return nil, err
		}
		p.entry.templates = append(p.entry.templates, t)
	}
	return p, nil
}

func (t Template) compile() (template, error) {
	c := template{Template: t}
	if t.Proto != ProtoESP && t.Proto != ProtoAH && t.Proto != ProtoIPComp || t.Mode != Transport && t.Mode != Tunnel || t.Level > Unique {
		return c, ErrTemplate
	}
	if t.Mode == Transport {
		return c, nil
	}
	if !single(t.Src) || !single(t.Dst) || t.Src.Is4() != t.Dst.Is4() || t.Src.IsUnspecified() || t.Dst.IsUnspecified() {
		return c, ErrTemplate
	}
	c.src, c.dst, c.v6 = ipOf(t.Src), ipOf(t.Dst), t.Dst.Is6()
	return c, nil
}

// newUnique picks a reqid that no SA and no template of its kind has had lately. Under db.mu.
func (db *DB) newUnique() uint32 {
	db.unique++
	if db.unique < firstUnique || db.unique > lastUnique {
		db.unique = firstUnique
	}
	return db.unique
}

// exchange puts a policy in the place of another (nil: of none) in one step for packets. Under db.mu.
func (db *DB) exchange(old, p *policy) error {
	if old == nil && len(db.policies) >= maxPolicies {
		return ErrTooMany
	}
	if err := p.build(); err != nil {
		return err
	}
	if old == nil {
		p.id = db.newPolicyID()
	}
	db.serial++
	p.age = db.serial
	if old != nil {
		db.endEntry(old)
	}
	db.policies[p.id] = p
	db.spd.Store(db.spd.Load().with(p, old))
	return nil
}

// newPolicyID: an ID is not used again before all others.
func (db *DB) newPolicyID() PolicyID {
	for {
		db.policyID++
		if _, used := db.policies[db.policyID]; db.policyID != 0 && !used {
			return db.policyID
		}
	}
}

// endEntry lets go of what an entry has beside its place in the SPD. Under db.mu.
func (db *DB) endEntry(p *policy) {
	delete(db.entries, p.key())
	db.leaveTemplates(p)
	db.endLife(p)
	for k, t := range db.traps {
		if k.p == p {
			db.dropTrap(t)
		}
	}
}

func (db *DB) leaveTemplates(p *policy) {
	for i := range p.entry.templates {
		if st := p.entry.templates[i].set; st != nil {
			db.leaveSet(st)
		}
	}
}

// removeEntry takes a policy out. Under db.mu.
func (db *DB) removeEntry(p *policy) SPDInfo {
	i := p.spdInfo(db)
	db.endEntry(p)
	delete(db.policies, p.id)
	db.spd.Store(db.spd.Load().without(p))
	return i
}

// key is what entries differ in.
func (p *policy) key() entryKey { return entryKey{p.entry.dir, p.local[0], p.remote[0]} }

func (p *policy) spdInfo(db *DB) SPDInfo {
	e := p.entry
	i := SPDInfo{ID: p.id, Added: db.instant(e.added), LastUsed: db.instant(e.used.Load()), SPDEntry: SPDEntry{
		Dir: e.dir, Action: p.action, Priority: p.priority, Local: p.local[0].selector(), Remote: p.remote[0].selector(),
		SoftTime: e.softTime, HardTime: e.hardTime, SoftIdle: e.softIdle, HardIdle: e.hardIdle, Owner: e.owner,
	}}
	for k := range e.templates {
		i.Templates = append(i.Templates, e.templates[k].Template)
	}
	return i
}

// use notes that a packet met the policy.
func (e *entry) use(now int64) {
	if last := e.used.Load(); last == 0 || now-last >= usedGrain {
		e.used.Store(now)
	}
}

func (db *DB) entryByID(id PolicyID) *policy {
	if p := db.policies[id]; p != nil && p.entry != nil {
		return p
	}
	return nil
}

// SPDDelete removes a policy and returns it as it was.
func (db *DB) SPDDelete(id PolicyID) (SPDInfo, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	p := db.entryByID(id)
	if p == nil {
		return SPDInfo{}, ErrUnknownPolicy
	}
	return db.removeEntry(p), nil
}

// SPDFind finds a policy by direction and selectors.
func (db *DB) SPDFind(dir Dir, local, remote Selector) (PolicyID, bool) {
	l, err := compileSelectors([]Selector{local})
	if err != nil {
		return 0, false
	}
	r, err := compileSelectors([]Selector{remote})
	if err != nil {
		return 0, false
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	p := db.entries[entryKey{dir, l[0], r[0]}]
	if p == nil {
		return 0, false
	}
	return p.id, true
}

// SPDLookup shows a policy.
func (db *DB) SPDLookup(id PolicyID) (SPDInfo, bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	p := db.entryByID(id)
	if p == nil {
		return SPDInfo{}, false
	}
	return p.spdInfo(db), true
}

// SPDList shows all policies of SPDAdd, the oldest first.
func (db *DB) SPDList() []SPDInfo {
	list := db.entryList()
	slices.SortFunc(list, func(a, b *policy) int { return int(a.age) - int(b.age) })
	out := make([]SPDInfo, len(list))
	for i, p := range list {
		out[i] = p.spdInfo(db)
	}
	return out
}

func (db *DB) entryList() []*policy {
	db.mu.Lock()
	defer db.mu.Unlock()
	list := make([]*policy, 0, len(db.entries))
	for _, p := range db.entries {
		list = append(list, p)
	}
	return list
}

// SPDFlush removes all policies of SPDAdd and returns how many.
func (db *DB) SPDFlush() int {
	n := 0
	for list := db.entryList(); len(list) > 0; {
		step := min(flushStep, len(list))
		n += db.flushEntries(list[:step])
		list = list[step:]
	}
	return n
}

func (db *DB) flushEntries(list []*policy) (n int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, p := range list {
		if db.policies[p.id] == p {
			db.removeEntry(p)
			n++
		}
	}
	return n
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verbs of PF_KEY on the SPD (X_SPDADD and the others of KAME; RFC 4301, Section 4.4.1). They come from a privileged client.
// An entry's ID is stable, its selectors in a direction are unique, and what is removed takes along what waits for it.

package sadb

import (
	"slices"
	"sync/atomic"
	"time"
)

// entry is what a policy has that came as an SPDEntry; selectors, priority and action are in the policy.
type entry struct {
	templates []template   // with the reqids that were picked
	used      atomic.Int64 // DB.Clock, to a second; 0: never
	owner     uint64
	added     int64
	life      *life   // nil: without limits and without a template that is not required
	other     *policy // with the same hash: under db.mu
}

// whole is an SPDEntry in one piece of memory, but for what few have: more than one template, selectors of more than one remote address,
// limits.
type whole struct {
	road     road
	entry    entry
	template [1]template
}

// entryKey is what entries differ in.
type entryKey struct {
	dir           Dir
	local, remote span
}

// template is a Template compiled. Immutable.
type template struct {
	Template
	set *set // tunnel mode: the addresses are known, and are the set's
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
	hash := hashOf(db.seed, p.key())
	old := db.entries.find(hash, p.key())
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
			t.set = db.joinSet(keyOf(t.Proto, t.Src, t.Dst, t.Reqid))
		}
	}
	p.entry.added = db.Clock(now)
	if err := db.exchange(old, p); err != nil {
		db.leaveTemplates(p)
		return 0, err
	}
	db.entries.put(hash, p)
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
	local, err := e.Local.compile()
	if err != nil {
		return nil, err
	}
	remote, err := e.Remote.compile()
	if err != nil {
		return nil, err
	}
	w := &whole{}
	p := &w.road.policy
	if remote.from == remote.to && local.meets(&remote) {
		w.road.take(&local, &remote)
	} else {
		p.parts = &parts{local: []span{local}, remote: []span{remote}}
	}
	p.action, p.class, p.priority, p.entry = e.Action, c, e.Priority, &w.entry
	p.dir, w.entry.owner, w.entry.life = e.Dir, e.Owner, e.life(p)
	w.entry.templates = w.template[:0]
	for i := range e.Templates {
		if err := e.Templates[i].check(); err != nil {
			return nil, err
		}
		w.entry.templates = append(w.entry.templates, template{Template: e.Templates[i]})
	}
	return p, nil
}

func (t *Template) check() error {
	if t.Proto != ProtoESP && t.Proto != ProtoAH && t.Proto != ProtoIPComp || t.Mode != Transport && t.Mode != Tunnel || t.Level > Unique {
		return ErrTemplate
	}
	if t.Mode == Transport {
		return nil
	}
	if !single(t.Src) || !single(t.Dst) || t.Src.Is4() != t.Dst.Is4() || t.Src.IsUnspecified() || t.Dst.IsUnspecified() {
		return ErrTemplate
	}
	return nil
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
	db.entries.drop(hashOf(db.seed, p.key()), p)
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
func (p *policy) key() entryKey {
	if d := p.lies; d != nil {
		return entryKey{p.dir, d.rule.local, d.rule.remote}
	}
	return entryKey{p.dir, p.parts.local[0], p.parts.remote[0]}
}

func (p *policy) indexed() entryKey { return p.key() }
func (p *policy) same() **policy    { return &p.entry.other }

func (p *policy) spdInfo(db *DB) SPDInfo {
	e, k := p.entry, p.key()
	i := SPDInfo{ID: p.id, Added: db.instant(e.added), LastUsed: db.instant(e.used.Load()), SPDEntry: SPDEntry{
		Dir: p.dir, Action: p.action, Priority: p.priority, Local: k.local.selector(), Remote: k.remote.selector(), Owner: e.owner,
	}}
	if l := e.life; l != nil {
		i.SoftTime, i.HardTime, i.SoftIdle, i.HardIdle = l.softTime, l.hardTime, l.softIdle, l.hardIdle
	}
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
	l, err := local.compile()
	if err != nil {
		return 0, false
	}
	r, err := remote.compile()
	if err != nil {
		return 0, false
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	k := entryKey{dir, l, r}
	p := db.entries.find(hashOf(db.seed, k), k)
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
		for ; p != nil; p = *p.same() {
			list = append(list, p)
		}
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

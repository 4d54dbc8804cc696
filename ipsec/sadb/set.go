// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which single SA seals: those with one protocol, source, destination and reqid are a set; a template names a set and takes
// the newest SA of its mode, a dying one only if there is no other. What is asked for every packet is one atomic pointer.

package sadb

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// setKey names a set. Reqid zero is the set of all.
type setKey struct {
	src, dst IP
	reqid    uint32
	proto    uint8
	v6       bool
}

func keyOf(proto uint8, src, dst netip.Addr, reqid uint32) setKey {
	return setKey{src: ipOf(src), dst: ipOf(dst), reqid: reqid, proto: proto, v6: dst.Is6()}
}

// set is the SAs of a key, or what templates wait for.
type set struct {
	key    setKey                         // immutable
	best   [Tunnel]atomic.Pointer[Single] // by mode, from Transport on
	mu     sync.Mutex                     // protects newest and n
	n      [Tunnel]int32                  // how many may seal in a mode
	newest *Single
	other  *set  // with the same hash: under its shard's lock
	refs   int32 // SAs and templates: under db.mu
}

func (st *set) indexed() setKey { return st.key }
func (st *set) same() **set     { return &st.other }

// of is what a set has for a mode.
func (st *set) of(m Mode) (best *atomic.Pointer[Single], n *int32) {
	return &st.best[m-Transport], &st.n[m-Transport]
}

// shards of the sets: enough that sixteen goroutines seldom meet.
const shards = 64

// setShard is the sets of some keys.
type setShard struct {
	mu   sync.RWMutex // protects sets; changed under db.mu too
	sets index[setKey, *set]
}

// fitting is an SA's place in a set. Under the set's lock.
type fitting struct {
	set          *set
	older, newer *Single
}

// setShardOf finds the shard of a key, and the key's hash in it.
func (db *DB) setShardOf(k setKey) (*setShard, uint64) {
	h := hashOf(db.seed, k)
	return &db.sets[h%shards], h
}

// findSet finds a set; nil: nobody stands in it.
func (db *DB) findSet(k setKey) *set {
	sh, h := db.setShardOf(k)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.sets.find(h, k)
}

// joinSet finds or makes a set and counts a reference. Under db.mu.
func (db *DB) joinSet(k setKey) *set {
	sh, h := db.setShardOf(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.sets.find(h, k)
	if st == nil {
		st = &set{key: k}
		sh.sets.put(h, st)
	}
	st.refs++
	return st
}

func (db *DB) leaveSet(st *set) {
	if st.refs--; st.refs > 0 {
		return
	}
	sh, h := db.setShardOf(st.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sets.drop(h, st)
}

// place puts an SA into its sets, and among those that follow its peer. Under db.mu.
func (db *DB) place(s *Single) {
	sa := s.sa.Load()
	src, dst := sa.at.Local.Addr(), sa.at.Remote.Addr()
	s.fits[0].set = db.joinSet(keyOf(s.proto, src, dst, 0))
	s.fits[0].set.add(s, 0)
	if sa.reqid != 0 {
		s.fits[1].set = db.joinSet(keyOf(s.proto, src, dst, sa.reqid))
		s.fits[1].set.add(s, 1)
	}
	db.linkRemote(s)
}

// displace is its inverse.
func (db *DB) displace(s *Single) {
	db.unlinkRemote(s)
	for i := range s.fits {
		if st := s.fits[i].set; st != nil {
			st.remove(s, i)
			db.leaveSet(st)
			s.fits[i].set = nil
		}
	}
}

// add puts an SA where its age has it: mostly first.
func (st *set) add(s *Single, at int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	var newer *Single
	older := st.newest
	for older != nil && older.serial > s.serial {
		newer, older = older, older.fits[at].older
	}
	s.fits[at].newer, s.fits[at].older = newer, older
	if newer == nil {
		st.newest = s
	} else {
		newer.fits[at].older = s
	}
	if older != nil {
		older.fits[at].newer = s
	}
	for m := Transport; m <= Tunnel; m++ {
		if !s.may(m) {
			continue
		}
		best, n := st.of(m)
		*n++
		if newer == nil && !s.softTold.Load() && !s.opens() && !s.ended() { // the newest there is
			best.Store(s)
		} else {
			st.choose(at, m)
		}
	}
}

// may reports whether an SA seals for templates of a mode.
func (s *Single) may(m Mode) bool { return s.mode == AnyMode || s.mode == m }

func (st *set) remove(s *Single, at int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f := &s.fits[at]
	if f.newer == nil {
		st.newest = f.older
	} else {
		f.newer.fits[at].older = f.older
	}
	if f.older != nil {
		f.older.fits[at].newer = f.newer
	}
	f.newer, f.older = nil, nil
	for m := Transport; m <= Tunnel; m++ {
		if !s.may(m) {
			continue
		}
		best, n := st.of(m)
		if *n--; best.Load() == s {
			st.choose(at, m)
		}
	}
}

// head is the newest SA; nil: there is none, or no set.
func (st *set) head() *Single {
	if st == nil {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.newest
}

// ended reports whether an SA cannot seal any more.
func (c *core) ended() bool { return c.state.Load()&(stateDead|stateOutClosed) != 0 }

// search finds the newest SA of a mode, a dying one only if there is no other, of those that fit. An SA that opens is none
// of them. Under st.mu.
func (st *set) search(at int, m Mode, w whose) (best *Single) {
	if _, n := st.of(m); *n == 0 {
		return nil
	}
	for s := st.newest; s != nil; s = s.fits[at].older {
		if s.ended() || !s.may(m) || s.opens() || !w.fits(&s.core) {
			continue
		}
		if !s.softTold.Load() {
			return s
		}
		if best == nil {
			best = s
		}
	}
	return best
}

// whose says which SAs may seal a packet; the zero whose: any.
type whose struct {
	peer  netip.AddrPort // those in UDP to it: around its packet as a whole no other
	inner bool           // what is further in: those without UDP too
	raw   bool           // those without UDP alone
	flow  *Flow          // those that carry it; nil: it does not matter
}

func (w whose) fits(c *core) bool {
	e := c.endpoint.Load()
	switch {
	case w.raw:
		if e.UDP() {
			return false
		}
	case !w.peer.IsValid():
	case !e.UDP():
		if !w.inner {
			return false
		}
	case e.Remote != w.peer:
		return false
	}
	return !c.bounded || w.flow == nil || c.single.carries(w.flow) // last: it is the dearest
}

// choose finds the best of a mode again.
func (st *set) choose(at int, m Mode) {
	best, _ := st.of(m)
	if s := st.search(at, m, whose{}); best.Load() != s {
		best.Store(s)
	}
}

// pick is the SA that seals in mode m now; nil: there is none. It allocates nothing.
func (st *set) pick(m Mode) *Single {
	best, _ := st.of(m)
	s := best.Load()
	if s == nil || !s.ended() {
		return s
	}
	st.again()
	return best.Load()
}

// chooseAgain has the sets of an SA that has changed choose. Under db.mu.
func (s *Single) chooseAgain() {
	for i := range s.fits {
		if st := s.fits[i].set; st != nil {
			st.again()
		}
	}
}

// pickFit is pick among the SAs that fit.
func (st *set) pickFit(m Mode, w whose) *Single {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.search(st.at(), m, w)
}

// at is which of an SA's places are in this set.
func (st *set) at() int {
	if st.key.reqid != 0 {
		return 1
	}
	return 0
}

// again chooses again, after an SA has changed.
func (st *set) again() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for m := Transport; m <= Tunnel; m++ {
		st.choose(st.at(), m)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs follow their peer: RFC 3947, Section 7; RFC 7296, Section 2.23. Key daemons of PF_KEY do not know of it, so the engine
// moves what their owner sends to the old address and port. Only the newest authentic packet of an SA that opens may do
// that; it can have been copied and raced by an attacker on the path (HOSTILE T-069), and the peer's next one puts it right. A peer's
// packets move the SAs of that peer alone, and never to where another peer is, of whatever owner.

package sadb

import (
	"iter"
	"net/netip"
)

// remoteKey is an owner's destination.
type remoteKey struct {
	owner uint64
	to    netip.AddrPort
}

// SetFollow says whether the outbound SAs of an owner follow the newest authentic packet by themselves; they do unless
// told otherwise.
func (db *DB) SetFollow(owner uint64, follow bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if follow {
		delete(db.still, owner)
	} else {
		db.still[owner] = true
	}
}

// linkRemote puts an SA among those that send to its destination. Under db.mu.
func (db *DB) linkRemote(s *Single) {
	ep := s.endpoint.Load()
	if !ep.UDP() {
		return
	}
	h := db.hashOf(ep.Remote)
	s.before, s.behind = nil, db.remotes[h]
	if s.behind != nil {
		s.behind.before = s
	}
	s.listed = true
	db.remotes[h] = s
}

func (db *DB) hashOf(to netip.AddrPort) uint64 { return hashOfEnd(db.seed, to) }

// sendingTo are the SAs that are listed under a key; the one that was given last may be taken out meanwhile. Under db.mu.
func (db *DB) sendingTo(k remoteKey) iter.Seq[*Single] {
	return func(yield func(*Single) bool) {
		for x := db.remotes[db.hashOf(k.to)]; x != nil; {
			next := x.behind
			if x.remote() == k && !yield(x) {
				return
			}
			x = next
		}
	}
}

// remote is under what an SA in UDP is listed in db.remotes, as long as it stands there. Under db.mu.
func (s *Single) remote() remoteKey { return remoteKey{s.sa.Load().owner, s.endpoint.Load().Remote} }

func (db *DB) unlinkRemote(s *Single) {
	if !s.listed {
		return
	}
	h := db.hashOf(s.remote().to)
	if s.behind != nil {
		s.behind.before = s.before
	}
	if s.before != nil {
		s.before.behind = s.behind
	} else if s.behind != nil {
		db.remotes[h] = s.behind
	} else {
		delete(db.remotes, h)
	}
	s.listed, s.before, s.behind = false, nil, nil
}

// hearAgain says where packets are expected from after the owner moved the SA: what was told is answered. Under db.mu.
func (s *Single) hearAgain() {
	from := &s.sa.Load().at.Local
	r := s.receiver.Load()
	if r == nil {
		s.source.Store(from)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.source.Store(from)
	switch m := r.peer; {
	case m == nil:
	case m.told.IsValid() && m.latest != *s.source.Load():
		s.db.post(&s.note, noteMapping) // it was heard from elsewhere since
	default:
		m.told = netip.AddrPort{}
	}
}

// tell makes the notice of a single SA, and does what follows from it.
func (s *Single) tell(bit uint32, n *Notice) bool {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if s.state.Load()&stateInClosed != 0 {
		return false
	}
	*n = Notice{Reqid: s.sa.Load().reqid}
	switch bit {
	case noteFirst:
		s.schedule(db.seen) // limits that count from now
		return false
	case noteMapping:
		return db.follow(s, n)
	case noteSoft:
		if !s.softTold.Load() {
			return false // its owner has given it other limits meanwhile
		}
		n.Kind = Expire
		s.chooseAgain() // another may send
		i := s.Info()
		n.SA = &i
	case noteHard:
		n.Kind, n.Hard = Expire, true
		i := db.removeSingle(s, max(db.seen, s.lastPacket()))
		n.SA = &i
	}
	return true
}

// follow makes the notice of a new source and moves what goes to the old one. Under db.mu.
func (db *DB) follow(s *Single, n *Notice) bool {
	r := s.receiver.Load()
	if r == nil {
		return false
	}
	sa := s.sa.Load()
	owner, peer := sa.owner, sa.at.Local
	still := db.still[owner]
	heard, ok := r.heardFrom()
	if !still && ok && db.another(heard, peer) {
		return false
	}
	from, to, local, ok := r.claim(still, heard)
	if !ok {
		return false
	}
	if !still {
		for x := range db.sendingTo(remoteKey{owner, from}) {
			if x.peer() == peer {
				db.redirect(x, to)
			}
		}
	}
	i := s.Info()
	*n = Notice{Kind: NewMapping, Reqid: i.Reqid, SA: &i, From: from, To: to, Local: local}
	return true
}

// peer is whom an SA that sends is for, by the address and port that its owner gave it: these do not follow, so that no packet of
// one peer moves what is another's.
func (s *Single) peer() netip.AddrPort { return s.sa.Load().at.Remote }

// Ends are the addresses that packets of an SA come from and go to now: it may have followed its peer.
func (s *Single) Ends() (from, to netip.Addr) {
	at := s.sa.Load().at
	from, to = at.Local.Addr(), at.Remote.Addr()
	pl := s.endpoint.Load()
	switch {
	case pl == nil: // a reservation
	case s.sender.Load() == nil && s.receiver.Load() != nil:
		from = s.source.Load().Addr()
	default:
		to = pl.Remote.Addr()
	}
	return from, to
}

// another reports whether SAs for a peer other than that one send to an address, whoever owns them: what is sealed is chosen by where it
// goes (whose). One peer can write another's address as its source; where somebody is already nobody else moves to. Under db.mu.
func (db *DB) another(to, peer netip.AddrPort) bool {
	for x := db.remotes[db.hashOf(to)]; x != nil; x = x.behind {
		if x.endpoint.Load().Remote == to && x.peer() != peer {
			return true
		}
	}
	return false
}

// heardFrom is the newest source that was not told yet.
func (r *Receiver) heardFrom() (netip.AddrPort, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peer == nil || !r.peer.told.IsValid() {
		return netip.AddrPort{}, false
	}
	return r.peer.latest, true
}

// claim takes the newest source as the one that is expected from now on, or, still, only tells it. It is the one that was found to be
// nobody's, or it is looked at again.
func (r *Receiver) claim(still bool, heard netip.AddrPort) (from, to, local netip.AddrPort, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, s := r.peer, r.single
	from = *s.source.Load()
	if m == nil {
		return from, to, local, false
	}
	if !m.told.IsValid() || m.latest == from {
		m.told = netip.AddrPort{}
		return from, to, local, false
	}
	if !still && m.latest != heard {
		s.db.post(&s.note, noteMapping)
		return from, to, local, false
	}
	to, local = m.latest, m.arrived
	if still {
		m.told = to
		return from, to, local, true
	}
	s.source.Store(&to)
	m.told = netip.AddrPort{}
	return from, to, local, true
}

// redirect swaps the endpoint of an SA in place; its name, keys and counter stay. Under db.mu.
func (db *DB) redirect(s *Single, to netip.AddrPort) {
	old := s.endpoint.Load()
	if to.Addr().Is4() != old.Remote.Addr().Is4() {
		return
	}
	e := old.Endpoint
	e.Remote = to
	db.unlinkRemote(s)
	at := db.placeAt(e)
	s.endpoint.Store(&at)
	db.leave(old)
	db.linkRemote(s)
}

// lastPacket is when the last packet was, by the clock of the DB.
func (s *Single) lastPacket() int64 {
	if x := s.sender.Load(); x != nil {
		t, _ := x.counted()
		return t.last
	}
	if x := s.receiver.Load(); x != nil {
		t, _ := x.counted()
		return t.last
	}
	return 0
}

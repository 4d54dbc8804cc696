// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs: the verbs of PF_KEY on the SAD (RFC 2367, Section 3.1). They come from a privileged client, which is not
// believed that what it says fits together. A sealer is made once in an SA's life; an SA that seals does not open.

package sadb

import (
	"cmp"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
)

// Single is a single SA in the database. Its methods may be called from any goroutine.
type Single struct {
	core
	spi    uint32
	serial uint64             // its age
	drawn  bool               // the SPI was this host's choice: it goes into quarantine
	sa     atomic.Pointer[SA] // as its owner knows it; replaced under db.mu

	half     sync.Mutex // protects making a half, and the octets of the keys
	sender   atomic.Pointer[Sender]
	receiver atomic.Pointer[Receiver]
	source   atomic.Pointer[netip.AddrPort] // where what it opens is expected from
	tag      atomic.Uint64

	dst     netip.Addr // under its shard's lock
	nextKey *Single

	// under db.mu
	fits           [2]fitting // the sets it stands in: of any reqid, of its own
	remote         remoteKey
	before, behind *Single // others that send there
}

func (s *Single) key() saKey { return saKey{s.spi, s.proto} }

// maxSingles bounds what clients of PF_KEY can have: 100,000 pairs, and rekeys of them, with room.
const maxSingles = 1 << 19

// AddSA adds an SA with its keys (ADD). ErrExists: the SPI is taken, by a reservation too.
func (db *DB) AddSA(now time.Time, sa SA) error {
	if err := sa.check(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.exists(saKey{sa.SPI, sa.Proto}, sa.Dst):
		return ErrExists
	case db.singles.Load() >= maxSingles:
		return ErrNoSPI
	}
	s := db.newSingle(db.Clock(now), &sa)
	db.link(s)
	db.mature(s, db.Clock(now))
	return nil
}

// newSingle makes an SA that nobody sees yet.
func (db *DB) newSingle(at int64, sa *SA) *Single {
	db.serial++
	s := &Single{spi: sa.SPI, serial: db.serial}
	s.core.db, s.single, s.proto, s.note.who = db, s, sa.Proto, &s.core
	s.added = at
	s.state.Store(stateLarval)
	s.store(sa)
	db.singles.Add(1)
	db.room(1)
	return s
}

// store keeps a copy of what the owner said.
func (s *Single) store(sa *SA) {
	c := *sa
	c.Key, c.Integ = copyOf(sa.Key), copyOf(sa.Integ)
	s.sa.Store(&c)
}

// copyOf is a key with octets of its own, and none for a key that has none.
func copyOf(k secret.Key) secret.Key {
	if k.IsZero() {
		return secret.Key{}
	}
	return k.Clone()
}

// mature puts an SA with keys into use. Under db.mu.
func (db *DB) mature(s *Single, at int64) {
	s.half.Lock() // Info reads some of it
	sa := s.sa.Load()
	s.mode, s.suite, s.CopyDF, s.CopyECN, s.DSCP = sa.Mode, sa.Suite, sa.CopyDF, sa.CopyECN, sa.DSCP
	s.added = at
	s.lim = boundsOf(at, sa.Limits)
	s.sequenced()
	s.hear(sa)
	s.settle(sa.endpoint())
	s.half.Unlock()
	s.state.And(^uint32(stateLarval))
	s.schedule(at)
	db.place(s)
	db.answered(sa)
}

// endpoint is where an SA that seals sends to.
func (sa *SA) endpoint() Endpoint {
	return Endpoint{Local: netip.AddrPortFrom(sa.Src, sa.SrcPort), Remote: netip.AddrPortFrom(sa.Dst, sa.DstPort), Encap: sa.Encap}
}

func (sa *SA) place() SAEndpoint {
	return SAEndpoint{sa.Src, sa.Dst, sa.Encap, sa.SrcPort, sa.DstPort, sa.OrigSrc, sa.OrigDst}
}

// CompleteSA gives a reserved SA its keys (UPDATE of a larval SA). Owner zero is the reservation's. ErrUnknown, ErrKeysKept.
func (db *DB) CompleteSA(now time.Time, sa SA) error {
	if err := sa.check(); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.lookupSA(saKey{sa.SPI, sa.Proto}, sa.Dst)
	switch {
	case s == nil:
		return ErrUnknown
	case s.state.Load()&stateLarval == 0:
		return ErrKeysKept
	}
	was := s.sa.Load()
	sa.Owner, sa.Reqid, sa.Seq = cmp.Or(sa.Owner, was.Owner), cmp.Or(sa.Reqid, was.Reqid), cmp.Or(sa.Seq, was.Seq)
	s.store(&sa)
	db.timers.stop(&s.timer)
	db.mature(s, db.Clock(now))
	return nil
}

// UpdateSA changes an SA that has keys, in place: counters, window and keys stay. ErrUnknown, ErrLarval, ErrExists (its
// new identity is taken).
func (db *DB) UpdateSA(now time.Time, id SAID, c Change) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.lookupSA(saKey{id.SPI, id.Proto}, id.Dst)
	switch {
	case s == nil || s.state.Load()&stateDead != 0:
		return ErrUnknown
	case s.state.Load()&stateLarval != 0:
		return ErrLarval
	}
	sa := *s.sa.Load() // the keys are shared with it, not copied
	if c.Endpoint != nil && *c.Endpoint == sa.place() {
		c.Endpoint = nil // a client that changes limits says its addresses again; where the peer has moved to stays
	}
	if c.Endpoint != nil {
		e := c.Endpoint
		sa.Src, sa.Dst, sa.Encap, sa.SrcPort, sa.DstPort, sa.OrigSrc, sa.OrigDst = e.Src, e.Dst, e.Encap, e.SrcPort, e.DstPort, e.OrigSrc, e.OrigDst
		if err := sa.checkPlace(); err != nil {
			return err
		}
		if sa.Dst != s.dst && db.perDst && db.exists(s.key(), sa.Dst) {
			return ErrExists
		}
	}
	if c.Reqid != nil {
		sa.Reqid = *c.Reqid
	}
	if c.Limits != nil {
		sa.Limits = *c.Limits
	}
	elsewhere := c.Endpoint != nil || c.Reqid != nil
	if elsewhere {
		db.displace(s)
	}
	s.sa.Store(&sa)
	if c.Limits != nil {
		s.limit(sa.Limits)
		s.schedule(db.Clock(now))
	}
	if c.Endpoint != nil {
		if sa.Dst != s.dst { // otherwise what arrives meanwhile finds it
			db.unlink(s)
			db.link(s)
		}
		old := s.endpoint.Load()
		at := db.placeAt(sa.endpoint())
		s.endpoint.Store(&at)
		db.leave(old)
		s.hearAgain(&sa)
	}
	if elsewhere {
		db.place(s)
	} else {
		s.chooseAgain() // it may be dying no more
	}
	return nil
}

// limit replaces the limits. Packets read them with a half's lock. Under db.mu.
func (s *Single) limit(l Limits) {
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	s.lim = boundsOf(s.added, l)
	s.sequenced()
	s.softTold.Store(false)
}

// lockHalves takes the locks of the halves that there are, and returns what gives them back. Under s.half.
func (s *Single) lockHalves() (unlock func()) {
	x, y := s.sender.Load(), s.receiver.Load()
	if x != nil {
		x.mu.Lock()
	}
	if y != nil {
		y.mu.Lock()
	}
	return func() {
		if x != nil {
			x.mu.Unlock()
		}
		if y != nil {
			y.mu.Unlock()
		}
	}
}

// DeleteSA removes an SA or a reservation and returns it as it was.
func (db *DB) DeleteSA(now time.Time, id SAID) (SAInfo, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.lookupSA(saKey{id.SPI, id.Proto}, id.Dst)
	if s == nil {
		return SAInfo{}, ErrUnknown
	}
	return db.removeSingle(s, db.Clock(now)), nil
}

// removeSingle takes an SA out of everything and wipes its keys. When it returns nothing is sealed or opened any more.
// Under db.mu.
func (db *DB) removeSingle(s *Single, at int64) SAInfo {
	larval := s.state.Load()&stateLarval != 0
	s.closeState(stateOutClosed | stateInClosed)
	db.timers.stop(&s.timer)
	db.unlink(s)
	if !larval {
		db.displace(s)
		db.leave(s.endpoint.Load())
	}
	if s.drawn {
		db.retire(s.spi, at)
	}
	db.singles.Add(-1)
	db.room(-1)
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	i := s.infoLocked()
	sa := s.sa.Load()
	sa.Key.Wipe()
	sa.Integ.Wipe()
	return i
}

// DeleteWide removes all SAs but reservations from src to dst of a protocol (DELETE without an SPI), and returns how many.
func (db *DB) DeleteWide(now time.Time, proto uint8, src, dst netip.Addr) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := 0
	for st := db.findSet(keyOf(proto, src, dst, 0)); ; n++ {
		s := st.head()
		if s == nil {
			return n
		}
		db.removeSingle(s, db.Clock(now))
	}
}

// flushStep is how many SAs go with the lock held once.
const flushStep = 64

// FlushSAs removes all single SAs of a protocol, or of all (zero), and returns how many. Pairs of IKE stay.
func (db *DB) FlushSAs(now time.Time, proto uint8) int {
	n := 0
	for list := db.SAs(proto, false); len(list) > 0; {
		step := min(flushStep, len(list))
		n += db.flush(db.Clock(now), list[:step])
		list = list[step:]
	}
	return n
}

func (db *DB) flush(at int64, list []SARef) (n int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, r := range list {
		if r.single.state.Load()&stateInClosed == 0 {
			db.removeSingle(r.single, at)
			n++
		}
	}
	return n
}

// Info is the SA as GET and DUMP show it.
func (s *Single) Info() SAInfo {
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	return s.infoLocked()
}

// infoLocked is Info with s.half, which keeps the keys from being wiped, and the half's lock held.
func (s *Single) infoLocked() SAInfo {
	i := SAInfo{SA: *s.sa.Load(), State: s.saState(), Added: s.db.instant(s.added), FirstUsed: s.db.instant(s.usedAt.Load())}
	i.Key, i.Integ = copyOf(i.Key), copyOf(i.Integ)
	if pl := s.endpoint.Load(); pl != nil {
		i.Endpoint = pl.Endpoint
	}
	var t *tally
	if x := s.sender.Load(); x != nil {
		t, i.Last = &x.count, x.seq()
	} else if x := s.receiver.Load(); x != nil {
		t, i.Last = &x.count, x.seq()
		i.Endpoint = Endpoint{Local: netip.AddrPortFrom(i.Dst, i.DstPort), Remote: *s.source.Load(), Encap: i.Encap}
	}
	if t != nil {
		i.Bytes, i.Packets, i.LastUsed = t.bytes, t.packets, s.db.instant(t.last)
	}
	return i
}

// saState is the state that PF_KEY has words for.
func (c *core) saState() State {
	switch st := c.state.Load(); {
	case st&stateDead != 0:
		return StateDead
	case st&stateLarval != 0:
		return StateLarval
	case c.softTold.Load():
		return StateDying
	}
	return StateMature
}

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
	// What a packet touches comes first.
	spi      uint32
	drawn    bool                   // the SPI was this host's choice: it goes into quarantine
	listed   bool                   // in db.remotes: under db.mu
	next     atomic.Pointer[Single] // in db.sad
	sender   atomic.Pointer[Sender]
	receiver atomic.Pointer[Receiver]
	source   atomic.Pointer[netip.AddrPort] // where what it opens is expected from
	sa       atomic.Pointer[said]           // as its owner knows it; replaced under db.mu
	tag      atomic.Uint64
	met      atomic.Pointer[policy] // what let in what came by it last: for Warm, which believes nothing
	core

	half   sync.Mutex // protects making a half, and the octets of the keys
	serial uint64     // its age
	first  said       // what the owner said when it had its keys, of home

	// under db.mu
	fits           [2]fitting // the sets it stands in: of any reqid, of its own
	before, behind *Single    // others that send there
}

// said is what the owner of an SA says of it, beside what never changes and is in core. Immutable.
type said struct {
	at         *Endpoint // Local is the source of its packets, Remote the destination
	rare       *rare     // nil: none of it
	key, integ secret.Key
	owner      uint64
	reqid      uint32
	window     int32
}

// rare is what an owner may say and mostly does not, as it is in SA. Immutable.
type rare struct {
	origSrc, origDst netip.Addr
	limits           Limits
	seq              uint32
	alignAH8         bool
	traffic          *Traffic
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
	s.say(&s.first, &s.home.Endpoint, &sa)
	db.sad.insert(s)
	db.mature(s, &sa, db.Clock(now))
	return nil
}

// newSingle makes an SA that nobody sees yet.
func (db *DB) newSingle(at int64, sa *SA) *Single {
	db.serial++
	s := &Single{spi: sa.SPI, serial: db.serial}
	s.core.db, s.single, s.proto, s.note.who = db, s, sa.Proto, &s.core
	s.added = at
	s.mode, s.lim = sa.Mode, &db.unlimited
	s.state.Store(stateLarval)
	db.singles.Add(1)
	db.room(1)
	return s
}

// say keeps a copy of what the owner said, in memory that nobody reads yet.
func (s *Single) say(d *said, e *Endpoint, sa *SA) {
	*e = sa.endpoint()
	*d = said{at: e, rare: sa.rare(), key: copyOf(sa.Key), integ: copyOf(sa.Integ), owner: sa.Owner, reqid: sa.Reqid, window: int32(sa.Window)}
	s.sa.Store(d)
}

// rare is nil for an SA that has none of it.
func (sa *SA) rare() *rare {
	r := rare{sa.OrigSrc, sa.OrigDst, sa.Limits, sa.Seq, sa.AlignAH8, sa.Traffic}
	if r == (rare{}) {
		return nil
	}
	return &r
}

// less is the rare part; the zero rare for none.
func (d *said) less() rare {
	if d.rare == nil {
		return rare{}
	}
	return *d.rare
}

// copyOf is a key with octets of its own, and none for a key that has none.
func copyOf(k secret.Key) secret.Key {
	if k.IsZero() {
		return secret.Key{}
	}
	return k.Clone()
}

// whole puts together the SA as its owner knows it, with the keys that d has. Under db.mu or s.half.
func (s *Single) whole(d *said) SA {
	e, r := d.at, d.less()
	return SA{Proto: s.proto, SPI: s.spi, Src: e.Local.Addr(), Dst: e.Remote.Addr(), Encap: e.Encap, SrcPort: e.Local.Port(), DstPort: e.Remote.Port(),
		Mode: s.mode, Reqid: d.reqid, Suite: s.suite, Key: d.key, Integ: d.integ, Window: int(d.window), AlignAH8: r.alignAH8,
		CopyECN: s.CopyECN, CopyDF: s.CopyDF, DSCP: s.DSCP, Owner: d.owner, Seq: r.seq,
		OrigSrc: r.origSrc, OrigDst: r.origDst, Limits: r.limits, Traffic: r.traffic}
}

// mature puts an SA with keys into use, of which s.first says what its owner has said. Under db.mu.
func (db *DB) mature(s *Single, sa *SA, at int64) {
	s.half.Lock() // Info reads some of it
	s.mode, s.suite, s.CopyDF, s.CopyECN, s.DSCP = sa.Mode, sa.Suite, sa.CopyDF, sa.CopyECN, sa.DSCP
	s.bounded = sa.Traffic != nil
	s.added = at
	s.lim = db.boundsOf(at, s.first.less().limits)
	s.sequenced()
	s.source.Store(&s.first.at.Local)
	s.home.path = db.pathTo(s.home.Endpoint)
	s.endpoint.Store(&s.home)
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
	sa.Owner, sa.Reqid, sa.Seq = cmp.Or(sa.Owner, was.owner), cmp.Or(sa.Reqid, was.reqid), cmp.Or(sa.Seq, was.less().seq)
	s.say(&s.first, &s.home.Endpoint, &sa)
	db.timers.stop(s.timer)
	db.mature(s, &sa, db.Clock(now))
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
	d := *s.sa.Load() // the keys are shared with it, not copied
	sa := s.whole(&d)
	if c.Endpoint != nil {
		e, was := c.Endpoint, sa.place()
		sa.Src, sa.Dst, sa.Encap, sa.SrcPort, sa.DstPort, sa.OrigSrc, sa.OrigDst = e.Src, e.Dst, e.Encap, e.SrcPort, e.DstPort, e.OrigSrc, e.OrigDst
		if was.OrigSrc, was.OrigDst = e.OrigSrc, e.OrigDst; *e == was {
			c.Endpoint = nil // a client that changes limits says its addresses again; where the peer has moved to stays
		}
		if err := sa.checkPlace(); err != nil {
			return err
		}
		if sa.Dst != d.at.Remote.Addr() && db.perDst && db.exists(s.key(), sa.Dst) {
			return ErrExists
		}
	}
	if c.Reqid != nil {
		d.reqid = *c.Reqid
	}
	if c.Limits != nil {
		sa.Limits = *c.Limits
	}
	d.rare = sa.rare()
	db.change(s, &sa, &d, &c, db.Clock(now))
	return nil
}

// change has an SA be as its owner says now. Under db.mu.
func (db *DB) change(s *Single, sa *SA, d *said, c *Change, at int64) {
	var to *place
	elsewhere := c.Endpoint != nil || c.Reqid != nil
	if elsewhere {
		db.displace(s)
	}
	if c.Endpoint != nil {
		p := db.placeAt(sa.endpoint())
		to, d.at = &p, &p.Endpoint
	}
	s.sa.Store(d) // what arrives finds it by its destination of now
	if c.Limits != nil {
		s.limit(sa.Limits)
		s.schedule(at)
	}
	if to != nil {
		old := s.endpoint.Load()
		s.endpoint.Store(to)
		db.leave(old)
		s.hearAgain()
	}
	if elsewhere {
		db.place(s)
	} else {
		s.chooseAgain() // it may be dying no more
	}
}

// limit replaces the limits. Packets read them with a half's lock. Under db.mu.
func (s *Single) limit(l Limits) {
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	s.lim = s.db.boundsOf(s.added, l)
	s.sequenced()
	s.softTold.Store(false)
	if x := s.sender.Load(); x != nil {
		x.calm = calm{}
	}
	if x := s.receiver.Load(); x != nil {
		x.calm = calm{}
	}
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
	db.timers.stop(s.timer)
	db.sad.remove(s)
	if !larval {
		db.displace(s)
		db.leave(s.endpoint.Load())
	}
	if s.drawn {
		db.retire(s.spi, at)
	}
	db.singles.Add(-1)
	db.removals.Add(1)
	db.room(-1)
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	i := s.infoLocked()
	sa := s.sa.Load()
	sa.key.Wipe()
	sa.integ.Wipe()
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

// Info is the SA as GET and DUMP show it.
func (s *Single) Info() SAInfo {
	s.half.Lock()
	defer s.half.Unlock()
	defer s.lockHalves()()
	return s.infoLocked()
}

// infoLocked is Info with s.half, which keeps the keys from being wiped, and the half's lock held.
func (s *Single) infoLocked() SAInfo {
	d := s.sa.Load()
	i := SAInfo{SA: s.whole(d), State: s.saState(), Added: s.db.instant(s.added), FirstUsed: s.db.instant(s.usedAt.Load())}
	i.Key, i.Integ = copyOf(i.Key), copyOf(i.Integ)
	if pl := s.endpoint.Load(); pl != nil {
		i.Endpoint = pl.Endpoint
	}
	var t *tally
	if x := s.sender.Load(); x != nil {
		t, i.Last = &x.count, x.seq()
	} else if x := s.receiver.Load(); x != nil {
		t, i.Last = &x.count, x.seq()
		i.Endpoint = Endpoint{Local: d.at.Remote, Remote: *s.source.Load(), Encap: i.Encap}
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

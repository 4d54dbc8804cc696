// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The DB itself, and SPIs: RFC 4303, Section 2.1. An inbound SA is found by the low bits of its SPI, which this host drew
// itself; a packet with any other SPI meets an empty slot or one whose SPI differs.

package sadb

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
)

const (
	defaultSlotBits          = 18
	minSlotBits, maxSlotBits = 4, 20
	// firstSlotBits is where the slots begin: 4 KiB for the few SAs of a client.
	firstSlotBits = 9
	defaultMTU    = 1500
	// quarantine: an SPI is not used again so soon that packets under its old keys are still on their way.
	quarantine = int64(120 * time.Second)
	// maxRetired bounds the SPIs in quarantine: 2,000 rekeys a second.
	maxRetired = 1 << 18
	// maxDraws bounds Reserve: with 3/4 of the slots taken, all draws miss once in 10^8.
	maxDraws = 64
)

// Config of a DB.
type Config struct {
	// Rand draws SPIs and seeds the IVs of CBC. crypto/rand.Reader, but in tests.
	Rand io.Reader
	// SlotBits: pairs and their reservations may take three quarters of 2^SlotBits; 4 to 20, zero: 18. Memory is taken as
	// they come.
	SlotBits int
	// SPIPerDestination has two single SAs of one protocol with one SPI live beside each other if their destinations
	// differ (RFC 4301, Section 4.1; Linux). Without it the protocol and the SPI are the key (FreeBSD).
	SPIPerDestination bool
	// MTU is the size in octets of the largest outer IP packet before a path says less; zero: 1500.
	MTU int
	// View, if not nil, has what many SAs' ciphers need read ahead (Warm). Package port/ahead has one.
	View suite.View
}

// DB is one SAD and one SPD.
type DB struct {
	base time.Time
	rand io.Reader // with a lock of its own
	mtu  int
	view suite.View   // immutable
	seed maphash.Seed // of hashes; immutable

	unlimited bounds // of single SAs without limits; immutable
	slots     atomic.Pointer[slots]
	spd       atomic.Pointer[root]

	maxSlots int
	perDst   bool
	sad      sad              // single SAs
	sets     [shards]setShard // of single SAs
	singles  atomic.Int64     // how many there are, reservations too
	pairs    atomic.Int64     // how many there are: live, for who has no lock

	heldDropped atomic.Uint64
	lowered     atomic.Int64  // when the last lowered MTU of a path is forgotten
	removals    atomic.Uint64 // SAs that were removed, pairs and single ones
	anyHeld     atomic.Bool

	mu       sync.Mutex // protects the rest; locks of pairs, bundles and noteMu may be taken inside
	out      map[uint32]*Pair
	larval   map[uint32]*larval // by slot
	bundles  map[uint32]*bundle
	policies map[PolicyID]*policy
	paths    index[netip.AddrPort, *path]
	live     int
	reqid    uint32
	policyID PolicyID
	retired  map[uint32]struct{}
	queueOut []retiredSPI
	timers   timers
	serial   uint64                   // of the last single SA or policy
	remotes  map[uint64]*Single       // outbound single SAs in UDP, by the hash of where they send
	still    map[uint64]bool          // owners whose SAs do not follow
	entries  index[entryKey, *policy] // SPDEntries by their selectors
	traps    map[trapKey]*trap        // unanswered Acquires of SPDEntries
	unique   uint32                   // the reqid picked last for level unique
	seen     int64                    // the latest Tick
	asked    uint32                   // Seq of the last one

	noteMu  sync.Mutex // protects the rest; the innermost lock
	queue   noteQueue
	gone    []Notice // of who is gone
	holders []holder // that hold packets
	pending atomic.Bool
}

// larval is a reservation.
type larval struct {
	spi    uint32
	bundle *bundle
	timer  timer
}

type retiredSPI struct {
	spi   uint32
	until int64
}

// New makes an empty DB. Its time begins at now: all times given later are compared with it by the monotonic clock.
func New(now time.Time, c Config) (*DB, error) {
	if c.SlotBits == 0 {
		c.SlotBits = defaultSlotBits
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.Rand == nil || c.SlotBits < minSlotBits || c.SlotBits > maxSlotBits || c.MTU < FloorV4 || c.MTU > 65535 {
		return nil, fmt.Errorf("security association database: %d slot bits (expected %d to %d), MTU %d (expected %d to 65535), or no source of randomness",
			c.SlotBits, minSlotBits, maxSlotBits, c.MTU, FloorV4)
	}
	db := &DB{
		base: now, rand: &lockedReader{r: c.Rand}, mtu: c.MTU, view: c.View, maxSlots: 1 << c.SlotBits, perDst: c.SPIPerDestination,
		out: map[uint32]*Pair{}, larval: map[uint32]*larval{}, bundles: map[uint32]*bundle{}, policies: map[PolicyID]*policy{},
		paths: index[netip.AddrPort, *path]{}, retired: map[uint32]struct{}{}, remotes: map[uint64]*Single{}, still: map[uint64]bool{},
		entries: index[entryKey, *policy]{}, traps: map[trapKey]*trap{}, seed: maphash.MakeSeed(),
		unlimited: boundsOf(0, Limits{}),
	}
	db.slots.Store(newSlots(1 << min(c.SlotBits, firstSlotBits)))
	for i := range db.sets {
		db.sets[i].sets = index[setKey, *set]{}
	}
	for i := range db.sad.factors {
		db.sad.factors[i] = factor(maphash.MakeSeed())
	}
	db.sad.init(func(s *Single) uint64 { return db.sad.hashOf(s.key()) })
	db.spd.Store(newRoot())
	return db, nil
}

// Inbound finds the pair of a packet. RFC 4303, Section 3.4.2: a packet without one is dropped by the caller.
func (db *DB) Inbound(spi uint32) *Pair {
	p := db.slots.Load().at(spi).Load()
	if p == nil || p.Receiver.spi != spi {
		return nil
	}
	return p
}

// Reserve allocates an inbound SPI (GETSPI) for 30 s. Reqid 0 allocates a new reqid too; at a rekey it is the
// predecessor's.
func (db *DB) Reserve(now time.Time, reqid uint32) (spi, newReqid uint32, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	db.forgetRetired(at)
	if len(db.retired) >= maxRetired || !db.slotFree() {
		return 0, 0, ErrNoSPI
	}
	if spi, err = db.draw(); err != nil {
		return 0, 0, err
	}
	if reqid == 0 {
		reqid = db.newReqid()
	}
	l := &larval{spi: spi, bundle: db.bundle(reqid)}
	l.bundle.refs++
	db.larval[db.slots.Load().index(spi)] = l
	db.timers.start(&l.timer, at+acquireLife, l)
	return spi, reqid, nil
}

// draw finds a random SPI whose slot is free: RFC 4303, Section 2.1: 0 to 255 are never used.
func (db *DB) draw() (uint32, error) {
	for range maxDraws {
		var b [4]byte
		if _, err := io.ReadFull(db.rand, b[:]); err != nil {
			return 0, fmt.Errorf("SPI: %w", err)
		}
		spi := binary.BigEndian.Uint32(b[:])
		t := db.slots.Load()
		_, old := db.retired[spi]
		if spi >= esp.MinSPI && !old && t.at(spi).Load() == nil && db.larval[t.index(spi)] == nil && !db.taken(spi) {
			return spi, nil
		}
	}
	return 0, ErrNoSPI
}

// due: nobody has installed it.
func (l *larval) due(now int64) {
	db, reqid := l.bundle.db, l.bundle.reqid
	db.releaseLarval(l, now)
	db.tellLater(Notice{Kind: Larval, Reqid: reqid, SPIIn: l.spi})
}

func (db *DB) releaseLarval(l *larval, now int64) {
	db.timers.stop(&l.timer)
	delete(db.larval, db.slots.Load().index(l.spi))
	db.retire(l.spi, now)
	db.unref(l.bundle)
}

func (db *DB) retire(spi uint32, now int64) {
	db.retired[spi] = struct{}{}
	db.queueOut = append(db.queueOut, retiredSPI{spi, now + quarantine})
}

func (db *DB) forgetRetired(now int64) {
	for len(db.queueOut) > 0 && db.queueOut[0].until <= now {
		delete(db.retired, db.queueOut[0].spi)
		db.queueOut = db.queueOut[1:]
	}
}

// bundle finds or makes the bundle of a reqid; the caller counts its reference.
func (db *DB) bundle(reqid uint32) *bundle {
	b := db.bundles[reqid]
	if b == nil {
		b = &bundle{db: db, reqid: reqid}
		db.bundles[reqid] = b
		db.room(1)
	}
	return b
}

func (db *DB) unref(b *bundle) {
	if b.refs--; b.refs > 0 {
		return
	}
	db.answer(b)
	b.drop()
	delete(db.bundles, b.reqid)
	db.room(-1)
}

// NewReqid allocates a reqid for a policy.
func (db *DB) NewReqid() uint32 {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.newReqid()
}

func (db *DB) newReqid() uint32 {
	for {
		db.reqid++
		if _, used := db.bundles[db.reqid]; db.reqid != 0 && !used {
			return db.reqid
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The seam over PF_KEY (RFC 2367): the same questions, put to an engine in another process by SADB messages. GETSPI reserves,
// UPDATE and ADD install, X_SPDUPDATE adds policies, UPDATE with NEW_ADDRESS moves, DELETE removes, GET counts. The other
// side is a privileged service of this host; what it says of SAs is believed, and what it says at the wrong moment ignored.
//
// PF_KEY has no standby: an outbound SA that must not be used yet (RFC 7296, Section 2.8) is added when the one that it
// replaces stops to send.

package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// keyedLimit is how long an answer may take: the shard that asks waits for it.
	keyedLimit = 2 * time.Second
	// keyedPause lies between two tries to connect again.
	keyedPause = 200 * time.Millisecond
)

// errNoService: the other side is away.
var errNoService = errors.New("the PF_KEY service does not answer at the moment")

// KeyedOptions say where the other side of the seam is.
type KeyedOptions struct {
	// Dial connects to it, in FreeBSD's dialect.
	Dial func(context.Context) (*port.Conn, error)
	// Bind has ESP in UDP that comes to a port of this daemon go to the engine.
	Bind func(netip.AddrPort) error
	// RawESP: the engine sends and receives IP protocols 50 and 51.
	RawESP bool
	// Back is called when the other side was away and is there again; nil: nothing is.
	Back func()
	Log  *slog.Logger

	limit time.Duration // how long an answer may take; zero: keyedLimit
}

// nowhere is the device of a daemon whose engine is elsewhere: nothing comes out of it.
type nowhere struct {
	once   sync.Once
	closed chan struct{}
}

func newNowhere() *nowhere { return &nowhere{closed: make(chan struct{})} }

func (n *nowhere) Read([][]byte, []int, int) (int, error) { <-n.closed; return 0, os.ErrClosed }
func (n *nowhere) Write(b [][]byte, _ int) (int, error)   { return len(b), nil }
func (n *nowhere) Name() string                           { return "nowhere" }
func (n *nowhere) MTU() int                               { return 1400 }
func (n *nowhere) BatchSize() int                         { return 1 }
func (n *nowhere) Close() error                           { n.once.Do(func() { close(n.closed) }); return nil }

// openKernel makes the other side of the seam.
func (d *Daemon) openKernel(db *sadb.DB) error {
	if d.opts.Keyed == nil {
		s := newSeam(db, d.plane.kick, d.holders.release)
		s.trapped = func(conn, child string) uint32 { return d.traps.reqid(conn, child) }
		d.kernel = s
		return nil
	}
	o := *d.opts.Keyed
	if o.Log == nil {
		o.Log = d.log
	}
	k, err := newKeyed(o, d.notice, d.holders.release)
	if err != nil {
		return fmt.Errorf("PF_KEY: %w", err)
	}
	k.trapped = func(conn, child string) uint32 { return d.traps.reqid(conn, child) }
	k.asked = func(reqid uint32) { d.traps.acquire(reqid) }
	for _, sk := range d.sockets.list {
		if sk.kind == kindNATT {
			if err := o.Bind(sk.conn.LocalAddr()); err != nil {
				k.close()
				return fmt.Errorf("PF_KEY: ESP in UDP on %s: %w", sk.conn.LocalAddr(), err)
			}
		}
	}
	d.keyed, d.kernel = k, k
	return nil
}

// keyed is safe for concurrent use.
type keyed struct {
	opts     KeyedOptions
	notice   func(unique uint64, n ike.Notice) // zero: to all
	released func(spiIn uint32)
	trapped  func(conn, child string) uint32 // the reqid of a child's trap; zero: none
	asked    func(reqid uint32)              // an ACQUIRE
	next     atomic.Uint64
	ctx      context.Context
	cancel   context.CancelFunc
	loops    sync.WaitGroup

	spd sync.Mutex // one change of policies at a time; mu may be taken inside

	mu       sync.Mutex // protects the rest
	conn     *port.Conn // nil: away
	codec    pfkey.Codec
	tellsSAs bool // the other side has SAs of one policy carry each its own traffic
	seq      uint32
	waiting  map[uint32]waiter
	pairs    pairTable[*keyedPair]
	reqids   map[uint32]int // users
	reqid    uint32         // the last one drawn
	shared   uint32         // see sharedReqid; zero: none yet
	policies map[keyedPolicy][]claimant
	standing []*standing
	acquires map[uint32]uint32 // unanswered: reqid by sequence number
}

// keyedPair is a reservation or a pair of SAs.
type keyedPair struct {
	pair
	keyedPlaces
	reqid   uint32
	ah      bool
	mode    ike.Mode
	who     identities     // whose it is, from when it is installed
	carries *pfkey.Opaque  // what its SAs say that they carry; nil: whatever policies say
	ipcomp  bool           // it was asked for, if not agreed on: a trap's templates fit its SAs
	cpi     [2]uint16      // of the SAs of IPComp that the other side has, in and out; zero: there is none
	held    *pfkey.Message // the outbound SA, until the pair below stops to send
	cpiHeld uint16         // and its CPI
	// origLocal and origRemote are for transport mode through a NAT; invalid where there is none.
	origLocal, origRemote netip.Addr
	below                 bool // what is sent meanwhile is compressed
	replaces              uint32
	in, out               []keyedPolicy
	hasOut                bool       // the other side has, or may have, its outbound SA
	noOut                 bool       // it is never to send again
	moving                sync.Mutex // one change of its SAs at a time; keyed.mu may be taken inside
	last                  ike.Usage  // as of the last Query; its times are this host's
}

// newKeyed connects, or says why it cannot.
func newKeyed(o KeyedOptions, notice func(uint64, ike.Notice), released func(uint32)) (*keyed, error) {
	k := &keyed{opts: o, notice: notice, released: released, policies: map[keyedPolicy][]claimant{}, reqids: map[uint32]int{},
		acquires: map[uint32]uint32{}, trapped: func(string, string) uint32 { return 0 }, asked: func(uint32) {}}
	if k.opts.limit == 0 {
		k.opts.limit = keyedLimit
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	// Answers come to all clients, and in containers all daemons have one PID: each counts from somewhere of its own.
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	k.seq = binary.NativeEndian.Uint32(b[:])
	k.clear()
	conn, err := k.connect(pfkey.PrivateFresh) // what an earlier run has left goes now
	if err != nil {
		k.cancel()
		return nil, err
	}
	k.loops.Go(func() { k.read(conn) })
	k.loops.Go(k.removeLeftLater)
	return k, nil
}

// clear forgets everything: the other side has.
func (k *keyed) clear() {
	for _, p := range k.pairs.in {
		if p.held != nil {
			wipeMessage(p.held)
			p.held = nil
		}
	}
	k.waiting, k.pairs = map[uint32]waiter{}, newPairTable[*keyedPair]()
	clear(k.policies)
	clear(k.acquires)
	clear(k.reqids)
	if k.shared != 0 {
		k.reqids[k.shared]++ // nobody else's
	}
	for _, p := range k.standing { // which stay
		if p.action == sadb.Protect {
			k.reqids[p.reqid]++
		}
	}
}

// connect dials and registers: for what an engine tells, as a daemon that moves its SAs itself, names them as RFC 4301 does and wants to
// know of policies whether they are in force; with flags.
func (k *keyed) connect(flags uint32) (*port.Conn, error) {
	ctx, cancel := context.WithTimeout(k.ctx, keyedLimit)
	defer cancel()
	flags |= pfkey.PrivateMoves | pfkey.PrivateIdle | pfkey.PrivateNames | pfkey.PrivateHost | pfkey.PrivateTraffic
	conn, err := k.opts.Dial(ctx)
	if err != nil {
		return nil, err
	}
	tells := false
	for _, kind := range []pfkey.SAType{pfkey.SATypeESP, pfkey.SATypeAH} {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: kind}, KMPrivate: conn.Codec().Private(flags)}
		a, err := conn.Request(ctx, m)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("REGISTER: %w", err)
		}
		tells = conn.Codec().PrivateFlags(a.KMPrivate)&pfkey.PrivateTraffic != 0
	}
	k.mu.Lock()
	k.conn, k.codec, k.tellsSAs = conn, conn.Codec(), tells
	k.mu.Unlock()
	return conn, nil
}

// read hands answers to who waits and notices to machines. When the other side ends all SAs are gone, and it is looked for until
// it is back.
func (k *keyed) read(conn *port.Conn) {
	for {
		m, err := conn.Receive(k.ctx)
		if err == nil {
			k.take(m)
			continue
		}
		if _, bad := errors.AsType[*pfkey.Error](err); bad {
			continue
		}
		conn.Close()
		k.mu.Lock()
		k.conn = nil
		gone := k.pairs.in
		for _, w := range k.waiting {
			close(w.answer)
		}
		k.clear()
		k.mu.Unlock()
		if k.ctx.Err() != nil {
			return
		}
		k.opts.Log.Error("the PF_KEY service is gone, and all SAs with it", "reason", err.Error(), "children", len(gone))
		for spi := range gone {
			k.released(spi)
		}
		if conn = k.again(); conn == nil {
			return
		}
		k.opts.Log.Info("the PF_KEY service is back")
		k.loops.Go(func() { // its answers are read here
			// What is to hold traffic back is this connection's before what was the last one's goes.
			k.holdAgain()
			k.removeLeft()
			if k.opts.Back != nil {
				k.opts.Back()
			}
			k.notice(0, ike.Lost{})
			k.removeLeftLater()
		})
	}
}

// again connects as soon as it can; nil: the daemon ends.
func (k *keyed) again() *port.Conn {
	for sleep(k.ctx, keyedPause) {
		if conn, err := k.connect(0); err == nil {
			return conn
		}
	}
	return nil
}

// close ends the connection. SAs have been removed before.
func (k *keyed) close() {
	k.cancel()
	k.loops.Wait()
}

// take is one message from the other side. Keys in it are of no use here, whoever it is for, and go at once.
func (k *keyed) take(m *pfkey.Message) {
	wipeMessage(m)
	k.mu.Lock()
	if w, ok := k.waiting[m.Seq]; ok && answers(w.request, m) {
		delete(k.waiting, m.Seq)
		k.mu.Unlock()
		w.answer <- m
		return
	}
	if m.Type == pfkey.TypeAcquire {
		k.mu.Unlock()
		k.acquired(m)
		return
	}
	unique, n := k.noticeOf(m)
	k.mu.Unlock()
	if n != nil {
		k.notice(unique, n)
	}
}

// noticeOf is what a message is to a machine; nil: it is about SAs of others. An SPI alone names none: outbound ones are the peers' choice.
// The caller holds mu.
func (k *keyed) noticeOf(m *pfkey.Message) (unique uint64, n ike.Notice) {
	if m.SA == nil || m.Src == nil || m.Dst == nil {
		return 0, nil
	}
	p := k.pairs.in[m.SA.SPI]
	switch m.Type {
	case pfkey.TypeExpire:
		if p == nil || m.SAType != satype(p.ah) || !p.may(keyedIn, func(at sadb.Endpoint) bool { return m.Dst.Addr == at.Local.Addr() }) {
			p = k.byOut(m)
		}
		if p != nil {
			return p.unique, ike.Expire{SPIIn: p.spiIn, Hard: m.LifetimeHard != nil}
		}
	case pfkey.TypeNewMapping:
		if p == nil || m.SAType != satype(p.ah) || m.NATDstPort == nil || m.NATSrcPort == nil {
			return 0, nil
		}
		from := netip.AddrPortFrom(m.Src.Addr, *m.NATSrcPort)
		if !p.may(keyedIn, func(at sadb.Endpoint) bool { return from == at.Remote }) {
			return 0, nil
		}
		to := netip.AddrPortFrom(m.Dst.Addr, *m.NATDstPort)
		return p.unique, ike.NewMapping{SPIIn: p.spiIn, From: from, To: to,
			Path: ike.Path{Local: p.at[keyedIn].Local, Remote: to, Encap: natt.NonESP}}
	}
	return 0, nil
}

func (k *keyed) byOut(m *pfkey.Message) *keyedPair {
	for _, p := range k.pairs.in {
		at := func(at sadb.Endpoint) bool { return at.Remote.Addr() == m.Dst.Addr && at.Local.Addr() == m.Src.Addr }
		if p.hasOut && p.spiOut == m.SA.SPI && m.SAType == satype(p.ah) && p.may(keyedOut, at) {
			return p
		}
	}
	return nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A pair of SAs and what an SA is beside its halves. The outbound half has a lock, the inbound half has a lock, and neither
// waits for the other; the endpoint both use is one atomic pointer. Limits are checked at every packet, so that a hard one
// ends the SA, both ways, at the packet that would go beyond it and not when somebody next looks (RFC 4301, Section 4.4.2.1).

package sadb

import (
	"errors"
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/natterjack/natterjack/crypt/suite"
)

// ErrEnded: the SA has reached a hard limit or was removed.
var ErrEnded = errors.New("the SA is at its end")

// seqSoft: half of the sequence numbers there are without ESN: time enough to rekey at any speed.
const seqSoft = 1 << 31

// The bits of core.state.
const (
	stateDead      = 1 << iota // a hard limit was reached
	stateOutClosed             // nothing is sealed any more
	stateInClosed              // nothing is opened any more
	stateLarval                // a single SA without keys
)

// core is what the two halves of a pair share, and what a single SA is beside its keys.
type core struct {
	// What a packet touches comes first, so that it lies together. What is not atomic is immutable once the SA can be found.
	endpoint atomic.Pointer[place] // RFC 7296, Section 2.23: swapped in place, the SA is never cloned
	state    atomic.Uint32
	softTold atomic.Bool
	proto    uint8
	mode     Mode
	// CopyDF, CopyECN and DSCP are the SA's. Immutable.
	CopyDF, CopyECN bool
	DSCP            DSCP
	standby         bool  // a pair's: see Child
	several         bool  // a pair's: it has more than one selector on a side
	bounded         bool  // a single SA that carries some of what policies let it alone: Single.carries
	pair            *Pair // nil: single is set
	home            place // the first endpoint

	// From here on: what few packets touch.
	single  *Single
	db      *DB
	usedAt  atomic.Int64 // the first packet; 0: none yet
	seqSoft uint64
	seqHard uint64
	lim     *bounds // replaced under db.mu and the locks of the halves, read under any of these; what it points to is immutable
	suite   suite.ESP
	added   int64
	note    notifier
	timer   *timer // under db.mu; nil: a single SA that never waited for anything
}

// bounds are Limits by the clock of the DB; what is not limited is the largest number.
type bounds struct {
	softAt, hardAt           int64
	softUse, hardUse         int64 // since usedAt
	softBytes, hardBytes     uint64
	softPackets, hardPackets uint64
}

// boundsOf are the limits of a single SA.
func (db *DB) boundsOf(added int64, l Limits) *bounds {
	if l == (Limits{}) {
		return &db.unlimited
	}
	b := boundsOf(added, l)
	return &b
}

func boundsOf(added int64, l Limits) bounds {
	return bounds{
		softAt: after(added, l.SoftTime), hardAt: after(added, l.HardTime), softUse: after(0, l.SoftUse), hardUse: after(0, l.HardUse),
		softBytes: orNone(l.SoftBytes), hardBytes: orNone(l.HardBytes),
		softPackets: orNone(l.SoftPackets), hardPackets: orNone(l.HardPackets),
	}
}

func orNone(n uint64) uint64 {
	if n == 0 {
		return math.MaxUint64
	}
	return n
}

// sequenced sets the limits that cannot be switched off: see Child.
func (c *core) sequenced() {
	c.seqSoft, c.seqHard = math.MaxUint64, math.MaxUint64
	if c.proto == ProtoIPComp {
		return // it has no numbers and no key
	}
	if !c.suite.ESN {
		c.seqSoft = seqSoft
	}
	if limit := min(c.suite.Encr.PacketLimit(), c.suite.Integ.PacketLimit()); limit < math.MaxUint64 {
		c.seqHard, c.seqSoft = limit, min(c.seqSoft, limit/2)
	}
}

// over reports whether the time of the SA is up.
func (c *core) over(now int64) bool { return now >= c.lim.hardAt || c.usedFor(now) >= c.lim.hardUse }

// usedFor is the time since the first packet; negative: there was none.
func (c *core) usedFor(now int64) int64 {
	if at := c.usedAt.Load(); at != 0 {
		return now - at
	}
	return -1
}

// soft reports whether one of the soft limits is reached in the direction that t counts.
func (c *core) soft(t *tally, now int64) bool {
	return now >= c.lim.softAt || t.packets >= c.lim.softPackets || t.bytes >= c.lim.softBytes || c.usedFor(now) >= c.lim.softUse
}

// tellSoft posts the notice of a soft limit once.
func (c *core) tellSoft() {
	if !c.softTold.Load() && !c.softTold.Swap(true) {
		c.db.post(&c.note, noteSoft)
	}
}

// end makes the SA unusable at a hard limit. It may be called with either half's lock held.
func (c *core) end() {
	for {
		old := c.state.Load()
		if old&stateDead != 0 {
			return
		}
		if c.state.CompareAndSwap(old, old|stateDead) {
			break
		}
	}
	if c.pair != nil {
		c.pair.bundle.ended(c.pair)
	}
	c.db.post(&c.note, noteHard)
}

// closeState sets bits of state; what is in flight under a lock finishes.
func (c *core) closeState(bits uint32) { c.state.Or(bits) }

// Ended reports whether a hard limit was reached or the SA removed.
func (c *core) Ended() bool {
	return c.state.Load() != 0
}

// Endpoint is where it sends now.
func (c *core) Endpoint() Endpoint { return *c.At() }

// At is where it sends now: not to be changed, and it does not change.
func (c *core) At() *Endpoint { return &c.endpoint.Load().Endpoint }

// Proto is ProtoESP, ProtoAH or ProtoIPComp.
func (c *core) Proto() uint8 { return c.proto }

// Mode is Tunnel or Transport; a single SA may have AnyMode, and its template decides.
func (c *core) Mode() Mode { return c.mode }

// Pair is the pair that a half belongs to; nil: it is a single SA.
func (c *core) Pair() *Pair { return c.pair }

// tally is a half's counters. Under the half's lock: what is written atomically costs a packet more than its look-up.
type tally struct {
	bytes, packets uint64
	last, data     int64 // DB.Clock; 0: never
}

// Pair is a child: an inbound and an outbound SA. The data plane finds it by SPI or through a Match.
//
// What packets touch lies on as few lines of memory as it can: what both halves need, and the first word with it, which is read wherever
// the pointer is made sure of; then the outbound half, then the inbound one. The halves are used by different goroutines: what one writes
// is not on a line that the other reads.
type Pair struct {
	spiIn         uint32 // immutable after Install
	cpiIn, cpiOut uint16
	policy        *policy // what it has in the SPD; nil: nothing. Written under db.mu, before a packet finds the pair
	core
	bundle *bundle // immutable after Install
	Sender
	Receiver
	local, remote [1]span // unless there are several

	// immutable after Install
	unusual *unusual // nil: nothing is
	nextOut *Pair    // under db.mu: another one with the same outbound SPI
	whose   uint64
	reqid   uint32
	spiOut  uint32

	bounds bounds // where core.lim points to
	clock  timer  // where core.timer points to
}

// unusual is what a pair mostly does not have. Immutable after Install.
type unusual struct {
	local, remote []span // if there are several
	orig          origins
}

// rare is where it goes. Before the pair can be found.
func (p *Pair) rare() *unusual {
	if p.unusual == nil {
		p.unusual = &unusual{}
	}
	return p.unusual
}

// selectors are both sides'.
func (p *Pair) selectors() (local, remote []span) {
	if p.several {
		return p.unusual.local, p.unusual.remote
	}
	return p.local[:], p.remote[:]
}

// SPIIn is the inbound SPI: the pair's name.
func (p *Pair) SPIIn() uint32 { return p.spiIn }

// Head is how many octets an outbound packet has in front of its payload.
func (p *Pair) Head() int { return p.Sender.Head() }

// HeadIn is how many octets an inbound packet has in front of its payload.
func (p *Pair) HeadIn() int { return p.Receiver.Head() }

// Out and In are the halves.
func (p *Pair) Out() *Sender  { return &p.Sender }
func (p *Pair) In() *Receiver { return &p.Receiver }

// Reqid is what the pair's policies are found by, and what it has in common with the pairs that replace it.
func (p *Pair) Reqid() uint32 { return p.reqid }

// Sending is the pair that seals for this one's reqid now, itself or another; nil: there is none any more.
func (p *Pair) Sending() *Pair { return p.bundle.sending.Load() }

// CPI are the compression parameter indexes of the two directions; zero: no compression.
func (p *Pair) CPI() (in, out uint16) { return p.cpiIn, p.cpiOut }

// Orig are the addresses in the peer's checksums: see Child.
func (p *Pair) Orig() (local, remote netip.Addr) {
	if p.unusual == nil {
		return local, remote
	}
	return p.unusual.orig.local, p.unusual.orig.remote
}

// Peer is whose the pair is: see Child.
func (p *Pair) Peer() uint64 { return p.whose }

// Host is the one address that the remote selectors have; false: they have several.
func (p *Pair) Host() (a netip.Addr, ok bool) {
	_, remote := p.selectors()
	s := &remote[0]
	for i := range remote {
		if r := &remote[i]; r.from != s.from || r.to != s.from || r.v6 != s.v6 {
			return netip.Addr{}, false
		}
	}
	return s.from.Addr(s.v6), true
}

// origins are the addresses in the peer's checksums; invalid: not known.
type origins struct{ local, remote netip.Addr }

// Contains says whether a packet lies in the selectors (RFC 4301, Sections 5.1 and 5.2). hiddenPorts: it would but for
// ports that this fragment does not show (RFC 4301, Section 7).
func (p *Pair) Contains(f *Flow) (ok, hiddenPorts bool) {
	local, remote := p.selectors()
	l := best(local, f, (*span).local)
	if l == outside {
		return false, false
	}
	r := min(l, best(remote, f, (*span).remote))
	return r == inside, r == hidden
}

// HeardSince says whether an authentic packet has come after the instant.
func (p *Pair) HeardSince(at int64) bool {
	t, _ := p.Receiver.counted()
	return t.last > at
}

// usage is a snapshot.
func (p *Pair) usage() Usage {
	out, _ := p.Sender.counted()
	in, _ := p.Receiver.counted()
	return p.db.usage(&out, &in)
}

func (db *DB) usage(out, in *tally) Usage {
	at := db.instant
	return Usage{
		BytesIn: in.bytes, PacketsIn: in.packets, LastIn: at(in.last), DataIn: at(in.data),
		BytesOut: out.bytes, PacketsOut: out.packets, LastOut: at(out.last), DataOut: at(out.data),
	}
}

func (p *Pair) info() Info {
	pl := p.endpoint.Load()
	return Info{
		Reqid: p.reqid, SPIIn: p.spiIn, SPIOut: p.spiOut, Endpoint: pl.Endpoint, Proto: p.proto, Mode: p.mode, Suite: p.suite,
		Usage: p.usage(), Installed: p.db.instant(p.added), PathMTU: int(pl.path.mtu.Load()), Sending: p.bundle.sending.Load() == p,
		Dead: p.state.Load()&stateDead != 0,
	}
}

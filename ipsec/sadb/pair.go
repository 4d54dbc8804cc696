// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A pair of SAs and its two halves. The outbound half has a lock, the inbound half has a lock, and neither waits for the
// other; the endpoint both use is one atomic pointer. Limits are checked at every packet, so that a hard one ends the pair
// at the packet that reaches it and not when somebody next looks (RFC 4301, Section 4.4.2.1).

package sadb

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// ErrEnded: the pair has reached a hard limit or was removed.
var ErrEnded = errors.New("the SA is at its end")

const (
	// seqSoft: half of the sequence numbers there are without ESN: time enough to rekey at any speed.
	seqSoft = 1 << 31
	// gcmHard: NIST SP 800-38D, Section 8.3 allows 2^32 packets under one key; with ESN the counter would go on.
	gcmHard = 1 << 32
)

// The bits of Pair.state.
const (
	stateDead      = 1 << iota // a hard limit was reached
	stateOutClosed             // nothing is sealed any more
	stateInClosed              // nothing is opened any more
)

// Pair is a child: an inbound and an outbound SA. The data plane finds it by SPI or through a Match.
type Pair struct {
	// immutable after Install
	db              *DB
	bundle          *bundle
	reqid           uint32
	spiIn, spiOut   uint32
	suite           suite.ESP
	local, remote   []span
	policies        []*policy
	installed       int64
	softAt, hardAt  int64 // of time; never: maxInt64
	softBytes, hard uint64
	softPackets     uint64
	hardPackets     uint64
	seqSoft         uint64
	seqHard         uint64
	standby         bool
	head            int

	// CopyDF, CopyECN and DSCP are the child's. Immutable.
	CopyDF, CopyECN bool
	DSCP            DSCP

	endpoint atomic.Pointer[place] // RFC 7296, Section 2.23: swapped in place, the SA is never cloned
	state    atomic.Uint32
	softTold atomic.Bool
	used     atomic.Bool // the inbound SA has had its first packet
	note     notifier

	softTimer, hardTimer timer // under db.mu
	nextOut              *Pair // under db.mu: another pair with the same SPIOut

	outMu  sync.Mutex // protects the sealer and writing out
	sealer *esp.Sealer
	outNow int64
	out    tally

	_    [64]byte   // the halves are used by different goroutines: not on one cache line
	inMu sync.Mutex // protects the opener, mapping and writing in
	opn  *esp.Opener
	now  int64
	in   tally
	peer mapping
}

// tally is a half's counters: written under the half's lock, read by anybody.
type tally struct {
	bytes, packets atomic.Uint64
	last, data     atomic.Int64 // DB.Clock; 0: never
}

// SPIIn is the inbound SPI: the pair's name.
func (p *Pair) SPIIn() uint32 { return p.spiIn }

// Head is how many octets an outbound packet has in front of its payload.
func (p *Pair) Head() int { return p.head }

// HeadIn is how many octets an inbound packet has in front of its payload.
func (p *Pair) HeadIn() int { return p.opn.Head() }

// Size is the size of the ESP packet around n octets.
func (p *Pair) Size(n int) int { return p.sealer.Size(n) }

// Endpoint is where it sends now.
func (p *Pair) Endpoint() Endpoint { return p.endpoint.Load().Endpoint }

// Contains says whether a packet lies in the selectors (RFC 4301, Sections 5.1 and 5.2). hiddenPorts: it would but for
// ports that this fragment does not show (RFC 4301, Section 7).
func (p *Pair) Contains(f *Flow) (ok, hiddenPorts bool) {
	l := best(p.local, f, (*span).local)
	if l == outside {
		return false, false
	}
	r := min(l, best(p.remote, f, (*span).remote))
	return r == inside, r == hidden
}

// BeginSeal takes the outbound half. EndSeal gives it back; in between the caller seals and does nothing else.
func (p *Pair) BeginSeal(now int64) {
	p.outMu.Lock()
	p.outNow = now
}

// Seal seals buf[Head():Head()+n] in place. ErrEnded: nothing was sealed, and nothing ever will be.
func (p *Pair) Seal(buf []byte, n int, next uint8) (int, error) {
	if p.state.Load()&(stateDead|stateOutClosed) != 0 {
		return 0, ErrEnded
	}
	packets, octets := p.out.packets.Load(), p.out.bytes.Load()
	dummy := next == esp.NextHeaderNone
	if p.outNow >= p.hardAt || p.sealer.Seq() >= p.seqHard || !dummy && (packets >= p.hardPackets || octets+uint64(n) > p.hard) {
		p.end()
		return 0, ErrEnded
	}
	size, err := p.sealer.Seal(buf, n, next)
	if err != nil {
		p.end()
		return 0, ErrEnded
	}
	p.out.last.Store(p.outNow)
	if !dummy {
		p.out.packets.Store(packets + 1)
		p.out.bytes.Store(octets + uint64(n))
		p.out.data.Store(p.outNow)
	}
	return size, nil
}

// EndSeal gives the outbound half back and tells of a soft limit.
func (p *Pair) EndSeal() {
	soft := p.sealer.Seq() >= p.seqSoft || p.soft(&p.out, p.outNow)
	p.outMu.Unlock()
	if soft && !p.softTold.Swap(true) {
		p.db.post(&p.note, noteSoft)
	}
}

func (p *Pair) soft(t *tally, now int64) bool {
	return now >= p.softAt || t.packets.Load() >= p.softPackets || t.bytes.Load() >= p.softBytes
}

// end makes the pair unusable at a hard limit. It may be called with either half's lock held.
func (p *Pair) end() {
	for {
		old := p.state.Load()
		if old&stateDead != 0 {
			return
		}
		if p.state.CompareAndSwap(old, old|stateDead) {
			break
		}
	}
	p.bundle.ended(p)
	p.db.post(&p.note, noteHard)
}

// closeState sets bits of state; what is in flight under a lock finishes.
func (p *Pair) closeState(bits uint32) {
	for {
		old := p.state.Load()
		if p.state.CompareAndSwap(old, old|bits) {
			return
		}
	}
}

// BeginOpen takes the inbound half. EndOpen gives it back.
func (p *Pair) BeginOpen(now int64) {
	p.inMu.Lock()
	p.now = now
}

// Arrival is where a packet came from.
type Arrival struct {
	From, To netip.AddrPort
	// Raw: not in UDP.
	Raw bool
}

// Open opens pkt in place: RFC 4303, Section 3.4. An error is one of package esp or ErrEnded. What an authentic packet
// means for the pair is noted here: first use, time of life, and where the peer is.
func (p *Pair) Open(pkt []byte, a *Arrival) (esp.Opened, error) {
	if p.state.Load()&(stateDead|stateInClosed) != 0 {
		return esp.Opened{}, ErrEnded
	}
	packets, octets := p.in.packets.Load(), p.in.bytes.Load()
	if p.now >= p.hardAt || packets >= p.hardPackets || octets >= p.hard {
		p.end()
		return esp.Opened{}, ErrEnded
	}
	o, err := p.opn.Open(pkt)
	if err != nil && err != esp.ErrPadding {
		return o, err
	}
	p.in.last.Store(p.now)
	if !p.used.Load() {
		p.firstUse()
	}
	if o.Newest {
		p.heard(a)
	}
	if err == nil && o.Next != esp.NextHeaderNone {
		p.in.packets.Store(packets + 1)
		p.in.bytes.Store(octets + uint64(len(o.Payload)))
		p.in.data.Store(p.now)
	}
	return o, err
}

// EndOpen gives the inbound half back and tells of a soft limit.
func (p *Pair) EndOpen() {
	soft := p.opn.Top() >= p.seqSoft || p.soft(&p.in, p.now)
	p.inMu.Unlock()
	if soft && !p.softTold.Swap(true) {
		p.db.post(&p.note, noteSoft)
	}
}

// firstUse: the peer has the new SA. RFC 7296, Section 2.8: from now on it may be sent on.
func (p *Pair) firstUse() {
	p.used.Store(true)
	if p.standby {
		p.bundle.promote(p)
	}
	p.db.post(&p.note, noteFirst)
}

// usage is a snapshot.
func (p *Pair) usage() Usage {
	at := p.db.instant
	return Usage{
		BytesIn: p.in.bytes.Load(), PacketsIn: p.in.packets.Load(), LastIn: at(p.in.last.Load()), DataIn: at(p.in.data.Load()),
		BytesOut: p.out.bytes.Load(), PacketsOut: p.out.packets.Load(), LastOut: at(p.out.last.Load()), DataOut: at(p.out.data.Load()),
	}
}

func (p *Pair) info() Info {
	pl := p.endpoint.Load()
	return Info{
		Reqid: p.reqid, SPIIn: p.spiIn, SPIOut: p.spiOut, Endpoint: pl.Endpoint, Suite: p.suite, Usage: p.usage(),
		Installed: p.db.instant(p.installed), PathMTU: int(pl.path.mtu.Load()), Sending: p.bundle.sending.Load() == p,
		Dead: p.state.Load()&stateDead != 0,
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The inbound half: what opens. Its packets are anybody's until they were opened. Nothing of the SA but its end changes
// before the ICV was verified.

package sadb

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// Receiver is the inbound half of a pair, or a single SA that opens. It must not be copied.
type Receiver struct {
	*core
	mu     sync.Mutex
	spi    uint32
	opened atomic.Bool // something was
	now    int64       // under mu
	count  tally       // under mu
	calm   calm        // under mu
	peer   *mapping    // under mu; nil: always where it was expected
	opn    esp.Opener  // under mu; of ESP only

	ah *ah.Opener // under mu; nil: another protocol
}

// SPI is the one in its packets.
func (r *Receiver) SPI() uint32 { return r.spi }

// Head is how many octets an ESP packet has in front of its payload; zero for other protocols.
func (r *Receiver) Head() int {
	if r.proto != ProtoESP {
		return 0
	}
	return r.opn.Head()
}

// Arrival is where a packet came from.
type Arrival struct {
	From, To netip.AddrPort
	// Raw: not in UDP.
	Raw bool
}

// BeginOpen takes the half. EndOpen gives it back.
func (r *Receiver) BeginOpen(now int64) {
	r.mu.Lock()
	r.now = now
}

// Open opens pkt in place: RFC 4303, Section 3.4. An error is one of package esp or ErrEnded. What an authentic packet
// means for the SA is noted here: first use, time of life, and where the peer is.
func (r *Receiver) Open(pkt []byte, a *Arrival) (esp.Opened, error) {
	if !r.may() {
		return esp.Opened{}, ErrEnded
	}
	o, err := r.opn.Open(pkt)
	if err != nil && err != esp.ErrPadding {
		return o, err
	}
	r.authentic(a, o.Newest)
	if err == nil && o.Next != esp.NextHeaderNone {
		r.account(len(o.Payload))
	}
	return o, err
}

// may says whether another packet is within all limits; if it is not, the SA is at its end. Nothing authenticates IPComp: whoever
// guesses a CPI could use up octets and packets of an SA that opens. So they are no limit there; time is, and what seals has all.
func (r *Receiver) may() bool {
	if r.state.Load()&(stateDead|stateInClosed) != 0 || r.pair == nil && r.single.seals() {
		return false
	}
	if r.calm.holds(r.now, r.seq(), &r.count, 0) {
		return true
	}
	if r.over(r.now) || r.proto != ProtoIPComp && (r.count.packets >= r.lim.hardPackets || r.count.bytes >= r.lim.hardBytes) {
		r.end()
		return false
	}
	return true
}

// authentic notes a packet whose ICV was verified.
func (r *Receiver) authentic(a *Arrival, newest bool) {
	r.heardNow()
	if newest {
		r.heard(a)
	}
}

// heardNow notes when a packet came that was authentic, and the first use of the SA.
func (r *Receiver) heardNow() {
	r.count.last = r.now
	if r.opened.Load() {
		return
	}
	r.opened.Store(true)
	if r.usedAt.Load() == 0 {
		r.firstUse()
	}
}

// account counts a packet that was opened and is not a dummy.
func (r *Receiver) account(n int) {
	r.count.packets++
	r.count.bytes += uint64(n)
	r.count.data = r.now
}

// firstUse: the peer has the new SA. RFC 7296, Section 2.8: from now on it may be sent on.
func (r *Receiver) firstUse() {
	r.usedAt.Store(r.now)
	if r.pair != nil && r.pair.standby {
		r.pair.bundle.promote(r.pair)
	}
	r.db.post(&r.note, noteFirst)
}

// counted is a snapshot: the counters, and the highest number received.
func (r *Receiver) counted() (tally, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.seq()
}

// seq is the highest number received. Under mu.
func (r *Receiver) seq() uint64 {
	switch {
	case r.proto == ProtoESP:
		return r.opn.Top()
	case r.ah != nil:
		return r.ah.Top()
	}
	return 0
}

// EndOpen gives the half back and tells of a soft limit.
func (r *Receiver) EndOpen() {
	if r.calm.holds(r.now, r.seq(), &r.count, 0) {
		r.mu.Unlock()
		return
	}
	count, next := &r.count, r.core.calm()
	if r.proto == ProtoIPComp { // see may
		count, next = &tally{}, next.uncounted()
	}
	soft := r.seq() >= r.seqSoft || r.soft(count, r.now)
	r.calm = next
	r.mu.Unlock()
	if soft {
		r.tellSoft()
	}
}

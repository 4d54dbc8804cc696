// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Outbound processing: RFC 4301, Section 5.1. A batch is first sorted (policy, SA, size), then sealed SA by SA, each packet of an
// SA behind the one before it, into memory that leaves as one send. Within an SA packets keep their order, so that the peer's
// replay window need not be large. Inner packets are untrusted.

package dataplane

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// arenaFirst is what a batch of ordinary packets needs; arenaSize, made when a batch needs more for the first time,
	// holds the largest packets with all that is added to them, in fragments of the smallest path as well.
	arenaFirst = 1 << 20
	arenaSize  = BatchSize * (maxPacket + maxPacket/400*(esp.MaxOverhead+ipv4Header) + esp.MaxOverhead)
	// maxDatagrams of one batch; a packet of 64 KiB makes 170 fragments on the smallest path.
	maxDatagrams = 1024
	// maxRun and maxRunLength are what one UDP_SEGMENT send can be (see port/udp).
	maxRun       = 64
	maxRunOctets = 65535 - 48
	// cacheSize is how many flows an Outbound remembers the policy of.
	cacheSize = 1024
	noItem    = -1
	// groupSlots is the table by which a pair's group is found: twice as many as there can be groups.
	groupSlots = 2 * BatchSize
)

// cached is the policy of a flow, and the pair whose selectors the flow was found to be in.
type cached struct {
	flow  sadb.Flow
	gen   uint64
	match sadb.Match
	pair  *sadb.Pair
}

// item is a packet that is to be sealed.
type item struct {
	p        []byte
	body     int   // where what is protected begins
	proto    uint8 // what that is: the next header
	tos      uint8
	inner    uint8 // its own
	split    bool  // fragment it first
	fragment bool  // let the datagram be fragmented
	next     int
}

// group is the packets of one SA or bundle.
type group struct {
	sas         sadb.Bundle  // the innermost first
	out         *sadb.Sender // the outermost
	pair        *sadb.Pair   // nil: single SAs
	ep          *sadb.Endpoint
	bottom      *sadb.Endpoint // the innermost SA's, in transport mode
	marker      int            // octets in front of ESP on its port
	tunnel      bool           // the innermost SA's mode
	flat        bool           // no SA is in tunnel mode
	movable     bool           // see movable
	layered     bool           // more than one ESP SA
	measured    bool           // what follows is known
	most        int            // the largest inner packet that fits
	holed       int            // the largest that would fit a path with a hole
	first, last int
	firstGram   int
}

// Outbound turns inner packets into datagrams. It belongs to one goroutine.
type Outbound struct {
	e     *Engine
	n     Counters
	now   int64
	gen   uint64
	cache [cacheSize]cached
	// crowded: there are very many SAs. direct is a policy that was found without the cache.
	crowded bool
	direct  cached
	holes   holes

	items  [BatchSize]item
	nItems int
	groups [BatchSize]group
	nGroup int
	found  [groupSlots]uint8 // groups by SPI, a number plus one: of a pair the inbound one, else the outermost

	arena []byte
	off   int // octets of arena in use
	runAt int // where the last datagram begins
	grams [maxDatagrams]Datagram
	sent  Sent

	replies [maxReplies][Headroom + quoteV6]byte
	reply   [maxReplies][]byte
	bypass  [BatchSize][]byte
	split   splitter
	held    []byte
	in      inner
	bundle  sadb.Bundle
	to      target
	quote   quote
	memo    rawMemo
	told    sadb.Flow // of the error in hand itself
	remotes [BatchSize]sadb.Remote
	warmth  sadb.Warm
	layers  layers
}

// Sent is what Seal made. It is the Outbound's own memory and valid until the next call of Seal or Release.
type Sent struct {
	// Datagrams go to the sockets, in order: those of natt.Raw to the raw socket of their Proto, the others to the UDP
	// socket of their local port (WriteBatch).
	Datagrams []Datagram
	// Replies are packets back to the inner side (ICMP too big), each behind Headroom free octets:
	// Device.Write(Replies, dataplane.Headroom).
	Replies [][]byte
	// Bypass are packets that a policy lets out in clear, unchanged, without headroom. They lie in the caller's buffers.
	Bypass [][]byte
}

// NewOutbound makes the outbound half for one goroutine.
func (e *Engine) NewOutbound() *Outbound {
	return &Outbound{e: e, arena: make([]byte, arenaFirst), split: splitter{ids: &e.ids}}
}

// Seal takes a batch as port/tun.Device.Read fills it: packet i is bufs[i][offset:][:sizes[i]], at most BatchSize of
// them. The packets are not kept; their octets are changed only where an MSS is clamped, or a port, or an ICMP error about a packet, given back to a client.
func (o *Outbound) Seal(now time.Time, bufs [][]byte, sizes []int, offset int) *Sent {
	o.begin(now)
	if o.crowded = o.e.db.Crowded(); o.crowded {
		o.warm(bufs, sizes, offset)
	}
	for i, n := range sizes[:min(len(sizes), len(bufs))] {
		if i == BatchSize {
			o.n[OutNoRoom] += uint64(min(len(sizes), len(bufs)) - i)
			break
		}
		o.sort(bufs[i][offset : offset+n])
	}
	return o.finish()
}

// Release seals what was held for an Acquire and has an SA now. Call it after Install. What does not fit one batch stays
// for the next call: call again until Datagrams is empty.
func (o *Outbound) Release(now time.Time) *Sent {
	o.begin(now)
	if o.held == nil {
		o.held = make([]byte, maxPacket+64<<10)
	}
	var list [BatchSize][]byte
	n := 0
	o.e.db.Release(o.held, BatchSize, func(p []byte) {
		list[n] = p
		n++
	})
	for _, p := range list[:n] {
		o.sort(p)
	}
	return o.finish()
}

func (o *Outbound) begin(now time.Time) {
	o.now = o.e.db.Clock(now)
	o.gen = o.e.db.Generation()
	o.nItems, o.nGroup, o.off, o.runAt = 0, 0, 0, 0
	clear(o.found[:])
	o.sent = Sent{Datagrams: o.grams[:0], Replies: o.reply[:0], Bypass: o.bypass[:0]}
}

func (o *Outbound) finish() *Sent {
	for i := range o.nGroup {
		o.seal(&o.groups[i])
	}
	for i := range o.nItems {
		o.items[i].p = nil
	}
	o.e.add(&o.n)
	return &o.sent
}

// sort decides what happens to a packet.
func (o *Outbound) sort(p []byte) {
	in := &o.in
	if parse(p, true, in) != good {
		o.n[OutMalformed]++
		return
	}
	p = p[:in.n]
	if o.e.nats.any.Load() && !o.target(p) {
		o.n[OutNoPort]++
		return
	}
	c := o.lookup(&in.flow)
	switch c.match.Action {
	case sadb.Protect:
		o.protect(p, c)
	case sadb.Bypass:
		o.clear(p, c)
	case sadb.Discard:
		o.n[OutDiscarded]++
	default:
		if c.match.Hidden {
			o.n[OutFragmentPorts]++
			return
		}
		o.n[OutNoPolicy]++
	}
}

// clear hands a packet back that goes unprotected.
func (o *Outbound) clear(p []byte, c *cached) {
	if c.match.Hidden {
		// RFC 4301, Section 7.4: what its ports might have had protected does not leave in clear.
		o.n[OutFragmentPorts]++
		return
	}
	o.n[OutBypassed]++
	o.sent.Bypass = append(o.sent.Bypass, p)
}

// lookup finds the policy of a flow, in the cache or the SPD.
func (o *Outbound) lookup(f *sadb.Flow) *cached {
	if o.crowded {
		// Of very many flows few come twice in a row: mostly the SPD says more quickly what it has in one place.
		if m, ok := o.e.db.MatchRoad(f); ok {
			o.direct.match, o.direct.pair = m, nil
			return &o.direct
		}
	}
	c := &o.cache[hash(f)%cacheSize]
	if c.gen != o.gen || c.flow != *f {
		*c = cached{flow: *f}
		c.match, c.gen = o.e.db.Match(f)
	}
	return c
}

// protect chooses the SAs of a packet and puts it to the others of theirs.
func (o *Outbound) protect(p []byte, c *cached) {
	in := &o.in
	g := o.choose(p, c)
	if g == nil {
		return
	}
	if o.to.error { // the SAs are those of what it is about
		in.flow = o.told
	}
	if loops(p, in, g.ep) {
		o.n[OutLoop]++
		return
	}
	it := item{p: p, proto: protoIPv4, tos: in.tos, inner: in.tos, next: noItem}
	if in.flow.V6 {
		it.proto = protoIPv6
	}
	extra := 0
	if g.tunnel {
		it.tos = outerTOS(in.tos, g.out)
	} else {
		if why := transportable(in, g.bottom, g.movable); why != OutSealed {
			o.n[why]++
			return
		}
		it.body, it.proto, extra = in.body, in.next, in.body
	}
	if (in.n > small || g.layered) && !o.fits(p, g, &it, extra) {
		return
	}
	if g.flat && !o.address(p, g) {
		o.n[OutNoPort]++
		return
	}
	if o.e.clamp && in.flow.Proto == protoTCP {
		if o.measure(g); clampMSS(p, in, g.most+extra) {
			o.n[OutClamped]++
		}
	}
	o.append(g, it)
}

// small is a packet, in octets, that fits every path in one ESP SA: nobody need know how large a packet of its group may be.
const small = sadb.FloorV4 - ipv6Header - udpHeader - natt.NonIKEMarkerLen - esp.MaxOverhead

// fits says whether a packet leaves in one datagram, whole or as fragments, or somebody is told that it does not; false: it is not sealed.
func (o *Outbound) fits(p []byte, g *group, it *item, extra int) bool {
	in := &o.in
	o.measure(g)
	if in.n > g.holed+extra && in.flow.Proto == protoTCP && !in.fragment && o.holes.watch(o.now, p, in, g.out) {
		g.most = o.e.most(&g.sas, o.now, g.out.PathMTU(o.now))
	}
	return in.n <= g.most+extra || o.large(g, p, it, g.most+extra)
}

// measure finds how large packets of a group may be.
func (o *Outbound) measure(g *group) {
	if g.measured {
		return
	}
	mtu, hole := g.out.PathMTU(o.now), holeMTU
	if mtu <= hole {
		hole = sadb.FloorV4
	}
	g.most, g.holed, g.measured = o.e.most(&g.sas, o.now, mtu), o.e.most(&g.sas, o.now, hole), true
}

// hold keeps a packet that has no SA; true: it does not, since it has one by now.
func (o *Outbound) hold(p []byte, c *cached) bool {
	held, dropped := c.match.Hold(o.now, &o.in.flow, p)
	switch held {
	case sadb.Ready:
		return true
	case sadb.Kept:
		o.n[OutHeld]++
	default:
		dropped++
	}
	o.n[OutNoSA] += uint64(dropped)
	return false
}

func (o *Outbound) append(g *group, it item) {
	i := o.nItems
	o.nItems++
	o.items[i] = it
	if g.last == noItem {
		g.first = i
	} else {
		o.items[g.last].next = i
	}
	g.last = i
}

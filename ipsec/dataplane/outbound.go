// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Outbound processing: RFC 4301, Section 5.1. A batch is first sorted (policy, SA, size), then sealed SA by SA, each packet of an
// SA behind the one before it, into memory that leaves as one send. Within an SA packets keep their order, so that the peer's
// replay window need not be large. Inner packets are untrusted.

package dataplane

import (
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
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
	tos      uint8
	v6       bool
	split    bool // fragment it first
	fragment bool // let the datagram be fragmented
	next     int
}

// group is the packets of one pair.
type group struct {
	pair        *sadb.Pair
	ep          sadb.Endpoint
	most        int // the largest inner packet that fits
	holed       int // the largest that would fit a path with a hole
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
	holes holes

	items  [BatchSize]item
	nItems int
	groups [BatchSize]group
	nGroup int

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
}

// Sent is what Seal made. It is the Outbound's own memory and valid until the next call of Seal or Release.
type Sent struct {
	// Datagrams go to the sockets, in order: those with Raw set to the raw socket, the others to UDP (WriteBatch).
	Datagrams []Datagram
	// Replies are packets back to the inner side (ICMP too big), each behind Headroom free octets:
	// Device.Write(Replies, dataplane.Headroom).
	Replies [][]byte
	// Bypass are packets that a policy lets out in clear, unchanged, without headroom. They lie in the caller's buffers.
	Bypass [][]byte
}

// NewOutbound makes the outbound half for one goroutine.
func (e *Engine) NewOutbound() *Outbound { return &Outbound{e: e, arena: make([]byte, arenaFirst)} }

// Seal takes a batch as port/tun.Device.Read fills it: packet i is bufs[i][offset:][:sizes[i]], at most BatchSize of
// them. The packets are not kept; their octets are changed only where an MSS is clamped.
func (o *Outbound) Seal(now time.Time, bufs [][]byte, sizes []int, offset int) *Sent {
	o.begin(now)
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
	c := o.lookup(&in.flow)
	switch c.match.Action {
	case sadb.Protect:
		o.protect(p, c)
	case sadb.Bypass:
		if c.match.Hidden {
			// RFC 4301, Section 7.4: what its ports might have had protected does not leave in clear.
			o.n[OutFragmentPorts]++
			return
		}
		o.n[OutBypassed]++
		o.sent.Bypass = append(o.sent.Bypass, p)
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

// lookup finds the policy of a flow, in the cache or the SPD.
func (o *Outbound) lookup(f *sadb.Flow) *cached {
	c := &o.cache[hash(f)%cacheSize]
	if c.gen != o.gen || c.flow != *f {
		*c = cached{flow: *f}
		c.match, c.gen = o.e.db.Match(f)
	}
	return c
}

func (o *Outbound) protect(p []byte, c *cached) {
	in := &o.in
	pair := c.match.Sending()
	if pair == nil {
		if pair = o.hold(p, c); pair == nil {
			return
		}
	}
	if c.pair != pair {
		switch ok, hidden := pair.Contains(&in.flow); {
		case hidden:
			o.n[OutFragmentPorts]++
			return
		case !ok:
			o.n[OutSelectors]++
			return
		}
		c.pair = pair
	}
	g := o.group(pair)
	if loops(p, in, &g.ep) {
		o.n[OutLoop]++
		return
	}
	it := item{p: p, tos: outerTOS(in.tos, pair), v6: in.flow.V6, next: noItem}
	if in.n > g.holed && in.flow.Proto == protoTCP && !in.fragment && o.holes.watch(o.now, p, in, pair) {
		g.most = pair.MaxInner(o.now)
	}
	if in.n > g.most && !o.large(g, p, &it) {
		return
	}
	if o.e.clamp && clampMSS(p, in, g.most) {
		o.n[OutClamped]++
	}
	o.append(g, it)
}

// hold keeps a packet that has no SA, or finds that it has one by now.
func (o *Outbound) hold(p []byte, c *cached) *sadb.Pair {
	held, dropped := c.match.Hold(o.now, &o.in.flow, p)
	switch held {
	case sadb.Ready:
		if pair := c.match.Sending(); pair != nil {
			return pair
		}
		dropped++ // it came and went
	case sadb.Kept:
		o.n[OutHeld]++
	default:
		dropped++
	}
	o.n[OutNoSA] += uint64(dropped)
	return nil
}

// group finds the group of a pair: mostly the last one.
func (o *Outbound) group(pair *sadb.Pair) *group {
	for i := o.nGroup - 1; i >= 0; i-- {
		if o.groups[i].pair == pair {
			return &o.groups[i]
		}
	}
	g := &o.groups[o.nGroup]
	o.nGroup++
	*g = group{pair: pair, ep: pair.Endpoint(), most: pair.MaxInner(o.now), holed: pair.InnerAt(holeMTU), first: noItem, last: noItem}
	if pair.PathMTU(o.now) <= holeMTU {
		g.holed = pair.InnerAt(sadb.FloorV4)
	}
	return g
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

// seal seals the packets of one pair, with its outbound half taken once.
func (o *Outbound) seal(g *group) {
	g.firstGram = len(o.sent.Datagrams)
	g.pair.BeginSeal(o.now)
	for i := g.first; i != noItem; i = o.items[i].next {
		it := &o.items[i]
		if it.split {
			o.sealFragments(g, it)
		} else {
			o.sealOne(g, it, len(it.p))
		}
	}
	g.pair.EndSeal()
}

func (o *Outbound) sealFragments(g *group, it *item) {
	if !o.split.begin(it.p, &inner{n: len(it.p)}, g.most) {
		o.n[OutTooBigQuiet]++
		return
	}
	o.n[OutFragmented]++
	head := g.pair.Head()
	for o.room(g, g.most) {
		n := o.split.next(o.arena[o.off+head:])
		if n == 0 {
			return
		}
		if !o.sealed(g, it, n) {
			return
		}
	}
}

func (o *Outbound) sealOne(g *group, it *item, n int) {
	if !o.room(g, n) {
		return
	}
	copy(o.arena[o.off+g.pair.Head():], it.p)
	o.sealed(g, it, n)
}

// room makes sure that one more datagram fits the batch.
func (o *Outbound) room(g *group, n int) bool {
	if len(o.sent.Datagrams) < maxDatagrams {
		if o.off+g.pair.Size(n) <= len(o.arena) {
			return true
		}
		if len(o.arena) < arenaSize { // once; what was sealed stays where it is
			o.arena, o.off = make([]byte, arenaSize), 0
			return true
		}
	}
	o.n[OutNoRoom]++
	return false
}

// sealed seals the n octets that lie in place and puts the result behind the run in hand, or begins another.
func (o *Outbound) sealed(g *group, it *item, n int) bool {
	next := uint8(esp.NextHeaderIPv4)
	if it.v6 {
		next = esp.NextHeaderIPv6
	}
	size, err := g.pair.Seal(o.arena[o.off:], n, next)
	if err != nil {
		o.n[OutExhausted]++
		return false
	}
	o.n[OutSealed]++
	o.n[OutSealedOctets] += uint64(n)
	o.n[OutDatagrams]++
	if k := len(o.sent.Datagrams); k > g.firstGram && o.extend(&o.sent.Datagrams[k-1], it, size) {
		o.off += size
		return true
	}
	o.runAt = o.off
	o.sent.Datagrams = append(o.sent.Datagrams, Datagram{
		Buf: o.arena[o.off : o.off+size], N: size, SegSize: size, Remote: g.ep.Remote, Local: g.ep.Local,
		TOS: it.tos, Raw: !g.ep.UDP(), Fragment: it.fragment,
	})
	o.off += size
	return true
}

// extend puts the datagram behind d into d's run if it may: sizes are equal but for the last, which is shorter.
func (o *Outbound) extend(d *Datagram, it *item, size int) bool {
	if o.runAt+d.N != o.off || d.Raw || d.Fragment || it.fragment || d.TOS != it.tos || size > d.SegSize || d.N%d.SegSize != 0 ||
		d.N+size > maxRunOctets || d.N/d.SegSize == maxRun {
		return false
	}
	d.N += size
	d.Buf = o.arena[o.runAt : o.runAt+d.N]
	return true
}

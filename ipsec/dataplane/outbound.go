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
	body     int   // where what is protected begins
	proto    uint8 // what that is: the next header
	tos      uint8
	split    bool // fragment it first
	fragment bool // let the datagram be fragmented
	next     int
}

// group is the packets of one SA or bundle.
type group struct {
	sas         sadb.Bundle  // the innermost first
	out         *sadb.Sender // the outermost
	pair        *sadb.Pair   // nil: single SAs
	ep          sadb.Endpoint
	marker      int  // octets in front of ESP on its port
	tunnel      bool // the innermost SA's mode
	layered     bool // more than one ESP SA
	most        int  // the largest inner packet that fits
	holed       int  // the largest that would fit a path with a hole
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
	bundle  sadb.Bundle
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
func (e *Engine) NewOutbound() *Outbound { return &Outbound{e: e, arena: make([]byte, arenaFirst)} }

// Seal takes a batch as port/tun.Device.Read fills it: packet i is bufs[i][offset:][:sizes[i]], at most BatchSize of
// them. The packets are not kept; their octets are changed only where an MSS is clamped or a port given back to a client.
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
	to, at, ok := o.target(p)
	if !ok {
		o.n[OutNoPort]++
		return
	}
	c := o.lookup(&in.flow)
	switch c.match.Action {
	case sadb.Protect:
		o.protect(p, c, to, at)
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

// target finds the client behind a NAT that a packet is for, and has the flow be the client's own: policies and selectors know no
// other. at is where its port stands in p. False: it is a client's that is gone.
func (o *Outbound) target(p []byte) (to target, at int, ok bool) {
	t, in := &o.e.nats, &o.in
	if !t.any.Load() || in.upper == 0 || in.fragment {
		return target{}, 0, true
	}
	k, at, told := sideOf(p, in, true)
	if !told {
		return target{}, 0, true // an error: address refuses it where there may be others
	}
	to, gone := t.leave(o.now, k)
	if to.known && at > 0 && (k.proto == protoTCP || k.proto == protoUDP) {
		in.flow.RemotePort = to.own
	}
	return to, at, !gone
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

// protect chooses the SAs of a packet and puts it to the others of theirs.
func (o *Outbound) protect(p []byte, c *cached, to target, at int) {
	in := &o.in
	if !o.choose(p, c, &to) {
		return
	}
	pair := o.bundle.SAs[0].Pair()
	if pair != nil && c.pair != pair {
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
	if g == nil {
		o.n[OutBundle]++
		return
	}
	if loops(p, in, &g.ep) {
		o.n[OutLoop]++
		return
	}
	it := item{p: p, proto: protoIPv4, tos: in.tos, next: noItem}
	if in.flow.V6 {
		it.proto = protoIPv6
	}
	extra := 0
	if g.tunnel {
		it.tos = outerTOS(in.tos, g.out)
	} else {
		if why := transportable(in, &g.ep); why != OutSealed {
			o.n[why]++
			return
		}
		if !o.address(p, g, to, at) {
			o.n[OutNoPort]++
			return
		}
		it.body, it.proto, extra = in.body, in.next, in.body
	}
	if in.n > g.holed+extra && in.flow.Proto == protoTCP && !in.fragment && pair != nil && o.holes.watch(o.now, p, in, pair) {
		g.most = o.e.most(&g.sas, &g.ep, pair.PathMTU(o.now))
	}
	if in.n > g.most+extra && !o.large(g, p, &it, g.most+extra) {
		return
	}
	if o.e.clamp && clampMSS(p, in, g.most+extra) {
		o.n[OutClamped]++
	}
	o.append(g, it)
}

// choose finds the SAs, into o.bundle; false: there are none, and what becomes of the packet is done.
func (o *Outbound) choose(p []byte, c *cached, to *target) bool {
	if to.pair != nil {
		o.single(to.pair)
		return true
	}
	if pair := c.match.Sending(); pair != nil {
		o.single(pair)
		return true
	}
	// Of single SAs in UDP only those to the client fit; where it is no client's packet, to.peer is not valid and all do.
	resolve := c.match.ResolvePeer(o.now, &o.in.flow, &o.bundle, to.peer)
	switch {
	case resolve == sadb.Sealed && o.bundle.N > 0:
		return true
	case resolve == sadb.Clear:
		o.clear(p, c)
		return false
	case to.known:
		o.n[OutNoSA]++ // its client's SA has ended: it waits for no other
		return false
	}
	if pair := o.hold(p, c); pair != nil {
		o.single(pair)
		return true
	}
	return false
}

// single is the bundle of a pair.
func (o *Outbound) single(pair *sadb.Pair) {
	o.bundle = sadb.Bundle{N: 1}
	o.bundle.SAs[0] = pair.Out()
	o.bundle.Modes[0] = pair.Mode()
}

// address gives the packet the port that the client has, or notes that this host speaks to it first; false: that port is not this
// SA's.
func (o *Outbound) address(p []byte, g *group, to target, at int) bool {
	if to.known {
		if at > 0 {
			setSide(p, &o.in, at, to.own)
		}
		return true
	}
	if local, remote := g.out.Orig(); !behindNAT(g.ep.UDP(), g.ep.Remote.Addr(), local, remote) {
		return true
	}
	k, _, ok := sideOf(p, &o.in, true)
	return ok && (g.pair == nil || o.e.nats.claim(o.now, k, g.pair))
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

// group finds the group of the bundle in hand: mostly the last one. Nil: its order is not served.
func (o *Outbound) group(pair *sadb.Pair) *group {
	for i := o.nGroup - 1; i >= 0; i-- {
		if g := &o.groups[i]; g.sas.SAs[0] == o.bundle.SAs[0] && g.sas == o.bundle {
			return g
		}
	}
	sas := &o.bundle
	out := sas.SAs[sas.N-1]
	ep := out.Endpoint()
	if !served(sas) {
		return nil
	}
	g := &o.groups[o.nGroup]
	o.nGroup++
	mtu := out.PathMTU(o.now)
	*g = group{sas: *sas, out: out, pair: pair, ep: ep, marker: ep.Encap.Overhead(), first: noItem, last: noItem,
		tunnel: sas.Modes[0] != sadb.Transport, layered: layered(sas),
		most: o.e.most(sas, &ep, mtu), holed: o.e.most(sas, &ep, holeMTU)}
	if mtu <= holeMTU {
		g.holed = o.e.most(sas, &ep, sadb.FloorV4)
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

// seal seals the packets of one group, with its outbound half taken once.
func (o *Outbound) seal(g *group) {
	g.firstGram = len(o.sent.Datagrams)
	if g.layered {
		o.sealLayers(g)
		return
	}
	g.out.BeginSeal(o.now)
	for i := g.first; i != noItem; i = o.items[i].next {
		it := &o.items[i]
		if it.split {
			o.sealFragments(g, it)
		} else {
			o.sealOne(g, it)
		}
	}
	g.out.EndSeal()
}

func (o *Outbound) sealFragments(g *group, it *item) {
	if !o.split.begin(it.p, &inner{n: len(it.p)}, g.most) {
		o.n[OutTooBigQuiet]++
		return
	}
	o.n[OutFragmented]++
	head := g.marker + g.out.Head()
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

func (o *Outbound) sealOne(g *group, it *item) {
	body := it.p[it.body:]
	if !o.room(g, len(body)) {
		return
	}
	copy(o.arena[o.off+g.marker+g.out.Head():], body)
	o.sealed(g, it, len(body))
}

// room makes sure that one more datagram fits the batch.
func (o *Outbound) room(g *group, n int) bool { return o.space(g.marker + g.out.Size(n)) }

// space makes sure that one more datagram of size octets fits the batch.
func (o *Outbound) space(size int) bool {
	if len(o.sent.Datagrams) < maxDatagrams {
		if o.off+size <= len(o.arena) {
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
	size, err := g.out.Seal(o.arena[o.off+g.marker:], n, it.proto)
	if err != nil {
		o.n[OutExhausted]++
		return false
	}
	if g.marker > 0 {
		clear(o.arena[o.off : o.off+g.marker])
		size += g.marker
	}
	o.emit(g, it, n, size, protoESP)
	return true
}

// emit puts the datagram of size octets that lies at o.off behind the run in hand, or begins another.
func (o *Outbound) emit(g *group, it *item, n, size int, proto uint8) {
	o.n[OutSealed]++
	o.n[OutSealedOctets] += uint64(n)
	o.n[OutDatagrams]++
	if k := len(o.sent.Datagrams); k > g.firstGram && o.extend(&o.sent.Datagrams[k-1], it, size) {
		o.off += size
		return
	}
	o.runAt = o.off
	o.sent.Datagrams = append(o.sent.Datagrams, Datagram{
		Buf: o.arena[o.off : o.off+size], N: size, SegSize: size, Remote: g.ep.Remote, Local: g.ep.Local,
		TOS: it.tos, Encap: g.ep.Encap, Proto: proto, Fragment: it.fragment,
	})
	o.off += size
}

// extend puts the datagram behind d into d's run if it may: sizes are equal but for the last, which is shorter.
func (o *Outbound) extend(d *Datagram, it *item, size int) bool {
	if o.runAt+d.N != o.off || d.Raw() || d.Fragment || it.fragment || d.TOS != it.tos || size > d.SegSize || d.N%d.SegSize != 0 ||
		d.N+size > maxRunOctets || d.N/d.SegSize == maxRun {
		return false
	}
	d.N += size
	d.Buf = o.arena[o.runAt : o.runAt+d.N]
	return true
}

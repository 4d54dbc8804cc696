// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Any number of clients behind one NAT in transport mode (RFC 3948, Section 5.2): all have the NAT's address, and may have the
// same port inside, so that this host's stack would see one flow where there are many. Each flow of a client gets a source port
// that no other client has (its own if that is free), written into the packet on its way in; what the host sends to that port is
// the client's, and gets the client's own port back. The table is filled by authentic packets of peers, and by what this host begins;
// it is bounded for each client, identity and network (clients_shard.go), and nothing that was one client's is another's for five
// minutes after its end: an answer that comes late finds nobody, never the wrong one.

package dataplane

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	clientShards = 64
	// maxFlows of one client.
	maxFlows = 512
	// maxShardFlows of all clients whose NATs share a shard, ended ones that are kept included.
	maxShardFlows = 1 << 16
	// maxPeerFlows of one identity in a shard, however many children it makes and deletes, and maxNetFlows of one network's: neither
	// leaves nothing for others, and many do not either (clientShard.free).
	maxPeerFlows = maxShardFlows / 8
	maxNetFlows  = maxShardFlows / 2
	// flowIdle is how long a flow of a client that has no room for more is kept without a packet (RFC 4787, REQ-5), and queryIdle
	// one of a query of ICMP's (RFC 5508, REQ-2).
	flowIdle  = int64(5 * time.Minute)
	queryIdle = int64(time.Minute)
	// flowRest is how long a port is nobody's after its flow has ended.
	flowRest = int64(5 * time.Minute)
	// endpointRest is how long a client of single SAs is kept that has none: its key daemon may delete the old ones before a packet
	// has come by the new ones.
	endpointRest = int64(time.Minute)
	// firstPort is where ports are given out from: above those that servers of one port only accept, and privileged ones.
	firstPort = 20000
	// portDraws bounds the search for a free port: a NAT whose ports are nearly all taken costs no more than one with few.
	portDraws = 64
	// sweepStep is how many clients are looked at for their end when one comes, or has no room.
	sweepStep = 8
	// tickPause is between two ticks, and tickStep how many clients and entries of a shard are let go in one: nobody waits long for its lock.
	tickPause = int64(10 * time.Second)
	tickStep  = 2048
	// askStep is how many clients of a shard, and peers without UDP, are asked for in one tick: each costs a look at all single SAs between two addresses.
	askStep = 128
)

// owner is a client: the reqid of its pairs, which a rekey keeps, or the tag of its single SAs, which one gets from the other when
// both have the same endpoint.
type owner struct {
	reqid uint32
	tag   uint64
}

type inbound struct {
	slot  slot // port is the client's own
	owner owner
}

// client is a peer behind a NAT.
type client struct {
	at        netip.Addr
	owner     owner
	pair      atomic.Pointer[sadb.Pair]     // the newest that was heard on; one of the two
	rcv       atomic.Pointer[sadb.Receiver] // is set
	flows     []*natFlow                    // under the shard's mutex
	fullUntil int64                         // under the shard's mutex: none of its flows lapses before
	goneAt    atomic.Int64                  // when it was found that none is left; 0: it was not
	heir      atomic.Pointer[sadb.Single]   // what was found to seal to it after the end of rcv; nil: nobody has looked
}

// ended: no SA of the client is left; of single SAs, that by which it was heard last.
func (c *client) ended() bool {
	if p := c.pair.Load(); p != nil {
		s := p.Sending()
		return s == nil || s.Ended()
	}
	r := c.rcv.Load()
	return r == nil || r.Ended()
}

// lives reports whether a client has an SA, as far as is known: what its key daemon has put, in silence, in the place of the one that a client of
// single SAs was heard by last, is asked for now and then (clientShard.ask). Who has had none for endpointRest lives no more: what seals to its
// endpoint then may be for anybody (see tag).
func (c *client) lives(now int64) bool {
	if !c.ended() {
		return true
	}
	gone := c.goneAt.Load()
	return c.pair.Load() == nil && (gone == 0 || now-gone < endpointRest)
}

// endedFor is how long ago it was found that no SA of the client is left; now is when, if it is found only now.
func (c *client) endedFor(now int64) int64 {
	c.goneAt.CompareAndSwap(0, now)
	return now - c.goneAt.Load()
}

// heard notes by what the client was heard last.
func (c *client) heard(w who) {
	if w.pair != nil && c.pair.Load() != w.pair {
		c.pair.Store(w.pair)
	}
	if w.pair == nil && c.rcv.Load() != w.rcv {
		c.rcv.Store(w.rcv)
	}
	if c.goneAt.Load() != 0 {
		c.goneAt.Store(0)
	}
}

// natFlow is one entry.
type natFlow struct {
	client   *client // nil: it has ended
	own      uint16  // the port inside
	port     uint16  // the port that this host sees
	key      slot    // with port
	used     atomic.Int64
	endedAt  int64
	original inbound

	by, net      *account // who pays for it
	older, newer *natFlow // in clientShard.rest
	next         *natFlow // in account.rest
}

// clients is the table of an Engine.
type clients struct {
	any    atomic.Bool // there has been one
	raws   atomic.Bool // there has been a peer without UDP, see clients_raw.go
	tags   atomic.Uint64
	ticked atomic.Int64 // when last
	shards [clientShards]clientShard
}

func (t *clients) init() {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.in, sh.out = map[inbound]*natFlow{}, map[slot]*natFlow{}
		sh.clients, sh.accounts = map[netip.Addr]map[owner]*client{}, map[payer]*account{}
		sh.tags, sh.seed = &t.tags, maphash.MakeSeed()
		sh.raws = map[rawAt]*rawPeer{}
	}
}

func (t *clients) shard(a sadb.IP) *clientShard {
	x := (a.Hi*0x9e3779b97f4a7c15 ^ a.Lo) * 0x9e3779b97f4a7c15
	return &t.shards[x>>58]
}

// Tick lets go of clients that have ended, and with them of the keys of their SAs, though nobody comes. Call it now and then, from
// one goroutine or several; it does nothing mostly.
func (e *Engine) Tick(now time.Time) {
	t, at := &e.nats, e.db.Clock(now)
	last := t.ticked.Load()
	if !t.any.Load() && !t.raws.Load() || at-last < tickPause || !t.ticked.CompareAndSwap(last, at) {
		return
	}
	for i := range t.shards {
		t.shards[i].ask(e.db, at)
		t.shards[i].tick(at)
	}
}

// who is the peer of an SA.
type who struct {
	pair *sadb.Pair
	rcv  *sadb.Receiver
}

func (w who) owner() owner {
	if w.pair != nil {
		return owner{reqid: w.pair.Reqid()}
	}
	return owner{tag: w.rcv.Single().Tag().Load()}
}

// arrive finds or gives the port under which this host sees a flow that came in; false: there is none to give.
func (t *clients) arrive(now int64, own slot, w who) (port uint16, ok bool) {
	if port, ok = t.seen(now, own, w); ok {
		return port, true
	}
	sh := t.shard(own.remote)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.any.Store(true)
	return sh.add(now, own, w)
}

// seen finds the port of a flow of that very client's; false: there is none.
func (t *clients) seen(now int64, own slot, w who) (port uint16, ok bool) {
	sh, key := t.shard(own.remote), inbound{slot: own, owner: w.owner()}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	f := sh.in[key]
	if f == nil {
		return 0, false
	}
	f.used.Store(now)
	f.client.heard(w)
	return f.port, true
}

// alone reports whether a client at an address is the only peer there.
func (t *clients) alone(k slot) bool {
	sh := t.shard(k.remote)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return len(sh.clients[k.addrOf()]) == 1 && sh.raws[rawAt{k.remote, k.v6}] == nil
}

// target is whose a packet to a NAT's address is.
type target struct {
	known  bool
	client *client
	at     int    // where the port stands in the packet; 0: nowhere
	own    uint16 // the port inside
	pair   *sadb.Pair
	rcv    *sadb.Receiver // where pair is nil
	peer   netip.AddrPort // likewise
	error  bool           // it is an ICMP error, and about a packet of the client's
}

// leave finds whose the port is that this host sends to. gone: it was somebody's who is no more.
func (t *clients) leave(now int64, k slot) (to target, gone bool) {
	sh := t.shard(k.remote)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	f := sh.out[k]
	switch {
	case f == nil:
		return target{}, false
	case f.client == nil:
		return target{}, now-f.endedAt < flowRest
	}
	to = target{known: true, client: f.client, own: f.own}
	if p := f.client.pair.Load(); p != nil {
		if to.pair = p.Sending(); to.pair == nil || to.pair.Ended() {
			return target{}, k.kind != sideOurs && f.client.endedFor(now) < flowRest
		}
		to.found()
	} else {
		// Its SAs may have been replaced without a packet from it; an SA to its endpoint is asked for, and there may be none.
		to.rcv = f.client.rcv.Load()
		to.peer = to.rcv.Source().Remote
	}
	f.used.Store(now)
	return to, false
}

// found and missed tell whether the client has SAs, those of PF_KEY to its endpoint. One that had none for so long that its ports have
// rested is buried: they are anybody's then.
func (to *target) found() {
	if to.known && to.client.goneAt.Load() != 0 {
		to.client.goneAt.Store(0)
	}
}

func (t *clients) missed(now int64, remote sadb.IP, c *client) {
	if c.endedFor(now) < flowRest {
		return
	}
	sh := t.shard(remote)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.clients[c.at][c.owner] == c && c.endedFor(now) >= flowRest {
		sh.bury(now, c)
	}
}

// claim notes that this host spoke first to a port that is nobody's: it is that pair's then. False: it is another's by now.
func (t *clients) claim(now int64, k slot, pair *sadb.Pair) bool {
	port, ok := t.arrive(now, k, who{pair: pair})
	return ok && port == k.port
}

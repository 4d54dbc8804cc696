// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Any number of clients behind one NAT in transport mode (RFC 3948, Section 5.2): all have the NAT's address, and may have the
// same port inside, so that this host's stack would see one flow where there are many. Each flow of a client gets a source port
// that no other client has (its own if that is free), written into the packet on its way in; what the host sends to that port is
// the client's, and gets the client's own port back. The table is filled by authentic packets of peers only; it is bounded for
// each client, and nothing that was one client's is another's for five minutes after its end: an answer that comes late finds
// nobody, never the wrong one.

package dataplane

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	clientShards = 64
	// maxFlows of one client, and maxShardFlows of all clients whose NATs share a shard, ended ones that are kept included.
	maxFlows      = 512
	maxShardFlows = 1 << 16
	// flowIdle is how long a flow of a client that has no room for more is kept without a packet: RFC 4787, REQ-5.
	flowIdle = int64(5 * time.Minute)
	// flowRest is how long a port is nobody's after its flow has ended.
	flowRest = int64(5 * time.Minute)
	// firstPort is where ports are given out from: above those that servers of one port only accept, and privileged ones.
	firstPort = 20000
	// portDraws bounds the search for a free port: a NAT whose ports are nearly all taken costs no more than one with few.
	portDraws = 64
	// sweepStep is how many clients are looked at for their end when one comes.
	sweepStep = 8
)

// slot is one side of a flow: a port of a protocol at a NAT's address.
type slot struct {
	remote   sadb.IP
	port     uint16
	proto    uint8
	portless bool // a protocol that has no ports to tell clients by: one client alone has it
	v6       bool
}

// owner is a client: the reqid of its pairs, which a rekey keeps, or the endpoint of single SAs.
type owner struct {
	reqid uint32
	peer  netip.AddrPort
}

type inbound struct {
	slot  slot // port is the client's own
	owner owner
}

// client is a peer behind a NAT.
type client struct {
	at    netip.Addr
	owner owner
	pair  atomic.Pointer[sadb.Pair]     // the newest that was heard on; one of the two
	rcv   atomic.Pointer[sadb.Receiver] // is set
	flows []*natFlow                    // under the shard's mutex
}

// ended: no SA of the client is left.
func (c *client) ended() bool {
	if p := c.pair.Load(); p != nil {
		s := p.Sending()
		return s == nil || s.Ended()
	}
	r := c.rcv.Load()
	return r == nil || r.Ended()
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
}

// clientShard is the clients of some NATs.
type clientShard struct {
	mu      sync.RWMutex // protects the rest
	in      map[inbound]*natFlow
	out     map[slot]*natFlow
	clients map[netip.Addr]map[owner]*client
	rest    []*natFlow // ended, the oldest first
	next    uint16
}

// clients is the table of an Engine.
type clients struct {
	any    atomic.Bool // there has been one
	shards [clientShards]clientShard
}

func (t *clients) init() {
	for i := range t.shards {
		t.shards[i].in, t.shards[i].out = map[inbound]*natFlow{}, map[slot]*natFlow{}
		t.shards[i].clients = map[netip.Addr]map[owner]*client{}
	}
}

func (t *clients) shard(a sadb.IP) *clientShard {
	x := (a.Hi*0x9e3779b97f4a7c15 ^ a.Lo) * 0x9e3779b97f4a7c15
	return &t.shards[x>>58]
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
	return owner{peer: w.rcv.Source().Remote}
}

// arrive finds or gives the port under which this host sees a flow that came in; false: there is none to give.
func (t *clients) arrive(now int64, own slot, w who) (port uint16, ok bool) {
	sh, key := t.shard(own.remote), inbound{slot: own, owner: w.owner()}
	sh.mu.RLock()
	f := sh.in[key]
	if f != nil {
		f.used.Store(now)
		f.client.heard(w)
		port = f.port
	}
	sh.mu.RUnlock()
	if f != nil {
		return port, true
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.any.Store(true)
	return sh.add(now, key, w)
}

func (c *client) heard(w who) {
	if w.pair != nil && c.pair.Load() != w.pair {
		c.pair.Store(w.pair)
	}
	if w.pair == nil && c.rcv.Load() != w.rcv {
		c.rcv.Store(w.rcv)
	}
}

// add makes the entry of a flow, with the port inside if nobody has it.
func (sh *clientShard) add(now int64, key inbound, w who) (port uint16, ok bool) {
	sh.forget(now)
	c := sh.client(now, key, w)
	if c.ended() {
		return 0, false // nothing could be answered
	}
	if len(c.flows) >= maxFlows && !sh.evict(now, c) || len(sh.out) >= maxShardFlows {
		return 0, false
	}
	k := key.slot
	for n := 0; sh.taken(now, k); n++ {
		if k.portless || n == portDraws {
			return 0, false
		}
		k.port = firstPort + sh.next%(65535-firstPort)
		sh.next++
	}
	f := &natFlow{client: c, own: key.slot.port, port: k.port, key: k, original: key}
	f.used.Store(now)
	sh.in[key], sh.out[k] = f, f
	c.flows = append(c.flows, f)
	return f.port, true
}

// client finds or makes the client, and buries some that have ended.
func (sh *clientShard) client(now int64, key inbound, w who) *client {
	at := key.slot.remote.Addr(key.slot.v6)
	if c := sh.clients[at][key.owner]; c != nil {
		c.heard(w)
		return c
	}
	n := 0
sweep:
	for _, list := range sh.clients {
		for _, c := range list {
			if n++; n > sweepStep {
				break sweep
			}
			if c.ended() {
				sh.bury(now, c)
			}
		}
	}
	c := &client{at: at, owner: key.owner}
	c.heard(w)
	if sh.clients[at] == nil {
		sh.clients[at] = map[owner]*client{}
	}
	sh.clients[at][key.owner] = c
	return c
}

// taken reports whether a port is somebody's, or was a while ago.
func (sh *clientShard) taken(now int64, k slot) bool {
	f := sh.out[k]
	if f == nil {
		return false
	}
	if f.client != nil && f.client.ended() {
		sh.bury(now, f.client)
	}
	return true
}

// bury ends all flows of a client.
func (sh *clientShard) bury(now int64, c *client) {
	for _, f := range c.flows {
		sh.end(now, f)
	}
	c.flows = nil
	delete(sh.clients[c.at], c.owner)
	if len(sh.clients[c.at]) == 0 {
		delete(sh.clients, c.at)
	}
}

// end has a flow's port rest.
func (sh *clientShard) end(now int64, f *natFlow) {
	delete(sh.in, f.original)
	f.client, f.endedAt = nil, now
	sh.rest = append(sh.rest, f)
}

// forget gives back ports that have rested.
func (sh *clientShard) forget(now int64) {
	n := 0
	for n < len(sh.rest) && now-sh.rest[n].endedAt >= flowRest {
		delete(sh.out, sh.rest[n].key)
		n++
	}
	sh.rest = append(sh.rest[:0], sh.rest[n:]...)
}

// evict ends the client's flow that was idle for longest, if that is long enough.
func (sh *clientShard) evict(now int64, c *client) bool {
	oldest := 0
	for i, f := range c.flows {
		if f.used.Load() < c.flows[oldest].used.Load() {
			oldest = i
		}
	}
	f := c.flows[oldest]
	if now-f.used.Load() < flowIdle {
		return false
	}
	c.flows[oldest] = c.flows[len(c.flows)-1]
	c.flows = c.flows[:len(c.flows)-1]
	sh.end(now, f)
	return true
}

// target is whose a packet to a NAT's address is.
type target struct {
	known bool
	at    int    // where the port stands in the packet; 0: nowhere
	own   uint16 // the port inside
	pair  *sadb.Pair
	peer  netip.AddrPort // where pair is nil
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
	to = target{known: true, own: f.own}
	if p := f.client.pair.Load(); p != nil {
		if to.pair = p.Sending(); to.pair == nil || to.pair.Ended() {
			return target{}, true
		}
	} else if r := f.client.rcv.Load(); r.Ended() {
		return target{}, true
	} else {
		to.peer = r.Source().Remote
	}
	f.used.Store(now)
	return to, false
}

// claim notes that this host spoke first to a port that is nobody's: it is that pair's then. False: it is another's by now.
func (t *clients) claim(now int64, k slot, pair *sadb.Pair) bool {
	w := who{pair: pair}
	port, ok := t.arrive(now, k, w)
	return ok && port == k.port
}

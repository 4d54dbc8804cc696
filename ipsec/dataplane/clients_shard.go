// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The table of clients.go: how entries come, rest and go, and who pays for them. An authenticated peer may make and delete children as
// fast as it likes, and write any port; each entry is charged to its identity (RFC 4301, Section 4.4.3.1), whatever child it came by, and to
// the network that it comes from, also while its port rests: who spends both has spent nothing of others.

package dataplane

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// payer is an identity, or a network: an IPv4 address, or a /64.
type payer struct {
	peer uint64
	net  netip.Prefix
}

// account is what one payer has in a shard.
type account struct {
	payer       payer
	n           int
	first, last *natFlow // those of its entries that rest, the oldest first; of identities only
}

// clientShard is the clients of some NATs.
type clientShard struct {
	mu       sync.RWMutex // protects the rest
	in       map[inbound]*natFlow
	out      map[slot]*natFlow
	clients  map[netip.Addr]map[owner]*client
	people   atomic.Int32 // how many clients there are: changed under mu, and read without
	accounts map[payer]*account
	oldest   *natFlow // of the entries that rest
	newest   *natFlow
	seed     maphash.Seed // with draws: the order in which ports are given out, which no client knows
	draws    uint64
	tags     *atomic.Uint64
	raws     map[rawAt]*rawPeer // see clients_raw.go
}

// add makes the entry of a flow, with the port inside if nobody has it.
func (sh *clientShard) add(now int64, own slot, w who) (port uint16, ok bool) {
	sh.forget(now, tickStep)
	c := sh.client(now, own, w)
	key := inbound{slot: own, owner: c.owner}
	if f := sh.in[key]; f != nil {
		return f.port, true
	}
	if c.ended() {
		return 0, false // nothing could be answered
	}
	if len(c.flows) >= maxFlows && !sh.evict(now, c) {
		return 0, false
	}
	by, net := sh.payers(c)
	k, ok := sh.free(now, own, by, net)
	if !ok {
		sh.close(by)
		sh.close(net)
		sh.sweep(now) // some of it may be of clients that are gone
		return 0, false
	}
	if old := sh.out[k]; old != nil && old.client != nil {
		return 0, false // a port is never taken from one that lives
	}
	sh.yield(k)
	f := &natFlow{client: c, own: own.port, port: k.port, key: k, original: key}
	f.by, f.net = sh.payers(c) // reuse may have closed one
	f.used.Store(now)
	sh.charge(f, 1)
	sh.in[key], sh.out[k] = f, f
	c.flows = append(c.flows, f)
	return f.port, true
}

// free finds a port for a flow that nobody has, or that its own identity had.
func (sh *clientShard) free(now int64, own slot, by, net *account) (slot, bool) {
	// No network may have more than there is left, and no identity more than a seventh of it: alone that is maxNetFlows and maxPeerFlows. Each
	// who takes all takes the same part of what those before it have left, so that eight identities do not leave nothing for who comes next.
	left := maxShardFlows - len(sh.out)
	if by.n >= left*maxPeerFlows/(maxShardFlows-maxPeerFlows) && by.payer.peer != 0 {
		return sh.reuse(now, own, by)
	}
	if net.n >= left*maxNetFlows/(maxShardFlows-maxNetFlows) {
		return own, false
	}
	for n := 0; sh.taken(now, own); n++ {
		if own.kind != sidePort || n == portDraws {
			return own, false
		}
		own.port = firstPort + uint16(maphash.Comparable(sh.seed, sh.draws)%(65535-firstPort))
		sh.draws++
	}
	return own, true
}

// reuse takes the port that an identity has had at rest for longest: from one of its children to another, and to nobody else.
func (sh *clientShard) reuse(now int64, own slot, by *account) (slot, bool) {
	f := by.first
	for ; f != nil && (sh.out[f.key] != f || sh.isRaw(now, f.key)); f = by.first { // another has its port by now: there is nothing to take
		sh.drop(f)
	}
	if f == nil || own.kind != sidePort {
		return own, false
	}
	k := f.key
	k.port = own.port
	if k != own {
		return own, false // it is of another protocol, or address
	}
	k.port = f.key.port
	sh.drop(f)
	return k, true
}

// client finds or makes the client, and buries some that have ended.
func (sh *clientShard) client(now int64, own slot, w who) *client {
	at, who := own.remote.Addr(own.v6), w.owner()
	if who == (owner{}) {
		who = sh.tag(now, at, w)
	}
	if c := sh.clients[at][who]; c != nil {
		c.heard(w)
		return c
	}
	sh.sweep(now)
	c := &client{at: at, owner: who}
	c.heard(w)
	if sh.clients[at] == nil {
		sh.clients[at] = map[owner]*client{}
	}
	sh.clients[at][who] = c
	sh.people.Add(1)
	return c
}

// tag gives a single SA the tag of the client that has its endpoint, or a new one. It keeps that when its peer's NAT gives it another
// port, and a later SA of the same peer gets it too: the endpoint of one that ended long ago, or has said another address of its own, may be
// anybody's.
func (sh *clientShard) tag(now int64, at netip.Addr, w who) owner {
	here := w.rcv.Source().Remote
	tag := w.rcv.Single().Tag()
	for who, c := range sh.clients[at] {
		if r := c.rcv.Load(); r != nil && r.Source().Remote == here && sameOrig(r, w.rcv) && c.lives(now) {
			tag.Store(who.tag)
			return who
		}
	}
	tag.Store(sh.tags.Add(1))
	return w.owner()
}

// sameOrig reports whether the peers of two SAs may have one address of their own.
func sameOrig(a, b *sadb.Receiver) bool {
	x, _ := a.Orig()
	y, _ := b.Orig()
	return x == y || !x.IsValid() || !y.IsValid()
}

// sweep buries some clients that have ended.
func (sh *clientShard) sweep(now int64) {
	n := 0
	for _, list := range sh.clients {
		for _, c := range list {
			if n++; n > sweepStep {
				return
			}
			if !c.lives(now) {
				sh.bury(now, c)
			}
		}
	}
}

// tick buries clients that have had no SA for a while, and gives back ports that have rested.
func (sh *clientShard) tick(now int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.forget(now, tickStep)
	sh.forgetRaw(now, tickStep)
	left := tickStep
	for _, list := range sh.clients {
		for _, c := range list {
			if left <= 0 {
				return
			}
			left--
			if !c.lives(now) && c.endedFor(now) >= endpointRest { // another of its reqid may be on its way until then
				left -= len(c.flows)
				sh.bury(now, c)
			}
		}
	}
}

// taken reports whether a port is somebody's, or was a while ago.
func (sh *clientShard) taken(now int64, k slot) bool {
	f := sh.out[k]
	if f != nil && f.client != nil && !f.client.lives(now) {
		sh.bury(now, f.client)
		f = sh.out[k]
	}
	return f != nil && f.rests(now) || sh.isRaw(now, k)
}

// bury ends all flows of a client. Their ports have rested since it was found to be gone.
func (sh *clientShard) bury(now int64, c *client) {
	now -= c.endedFor(now)
	for _, f := range c.flows {
		sh.end(now, f)
	}
	c.flows = nil
	if sh.clients[c.at][c.owner] == c {
		delete(sh.clients[c.at], c.owner)
		sh.people.Add(-1)
	}
	if len(sh.clients[c.at]) == 0 {
		delete(sh.clients, c.at)
	}
}

// end takes a flow from its client, and has its port rest.
func (sh *clientShard) end(now int64, f *natFlow) {
	delete(sh.in, f.original)
	f.client, f.endedAt = nil, now
	if f.key.kind == sideOurs { // what this host asks anew is no answer to anybody
		delete(sh.out, f.key)
		sh.charge(f, -1)
		return
	}
	if f.older = sh.newest; f.older == nil {
		sh.oldest = f
	} else {
		f.older.newer = f
	}
	sh.newest = f
	if f.by.last == nil {
		f.by.first = f
	} else {
		f.by.last.next = f
	}
	f.by.last = f
}

// forget gives back at most n ports that have rested.
func (sh *clientShard) forget(now int64, n int) {
	for f := sh.oldest; f != nil && now-f.endedAt >= flowRest && n > 0; f = sh.oldest {
		sh.drop(f)
		n--
	}
}

// drop takes out an entry that rests: its identity's oldest.
func (sh *clientShard) drop(f *natFlow) {
	if sh.out[f.key] == f { // another may have it by now
		delete(sh.out, f.key)
	}
	if f.older == nil {
		sh.oldest = f.newer
	} else {
		f.older.newer = f.newer
	}
	if f.newer == nil {
		sh.newest = f.older
	} else {
		f.newer.older = f.older
	}
	if f.by.first = f.next; f.next == nil {
		f.by.last = nil
	}
	sh.charge(f, -1)
}

// evict ends the client's flow that was idle for longest, if that is long enough.
func (sh *clientShard) evict(now int64, c *client) bool {
	if now < c.fullUntil {
		return false
	}
	oldest := 0
	for i, f := range c.flows {
		if f.lapses() < c.flows[oldest].lapses() {
			oldest = i
		}
	}
	f := c.flows[oldest]
	if now < f.lapses() {
		c.fullUntil = f.lapses() // what is used meanwhile lapses later
		return false
	}
	c.flows[oldest] = c.flows[len(c.flows)-1]
	c.flows = c.flows[:len(c.flows)-1]
	sh.end(now, f)
	return true
}

// lapses is when a flow may go for another.
func (f *natFlow) lapses() int64 {
	if f.key.proto == protoICMP || f.key.proto == protoICMPv6 {
		return f.used.Load() + queryIdle
	}
	return f.used.Load() + flowIdle
}

// account finds or opens one.
func (sh *clientShard) account(p payer) *account {
	a := sh.accounts[p]
	if a == nil {
		a = &account{payer: p}
		sh.accounts[p] = a
	}
	return a
}

// close forgets an account of nothing.
func (sh *clientShard) close(a *account) {
	if a.n == 0 {
		delete(sh.accounts, a.payer)
	}
}

// payers are whom an entry of a client is charged to. Of some nobody knows whose they are, as of single SAs: those have their network
// alone, which is both then.
func (sh *clientShard) payers(c *client) (by, net *account) {
	bits := 32
	if c.at.Is6() {
		bits = 64
	}
	prefix, _ := c.at.Prefix(bits) // bits of the family: no error
	net = sh.account(payer{net: prefix})
	if p := c.pair.Load(); p != nil && p.Peer() != 0 {
		return sh.account(payer{peer: p.Peer()}), net
	}
	return net, net
}

// charge adds n to what the payers of an entry have.
func (sh *clientShard) charge(f *natFlow, n int) {
	f.by.n += n
	if f.net != f.by {
		f.net.n += n
	}
	sh.close(f.by)
	sh.close(f.net)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Peers without UDP in transport mode, beside the clients of clients.go: one host at its address, whose packets pass as they are. Clients in
// UDP may come to that address at any time, as those behind a router that is a peer itself; neither gets what is the other's. So it is noted
// which ports the flows of such a peer have: a client in UDP gets none of those, and the peer none of a client's. One bit a port, since a
// host may have very many; the peer's packets choose the ports, so that what one address can take is bounded.

package dataplane

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// rawBits is how many ports a page has: what a host of few flows takes is a page for each.
	rawBits = 9
	// maxRawPages of one address: the ports that Linux gives out, for TCP and for UDP, and sixteen pages more. Of who uses more it is
	// not known which: clients in UDP that come to its address meanwhile get none.
	maxRawPages = 128
	// rawIdle is how long a port is the peer's after its last packet, at least, and thrice that at most: RFC 5382, REQ-5.
	rawIdle = int64(124 * time.Minute)
	// maxHomes is how many kinds of SAs of one peer are known: a host has one or two.
	maxHomes = 8
)

// rawAt is an address.
type rawAt struct {
	addr sadb.IP
	v6   bool
}

// pageOf is where a slot's bit is.
func (k *slot) pageOf() slot {
	p := *k
	p.port >>= rawBits
	return p
}

// rawPage is some ports of a protocol at an address. Marks are set and cleared with the shard's mutex, and read without.
type rawPage struct {
	turned       atomic.Int64 // when newer was begun
	newer, older [1 << rawBits / 64]atomic.Uint64
}

func bitOf(port uint16) (word int, bit uint64) {
	port &= 1<<rawBits - 1
	return int(port / 64), 1 << (port % 64)
}

// fresh reports whether a port is the peer's, and has been noted lately.
func (p *rawPage) fresh(now int64, port uint16) bool {
	word, bit := bitOf(port)
	return p.newer[word].Load()&bit != 0 && now-p.turned.Load() < rawIdle
}

// has reports whether a port is the peer's.
func (p *rawPage) has(now int64, port uint16) bool {
	word, bit := bitOf(port)
	age := now - p.turned.Load()
	return age < rawIdle && p.older[word].Load()&bit != 0 || age < 2*rawIdle && p.newer[word].Load()&bit != 0
}

// mark notes a port. Under the shard's mutex.
func (p *rawPage) mark(now int64, port uint16) {
	if age := now - p.turned.Load(); age >= rawIdle {
		for i := range p.newer {
			marks := p.newer[i].Swap(0)
			if age >= 2*rawIdle {
				marks = 0
			}
			p.older[i].Store(marks)
		}
		p.turned.Store(now)
	}
	word, bit := bitOf(port)
	p.newer[word].Or(bit)
}

// clear has nobody who still holds the page find anything in it.
func (p *rawPage) clear() {
	for i := range p.newer {
		p.newer[i].Store(0)
		p.older[i].Store(0)
	}
}

// home is by what a peer is reached: a pair, or single SAs of a protocol, the outermost, from an address of this host. The zero home: nobody
// has proved who sends.
type home struct {
	pair  *sadb.Pair
	proto uint8
	local netip.Addr
}

// lives reports whether there is an SA that seals to the peer.
func (h *home) lives(db *sadb.DB, at netip.Addr) bool {
	if h.pair != nil {
		s := h.pair.Sending()
		return s != nil && !s.Ended()
	}
	return db.SealsTo(h.proto, h.local, at, netip.AddrPort{}) != nil
}

// same reports whether two are one; a rekey keeps the reqid of pairs.
func (h *home) same(o *home) bool {
	if h.pair != nil && o.pair != nil {
		return h.pair.Reqid() == o.pair.Reqid()
	}
	return *h == *o
}

// rawPeer is a peer without UDP. Under the shard's mutex.
type rawPeer struct {
	pages     map[slot]*rawPage // by pageOf
	homes     []home
	fullUntil int64        // until then it may have any port
	goneAt    atomic.Int64 // when it was found that no SA seals to it (clientShard.ask); 0: it was not
}

// rawMemo is the page that one goroutine met last.
type rawMemo struct {
	at   slot
	page *rawPage
}

// knows reports whether a flow is noted already: no client has got its port since.
func (m *rawMemo) knows(now int64, k *slot) bool {
	return m.page != nil && m.page.fresh(now, k.port) && m.at == k.pageOf()
}

// addrOf is the address of a slot.
func (k *slot) addrOf() netip.Addr { return k.remote.Addr(k.v6) }

// raw notes a flow of a peer without UDP; false: it is a flow of a client's in UDP, and the packet is not to pass. A port that was a
// client's a while ago is the peer's again to use, and is noted when it has rested.
func (t *clients) raw(now int64, k slot, who owner, h home, m *rawMemo) bool {
	page := k.pageOf()
	sh := t.shard(k.remote)
	found, pass, done := sh.meet(now, k, who, h == home{})
	if found != nil {
		m.at, m.page = page, found
	}
	if done {
		return pass
	}
	t.raws.Store(true)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.out[k]; f != nil && f.rests(now) {
		return !f.bars(now, who)
	}
	m.at, m.page = page, sh.note(now, k, page, h)
	return true
}

// rests reports whether a port is a client's, or was one's a while ago.
func (f *natFlow) rests(now int64) bool { return f.client != nil || now-f.endedAt < flowRest }

// meet looks whose a flow of a peer without UDP is. done: there is nothing to note. found is the page that has it.
func (sh *clientShard) meet(now int64, k slot, who owner, nobody bool) (found *rawPage, pass, done bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if f := sh.out[k]; f != nil && f.rests(now) {
		return nil, !f.bars(now, who), true
	}
	if r := sh.raws[rawAt{k.remote, k.v6}]; r != nil {
		p := r.pages[k.pageOf()]
		if p != nil && p.fresh(now, k.port) {
			return p, true, true
		}
		return nil, true, nobody || p == nil && now+rawIdle < r.fullUntil
	}
	return nil, true, nobody
}

// bars reports whether a flow keeps its port from others than a client itself.
func (f *natFlow) bars(now int64, who owner) bool {
	return f.client != nil && f.client.owner != who && f.client.lives(now)
}

// note marks a port; nil: the peer has too many.
func (sh *clientShard) note(now int64, k, page slot, h home) *rawPage {
	at := rawAt{k.remote, k.v6}
	r := sh.raws[at]
	if r == nil {
		r = &rawPeer{pages: map[slot]*rawPage{}}
		sh.raws[at] = r
	}
	r.reachedBy(h)
	r.goneAt.Store(0)
	p := r.pages[page]
	if p == nil && len(r.pages) >= maxRawPages {
		r.fullUntil = now + 2*rawIdle
		return nil
	}
	if p == nil {
		p = &rawPage{}
		p.turned.Store(now)
		r.pages[page] = p
	}
	p.mark(now, k.port)
	return p
}

// reachedBy notes a home, the newest first.
func (r *rawPeer) reachedBy(h home) {
	for i := range r.homes {
		if r.homes[i].same(&h) {
			r.homes[i] = h
			return
		}
	}
	if len(r.homes) == maxHomes {
		r.homes = r.homes[1:]
	}
	r.homes = append(r.homes, h)
}

// rawFor is the peer without UDP that has had a port; nil: there is none.
func (sh *clientShard) rawFor(now int64, k slot) *rawPeer {
	r := sh.raws[rawAt{k.remote, k.v6}]
	if r == nil {
		return nil
	}
	if p := r.pages[k.pageOf()]; now < r.fullUntil || p != nil && p.has(now, k.port) {
		return r
	}
	return nil
}

// isRaw reports whether a port is that of a peer without UDP, or was a while ago.
func (sh *clientShard) isRaw(now int64, k slot) bool {
	r := sh.rawFor(now, k)
	return r != nil && !r.gone(now)
}

// gone reports whether a peer has had no SA for so long that its ports have rested.
func (r *rawPeer) gone(now int64) bool {
	at := r.goneAt.Load()
	return at != 0 && now-at >= flowRest
}

// yield has a port be no more that of a peer without UDP, which isRaw denies: somebody else gets it.
func (sh *clientShard) yield(k slot) {
	r := sh.raws[rawAt{k.remote, k.v6}]
	if r == nil {
		return
	}
	if p := r.pages[k.pageOf()]; p != nil {
		word, bit := bitOf(k.port)
		p.newer[word].And(^bit)
		p.older[word].And(^bit)
	}
}

// isRaw reports whether a port is that of a peer without UDP that has an SA.
func (t *clients) isRaw(now int64, k slot) bool {
	sh := t.shard(k.remote)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	r := sh.rawFor(now, k)
	return r != nil && r.goneAt.Load() == 0
}

// forgetRaw lets go of peers that have had no SA for a while, and of ports that nobody has used for long; it looks at most at n pages.
func (sh *clientShard) forgetRaw(now int64, n int) {
	for at, r := range sh.raws {
		if n <= 0 {
			return
		}
		n -= 1 + len(r.pages)
		gone := r.gone(now)
		r.homes = slices.DeleteFunc(r.homes, func(h home) bool { return h.pair != nil && h.pair.Sending() == nil }) // nor do its keys stay
		for k, p := range r.pages {
			if gone || now-p.turned.Load() >= 2*rawIdle {
				p.clear()
				delete(r.pages, k)
			}
		}
		if gone || len(r.pages) == 0 && now >= r.fullUntil {
			delete(sh.raws, at)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where the peer is: RFC 7296, Section 2.23, and the path MTU to it. The source of a datagram is anybody's to write; it is
// looked at only for the newest authentic packet of an SA, and even then IKE decides (Move). An authentic packet can be
// copied and raced by an attacker on the path (HOSTILE T-069): the peer's own next packet corrects it, and so that this
// holds also for a packet that arrives between a notice and its Move, Move compares with the newest source.

package sadb

import (
	"net/netip"
	"time"
)

// place is an endpoint with what is known of the path to it. Immutable but for the path's own numbers.
type place struct {
	Endpoint
	path *path
}

// again is how soon a source that was told and did not become the endpoint is told again.
const again = int64(time.Second)

// mapping is what an SA knows of its peer's whereabouts, once it was elsewhere than expected. Under the lock of the inbound
// half.
type mapping struct {
	latest  netip.AddrPort // source of the newest authentic packet
	arrived netip.AddrPort // where it arrived
	told    netip.AddrPort // the last source told by a notice that no Move has answered; invalid: none
	toldAt  int64
}

// heard notes the source of the newest authentic packet.
func (r *Receiver) heard(a *Arrival) {
	m := r.peer
	ep := r.endpoint.Load()
	if a.Raw || !ep.UDP() {
		return // without UDP there is no mapping that could move
	}
	expected := ep.Remote
	if r.pair == nil {
		expected = *r.single.source.Load()
	}
	if a.From == expected && (m == nil || !m.told.IsValid()) {
		return
	}
	if m == nil {
		m = &mapping{}
		r.peer = m
	}
	m.latest, m.arrived = a.From, a.To
	if a.From == expected || a.From == m.told && r.now-m.toldAt < again {
		return
	}
	m.told, m.toldAt = a.From, r.now
	r.db.post(&r.note, noteMapping)
}

// mappingNotice makes the notice, unless the peer is back where the pair sends.
func (p *Pair) mappingNotice(n *Notice) bool {
	p.Receiver.mu.Lock()
	defer p.Receiver.mu.Unlock()
	m := p.peer
	from := p.endpoint.Load().Remote
	if m == nil || !m.told.IsValid() {
		return false
	}
	if m.latest == from {
		m.told = netip.AddrPort{}
		return false
	}
	m.told = m.latest
	*n = Notice{Kind: NewMapping, Reqid: p.reqid, SPIIn: p.spiIn, From: from, To: m.latest, Local: m.arrived}
	return true
}

// moved swaps the endpoint and looks whether the peer has been heard from elsewhere since it was told.
func (p *Pair) moved(to *place) {
	p.Receiver.mu.Lock()
	defer p.Receiver.mu.Unlock()
	m := p.peer
	p.endpoint.Store(to)
	switch {
	case m == nil || !m.told.IsValid():
	case m.latest == to.Remote:
		m.told = netip.AddrPort{}
	case m.told == to.Remote:
		m.told, m.toldAt = m.latest, p.Receiver.now
		p.db.post(&p.note, noteMapping)
	}
}

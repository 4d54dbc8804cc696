// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Whether clients of single SAs, and peers without UDP, have SAs still, which key daemons replace in silence (RFC 2367, Section 3.1): what seals to
// them is asked for now and then. That takes as long as there are SAs between two addresses, which peers and key daemons decide; so no packet
// waits for it: nothing is locked meanwhile, and what is found is noted.

package dataplane

import (
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// question is a peer without UDP with the homes that it had.
type question struct {
	at    netip.Addr
	peer  *rawPeer
	homes []home
}

// ask notes of some clients and peers whether they have SAs.
func (sh *clientShard) ask(db *sadb.DB, now int64) {
	clients, peers := sh.doubtful()
	for _, c := range clients {
		c.ask(db, now)
	}
	for i := range peers {
		q := &peers[i]
		if slices.ContainsFunc(q.homes, func(h home) bool { return h.lives(db, q.at) }) {
			q.peer.goneAt.Store(0)
		} else {
			q.peer.goneAt.CompareAndSwap(0, now)
		}
	}
}

// doubtful are those of which only the database knows.
func (sh *clientShard) doubtful() (clients []*client, peers []question) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for at, r := range sh.raws {
		if len(peers) == askStep {
			break
		}
		peers = append(peers, question{at.addr.Addr(at.v6), r, slices.Clone(r.homes)})
	}
	left := tickStep
	for _, list := range sh.clients {
		for _, c := range list {
			if left--; left < 0 || len(clients) == askStep {
				return clients, peers
			}
			if c.pair.Load() == nil && c.ended() && !c.inherited() {
				clients = append(clients, c)
			}
		}
	}
	return clients, peers
}

// inherited reports whether what was found to seal to a client does still.
func (c *client) inherited() bool {
	s := c.heir.Load()
	return s != nil && c.goneAt.Load() == 0 && !s.Ended() && s.Endpoint().Remote == c.rcv.Load().Source().Remote
}

// ask notes whether a client of single SAs has one that seals to it.
func (c *client) ask(db *sadb.DB, now int64) {
	r := c.rcv.Load()
	if !c.lives(now) {
		return
	}
	ep := r.Source()
	s := db.SealsTo(r.Proto(), ep.Local.Addr(), c.at, ep.Remote)
	c.heir.Store(s)
	if c.endedFor(now); s != nil || !c.ended() { // it may have been heard meanwhile
		c.goneAt.Store(0)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A generation: one IKE SA in the sense of the wire, with its SPIs, keys and message IDs (RFC 7296, Sections 2.1 to 2.3).
// The window is 1 in both directions: at most one request of ours is outstanding, and the peer's next request is taken
// only when the one before has been answered.

package ikev2

import (
	"slices"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// lastMessageID is the highest ID that is used: before the counter would wrap the SA is closed (RFC 7296, Section 2.2).
const lastMessageID = 1<<32 - 2

// generation is one IKE SA of a machine.
type generation struct {
	spiI, spiR uint64
	initiator  bool // this host is its original initiator
	suite      suite.IKE
	keys       keys
	ni, nr     []byte
	born       time.Time

	nextID  uint32 // of our next request
	pending *request

	peerID   uint32   // of the peer's next request
	parked   bool     // the peer's request peerID-1 is being worked on
	response [][]byte // what answered peerID-1; nil: nothing yet
	summary  string   // of response
	sealed   uint64   // IVs used with an AEAD
	inReq    *reassembly
	inResp   *reassembly

	serving  *serving    // the peer's request that is parked
	rekeying *ikeRekey   // our own rekey of it, from its request until its successor is in use
	theirs   *generation // what the peer's crossing rekey made; collision.go decides
	next     *generation // its successor
	replaced bool        // a successor is in use, or it is the redundant one of two; only deletes happen here
	until    time.Time   // of a replaced one that the peer has to delete: when it is forgotten without
	gone     bool
}

// request is an outstanding request of ours.
type request struct {
	id       uint32
	exchange ikev2msg.Exchange
	name     string   // "rekey child", for status and collisions
	packets  [][]byte // the same octets are sent every time
	tries    int
	pause    time.Duration
	at       time.Time // of the next transmission or the end
	summary  string
	task     *task // that it belongs to, if any
	kind     exchangeKind
	finish   func(now time.Time, o opened)
	lost     func(now time.Time) // its generation is gone; nil: the task ends
}

// local is the SPI by which the peer's messages find this generation.
func (g *generation) local() uint64 {
	if g.initiator {
		return g.spiI
	}
	return g.spiR
}

// latest follows what has replaced a generation to the last that is there; nil: none is. A nil generation has none.
func (g *generation) latest() *generation {
	var found *generation
	for ; g != nil; g = g.next {
		if !g.gone {
			found = g
		}
	}
	return found
}

// newGeneration adds an IKE SA to the machine.
func (sa *SA) newGeneration(now time.Time, initiator bool, spiI, spiR uint64) *generation {
	g := &generation{spiI: spiI, spiR: spiR, initiator: initiator, born: now}
	sa.gens = append(sa.gens, g)
	sa.act(ike.Claim{SPI: g.local()})
	return g
}

// dropGeneration forgets one that is deleted.
func (sa *SA) dropGeneration(now time.Time, g *generation) {
	for i, o := range sa.gens {
		if o == g {
			sa.gens = append(sa.gens[:i:i], sa.gens[i+1:]...)
			break
		}
	}
	sa.act(ike.Release{SPI: g.local()})
	g.gone = true
	if g.serving != nil {
		sa.abandon(g.serving)
	}
	if r := g.pending; r != nil {
		g.pending = nil
		switch {
		case r.lost != nil:
			r.lost(now)
		case r.task != nil:
			sa.end(r.task, "the IKE SA was replaced meanwhile")
		}
	}
	g.keys.wipe()
}

// header is that of a message of ours.
func (g *generation) header(exchange ikev2msg.Exchange, id uint32, response bool) isakmp.Header {
	h := isakmp.Header{SPIi: g.spiI, SPIr: g.spiR, Major: 2, Exchange: uint8(exchange), MessageID: id}
	if g.initiator {
		h.Flags |= isakmp.FlagInitiator
	}
	if response {
		h.Flags |= isakmp.FlagResponse
	}
	return h
}

// request sends an encrypted request of ours. The window must be free.
func (sa *SA) request(now time.Time, g *generation, exchange ikev2msg.Exchange, name string, payloads []ikev2msg.Payload,
	finish func(now time.Time, o opened)) *request {
	id := g.nextID
	if id >= lastMessageID {
		sa.closeNow(now, ike.CloseMessageIDs, "all message IDs are used up")
		return &request{}
	}
	m := &ikev2msg.Message{Header: g.header(exchange, id, false), Payloads: payloads}
	packets := sa.seal(g, m)
	return sa.transmit(now, g, m, packets, name, finish)
}

// transmit makes packets the outstanding request and sends them for the first time.
func (sa *SA) transmit(now time.Time, g *generation, m *ikev2msg.Message, packets [][]byte, name string,
	finish func(now time.Time, o opened)) *request {
	r := &request{
		id: m.MessageID, exchange: ikev2msg.Exchange(m.Exchange), name: name, packets: packets,
		pause: sa.env.Retransmit.Initial, summary: m.Summary(), finish: finish,
	}
	r.at = now.Add(r.pause)
	g.pending = r
	g.nextID = r.id + 1
	sa.send(now, packets, r.summary, false)
	return r
}

// send hands octets to the path in use.
func (sa *SA) send(now time.Time, packets [][]byte, summary string, again bool) {
	sa.sendBy(now, sa.path, packets, summary, again)
}

// sendBy hands octets to a path: responses go back the way the request came (RFC 7296, Section 2.11).
func (sa *SA) sendBy(now time.Time, path ike.Path, packets [][]byte, summary string, again bool) {
	size := 0
	for _, p := range packets {
		sa.act(ike.Send{Path: path, Bytes: p})
		size += len(p)
	}
	sa.lastSent = now
	sa.report(ike.Event{Kind: ike.EventMessage, Sent: true, Retransmit: again, Summary: summary, Size: size})
}

// retransmit sends outstanding requests again whose time has come, or gives the peer up (RFC 7296, Section 2.4).
func (sa *SA) retransmit(now time.Time) {
	for _, g := range slices.Clone(sa.gens) {
		r := g.pending
		if r == nil || now.Before(r.at) {
			continue
		}
		if r.tries >= sa.env.Retransmit.Tries {
			if sa.noAnswer(now, g, r); sa.state == dead {
				return
			}
			continue
		}
		r.tries++
		r.pause = time.Duration(float64(r.pause) * sa.env.Retransmit.Base)
		if limit := sa.env.Retransmit.Limit; limit > 0 {
			r.pause = min(r.pause, limit)
		}
		r.at = now.Add(r.pause)
		sa.send(now, r.packets, r.summary, true)
	}
}

// noAnswer ends what waited for a response.
func (sa *SA) noAnswer(now time.Time, g *generation, r *request) {
	if g.replaced && g != sa.cur {
		// The successor lives; only the delete of the old one got no answer.
		sa.dropGeneration(now, g)
		return
	}
	if sa.state == deleting {
		sa.closeNow(now, sa.closing, sa.closingDetail+"; the peer did not confirm the delete")
		return
	}
	if r.exchange == ikev2msg.IKESAInit {
		sa.retryOrClose(now, ike.CloseNoAnswer, "no answer from "+sa.path.Remote.String()+
			": is the address right, and does a firewall let UDP "+ports(sa.path, sa.nattPath)+" through?")
		return
	}
	if sa.state == authenticating {
		sa.retryOrClose(now, ike.CloseNoAnswer, "the peer answered IKE_SA_INIT but not IKE_AUTH at "+sa.path.Remote.String()+
			": is UDP "+ports(sa.nattPath, sa.nattPath)+" let through, and do large datagrams arrive (fragmentation = yes)?")
		return
	}
	sa.closeNow(now, ike.ClosePeerDead, "no answer to "+r.name)
}

// respond answers the peer's request that is being served and keeps the answer for its retransmissions.
func (sa *SA) respond(now time.Time, g *generation, exchange ikev2msg.Exchange, path ike.Path, payloads []ikev2msg.Payload) {
	m := &ikev2msg.Message{Header: g.header(exchange, g.peerID-1, true), Payloads: payloads}
	g.parked, g.serving = false, nil
	g.response, g.summary = sa.seal(g, m), m.Summary()
	sa.sendBy(now, path, g.response, g.summary, false)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package mux receives what no machine has claimed: first messages, and messages for IKE SAs that do not exist.
// Everything here is attacker controlled and from an address that anybody can forge. What it guarantees: no state and no
// key exchange for a source that has not proved itself once cookies are asked for, a bounded number of half-open IKE SAs,
// at most one answer a datagram, no answer to a response, and a bounded rate of notifies that are not cookies.
//
// Each shard owns one [Mux]; a [Router] is shared by all.
package mux

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// maxInit bounds an IKE_SA_INIT request in octets: the machine keeps it until IKE_AUTH, whose AUTH covers it, and reads its
// proposals before anybody is authenticated. The largest offer with the largest group has under 3,000 (RFC 7296, Section 2
// asks for that much).
const maxInit = 8 * 1024

// Limits are those of one mux. Where a daemon has several shards each has its share (Share).
type Limits struct {
	// CookieTotal and CookieSource are the half-open IKE SAs, of all and of one /32 or /64, from which on cookies are
	// asked for (RFC 7296, Section 2.6).
	CookieTotal, CookieSource int
	// HalfOpen is the number that is never exceeded; HalfOpenSource likewise of one source, cookie or not.
	HalfOpen, HalfOpenSource int
	// Notifies is how many notifies without protection are sent in a second.
	Notifies float64
}

// DefaultLimits are those of a whole daemon: a gateway's legitimate peers are half-open for a round trip or two, so that
// 100 at a time are some hundred logins a second; 1,000 machines of 30 s life cost about 20 MiB; and 200 of one source
// are an office behind one address.
func DefaultLimits() Limits {
	return Limits{CookieTotal: 100, CookieSource: 10, HalfOpen: 1000, HalfOpenSource: 200, Notifies: 10}
}

// Share divides limits among shards.
func (l Limits) Share(shards int) Limits {
	n := max(1, shards)
	part := func(v int) int { return max(1, (v+n-1)/n) }
	return Limits{
		CookieTotal: part(l.CookieTotal), CookieSource: part(l.CookieSource),
		HalfOpen: part(l.HalfOpen), HalfOpenSource: part(l.HalfOpenSource), Notifies: l.Notifies / float64(n),
	}
}

// first names the IKE_SA_INIT request of one initiator.
type first struct {
	source netip.AddrPort
	spi    uint64
}

// Mux vets first messages. It is not safe for concurrent use: its shard owns it.
type Mux struct {
	rand     io.Reader
	limits   Limits
	cookies  cookies
	notifies limiter
	strict   bool // cookies are always asked for

	known    map[first]uint64      // first messages that have a machine
	machines map[uint64]*responder // by the machine's number
	half     int
	sources  map[netip.Addr]int // half-open by network
}

// responder is what is kept of a machine that a first message made.
type responder struct {
	first  first
	source netip.Addr
	half   bool
}

// New makes the mux of one shard. rand gives the cookie secrets.
func New(rand io.Reader, l Limits) *Mux {
	return &Mux{
		rand: rand, limits: l, notifies: limiter{rate: l.Notifies},
		known: map[first]uint64{}, machines: map[uint64]*responder{}, sources: map[netip.Addr]int{},
	}
}

// Verdict is what to do with a datagram that no machine claims.
type Verdict uint8

const (
	// Drop: nothing. Decision.Drop says why.
	Drop Verdict = iota
	// Reply: send Decision.Reply to where the datagram came from, by the path it came by. Nothing was kept.
	Reply
	// Deliver: a retransmission for machine Decision.Unique.
	Deliver
	// Accept: make a responder's machine, tell Accepted its number, and give it the datagram.
	Accept
)

// Decision is a verdict with what belongs to it.
type Decision struct {
	Verdict Verdict
	Reply   []byte
	Unique  uint64
	Drop    ike.DropReason // also of a Reply that refuses
	Detail  string
}

func drop(why ike.DropReason, format string, args ...any) Decision {
	return Decision{Verdict: Drop, Drop: why, Detail: fmt.Sprintf(format, args...)}
}

// Strict has cookies asked for always.
func (m *Mux) Strict(on bool) { m.strict = on }

// HalfOpen is the number of half-open IKE SAs.
func (m *Mux) HalfOpen() int { return m.half }

// First decides on a datagram whose local SPI no machine has claimed.
func (m *Mux) First(now time.Time, d ike.Datagram) Decision {
	h, err := isakmp.ParseHeader(d.Bytes)
	switch {
	case err != nil:
		return drop(ike.DropSyntax, "%v", err)
	case h.Major > 2 && !h.Response():
		return m.refuse(now, h, len(d.Bytes), ike.DropVersion, &ikev2msg.Notify{Notify: ikev2msg.InvalidMajorVersion, Data: []byte{2 << 4}})
	case h.Major != 2:
		return drop(ike.DropVersion, "header: version %d.%d, expected 2", h.Major, h.Minor)
	case uint64(h.Length) != uint64(len(d.Bytes)):
		return drop(ike.DropSyntax, "header: length %d, expected %d", h.Length, len(d.Bytes))
	case h.Response():
		// RFC 7296, Section 2.21.4: a response is never answered.
		return drop(ike.DropSPI, "a response for no IKE SA of ours")
	case ikev2msg.Exchange(h.Exchange) != ikev2msg.IKESAInit:
		if h.SPIi == 0 || h.SPIr == 0 {
			return drop(ike.DropSPI, "a request with SPI zero")
		}
		return m.refuse(now, h, len(d.Bytes), ike.DropSPI, &ikev2msg.Notify{Notify: ikev2msg.InvalidIKESPI})
	case !h.Initiator() || h.SPIi == 0 || h.SPIr != 0 || h.MessageID != 0:
		return drop(ike.DropExchange, "IKE_SA_INIT with SPIs %016x %016x, flags %02x, message ID %d", h.SPIi, h.SPIr, h.Flags, h.MessageID)
	}
	return m.init(now, h, d)
}

// init decides on an IKE_SA_INIT request.
func (m *Mux) init(now time.Time, h isakmp.Header, d ike.Datagram) Decision {
	if unique, ok := m.known[first{d.Remote, h.SPIi}]; ok {
		return Decision{Verdict: Deliver, Unique: unique}
	}
	if len(d.Bytes) > maxInit {
		return drop(ike.DropLimit, "IKE_SA_INIT of %d octets, expected at most %d", len(d.Bytes), maxInit)
	}
	msg, err := ikev2msg.Parse(d.Bytes)
	if err != nil {
		if c, ok := errors.AsType[*ikev2msg.CriticalError](err); ok {
			n := &ikev2msg.Notify{Notify: ikev2msg.UnsupportedCriticalPayload, Data: []byte{byte(c.Type)}}
			return m.refuse(now, h, len(d.Bytes), ike.DropSyntax, n)
		}
		return drop(ike.DropSyntax, "%v", err)
	}
	if missing := lacks(msg); missing != "" {
		return drop(ike.DropSyntax, "IKE_SA_INIT without %s", missing)
	}
	if err := m.cookies.turn(now, m.rand); err != nil {
		return drop(ike.DropLimit, "cookie secret: %v", err)
	}
	source := network(d.Remote.Addr())
	n, sent := msg.Payloads[0].(*ikev2msg.Notify)
	sent = sent && n.Notify == ikev2msg.Cookie
	proved := sent && m.cookies.verify(d, n)
	busy := m.strict || m.half >= m.limits.CookieTotal || m.sources[source] >= m.limits.CookieSource
	if !proved && (busy || sent) {
		return m.askCookie(h, d, sent, n)
	}
	if m.half >= m.limits.HalfOpen || m.sources[source] >= m.limits.HalfOpenSource {
		return drop(ike.DropLimit, "%d half-open IKE SAs, %d of them of %s", m.half, m.sources[source], source)
	}
	return Decision{Verdict: Accept}
}

// lacks names a payload that every IKE_SA_INIT request has; a message without is not worth an answer.
func lacks(msg *ikev2msg.Message) string {
	var sa, ke, nonce bool
	for _, p := range msg.Payloads {
		switch p.(type) {
		case *ikev2msg.SA:
			sa = true
		case *ikev2msg.KE:
			ke = true
		case *ikev2msg.Nonce:
			nonce = true
		case *ikev2msg.Encrypted:
			return "all payloads in clear"
		}
	}
	switch {
	case !sa:
		return "SA"
	case !ke:
		return "KE"
	case !nonce:
		return "Ni"
	}
	return ""
}

// askCookie answers with a cookie. The cookie is of the message without one that it may have had already.
func (m *Mux) askCookie(h isakmp.Header, d ike.Datagram, sent bool, old *ikev2msg.Notify) Decision {
	cookie := m.cookies.make(d)
	dec := Decision{Verdict: Reply}
	if sent {
		cookie = m.cookies.remake(d, old)
		dec.Drop, dec.Detail = ike.DropCookie, "the cookie is not one of ours for this message"
	}
	// RFC 7296, Section 2.6: SPIr is zero, and the cookie is all that the answer has.
	dec.Reply = answer(h, &ikev2msg.Notify{Notify: ikev2msg.Cookie, Data: cookie})
	return dec
}

// refuse answers without protection, as seldom as the limiter wants and never by more octets than came.
func (m *Mux) refuse(now time.Time, h isakmp.Header, size int, why ike.DropReason, n *ikev2msg.Notify) Decision {
	dec := drop(why, "%s", n.Notify)
	reply := answer(h, n)
	if len(reply) > size || !m.notifies.allow(now) {
		return dec
	}
	dec.Verdict, dec.Reply = Reply, reply
	return dec
}

// answer is a response with one notify: same SPIs, message ID and exchange type (RFC 7296, Section 1.5).
func answer(h isakmp.Header, n *ikev2msg.Notify) []byte {
	r := isakmp.Header{SPIi: h.SPIi, SPIr: h.SPIr, Major: 2, Exchange: h.Exchange, Flags: isakmp.FlagResponse, MessageID: h.MessageID}
	if !h.Initiator() {
		r.Flags |= isakmp.FlagInitiator
	}
	m := &ikev2msg.Message{Header: r, Payloads: []ikev2msg.Payload{n}}
	return m.Append(nil)
}

// Accepted notes the machine that was made for an accepted datagram.
func (m *Mux) Accepted(d ike.Datagram, unique uint64) {
	h, err := isakmp.ParseHeader(d.Bytes)
	if err != nil {
		return
	}
	r := &responder{first: first{d.Remote, h.SPIi}, source: network(d.Remote.Addr()), half: true}
	m.machines[unique] = r
	m.known[r.first] = unique
	m.half++
	m.sources[r.source]++
}

// Observe is told every event of a machine: an established one is not half-open any more.
func (m *Mux) Observe(unique uint64, kind ike.EventKind) {
	if r := m.machines[unique]; r != nil && kind == ike.EventIKEUp {
		m.settle(r)
	}
}

// Closed forgets a machine. Unknown ones are ignored.
func (m *Mux) Closed(unique uint64) {
	if r := m.machines[unique]; r != nil {
		m.settle(r)
		delete(m.known, r.first)
		delete(m.machines, unique)
	}
}

func (m *Mux) settle(r *responder) {
	if !r.half {
		return
	}
	r.half = false
	m.half--
	if m.sources[r.source]--; m.sources[r.source] == 0 {
		delete(m.sources, r.source)
	}
}

// Deadline is when Tick has something to do: a cookie secret that nothing needs any more. Zero: nothing.
func (m *Mux) Deadline() time.Time { return m.cookies.previousUntil }

// Tick forgets what is over.
func (m *Mux) Tick(now time.Time) {
	if c := &m.cookies; !c.previousUntil.IsZero() && !now.Before(c.previousUntil) {
		c.previous, c.previousUntil = [secretLen]byte{}, time.Time{}
	}
}

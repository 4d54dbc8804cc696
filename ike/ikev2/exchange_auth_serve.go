// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_AUTH as responder (RFC 7296, Sections 1.2, 2.15, 2.19 and 2.21.2). The request is encrypted by whoever did the key
// exchange: its sender is nobody until AUTH is verified, and what it says before that chooses only which connection it is
// verified against. Every failure of that is the same AUTHENTICATION_FAILED, and ends the machine.

package ikev2

import (
	"fmt"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pki"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// maxVerified bounds the connections that one AUTH is verified against: each may cost a chain of signatures.
const maxVerified = 4

// login is a request for IKE_AUTH on its way to an answer.
type login struct {
	s       *serving
	proof   proof
	wantIDr ike.ID // zero: the initiator does not care
	conn    *ike.Connection
	scheme  string
	own     ike.Signed
	reply   []ikev2msg.Payload
}

// serveAuth answers the request.
func (sa *SA) serveAuth(now time.Time, o opened) {
	id, err := idOf(o.payloads, true)
	if err != nil {
		sa.failLogin(now, sa.park(now, o), ikev2msg.InvalidSyntax, ike.CloseNegotiation, err.Error())
		return
	}
	var wantIDr ike.ID
	if r, ok := find[*ikev2msg.ID](slices.DeleteFunc(slices.Clone(o.payloads), func(p ikev2msg.Payload) bool {
		i, ok := p.(*ikev2msg.ID)
		return ok && i.Initiator
	})); ok {
		wantIDr = ike.ID{Type: ike.IDType(r.IDType), Data: slices.Clone(r.Data)}
	}
	l := &login{s: sa.park(now, o), wantIDr: wantIDr}
	auth, err := only[*ikev2msg.Auth](o.payloads, "AUTH")
	if err != nil {
		// Without AUTH the initiator wants EAP, which is not built.
		sa.failLogin(now, l.s, ikev2msg.AuthenticationFailed, ike.CloseAuthFailed, id.String()+": "+err.Error()+" (EAP is not built)")
		return
	}
	sa.init.certReq = authoritiesOf(o.payloads)
	g := o.g
	l.proof = proof{id: id, auth: auth, certs: certsOf(o.payloads),
		octets: authOctets(sa.init.initMessage, g.nr, g.suite.PRF, g.keys.skPi, idBody(id))}
	candidates := sa.candidatesFor(l)
	if len(candidates) == 0 {
		sa.failLogin(now, l.s, ikev2msg.AuthenticationFailed, ike.CloseAuthFailed, fmt.Sprintf(
			"no connection accepts %s by authentication method %d%s", id, auth.Method, asked(wantIDr)))
		return
	}
	sa.tryLogin(now, l, candidates)
}

func asked(id ike.ID) string {
	if id.IsZero() {
		return ""
	}
	return ", asked for as " + id.String()
}

// candidatesFor are the connections that identities and method fit; those that name the peer's identity itself come before
// those that accept it among others, else the order of preference stays.
func (sa *SA) candidatesFor(l *login) []*ike.Connection {
	var exact, wild []*ike.Connection
	for _, c := range sa.init.candidate {
		local, remote := c.Local[0], c.Remote[0]
		psk := l.proof.auth.Method == methodPSK
		switch {
		case psk != (remote.Method == ike.AuthPSK), !remote.ID.Matches(l.proof.id):
		case !l.wantIDr.IsZero() && !local.ID.IsZero() && !local.ID.Equal(l.wantIDr):
		case remote.ID.Wildcard():
			wild = append(wild, c)
		default:
			exact = append(exact, c)
		}
	}
	list := append(exact, wild...)
	return list[:min(len(list), maxVerified)]
}

// tryLogin verifies AUTH against one connection after the other.
func (sa *SA) tryLogin(now time.Time, l *login, candidates []*ike.Connection) {
	conn := candidates[0]
	sa.localID = ownID(conn.Local[0], l.s.o.path)
	if conn.Local[0].ID.IsZero() && mayBe(conn.Local[0], l.wantIDr) {
		sa.localID = l.wantIDr
	}
	sa.verify(now, conn, l.proof, func(now time.Time, scheme string, err error) {
		switch {
		case err == nil:
			l.conn, l.scheme = conn, scheme
			sa.loggedIn(now, l)
		case len(candidates) > 1:
			sa.tryLogin(now, l, candidates[1:])
		default:
			sa.failLogin(now, l.s, ikev2msg.AuthenticationFailed, ike.CloseAuthFailed, err.Error())
		}
	})
}

// mayBe reports whether this host, where it is not configured who it is, may be who the initiator wants it to be: with a
// shared key, whose lookup is bound to both identities, anybody; with certificates, whom one of them is of. Where none is
// named the signer chooses, and the initiator finds out whether it is who was meant.
func mayBe(local *ike.Auth, id ike.ID) bool {
	switch {
	case id.Wildcard():
		return false
	case local.Method == ike.AuthPSK, len(local.Certs) == 0:
		return true
	}
	return slices.ContainsFunc(local.Certs, func(der []byte) bool {
		c, err := pki.Parse(der)
		return err == nil && pki.Contains(c, id)
	})
}

// failLogin answers with one notify and ends the machine.
func (sa *SA) failLogin(now time.Time, s *serving, kind ikev2msg.NotifyType, why ike.CloseReason, detail string) {
	if why == ike.CloseAuthFailed {
		sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(kind), Detail: "login refused: " + detail})
	}
	sa.refuse(now, s.o, kind, detail)
	sa.closeNow(now, why, detail)
}

// loggedIn: the peer is proved. Our own proof comes next, so that nothing is given to anybody before all of it stands.
func (sa *SA) loggedIn(now time.Time, l *login) {
	g := l.s.o.g
	sa.conn, sa.peerID = l.conn, l.proof.id
	sa.report(ike.Event{Kind: ike.EventAuthenticated, Identity: sa.peerID, LocalIdentity: sa.localID, Scheme: l.scheme})
	octets := authOctets(sa.init.respMessage, g.ni, g.suite.PRF, g.keys.skPr, idBody(sa.localID))
	sa.prove(sa.conn, sa.peerID, octets, func(now time.Time, p ike.Signed, err error) {
		if err != nil {
			sa.failLogin(now, l.s, ikev2msg.AuthenticationFailed, ike.CloseAuthFailed, err.Error())
			return
		}
		l.own = p
		sa.admit(now, l)
	})
}

// admit asks whether this identity may have another IKE SA. INITIAL_CONTACT counts only now that its sender is proved
// (RFC 7296, Section 2.4).
func (sa *SA) admit(_ time.Time, l *login) {
	q := ike.Admit{Unique: sa.env.Unique, Policy: sa.conn.Unique, Connection: sa.conn.Name, Local: sa.localID, Remote: sa.peerID,
		InitialContact: notifyOf(l.s.o.payloads, ikev2msg.InitialContact) != nil}
	sa.ask(q, func(now time.Time, ans ike.Answer) {
		if _, ok := ans.(ike.Admitted); !ok {
			_, detail := refusal(ans, 0)
			sa.failLogin(now, l.s, ikev2msg.AuthenticationFailed, ike.CloseLimit, detail)
			return
		}
		l.reply = []ikev2msg.Payload{idPayload(false, sa.localID)}
		l.reply = append(l.reply, sa.certPayloads(sa.conn, l.own)...)
		l.reply = append(l.reply, &ikev2msg.Auth{Method: l.own.Method, Data: l.own.Data})
		sa.lease(now, l)
	})
}

// lease gives the peer its addresses, where it asks for some and there are pools.
func (sa *SA) lease(now time.Time, l *login) {
	cp, ok := find[*ikev2msg.CP](l.s.o.payloads)
	asks := ok && cp.CfgType == ikev2msg.CFGRequest && len(wantedCP(cp)) > 0
	switch {
	case len(sa.conn.Pools) == 0:
		sa.firstChild(now, l)
		return
	case !asks:
		sa.answerLogin(now, l, &refused{kind: ikev2msg.FailedCPRequired, detail: "connection " + sa.conn.Name + " assigns addresses, and the peer asks for none"}, nil)
		return
	}
	sa.ask(ike.Lease{Pools: sa.conn.Pools, Identity: sa.peerID, Wanted: wantedCP(cp)}, func(now time.Time, ans ike.Answer) {
		leased, ok := ans.(ike.Leased)
		if !ok || len(leased.Addrs) == 0 {
			_, detail := refusal(ans, 0)
			sa.answerLogin(now, l, &refused{kind: ikev2msg.InternalAddressFailure, detail: "no address: " + detail}, nil)
			return
		}
		sa.leased = leased.Addrs
		l.reply = append(l.reply, answerCP(leased))
		sa.report(ike.Event{Kind: ike.EventAddresses, Addrs: leased.Addrs, DNS: leased.DNS})
		sa.firstChild(now, l)
	})
}

// firstChild makes the child. Where it cannot be, the IKE SA is up without (RFC 7296, Section 1.2).
func (sa *SA) firstChild(now time.Time, l *login) {
	o := l.s.o
	offer, err := only[*ikev2msg.SA](o.payloads, "SA")
	if err != nil {
		sa.answerLogin(now, l, &refused{kind: ikev2msg.InvalidSyntax, detail: err.Error()}, nil)
		return
	}
	w := &offerOfChild{ni: o.g.ni, nr: o.g.nr}
	if r := sa.chooseChild(w, sa.conn.Children, offer, o.payloads, false); r != nil {
		sa.answerLogin(now, l, r, nil)
		return
	}
	sa.ask(sa.reservation(w.conf), func(now time.Time, ans ike.Answer) {
		r, ok := ans.(ike.Reserved)
		if !ok {
			kind, detail := refusal(ans, ikev2msg.NoProposalChosen)
			sa.answerLogin(now, l, &refused{kind: kind, detail: "no SPI: " + detail}, nil)
			return
		}
		sa.reserve(r.SPI)
		c := sa.childOf(w, r)
		k := deriveChild(o.g.suite.PRF, o.g.keys.skD, w.suite, ike.KeyExchanged{}.Shared, w.ni, w.nr)
		sa.install(c, k, false, func(now time.Time, failed ike.Answer) {
			if failed != nil {
				kind, detail := refusal(failed, ikev2msg.NoProposalChosen)
				sa.answerLogin(now, l, &refused{kind: kind, detail: "the data plane: " + detail}, nil)
				return
			}
			l.reply = append(l.reply, childNotifies(c.sa.Mode, c.sa.CPIIn)...)
			l.reply = append(l.reply, answerESP(w.suite, w.proposal.Number, r.SPI), toWire(true, w.remote), toWire(false, w.local))
			sa.answerLogin(now, l, nil, c)
		})
	})
}

// answerLogin sends the response; the IKE SA is up. With INVALID_SYNTAX it is not: that notify alone has the initiator
// delete it (RFC 7296, Section 2.21.2).
func (sa *SA) answerLogin(now time.Time, l *login, r *refused, c *child) {
	if r != nil && r.kind == ikev2msg.InvalidSyntax {
		sa.failLogin(now, l.s, r.kind, ike.CloseNegotiation, r.detail)
		return
	}
	if r != nil {
		l.reply = append(l.reply, r.notify())
		sa.report(ike.Event{Kind: ike.EventRefused, Notify: uint16(r.kind), Detail: r.detail})
	}
	sa.init = nil
	sa.establish(now)
	sa.confirmAt = now.Add(confirmAfter)
	sa.respond(now, l.s.o.g, l.s.o.exchange(), l.s.o.path, l.reply)
	if c != nil {
		sa.childUp(c, false)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// CREATE_CHILD_SA that replaces the IKE SA (RFC 7296, Sections 1.3.2, 2.8 and 2.18):
//
//	HDR, SK {SA, Ni, KEi} -->
//	                     <-- HDR, SK {SA, Nr, KEr}
//	HDR, SK {D} -->
//	                     <-- HDR, SK {}
//
// The suite and the group that were negotiated are offered again. Children are the machine's and are inherited by doing
// nothing. The peer's key exchange value and SPI are its own choice; everything else must lie in what is configured.

package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// maxGenerations bounds the IKE SAs of one machine: the one in use, two crossing successors, and replaced ones that the
// peer still has to delete.
const maxGenerations = 6

const rekeyIKETask = "rekey IKE SA"

// ikeRekey is one attempt of ours to replace a generation.
type ikeRekey struct {
	t         *task
	old, next *generation
	proposals []ike.IKEProposal
	group     suite.KE
	private   secret.Key
	rounds    int
}

// rekeyIKE asks for a successor of the IKE SA.
func (sa *SA) rekeyIKE(request uint64) {
	if sa.cur.rekeying != nil || sa.running != nil && sa.running.name == rekeyIKETask || slices.ContainsFunc(sa.tasks, func(t *task) bool { return t.name == rekeyIKETask }) {
		sa.done(request, 0, "the IKE SA is being rekeyed already")
		return
	}
	sa.enqueue(&task{name: rekeyIKETask, request: request, start: sa.askRekeyIKE})
}

func (sa *SA) askRekeyIKE(now time.Time, t *task) {
	if sa.state != established || len(sa.gens) >= maxGenerations {
		sa.end(t, "the IKE SA is being replaced or deleted")
		return
	}
	s := sa.cur.suite
	sa.askRekeyKE(now, &ikeRekey{t: t, old: sa.cur, proposals: keepIKE(s), group: s.KE})
}

func (sa *SA) askRekeyKE(_ time.Time, r *ikeRekey) {
	r.private.Wipe()
	r.private = sa.privateFor(r.group)
	sa.ask(ike.KeyExchange{Group: r.group, Private: r.private}, func(now time.Time, ans ike.Answer) {
		k, ok := ans.(ike.KeyExchanged)
		switch {
		case !ok:
			_, detail := refusal(ans, 0)
			sa.failRekeyIKE(now, r, 0, "key exchange: "+detail)
		case sa.state != established || r.old.gone || r.old.replaced || r.old.serving.rekeysIKE():
			sa.failRekeyIKE(now, r, 0, "the IKE SA was replaced or deleted meanwhile")
		default:
			sa.sendRekeyIKE(now, r, k.Public)
		}
	})
}

// sendRekeyIKE sends the request. Our SPI is claimed now: the peer may use the new IKE SA before its response is here.
func (sa *SA) sendRekeyIKE(now time.Time, r *ikeRekey, public []byte) {
	if r.next == nil {
		r.next = sa.newGeneration(now, true, sa.env.NewSPI(), 0)
	}
	r.next.ni = sa.random(nonceLen)
	r.old.rekeying = r
	req := sa.request(now, r.old, ikev2msg.CreateChildSA, r.t.name, []ikev2msg.Payload{
		proposeIKE(r.proposals, spiBytes(r.next.spiI)), &ikev2msg.Nonce{Data: r.next.ni}, &ikev2msg.KE{Group: uint16(r.group), Data: public},
	}, func(now time.Time, o opened) { sa.finishRekeyIKE(now, r, o) })
	req.task, req.kind = r.t, kindRekeyIKE
}

// finishRekeyIKE takes the response.
func (sa *SA) finishRekeyIKE(now time.Time, r *ikeRekey, o opened) {
	if n := errorNotify(o.payloads); n != nil {
		if sa.anotherGroup(now, r, n) {
			return
		}
		sa.failRekeyIKE(now, r, n.Notify, "the peer refused to rekey the IKE SA: "+n.Notify.String())
		return
	}
	s, spi, nr, ke, err := readRekeyIKE(r, o)
	if err != nil {
		// The peer has a successor that this host cannot make: there is no common state left to mend that with.
		sa.failRekeyIKE(now, r, 0, "rekeying the IKE SA: "+err.Error())
		sa.closeGently(now, ike.CloseNegotiation, "the peer's answer to the rekey of the IKE SA: "+err.Error(), 0)
		return
	}
	sa.temporarySince = time.Time{}
	prf, skD := o.g.suite.PRF, o.g.keys.skD.Clone()
	sa.askShared(now, s.KE, r.private, ke, func(now time.Time, shared secret.Key, err error) {
		defer skD.Wipe()
		r.private.Wipe()
		if err != nil {
			sa.failRekeyIKE(now, r, 0, err.Error())
			sa.closeGently(now, ike.CloseNegotiation, "the peer's answer to the rekey of the IKE SA: "+err.Error(), 0)
			return
		}
		if r.next.gone {
			return // the peer deleted the old one meanwhile: our attempt is forgotten
		}
		n := r.next
		n.spiR, n.suite, n.nr, n.born = spi, s, nr, now
		n.keys = deriveRekeyed(prf, skD, s, shared, n.ni, n.nr, n.spiI, n.spiR)
		shared.Wipe()
		sa.reportKeys(n)
		sa.succeedIKE(now, r)
	})
}

// readRekeyIKE verifies the response.
func readRekeyIKE(r *ikeRekey, o opened) (s suite.IKE, spi uint64, nr, ke []byte, err error) {
	answer, err1 := only[*ikev2msg.SA](o.payloads, "SA")
	nonce, err2 := only[*ikev2msg.Nonce](o.payloads, "Nr")
	k, err3 := only[*ikev2msg.KE](o.payloads, "KE")
	if err := firstError(err1, err2, err3); err != nil {
		return s, 0, nil, nil, err
	}
	s, p, err := acceptIKE(answer, r.proposals)
	if err != nil {
		return s, 0, nil, nil, err
	}
	if len(p.SPI) != 8 || binary.BigEndian.Uint64(p.SPI) == 0 {
		return s, 0, nil, nil, fmt.Errorf("SPI of %d octets, expected 8, not all zero", len(p.SPI))
	}
	if suite.KE(k.Group) != s.KE || s.KE != r.group {
		return s, 0, nil, nil, fmt.Errorf("KE of %s where %s was sent", suite.KE(k.Group), r.group)
	}
	return s, binary.BigEndian.Uint64(p.SPI), nonce.Data, k.Data, nil
}

// anotherGroup follows INVALID_KE_PAYLOAD.
func (sa *SA) anotherGroup(now time.Time, r *ikeRekey, n *ikev2msg.Notify) bool {
	if n.Notify != ikev2msg.InvalidKEPayload || len(n.Data) != 2 {
		return false
	}
	group := suite.KE(binary.BigEndian.Uint16(n.Data))
	r.rounds++
	if group == r.group || r.rounds > maxGroupRounds ||
		!slices.ContainsFunc(r.proposals, func(p ike.IKEProposal) bool { return slices.Contains(p.KEs, group) }) {
		return false
	}
	r.group, r.old.rekeying = group, nil
	sa.askRekeyKE(now, r)
	return true
}

// failRekeyIKE ends an attempt. When the peer has made a successor meanwhile, that one counts.
func (sa *SA) failRekeyIKE(now time.Time, r *ikeRekey, kind ikev2msg.NotifyType, detail string) {
	r.private.Wipe()
	r.old.rekeying = nil
	if r.next != nil && !r.next.gone {
		sa.dropGeneration(now, r.next)
	}
	theirs := r.old.theirs.latest()
	r.old.theirs = nil
	if theirs != nil && !r.old.gone {
		sa.use(now, theirs)
		r.old.replaced, r.old.until = true, now.Add(patience)
		sa.end(r.t, "")
		return
	}
	if r.old.replaced || r.old.gone {
		sa.end(r.t, "")
		return
	}
	sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(kind), Detail: detail})
	if kind != ikev2msg.TemporaryFailure || sa.state != established {
		sa.end(r.t, detail)
		return
	}
	if sa.outOfStep(now) {
		sa.end(r.t, detail)
		sa.closeGently(now, ike.CloseNegotiation, "the peer has answered TEMPORARY_FAILURE for too long", 0)
		return
	}
	sa.postpone(r.t, now.Add(temporaryPause+sa.jitter(temporaryJitter)))
}

// succeedIKE takes our successor into use, or finds that the peer's crossing rekey has won (RFC 7296, Section 2.8.1).
func (sa *SA) succeedIKE(now time.Time, r *ikeRekey) {
	old, ours, theirs := r.old, r.next, r.old.theirs
	old.rekeying, old.theirs = nil, nil
	old.replaced, old.next = true, ours
	if theirs.latest() != nil {
		if lower(ours.ni, ours.nr, theirs.ni, theirs.nr) {
			ours.replaced = true
			old.until = now.Add(patience)
			sa.use(now, theirs.latest())
			sa.deleteGeneration(now, ours)
			sa.end(r.t, "")
			return
		}
		theirs.replaced, theirs.until = true, now.Add(patience)
	}
	sa.use(now, ours)
	sa.deleteGeneration(now, old)
	sa.end(r.t, "")
}

// use has new exchanges go to g.
func (sa *SA) use(now time.Time, g *generation) {
	sa.cur = g
	sa.establishedAt = now
	sa.armIKE(now)
	sa.report(ike.Event{Kind: ike.EventIKERekeyed, SPIi: g.spiI, SPIr: g.spiR, Suite: g.suite, Identity: sa.peerID, LocalIdentity: sa.localID})
}

// armIKE sets the lifetimes of the IKE SA.
func (sa *SA) armIKE(now time.Time) {
	sa.rekeyAt, sa.expireAt = time.Time{}, time.Time{}
	if sa.conn.RekeyTime > 0 {
		sa.rekeyAt = now.Add(sa.conn.RekeyTime - min(sa.jitter(sa.conn.RandTime), sa.conn.RekeyTime/2))
		sa.expireAt = now.Add(sa.conn.RekeyTime + sa.conn.OverTime)
	}
}

// serveRekeyIKE answers the peer's request for a successor.
func (sa *SA) serveRekeyIKE(now time.Time, o opened, offer *ikev2msg.SA, ni []byte) {
	g := o.g
	if collide(sa.doing(g, wantRekeyIKE, nil), wantRekeyIKE) == temporary {
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "the IKE SA is being replaced or deleted, or a child of it")
		return
	}
	if !sa.rekeys.take(now, rekeyLimit, rekeyLimit) || len(sa.gens) >= maxGenerations {
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "too many rekeys")
		return
	}
	ke, err := only[*ikev2msg.KE](o.payloads, "KE")
	if err != nil {
		sa.refuse(now, o, ikev2msg.InvalidSyntax, err.Error())
		return
	}
	accept := append(keepIKE(g.suite), sa.conn.Proposals...)
	s, p, err := chooseIKE(offer, accept, suite.KE(ke.Group))
	switch {
	case err != nil:
		sa.refuse(now, o, ikev2msg.NoProposalChosen, "no common IKE proposal: offered "+describe(offer))
		return
	case len(p.SPI) != 8 || binary.BigEndian.Uint64(p.SPI) == 0:
		sa.refuse(now, o, ikev2msg.InvalidSyntax, fmt.Sprintf("SPI of %d octets, expected 8, not all zero", len(p.SPI)))
		return
	case s.KE != suite.KE(ke.Group):
		sa.refuseWith(now, o, &ikev2msg.Notify{Notify: ikev2msg.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(s.KE))},
			"KE of "+suite.KE(ke.Group).String()+", asked for "+s.KE.String())
		return
	}
	w := sa.park(now, o)
	w.ike = true
	private := sa.privateFor(s.KE)
	sa.askFor(w, ike.KeyExchange{Group: s.KE, Private: private, Peer: ke.Data}, func(now time.Time, ans ike.Answer) {
		private.Wipe()
		k, ok := ans.(ike.KeyExchanged)
		switch {
		case !ok:
			kind, detail := refusal(ans, ikev2msg.InvalidSyntax)
			sa.refuseParked(now, w, kind, "KEi: "+detail)
		case g.replaced || sa.state != established:
			sa.refuseParked(now, w, ikev2msg.TemporaryFailure, "the IKE SA was replaced or deleted meanwhile")
		default:
			sa.answerRekeyIKE(now, w, s, p, ni, k)
		}
	})
}

// answerRekeyIKE makes the successor and sends the response, still under the old keys.
func (sa *SA) answerRekeyIKE(now time.Time, w *serving, s suite.IKE, p ikev2msg.Proposal, ni []byte, k ike.KeyExchanged) {
	g := w.o.g
	n := sa.newGeneration(now, false, binary.BigEndian.Uint64(p.SPI), sa.env.NewSPI())
	n.suite, n.ni, n.nr = s, ni, sa.random(nonceLen)
	n.keys = deriveRekeyed(g.suite.PRF, g.keys.skD, s, k.Shared, n.ni, n.nr, n.spiI, n.spiR)
	k.Shared.Wipe()
	sa.reportKeys(n)
	sa.respond(now, g, w.o.exchange(), w.o.path, []ikev2msg.Payload{answerIKE(s, p.Number, spiBytes(n.spiR)),
		&ikev2msg.Nonce{Data: n.nr}, &ikev2msg.KE{Group: uint16(s.KE), Data: k.Public}})
	if g.rekeying != nil {
		g.theirs = n // crossing: which one is redundant shows when our response is here
		return
	}
	g.replaced, g.until, g.next = true, now.Add(patience), n
	if g == sa.cur {
		sa.use(now, n)
	}
}

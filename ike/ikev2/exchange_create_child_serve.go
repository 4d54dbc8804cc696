// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// CREATE_CHILD_SA as responder: what of the three exchanges it is, the refusals, and the making of a child (RFC 7296,
// Sections 1.3, 2.9 and 2.25). Everything is authenticated and still the word of a peer that may be hostile.

package ikev2

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// offerOfChild is a request for a child, verified as far as it needs no answer of anybody.
type offerOfChild struct {
	old       *child
	conf      *ike.ChildConfig
	suite     suite.ESP
	proposal  ikev2msg.Proposal
	proposals []ike.ESPProposal
	ni, nr    []byte
	ke        []byte
	local     []ike.Selector
	remote    []ike.Selector
	hosts     *hosts // transport mode; nil: tunnel mode
	// cpiIn and cpiOut are set where both sides compress.
	cpiIn, cpiOut uint16
}

// badSPI is why an SPI of the peer's is refused.
const badSPI = "the offered SPI is reserved or in use"

// refused is a notify that an offer gets.
type refused struct {
	kind   ikev2msg.NotifyType
	data   []byte
	detail string
}

func (r *refused) notify() *ikev2msg.Notify { return &ikev2msg.Notify{Notify: r.kind, Data: r.data} }

// serveCreateChild tells the three exchanges apart.
func (sa *SA) serveCreateChild(now time.Time, o opened) {
	offer, err1 := only[*ikev2msg.SA](o.payloads, "SA")
	nonce, err2 := only[*ikev2msg.Nonce](o.payloads, "Ni")
	if err := firstError(err1, err2); err != nil {
		sa.refuse(now, o, ikev2msg.InvalidSyntax, err.Error())
		return
	}
	rekey := notifyOf(o.payloads, ikev2msg.RekeySA)
	switch {
	case len(offer.Proposals) > 0 && offer.Proposals[0].Protocol == ikev2msg.ProtoIKE:
		sa.serveRekeyIKE(now, o, offer, nonce.Data)
	case rekey != nil:
		sa.serveRekeyChild(now, o, rekey, offer, nonce.Data)
	default:
		sa.serveNewChild(now, o, offer, nonce.Data)
	}
}

// serveNewChild answers a request for a further child.
func (sa *SA) serveNewChild(now time.Time, o opened, offer *ikev2msg.SA, ni []byte) {
	switch {
	case collide(sa.doing(o.g, wantChild, nil), wantChild) == temporary:
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "a further child while the IKE SA is being rekeyed or deleted")
	case len(sa.children) >= maxChildren:
		sa.refuse(now, o, ikev2msg.NoAdditionalSAs, fmt.Sprintf("the IKE SA has %d children already", maxChildren))
	case !sa.creates.take(now, createLimit, createRate):
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "too many requests for children")
	default:
		sa.serveChild(now, o, &offerOfChild{ni: ni}, sa.conn.Children, offer)
	}
}

// serveRekeyChild answers a request to replace a child.
func (sa *SA) serveRekeyChild(now time.Time, o opened, n *ikev2msg.Notify, offer *ikev2msg.SA, ni []byte) {
	old := sa.rekeyTarget(n)
	switch collide(sa.doing(o.g, wantRekeyChild, old), wantRekeyChild) {
	case notFound:
		// The SPI is copied (RFC 7296, Section 2.25).
		sa.refuseWith(now, o, &ikev2msg.Notify{Protocol: n.Protocol, SPI: n.SPI, Notify: ikev2msg.ChildSANotFound}, "there is no such child")
		return
	case temporary:
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "the child, or the IKE SA, is being replaced or deleted")
		return
	}
	if !sa.rekeys.take(now, rekeyLimit, rekeyLimit) || len(sa.children) >= 2*maxChildren {
		sa.refuse(now, o, ikev2msg.TemporaryFailure, "too many rekeys")
		return
	}
	sa.serveChild(now, o, &offerOfChild{old: old, ni: ni}, []*ike.ChildConfig{old.conf}, offer)
}

// serveChild chooses, asks for an SPI and a key exchange, installs and answers.
func (sa *SA) serveChild(now time.Time, o opened, w *offerOfChild, confs []*ike.ChildConfig, offer *ikev2msg.SA) {
	if r := sa.chooseChild(w, confs, offer, o.payloads, true); r != nil {
		sa.refuseWith(now, o, r.notify(), r.detail)
		return
	}
	s := sa.park(now, o)
	if w.old != nil {
		s.child, w.old.serving = w.old, true
	}
	w.nr = sa.random(nonceLen)
	q := sa.reservation(w.conf)
	if w.old != nil {
		q.Reqid = w.old.sa.Reqid
	}
	sa.askFor(s, q, func(now time.Time, ans ike.Answer) {
		r, ok := ans.(ike.Reserved)
		if !ok {
			kind, detail := refusal(ans, ikev2msg.NoProposalChosen)
			sa.refuseParked(now, s, kind, "no SPI: "+detail)
			return
		}
		sa.reserve(r.SPI)
		s.spi = r.SPI
		sa.serveChildKE(now, s, w, r)
	})
}

// serveChildKE computes the child's own key exchange, where it has one.
func (sa *SA) serveChildKE(now time.Time, s *serving, w *offerOfChild, r ike.Reserved) {
	if w.suite.KE == suite.KENone {
		sa.makeChild(now, s, w, r, ike.KeyExchanged{})
		return
	}
	private := sa.privateFor(w.suite.KE)
	sa.askFor(s, ike.KeyExchange{Group: w.suite.KE, Private: private, Peer: w.ke}, func(now time.Time, ans ike.Answer) {
		private.Wipe()
		k, ok := ans.(ike.KeyExchanged)
		if !ok {
			kind, detail := refusal(ans, ikev2msg.InvalidSyntax)
			sa.refuseParked(now, s, kind, "KEi: "+detail)
			return
		}
		sa.makeChild(now, s, w, r, k)
	})
}

// makeChild installs the child and answers. What has happened since the request came is looked at again.
func (sa *SA) makeChild(now time.Time, s *serving, w *offerOfChild, r ike.Reserved, k ike.KeyExchanged) {
	if sa.overtaken(s, w) {
		sa.refuseParked(now, s, ikev2msg.TemporaryFailure, "the child, or the IKE SA, was replaced or deleted meanwhile")
		return
	}
	g := s.o.g
	c := sa.childOf(w, r)
	if !sa.peerSPI(c.sa.AH, c.sa.SPIOut) { // it was free when the request came
		sa.refuseParked(now, s, ikev2msg.InvalidSyntax, badSPI)
		return
	}
	keys := deriveChild(g.suite.PRF, g.keys.skD, w.suite, k.Shared, w.ni, w.nr)
	k.Shared.Wipe()
	s.spi = 0
	sa.install(c, keys, false, func(now time.Time, failed ike.Answer) {
		switch {
		case failed != nil && !s.over:
			kind, detail := refusal(failed, ikev2msg.NoProposalChosen)
			sa.refuseParked(now, s, kind, "the data plane: "+detail)
		case failed != nil:
		case s.over || sa.overtaken(s, w):
			sa.dropChild(now, c, "overtaken")
			if !s.over {
				sa.refuseParked(now, s, ikev2msg.TemporaryFailure, "the child, or the IKE SA, was replaced or deleted meanwhile")
			}
		default:
			sa.answerChild(now, s, w, c, k.Public)
		}
	})
}

// overtaken reports whether what was asked for makes no sense any more.
func (sa *SA) overtaken(s *serving, w *offerOfChild) bool {
	g := s.o.g
	return g.gone || g.replaced || sa.state != established || w.old != nil && (w.old.gone || w.old.deleting || w.old.replaced)
}

// childOf is the child of an accepted offer.
func (sa *SA) childOf(w *offerOfChild, r ike.Reserved) *child {
	c := &child{conf: w.conf, proposals: w.proposals, ni: w.ni, nr: w.nr, sa: ike.ChildSA{
		ChildID: r.ChildID, Reqid: r.Reqid, SPIIn: r.SPI, SPIOut: binary.BigEndian.Uint32(w.proposal.SPI),
		Suite: w.suite, TSLocal: w.local, TSRemote: w.remote, AH: w.conf.AH(), Mode: w.conf.Mode, CPIIn: w.cpiIn, CPIOut: w.cpiOut}}
	if w.hosts != nil {
		c.sa.OrigLocal, c.sa.OrigRemote = w.hosts.origLocal, w.hosts.origRemote
	}
	if w.old != nil {
		// RFC 7296, Section 2.8: the responder sends on the old one until it knows that the initiator has the new one.
		c.sa.Replaces, c.sa.Standby = w.old.sa.SPIIn, true
	}
	return c
}

// answerChild sends the response.
func (sa *SA) answerChild(now time.Time, s *serving, w *offerOfChild, c *child, public []byte) {
	payloads := append(childNotifies(c.sa.Mode, c.sa.CPIIn), answerESP(w.suite, w.proposal.Number, c.sa.SPIIn), &ikev2msg.Nonce{Data: w.nr})
	if public != nil {
		payloads = append(payloads, &ikev2msg.KE{Group: uint16(w.suite.KE), Data: public})
	}
	payloads = append(payloads, toWire(true, w.remote), toWire(false, w.local))
	if w.old != nil {
		w.old.serving = false
	}
	sa.respond(now, s.o.g, s.o.exchange(), s.o.path, payloads)
	if w.old != nil {
		sa.servedRekey(now, w.old, c)
		return
	}
	sa.childUp(c, false)
}

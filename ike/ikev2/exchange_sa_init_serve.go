// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_SA_INIT as responder (RFC 7296, Section 1.2). Cookies, the limits of half-open IKE SAs and what lacks a payload are
// the mux's. Everything here comes from an address that anybody can forge: one answer a request, of about its size, and a
// refusal keeps nothing.

package ikev2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// serveInit answers as responder; the same request again gets the same answer again.
func (sa *SA) serveInit(now time.Time, m *ikev2msg.Message, d ike.Datagram) {
	if sa.init == nil {
		return
	}
	if sa.cur != nil {
		if bytes.Equal(d.Bytes, sa.init.initMessage) && sa.init.respMessage != nil && sa.mayRepeat(now) {
			sa.sendBy(now, d.Path, [][]byte{sa.init.respMessage}, "IKE_SA_INIT resp 0", true)
		}
		return
	}
	sa.bornAt, sa.halfOpenUntil = now, now.Add(sa.env.HalfOpenTimeout)
	g := sa.newGeneration(now, false, m.SPIi, sa.env.NewSPI())
	g.peerID = 1
	sa.cur = g
	sa.init.initMessage = d.Bytes
	sa.report(ike.Event{Kind: ike.EventMessage, Summary: m.Summary(), Size: len(d.Bytes)})
	offer, err1 := only[*ikev2msg.SA](m.Payloads, "SA")
	if err1 == nil && slices.ContainsFunc(offer.Proposals, func(p ikev2msg.Proposal) bool { return len(p.SPI) > 0 }) {
		// RFC 7296, Section 3.3.1: the SPI of an initial IKE SA is the header's.
		err1 = errors.New("SA: a proposal with an SPI, expected none in IKE_SA_INIT")
	}
	ke, err2 := only[*ikev2msg.KE](m.Payloads, "KE")
	nonce, err3 := only[*ikev2msg.Nonce](m.Payloads, "Ni")
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			sa.refuseInit(now, d.Path, &ikev2msg.Notify{Notify: ikev2msg.InvalidSyntax}, ike.CloseNegotiation, err.Error())
			return
		}
	}
	g.ni = nonce.Data
	sa.readExtras(m.Payloads)
	sa.ask(ike.FindConnections{Path: d.Path}, func(now time.Time, a ike.Answer) {
		found, _ := a.(ike.Connections)
		sa.chooseInit(now, m, d.Path, found.List, offer, ke)
	})
}

// chooseInit picks the proposal. Which connection it is shows only in IKE_AUTH; all candidates that accept the chosen
// proposal stay.
func (sa *SA) chooseInit(now time.Time, m *ikev2msg.Message, path ike.Path, list []*ike.Connection, offer *ikev2msg.SA, ke *ikev2msg.KE) {
	g := sa.cur
	var chosen ikev2msg.Proposal
	found := false
	for _, c := range list {
		s, p, err := chooseIKE(offer, c.Proposals, suite.KE(ke.Group))
		if err != nil {
			continue
		}
		if !found {
			g.suite, chosen, found = s, p, true
		}
		if s == g.suite {
			sa.init.candidate = append(sa.init.candidate, c)
		}
	}
	if !found {
		detail := "no connection is configured for " + path.Local.Addr().String() + " and " + path.Remote.Addr().String()
		if len(list) > 0 {
			detail = "no common IKE proposal"
		}
		sa.report(ike.Event{Kind: ike.EventFailed, Notify: uint16(ikev2msg.NoProposalChosen), Detail: detail, Offered: describe(offer),
			Got: configured(list)})
		sa.refuseInit(now, path, &ikev2msg.Notify{Notify: ikev2msg.NoProposalChosen}, ike.CloseNoProposal, detail)
		return
	}
	if suite.KE(ke.Group) != g.suite.KE {
		group := binary.BigEndian.AppendUint16(nil, uint16(g.suite.KE))
		sa.refuseInit(now, path, &ikev2msg.Notify{Notify: ikev2msg.InvalidKEPayload, Data: group}, ike.CloseNegotiation,
			"KE of group "+suite.KE(ke.Group).String()+", asked for "+g.suite.KE.String())
		return
	}
	sa.init.number = chosen.Number
	sa.detectNAT(m, path)
	sa.natFake = slices.ContainsFunc(sa.init.candidate, func(c *ike.Connection) bool { return c.Encap }) ||
		!sa.env.RawESP && !sa.natLocal && !sa.natPeer
	sa.init.private = sa.privateFor(g.suite.KE)
	g.nr = sa.random(nonceLen)
	sa.askForCerts(now, func(now time.Time) {
		sa.ask(ike.KeyExchange{Group: g.suite.KE, Private: sa.init.private, Peer: ke.Data}, func(now time.Time, a ike.Answer) {
			k, ok := a.(ike.KeyExchanged)
			if !ok {
				_, detail := refusal(a, 0)
				sa.refuseInit(now, path, &ikev2msg.Notify{Notify: ikev2msg.InvalidSyntax}, ike.CloseNegotiation, "KEi: "+detail)
				return
			}
			sa.answerInit(now, path, k)
		})
	})
}

// askForCerts finds out which authorities to name to the initiator, where a connection that may be meant wants a
// certificate.
func (sa *SA) askForCerts(now time.Time, then func(now time.Time)) {
	var list []*ike.Connection
	for _, c := range sa.init.candidate {
		if c.SendCertReq && c.Remote[0].Method == ike.AuthPubkey {
			list = append(list, c)
		}
	}
	if list == nil {
		then(now)
		return
	}
	sa.ask(ike.CertRequests{Connections: list}, func(now time.Time, a ike.Answer) {
		if c, ok := a.(ike.CertAuthorities); ok {
			sa.init.askCerts = c.Hashes
		}
		then(now)
	})
}

// configured prints what the candidates would have accepted.
func configured(list []*ike.Connection) string {
	if len(list) == 0 {
		return ""
	}
	return describe(proposeIKE(list[0].Proposals, nil))
}

// answerInit sends the response; the keys exist from here on.
func (sa *SA) answerInit(now time.Time, path ike.Path, k ike.KeyExchanged) {
	g, in := sa.cur, sa.init
	in.private.Wipe()
	payloads := []ikev2msg.Payload{answerIKE(g.suite, in.number, nil),
		&ikev2msg.KE{Group: uint16(g.suite.KE), Data: k.Public}, &ikev2msg.Nonce{Data: g.nr}}
	payloads = append(payloads, natNotifies(g.spiI, g.spiR, path, sa.natFake)...)
	payloads = append(payloads, sa.initExtras()...)
	if len(in.askCerts) > 0 {
		payloads = append(payloads, &ikev2msg.CertReq{Encoding: ikev2msg.CertEncodingX509Signature, Authorities: in.askCerts})
	}
	m := &ikev2msg.Message{Header: g.header(ikev2msg.IKESAInit, 0, true), Payloads: payloads}
	in.respMessage = m.Append(nil)
	g.keys = deriveKeys(g.suite, k.Shared, g.ni, g.nr, g.spiI, g.spiR)
	k.Shared.Wipe()
	sa.reportKeys(g)
	sa.state = authenticating
	sa.sendBy(now, path, [][]byte{in.respMessage}, m.Summary(), false)
}

// refuseInit answers with a notify, keeps nothing, and ends the machine.
func (sa *SA) refuseInit(now time.Time, path ike.Path, n *ikev2msg.Notify, why ike.CloseReason, detail string) {
	g := sa.cur
	h := g.header(ikev2msg.IKESAInit, 0, true)
	h.SPIr = 0 // no SA was made (RFC 7296, Section 2.6 for cookies, and so for every refusal)
	m := &ikev2msg.Message{Header: h, Payloads: []ikev2msg.Payload{n}}
	sa.report(ike.Event{Kind: ike.EventRefused, Notify: uint16(n.Notify), Detail: detail})
	sa.sendBy(now, path, [][]byte{m.Append(nil)}, m.Summary(), false)
	sa.closeNow(now, why, detail)
}

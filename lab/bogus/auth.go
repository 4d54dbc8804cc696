// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_AUTH in both roles, with pre-shared keys (RFC 7296, Sections 1.2 and 2.15), one child, and an inner address (2.19).

package bogus

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

const authPSK = 2 // shared key message integrity code (RFC 7296, Section 3.8)

// Connect does IKE_SA_INIT and IKE_AUTH.
func (p *Peer) Connect() error {
	if _, err := p.Init(); err != nil {
		return fmt.Errorf("IKE_SA_INIT: %w", err)
	}
	if _, err := p.Auth(); err != nil {
		return fmt.Errorf("IKE_AUTH: %w", err)
	}
	return nil
}

// auth makes the AUTH payload of this side.
func (p *Peer) auth(sa *SA) Payload {
	a := AuthInput{PSK: p.c.PSK, ID: p.c.ID.Body(), Method: authPSK}
	if sa.Initiator {
		a.Message, a.Nonce, a.P = sa.InitRequest, sa.Nr, sa.Keys.Pi
	} else {
		a.Message, a.Nonce, a.P = sa.InitResponse, sa.Ni, sa.Keys.Pr
	}
	if p.c.Bugs.Auth != nil {
		p.c.Bugs.Auth(&a)
	}
	data := a.Data
	if data == nil {
		data = pskAuth(sa.Keys.Suite, a)
	}
	return Payload{Type: PayloadAUTH, Body: append([]byte{a.Method, 0, 0, 0}, data...)}
}

// verify checks the other side's AUTH.
func (p *Peer) verify(sa *SA, m *Message) error {
	kind, message, nonce, key := uint8(PayloadIDi), sa.InitRequest, sa.Nr, sa.Keys.Pi
	if sa.Initiator {
		kind, message, nonce, key = PayloadIDr, sa.InitResponse, sa.Ni, sa.Keys.Pr
	}
	id, auth := m.Find(kind), m.Find(PayloadAUTH)
	if id == nil || auth == nil || len(id.Body) < 4 || len(auth.Body) < 4 {
		return errors.New("IKE_AUTH without ID or AUTH")
	}
	sa.PeerID = ID{id.Body[0], id.Body[4:]}
	if p.c.Bugs.AcceptAuth {
		return nil
	}
	want := pskAuth(sa.Keys.Suite, AuthInput{PSK: p.c.PSK, Message: message, Nonce: nonce, ID: id.Body, P: key})
	if auth.Body[0] != authPSK || !hmac.Equal(want, auth.Body[4:]) {
		return errors.New("the peer's AUTH is wrong")
	}
	return nil
}

// AuthPayloads are the payloads of an IKE_AUTH request; the child's inbound SPI is reserved.
func (p *Peer) AuthPayloads() []Payload {
	p.mu.Lock()
	defer p.mu.Unlock()
	sa := p.sa
	list := []Payload{{Type: PayloadIDi, Body: p.c.ID.Body()}}
	if p.c.RemoteID != nil {
		list = append(list, Payload{Type: PayloadIDr, Body: p.c.RemoteID.Body()})
	}
	list = append(list, p.auth(sa))
	if p.c.AskAddress {
		list = append(list, CP(1, Attribute{Type: 1}))
	}
	return append(list, p.offer(nil, nil)...)
}

// offer are SA, TSi and TSr of a child that this peer proposes, with a nonce and a KE where they are given.
func (p *Peer) offer(nonce []byte, e *exchange) []Payload {
	spi := binary.BigEndian.AppendUint32(nil, p.spi())
	proposals := []Proposal{{Num: 1, Proto: ProtoESP, Transforms: p.c.ESP.Transforms(false)}}
	if p.c.ESPProposals != nil {
		proposals = append([]Proposal(nil), p.c.ESPProposals...)
	} else if e == nil && p.c.ESP.KE != 0 {
		s := p.c.ESP
		s.KE = 0
		proposals[0].Transforms = s.Transforms(false)
	}
	for i := range proposals {
		if proposals[i].SPI == nil {
			proposals[i].SPI = spi
		}
	}
	list := []Payload{SAPayload(proposals...)}
	if nonce != nil {
		list = append(list, Nonce(nonce))
	}
	if e != nil {
		group, public := e.group, e.Public
		if p.c.Bugs.KE != nil {
			group, public = p.c.Bugs.KE(group, public)
		}
		list = append(list, KE(group, public))
	}
	return append(list, TS(PayloadTSi, p.c.TSi...), TS(PayloadTSr, p.c.TSr...))
}

// Auth does IKE_AUTH as initiator. The answer is returned also with an error; a refused child leaves the IKE SA up.
func (p *Peer) Auth() (*Message, error) {
	list := p.AuthPayloads()
	answer, err := p.Exchange(AuthRequest, IKEAuth, list...)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sa := p.sa
	if !answer.Sealed {
		return answer, errors.New("IKE_AUTH was answered without protection")
	}
	if answer.Find(PayloadAUTH) == nil {
		if err := refusal(answer); err != nil {
			return answer, err
		}
	}
	if err := p.verify(sa, answer); err != nil {
		return answer, err
	}
	sa.Up = true
	defer p.changed()
	if err := refusal(answer); err != nil {
		return answer, err
	}
	if cp := answer.Find(PayloadCP); cp != nil {
		p.takeAddress(cp.Body)
	}
	return answer, p.install(sa, list, answer.Payloads, sa.Ni, sa.Nr, nil)
}

// takeAddress notes the inner address that was given.
func (p *Peer) takeAddress(cp []byte) {
	list, err := ParseCP(cp)
	if err != nil {
		return
	}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.Data); ok && a.Type == 1 {
			p.address = addr
		}
	}
}

// serveAuth answers IKE_AUTH.
func (p *Peer) serveAuth(sa *SA, m, r *Message) {
	if err := p.verify(sa, m); err != nil {
		r.Add(N(AuthenticationFailed))
		sa.gone = true
		return
	}
	r.Add(Payload{Type: PayloadIDr, Body: p.c.ID.Body()}, p.auth(sa))
	if p.c.GiveAddress.IsValid() && m.Find(PayloadCP) != nil {
		r.Add(CP(2, Attribute{1, p.c.GiveAddress.AsSlice()}))
	}
	sa.Up, p.sa = true, sa
	p.serveChild(sa, m, r, sa.Ni, sa.Nr)
}

// serveChild chooses of a proposed child and installs it.
func (p *Peer) serveChild(sa *SA, m, r *Message, ni, nr []byte) {
	offer, tsi, tsr := m.Find(PayloadSA), m.Find(PayloadTSi), m.Find(PayloadTSr)
	if offer == nil || tsi == nil || tsr == nil {
		r.Add(N(NoProposalChosen))
		return
	}
	s := p.c.ESP
	ke := m.Find(PayloadKE)
	if ke == nil {
		s.KE = 0
	}
	proposal, ok := choose(offer.Body, s.Transforms(false))
	if !ok {
		r.Add(N(NoProposalChosen))
		return
	}
	var shared []byte
	var reply []Payload
	if ke != nil && len(ke.Body) > 4 {
		e, err := newExchange(binary.BigEndian.Uint16(ke.Body))
		if err == nil {
			shared, err = p.secret(e, ke.Body[4:])
		}
		if err != nil {
			r.Add(N(NoProposalChosen))
			return
		}
		reply = append(reply, KE(e.group, e.Public))
	}
	proposal.SPI = binary.BigEndian.AppendUint32(nil, p.spi())
	list := append([]Payload{SAPayload(proposal)}, reply...)
	if m.Exchange == CreateChildSA {
		list = append(list, Nonce(nr))
	}
	if p.c.TSi != nil {
		list = append(list, TS(PayloadTSi, p.c.TSi...), TS(PayloadTSr, p.c.TSr...))
	} else {
		list = append(list, Payload{Type: PayloadTSi, Body: tsi.Body}, Payload{Type: PayloadTSr, Body: tsr.Body})
	}
	r.Add(list...)
	if err := p.install(sa, m.Payloads, list, ni, nr, shared); err != nil {
		p.Garbage.Add(1)
	}
}

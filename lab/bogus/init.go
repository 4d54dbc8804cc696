// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// IKE_SA_INIT in both roles (RFC 7296, Section 1.2), with cookies (2.6) and INVALID_KE_PAYLOAD (1.3).

package bogus

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// maxRounds is how often IKE_SA_INIT is begun again because of a cookie or a group (HOSTILE T-010).
const maxRounds = 3

// Transforms lists what a suite needs for IKE (ike) or ESP.
func (s Suite) Transforms(ike bool) []Transform {
	list := []Transform{{Type: TransformENCR, ID: s.Encr, Bits: s.Bits}}
	if s.Integ != IntegNone {
		list = append(list, Transform{Type: TransformINTEG, ID: s.Integ})
	}
	if ike {
		list = append(list, Transform{Type: TransformPRF, ID: s.PRF})
	}
	if s.KE != 0 {
		list = append(list, Transform{Type: TransformKE, ID: s.KE})
	}
	if !ike {
		list = append(list, Transform{Type: TransformESN})
	}
	return list
}

// suiteOf reads the suite of a chosen proposal, and refuses one that is not a choice.
func suiteOf(p Proposal) (Suite, error) {
	var s Suite
	seen := map[uint8]bool{}
	for _, t := range p.Transforms {
		if seen[t.Type] {
			return s, fmt.Errorf("two transforms of type %d were chosen", t.Type)
		}
		seen[t.Type] = true
		switch t.Type {
		case TransformENCR:
			s.Encr, s.Bits = t.ID, t.Bits
		case TransformPRF:
			s.PRF = t.ID
		case TransformINTEG:
			s.Integ = t.ID
		case TransformKE:
			s.KE = t.ID
		}
	}
	_, _, err := s.keyLens()
	return s, err
}

// Begin makes a new IKE SA as initiator and forgets the old one. It sends nothing.
func (p *Peer) Begin() *SA {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sa = p.newSA(true)
	if p.sa.via = (path{false, p.c.Remote}); p.c.Bugs.StartFloated {
		p.sa.via = path{true, p.c.RemoteNATT}
	}
	return p.sa
}

// initRequest makes an IKE_SA_INIT request for the current SA; a key exchange of the group is begun.
func (p *Peer) initRequest(sa *SA, group uint16, cookie []byte) (*Message, error) {
	if sa.started == nil || sa.started.group != group {
		e, err := newExchange(group)
		if err != nil {
			return nil, err
		}
		sa.started = e
	}
	if sa.Ni == nil {
		sa.Ni = p.nonce()
	}
	proposals := p.c.Proposals
	if proposals == nil {
		proposals = []Proposal{{Num: 1, Proto: ProtoIKE, Transforms: p.c.IKE.Transforms(true)}}
	}
	public := sa.started.Public
	if p.c.Bugs.KE != nil {
		group, public = p.c.Bugs.KE(group, public)
	}
	m := sa.header(IKESAInit, 0, false)
	if cookie != nil {
		m.Add(N(CookieNotify, cookie...))
	}
	m.Add(SAPayload(proposals...), KE(group, public), Nonce(sa.Ni))
	m.Add(p.natD(sa)...)
	m.Add(N(FragmentationSupported), N(SignatureHashAlgorithms, 0, 2))
	return m, nil
}

// Init does IKE_SA_INIT as initiator and returns the last answer. An error notify is a [Refused].
func (p *Peer) Init() (*Message, error) {
	sa := p.Begin()
	group := p.c.IKE.KE
	var cookie []byte
	var answer *Message
	for round, cookies := 1, 0; ; round++ {
		p.mu.Lock()
		m, err := p.initRequest(sa, group, cookie)
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if answer, err = p.ask(InitRequest, sa, m); err != nil {
			return nil, err
		}
		if round > 2*maxRounds {
			return answer, errors.New("IKE_SA_INIT goes round and round")
		}
		if n, ok := answer.Notify(CookieNotify); ok {
			cookies++
			if cookie = n.Data; p.c.Bugs.Cookie != nil {
				cookie = p.c.Bugs.Cookie(cookies, cookie)
			}
			continue
		}
		if n, ok := answer.Notify(InvalidKEPayload); ok && len(n.Data) == 2 && binary.BigEndian.Uint16(n.Data) != group {
			if group = binary.BigEndian.Uint16(n.Data); curveOf(group) != nil || Prime(group) != nil {
				continue
			}
		}
		break
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return answer, p.finishInit(sa, answer)
}

func refusal(m *Message) error {
	if e := m.Error(); e != 0 {
		n, _ := m.Notify(e)
		return &Refused{Notify: e, Data: n.Data, Sealed: m.Sealed}
	}
	return nil
}

// finishInit makes the keys of an initiator.
func (p *Peer) finishInit(sa *SA, m *Message) error {
	if err := refusal(m); err != nil {
		return err
	}
	chosen, ke, nonce := m.Find(PayloadSA), m.Find(PayloadKE), m.Find(PayloadNonce)
	if chosen == nil || ke == nil || nonce == nil || len(ke.Body) < 4 || m.SPIr == 0 {
		return fmt.Errorf("IKE_SA_INIT response %v is not complete", m)
	}
	list, err := ParseSA(chosen.Body)
	if err != nil || len(list) != 1 {
		return fmt.Errorf("SA of the response: %d proposals, %w", len(list), err)
	}
	s, err := suiteOf(list[0])
	if err != nil {
		return err
	}
	if got := binary.BigEndian.Uint16(ke.Body); got != sa.started.group || s.KE != got {
		return fmt.Errorf("KE of group %d, chosen %d, sent %d", got, s.KE, sa.started.group)
	}
	shared, err := p.secret(sa.started, ke.Body[4:])
	if err != nil {
		return err
	}
	sa.SPIr, sa.Nr, sa.InitResponse = m.SPIr, nonce.Body, m.Raw
	sa.Keys, err = firstKeys(s, shared, sa.Ni, sa.Nr, sa.SPIi, sa.SPIr)
	sa.NextOut = 1
	if !p.c.Bugs.NoFloat && p.c.RemoteNATT.IsValid() {
		sa.via = path{true, p.c.RemoteNATT}
	}
	return err
}

func (p *Peer) secret(e *exchange, peer []byte) ([]byte, error) {
	shared, err := e.shared(peer)
	if err == nil && p.c.Bugs.Shared != nil {
		shared = p.c.Bugs.Shared(shared)
	}
	return shared, err
}

// serveInit answers an IKE_SA_INIT request.
func (p *Peer) serveInit(v path, m *Message) {
	sa := p.newSA(false)
	sa.SPIi, sa.via = m.SPIi, v
	for _, old := range p.byFirst {
		sa.cookies = max(sa.cookies, old.cookies)
	}
	if sa.cookies < p.c.Bugs.ForceCookie {
		delete(p.sas, sa.SPIr)
		p.byFirst = map[uint64]*SA{0: {cookies: sa.cookies + 1}}
		r := &Message{SPIi: m.SPIi, Version: 0x20, Exchange: IKESAInit, Flags: FlagResponse}
		cookie := make([]byte, 32)
		rand.Read(cookie)
		r.Add(N(CookieNotify, cookie...))
		p.transmit(InitResponse, sa, r)
		return
	}
	chosen, ke, nonce := m.Find(PayloadSA), m.Find(PayloadKE), m.Find(PayloadNonce)
	if chosen == nil || ke == nil || nonce == nil || len(ke.Body) < 4 {
		return
	}
	r := sa.header(IKESAInit, m.ID, true)
	proposal, ok := choose(chosen.Body, p.c.IKE.Transforms(true))
	group := binary.BigEndian.Uint16(ke.Body)
	switch {
	case !ok:
		r.SPIr = 0
		r.Add(N(NoProposalChosen))
		delete(p.sas, sa.SPIr)
		p.transmit(InitResponse, sa, r)
		return
	case group != p.c.IKE.KE:
		r.SPIr = 0
		r.Add(N(InvalidKEPayload, byte(p.c.IKE.KE>>8), byte(p.c.IKE.KE)))
		delete(p.sas, sa.SPIr)
		p.transmit(InitResponse, sa, r)
		return
	}
	p.byFirst[m.SPIi] = sa
	sa.Ni, sa.Nr, sa.InitRequest = nonce.Body, p.nonce(), m.Raw
	e, err := newExchange(group)
	if err != nil {
		return
	}
	shared, err := p.secret(e, ke.Body[4:])
	if err != nil {
		return
	}
	public := e.Public
	if p.c.Bugs.KE != nil {
		group, public = p.c.Bugs.KE(group, public)
	}
	r.Add(SAPayload(proposal), KE(group, public), Nonce(sa.Nr))
	r.Add(p.natD(sa)...)
	r.Add(N(FragmentationSupported), N(SignatureHashAlgorithms, 0, 2))
	if sa.Keys, err = firstKeys(p.c.IKE, shared, sa.Ni, sa.Nr, sa.SPIi, sa.SPIr); err != nil {
		return
	}
	sa.NextIn = 1
	sa.answered[0], _ = p.transmit(InitResponse, sa, r)
}

// choose finds the proposal that has all wanted transforms and returns it reduced to them.
func choose(sa []byte, want []Transform) (Proposal, bool) {
	list, err := ParseSA(sa)
	if err != nil {
		return Proposal{}, false
	}
	for _, offer := range list {
		fits := !slices.ContainsFunc(want, func(t Transform) bool {
			return !slices.ContainsFunc(offer.Transforms, func(o Transform) bool {
				return o.Type == t.Type && o.ID == t.ID && o.Bits == t.Bits
			})
		})
		if fits {
			return Proposal{Num: offer.Num, Proto: offer.Proto, SPI: offer.SPI, Transforms: want}, true
		}
	}
	return Proposal{}, false
}

// InitMessage begins a new IKE SA and returns its first message without sending it.
func (p *Peer) InitMessage() (*Message, error) {
	sa := p.Begin()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.initRequest(sa, p.c.IKE.KE, nil)
}

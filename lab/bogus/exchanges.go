// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// CREATE_CHILD_SA and INFORMATIONAL in both roles (RFC 7296, Sections 1.3 and 1.4), and which request gets which answer.

package bogus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// spi draws an inbound SPI.
func (p *Peer) spi() uint32 {
	for {
		if s := uint32(random64() >> 8); s > 255 && !p.mine[s] {
			p.mine[s] = true
			return s
		}
	}
}

// install makes a child of the two messages' payloads: those of the exchange's initiator and of its responder.
func (p *Peer) install(sa *SA, ask, answer []Payload, ni, nr, shared []byte) error {
	a, b := &Message{Payloads: ask}, &Message{Payloads: answer}
	if b.Find(PayloadSA) == nil || a.Find(PayloadSA) == nil {
		return errors.New("no SA payload")
	}
	chosen, err := ParseSA(b.Find(PayloadSA).Body)
	if err != nil || len(chosen) != 1 || len(chosen[0].SPI) != 4 {
		return fmt.Errorf("the child's chosen proposal: %w", err)
	}
	offered, err := ParseSA(a.Find(PayloadSA).Body)
	if err != nil || len(offered) == 0 {
		return fmt.Errorf("the child's offer: %w", err)
	}
	s, err := suiteOf(chosen[0])
	if err != nil {
		return err
	}
	toResponder, toInitiator, err := childKeys(sa.Keys, s, shared, ni, nr)
	if err != nil {
		return err
	}
	own := func(list []Proposal) uint32 { return binary.BigEndian.Uint32(list[0].SPI) }
	c := &Child{SA: sa, Suite: s, SPIIn: own(offered), SPIOut: own(chosen), in: toInitiator, out: toResponder}
	// So it is for the side that asked; the other has all of it the other way round.
	if !p.mine[c.SPIIn] {
		c.SPIIn, c.SPIOut, c.in, c.out = c.SPIOut, c.SPIIn, c.out, c.in
	}
	for _, ts := range []struct {
		kind uint8
		to   *[]Selector
	}{{PayloadTSi, &c.TSi}, {PayloadTSr, &c.TSr}} {
		if t := b.Find(ts.kind); t != nil {
			if *ts.to, err = ParseTS(t.Body); err != nil {
				return err
			}
		}
	}
	p.children = append(p.children, c)
	return nil
}

// NewChild creates another child (RFC 7296, Section 1.3.1).
func (p *Peer) NewChild() (*Child, error) { return p.createChild(nil) }

// RekeyChild replaces the newest child and deletes it (Section 1.3.3).
func (p *Peer) RekeyChild() (*Child, error) {
	old := p.Child()
	if old == nil {
		return nil, errors.New("no child to rekey")
	}
	c, err := p.createChild(old)
	if err != nil {
		return nil, err
	}
	return c, p.DeleteChild(old)
}

func (p *Peer) createChild(old *Child) (*Child, error) {
	p.mu.Lock()
	sa, ni := p.sa, p.nonce()
	var e *exchange
	var err error
	if p.c.ESP.KE != 0 {
		if e, err = newExchange(p.c.ESP.KE); err != nil {
			p.mu.Unlock()
			return nil, err
		}
	}
	list := p.offer(ni, e)
	if old != nil {
		spi := binary.BigEndian.AppendUint32(nil, old.SPIIn)
		list = append([]Payload{Notify{Proto: ProtoESP, SPI: spi, Type: RekeySA}.Payload()}, list...)
	}
	p.mu.Unlock()
	answer, err := p.Exchange(ChildRequest, CreateChildSA, list...)
	if err != nil {
		return nil, err
	}
	if err := refusal(answer); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	nonce, ke := answer.Find(PayloadNonce), answer.Find(PayloadKE)
	if nonce == nil {
		return nil, errors.New("CREATE_CHILD_SA was answered without a nonce")
	}
	var shared []byte
	if e != nil {
		if ke == nil || len(ke.Body) < 4 {
			return nil, errors.New("CREATE_CHILD_SA was answered without KE")
		}
		if shared, err = p.secret(e, ke.Body[4:]); err != nil {
			return nil, err
		}
	}
	if err := p.install(sa, list, answer.Payloads, ni, nonce.Body, shared); err != nil {
		return nil, err
	}
	return p.child(), nil
}

// DeleteChild deletes a child of the current IKE SA.
func (p *Peer) DeleteChild(c *Child) error {
	spi := binary.BigEndian.AppendUint32(nil, c.SPIIn)
	answer, err := p.Exchange(InfoRequest, Informational, Delete(ProtoESP, spi))
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.children = slices.DeleteFunc(p.children, func(o *Child) bool { return o == c })
	p.mu.Unlock()
	return refusal(answer)
}

// RekeyIKE replaces the current IKE SA and deletes it (Section 1.3.2). The children move over.
func (p *Peer) RekeyIKE() error {
	p.mu.Lock()
	old := p.sa
	next := p.newSA(true)
	next.Ni, next.via = p.nonce(), old.via
	e, err := newExchange(p.c.IKE.KE)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	proposal := Proposal{Num: 1, Proto: ProtoIKE, SPI: binary.BigEndian.AppendUint64(nil, next.SPIi), Transforms: p.c.IKE.Transforms(true)}
	list := []Payload{SAPayload(proposal), Nonce(next.Ni), KE(e.group, e.Public)}
	p.mu.Unlock()
	answer, err := p.Exchange(RekeyRequest, CreateChildSA, list...)
	if err != nil {
		return err
	}
	if err := refusal(answer); err != nil {
		return err
	}
	p.mu.Lock()
	err = p.finishRekey(old, next, e, answer)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = p.ExchangeOn(old, InfoRequest, Informational, Delete(ProtoIKE))
	p.mu.Lock()
	delete(p.sas, old.LocalSPI())
	p.mu.Unlock()
	return err
}

func (p *Peer) finishRekey(old, next *SA, e *exchange, answer *Message) error {
	chosen, nonce, ke := answer.Find(PayloadSA), answer.Find(PayloadNonce), answer.Find(PayloadKE)
	if chosen == nil || nonce == nil || ke == nil || len(ke.Body) < 4 {
		return fmt.Errorf("IKE rekey was answered with %v", answer)
	}
	list, err := ParseSA(chosen.Body)
	if err != nil || len(list) != 1 || len(list[0].SPI) != 8 {
		return fmt.Errorf("IKE rekey: chosen proposal: %w", err)
	}
	s, err := suiteOf(list[0])
	if err != nil {
		return err
	}
	shared, err := p.secret(e, ke.Body[4:])
	if err != nil {
		return err
	}
	next.SPIr, next.Nr = binary.BigEndian.Uint64(list[0].SPI), nonce.Body
	next.Keys, err = nextKeys(old.Keys, s, shared, next.Ni, next.Nr, next.SPIi, next.SPIr)
	p.take(old, next)
	return err
}

// take makes next the current SA and gives it the children.
func (p *Peer) take(old, next *SA) {
	next.Up, next.PeerID = true, old.PeerID
	for _, c := range p.children {
		if c.SA == old {
			c.SA = next
		}
	}
	p.sa = next
}

// serve answers a request for an SA of ours.
func (p *Peer) serve(v path, sa *SA, m *Message) {
	if sent, ok := sa.answered[m.ID]; ok && (m.ID+1 == sa.NextIn) {
		p.send(v, sent) // a retransmission gets the same octets
		return
	}
	if sa.Keys == nil || !m.Sealed || m.ID != sa.NextIn {
		return
	}
	sa.via = v
	r := sa.header(m.Exchange, m.ID, true)
	step := InfoResponse
	switch m.Exchange {
	case IKEAuth:
		step = AuthResponse
		p.serveAuth(sa, m, r)
	case CreateChildSA:
		step = p.serveCreate(sa, m, r)
	default:
		p.serveInformational(sa, m, r)
	}
	sa.NextIn++
	delete(sa.answered, m.ID-1)
	sa.answered[m.ID], _ = p.transmit(step, sa, r)
}

func (p *Peer) serveCreate(sa *SA, m, r *Message) Step {
	nonce, offer := m.Find(PayloadNonce), m.Find(PayloadSA)
	if nonce == nil || offer == nil {
		r.Add(N(InvalidSyntax))
		return ChildResponse
	}
	if m.Find(PayloadTSi) != nil {
		p.serveChild(sa, m, r, nonce.Body, p.nonce())
		return ChildResponse
	}
	proposal, ok := choose(offer.Body, p.c.IKE.Transforms(true))
	ke := m.Find(PayloadKE)
	if !ok || ke == nil || len(ke.Body) < 4 || len(proposal.SPI) != 8 {
		r.Add(N(NoProposalChosen))
		return RekeyResponse
	}
	e, err := newExchange(p.c.IKE.KE)
	if err != nil {
		return RekeyResponse
	}
	shared, err := p.secret(e, ke.Body[4:])
	if err != nil {
		r.Add(N(InvalidSyntax))
		return RekeyResponse
	}
	next := p.newSA(false)
	next.SPIi, next.Ni, next.Nr, next.via = binary.BigEndian.Uint64(proposal.SPI), nonce.Body, p.nonce(), sa.via
	proposal.SPI = binary.BigEndian.AppendUint64(nil, next.SPIr)
	if next.Keys, err = nextKeys(sa.Keys, p.c.IKE, shared, next.Ni, next.Nr, next.SPIi, next.SPIr); err != nil {
		return RekeyResponse
	}
	r.Add(SAPayload(proposal), Nonce(next.Nr), KE(e.group, e.Public))
	p.take(sa, next)
	return RekeyResponse
}

func (p *Peer) serveInformational(sa *SA, m, r *Message) {
	for _, d := range m.Payloads {
		if d.Type != PayloadDelete {
			continue
		}
		proto, spis, err := ParseDelete(d.Body)
		if err != nil {
			continue
		}
		if proto == ProtoIKE {
			sa.Up, sa.gone = false, true
			if p.sa == sa {
				p.children = nil
			}
			continue
		}
		var own [][]byte
		for _, s := range spis {
			p.children = slices.DeleteFunc(p.children, func(c *Child) bool {
				mine := len(s) == 4 && binary.BigEndian.Uint32(s) == c.SPIOut
				if mine {
					own = append(own, binary.BigEndian.AppendUint32(nil, c.SPIIn))
				}
				return mine
			})
		}
		if len(own) > 0 {
			r.Add(Delete(ProtoESP, own...))
		}
	}
}

// Ping is a liveness check: an empty INFORMATIONAL that must be answered under protection.
func (p *Peer) Ping() error {
	answer, err := p.Exchange(InfoRequest, Informational)
	if err == nil && !answer.Sealed {
		err = fmt.Errorf("liveness was answered without protection: %v", answer)
	}
	return err
}

// DeleteIKE deletes the current IKE SA.
func (p *Peer) DeleteIKE() error {
	_, err := p.Exchange(InfoRequest, Informational, Delete(ProtoIKE))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sa.Up, p.children = false, nil
	return err
}

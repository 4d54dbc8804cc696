// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Proposals (RFC 7296, Sections 2.7 and 3.3). A responder chooses one proposal and one transform of each type, in its own
// order of preference; an initiator verifies that the answer is a subset of its offer. Offers are attacker controlled and
// bounded by the codec; a transform or proposal that is not understood is skipped, never guessed.

package ikev2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// errNoProposal: nothing in common.
var errNoProposal = errors.New("no common proposal")

// proposeIKE is the offer of an IKE SA; spi is empty in IKE_SA_INIT.
func proposeIKE(conf []ike.IKEProposal, spi []byte) *ikev2msg.SA {
	sa := &ikev2msg.SA{}
	for i, c := range conf {
		p := ikev2msg.Proposal{Number: uint8(i + 1), Protocol: ikev2msg.ProtoIKE, SPI: spi}
		p.Transforms = append(p.Transforms, encrTransforms(c.Encrs)...)
		p.Transforms = append(p.Transforms, transforms(ikev2msg.TransformPRF, c.PRFs)...)
		p.Transforms = append(p.Transforms, transforms(ikev2msg.TransformInteg, c.Integs)...)
		p.Transforms = append(p.Transforms, transforms(ikev2msg.TransformKE, c.KEs)...)
		sa.Proposals = append(sa.Proposals, p)
	}
	return sa
}

// proposeESP is the offer of a child SA, of ESP or of AH. In IKE_AUTH there is no key exchange and the groups stay away
// (RFC 7296, Section 1.2).
func proposeESP(conf []ike.ESPProposal, spi uint32, withKE bool) *ikev2msg.SA {
	sa := &ikev2msg.SA{}
	for i, c := range conf {
		p := ikev2msg.Proposal{Number: uint8(i + 1), Protocol: protocolOf(c.AH()), SPI: binary.BigEndian.AppendUint32(nil, spi)}
		p.Transforms = append(p.Transforms, encrTransforms(c.Encrs)...)
		p.Transforms = append(p.Transforms, transforms(ikev2msg.TransformInteg, c.Integs)...)
		if withKE {
			p.Transforms = append(p.Transforms, transforms(ikev2msg.TransformKE, c.KEs)...)
		}
		for _, esn := range c.ESN {
			p.Transforms = append(p.Transforms, ikev2msg.Transform{Type: ikev2msg.TransformESN, ID: esnID(esn), KeyLen: -1})
		}
		sa.Proposals = append(sa.Proposals, p)
	}
	return sa
}

func esnID(on bool) uint16 {
	if on {
		return 1
	}
	return 0
}

func encrTransforms(list []ike.EncrSpec) []ikev2msg.Transform {
	out := make([]ikev2msg.Transform, len(list))
	for i, e := range list {
		out[i] = ikev2msg.Transform{Type: ikev2msg.TransformEncr, ID: uint16(e.Encr), KeyLen: keyLen(e.Bits)}
	}
	return out
}

func keyLen(bits int) int {
	if bits == 0 {
		return -1
	}
	return bits
}

func transforms[T ~uint16](kind ikev2msg.TransformType, list []T) []ikev2msg.Transform {
	out := make([]ikev2msg.Transform, len(list))
	for i, id := range list {
		out[i] = ikev2msg.Transform{Type: kind, ID: uint16(id), KeyLen: -1}
	}
	return out
}

// offered lists the usable transforms of a kind in a proposal.
func offered(p ikev2msg.Proposal, kind ikev2msg.TransformType) []ikev2msg.Transform {
	var list []ikev2msg.Transform
	for _, t := range p.Transforms {
		if t.Type == kind && !t.Unknown {
			list = append(list, t)
		}
	}
	return list
}

// unknownType reports a transform type that we do not know: the whole proposal is then unacceptable
// (RFC 7296, Section 3.3.6).
func unknownType(p ikev2msg.Proposal) bool {
	return slices.ContainsFunc(p.Transforms, func(t ikev2msg.Transform) bool { return t.Type < 1 || t.Type > ikev2msg.TransformESN })
}

func pickEncr(p ikev2msg.Proposal, conf []ike.EncrSpec) (ike.EncrSpec, bool) {
	for _, c := range conf {
		for _, t := range offered(p, ikev2msg.TransformEncr) {
			if t.ID == uint16(c.Encr) && t.KeyLen == keyLen(c.Bits) {
				return c, true
			}
		}
	}
	return ike.EncrSpec{}, false
}

func pick[T ~uint16](p ikev2msg.Proposal, kind ikev2msg.TransformType, conf []T) (T, bool) {
	list := offered(p, kind)
	for _, c := range conf {
		if slices.ContainsFunc(list, func(t ikev2msg.Transform) bool { return t.ID == uint16(c) && t.KeyLen < 0 }) {
			return c, true
		}
	}
	return 0, false
}

// pickInteg: none beside an AEAD, where NONE may be listed (RFC 7296, Section 3.3.3), and one beside a cipher.
func pickInteg(p ikev2msg.Proposal, e suite.Encr, conf []suite.Integ) (suite.Integ, bool) {
	if !e.AEAD() {
		return pick(p, ikev2msg.TransformInteg, conf)
	}
	for _, t := range offered(p, ikev2msg.TransformInteg) {
		if t.ID != uint16(suite.IntegNone) {
			return 0, false
		}
	}
	return suite.IntegNone, true
}

// chooseIKE chooses for a responder. prefer is the group of the peer's KE payload: when it is acceptable it is taken,
// which saves a round trip. It returns the number of the chosen proposal and its SPI.
func chooseIKE(offer *ikev2msg.SA, conf []ike.IKEProposal, prefer suite.KE) (suite.IKE, ikev2msg.Proposal, error) {
	for _, c := range conf {
		for _, p := range offer.Proposals {
			if p.Protocol != ikev2msg.ProtoIKE || unknownType(p) {
				continue
			}
			kes := c.KEs
			if slices.Contains(kes, prefer) {
				kes = append([]suite.KE{prefer}, kes...)
			}
			e, ok1 := pickEncr(p, c.Encrs)
			prf, ok2 := pick(p, ikev2msg.TransformPRF, c.PRFs)
			ke, ok3 := pick(p, ikev2msg.TransformKE, kes)
			// Whatever a configuration asks for: an IKE SA is never without encryption, nor of what is for IKEv1's old gateways
			// only (T-012).
			if !ok1 || !ok2 || !ok3 || !e.Encr.KnownIKE() || !prf.Known() || !ke.Known() {
				continue
			}
			integ, ok := pickInteg(p, e.Encr, c.Integs)
			if !ok || !e.Encr.AEAD() && !integ.KnownIKE() {
				continue
			}
			return suite.IKE{Encr: e.Encr, EncrBits: e.Bits, Integ: integ, PRF: prf, KE: ke}, p, nil
		}
	}
	return suite.IKE{}, ikev2msg.Proposal{}, errNoProposal
}

// chooseESP likewise for a child. withKE: groups count (CREATE_CHILD_SA). A peer that offers no group, or NONE, gets
// none where the configuration has none.
func chooseESP(offer *ikev2msg.SA, conf []ike.ESPProposal, withKE bool, prefer suite.KE) (suite.ESP, ikev2msg.Proposal, error) {
	for _, c := range conf {
		for _, p := range offer.Proposals {
			if p.Protocol != protocolOf(c.AH()) || len(p.SPI) != 4 || unknownType(p) {
				continue
			}
			e, integ, ok := pickProtection(p, &c)
			if !ok {
				continue
			}
			ke, ok := pickPFS(p, c.KEs, withKE, prefer)
			if !ok {
				continue
			}
			esn, ok := pickESN(p, c.ESN)
			if !ok {
				continue
			}
			return suite.ESP{Encr: e.Encr, EncrBits: e.Bits, Integ: integ, KE: ke, ESN: esn}, p, nil
		}
	}
	return suite.ESP{}, ikev2msg.Proposal{}, errNoProposal
}

// pickProtection: AH has an integrity algorithm and no other (RFC 7296, Section 3.3.3).
func pickProtection(p ikev2msg.Proposal, c *ike.ESPProposal) (e ike.EncrSpec, integ suite.Integ, ok bool) {
	if c.AH() {
		integ, ok = pick(p, ikev2msg.TransformInteg, c.Integs)
		return e, integ, ok && len(offered(p, ikev2msg.TransformEncr)) == 0
	}
	if e, ok = pickEncr(p, c.Encrs); !ok {
		return e, 0, false
	}
	integ, ok = pickInteg(p, e.Encr, c.Integs)
	return e, integ, ok
}

func pickPFS(p ikev2msg.Proposal, conf []suite.KE, withKE bool, prefer suite.KE) (suite.KE, bool) {
	if !withKE {
		return suite.KENone, true
	}
	list := offered(p, ikev2msg.TransformKE)
	if len(conf) == 0 {
		none := len(list) == 0 || slices.ContainsFunc(list, func(t ikev2msg.Transform) bool { return t.ID == 0 })
		return suite.KENone, none
	}
	if len(list) == 0 && slices.Contains(conf, suite.KENone) {
		return suite.KENone, true // an answer without the type is NONE (RFC 7296, Section 3.3.3)
	}
	if slices.Contains(conf, prefer) {
		conf = append([]suite.KE{prefer}, conf...)
	}
	ke, ok := pick(p, ikev2msg.TransformKE, conf)
	return ke, ok && !ke.Weak()
}

// pickESN: a proposal without the transform means 32-bit numbers, as some peers have it.
func pickESN(p ikev2msg.Proposal, conf []bool) (bool, bool) {
	list := offered(p, ikev2msg.TransformESN)
	if len(list) == 0 {
		return false, slices.Contains(conf, false)
	}
	for _, c := range conf {
		if slices.ContainsFunc(list, func(t ikev2msg.Transform) bool { return t.ID == esnID(c) }) {
			return c, true
		}
	}
	return false, false
}

// answerIKE and answerESP are a responder's SA payload: the chosen proposal with one transform of each type.
func answerIKE(s suite.IKE, number uint8, spi []byte) *ikev2msg.SA {
	sa := proposeIKE([]ike.IKEProposal{{
		Encrs: []ike.EncrSpec{{Encr: s.Encr, Bits: s.EncrBits}}, PRFs: []suite.PRF{s.PRF}, Integs: integList(s.Integ), KEs: []suite.KE{s.KE},
	}}, spi)
	sa.Proposals[0].Number = number
	return sa
}

func answerESP(s suite.ESP, number uint8, spi uint32) *ikev2msg.SA {
	p := ike.ESPProposal{Encrs: encrList(s), Integs: integList(s.Integ), ESN: []bool{s.ESN}}
	if s.KE != suite.KENone {
		p.KEs = []suite.KE{s.KE}
	}
	sa := proposeESP([]ike.ESPProposal{p}, spi, true)
	sa.Proposals[0].Number = number
	return sa
}

// encrList is empty for AH.
func encrList(s suite.ESP) []ike.EncrSpec {
	if s.Encr == 0 {
		return nil
	}
	return []ike.EncrSpec{{Encr: s.Encr, Bits: s.EncrBits}}
}

func integList(i suite.Integ) []suite.Integ {
	if i == suite.IntegNone {
		return nil
	}
	return []suite.Integ{i}
}

// acceptIKE verifies a responder's answer against the offer it answers (RFC 7296, Section 2.7: exactly one proposal, a
// subset of what was offered).
func acceptIKE(answer *ikev2msg.SA, conf []ike.IKEProposal) (suite.IKE, ikev2msg.Proposal, error) {
	p, c, err := answered(answer, conf)
	if err != nil {
		return suite.IKE{}, p, err
	}
	s, _, err := chooseIKE(&ikev2msg.SA{Proposals: []ikev2msg.Proposal{p}}, []ike.IKEProposal{c}, suite.KENone)
	if err != nil {
		return s, p, fmt.Errorf("the answer %s was not offered", describe(answer))
	}
	return s, p, nil
}

// acceptESP likewise.
func acceptESP(answer *ikev2msg.SA, conf []ike.ESPProposal, withKE bool) (suite.ESP, ikev2msg.Proposal, error) {
	p, c, err := answered(answer, conf)
	if err != nil {
		return suite.ESP{}, p, err
	}
	s, _, err := chooseESP(&ikev2msg.SA{Proposals: []ikev2msg.Proposal{p}}, []ike.ESPProposal{c}, withKE, suite.KENone)
	if err != nil {
		return s, p, fmt.Errorf("the answer %s was not offered", describe(answer))
	}
	return s, p, nil
}

// answered finds the offered proposal that an answer names; each type of transform may occur once.
func answered[T any](answer *ikev2msg.SA, conf []T) (ikev2msg.Proposal, T, error) {
	var none T
	if len(answer.Proposals) != 1 {
		return ikev2msg.Proposal{}, none, fmt.Errorf("answer: %d proposals, expected 1", len(answer.Proposals))
	}
	p := answer.Proposals[0]
	if int(p.Number) < 1 || int(p.Number) > len(conf) {
		return p, none, fmt.Errorf("answer: proposal %d was not offered", p.Number)
	}
	seen := map[ikev2msg.TransformType]bool{}
	for _, t := range p.Transforms {
		if seen[t.Type] {
			return p, none, fmt.Errorf("answer: two transforms of type %d", t.Type)
		}
		seen[t.Type] = true
	}
	return p, conf[p.Number-1], nil
}

// describe prints proposals in strongSwan's notation: "IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048".
func describe(sa *ikev2msg.SA) string {
	parts := make([]string, len(sa.Proposals))
	for i, p := range sa.Proposals {
		names := make([]string, len(p.Transforms))
		for j, t := range p.Transforms {
			names[j] = transformName(t)
		}
		parts[i] = p.Protocol.String() + ":" + strings.Join(names, "/")
	}
	return strings.Join(parts, ", ")
}

func transformName(t ikev2msg.Transform) string {
	name := fmt.Sprintf("TRANSFORM_%d_%d", t.Type, t.ID)
	switch t.Type {
	case ikev2msg.TransformEncr:
		name = suite.Encr(t.ID).String()
	case ikev2msg.TransformPRF:
		name = suite.PRF(t.ID).String()
	case ikev2msg.TransformInteg:
		name = suite.Integ(t.ID).String()
	case ikev2msg.TransformKE:
		name = suite.KE(t.ID).String()
	case ikev2msg.TransformESN:
		name = "NO_EXT_SEQ"
		if t.ID == 1 {
			name = "EXT_SEQ"
		}
	}
	if t.KeyLen >= 0 {
		name = fmt.Sprintf("%s_%d", name, t.KeyLen)
	}
	return name
}

// keep is the proposal that a negotiated suite came from, narrowed to it: what a rekey offers. Computing it from the
// configuration again is what breaks rekeying with peers that want what they once chose.
func keep(s suite.ESP) []ike.ESPProposal {
	p := ike.ESPProposal{Encrs: encrList(s), Integs: integList(s.Integ), ESN: []bool{s.ESN}}
	if s.KE != suite.KENone {
		p.KEs = []suite.KE{s.KE}
	}
	return []ike.ESPProposal{p}
}

// keepFirst is keep for the child of IKE_AUTH, which had no key exchange to negotiate: the groups are those of the
// configured proposals that the suite fits.
func keepFirst(conf []ike.ESPProposal, s suite.ESP) []ike.ESPProposal {
	var list []ike.ESPProposal
	for _, c := range conf {
		if s.Encr != 0 && !slices.Contains(c.Encrs, ike.EncrSpec{Encr: s.Encr, Bits: s.EncrBits}) || !slices.Contains(c.ESN, s.ESN) ||
			s.Integ != suite.IntegNone && !slices.Contains(c.Integs, s.Integ) {
			continue
		}
		p := keep(s)[0]
		p.KEs = c.KEs
		list = append(list, p)
	}
	if list == nil {
		return keep(s)
	}
	return list
}

// keepIKE is keep for an IKE SA.
func keepIKE(s suite.IKE) []ike.IKEProposal {
	return []ike.IKEProposal{{Encrs: []ike.EncrSpec{{Encr: s.Encr, Bits: s.EncrBits}}, PRFs: []suite.PRF{s.PRF},
		Integs: integList(s.Integ), KEs: []suite.KE{s.KE}}}
}

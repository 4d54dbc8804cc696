// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

func gcmIKE() ike.IKEProposal {
	return ike.IKEProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 256}, {Encr: suite.EncrAESGCM16, Bits: 128}},
		PRFs: []suite.PRF{suite.PRFHMACSHA2384, suite.PRFHMACSHA2256}, KEs: []suite.KE{suite.KECurve25519, suite.KEECP256}}
}

func cbcIKE() ike.IKEProposal {
	return ike.IKEProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: 128}}, Integs: []suite.Integ{suite.IntegHMACSHA2256128},
		PRFs: []suite.PRF{suite.PRFHMACSHA2256}, KEs: []suite.KE{suite.KEMODP2048}}
}

func gcmESP(kes ...suite.KE) ike.ESPProposal {
	return ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 128}}, KEs: kes, ESN: []bool{true, false}}
}

func TestChooseIKE(t *testing.T) {
	conf := []ike.IKEProposal{gcmIKE(), cbcIKE()}
	for _, c := range []struct {
		name   string
		offer  []ike.IKEProposal
		prefer suite.KE
		want   string
	}{
		{"ours first", []ike.IKEProposal{cbcIKE(), gcmIKE()}, suite.KEMODP2048, "AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519"},
		{"the group of the KE payload saves a round trip", []ike.IKEProposal{gcmIKE()}, suite.KEECP256, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_256"},
		{"the second", []ike.IKEProposal{cbcIKE()}, suite.KEMODP2048, "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
		{"another key length", []ike.IKEProposal{{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: 256}}, Integs: cbcIKE().Integs,
			PRFs: cbcIKE().PRFs, KEs: cbcIKE().KEs}}, suite.KEMODP2048, ""},
	} {
		got, _, err := chooseIKE(proposeIKE(c.offer, nil), conf, c.prefer)
		if err != nil && c.want != "" || err == nil && got.String() != c.want {
			t.Errorf("%s: %s, %v, expected %q", c.name, got, err, c.want)
		}
	}
}

// What an initiator accepts of an answer: one proposal that is part of what it offered.
func TestAccept(t *testing.T) {
	conf := []ike.IKEProposal{gcmIKE(), cbcIKE()}
	chosen, p, err := chooseIKE(proposeIKE(conf, nil), conf, suite.KEECP256)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := acceptIKE(answerIKE(chosen, p.Number, nil), conf); err != nil || got != chosen {
		t.Errorf("the right answer: %s, %v", got, err)
	}
	answer := func(change func(p *ikev2msg.Proposal)) *ikev2msg.SA {
		a := answerIKE(chosen, p.Number, nil)
		change(&a.Proposals[0])
		return a
	}
	for name, a := range map[string]*ikev2msg.SA{
		"nothing":                {},
		"two proposals":          proposeIKE(conf, nil),
		"proposal 0":             answer(func(p *ikev2msg.Proposal) { p.Number = 0 }),
		"a proposal not offered": answer(func(p *ikev2msg.Proposal) { p.Number = 3 }),
		"another proposal":       answer(func(p *ikev2msg.Proposal) { p.Number = 2 }),
		"another key length":     answer(func(p *ikev2msg.Proposal) { p.Transforms[0].KeyLen = 192 }),
		"no key length":          answer(func(p *ikev2msg.Proposal) { p.Transforms[0].KeyLen = -1 }),
		"two ciphers":            answer(func(p *ikev2msg.Proposal) { p.Transforms = append(p.Transforms, p.Transforms[0]) }),
		"no PRF":                 answer(func(p *ikev2msg.Proposal) { p.Transforms = append(p.Transforms[:1:1], p.Transforms[2:]...) }),
		"integrity with an AEAD": answer(func(p *ikev2msg.Proposal) { p.Transforms = append(p.Transforms, integTransform(12)) }),
		"a group not offered":    answer(func(p *ikev2msg.Proposal) { p.Transforms[2].ID = uint16(suite.KEMODP2048) }),
		"another protocol":       answer(func(p *ikev2msg.Proposal) { p.Protocol = ikev2msg.ProtoESP }),
		"an unknown type": answer(func(p *ikev2msg.Proposal) {
			p.Transforms = append(p.Transforms, ikev2msg.Transform{Type: 6, KeyLen: -1})
		}),
		"an unknown attribute":    answer(func(p *ikev2msg.Proposal) { p.Transforms[0].Unknown = true }),
		"a PRF with a key length": answer(func(p *ikev2msg.Proposal) { p.Transforms[1].KeyLen = 128 }),
	} {
		if got, _, err := acceptIKE(a, conf); err == nil {
			t.Errorf("%s was accepted as %s", name, got)
		}
	}
	// RFC 7296, Section 3.3.3: INTEG NONE beside an AEAD is the same as no INTEG.
	if _, _, err := acceptIKE(answer(func(p *ikev2msg.Proposal) { p.Transforms = append(p.Transforms, integTransform(0)) }), conf); err != nil {
		t.Errorf("INTEG NONE beside an AEAD: %v", err)
	}
}

func integTransform(id uint16) ikev2msg.Transform {
	return ikev2msg.Transform{Type: ikev2msg.TransformInteg, ID: id, KeyLen: -1}
}

func TestChooseESP(t *testing.T) {
	group, none := gcmESP(suite.KEECP256), gcmESP()
	noneListed := gcmESP(suite.KENone)
	for _, c := range []struct {
		name        string
		offer, conf ike.ESPProposal
		withKE      bool
		want        string
	}{
		{"IKE_AUTH has no group", group, group, false, "AES_GCM_16_128/EXT_SEQ"},
		{"PFS", group, group, true, "AES_GCM_16_128/ECP_256/EXT_SEQ"},
		{"no PFS", none, none, true, "AES_GCM_16_128/EXT_SEQ"},
		{"NONE is listed", noneListed, none, true, "AES_GCM_16_128/EXT_SEQ"},
		{"only we want PFS", none, group, true, ""},
		{"only the peer does", group, none, true, ""},
		{"ESN only here", gcmESP(), ike.ESPProposal{Encrs: gcmESP().Encrs, ESN: []bool{false}}, true, "AES_GCM_16_128/NO_EXT_SEQ"},
	} {
		offer := proposeESP([]ike.ESPProposal{c.offer}, 0xc0000001, c.withKE)
		got, p, err := chooseESP(offer, []ike.ESPProposal{c.conf}, c.withKE, suite.KENone)
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if describeESP(got) != c.want {
			t.Errorf("%s: %s, expected %q", c.name, describeESP(got), c.want)
		}
		accepted, _, err := acceptESP(answerESP(got, p.Number, 0xc0000002), []ike.ESPProposal{c.offer}, c.withKE)
		if err != nil || accepted != got {
			t.Errorf("%s: the initiator takes the answer for %s, %v", c.name, accepted, err)
		}
	}
	// A proposal without the ESN transform means 32-bit sequence numbers.
	offer := proposeESP([]ike.ESPProposal{{Encrs: gcmESP().Encrs}}, 1, true)
	if got, _, err := chooseESP(offer, []ike.ESPProposal{gcmESP()}, true, suite.KENone); err != nil || got.ESN {
		t.Errorf("without ESN: %s, %v", got, err)
	}
	if _, _, err := chooseESP(offer, []ike.ESPProposal{{Encrs: gcmESP().Encrs, ESN: []bool{true}}}, true, suite.KENone); err == nil {
		t.Error("without ESN, where the configuration wants it: accepted")
	}
	offer.Proposals[0].SPI = []byte{1, 2, 3}
	if _, _, err := chooseESP(offer, []ike.ESPProposal{gcmESP()}, true, suite.KENone); err == nil {
		t.Error("an SPI of 3 octets was accepted")
	}
}

func describeESP(s suite.ESP) string {
	a := answerESP(s, 1, 1)
	return describe(a)[len("ESP:"):]
}

// TestT011Proposals is T-011.
func TestT011Proposals(t *testing.T) {
	conf := []ike.IKEProposal{gcmIKE(), cbcIKE()}
	change := func(c ike.IKEProposal, f func(p *ikev2msg.Proposal)) *ikev2msg.SA {
		sa := proposeIKE([]ike.IKEProposal{c}, nil)
		f(&sa.Proposals[0])
		return sa
	}
	without := func(kind ikev2msg.TransformType) func(p *ikev2msg.Proposal) {
		return func(p *ikev2msg.Proposal) {
			var left []ikev2msg.Transform
			for _, tr := range p.Transforms {
				if tr.Type != kind {
					left = append(left, tr)
				}
			}
			p.Transforms = left
		}
	}
	for name, sa := range map[string]*ikev2msg.SA{
		"no key exchange":       change(gcmIKE(), without(ikev2msg.TransformKE)),
		"no PRF":                change(gcmIKE(), without(ikev2msg.TransformPRF)),
		"no cipher":             change(gcmIKE(), without(ikev2msg.TransformEncr)),
		"CBC without integrity": change(cbcIKE(), without(ikev2msg.TransformInteg)),
		"CBC with INTEG NONE": change(cbcIKE(), func(p *ikev2msg.Proposal) {
			without(ikev2msg.TransformInteg)(p)
			p.Transforms = append(p.Transforms, integTransform(0))
		}),
		"an AEAD with integrity": change(gcmIKE(), func(p *ikev2msg.Proposal) { p.Transforms = append(p.Transforms, integTransform(12)) }),
		"an AEAD with no length": change(gcmIKE(), func(p *ikev2msg.Proposal) { p.Transforms[0].KeyLen, p.Transforms[1].KeyLen = -1, -1 }),
		"nothing":                {},
		"no transforms":          change(gcmIKE(), func(p *ikev2msg.Proposal) { p.Transforms = nil }),
		"a type that is not known": change(gcmIKE(), func(p *ikev2msg.Proposal) {
			p.Transforms = append(p.Transforms, ikev2msg.Transform{Type: 6, KeyLen: -1})
		}),
		"a protocol that is not IKE": change(gcmIKE(), func(p *ikev2msg.Proposal) { p.Protocol = ikev2msg.ProtoAH }),
	} {
		if got, _, err := chooseIKE(sa, conf, suite.KECurve25519); err == nil {
			t.Errorf("%s: chose %s", name, got)
		}
	}
	big := &ikev2msg.SA{}
	for i := range ikev2msg.MaxProposals {
		p := ikev2msg.Proposal{Number: uint8(i + 1), Protocol: ikev2msg.ProtoIKE}
		for j := range ikev2msg.MaxTransforms {
			p.Transforms = append(p.Transforms, ikev2msg.Transform{Type: ikev2msg.TransformType(1 + j%5), ID: uint16(1000 + j), KeyLen: -1})
		}
		big.Proposals = append(big.Proposals, p)
	}
	if _, _, err := chooseIKE(big, conf, suite.KECurve25519); err == nil {
		t.Error("chose of transforms that nobody knows")
	}
}

// TestT012EveryCombination is T-012: each combination of transforms, offered alone to a responder that would take whatever is
// implemented, is refused or can really be used: keys are cut and a Box is made of it.
func TestT012EveryCombination(t *testing.T) {
	all := []ike.IKEProposal{
		{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 128}, {Encr: suite.EncrAESGCM16, Bits: 256}, {Encr: suite.EncrChaCha20Poly1305}},
			PRFs: []suite.PRF{suite.PRFHMACSHA2256, suite.PRFHMACSHA2384, suite.PRFHMACSHA2512}, KEs: []suite.KE{suite.KECurve25519, suite.KEECP256}},
		{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: 128}, {Encr: suite.EncrAESCBC, Bits: 256}},
			Integs: []suite.Integ{suite.IntegHMACSHA196, suite.IntegHMACSHA2256128}, PRFs: []suite.PRF{suite.PRFHMACSHA1, suite.PRFHMACSHA2256},
			KEs: []suite.KE{suite.KEMODP2048}},
	}
	chosen := 0
	for encr := range uint16(41) {
		for _, bits := range []int{-1, 128, 256, 65535} {
			for prf := range uint16(10) {
				for integ := range uint16(16) {
					for _, ke := range []uint16{0, 1, 14, 19, 31, 40, 1025, 65535} {
						offer := &ikev2msg.SA{Proposals: []ikev2msg.Proposal{{Number: 1, Protocol: ikev2msg.ProtoIKE, Transforms: []ikev2msg.Transform{
							{Type: ikev2msg.TransformEncr, ID: encr, KeyLen: bits}, {Type: ikev2msg.TransformPRF, ID: prf, KeyLen: -1},
							integTransform(integ), {Type: ikev2msg.TransformKE, ID: ke, KeyLen: -1}}}}}
						s, _, err := chooseIKE(offer, all, suite.KE(ke))
						if err != nil {
							continue
						}
						chosen++
						if _, err := usable(s); err != nil {
							t.Fatalf("%s was chosen: %v", s, err)
						}
					}
				}
			}
		}
	}
	if chosen != 3*3*2+2*2*2 {
		t.Errorf("%d combinations were chosen, expected 26", chosen)
	}
}

func usable(s suite.IKE) (*suite.Box, error) {
	k := deriveKeys(s, secret.New([]byte{1}), make([]byte, 16), make([]byte, 16), 1, 2)
	return suite.NewBox(s.Encr, s.EncrBits, s.Integ, k.skEi, k.skAi)
}

func FuzzChoose(f *testing.F) {
	m := &ikev2msg.Message{Payloads: []ikev2msg.Payload{proposeIKE([]ike.IKEProposal{gcmIKE(), cbcIKE()}, nil)}}
	f.Add(m.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ikev2msg.Parse(b)
		if err != nil {
			return
		}
		for _, p := range m.Payloads {
			sa, ok := p.(*ikev2msg.SA)
			if !ok {
				continue
			}
			describe(sa)
			conf := []ike.IKEProposal{gcmIKE(), cbcIKE()}
			if s, p, err := chooseIKE(sa, conf, suite.KEMODP2048); err == nil {
				if _, err := usable(s); err != nil {
					t.Fatal(err)
				}
				answerIKE(s, p.Number, nil)
			}
			chooseESP(sa, []ike.ESPProposal{gcmESP(suite.KEECP256)}, true, suite.KENone)
			acceptIKE(sa, conf)
		}
	})
}

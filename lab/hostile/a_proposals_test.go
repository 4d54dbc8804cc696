// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: proposals (T-011, T-012).

package hostile

import (
	"errors"
	"fmt"
	"testing"

	"github.com/natterjack/natterjack/lab/bogus"
)

func transform(kind uint8, id, bits uint16) bogus.Transform {
	return bogus.Transform{Type: kind, ID: id, Bits: bits}
}

func gcm() []bogus.Transform {
	return []bogus.Transform{transform(1, bogus.EncrAESGCM16, 128), transform(2, bogus.PRFSHA256, 0), transform(4, bogus.KEX25519, 0)}
}

func proposal(list ...bogus.Transform) bogus.Proposal {
	return bogus.Proposal{Num: 1, Proto: bogus.ProtoIKE, Transforms: list}
}

// TestT011_Proposals: IKE proposals that lack something, have too much, or are too many.
func TestT011_Proposals(t *testing.T) {
	w := Open(t, Options{})
	crowd := w.Crowd()
	p := w.Peer(nil)
	encr, prf, ke, integ := gcm()[0], gcm()[1], gcm()[2], transform(3, bogus.IntegSHA256, 0)
	cases := map[string][]bogus.Proposal{
		"no proposal":               {},
		"no transform":              {proposal()},
		"no KE":                     {proposal(encr, prf)},
		"no PRF":                    {proposal(encr, ke)},
		"no ENCR":                   {proposal(prf, ke)},
		"INTEG with an AEAD":        {proposal(encr, prf, ke, integ)},
		"AEAD without key length":   {proposal(transform(1, bogus.EncrAESGCM16, 0), prf, ke)},
		"AEAD of 64 bits":           {proposal(transform(1, bogus.EncrAESGCM16, 64), prf, ke)},
		"AEAD of 65535 bits":        {proposal(transform(1, bogus.EncrAESGCM16, 65535), prf, ke)},
		"CBC without INTEG":         {proposal(transform(1, bogus.EncrAESCBC, 128), prf, ke)},
		"CBC with INTEG NONE":       {proposal(transform(1, bogus.EncrAESCBC, 128), prf, ke, transform(3, 0, 0))},
		"NULL encryption":           {proposal(transform(1, 11, 0), prf, ke, integ)},
		"KE NONE":                   {proposal(encr, prf, transform(4, 0, 0))},
		"ESN in IKE":                {proposal(encr, prf, ke, transform(5, 0, 0))},
		"unknown transform type":    {proposal(encr, prf, ke, transform(77, 1, 0))},
		"unknown attribute":         {proposal(bogus.Transform{Type: 1, ID: encr.ID, Bits: 128, Attrs: []byte{0x80, 99, 0, 1}}, prf, ke)},
		"ESP's protocol":            {{Num: 1, Proto: bogus.ProtoESP, Transforms: gcm()}},
		"AH's protocol":             {{Num: 1, Proto: bogus.ProtoAH, Transforms: gcm()}},
		"protocol 0":                {{Num: 1, Transforms: gcm()}},
		"number 0":                  {{Num: 0, Proto: 1, Transforms: gcm()}},
		"first is 2":                {{Num: 2, Proto: 1, Transforms: gcm()}},
		"1 and 3":                   {{Num: 1, Proto: 1, Transforms: gcm()[:2]}, {Num: 3, Proto: 1, Transforms: gcm()}},
		"an SPI in IKE_SA_INIT":     {{Num: 1, Proto: 1, SPI: make([]byte, 8), Transforms: gcm()}},
		"an SPI of 255":             {{Num: 1, Proto: 1, SPI: make([]byte, 255), Transforms: gcm()}},
		"an SPI of 1":               {{Num: 1, Proto: 1, SPI: []byte{1}, Transforms: gcm()}},
		"255 proposals":             many(255, 3),
		"20 x 255 transforms":       many(20, 255),
		"many that do not fit, one": append(many(100, 5), bogus.Proposal{Num: 101, Proto: 1, Transforms: gcm()}),
	}
	names := make([]string, 0, len(cases))
	for name, list := range cases {
		b := initBytes(t, p, func(m *bogus.Message) { *m.Find(bogus.PayloadSA) = bogus.SAPayload(list...) })
		crowd.Send(len(names), w.IKE, b)
		names = append(names, name)
	}
	got := crowd.Answers()
	for i, name := range names {
		list := got[Source(i)]
		if len(list) == 0 {
			continue
		}
		m, err := answer(list[0])
		if err != nil || len(list) > 1 {
			t.Errorf("%s: %d answers, %v", name, len(list), err)
			continue
		}
		chosen := m.Find(bogus.PayloadSA)
		switch e := m.Error(); {
		case e == bogus.NoProposalChosen || e == bogus.InvalidSyntax:
		case chosen != nil && mayFit(name):
			sameAs(t, name, chosen.Body)
		default:
			t.Errorf("%s: answered with %v", name, m)
		}
	}
}

// TestT012_ReservedSPIs: a child of IKE_AUTH with an SPI that nothing may have (RFC 4303, Section 2.1) is none, and the IKE SA ends as
// with everything that makes no sense there.
func TestT012_ReservedSPIs(t *testing.T) {
	w := Open(t, Options{NoPings: true})
	children := w.D.Stats().Children
	for _, last := range []byte{0, 1, 255} {
		p := w.Peer(func(c *bogus.Config) {
			c.ESPProposals = []bogus.Proposal{{Num: 1, Proto: bogus.ProtoESP, SPI: []byte{0, 0, 0, last}, Transforms: []bogus.Transform{transform(1, 20, 128), transform(5, 0, 0)}}}
		})
		err := p.Connect()
		var refused *bogus.Refused
		if !asRefused(err, &refused) || refused.Notify != bogus.InvalidSyntax {
			t.Errorf("SPI %d: %v, expected INVALID_SYNTAX", last, err)
		}
		w.Leave(p)
	}
	if n := w.D.Stats().Children; n != children {
		t.Errorf("%d children, %d before", n, children)
	}
}

// mayFit: the offer has a usable proposal with something in it that is to be ignored, or may be.
func mayFit(name string) bool {
	switch name {
	case "unknown attribute", "many that do not fit, one", "1 and 3", "first is 2", "number 0", "ESN in IKE", "unknown transform type":
		return true
	}
	return false
}

// sameAs: what is chosen is exactly the usable suite.
func sameAs(t *testing.T, name string, sa []byte) {
	t.Helper()
	list, err := bogus.ParseSA(sa)
	if err != nil || len(list) != 1 || len(list[0].Transforms) != 3 {
		t.Errorf("%s: chosen %+v, %v", name, list, err)
	}
}

// many are n proposals of m transforms that nobody has.
func many(n, m int) []bogus.Proposal {
	var list []bogus.Proposal
	for i := range n {
		q := bogus.Proposal{Num: uint8(i + 1), Proto: 1}
		for k := range m {
			q.Transforms = append(q.Transforms, transform(uint8(1+k%4), uint16(2000+k), 0))
		}
		list = append(list, q)
	}
	return list
}

// TestT012_EveryIdentifier: every identifier of each kind of transform, alone: what is chosen works, all else is refused.
func TestT012_EveryIdentifier(t *testing.T) {
	w := Open(t, Options{})
	ids := []uint16{1024, 65000, 65535}
	for i := range uint16(41) {
		ids = append(ids, i)
	}
	works := 0
	for kind := uint8(1); kind <= 4; kind++ {
		for _, id := range ids {
			for _, s := range offers(kind, id) {
				if tryOffer(t, w, s) {
					works++
				}
			}
		}
	}
	t.Logf("%d offers work", works)
	if works < 15 {
		t.Errorf("%d offers work, expected at least the usual ones", works)
	}
}

// offers are the suites in which an identifier is tried: one that is otherwise usual, in each length a cipher may have.
func offers(kind uint8, id uint16) []bogus.Suite {
	usual := bogus.GCM128()
	switch kind {
	case 1:
		var list []bogus.Suite
		for _, bits := range []uint16{0, 128, 192, 256} {
			for _, integ := range []uint16{0, bogus.IntegSHA256} {
				list = append(list, bogus.Suite{Encr: id, Bits: bits, Integ: integ, PRF: bogus.PRFSHA256, KE: bogus.KEX25519})
			}
		}
		return list
	case 2:
		usual.PRF = id
	case 3:
		usual = bogus.CBC256()
		usual.Integ = id
	case 4:
		usual.KE = id
	}
	return []bogus.Suite{usual}
}

// tryOffer offers one suite alone and reports whether it was negotiated, in which case it must work.
func tryOffer(t *testing.T, w *World, s bogus.Suite) bool {
	t.Helper()
	name := fmt.Sprintf("ENCR %d/%d INTEG %d PRF %d KE %d", s.Encr, s.Bits, s.Integ, s.PRF, s.KE)
	p := w.Peer(func(c *bogus.Config) {
		c.Proposals = []bogus.Proposal{proposal(s.Transforms(true)...)}
		if c.IKE = s; !bogus.HasGroup(s.KE) {
			c.IKE.KE = bogus.KEX25519 // some KE must be there; the proposal decides
			c.Bugs.KE = func(_ uint16, b []byte) (uint16, []byte) { return s.KE, b }
		}
	})
	defer w.Leave(p)
	err := p.Connect()
	refused := &bogus.Refused{}
	switch {
	case err == nil:
		if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
			t.Errorf("%s was negotiated and carries nothing", name)
		}
		return true
	case errors.As(err, &refused) && (refused.Notify == bogus.NoProposalChosen || refused.Notify == bogus.InvalidSyntax):
	default:
		t.Errorf("%s: %v, expected a working IKE SA or NO_PROPOSAL_CHOSEN", name, err)
	}
	return false
}

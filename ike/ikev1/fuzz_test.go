// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// FuzzOpen: whatever is in an encrypted message, first of an exchange or later, nothing panics, nothing of it is believed without the
// key, and the chain stands still.
func FuzzOpen(f *testing.F) {
	i, _ := pair(f, sampleSuite())
	ours, _ := i.begin(&source{})
	f.Add(ours.seal(header(ikev1msg.Informational), first(ours.chain.messageID), deletePayload(1)))
	for _, name := range []string{"ikev1-main-psk", "ikev1-agg-xauth", "vpnc-natt", "ecdsa256"} {
		for _, m := range readRecording(f, name).messages {
			f.Add(m.octets)
		}
	}
	x := read(f, "ikev1-main-psk", 4)
	// Padding is covered by nothing: blocks of it may be missing or too many.
	known := func(b []byte) bool {
		return slices.ContainsFunc(x.r.messages, func(m recorded) bool {
			body := m.octets[isakmp.HeaderLen:]
			return bytes.HasPrefix(b, body) || bytes.HasPrefix(body, b)
		})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ikev1msg.Parse(b)
		if err != nil {
			return
		}
		before := x.chain
		if tentative, err := x.chain.decrypt(m, b); err == nil && len(tentative.chain.Payloads) == 0 {
			t.Fatal("a message of no payloads")
		}
		p := newProtection(x.suite, x.keys, x.chain)
		if _, _, err := p.open(m, b); err == nil && !known(b[isakmp.HeaderLen:]) {
			t.Fatal("opened without the key")
		}
		e, err := p.exchange(m.MessageID)
		if err == nil {
			_, _ = e.open(m, b, third(m.MessageID, x.phase1.ni, x.phase1.nr))
		}
		if !unmoved(before, x.chain) {
			t.Fatal("the chain of phase 1 moved")
		}
	})
}

// FuzzChoose: of any offer what is chosen, in phase 1 and in Quick Mode, can be used, answers to itself and is accepted; what describes an
// offer is short.
func FuzzChoose(f *testing.F) {
	child := wants(espAES(128, suite.IntegHMACSHA196), espAES(256, suite.IntegHMACSHA2256128), ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESGCM16, Bits: 128}}},
		ike.ESPProposal{Integs: []suite.Integ{suite.IntegHMACSHA196}})
	seed := func(sa *ikev1msg.SA) {
		m := ikev1msg.Message{Header: isakmp.Header{SPIi: 1, Major: 1, Exchange: 2}, Chain: ikev1msg.Chain{Payloads: []ikev1msg.Payload{sa}}}
		f.Add(m.Append(nil))
	}
	seed(offer1(f, suites()...))
	sa, _, err := child.proposeChild(0xaabbccdd)
	if err != nil {
		f.Fatal(err)
	}
	seed(sa)
	x := read(f, "vpnc-natt", 2)
	seed(ikev1msg.All[*ikev1msg.SA](x.clear[0].Payloads)[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ikev1msg.Parse(b)
		if err != nil {
			return
		}
		for _, sa := range ikev1msg.All[*ikev1msg.SA](m.Payloads) {
			if len(describePhase1(sa)) > 1024 || len(describeChild(sa)) > 1024 {
				t.Fatal("a long description")
			}
			if c, err := choosePhase1(sa, suites(), 0); err == nil {
				if s, _, err := acceptPhase1(c.answer, suites(), ikev1msg.Lifetime{}); err != nil || s != c.suite {
					t.Fatal(s, err)
				}
			}
			if c, err := child.chooseChild(sa, 0x1000); err == nil {
				if a, err := child.acceptChild(c.answer); err != nil || a.suite != c.suite || a.spi != 0x1000 {
					t.Fatal(a.suite, err)
				}
			}
		}
	})
}

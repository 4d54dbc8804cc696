// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// withKeyLength changes the key length of a proposal's one transform, or takes it away.
func withKeyLength(sa *ikev1msg.SA, kind uint16, is ...ikev1msg.Attribute) *ikev1msg.SA {
	t := &sa.Proposals[0].Transforms[0]
	t.Attributes = slices.DeleteFunc(t.Attributes, func(a ikev1msg.Attribute) bool { return a.Kind == kind })
	t.Attributes = append(is, t.Attributes...)
	return sa
}

// TestT039OldAES: AES-CBC without a Key Length attribute is of 128 bits, in an offer and in an answer, and comes back without it; a
// length of 0 that is written is refused; of GCM, which has no such past, none may be missing.
func TestT039OldAES(t *testing.T) {
	s, long := aes(128, suite.PRFHMACSHA1, suite.KEMODP1024), aes(256, suite.PRFHMACSHA1, suite.KEMODP1024)
	absent := withKeyLength(offer1(t, s), ikev1msg.AttrKeyLength)
	got, err := choosePhase1(absent, []Suite{long, s}, 0)
	if err != nil || got.suite != s || !bytes.Equal(got.answer.Body(), absent.Body()) {
		t.Errorf("phase 1: %s, %v", got.suite, err)
	}
	if got, _, err := acceptPhase1(absent, []Suite{s}, ikev1msg.Lifetime{}); err != nil || got != s {
		t.Errorf("phase 1, the answer: %s, %v", got, err)
	}
	if _, _, err := acceptPhase1(absent, []Suite{long}, ikev1msg.Lifetime{}); err == nil {
		t.Error("phase 1: accepted for 256 bits")
	}
	zero := withKeyLength(offer1(t, s), ikev1msg.AttrKeyLength, ikev1msg.Basic(ikev1msg.AttrKeyLength, 0))
	if _, err := choosePhase1(zero, []Suite{s}, 0); err == nil || !strings.Contains(err.Error(), "key length 0") {
		t.Errorf("phase 1, 0: %v", err)
	}

	w := wants(espAES(128, suite.IntegHMACSHA196))
	offer := func(w *wanted, is ...ikev1msg.Attribute) *ikev1msg.SA {
		sa, _, err := w.proposeChild(0xaabbccdd)
		if err != nil {
			t.Fatal(err)
		}
		return withKeyLength(sa, ikev1msg.AttrSAKeyLength, is...)
	}
	if got, err := w.chooseChild(offer(w), 0x1000); err != nil || got.suite.EncrBits != 128 || len(got.answer.Proposals[0].Transforms[0].Attributes) != 4 {
		t.Errorf("child: %s, %v", got.suite, err)
	}
	if got, err := w.acceptChild(offer(w)); err != nil || got.suite.EncrBits != 128 {
		t.Errorf("child, the answer: %s, %v", got.suite, err)
	}
	if _, err := w.chooseChild(offer(w, ikev1msg.Basic(ikev1msg.AttrSAKeyLength, 0)), 0x1000); err == nil || !strings.Contains(err.Error(), "key length 0") {
		t.Errorf("child, 0: %v", err)
	}
	for _, e := range []suite.Encr{suite.EncrAESGCM16, suite.EncrAESCCM16, suite.EncrAESCTR} {
		other := wants(ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: e, Bits: 128}}, Integs: []suite.Integ{suite.IntegHMACSHA196}})
		if _, err := other.chooseChild(offer(other), 0x1000); err == nil {
			t.Errorf("%s without a key length was chosen", e)
		}
	}
}

// TestT103Descriptions: what a hostile offer makes of a message to a person is less than 1 KiB.
func TestT103Descriptions(t *testing.T) {
	var long []ikev1msg.Attribute
	for n := range ikev1msg.MaxAttributes - 1 {
		long = append(long, ikev1msg.Basic(uint16(32640+n), 1))
	}
	esp := ikev1msg.Proposal{Number: 1, Protocol: ikev1msg.ProtoESP, SPI: []byte{9, 9, 9, 9}}
	one := ikev1msg.Proposal{Number: 1, Protocol: ikev1msg.ProtoISAKMP}
	for n := range 2 * maxDescribed {
		esp.Transforms = append(esp.Transforms, ikev1msg.Transform{Number: uint8(n), ID: 12, Attributes: append([]ikev1msg.Attribute{ikev1msg.Basic(ikev1msg.AttrSAEncap, 3)}, long...)})
		p := ikev1msg.Phase1{Encr: 65535, KeyLen: 65535, Hash: 65535, Auth: 65535, Group: 65535}
		one.Transforms = append(one.Transforms, ikev1msg.Transform{Number: uint8(n), ID: ikev1msg.KeyIKE, Attributes: append(p.Attributes(), long...)})
	}
	_, child := wants(espAES(128, suite.IntegHMACSHA196)).chooseChild(&ikev1msg.SA{Proposals: []ikev1msg.Proposal{esp}}, 0x1000)
	_, phase1 := choosePhase1(&ikev1msg.SA{Proposals: []ikev1msg.Proposal{one}}, suites(), 0)
	for _, err := range []error{child, phase1} {
		if err == nil || len(err.Error()) > 1024 || !strings.Contains(err.Error(), "…") {
			t.Errorf("%v", err)
		}
	}
	name := strings.Repeat("x", 300)
	if s := listed([]string{name, name, name, name}, false); len(s) > 1024 || s != strings.Repeat(name+", ", 2)+"…" {
		t.Errorf("%d octets", len(s))
	}
}

// TestT011OwnOffer: an offer of ours that the peer's parser, and ours, would not take is not made.
func TestT011OwnOffer(t *testing.T) {
	many := ike.ESPProposal{ESN: []bool{false}}
	for range 200 {
		many.Encrs = append(many.Encrs, ike.EncrSpec{Encr: suite.EncrAESCBC, Bits: 128})
	}
	many.Integs = []suite.Integ{suite.IntegHMACSHA196}
	if _, _, err := wants(many, many).proposeChild(0x1000); err != nil {
		t.Error(err)
	}
	if _, _, err := wants(many, many, many).proposeChild(0x1000); err != errTooMany {
		t.Error(err)
	}
}

// TestT065ShortLifetimes: a peer's word does not make a lifetime of ours shorter than a minute or 1 MiB, nor longer than it is.
func TestT065ShortLifetimes(t *testing.T) {
	l := func(seconds, kilobytes uint64) ikev1msg.Lifetime {
		return ikev1msg.Lifetime{Seconds: seconds, Kilobytes: kilobytes}
	}
	for _, c := range []struct{ ours, theirs, want ikev1msg.Lifetime }{
		{l(3600, 0), l(1, 0), l(minSeconds, 0)}, {l(3600, 0), l(0, 1), l(3600, minKilobytes)}, {l(0, 0), l(1, 1), l(minSeconds, minKilobytes)},
		{l(30, 100), l(1, 1), l(30, 100)}, {l(3600, 9000), l(600, 8000), l(600, 8000)}, {l(3600, 9000), l(7200, 10000), l(3600, 9000)},
		{l(3600, 9000), l(0, 0), l(3600, 9000)}, {l(0, 0), l(0, 0), l(0, 0)}, {l(0, 0), l(600, 8000), l(600, 8000)},
	} {
		if got := shorter(c.ours, c.theirs); got != c.want {
			t.Errorf("%v and %v: %v, expected %v", c.ours, c.theirs, got, c.want)
		}
	}
}

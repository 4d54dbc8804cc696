// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func aes(bits int, hash suite.PRF, ke suite.KE) Suite {
	return Suite{Encr: suite.EncrAESCBC, EncrBits: bits, Hash: hash, KE: ke, Auth: ikev1msg.AuthPSK}
}

func threeDES() Suite {
	return Suite{Encr: suite.Encr3DESCBC, Hash: suite.PRFHMACMD5, KE: suite.KEMODP1024, Auth: ikev1msg.AuthPSK}
}

func offer1(t testing.TB, list ...Suite) *ikev1msg.SA {
	t.Helper()
	sa, err := proposePhase1(list, ikev1msg.Lifetime{Seconds: 86400})
	if err != nil {
		t.Fatal(err)
	}
	return sa
}

// TestChoosePhase1: the responder's order decides, the transform comes back as it was, and what is not configured is not chosen.
func TestChoosePhase1(t *testing.T) {
	sha1, sha2 := aes(128, suite.PRFHMACSHA1, suite.KEMODP1024), aes(256, suite.PRFHMACSHA2256, suite.KEMODP2048)
	xauth := sha2
	xauth.Auth = ikev1msg.AuthXAUTHInitPSK
	for _, c := range []struct {
		name        string
		offer, conf []Suite
		ke          int
		want        Suite
		number      uint8
	}{
		{"ours first", []Suite{sha1, sha2}, []Suite{sha2, sha1}, 0, sha2, 2},
		{"theirs alone", []Suite{threeDES(), sha2}, []Suite{sha1, sha2}, 0, sha2, 2},
		{"aggressive: the group is there already", []Suite{sha2, sha1}, []Suite{sha2, sha1}, 128, sha1, 2},
		{"aggressive: no transform of the group", []Suite{sha2}, []Suite{sha2}, 128, Suite{}, 0},
		{"nothing in common", []Suite{threeDES()}, []Suite{sha1, sha2}, 0, Suite{}, 0},
		{"another method", []Suite{xauth}, []Suite{sha2}, 0, Suite{}, 0},
		{"XAUTH", []Suite{sha2, xauth}, []Suite{xauth}, 0, xauth, 2},
		{"nothing configured", []Suite{sha2}, nil, 0, Suite{}, 0},
	} {
		sa := offer1(t, c.offer...)
		got, err := choosePhase1(sa, c.conf, c.ke)
		if got.suite != c.want || (err == nil) != (c.number > 0) {
			t.Errorf("%s: %s, %v", c.name, got.suite, err)
			continue
		}
		if err != nil {
			continue
		}
		want := &ikev1msg.SA{Proposals: []ikev1msg.Proposal{{Number: 1, Protocol: ikev1msg.ProtoISAKMP, Transforms: sa.Proposals[0].Transforms[c.number-1 : c.number]}}}
		if !bytes.Equal(got.answer.Body(), want.Body()) || got.life.Seconds != 86400 {
			t.Errorf("%s: the answer is not the transform that was offered", c.name)
		}
		if s, life, err := acceptPhase1(got.answer, c.offer, ikev1msg.Lifetime{Seconds: 3600}); err != nil || s != c.want || life.Seconds != 3600 {
			t.Errorf("%s: the initiator: %s, %v, %v", c.name, s, life, err)
		}
	}
}

// TestChoosePhase1Once: of transforms that say the same the first is chosen, and transforms of another protocol are none of phase 1.
func TestChoosePhase1Once(t *testing.T) {
	s := aes(128, suite.PRFHMACSHA1, suite.KEMODP1024)
	sa, other := offer1(t, s, s), offer1(t, s)
	other.Proposals[0].Protocol, other.Proposals[0].SPI = ikev1msg.ProtoESP, []byte{1, 2, 3, 4}
	if _, err := choosePhase1(other, []Suite{s}, 0); err == nil {
		t.Error("chosen of ESP")
	}
	sa.Proposals = append(other.Proposals, sa.Proposals...)
	if got, err := choosePhase1(sa, []Suite{s}, 0); err != nil || got.answer.Proposals[0].Protocol != ikev1msg.ProtoISAKMP || got.answer.Proposals[0].Transforms[0].Number != 1 {
		t.Errorf("%v, %v", got.answer, err)
	}
}

// TestAcceptPhase1: what gateways write anew in an answer (numbers, order and form of attributes, a shorter lifetime or none) is taken;
// another suite than the offered ones, several or none are not.
func TestAcceptPhase1(t *testing.T) {
	s, other := aes(128, suite.PRFHMACSHA1, suite.KEMODP1024), aes(256, suite.PRFHMACSHA1, suite.KEMODP1024)
	ours := ikev1msg.Lifetime{Seconds: 28800}
	for _, c := range []struct {
		name   string
		change func(p *ikev1msg.Proposal)
		taken  bool
		life   uint64
	}{
		{"as it was", func(*ikev1msg.Proposal) {}, true, 28800},
		{"numbers from 0", func(p *ikev1msg.Proposal) { p.Number, p.Transforms[0].Number = 0, 0 }, true, 28800},
		{"attributes in another order", func(p *ikev1msg.Proposal) {
			a := p.Transforms[0].Attributes
			p.Transforms[0].Attributes = slices.Concat(a[5:], a[:5])
		}, true, 28800},
		{"a duration of four octets", func(p *ikev1msg.Proposal) {
			a := p.Transforms[0].Attributes
			a[len(a)-1] = ikev1msg.Variable(ikev1msg.AttrLifeDuration, []byte{0, 0, 0x70, 0x80})
		}, true, 28800},
		{"a shorter lifetime", func(p *ikev1msg.Proposal) {
			a := p.Transforms[0].Attributes
			a[len(a)-1] = ikev1msg.Basic(ikev1msg.AttrLifeDuration, 600)
		}, true, 600},
		{"no lifetime", func(p *ikev1msg.Proposal) { p.Transforms[0].Attributes = p.Transforms[0].Attributes[:5] }, true, 28800},
		{"a cookie as SPI", func(p *ikev1msg.Proposal) { p.SPI = make([]byte, 8) }, true, 28800},
		{"no hash", func(p *ikev1msg.Proposal) { p.Transforms[0].Attributes = p.Transforms[0].Attributes[:2] }, false, 0},
		{"another suite", func(p *ikev1msg.Proposal) { p.Transforms = offer1(t, other).Proposals[0].Transforms }, false, 0},
		{"two transforms", func(p *ikev1msg.Proposal) { p.Transforms = append(p.Transforms, p.Transforms[0]) }, false, 0},
		{"none", func(p *ikev1msg.Proposal) { p.Transforms = nil }, false, 0},
		{"of ESP", func(p *ikev1msg.Proposal) { p.Protocol = ikev1msg.ProtoESP }, false, 0},
	} {
		sa, err := proposePhase1([]Suite{s}, ours)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&sa.Proposals[0])
		got, life, err := acceptPhase1(sa, []Suite{threeDES(), s}, ours)
		if (err == nil) != c.taken || c.taken && (got != s || life.Seconds != c.life) {
			t.Errorf("%s: %s, %v, %v", c.name, got, life, err)
		}
	}
	two := offer1(t, s)
	two.Proposals = append(two.Proposals, two.Proposals[0])
	if _, _, err := acceptPhase1(two, []Suite{s}, ours); err == nil {
		t.Error("two proposals were accepted")
	}
}

func TestProposePhase1Refuses(t *testing.T) {
	chacha, method := aes(128, suite.PRFHMACSHA1, suite.KECurve25519), aes(128, suite.PRFHMACSHA1, suite.KEMODP2048)
	method.Auth = ikev1msg.AuthRSAEncryption
	for name, list := range map[string][]Suite{"none": nil, "too many": make([]Suite, ikev1msg.MaxTransforms+1), "no number": {chacha}, "no method": {method}} {
		if _, err := proposePhase1(list, ikev1msg.Lifetime{}); err == nil {
			t.Errorf("%s: offered", name)
		}
	}
}

// TestChooseRecorded: from what charon and vpnc offered, what charon chose, and its answer, to the octet where charon keeps the rule.
func TestChooseRecorded(t *testing.T) {
	for name, inClear := range map[string]int{"ikev1-main-psk": 4, "ikev1-agg-xauth": 2, "vpnc-natt": 2, "rsa": 4, "ecdsa256": 4, "ecdsa384": 4, "ecdsa521": 4, "hybrid": 4} {
		x := read(t, name, inClear)
		sa := func(i int) *ikev1msg.SA { return ikev1msg.All[*ikev1msg.SA](x.clear[i].Payloads)[0] }
		ke := 0
		if inClear == 2 {
			ke = len(x.phase1.gxi)
		}
		got, err := choosePhase1(sa(0), []Suite{aes(192, suite.PRFHMACMD5, suite.KEECP521), x.suite, threeDES()}, ke)
		// charon writes vpnc's attributes anew, in its own order; ours stay as they came.
		if same := bytes.Equal(got.answer.Body(), sa(1).Body()); err != nil || got.suite != x.suite || same == (name == "vpnc-natt") {
			t.Errorf("%s: %s, %v", name, got.suite, err)
		}
		if s, _, err := acceptPhase1(sa(1), []Suite{x.suite}, ikev1msg.Lifetime{}); err != nil || s != x.suite {
			t.Errorf("%s: accepted %s, %v", name, s, err)
		}
		if _, err := choosePhase1(sa(0), []Suite{x.suite}, 17); err == nil {
			t.Errorf("%s: chosen with a public value of no group", name)
		}
	}
}

// TestT011BoundedPhase1: the largest offer that parses, of what nobody knows, costs a bounded time and says a bounded text.
func TestT011BoundedPhase1(t *testing.T) {
	many := make([]ikev1msg.Transform, ikev1msg.MaxTransforms)
	for i := range many {
		p := ikev1msg.Phase1{Encr: ikev1msg.EncrCAST, Hash: ikev1msg.HashTiger, Auth: 1, Group: 1, KeyLen: i + 1}
		many[i] = ikev1msg.Transform{Number: uint8(i), ID: ikev1msg.KeyIKE, Attributes: p.Attributes()}
	}
	sa := &ikev1msg.SA{}
	for range ikev1msg.MaxOffer / ikev1msg.MaxTransforms {
		sa.Proposals = append(sa.Proposals, ikev1msg.Proposal{Number: 1, Protocol: ikev1msg.ProtoISAKMP, Transforms: many})
	}
	start := time.Now()
	_, err := choosePhase1(sa, suites(), 0)
	if err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "…") {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took > 500*time.Millisecond { // less than 1 ms; the bound is of the work, not of this machine
		t.Errorf("took %v", took)
	}
}

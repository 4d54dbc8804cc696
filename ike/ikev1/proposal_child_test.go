// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func espAES(bits int, i suite.Integ, kes ...suite.KE) ike.ESPProposal {
	return ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: bits}}, Integs: []suite.Integ{i}, KEs: kes, ESN: []bool{false}}
}

func wants(list ...ike.ESPProposal) *wanted {
	return &wanted{proposals: list, encaps: []ikev1msg.EncapMode{ikev1msg.EncapUDPTunnel}, life: ikev1msg.Lifetime{Seconds: 3600}}
}

// TestT012EveryChild: each cipher, integrity algorithm, group, mode and ESN that IKEv1 has a number for goes from an offer to a choice to an
// acceptance as itself; what has none is not offered.
func TestT012EveryChild(t *testing.T) {
	integs := []suite.Integ{suite.IntegHMACMD596, suite.IntegHMACSHA196, suite.IntegHMACSHA2256128, suite.IntegHMACSHA2384192, suite.IntegHMACSHA2512256, suite.IntegAESXCBC96}
	gmacs := []suite.Integ{suite.IntegAES128GMAC, suite.IntegAES192GMAC, suite.IntegAES256GMAC}
	var all []ike.ESPProposal
	for _, i := range append(integs, gmacs...) {
		all = append(all, ike.ESPProposal{Integs: []suite.Integ{i}}) // AH
	}
	for _, bits := range []int{128, 192, 256} {
		for _, e := range []suite.Encr{suite.EncrAESGCM12, suite.EncrAESGCM16, suite.EncrAESCCM8, suite.EncrAESCCM12, suite.EncrAESCCM16, suite.EncrNullAESGMAC} {
			all = append(all, ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: e, Bits: bits}}})
		}
		for _, i := range integs {
			all = append(all, espAES(bits, i), ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.EncrAESCTR, Bits: bits}}, Integs: []suite.Integ{i}})
		}
	}
	all = append(all, ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.Encr3DESCBC}, {Encr: suite.EncrNULL}}, Integs: integs})
	for _, p := range all {
		for _, ke := range []suite.KE{suite.KENone, suite.KEMODP1024, suite.KEMODP1536, suite.KEMODP2048, suite.KEECP256, suite.KEECP521} {
			for _, esn := range []bool{false, true} {
				p.ESN = []bool{esn}
				if p.KEs = nil; ke != suite.KENone {
					p.KEs = []suite.KE{ke}
				}
				wantChosen(t, p, ke)
			}
		}
	}
	for _, p := range []ike.ESPProposal{
		{Encrs: []ike.EncrSpec{{Encr: suite.EncrChaCha20Poly1305}}}, {Integs: []suite.Integ{suite.IntegAESCMAC96}}, espAES(128, suite.IntegAESCMAC96),
		espAES(128, suite.IntegNone), espAES(0, suite.IntegHMACSHA196), espAES(128, suite.IntegHMACSHA196, suite.KECurve25519),
		{Encrs: []ike.EncrSpec{{Encr: suite.Encr3DESCBC, Bits: 192}}, Integs: integs}, {Integs: []suite.Integ{suite.IntegNone}},
		{Encrs: []ike.EncrSpec{{Encr: suite.EncrNULL}}}, espAES(128, suite.IntegAES128GMAC),
	} {
		if sa, _, err := wants(p).proposeChild(0x1000); err == nil {
			t.Errorf("%+v was offered: %s", p, describeChild(sa))
		}
	}
}

func wantChosen(t *testing.T, p ike.ESPProposal, ke suite.KE) {
	t.Helper()
	w := wants(p)
	sa, group, err := w.proposeChild(0xaabbccdd)
	if err != nil || group != ke {
		t.Fatalf("%+v: group %s, %v", p, group, err)
	}
	w.ke = ke.PublicLen()
	got, err := w.chooseChild(sa, 0x11223344)
	if err != nil || got.spi != 0xaabbccdd || got.encap != ikev1msg.EncapUDPTunnel || got.life.Seconds != 3600 {
		t.Fatalf("%s: %+v, %v", describeChild(sa), got, err)
	}
	back, err := w.acceptChild(got.answer)
	if err != nil || back.suite != got.suite || back.spi != 0x11223344 || back.protocol != got.protocol {
		t.Fatalf("%s: accepted %+v, %v", describeChild(sa), back, err)
	}
	want := suite.ESP{Integ: suite.IntegNone, KE: ke, ESN: p.ESN[0]}
	if !p.AH() {
		want.Encr, want.EncrBits = p.Encrs[0].Encr, p.Encrs[0].Bits
	}
	if len(p.Integs) > 0 {
		want.Integ = p.Integs[0]
	}
	if got.suite != want || (got.protocol == ikev1msg.ProtoAH) != p.AH() {
		t.Fatalf("%s: chosen %s, expected %s", describeChild(sa), got.suite, want)
	}
}

// TestWrittenOffer is an offer written down by number: AES-CBC of 256 bits is ESP transform 12 with key length 256, HMAC-SHA1 is 2, the
// mode in UDP is 3, group 2 is MODP-1024.
func TestWrittenOffer(t *testing.T) {
	sa, group, err := wants(espAES(256, suite.IntegHMACSHA196, suite.KEMODP1024)).proposeChild(0xaabbccdd)
	if err != nil || group != suite.KEMODP1024 {
		t.Fatal(err)
	}
	want := "00000001" + "00000001" + "0000002c" + "01030401" + "aabbccdd" + "00000020" + "010c0000" +
		"80060100" + "80050002" + "80040003" + "80030002" + "80010001" + "80020e10"
	if got := sa.Body(); !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%x", got)
	}
}

// TestT039QuickMode: T-039: what must not be chosen though it looks like what is configured, and what must not spoil what stands beside it.
func TestT039QuickMode(t *testing.T) {
	good := func() *ikev1msg.SA {
		sa, _, err := wants(espAES(128, suite.IntegHMACSHA196, suite.KEMODP2048)).proposeChild(0xaabbccdd)
		if err != nil {
			t.Fatal(err)
		}
		return sa
	}
	is := func(kind, v uint16) func(*ikev1msg.Proposal) {
		return func(p *ikev1msg.Proposal) {
			a := p.Transforms[0].Attributes
			i := slices.IndexFunc(a, func(a ikev1msg.Attribute) bool { return a.Kind == kind })
			a[i] = ikev1msg.Basic(kind, v)
		}
	}
	also := func(a ...ikev1msg.Attribute) func(*ikev1msg.Proposal) {
		return func(p *ikev1msg.Proposal) { p.Transforms[0].Attributes = append(p.Transforms[0].Attributes, a...) }
	}
	duration := func(b []byte) func(*ikev1msg.Proposal) {
		return func(p *ikev1msg.Proposal) {
			a := p.Transforms[0].Attributes
			a[len(a)-1] = ikev1msg.Variable(ikev1msg.AttrSALifeDuration, b)
		}
	}
	for name, c := range map[string]struct {
		change func(*ikev1msg.Proposal)
		ke     int
		taken  bool
	}{
		"good":                     {func(*ikev1msg.Proposal) {}, 256, true},
		"3DES with key length":     {func(p *ikev1msg.Proposal) { p.Transforms[0].ID = uint8(ikev1msg.ESP3DES) }, 256, false},
		"key length 0":             {is(ikev1msg.AttrSAKeyLength, 0), 256, false},
		"key length 65535":         {is(ikev1msg.AttrSAKeyLength, 65535), 256, false},
		"key length 256":           {is(ikev1msg.AttrSAKeyLength, 256), 256, false},
		"GMAC, which hides naught": {func(p *ikev1msg.Proposal) { p.Transforms[0].ID = uint8(ikev1msg.ESPAESGMAC) }, 256, false},
		"NULL":                     {func(p *ikev1msg.Proposal) { p.Transforms[0].ID = uint8(ikev1msg.ESPNull) }, 256, false},
		"no integrity":             {is(ikev1msg.AttrSAAuth, 0), 256, false},
		"another group":            {is(ikev1msg.AttrSAGroup, 2), 256, false},
		"a KE of another group":    {func(*ikev1msg.Proposal) {}, 128, false},
		"no KE":                    {func(*ikev1msg.Proposal) {}, 0, false},
		"no group, a KE":           {is(ikev1msg.AttrSAGroup, 0), 256, false},
		"transport":                {is(ikev1msg.AttrSAEncap, 4), 256, false},
		"plain tunnel":             {is(ikev1msg.AttrSAEncap, 1), 256, false},
		"lifetime 0":               {is(ikev1msg.AttrSALifeDuration, 0), 256, false},
		"lifetime of no octets":    {duration(nil), 256, false},
		"lifetime 2^32":            {duration([]byte{1, 0, 0, 0, 0}), 256, true},
		"lifetime of 60000 octets": {duration(bytes.Repeat([]byte{255}, 60000)), 256, true},
		"two lifetimes":            {also(ikev1msg.Basic(ikev1msg.AttrSALifeType, 1), ikev1msg.Basic(ikev1msg.AttrSALifeDuration, 60)), 256, false},
		"a volume too":             {also(ikev1msg.Basic(ikev1msg.AttrSALifeType, 2), ikev1msg.Basic(ikev1msg.AttrSALifeDuration, 60)), 256, true},
		"key rounds":               {also(ikev1msg.Basic(ikev1msg.AttrSAKeyRounds, 9)), 256, false},
		"an unknown attribute":     {also(ikev1msg.Basic(32001, 1)), 256, false},
		"ESN":                      {also(ikev1msg.Basic(ikev1msg.AttrSAESN, 1)), 256, false},
		"SPI 0":                    {func(p *ikev1msg.Proposal) { p.SPI = make([]byte, 4) }, 256, false},
		"SPI 255":                  {func(p *ikev1msg.Proposal) { p.SPI = []byte{0, 0, 0, 255} }, 256, false},
		"AH":                       {func(p *ikev1msg.Proposal) { p.Protocol = ikev1msg.ProtoAH }, 256, false},
		"IPComp":                   {func(p *ikev1msg.Proposal) { p.Protocol, p.SPI = ikev1msg.ProtoIPComp, p.SPI[:2] }, 256, false},
	} {
		w := wants(espAES(128, suite.IntegHMACSHA196, suite.KEMODP2048), ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: suite.Encr3DESCBC}},
			Integs: []suite.Integ{suite.IntegHMACSHA196}, KEs: []suite.KE{suite.KEMODP2048}})
		w.ke = c.ke
		sa := good()
		c.change(&sa.Proposals[0])
		if got, err := w.chooseChild(sa, 0x1000); (err == nil) != c.taken {
			t.Errorf("%s: chose %s, %v", name, got.suite, err)
		}
		if _, err := w.acceptChild(sa); (err == nil) != c.taken {
			t.Errorf("%s: accepted: %v", name, err)
		}
		beside := good().Proposals[0]
		beside.Number = 9
		sa.Proposals = append(sa.Proposals, beside)
		w.ke = 256
		if got, err := w.chooseChild(sa, 0x1000); err != nil || len(got.answer.Proposals) != 1 {
			t.Errorf("beside %s: %v", name, err)
		}
	}
}

// TestBundles: proposals with one number are one thing, which we do not have; those with others stand.
func TestBundles(t *testing.T) {
	w := wants(espAES(128, suite.IntegHMACSHA196))
	sa, _, _ := w.proposeChild(0xaabbccdd)
	comp := ikev1msg.Proposal{Number: 1, Protocol: ikev1msg.ProtoIPComp, SPI: []byte{1, 2}, Transforms: []ikev1msg.Transform{{Number: 1, ID: uint8(ikev1msg.IPCompDEFLATE),
		Attributes: ikev1msg.Phase2{Encap: ikev1msg.EncapUDPTunnel}.Attributes()}}}
	esp := sa.Proposals[0]
	for name, list := range map[string][]ikev1msg.Proposal{"ESP and IPComp": {esp, comp}, "IPComp and ESP": {comp, esp}, "ESP twice": {esp, esp}} {
		if _, err := w.chooseChild(&ikev1msg.SA{Proposals: list}, 0x1000); err == nil || !strings.Contains(err.Error(), "in a bundle") {
			t.Errorf("%s: %v", name, err)
		}
		alone := esp
		alone.Number = 2
		got, err := w.chooseChild(&ikev1msg.SA{Proposals: append(list, alone)}, 0x1000)
		if err != nil || got.answer.Proposals[0].Number != 2 {
			t.Errorf("%s, then ESP alone: %v", name, err)
		}
	}
}

// TestChooseChildOnce: of transforms that say the same the first is chosen.
func TestChooseChildOnce(t *testing.T) {
	w := wants(espAES(128, suite.IntegHMACSHA196))
	sa, _, _ := w.proposeChild(0xaabbccdd)
	twice := sa.Proposals[0]
	twice.Number, twice.SPI = 2, []byte{7, 7, 7, 7}
	sa.Proposals = append(sa.Proposals, twice)
	if got, err := w.chooseChild(sa, 0x1000); err != nil || got.spi != 0xaabbccdd || got.answer.Proposals[0].Number != 1 {
		t.Errorf("%08x, %v", got.spi, err)
	}
}

// TestAcceptChild: numbers and form may differ, an encapsulation mode that will do may be echoed for the one that was offered, and a
// group or a mode that was not offered is refused.
func TestAcceptChild(t *testing.T) {
	w := wants(espAES(128, suite.IntegHMACSHA196), espAES(256, suite.IntegHMACSHA2256128))
	w.encaps = []ikev1msg.EncapMode{ikev1msg.EncapUDPTunnelDraft, ikev1msg.EncapTunnel}
	sa, _, err := w.proposeChild(0xaabbccdd)
	if err != nil || len(sa.Proposals) != 2 || len(sa.Proposals[1].Transforms) != 1 || !bytes.Equal(sa.Proposals[1].SPI, binary.BigEndian.AppendUint32(nil, 0xaabbccdd)) {
		t.Fatal(describeChild(sa), err)
	}
	answer := func(x ikev1msg.Phase2) *ikev1msg.SA {
		return &ikev1msg.SA{Proposals: []ikev1msg.Proposal{{Number: 0, Protocol: ikev1msg.ProtoESP, SPI: []byte{9, 9, 9, 9},
			Transforms: []ikev1msg.Transform{{ID: 12, Attributes: x.Attributes()}}}}}
	}
	base := ikev1msg.Phase2{Encap: ikev1msg.EncapUDPTunnelDraft, Auth: ikev1msg.AuthHMACSHA256, KeyLen: 256, Life: ikev1msg.Lifetime{Seconds: 100, Kilobytes: 7000}}
	got, err := w.acceptChild(answer(base))
	if err != nil || got.spi != 0x09090909 || got.life != (ikev1msg.Lifetime{Seconds: 100, Kilobytes: 7000}) || got.suite.EncrBits != 256 {
		t.Error(got, err)
	}
	plain := base
	plain.Encap = ikev1msg.EncapTunnel
	if got, err := w.acceptChild(answer(plain)); err != nil || got.encap != ikev1msg.EncapTunnel {
		t.Error("a plain tunnel, which will do:", err)
	}
	for name, f := range map[string]func(x *ikev1msg.Phase2){
		"UDP by the RFC's number": func(x *ikev1msg.Phase2) { x.Encap = ikev1msg.EncapUDPTunnel },
		"a group":                 func(x *ikev1msg.Phase2) { x.Group = ikev1msg.GroupMODP1024 },
		"a mixture of two":        func(x *ikev1msg.Phase2) { x.KeyLen = 128 },
	} {
		x := base
		f(&x)
		if _, err := w.acceptChild(answer(x)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestOneGroup: an offer with PFS has one group in all its transforms (RFC 2409, Section 5.5).
func TestOneGroup(t *testing.T) {
	w := wants(espAES(128, suite.IntegHMACSHA196, suite.KEMODP1024, suite.KEMODP2048), espAES(256, suite.IntegHMACSHA196, suite.KEMODP2048),
		espAES(192, suite.IntegHMACSHA196, suite.KEMODP2048, suite.KEMODP1024), espAES(256, suite.IntegHMACMD596))
	sa, group, err := w.proposeChild(0x1000)
	if err != nil || group != suite.KEMODP1024 || len(sa.Proposals) != 2 {
		t.Fatal(describeChild(sa), group, err)
	}
	for _, p := range sa.Proposals {
		for _, x := range p.Transforms {
			if a, err := x.Phase2(p.Protocol); err != nil || a.Group != ikev1msg.GroupMODP1024 {
				t.Error(a, err)
			}
		}
	}
	w.ke = suite.KEMODP2048.PublicLen()
	theirs := wants(espAES(256, suite.IntegHMACSHA196, suite.KEMODP2048))
	if sa, _, err = theirs.proposeChild(0x1000); err != nil {
		t.Fatal(err)
	}
	if got, err := w.chooseChild(sa, 0x2000); err != nil || got.suite.KE != suite.KEMODP2048 {
		t.Error("a responder takes each of its groups:", got.suite, err)
	}
	w.encaps = nil
	if _, _, err := w.proposeChild(0x1000); err == nil {
		t.Error("offered without a mode")
	}
}

// TestFirstKnownGroup: a group without a number in IKEv1 before one that has one does not take it away; where none has one, or a later
// proposal has none at all, nothing is offered that was to have PFS.
func TestFirstKnownGroup(t *testing.T) {
	aes := func(kes ...suite.KE) ike.ESPProposal { return espAES(256, suite.IntegHMACSHA2256128, kes...) }
	for _, c := range []struct {
		name    string
		list    []ike.ESPProposal
		want    suite.KE
		offered int
	}{
		{"x25519, modp2048", []ike.ESPProposal{aes(suite.KECurve25519, suite.KEMODP2048)}, suite.KEMODP2048, 1},
		{"x25519 alone, then modp2048", []ike.ESPProposal{aes(suite.KECurve25519), aes(suite.KEMODP2048)}, suite.KEMODP2048, 1},
		{"x25519 alone", []ike.ESPProposal{aes(suite.KECurve25519)}, suite.KENone, 0},
		{"x25519, none", []ike.ESPProposal{aes(suite.KECurve25519, suite.KENone)}, suite.KENone, 1},
		{"x25519 alone, then without", []ike.ESPProposal{aes(suite.KECurve25519), aes()}, suite.KENone, 1},
		{"without, then modp2048", []ike.ESPProposal{aes(), aes(suite.KEMODP2048)}, suite.KENone, 1},
	} {
		w := wants(c.list...)
		sa, group, err := w.proposeChild(0x1000)
		if (err == nil) != (c.offered > 0) || err == nil && (group != c.want || len(sa.Proposals) != c.offered) {
			t.Errorf("%s: group %s, %v", c.name, group, err)
			continue
		}
		if err != nil {
			continue
		}
		w.ke = group.PublicLen()
		if got, err := w.chooseChild(sa, 0x2000); err != nil || got.suite.KE != c.want {
			t.Errorf("%s: chosen %s, %v", c.name, got.suite, err)
		}
	}
}

func TestEncapOf(t *testing.T) {
	for _, v := range ikev1msg.NATTs() {
		for _, c := range []struct {
			nat, transport bool
			want           ikev1msg.EncapMode
		}{{false, false, 1}, {false, true, 2}, {true, false, v.Tunnel}, {true, true, v.Transport}} {
			if got := encapOf(v, c.nat, c.transport); got != c.want || got == 0 {
				t.Errorf("%s, NAT %t, transport %t: %s", v.Name, c.nat, c.transport, got)
			}
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
)

// TestT012NoIKESAWithoutEncryption: NULL, GMAC and weak algorithms are chosen for no IKE SA, even where a connection asks for them.
func TestT012NoIKESAWithoutEncryption(t *testing.T) {
	for _, c := range []struct {
		e     ike.EncrSpec
		i     suite.Integ
		taken bool
	}{
		{ike.EncrSpec{Encr: suite.EncrNULL}, suite.IntegHMACSHA2256128, false},
		{ike.EncrSpec{Encr: suite.EncrNullAESGMAC, Bits: 128}, suite.IntegNone, false},
		{ike.EncrSpec{Encr: suite.Encr3DESCBC}, suite.IntegHMACSHA196, false},
		{ike.EncrSpec{Encr: suite.EncrAESCBC, Bits: 128}, suite.IntegHMACMD596, false},
		{ike.EncrSpec{Encr: suite.EncrAESCBC, Bits: 128}, suite.IntegHMACSHA2256128, true},
		{ike.EncrSpec{Encr: suite.EncrAESCCM16, Bits: 128}, suite.IntegNone, true},
	} {
		conf := []ike.IKEProposal{{
			Encrs: []ike.EncrSpec{c.e}, PRFs: []suite.PRF{suite.PRFHMACSHA2256}, Integs: integList(c.i), KEs: []suite.KE{suite.KECurve25519},
		}}
		_, _, err := chooseIKE(proposeIKE(conf, nil), conf, suite.KECurve25519)
		if (err == nil) != c.taken {
			t.Errorf("%v with %s: %v", c.e, c.i, err)
		}
	}
}

// TestT012NothingOfIKEv1: what exists for IKEv1's old gateways only is chosen for no IKE SA and no child of IKEv2, in neither role
// and even where a connection asks for it.
func TestT012NothingOfIKEv1(t *testing.T) {
	cbc := []ike.EncrSpec{{Encr: suite.EncrAESCBC, Bits: 128}}
	integs := []suite.Integ{suite.IntegHMACSHA2256128}
	for _, c := range []struct {
		prf   suite.PRF
		ke    suite.KE
		taken bool
	}{
		{suite.PRFHMACMD5, suite.KEECP256, false},
		{suite.PRFHMACSHA2256, suite.KEMODP1024, false},
		{suite.PRFHMACSHA2256, suite.KEMODP1536, false},
		{suite.PRFHMACSHA2256, suite.KEMODP2048, true},
	} {
		conf := []ike.IKEProposal{{Encrs: cbc, Integs: integs, PRFs: []suite.PRF{c.prf}, KEs: []suite.KE{c.ke}}}
		_, _, err := chooseIKE(proposeIKE(conf, nil), conf, c.ke)
		_, _, answered := acceptIKE(proposeIKE(conf, nil), conf)
		if (err == nil) != c.taken || (answered == nil) != c.taken || (c.prf.Known() && c.ke.Known()) != c.taken {
			t.Errorf("%s with %s: chosen %v, accepted %v", c.prf, c.ke, err, answered)
		}
		child := []ike.ESPProposal{{Encrs: cbc, Integs: integs, KEs: []suite.KE{c.ke}, ESN: []bool{false}}}
		_, _, err = chooseESP(proposeESP(child, 0x1000, true), child, true, c.ke)
		if (err == nil) != c.ke.Known() {
			t.Errorf("PFS with %s: %v", c.ke, err)
		}
	}
}

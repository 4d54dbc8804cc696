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

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func oldGateway() ikev1msg.Phase1 {
	return ikev1msg.Phase1{Encr: ikev1msg.Encr3DES, Hash: ikev1msg.HashMD5, Auth: ikev1msg.AuthPSK, Group: ikev1msg.GroupMODP1024}
}

// TestT012EverySuiteOfPhase1: each combination of numbers is refused, or can really be used: keys are cut, a message is sealed and opened,
// and the transform that says it is the one that was read.
func TestT012EverySuiteOfPhase1(t *testing.T) {
	taken := 0
	for encr := range ikev1msg.EncrAlg(10) {
		for _, bits := range []int{0, 64, 128, 192, 256, 65535} {
			for hash := range ikev1msg.HashAlg(8) {
				for _, group := range []ikev1msg.Group{0, 1, 2, 3, 5, 14, 15, 16, 17, 19, 20, 21, 22, 31, 65535} {
					p := ikev1msg.Phase1{Encr: encr, KeyLen: bits, Hash: hash, Auth: ikev1msg.AuthPSK, Group: group}
					s, err := suiteOf(p)
					if err != nil {
						continue
					}
					taken++
					if again, ok := s.transform(ikev1msg.Lifetime{}); !ok || again.Encr != encr || again.KeyLen != bits || again.Hash != hash || again.Group != group {
						t.Fatalf("%s is not the transform it was read from", s)
					}
					if group != ikev1msg.GroupMODP2048 {
						continue
					}
					i, r := pair(t, s)
					e, _ := i.begin(&source{})
					b := e.seal(header(ikev1msg.Informational), first(e.chain.messageID), deletePayload(1))
					if _, _, err := r.open(parse(t, b), b); err != nil {
						t.Fatalf("%s: %v", s, err)
					}
				}
			}
		}
	}
	if want := 4 * 5 * 8; taken != want { // 3DES and three lengths of AES, five hashes, eight groups
		t.Errorf("%d combinations were taken, expected %d", taken, want)
	}
}

func TestSuiteRefusesByName(t *testing.T) {
	for want, f := range map[string]func(p *ikev1msg.Phase1){
		"DES_CBC":                func(p *ikev1msg.Phase1) { p.Encr = ikev1msg.EncrDES },
		"CAMELLIA_CBC":           func(p *ikev1msg.Phase1) { p.Encr, p.KeyLen = ikev1msg.EncrCamellia, 128 },
		"key length of 192 bits": func(p *ikev1msg.Phase1) { p.KeyLen = 192 },
		"AES_CBC with a key":     func(p *ikev1msg.Phase1) { p.Encr = ikev1msg.EncrAES },
		"TIGER":                  func(p *ikev1msg.Phase1) { p.Hash = ikev1msg.HashTiger },
		"MODP_768":               func(p *ikev1msg.Phase1) { p.Group = ikev1msg.GroupMODP768 },
		"EC2N_155":               func(p *ikev1msg.Phase1) { p.Group = ikev1msg.GroupEC2N155 },
		"prf 1":                  func(p *ikev1msg.Phase1) { p.PRF = 1 },
		"attribute 16384":        func(p *ikev1msg.Phase1) { p.Other = []uint16{ikev1msg.AttrGSSIdentity} }, // T-036
		"RSA_ENCRYPTION":         func(p *ikev1msg.Phase1) { p.Auth = ikev1msg.AuthRSAEncryption },
		"public key encryption":  func(p *ikev1msg.Phase1) { p.Auth = ikev1msg.AuthXAUTHRespRSARevised },
		"HYBRID_INIT_DSS":        func(p *ikev1msg.Phase1) { p.Auth = ikev1msg.AuthHybridInitDSS },
		"AUTH_40000":             func(p *ikev1msg.Phase1) { p.Auth = 40000 },
	} {
		p := oldGateway()
		f(&p)
		if _, err := suiteOf(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWeak(t *testing.T) {
	s, err := suiteOf(oldGateway())
	if err != nil || !slices.Equal(s.Weak(), []string{"3DES_CBC", "PRF_HMAC_MD5", "MODP_1024"}) || s.String() != "3DES_CBC/HMAC_MD5_96/PRF_HMAC_MD5/MODP_1024" {
		t.Errorf("%s: %v, %v", s, s.Weak(), err)
	}
	s.Encr, s.EncrBits, s.Hash, s.KE = suite.EncrAESCBC, 128, suite.PRFHMACSHA1, suite.KEMODP1536
	if !slices.Equal(s.Weak(), []string{"PRF_HMAC_SHA1", "MODP_1536"}) {
		t.Error(s.Weak())
	}
	if weak := sampleSuite().Weak(); len(weak) != 0 {
		t.Error(weak)
	}
}

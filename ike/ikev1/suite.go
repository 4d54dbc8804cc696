// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a phase 1 is made of, by IKEv1's own numbers (RFC 2409, Appendix A; RFC 4754; RFC 5903). The transform is the peer's, and
// attacker controlled: suiteOf gives only what can really be done, and names what it refuses.

package ikev1

import (
	"fmt"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// Suite is the negotiated suite of a phase 1. Hash is the hash by its HMAC, which is the prf (RFC 2409, Section 4).
type Suite struct {
	Encr     suite.Encr
	EncrBits int
	Hash     suite.PRF
	KE       suite.KE
	Auth     ikev1msg.AuthMethod
}

// String is strongSwan's notation.
func (s Suite) String() string {
	// There is no integrity algorithm in IKEv1; charon prints that of the hash.
	integ := map[suite.PRF]suite.Integ{
		suite.PRFHMACMD5: suite.IntegHMACMD596, suite.PRFHMACSHA1: suite.IntegHMACSHA196, suite.PRFHMACSHA2256: suite.IntegHMACSHA2256128,
		suite.PRFHMACSHA2384: suite.IntegHMACSHA2384192, suite.PRFHMACSHA2512: suite.IntegHMACSHA2512256,
	}
	return suite.IKE{Encr: s.Encr, EncrBits: s.EncrBits, Integ: integ[s.Hash], PRF: s.Hash, KE: s.KE}.String()
}

// Weak names what of the suite is for old gateways only: each has to be asked for by name, and is warned of.
func (s Suite) Weak() []string {
	var names []string
	if s.Encr.Weak() {
		names = append(names, s.Encr.String())
	}
	if s.Hash.Weak() || s.Hash == suite.PRFHMACSHA1 {
		names = append(names, s.Hash.String())
	}
	if s.KE.Weak() {
		names = append(names, s.KE.String())
	}
	return names
}

// suiteOf is the suite of a transform.
func suiteOf(p ikev1msg.Phase1) (Suite, error) {
	s := Suite{EncrBits: p.KeyLen, Auth: p.Auth}
	var ok bool
	if s.Encr, ok = encrOf(p.Encr); !ok {
		return s, fmt.Errorf("encryption %s: not implemented for phase 1", p.Encr)
	}
	if !s.Encr.ValidBits(p.KeyLen) {
		return s, fmt.Errorf("encryption %s with a key length of %d bits", p.Encr, p.KeyLen)
	}
	if s.Hash, ok = hashOf(p.Hash); !ok {
		return s, fmt.Errorf("hash %s: not implemented", p.Hash)
	}
	if s.KE = suite.KE(p.Group); !s.KE.KnownIKEv1() {
		return s, fmt.Errorf("group %s: not implemented", p.Group)
	}
	if p.PRF != 0 {
		return s, fmt.Errorf("prf %d: none has a number, expected the attribute absent", p.PRF)
	}
	if len(p.Other) > 0 {
		return s, fmt.Errorf("attribute %d: not known, and the transform means nothing without it", p.Other[0])
	}
	_, err := kindOf(p.Auth)
	return s, err
}

// transform is the transform that suiteOf reads.
func (s Suite) transform(life ikev1msg.Lifetime) (ikev1msg.Phase1, bool) {
	p := ikev1msg.Phase1{KeyLen: s.EncrBits, Auth: s.Auth, Group: ikev1msg.Group(s.KE), Life: life}
	for _, e := range []ikev1msg.EncrAlg{ikev1msg.Encr3DES, ikev1msg.EncrAES} {
		if known, _ := encrOf(e); known == s.Encr {
			p.Encr = e
		}
	}
	for h := ikev1msg.HashMD5; h <= ikev1msg.HashSHA512; h++ {
		if known, ok := hashOf(h); ok && known == s.Hash {
			p.Hash = h
		}
	}
	_, err := suiteOf(p)
	return p, err == nil
}

func encrOf(a ikev1msg.EncrAlg) (suite.Encr, bool) {
	switch a {
	case ikev1msg.Encr3DES:
		return suite.Encr3DESCBC, true
	case ikev1msg.EncrAES:
		return suite.EncrAESCBC, true
	}
	return 0, false
}

func hashOf(a ikev1msg.HashAlg) (suite.PRF, bool) {
	switch a {
	case ikev1msg.HashMD5:
		return suite.PRFHMACMD5, true
	case ikev1msg.HashSHA1:
		return suite.PRFHMACSHA1, true
	case ikev1msg.HashSHA256:
		return suite.PRFHMACSHA2256, true
	case ikev1msg.HashSHA384:
		return suite.PRFHMACSHA2384, true
	case ikev1msg.HashSHA512:
		return suite.PRFHMACSHA2512, true
	}
	return 0, false
}

// authKind says what SKEYID is made of (RFC 2409, Section 5).
type authKind uint8

const (
	kindPSK       authKind = iota + 1
	kindSignature          // hybrid authentication too (draft-ietf-ipsec-isakmp-hybrid-auth-05, Section 3.2.3)
)

// kindOf is the kind of a method, or an error that names what is refused.
func kindOf(m ikev1msg.AuthMethod) (authKind, error) {
	switch m {
	case ikev1msg.AuthPSK, ikev1msg.AuthXAUTHInitPSK, ikev1msg.AuthXAUTHRespPSK:
		return kindPSK, nil
	case ikev1msg.AuthRSA, ikev1msg.AuthXAUTHInitRSA, ikev1msg.AuthXAUTHRespRSA, ikev1msg.AuthHybridInitRSA, ikev1msg.AuthHybridRespRSA,
		ikev1msg.AuthECDSA256, ikev1msg.AuthECDSA384, ikev1msg.AuthECDSA521:
		return kindSignature, nil
	case ikev1msg.AuthRSAEncryption, ikev1msg.AuthRSARevised, ikev1msg.AuthXAUTHInitRSAEncryption, ikev1msg.AuthXAUTHRespRSAEncryption,
		ikev1msg.AuthXAUTHInitRSARevised, ikev1msg.AuthXAUTHRespRSARevised:
		return 0, fmt.Errorf("authentication %s: public key encryption is not implemented, use signatures", m)
	case ikev1msg.AuthDSS, ikev1msg.AuthXAUTHInitDSS, ikev1msg.AuthXAUTHRespDSS, ikev1msg.AuthHybridInitDSS, ikev1msg.AuthHybridRespDSS:
		return 0, fmt.Errorf("authentication %s: DSS is not implemented, it is too weak", m)
	}
	return 0, fmt.Errorf("authentication %s: not implemented", m)
}

// signs reports whether that side's last message of phase 1 has a SIG payload; else it has a HASH. With hybrid authentication the
// side whose user is asked for a name has only a HASH.
func signs(m ikev1msg.AuthMethod, initiator bool) bool {
	kind, err := kindOf(m)
	switch {
	case err != nil || kind != kindSignature:
		return false
	case m == ikev1msg.AuthHybridInitRSA:
		return !initiator
	case m == ikev1msg.AuthHybridRespRSA:
		return initiator
	}
	return true
}

// hashPRF is the prf of HASH_I and HASH_R: the negotiated one, or that of the hash to which a signature method is tied
// (RFC 2409, Section 5.1; RFC 4754, Section 3).
func (s Suite) hashPRF() suite.PRF {
	switch s.Auth {
	case ikev1msg.AuthECDSA256:
		return suite.PRFHMACSHA2256
	case ikev1msg.AuthECDSA384:
		return suite.PRFHMACSHA2384
	case ikev1msg.AuthECDSA521:
		return suite.PRFHMACSHA2512
	}
	return s.Hash
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Numbers of phase 1 (RFC 2409, Appendix A; RFC 4753, RFC 4754, RFC 5903; draft-beaulieu-ike-xauth-02, Section 7.2;
// draft-ietf-ipsec-isakmp-hybrid-auth-05, Section 3.2.1) and of the registry of IKE. What has a name here is not therefore
// supported.

package ikev1msg

import "fmt"

// KeyIKE is the one transform ID of phase 1 (RFC 2407, Section 4.4.2).
const KeyIKE = 1

// Attributes of a transform of phase 1 (RFC 2409, Appendix A).
const (
	AttrEncr         = 1
	AttrHash         = 2
	AttrAuth         = 3
	AttrGroup        = 4
	AttrGroupType    = 5
	AttrLifeType     = 11
	AttrLifeDuration = 12
	AttrPRF          = 13
	AttrKeyLength    = 14
	AttrGSSIdentity  = 16384 // draft-ietf-ipsec-isakmp-gss-auth; named so that it is recognised
)

// EncrAlg is an encryption algorithm of phase 1.
type EncrAlg uint16

// Encryption algorithms of phase 1.
const (
	EncrDES      EncrAlg = 1
	EncrIDEA     EncrAlg = 2
	EncrBlowfish EncrAlg = 3
	EncrRC5      EncrAlg = 4
	Encr3DES     EncrAlg = 5
	EncrCAST     EncrAlg = 6
	EncrAES      EncrAlg = 7
	EncrCamellia EncrAlg = 8
)

// String is the name of an algorithm.
func (a EncrAlg) String() string { return nameOf(encrNames[:], "ENCR", uint16(a)) }

var encrNames = [...]string{
	1: "DES_CBC", "IDEA_CBC", "BLOWFISH_CBC", "RC5_R16_B64_CBC", "3DES_CBC", "CAST_CBC", "AES_CBC", "CAMELLIA_CBC",
}

// HashAlg is a hash algorithm of phase 1; the prf is its HMAC (RFC 2409, Section 4).
type HashAlg uint16

// Hash algorithms.
const (
	HashMD5    HashAlg = 1
	HashSHA1   HashAlg = 2
	HashTiger  HashAlg = 3
	HashSHA256 HashAlg = 4
	HashSHA384 HashAlg = 5
	HashSHA512 HashAlg = 6
)

// String is the name of an algorithm.
func (a HashAlg) String() string { return nameOf(hashNames[:], "HASH", uint16(a)) }

var hashNames = [...]string{1: "MD5", "SHA1", "TIGER", "SHA2_256", "SHA2_384", "SHA2_512"}

// AuthMethod is an authentication method of phase 1.
type AuthMethod uint16

// Authentication methods. Of each XAUTH and hybrid method one is for an initiator who is asked for a user's name, and the
// next for a responder who is.
const (
	AuthPSK            AuthMethod = 1
	AuthDSS            AuthMethod = 2
	AuthRSA            AuthMethod = 3
	AuthRSAEncryption  AuthMethod = 4
	AuthRSARevised     AuthMethod = 5
	AuthElGamal        AuthMethod = 6
	AuthElGamalRevised AuthMethod = 7
	AuthECDSA          AuthMethod = 8
	AuthECDSA256       AuthMethod = 9
	AuthECDSA384       AuthMethod = 10
	AuthECDSA521       AuthMethod = 11

	AuthHybridInitRSA AuthMethod = 64221
	AuthHybridRespRSA AuthMethod = 64222
	AuthHybridInitDSS AuthMethod = 64223
	AuthHybridRespDSS AuthMethod = 64224

	AuthXAUTHInitPSK           AuthMethod = 65001 // GSS-API, with peers who mean that
	AuthXAUTHRespPSK           AuthMethod = 65002
	AuthXAUTHInitDSS           AuthMethod = 65003
	AuthXAUTHRespDSS           AuthMethod = 65004
	AuthXAUTHInitRSA           AuthMethod = 65005
	AuthXAUTHRespRSA           AuthMethod = 65006
	AuthXAUTHInitRSAEncryption AuthMethod = 65007
	AuthXAUTHRespRSAEncryption AuthMethod = 65008
	AuthXAUTHInitRSARevised    AuthMethod = 65009
	AuthXAUTHRespRSARevised    AuthMethod = 65010
)

// String is the name of a method.
func (m AuthMethod) String() string {
	switch {
	case m >= AuthXAUTHInitPSK && int(m-AuthXAUTHInitPSK) < len(xauthNames):
		return xauthNames[m-AuthXAUTHInitPSK]
	case m >= AuthHybridInitRSA && int(m-AuthHybridInitRSA) < len(hybridNames):
		return hybridNames[m-AuthHybridInitRSA]
	}
	return nameOf(authNames[:], "AUTH", uint16(m))
}

var authNames = [...]string{
	1: "PSK", "DSS_SIGNATURES", "RSA_SIGNATURES", "RSA_ENCRYPTION", "RSA_REVISED_ENCRYPTION", "ELGAMAL_ENCRYPTION",
	"ELGAMAL_REVISED_ENCRYPTION", "ECDSA_SIGNATURES", "ECDSA_256", "ECDSA_384", "ECDSA_521",
}

var hybridNames = [...]string{"HYBRID_INIT_RSA", "HYBRID_RESP_RSA", "HYBRID_INIT_DSS", "HYBRID_RESP_DSS"}

var xauthNames = [...]string{
	"XAUTH_INIT_PSK", "XAUTH_RESP_PSK", "XAUTH_INIT_DSS", "XAUTH_RESP_DSS", "XAUTH_INIT_RSA", "XAUTH_RESP_RSA",
	"XAUTH_INIT_RSA_ENCRYPTION", "XAUTH_RESP_RSA_ENCRYPTION", "XAUTH_INIT_RSA_REVISED", "XAUTH_RESP_RSA_REVISED",
}

// Group is a group description, in phase 1 and, for PFS, in Quick Mode. From 14 on IKEv2 has the same numbers.
type Group uint16

// Groups that an IKEv1 peer may have.
const (
	GroupMODP768  Group = 1
	GroupMODP1024 Group = 2
	GroupEC2N155  Group = 3
	GroupEC2N185  Group = 4
	GroupMODP1536 Group = 5
	GroupMODP2048 Group = 14
	GroupMODP3072 Group = 15
	GroupMODP4096 Group = 16
	GroupMODP6144 Group = 17
	GroupMODP8192 Group = 18
	GroupECP256   Group = 19
	GroupECP384   Group = 20
	GroupECP521   Group = 21
)

// String is the name of a group.
func (g Group) String() string { return nameOf(groupNames[:], "GROUP", uint16(g)) }

var groupNames = [...]string{
	0: "NONE", "MODP_768", "MODP_1024", "EC2N_155", "EC2N_185", "MODP_1536",
	14: "MODP_2048", "MODP_3072", "MODP_4096", "MODP_6144", "MODP_8192", "ECP_256", "ECP_384", "ECP_521",
}

// LifeType says what a life duration counts; the numbers are those of phase 1 and of RFC 2407, Section 4.5, alike.
type LifeType uint16

// Life types.
const (
	LifeSeconds   LifeType = 1
	LifeKilobytes LifeType = 2
)

// String is the name of a type.
func (t LifeType) String() string { return nameOf(lifeNames[:], "LIFE", uint16(t)) }

var lifeNames = [...]string{1: "SECONDS", "KILOBYTES"}

// nameOf is the name of a number, or the word with the number.
func nameOf(names []string, word string, n uint16) string {
	if int(n) < len(names) && names[n] != "" {
		return names[n]
	}
	return fmt.Sprintf("%s_%d", word, n)
}

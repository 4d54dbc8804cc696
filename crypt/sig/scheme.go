// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package sig implements the signatures of IKEv2's AUTH payload: RFC 7427 (method 14) with RSASSA-PKCS1-v1_5 and RSASSA-PSS
// (RFC 8017, RFC 4055), ECDSA and Ed25519 (RFC 8420), and the older methods 1 (RFC 7296, Section 3.8) and 9 to 11
// (RFC 4754); and those of IKEv1's SIG payload (ikev1.go). The signature, the public key and the peer's list of hashes are
// attacker controlled. What is accepted is a signature by that key, of a scheme that the caller's policy allows, in one exact
// encoding; keys outside of the limits of this package are refused before any arithmetic is done with them.
package sig

import (
	"crypto"
	_ "crypto/sha1" // of method 1 only
	_ "crypto/sha256"
	_ "crypto/sha512"
	"slices"
	"strings"
)

// Scheme is a signature scheme.
type Scheme uint8

// The schemes. SHA-1 exists for authentication method 1 only (RFC 7296, Section 3.8; RFC 8247, Section 3.2).
const (
	RSAPKCS1SHA1 Scheme = iota + 1
	RSAPKCS1SHA256
	RSAPKCS1SHA384
	RSAPKCS1SHA512
	RSAPSSSHA256
	RSAPSSSHA384
	RSAPSSSHA512
	ECDSASHA256
	ECDSASHA384
	ECDSASHA512
	Ed25519
)

// Authentication methods (RFC 7296, Section 3.8; RFC 4754, Section 3; RFC 7427, Section 3).
const (
	MethodRSA       = 1
	MethodECDSAP256 = 9
	MethodECDSAP384 = 10
	MethodECDSAP521 = 11
	MethodDigital   = 14
)

// Hash algorithm numbers of SIGNATURE_HASH_ALGORITHMS (RFC 7427, Section 7; RFC 8420, Section 2).
const (
	HashSHA1     uint16 = 1 // never offered, never accepted
	HashSHA256   uint16 = 2
	HashSHA384   uint16 = 3
	HashSHA512   uint16 = 4
	HashIdentity uint16 = 5
)

// kind is the family of a scheme.
type kind uint8

const (
	kindPKCS1 kind = iota + 1
	kindPSS
	kindECDSA
	kindEd25519
)

// Name is what swanctl's option auth calls the scheme, with the key's type, its padding and its hash: a constraint is such a
// name, or the beginning of one that ends before a "-" ("rsa", "rsa-pss", "ecdsa").
func (s Scheme) Name() string {
	switch s {
	case RSAPKCS1SHA1:
		return "rsa-pkcs1-sha1"
	case RSAPKCS1SHA256:
		return "rsa-pkcs1-sha256"
	case RSAPKCS1SHA384:
		return "rsa-pkcs1-sha384"
	case RSAPKCS1SHA512:
		return "rsa-pkcs1-sha512"
	case RSAPSSSHA256:
		return "rsa-pss-sha256"
	case RSAPSSSHA384:
		return "rsa-pss-sha384"
	case RSAPSSSHA512:
		return "rsa-pss-sha512"
	case ECDSASHA256:
		return "ecdsa-sha256"
	case ECDSASHA384:
		return "ecdsa-sha384"
	case ECDSASHA512:
		return "ecdsa-sha512"
	case Ed25519:
		return "ed25519"
	}
	return "unknown"
}

// String is strongSwan's name of the scheme, as its log has it.
func (s Scheme) String() string {
	switch s {
	case RSAPKCS1SHA1:
		return "RSA_EMSA_PKCS1_SHA1"
	case RSAPKCS1SHA256:
		return "RSA_EMSA_PKCS1_SHA2_256"
	case RSAPKCS1SHA384:
		return "RSA_EMSA_PKCS1_SHA2_384"
	case RSAPKCS1SHA512:
		return "RSA_EMSA_PKCS1_SHA2_512"
	case RSAPSSSHA256:
		return "RSA_EMSA_PSS_SHA2_256"
	case RSAPSSSHA384:
		return "RSA_EMSA_PSS_SHA2_384"
	case RSAPSSSHA512:
		return "RSA_EMSA_PSS_SHA2_512"
	case ECDSASHA256:
		return "ECDSA_WITH_SHA256_DER"
	case ECDSASHA384:
		return "ECDSA_WITH_SHA384_DER"
	case ECDSASHA512:
		return "ECDSA_WITH_SHA512_DER"
	case Ed25519:
		return "ED25519"
	}
	return "UNKNOWN"
}

func (s Scheme) kind() kind {
	switch s {
	case RSAPKCS1SHA1, RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512:
		return kindPKCS1
	case RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512:
		return kindPSS
	case ECDSASHA256, ECDSASHA384, ECDSASHA512:
		return kindECDSA
	case Ed25519:
		return kindEd25519
	}
	return 0
}

// hash is zero for Ed25519, which signs the octets themselves.
func (s Scheme) hash() crypto.Hash {
	switch s {
	case RSAPKCS1SHA1:
		return crypto.SHA1
	case RSAPKCS1SHA256, RSAPSSSHA256, ECDSASHA256:
		return crypto.SHA256
	case RSAPKCS1SHA384, RSAPSSSHA384, ECDSASHA384:
		return crypto.SHA384
	case RSAPKCS1SHA512, RSAPSSSHA512, ECDSASHA512:
		return crypto.SHA512
	}
	return 0
}

// hashNumber is the hash's number in SIGNATURE_HASH_ALGORITHMS.
func (s Scheme) hashNumber() uint16 {
	switch s.hash() {
	case crypto.SHA1:
		return HashSHA1
	case crypto.SHA256:
		return HashSHA256
	case crypto.SHA384:
		return HashSHA384
	case crypto.SHA512:
		return HashSHA512
	}
	return HashIdentity
}

// digest is what is signed.
func (s Scheme) digest(octets []byte) []byte {
	h := s.hash()
	if h == 0 {
		return octets
	}
	w := h.New()
	w.Write(octets)
	return w.Sum(nil)
}

// Permits reports whether the constraints allow the scheme: one of them is its name, or begins it up to a "-". Without
// constraints every scheme is allowed.
func Permits(constraints []string, s Scheme) bool { return permits(constraints, s.Name()) }

func permits(constraints []string, name string) bool {
	return len(constraints) == 0 || slices.ContainsFunc(constraints, func(c string) bool {
		return c != "" && (name == c || strings.HasPrefix(name, c+"-"))
	})
}

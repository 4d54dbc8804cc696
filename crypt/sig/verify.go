// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Verification of AUTH data (RFC 7296, Section 2.15). Everything but the policy is attacker controlled. There is one accepted
// encoding of each signature: crypto/rsa compares the whole encoded message and crypto/ecdsa takes strict DER with r and s
// from 1 to n-1; what the older methods carry raw has exactly the length of two scalars.

package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrSignature is the failure of a signature that is well placed and wrong.
var ErrSignature = errors.New("the signature is not by the key of the certificate")

// Policy is what a peer's signature must satisfy.
type Policy struct {
	// Constraints are names of schemes or their beginnings (Permits); empty: any.
	Constraints []string
	// Hashes are the hash algorithms that were offered to the peer in SIGNATURE_HASH_ALGORITHMS. Method 14 uses one of
	// them (RFC 7427, Section 4).
	Hashes []uint16
}

// Verify checks that data is a signature by pub over octets in the authentication method, and that p allows its scheme,
// which it returns.
func Verify(pub crypto.PublicKey, method uint8, data, octets []byte, p Policy) (Scheme, error) {
	if err := CheckKey(pub); err != nil {
		return 0, err
	}
	switch method {
	case MethodRSA:
		return verifyRSA(pub, data, octets, p)
	case MethodECDSAP256, MethodECDSAP384, MethodECDSAP521:
		return verifyECDSA(pub, method, data, octets, p)
	case MethodDigital:
		return verifyDigital(pub, data, octets, p)
	}
	return 0, fmt.Errorf("authentication method %d, expected a signature (1, 9, 10, 11 or 14)", method)
}

// verifyDigital is method 14 (RFC 7427, Section 3).
func verifyDigital(pub crypto.PublicKey, data, octets []byte, p Policy) (Scheme, error) {
	d, err := ParseDigital(data)
	if err != nil {
		return 0, err
	}
	s, err := d.Scheme()
	if err != nil {
		return 0, err
	}
	switch {
	case !slices.Contains(p.Hashes, s.hashNumber()) || s.hashNumber() == HashSHA1:
		return 0, fmt.Errorf("signature scheme %s: its hash algorithm was not offered", s)
	case !Permits(p.Constraints, s):
		return 0, notPermitted(s, p.Constraints)
	}
	return s, check(pub, s, d.Signature, octets)
}

// verifyRSA is method 1: PKCS#1 v1.5, whose encoded message itself names the hash. RFC 7296, Section 3.8 has SHA-1 as the
// default; the signed octets hold a nonce of ours, and the constraint of a hash excludes it.
func verifyRSA(pub crypto.PublicKey, data, octets []byte, p Policy) (Scheme, error) {
	if _, ok := pub.(*rsa.PublicKey); !ok {
		return 0, fmt.Errorf("authentication method 1 is of RSA, the key is %s", KeyName(pub))
	}
	for s := RSAPKCS1SHA1; s <= RSAPKCS1SHA512; s++ {
		if check(pub, s, data, octets) != nil {
			continue
		}
		if !Permits(p.Constraints, s) {
			return 0, notPermitted(s, p.Constraints)
		}
		return s, nil
	}
	return 0, ErrSignature
}

// verifyECDSA is methods 9 to 11: curve and hash are the method's, and the signature is r | s (RFC 4754, Section 3 and 7).
func verifyECDSA(pub crypto.PublicKey, method uint8, data, octets []byte, p Policy) (Scheme, error) {
	s, size := ecdsaOf(method)
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || curveLen(k.Curve) != size {
		return 0, fmt.Errorf("authentication method %d is of ECDSA with a scalar of %d octets, the key is %s", method, size, KeyName(pub))
	}
	if !Permits(p.Constraints, s) {
		return 0, notPermitted(s, p.Constraints)
	}
	if len(data) != 2*size {
		return 0, fmt.Errorf("signature of %d octets, expected %d", len(data), 2*size)
	}
	der, err := ecdsaDER(data)
	if err != nil {
		return 0, ErrSignature
	}
	return s, check(pub, s, der, octets)
}

// ecdsaOf is the scheme of methods 9 to 11 and the length of their scalars.
func ecdsaOf(method uint8) (Scheme, int) {
	switch method {
	case MethodECDSAP384:
		return ECDSASHA384, 48
	case MethodECDSAP521:
		return ECDSASHA512, 66
	}
	return ECDSASHA256, 32
}

// ecdsaDER writes r | s as DER.
func ecdsaDER(raw []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:len(raw)/2]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[len(raw)/2:]))
	})
	return b.Bytes()
}

// check verifies one signature; an ECDSA signature is DER here.
func check(pub crypto.PublicKey, s Scheme, signature, octets []byte) error {
	digest := s.digest(octets)
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch s.kind() {
		case kindPKCS1:
			if rsa.VerifyPKCS1v15(k, s.hash(), digest, signature) == nil {
				return nil
			}
			return ErrSignature
		case kindPSS:
			// RFC 7427, Appendix A.4: the salt is as long as the hash.
			options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash()}
			if rsa.VerifyPSS(k, s.hash(), digest, signature, &options) == nil {
				return nil
			}
			return ErrSignature
		}
	case *ecdsa.PublicKey:
		if s.kind() == kindECDSA {
			if ecdsa.VerifyASN1(k, digest, signature) {
				return nil
			}
			return ErrSignature
		}
	case ed25519.PublicKey:
		if s.kind() == kindEd25519 {
			if ed25519.Verify(k, digest, signature) {
				return nil
			}
			return ErrSignature
		}
	}
	return fmt.Errorf("signature scheme %s, the key is %s", s, KeyName(pub))
}

func notPermitted(s Scheme, constraints []string) error {
	return fmt.Errorf("signature scheme %s (%s): auth allows only %v", s, s.Name(), constraints)
}

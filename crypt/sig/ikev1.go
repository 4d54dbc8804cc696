// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Signatures of IKEv1 (RFC 2409, Section 5.1; RFC 4754): they are over HASH_I or HASH_R itself, which is the output of a PRF
// and is not hashed again. With RSA it is encrypted in PKCS #1's block type 1 without the DigestInfo that would name a hash;
// with ECDSA it is as long as the curve's own hash, and the signature is r | s. Key and signature are attacker controlled;
// the hash is what the verifier computed itself. The limits of keys are those of IKEv2 (CheckKey).

package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"io"
)

const (
	// NameIKEv1RSA is the name of IKEv1's RSA signature for constraints (Permits): "rsa" and "rsa-pkcs1" allow it, a hash or
	// PSS does not, because the signature names none.
	NameIKEv1RSA = "rsa-pkcs1-null"

	// minIKEv1Hash and maxIKEv1Hash are the lengths in octets of the HASHes that exist, from HMAC-MD5's to HMAC-SHA2-512's.
	minIKEv1Hash = 16
	maxIKEv1Hash = 64
)

// SignIKEv1 signs a HASH. The HASH for an ECDSA key is of the curve's own hash (IKEv1ECDSA).
func SignIKEv1(rand io.Reader, key crypto.Signer, hash []byte) ([]byte, error) {
	pub := key.Public()
	if err := checkIKEv1(pub, hash); err != nil {
		return nil, err
	}
	options := crypto.Hash(0)
	k, elliptic := pub.(*ecdsa.PublicKey)
	if elliptic {
		options = IKEv1ECDSA(pub).hash()
	}
	signature, err := key.Sign(rand, hash, options)
	if err != nil {
		return nil, fmt.Errorf("signing with the key %s: %w", KeyName(pub), err)
	}
	if elliptic {
		return ecdsaRaw(signature, curveLen(k.Curve))
	}
	return signature, nil
}

// VerifyIKEv1 checks that data is a signature by pub over a HASH that the caller computed, and that the constraints allow
// its scheme.
func VerifyIKEv1(pub crypto.PublicKey, data, hash []byte, constraints []string) error {
	if err := checkIKEv1(pub, hash); err != nil {
		return err
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if !permits(constraints, NameIKEv1RSA) {
			return fmt.Errorf("signature scheme %s: auth allows only %v", NameIKEv1RSA, constraints)
		}
		if rsa.VerifyPKCS1v15(k, 0, hash, data) != nil {
			return ErrSignature
		}
	case *ecdsa.PublicKey:
		if s := IKEv1ECDSA(pub); !Permits(constraints, s) {
			return notPermitted(s, constraints)
		}
		if want := 2 * curveLen(k.Curve); len(data) != want {
			return fmt.Errorf("signature of %d octets, expected %d", len(data), want)
		}
		der, err := ecdsaDER(data)
		if err != nil || !ecdsa.VerifyASN1(k, hash, der) {
			return ErrSignature
		}
	}
	return nil
}

// IKEv1ECDSA is the scheme that an ECDSA key's curve fixes (RFC 4754, Section 3); zero for other keys.
func IKEv1ECDSA(pub crypto.PublicKey) Scheme {
	if k, ok := pub.(*ecdsa.PublicKey); ok {
		switch curveLen(k.Curve) {
		case 32:
			return ECDSASHA256
		case 48:
			return ECDSASHA384
		case 66:
			return ECDSASHA512
		}
	}
	return 0
}

func checkIKEv1(pub crypto.PublicKey, hash []byte) error {
	if err := CheckKey(pub); err != nil {
		return err
	}
	switch pub.(type) {
	case *rsa.PublicKey:
		if len(hash) < minIKEv1Hash || len(hash) > maxIKEv1Hash {
			return fmt.Errorf("hash of %d octets, expected %d to %d", len(hash), minIKEv1Hash, maxIKEv1Hash)
		}
		return nil
	case *ecdsa.PublicKey:
		if want := IKEv1ECDSA(pub).hash().Size(); len(hash) != want {
			return fmt.Errorf("hash of %d octets, expected %d for the key %s", len(hash), want, KeyName(pub))
		}
		return nil
	}
	return fmt.Errorf("the key is %s, expected RSA or ECDSA: IKEv1 has no other signature here", KeyName(pub))
}

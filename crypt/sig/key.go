// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which public keys may sign at all. A key comes from a certificate, which the peer may have made itself: this is checked
// before any arithmetic.

package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
)

const (
	// MinRSABits is RFC 8247's floor for RSA keys (Section 3.1): shorter ones are factored or soon will be.
	MinRSABits = 2048
	// MaxRSABits keeps one verification below a millisecond or two (HOSTILE T-043).
	MaxRSABits = 8192
	// minRSAExponent is FIPS 186-5, Section 5.1: larger than 2^16, where no forgery of small exponents is known.
	minRSAExponent = 1<<16 + 1
	// maxRSAExponent is what crypto/rsa calculates with; verification is linear in its length.
	maxRSAExponent = 1<<31 - 1
)

// CheckKey refuses public keys that must not sign: RSA of fewer than 2048 or more than 8192 bits, with an even modulus or an
// exponent that is even, below 65537 or above 2^31-1; curves other than P-256, P-384 and P-521; and every other algorithm.
func CheckKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return checkRSA(k)
	case *ecdsa.PublicKey:
		if curveLen(k.Curve) == 0 {
			return errors.New("ECDSA key on a curve other than P-256, P-384 and P-521")
		}
		// Parsers give points of the curve only; this is for keys from elsewhere.
		if _, err := k.ECDH(); err != nil {
			return errors.New("ECDSA key that is not a point of its curve")
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key of %d octets, expected %d", len(k), ed25519.PublicKeySize)
		}
		return nil
	}
	return errors.New("unknown key, expected RSA, ECDSA or Ed25519")
}

func checkRSA(k *rsa.PublicKey) error {
	if k.N == nil || k.N.Sign() <= 0 {
		return errors.New("RSA key without a modulus")
	}
	switch n := k.N.BitLen(); {
	case n < MinRSABits || n > MaxRSABits:
		return fmt.Errorf("RSA key of %d bits, expected %d to %d", n, MinRSABits, MaxRSABits)
	case k.N.Bit(0) == 0:
		return errors.New("RSA key with an even modulus")
	case k.E < minRSAExponent || k.E > maxRSAExponent || k.E%2 == 0:
		return fmt.Errorf("RSA key with the exponent %d, expected an odd one from %d to %d", k.E, minRSAExponent, maxRSAExponent)
	}
	return nil
}

// curveLen is the length of an element of the curve's order in octets; zero for curves that are not used.
func curveLen(c elliptic.Curve) int {
	switch c {
	case elliptic.P256():
		return 32
	case elliptic.P384():
		return 48
	case elliptic.P521():
		return 66
	}
	return 0
}

// KeyName says what a key is, for a person.
func KeyName(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		if curveLen(k.Curve) > 0 {
			return "ECDSA " + k.Curve.Params().Name
		}
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

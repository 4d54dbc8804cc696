// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Key exchange methods. Private values are octets drawn from the caller's source of randomness, so that a machine can hold
// them and a test can repeat them. The peer's value is attacker controlled; Shared refuses whatever is not a valid element
// (RFC 6989; RFC 5903, Section 7; RFC 8031, Section 3).

package suite

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"

	"github.com/natterjack/natterjack/crypt/secret"
)

// KE is a key exchange method (IKEv2 Transform Type 4).
type KE uint16

// The key exchange methods that are implemented.
const (
	KENone       KE = 0
	KEMODP1024   KE = 2  // RFC 2409, Section 6.2; Weak
	KEMODP1536   KE = 5  // RFC 3526, Section 2; Weak
	KEMODP2048   KE = 14 // RFC 3526, Section 3
	KEMODP3072   KE = 15
	KEMODP4096   KE = 16
	KEECP256     KE = 19 // RFC 5903
	KEECP384     KE = 20
	KEECP521     KE = 21
	KECurve25519 KE = 31 // RFC 8031
)

// Known reports whether the method is implemented and strong enough for IKEv2; KENone is not a method.
func (k KE) Known() bool { return k.PublicLen() > 0 && !k.Weak() }

// Weak reports whether the method is only for IKEv1 gateways that have no better one: RFC 8247, Section 2.4 (SHOULD NOT).
func (k KE) Weak() bool { return k == KEMODP1024 || k == KEMODP1536 }

// PublicLen is the length of the Key Exchange Data in octets.
func (k KE) PublicLen() int {
	switch k {
	case KEMODP1024:
		return 128
	case KEMODP1536:
		return 192
	case KEMODP2048:
		return 256
	case KEMODP3072:
		return 384
	case KEMODP4096:
		return 512
	case KEECP256:
		return 64
	case KEECP384:
		return 96
	case KEECP521:
		return 132
	case KECurve25519:
		return 32
	}
	return 0
}

func (k KE) curve() ecdh.Curve {
	switch k {
	case KEECP256:
		return ecdh.P256()
	case KEECP384:
		return ecdh.P384()
	case KEECP521:
		return ecdh.P521()
	case KECurve25519:
		return ecdh.X25519()
	}
	return nil
}

// scalarTries bounds the draws for a scalar in range; one in 2^32 draws fails for P-256, fewer for the others.
const scalarTries = 64

// NewPrivate draws a private value from rand.
func (k KE) NewPrivate(rand io.Reader) (secret.Key, error) {
	if n := k.exponentLen(); n > 0 {
		b := make([]byte, n)
		defer clear(b)
		if _, err := io.ReadFull(rand, b); err != nil {
			return secret.Key{}, fmt.Errorf("private value: %w", err)
		}
		b[0] |= 0x80 // never a short exponent
		return secret.New(b), nil
	}
	c := k.curve()
	if c == nil {
		return secret.Key{}, fmt.Errorf("key exchange %s: not implemented", k)
	}
	b := make([]byte, k.scalarLen())
	defer clear(b)
	for range scalarTries {
		if _, err := io.ReadFull(rand, b); err != nil {
			return secret.Key{}, fmt.Errorf("private value: %w", err)
		}
		if k == KEECP521 {
			b[0] &= 1 // the order has 521 bits
		}
		if _, err := c.NewPrivateKey(b); err == nil {
			return secret.New(b), nil
		}
	}
	return secret.Key{}, errors.New("private value: the source of randomness gives no scalar in range")
}

func (k KE) scalarLen() int {
	switch k {
	case KEECP384:
		return 48
	case KEECP521:
		return 66
	}
	return 32
}

// Public is the Key Exchange Data of a private value: y of MODP as long as the prime (RFC 7296, Section 3.4), x | y of
// an ECP group (RFC 5903, Section 7), u of Curve25519.
func (k KE) Public(private secret.Key) ([]byte, error) {
	if k.exponentLen() > 0 {
		return k.modpPublic(private)
	}
	key, err := k.ecdhPrivate(private)
	if err != nil {
		return nil, err
	}
	pub := key.PublicKey().Bytes()
	if k != KECurve25519 {
		pub = pub[1:] // without the form octet 04
	}
	return pub, nil
}

// Shared is the shared secret g^ir of a private value and the peer's Key Exchange Data, or an error where the peer's value
// is not an element that RFC 6989 allows.
func (k KE) Shared(private secret.Key, peer []byte) (secret.Key, error) {
	if len(peer) != k.PublicLen() || len(peer) == 0 {
		return secret.Key{}, fmt.Errorf("key exchange data: %d octets, expected %d for %s", len(peer), k.PublicLen(), k)
	}
	if k.exponentLen() > 0 {
		return k.modpShared(private, peer)
	}
	key, err := k.ecdhPrivate(private)
	if err != nil {
		return secret.Key{}, err
	}
	if k != KECurve25519 {
		peer = append([]byte{4}, peer...)
	}
	pub, err := k.curve().NewPublicKey(peer)
	if err != nil {
		return secret.Key{}, fmt.Errorf("key exchange data: not a point of %s", k)
	}
	// ECDH of the X25519 group refuses an all-zero output (RFC 8031, Section 3).
	shared, err := key.ECDH(pub)
	if err != nil {
		return secret.Key{}, fmt.Errorf("key exchange data: low order point of %s", k)
	}
	defer clear(shared)
	return secret.New(shared), nil
}

func (k KE) ecdhPrivate(private secret.Key) (*ecdh.PrivateKey, error) {
	c := k.curve()
	if c == nil {
		return nil, fmt.Errorf("key exchange %s: not implemented", k)
	}
	key, err := c.NewPrivateKey(private.Bytes())
	if err != nil {
		return nil, fmt.Errorf("private value of %s: out of range", k)
	}
	return key, nil
}

// String is strongSwan's name.
func (k KE) String() string {
	switch k {
	case KENone:
		return "NONE"
	case 1:
		return "MODP_768"
	case KEMODP1024:
		return "MODP_1024"
	case KEMODP1536:
		return "MODP_1536"
	case KEMODP2048:
		return "MODP_2048"
	case KEMODP3072:
		return "MODP_3072"
	case KEMODP4096:
		return "MODP_4096"
	case 17:
		return "MODP_6144"
	case 18:
		return "MODP_8192"
	case KEECP256:
		return "ECP_256"
	case KEECP384:
		return "ECP_384"
	case KEECP521:
		return "ECP_521"
	case 22:
		return "MODP_1024_160"
	case 23:
		return "MODP_2048_224"
	case 24:
		return "MODP_2048_256"
	case KECurve25519:
		return "CURVE_25519"
	case 32:
		return "CURVE_448"
	case 35:
		return "ML_KEM_512"
	case 36:
		return "ML_KEM_768"
	case 37:
		return "ML_KEM_1024"
	}
	return fmt.Sprintf("KE_%d", uint16(k))
}

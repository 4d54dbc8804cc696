// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// MODP groups of RFC 3526 and the second one of RFC 2409, in constant time (filippo.io/bigmod), with short exponents (RFC 3526, Section 8). The primes are
// safe primes, so that excluding 0, 1, p-1 and everything not below p leaves only elements of large order (RFC 6989,
// Section 2.1).

package suite

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"filippo.io/bigmod"

	"github.com/natterjack/natterjack/crypt/secret"
)

// exponentLen is the length of private exponents in octets: at least twice the strength estimates of RFC 3526,
// Section 8 (1536 bits: 240; 2048: 320; 3072: 420; 4096: 480). Zero: not a MODP group.
func (k KE) exponentLen() int {
	switch k {
	case KEMODP1024, KEMODP1536:
		return 256 / 8
	case KEMODP2048:
		return 320 / 8
	case KEMODP3072:
		return 424 / 8
	case KEMODP4096:
		return 480 / 8
	}
	return 0
}

func (k KE) modulus() (*bigmod.Modulus, error) {
	m, err := bigmod.NewModulus(modpPrime(k))
	if err != nil {
		return nil, fmt.Errorf("prime of %s: %w", k, err)
	}
	return m, nil
}

func (k KE) modpPublic(private secret.Key) ([]byte, error) {
	if private.Len() != k.exponentLen() {
		return nil, fmt.Errorf("private value of %d octets, expected %d for %s", private.Len(), k.exponentLen(), k)
	}
	m, err := k.modulus()
	if err != nil {
		return nil, err
	}
	two := make([]byte, m.Size())
	two[len(two)-1] = 2
	g, err := bigmod.NewNat().SetBytes(two, m)
	if err != nil {
		return nil, err
	}
	return bigmod.NewNat().Exp(g, private.Bytes(), m).Bytes(m), nil
}

func (k KE) modpShared(private secret.Key, peer []byte) (secret.Key, error) {
	if private.Len() != k.exponentLen() {
		return secret.Key{}, fmt.Errorf("private value of %d octets, expected %d for %s", private.Len(), k.exponentLen(), k)
	}
	m, err := k.modulus()
	if err != nil {
		return secret.Key{}, err
	}
	y, err := bigmod.NewNat().SetBytes(peer, m) // refuses p and above
	if err != nil {
		return secret.Key{}, errors.New("key exchange data: not below the prime")
	}
	one := make([]byte, m.Size())
	one[len(one)-1] = 1
	last := modpPrime(k) // p - 1: p is odd
	last[len(last)-1]--
	zero := make([]byte, m.Size())
	bad := subtle.ConstantTimeCompare(peer, zero) | subtle.ConstantTimeCompare(peer, one) | subtle.ConstantTimeCompare(peer, last)
	if bad != 0 {
		return secret.Key{}, errors.New("key exchange data: 0, 1 or p-1")
	}
	shared := bigmod.NewNat().Exp(y, private.Bytes(), m).Bytes(m)
	defer clear(shared)
	return secret.New(shared), nil
}

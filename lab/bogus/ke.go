// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Key exchange methods: Curve25519 and the NIST curves by crypto/ecdh, MODP by math/big. The MODP primes are computed
// from the formula of RFC 3526 instead of being copied from where the product has them.

package bogus

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"math/big"
	"sync"
)

// HasGroup reports whether this peer has a key exchange method.
func HasGroup(group uint16) bool { return curveOf(group) != nil || Prime(group) != nil }

// exchange is one side of a key exchange.
type exchange struct {
	group  uint16
	ec     *ecdh.PrivateKey
	x      *big.Int
	Public []byte
}

func curveOf(group uint16) ecdh.Curve {
	switch group {
	case KEX25519:
		return ecdh.X25519()
	case KEP256:
		return ecdh.P256()
	case KEP384:
		return ecdh.P384()
	}
	return nil
}

// Prime returns the prime of a MODP group, nil where there is none here.
func Prime(group uint16) *big.Int {
	switch group {
	case KEMODP2048:
		return prime2048()
	case KEMODP3072:
		return prime3072()
	case KEMODP4096:
		return prime4096()
	}
	return nil
}

var (
	prime2048 = sync.OnceValue(func() *big.Int { return modpPrime(2048, 124476) })
	prime3072 = sync.OnceValue(func() *big.Int { return modpPrime(3072, 1690314) })
	prime4096 = sync.OnceValue(func() *big.Int { return modpPrime(4096, 240904) })
)

// modpPrime is 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c) (RFC 3526).
func modpPrime(n uint, c int64) *big.Int {
	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, n)
	p.Sub(p, new(big.Int).Lsh(one, n-64)).Sub(p, one)
	pi := scaledPi(n - 130)
	return p.Add(p, pi.Add(pi, big.NewInt(c)).Lsh(pi, 64))
}

// scaledPi is the integer part of pi * 2^bits, by Machin's formula with guard bits.
func scaledPi(bits uint) *big.Int {
	const guard = 64
	unit := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	arctan := func(x int64) *big.Int {
		sum, term, square := new(big.Int), new(big.Int).Div(unit, big.NewInt(x)), big.NewInt(x*x)
		for k := int64(0); term.Sign() != 0; k++ {
			part := new(big.Int).Div(term, big.NewInt(2*k+1))
			if k%2 == 1 {
				part.Neg(part)
			}
			sum.Add(sum, part)
			term.Div(term, square)
		}
		return sum
	}
	a, b := arctan(5), arctan(239)
	pi := a.Mul(a, big.NewInt(16)).Sub(a, b.Mul(b, big.NewInt(4)))
	return pi.Rsh(pi, guard)
}

// newExchange draws a private value.
func newExchange(group uint16) (*exchange, error) {
	e := &exchange{group: group}
	if c := curveOf(group); c != nil {
		k, err := c.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		e.ec, e.Public = k, k.PublicKey().Bytes()
		if group != KEX25519 {
			e.Public = e.Public[1:] // RFC 5903, Section 7: x and y without the octet of the form
		}
		return e, nil
	}
	p := Prime(group)
	if p == nil {
		return nil, fmt.Errorf("key exchange %d is not known here", group)
	}
	// RFC 3526, Section 8: twice the strength is enough; 256 octets would only be slower.
	b := make([]byte, 32)
	rand.Read(b)
	e.x = new(big.Int).SetBytes(b)
	e.Public = new(big.Int).Exp(big.NewInt(2), e.x, p).FillBytes(make([]byte, p.BitLen()/8))
	return e, nil
}

// shared computes the shared secret with what the other side sent.
func (e *exchange) shared(peer []byte) ([]byte, error) {
	if e.ec == nil {
		p := Prime(e.group)
		if len(peer) != p.BitLen()/8 {
			return nil, fmt.Errorf("KE of %d octets", len(peer))
		}
		return new(big.Int).Exp(new(big.Int).SetBytes(peer), e.x, p).FillBytes(make([]byte, len(peer))), nil
	}
	if e.group != KEX25519 {
		peer = append([]byte{4}, peer...)
	}
	k, err := curveOf(e.group).NewPublicKey(peer)
	if err != nil {
		return nil, err
	}
	secret, err := e.ec.ECDH(k)
	return secret, err
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The key schedule of phase 1: RFC 2409, Section 5 (SKEYID and what follows from it) and Appendix B (the cipher's key). Inputs
// are what both sides have exchanged; lengths that the protocol does not allow are refused here too, because a PSK that is
// empty or a nonce of no octets would make keys that anybody can make.

package ikev1

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// phase1 is what a phase 1 exchanged in the clear, under the names of RFC 2409, Section 3.2.
type phase1 struct {
	ckyI, ckyR uint64
	ni, nr     []byte // Ni_b and Nr_b
	gxi, gxr   []byte // g^xi and g^xr, as long as they were sent
	saI        []byte // SAi_b: every proposal that the initiator sent, not the one that was chosen
}

func (x *phase1) cookies() []byte {
	b := binary.BigEndian.AppendUint64(nil, x.ckyI)
	return binary.BigEndian.AppendUint64(b, x.ckyR)
}

// keys are the secrets of a phase 1. ka is the cipher's key.
type keys struct{ skeyid, skeyidD, skeyidA, skeyidE, ka secret.Key }

// wipe overwrites all of them.
func (k *keys) wipe() {
	for _, s := range []secret.Key{k.skeyid, k.skeyidD, k.skeyidA, k.skeyidE, k.ka} {
		s.Wipe()
	}
}

// deriveKeys is the schedule of a phase 1. psk is empty with signatures.
func deriveKeys(s Suite, psk, shared secret.Key, x *phase1) (keys, error) {
	for _, n := range [][]byte{x.ni, x.nr} {
		if len(n) < ikev1msg.MinNonce || len(n) > ikev1msg.MaxNonce {
			return keys{}, fmt.Errorf("nonce of %d octets, expected %d to %d", len(n), ikev1msg.MinNonce, ikev1msg.MaxNonce)
		}
	}
	if shared.IsZero() {
		return keys{}, errors.New("no shared secret of the key exchange")
	}
	kind, err := kindOf(s.Auth)
	if err != nil {
		return keys{}, err
	}
	var k keys
	switch kind {
	case kindPSK:
		if psk.IsZero() {
			return keys{}, errors.New("the pre-shared key is empty")
		}
		k.skeyid = secretSum(s.Hash, psk, x.ni, x.nr)
	case kindSignature:
		nonces := secret.New(append(append([]byte(nil), x.ni...), x.nr...))
		k.skeyid = secretSum(s.Hash, nonces, shared.Bytes())
	}
	cookies := x.cookies()
	k.skeyidD = secretSum(s.Hash, k.skeyid, shared.Bytes(), cookies, []byte{0})
	k.skeyidA = secretSum(s.Hash, k.skeyid, k.skeyidD.Bytes(), shared.Bytes(), cookies, []byte{1})
	k.skeyidE = secretSum(s.Hash, k.skeyid, k.skeyidA.Bytes(), shared.Bytes(), cookies, []byte{2})
	k.ka = cipherKey(s.Hash, k.skeyidE, s.Encr.KeyLen(s.EncrBits))
	return k, nil
}

// cipherKey is the first n octets of SKEYID_e or, where that is too short, of K1 | K2 | …, K1 = prf(SKEYID_e, 0),
// K2 = prf(SKEYID_e, K1) (RFC 2409, Appendix B).
func cipherKey(prf suite.PRF, skeyidE secret.Key, n int) secret.Key {
	if n <= skeyidE.Len() {
		return secret.New(skeyidE.Bytes()[:n])
	}
	material := make([]byte, 0, n+prf.Size())
	defer func() { clear(material[:cap(material)]) }()
	material = chained(material, n, []byte{0}, func(before []byte) []byte { return prf.Sum(skeyidE, before) })
	return secret.New(material[:n])
}

// chained appends blocks to dst, which has the room, until it holds n octets: next makes each from the one before. All of them are
// parts of keys, and overwritten.
func chained(dst []byte, n int, block []byte, next func(before []byte) []byte) []byte {
	for len(dst) < n {
		before := block
		block = next(before)
		dst = append(dst, block...)
		clear(before)
	}
	clear(block)
	return dst
}

// secretSum is prf(key, parts…) as a secret.
func secretSum(prf suite.PRF, key secret.Key, parts ...[]byte) secret.Key {
	b := prf.Sum(key, parts...)
	defer clear(b)
	return secret.New(b)
}

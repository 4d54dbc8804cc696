// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The key schedule of IKEv2: RFC 7296, Sections 2.14 (IKE SA), 2.17 (child SA) and 2.18 (rekeyed IKE SA). Inputs are
// what both sides have agreed on; nothing is parsed here.

package ikev2

import (
	"encoding/binary"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// keys are the secrets of an IKE SA, named as in RFC 7296, Section 2.14.
type keys struct{ skD, skAi, skAr, skEi, skEr, skPi, skPr secret.Key }

// wipe overwrites all of them.
func (k *keys) wipe() {
	for _, s := range []secret.Key{k.skD, k.skAi, k.skAr, k.skEi, k.skEr, k.skPi, k.skPr} {
		s.Wipe()
	}
}

// deriveKeys is the schedule of a first IKE SA: SKEYSEED = prf(Ni | Nr, g^ir).
func deriveKeys(s suite.IKE, shared secret.Key, ni, nr []byte, spiI, spiR uint64) keys {
	nonces := secret.New(append(append([]byte(nil), ni...), nr...))
	seed := secret.New(s.PRF.Sum(nonces, shared.Bytes()))
	defer seed.Wipe()
	return expand(s, seed, ni, nr, spiI, spiR)
}

// deriveRekeyed is the schedule of a successor: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), by the old SA's PRF.
func deriveRekeyed(old suite.PRF, oldSKD secret.Key, s suite.IKE, shared secret.Key, ni, nr []byte, spiI, spiR uint64) keys {
	seed := secret.New(old.Sum(oldSKD, shared.Bytes(), ni, nr))
	defer seed.Wipe()
	return expand(s, seed, ni, nr, spiI, spiR)
}

// expand is {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
func expand(s suite.IKE, seed secret.Key, ni, nr []byte, spiI, spiR uint64) keys {
	var spis [16]byte
	binary.BigEndian.PutUint64(spis[:], spiI)
	binary.BigEndian.PutUint64(spis[8:], spiR)
	encr, integ := s.KeyLens()
	p := s.PRF.KeyLen()
	b := s.PRF.Plus(seed, 3*p+2*integ+2*encr, ni, nr, spis[:])
	defer clear(b)
	next := func(n int) secret.Key {
		k := secret.New(b[:n])
		clear(b[:n])
		b = b[n:]
		return k
	}
	return keys{
		skD: next(p), skAi: next(integ), skAr: next(integ), skEi: next(encr), skEr: next(encr), skPi: next(p), skPr: next(p),
	}
}

// childKeys are the keys of a child's two SAs: I is the one from the initiator of the exchange to its responder.
type childKeys struct{ encrI, integI, encrR, integR secret.Key }

// deriveChild is KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr); shared is empty without a key exchange of the child's own.
// Keys are taken in the order of RFC 7296, Section 2.17: initiator to responder first, encryption before integrity.
func deriveChild(prf suite.PRF, skD secret.Key, s suite.ESP, shared secret.Key, ni, nr []byte) childKeys {
	encr, integ := s.KeyLens()
	b := prf.Plus(skD, 2*(encr+integ), shared.Bytes(), ni, nr)
	next := func(n int) secret.Key {
		k := secret.New(b[:n])
		clear(b[:n])
		b = b[n:]
		return k
	}
	return childKeys{encrI: next(encr), integI: next(integ), encrR: next(encr), integR: next(integ)}
}

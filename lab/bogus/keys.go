// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The key schedule (RFC 7296, Sections 2.13 to 2.18) and AUTH with a pre-shared key (Section 2.15).

package bogus

import "encoding/binary"

// Keys are those of an IKE SA. The fields have the RFC's names.
type Keys struct {
	Suite                     Suite
	D, Ai, Ar, Ei, Er, Pi, Pr []byte
	initiator, responder      *box
}

// deriveKeys makes the keys from SKEYSEED.
func deriveKeys(s Suite, skeyseed, ni, nr []byte, spiI, spiR uint64) (*Keys, error) {
	encr, integ, err := s.keyLens()
	if err != nil {
		return nil, err
	}
	h, err := prfHash(s.PRF)
	if err != nil {
		return nil, err
	}
	n := h().Size()
	seed := append(append([]byte(nil), ni...), nr...)
	seed = binary.BigEndian.AppendUint64(seed, spiI)
	seed = binary.BigEndian.AppendUint64(seed, spiR)
	stream := s.prfPlus(skeyseed, seed, 3*n+2*integ+2*encr)
	take := func(n int) []byte {
		out := stream[:n:n]
		stream = stream[n:]
		return out
	}
	k := &Keys{Suite: s}
	k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr = take(n), take(integ), take(integ), take(encr), take(encr), take(n), take(n)
	if k.initiator, err = s.box(k.Ei, k.Ai); err != nil {
		return nil, err
	}
	k.responder, err = s.box(k.Er, k.Ar)
	return k, err
}

// firstKeys are those after IKE_SA_INIT (RFC 7296, Section 2.14).
func firstKeys(s Suite, shared, ni, nr []byte, spiI, spiR uint64) (*Keys, error) {
	if _, err := prfHash(s.PRF); err != nil {
		return nil, err
	}
	return deriveKeys(s, s.prf(append(append([]byte(nil), ni...), nr...), shared), ni, nr, spiI, spiR)
}

// nextKeys are those after an IKE rekey: the old SA's PRF makes SKEYSEED (RFC 7296, Section 2.18).
func nextKeys(old *Keys, s Suite, shared, ni, nr []byte, spiI, spiR uint64) (*Keys, error) {
	return deriveKeys(s, old.Suite.prf(old.D, shared, ni, nr), ni, nr, spiI, spiR)
}

// AuthInput is what AUTH is computed from; a test may change any of it.
type AuthInput struct {
	PSK []byte
	// Message is this side's IKE_SA_INIT message, Nonce the other side's, ID the identity payload's body.
	Message, Nonce, ID []byte
	// P is SK_pi or SK_pr.
	P []byte
	// Method and Data go into the payload; Data replaces the computed value where it is not nil.
	Method uint8
	Data   []byte
}

// pskAuth is AUTH with a pre-shared key.
func pskAuth(s Suite, a AuthInput) []byte {
	signed := append(append([]byte(nil), a.Message...), a.Nonce...)
	signed = append(signed, s.prf(a.P, a.ID)...)
	return s.prf(s.prf(a.PSK, []byte("Key Pad for IKEv2")), signed)
}

// childKeys are those of a child: first what protects the initiator's packets, then the responder's (Section 2.17).
func childKeys(k *Keys, s Suite, shared, ni, nr []byte) (initiator, responder *box, err error) {
	encr, integ, err := s.keyLens()
	if err != nil {
		return nil, nil, err
	}
	seed := append(append(append([]byte(nil), shared...), ni...), nr...)
	stream := k.Suite.prfPlus(k.D, seed, 2*(encr+integ))
	half := encr + integ
	if initiator, err = s.box(stream[:encr], stream[encr:half]); err != nil {
		return nil, nil, err
	}
	responder, err = s.box(stream[half:half+encr], stream[half+encr:])
	return initiator, responder, err
}

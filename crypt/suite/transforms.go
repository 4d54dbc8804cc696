// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package suite has the algorithms that IKE SAs and child SAs are made of, by their IANA numbers: encryption, PRF,
// integrity and key exchange, the Box that protects one direction of an SA, and the MAC of one direction of an AH SA. Numbers
// from a peer are attacker controlled: KnownIKE, KnownESP, KnownAH, KnownIKEv1 and ValidBits say what this package can really
// do for which protocol, and nothing else can be constructed.
//
// What is refused by name, because no kept implementation of it exists that we could stand on: AES-GCM with an ICV of 8 octets
// (crypto/cipher has 12 to 16) and Camellia (no maintained Go module). DES, Blowfish and CAST are refused because they are too weak.
package suite

import "fmt"

// IKE is the negotiated suite of an IKE SA. Integ is IntegNone with an AEAD.
type IKE struct {
	Encr     Encr
	EncrBits int
	Integ    Integ
	PRF      PRF
	KE       KE
}

// String is strongSwan's notation of a chosen proposal.
func (s IKE) String() string {
	return encrText(s.Encr, s.EncrBits) + integText(s.Encr, s.Integ) + "/" + s.PRF.String() + "/" + s.KE.String()
}

// KeyLens are the lengths in octets of SK_e and SK_a.
func (s IKE) KeyLens() (encr, integ int) { return s.Encr.KeyLen(s.EncrBits), s.Integ.KeyLen() }

// ESP is the negotiated suite of a child SA. KE is the group of its key exchange; KENone without PFS.
type ESP struct {
	Encr     Encr
	EncrBits int
	Integ    Integ
	KE       KE
	ESN      bool
}

// String is strongSwan's notation.
func (s ESP) String() string {
	t := encrText(s.Encr, s.EncrBits) + integText(s.Encr, s.Integ)
	if s.KE != KENone {
		t += "/" + s.KE.String()
	}
	if s.ESN {
		return t + "/EXT_SEQ"
	}
	return t + "/NO_EXT_SEQ"
}

// KeyLens are the lengths in octets of the encryption key (with salt) and the integrity key of one direction.
func (s ESP) KeyLens() (encr, integ int) { return s.Encr.KeyLen(s.EncrBits), s.Integ.KeyLen() }

func encrText(e Encr, bits int) string {
	if bits == 0 {
		return e.String()
	}
	return fmt.Sprintf("%s_%d", e, bits)
}

func integText(e Encr, i Integ) string {
	if e.AEAD() || i == IntegNone {
		return ""
	}
	return "/" + i.String()
}

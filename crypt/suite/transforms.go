// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package suite has the algorithms that IKE SAs and child SAs are made of, by their IANA numbers: encryption, PRF,
// integrity and key exchange, and the Box that protects one direction of an SA. Numbers from a peer are attacker
// controlled: Known and ValidBits say what this package can really do, and nothing else can be constructed.
package suite

import "fmt"

// Encr is an encryption algorithm (IKEv2 Transform Type 1).
type Encr uint16

// The encryption algorithms that are implemented.
const (
	EncrAESCBC           Encr = 12 // RFC 3602
	EncrAESGCM16         Encr = 20 // RFC 4106, RFC 5282
	EncrChaCha20Poly1305 Encr = 28 // RFC 7634
)

// Known reports whether the algorithm is implemented.
func (e Encr) Known() bool { return e == EncrAESCBC || e == EncrAESGCM16 || e == EncrChaCha20Poly1305 }

// AEAD reports whether the algorithm brings its own integrity.
func (e Encr) AEAD() bool {
	switch e {
	case 14, 15, 16, 18, 19, EncrAESGCM16, 21, 25, 26, 27, EncrChaCha20Poly1305, 29, 30, 31:
		return true
	}
	return false
}

// ValidBits reports whether a Key Length attribute of that many bits fits; 0 means that there is none.
// AES needs the attribute (RFC 7296, Section 3.3.5), ChaCha20 must not have it (RFC 7634, Section 4).
func (e Encr) ValidBits(bits int) bool {
	switch e {
	case EncrAESCBC, EncrAESGCM16:
		return bits == 128 || bits == 192 || bits == 256
	case EncrChaCha20Poly1305:
		return bits == 0
	}
	return false
}

// KeyLen is the key material in octets, with the salt of an AEAD.
func (e Encr) KeyLen(bits int) int {
	switch e {
	case EncrAESCBC:
		return bits / 8
	case EncrAESGCM16:
		return bits/8 + saltLen
	case EncrChaCha20Poly1305:
		return 32 + saltLen
	}
	return 0
}

// saltLen is the salt in octets: RFC 4106, Section 4; RFC 7634, Section 2.
const saltLen = 4

// String is strongSwan's name.
func (e Encr) String() string {
	switch e {
	case 0:
		return "NONE"
	case 2:
		return "DES_CBC"
	case 3:
		return "3DES_CBC"
	case 11:
		return "NULL"
	case EncrAESCBC:
		return "AES_CBC"
	case 13:
		return "AES_CTR"
	case 14:
		return "AES_CCM_8"
	case 15:
		return "AES_CCM_12"
	case 16:
		return "AES_CCM_16"
	case 18:
		return "AES_GCM_8"
	case 19:
		return "AES_GCM_12"
	case EncrAESGCM16:
		return "AES_GCM_16"
	case 21:
		return "NULL_AES_GMAC"
	case 23:
		return "CAMELLIA_CBC"
	case EncrChaCha20Poly1305:
		return "CHACHA20_POLY1305"
	}
	return fmt.Sprintf("ENCR_%d", uint16(e))
}

// Integ is an integrity algorithm (IKEv2 Transform Type 3).
type Integ uint16

// The integrity algorithms that are implemented.
const (
	IntegNone            Integ = 0
	IntegHMACSHA196      Integ = 2  // RFC 2404
	IntegHMACSHA2256128  Integ = 12 // RFC 4868
	IntegHMACSHA2384192  Integ = 13
	IntegHMACSHA2512256  Integ = 14
	integHMACMD596       Integ = 1
	integAESXCBC96       Integ = 5
	integAESCMAC96       Integ = 8
	integHMACSHA2256Trun Integ = 1024 // private use in strongSwan: 96-bit truncation
)

// Known reports whether the algorithm is implemented; IntegNone is not an algorithm.
func (i Integ) Known() bool { return i.KeyLen() > 0 }

// KeyLen is the key in octets: the output size of the hash (RFC 4868, Section 2.1.1; RFC 2404, Section 3).
func (i Integ) KeyLen() int {
	switch i {
	case IntegHMACSHA196:
		return 20
	case IntegHMACSHA2256128:
		return 32
	case IntegHMACSHA2384192:
		return 48
	case IntegHMACSHA2512256:
		return 64
	}
	return 0
}

// ICVLen is the truncated output in octets.
func (i Integ) ICVLen() int {
	switch i {
	case IntegHMACSHA196:
		return 12
	case IntegHMACSHA2256128:
		return 16
	case IntegHMACSHA2384192:
		return 24
	case IntegHMACSHA2512256:
		return 32
	}
	return 0
}

// String is strongSwan's name.
func (i Integ) String() string {
	switch i {
	case IntegNone:
		return "NONE"
	case integHMACMD596:
		return "HMAC_MD5_96"
	case IntegHMACSHA196:
		return "HMAC_SHA1_96"
	case integAESXCBC96:
		return "AES_XCBC_96"
	case integAESCMAC96:
		return "AES_CMAC_96"
	case IntegHMACSHA2256128:
		return "HMAC_SHA2_256_128"
	case IntegHMACSHA2384192:
		return "HMAC_SHA2_384_192"
	case IntegHMACSHA2512256:
		return "HMAC_SHA2_512_256"
	case integHMACSHA2256Trun:
		return "HMAC_SHA2_256_96"
	}
	return fmt.Sprintf("INTEG_%d", uint16(i))
}

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

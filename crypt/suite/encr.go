// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Encryption algorithms by their numbers. A number from a peer is attacker controlled: KnownIKE and KnownESP say for which
// protocol this package can do it, and NewBox makes nothing else.

package suite

import (
	"fmt"
	"math"
)

// Encr is an encryption algorithm (IKEv2 Transform Type 1).
type Encr uint16

// The encryption algorithms that are implemented.
const (
	Encr3DESCBC          Encr = 3  // RFC 2451
	EncrNULL             Encr = 11 // RFC 2410
	EncrAESCBC           Encr = 12 // RFC 3602
	EncrAESCTR           Encr = 13 // RFC 3686
	EncrAESCCM8          Encr = 14 // RFC 4309, RFC 5282
	EncrAESCCM12         Encr = 15
	EncrAESCCM16         Encr = 16
	EncrAESGCM12         Encr = 19 // RFC 4106, RFC 5282
	EncrAESGCM16         Encr = 20
	EncrNullAESGMAC      Encr = 21 // RFC 4543: no encryption, integrity by AES-GMAC
	EncrChaCha20Poly1305 Encr = 28 // RFC 7634
)

// KnownESP reports whether the algorithm is implemented for ESP. It includes what encrypts nothing (NULL, GMAC) and what is
// Weak: a configuration or a key daemon has to ask for those by name.
func (e Encr) KnownESP() bool {
	switch e {
	case Encr3DESCBC, EncrNULL, EncrAESCBC, EncrAESCTR, EncrAESCCM8, EncrAESCCM12, EncrAESCCM16,
		EncrAESGCM12, EncrAESGCM16, EncrNullAESGMAC, EncrChaCha20Poly1305:
		return true
	}
	return false
}

// KnownIKE reports whether the algorithm is implemented for IKE SAs. NULL (RFC 7296, Section 3.3.2) and GMAC (RFC 4543, Section 5)
// are not allowed there: identities and keys would be in the clear.
func (e Encr) KnownIKE() bool {
	switch e {
	case EncrAESCBC, EncrAESCCM8, EncrAESCCM12, EncrAESCCM16, EncrAESGCM12, EncrAESGCM16, EncrChaCha20Poly1305:
		return true
	}
	return false
}

// Weak reports whether the algorithm is only for what cannot do better: RFC 8221, Section 5 (SHOULD NOT).
func (e Encr) Weak() bool { return e == Encr3DESCBC }

// Encrypts reports whether payloads are confidential.
func (e Encr) Encrypts() bool { return e != 0 && e != EncrNULL && e != EncrNullAESGMAC }

// AEAD reports whether the algorithm brings its own integrity.
func (e Encr) AEAD() bool {
	switch e {
	case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16, 18, EncrAESGCM12, EncrAESGCM16, EncrNullAESGMAC, 25, 26, 27,
		EncrChaCha20Poly1305, 29, 30, 31:
		return true
	}
	return false
}

// ValidBits reports whether a Key Length attribute of that many bits fits; 0 means that there is none.
// AES needs the attribute (RFC 7296, Section 3.3.5), ChaCha20 must not have it (RFC 7634, Section 4), nor must 3DES and NULL.
func (e Encr) ValidBits(bits int) bool {
	switch e {
	case EncrAESCBC, EncrAESCTR, EncrAESCCM8, EncrAESCCM12, EncrAESCCM16, EncrAESGCM12, EncrAESGCM16, EncrNullAESGMAC:
		return bits == 128 || bits == 192 || bits == 256
	case Encr3DESCBC, EncrNULL, EncrChaCha20Poly1305:
		return bits == 0
	}
	return false
}

// KeyLen is the key material in octets, with the salt of an AEAD or the nonce of AES-CTR behind the key.
func (e Encr) KeyLen(bits int) int {
	switch e {
	case Encr3DESCBC:
		return 24
	case EncrChaCha20Poly1305:
		return 32 + saltLen
	}
	return bits/8 + e.SaltLen()
}

const (
	saltLen    = 4 // RFC 4106, Section 4; RFC 7634, Section 2; RFC 4543, Section 3.2; RFC 3686, Section 4
	ccmSaltLen = 3 // RFC 4309, Section 4
)

// SaltLen is how many octets of KeyLen are salt.
func (e Encr) SaltLen() int {
	switch e {
	case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16:
		return ccmSaltLen
	case EncrAESCTR, EncrAESGCM12, EncrAESGCM16, EncrNullAESGMAC, EncrChaCha20Poly1305:
		return saltLen
	}
	return 0
}

// ICVLen is the ICV of an AEAD in octets; zero for others.
func (e Encr) ICVLen() int {
	switch e {
	case EncrAESCCM8:
		return 8
	case EncrAESCCM12, EncrAESGCM12:
		return 12
	case EncrAESCCM16, EncrAESGCM16, EncrNullAESGMAC, EncrChaCha20Poly1305:
		return 16
	}
	return 0
}

// PacketLimit is how many packets one key may protect: of GCM and GMAC 2^32 (NIST SP 800-38D, Section 8.3), of 3DES what keeps
// packets of any size below 2^32 blocks, where blocks begin to repeat (RFC 8221, Section 5).
func (e Encr) PacketLimit() uint64 {
	switch e {
	case EncrAESGCM12, EncrAESGCM16, EncrNullAESGMAC:
		return gcmPackets
	case Encr3DESCBC:
		const blocksPerPacket = 1 << 13 // 64 KiB
		return 1 << 32 / blocksPerPacket
	}
	return math.MaxUint64
}

const gcmPackets = 1 << 32

// String is strongSwan's name.
func (e Encr) String() string {
	switch e {
	case 0:
		return "NONE"
	case 2:
		return "DES_CBC"
	case Encr3DESCBC:
		return "3DES_CBC"
	case EncrNULL:
		return "NULL"
	case EncrAESCBC:
		return "AES_CBC"
	case EncrAESCTR:
		return "AES_CTR"
	case EncrAESCCM8:
		return "AES_CCM_8"
	case EncrAESCCM12:
		return "AES_CCM_12"
	case EncrAESCCM16:
		return "AES_CCM_16"
	case 18:
		return "AES_GCM_8"
	case EncrAESGCM12:
		return "AES_GCM_12"
	case EncrAESGCM16:
		return "AES_GCM_16"
	case EncrNullAESGMAC:
		return "NULL_AES_GMAC"
	case 23:
		return "CAMELLIA_CBC"
	case EncrChaCha20Poly1305:
		return "CHACHA20_POLY1305"
	}
	return fmt.Sprintf("ENCR_%d", uint16(e))
}

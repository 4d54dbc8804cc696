// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Integrity algorithms by their numbers, and the MACs behind them. A number from a peer is attacker controlled: KnownIKE,
// KnownESP and KnownAH say for which protocol this package can do it.

package suite

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"math"

	"github.com/natterjack/natterjack/crypt/secret"
)

// Integ is an integrity algorithm (IKEv2 Transform Type 3).
type Integ uint16

// The integrity algorithms that are implemented.
const (
	IntegNone           Integ = 0
	IntegHMACMD596      Integ = 1    // RFC 2403; Weak
	IntegHMACSHA196     Integ = 2    // RFC 2404
	IntegAESXCBC96      Integ = 5    // RFC 3566
	IntegAESCMAC96      Integ = 8    // RFC 4494
	IntegAES128GMAC     Integ = 9    // RFC 4543, AH only
	IntegAES192GMAC     Integ = 10   // likewise
	IntegAES256GMAC     Integ = 11   // likewise
	IntegHMACSHA2256128 Integ = 12   // RFC 4868
	IntegHMACSHA2384192 Integ = 13   // likewise
	IntegHMACSHA2512256 Integ = 14   // likewise
	IntegHMACSHA225696  Integ = 1024 // private use in strongSwan: draft-ietf-ipsec-ciph-sha-256-00's 96 bits, as old Linux has them
)

// KnownIKE reports whether the algorithm is implemented for IKE SAs.
func (i Integ) KnownIKE() bool {
	switch i {
	case IntegHMACSHA196, IntegHMACSHA2256128, IntegHMACSHA2384192, IntegHMACSHA2512256, IntegAESXCBC96, IntegAESCMAC96:
		return true
	}
	return false
}

// KnownESP reports whether the algorithm is implemented for ESP. GMAC is not one here: ESP has it as an encryption transform
// (RFC 4543, Section 5).
func (i Integ) KnownESP() bool {
	return i.KnownIKE() || i == IntegHMACMD596 || i == IntegHMACSHA225696
}

// KnownAH reports whether the algorithm is implemented for AH.
func (i Integ) KnownAH() bool { return i.KnownESP() || i.gmac() }

func (i Integ) gmac() bool {
	return i == IntegAES128GMAC || i == IntegAES192GMAC || i == IntegAES256GMAC
}

// Weak reports whether the algorithm is only for what cannot do better: RFC 8221, Section 6 (MUST NOT).
func (i Integ) Weak() bool { return i == IntegHMACMD596 }

// KeyLen is the key in octets: the output size of the hash (RFC 4868, Section 2.1.1; RFC 2404, Section 3; RFC 2403, Section 3), an
// AES key (RFC 3566, Section 4.1; RFC 4494, Section 2), or an AES key with the salt of GMAC behind it (RFC 4543, Section 5.3).
func (i Integ) KeyLen() int {
	switch i {
	case IntegHMACMD596, IntegAESXCBC96, IntegAESCMAC96:
		return 16
	case IntegHMACSHA196:
		return 20
	case IntegAES128GMAC:
		return 16 + saltLen
	case IntegAES192GMAC:
		return 24 + saltLen
	case IntegAES256GMAC:
		return 32 + saltLen
	case IntegHMACSHA2256128, IntegHMACSHA225696:
		return 32
	case IntegHMACSHA2384192:
		return 48
	case IntegHMACSHA2512256:
		return 64
	}
	return 0
}

// ICVLen is the truncated output in octets; of GMAC, without the IV that AH has in front of it.
func (i Integ) ICVLen() int {
	switch i {
	case IntegHMACMD596, IntegHMACSHA196, IntegAESXCBC96, IntegAESCMAC96, IntegHMACSHA225696:
		return 12
	case IntegAES128GMAC, IntegAES192GMAC, IntegAES256GMAC, IntegHMACSHA2256128:
		return 16
	case IntegHMACSHA2384192:
		return 24
	case IntegHMACSHA2512256:
		return 32
	}
	return 0
}

// PacketLimit is how many packets one key may protect: of GMAC 2^32 (NIST SP 800-38D, Section 8.3).
func (i Integ) PacketLimit() uint64 {
	if i.gmac() {
		return gcmPackets
	}
	return math.MaxUint64
}

// newMAC makes the untruncated MAC of anything but GMAC. Its Reset, Write and Sum allocate nothing.
func newMAC(i Integ, key secret.Key) (hash.Hash, error) {
	switch i {
	case IntegHMACMD596:
		return hmac.New(md5.New, key.Bytes()), nil
	case IntegHMACSHA196:
		return hmac.New(sha1.New, key.Bytes()), nil
	case IntegHMACSHA2256128, IntegHMACSHA225696:
		return hmac.New(sha256.New, key.Bytes()), nil
	case IntegHMACSHA2384192:
		return hmac.New(sha512.New384, key.Bytes()), nil
	case IntegHMACSHA2512256:
		return hmac.New(sha512.New, key.Bytes()), nil
	case IntegAESXCBC96, IntegAESCMAC96:
		block, err := aes.NewCipher(key.Bytes())
		if err != nil {
			return nil, err
		}
		if i == IntegAESXCBC96 {
			return newXCBC(block)
		}
		return newCMAC(block), nil
	}
	return nil, fmt.Errorf("integrity %s: not implemented", i)
}

// String is strongSwan's name.
func (i Integ) String() string {
	switch i {
	case IntegNone:
		return "NONE"
	case IntegHMACMD596:
		return "HMAC_MD5_96"
	case IntegHMACSHA196:
		return "HMAC_SHA1_96"
	case IntegAESXCBC96:
		return "AES_XCBC_96"
	case IntegAESCMAC96:
		return "AES_CMAC_96"
	case IntegAES128GMAC:
		return "AES_128_GMAC"
	case IntegAES192GMAC:
		return "AES_192_GMAC"
	case IntegAES256GMAC:
		return "AES_256_GMAC"
	case IntegHMACSHA2256128:
		return "HMAC_SHA2_256_128"
	case IntegHMACSHA2384192:
		return "HMAC_SHA2_384_192"
	case IntegHMACSHA2512256:
		return "HMAC_SHA2_512_256"
	case IntegHMACSHA225696:
		return "HMAC_SHA2_256_96"
	}
	return fmt.Sprintf("INTEG_%d", uint16(i))
}

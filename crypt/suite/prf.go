// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Pseudo-random functions and prf+ (RFC 7296, Section 2.13).

package suite

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/natterjack/natterjack/crypt/secret"
)

// PRF is a pseudo-random function (IKEv2 Transform Type 2).
type PRF uint16

// The PRFs that are implemented: RFC 2104 and RFC 4868.
const (
	PRFHMACMD5     PRF = 1 // Weak
	PRFHMACSHA1    PRF = 2
	PRFHMACSHA2256 PRF = 5
	PRFHMACSHA2384 PRF = 6
	PRFHMACSHA2512 PRF = 7
)

// Known reports whether the function is implemented and strong enough for IKEv2.
func (p PRF) Known() bool { return p.hash() != nil && !p.Weak() }

// Weak reports whether the function is only for IKEv1 gateways that have no better one: RFC 8247, Section 2.2 (MUST NOT).
func (p PRF) Weak() bool { return p == PRFHMACMD5 }

func (p PRF) hash() func() hash.Hash {
	switch p {
	case PRFHMACMD5:
		return md5.New
	case PRFHMACSHA1:
		return sha1.New
	case PRFHMACSHA2256:
		return sha256.New
	case PRFHMACSHA2384:
		return sha512.New384
	case PRFHMACSHA2512:
		return sha512.New
	}
	return nil
}

// Size is the output in octets; zero for an unknown PRF.
func (p PRF) Size() int {
	switch p {
	case PRFHMACMD5:
		return md5.Size
	case PRFHMACSHA1:
		return 20
	case PRFHMACSHA2256:
		return 32
	case PRFHMACSHA2384:
		return 48
	case PRFHMACSHA2512:
		return 64
	}
	return 0
}

// KeyLen is the preferred key length in octets: of SK_d, SK_pi and SK_pr (RFC 7296, Section 2.13).
func (p PRF) KeyLen() int { return p.Size() }

// Sum is prf(key, parts…). It panics on an unknown PRF, which negotiation never lets through.
func (p PRF) Sum(key secret.Key, parts ...[]byte) []byte {
	m := hmac.New(p.hash(), key.Bytes())
	for _, part := range parts {
		m.Write(part)
	}
	return m.Sum(nil)
}

// maxPlus is the number of blocks that prf+ can make: its counter is one octet.
const maxPlus = 255

// Plus is the first n octets of prf+(key, seed…); they are the caller's to wipe. It panics when n is more than 255 blocks,
// which no suite needs.
func (p PRF) Plus(key secret.Key, n int, seed ...[]byte) []byte {
	if n > maxPlus*p.Size() {
		panic(fmt.Sprintf("prf+ of %d octets", n))
	}
	out := make([]byte, 0, n+p.Size())
	var block []byte
	for i := byte(1); len(out) < n; i++ {
		m := hmac.New(p.hash(), key.Bytes())
		m.Write(block)
		for _, s := range seed {
			m.Write(s)
		}
		m.Write([]byte{i})
		block = m.Sum(block[:0])
		out = append(out, block...)
	}
	// What is beyond n is key material that nobody would wipe.
	clear(block)
	clear(out[n:])
	return out[:n:n]
}

// String is strongSwan's name.
func (p PRF) String() string {
	switch p {
	case PRFHMACMD5:
		return "PRF_HMAC_MD5"
	case PRFHMACSHA1:
		return "PRF_HMAC_SHA1"
	case 4:
		return "PRF_AES128_XCBC"
	case PRFHMACSHA2256:
		return "PRF_HMAC_SHA2_256"
	case PRFHMACSHA2384:
		return "PRF_HMAC_SHA2_384"
	case PRFHMACSHA2512:
		return "PRF_HMAC_SHA2_512"
	case 8:
		return "PRF_AES128_CMAC"
	}
	return fmt.Sprintf("PRF_%d", uint16(p))
}

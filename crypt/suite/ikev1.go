// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What IKEv1 has that IKEv2 does not: the hash beneath an HMAC as a function of its own (RFC 2409, Section 4), and CBC without
// a MAC, whose IV is the last block of the message before (Appendix B). KnownIKEv1 says which algorithms a phase 1 may have;
// Known and KnownIKE, which IKEv2 asks, are true for none of those that are Weak. What CBC decrypts is attacker controlled and
// not authenticated: its caller believes nothing of it before a HASH or a signature inside it was verified.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
)

// KnownIKEv1 reports whether the algorithm is implemented for phase 1 of IKEv1: no AEAD has a place there.
func (e Encr) KnownIKEv1() bool { return e == EncrAESCBC || e == Encr3DESCBC }

// KnownIKEv1 reports whether the function is implemented for IKEv1, where it is the HMAC of the negotiated hash.
func (p PRF) KnownIKEv1() bool { return p.hash() != nil }

// KnownIKEv1 reports whether the method is implemented for IKEv1. Curve25519 has no number there.
func (k KE) KnownIKEv1() bool { return k.PublicLen() > 0 && k != KECurve25519 }

// Digest is the hash beneath the HMAC over parts…: what IKEv1 calls hash(). It panics on an unknown PRF, which negotiation
// never lets through.
func (p PRF) Digest(parts ...[]byte) []byte {
	h := p.hash()()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// CBC encrypts and decrypts the messages of a phase 1. It holds no IV.
type CBC struct{ block cipher.Block }

// NewCBC makes a CBC of a key of KeyLen(bits) octets.
func NewCBC(e Encr, bits int, key secret.Key) (*CBC, error) {
	if !e.KnownIKEv1() || !e.ValidBits(bits) {
		return nil, fmt.Errorf("encryption %s with %d key bits: not implemented for IKEv1", e, bits)
	}
	if key.Len() != e.KeyLen(bits) {
		return nil, fmt.Errorf("encryption key of %d octets, expected %d for %s", key.Len(), e.KeyLen(bits), e)
	}
	newCipher := aes.NewCipher
	if e == Encr3DESCBC {
		newCipher = des.NewTripleDESCipher
	}
	block, err := newCipher(key.Bytes())
	if err != nil {
		return nil, err
	}
	return &CBC{block: block}, nil
}

// BlockLen is the length of a block and of an IV in octets; zero where e is not of IKEv1.
func (e Encr) BlockLen() int {
	switch e {
	case EncrAESCBC:
		return aes.BlockSize
	case Encr3DESCBC:
		return des.BlockSize
	}
	return 0
}

// Encrypt encrypts b in place. It panics when b is not a number of blocks, or iv not one.
func (c *CBC) Encrypt(iv, b []byte) { cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(b, b) }

// Decrypt decrypts b in place. It panics when b is not a number of blocks, or iv not one: the length of a message is checked
// where it is read.
func (c *CBC) Decrypt(iv, b []byte) { cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(b, b) }

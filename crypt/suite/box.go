// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Box: one direction's protection, for the SK payload of IKE and for ESP alike. Both have the same layout,
//
//	header | IV | plaintext | ICV
//
// and differ in the header and in what ESN adds. The message is attacker controlled in Open; the ICV is verified, in
// constant time, before anything is decrypted, and every failure is the same error.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/natterjack/natterjack/crypt/secret"
)

// ErrICV is the one failure of Open.
var ErrICV = errors.New("integrity check failed")

// cbcMode is a CBC mode whose IV can be set again; crypto/aes provides it.
type cbcMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

const (
	aeadIVLen  = 8 // RFC 4106, Section 3.1; RFC 5282, Section 3.1; RFC 7634, Section 2
	aeadICVLen = 16
	maxICVLen  = 32
)

// Box seals or opens messages of one direction of an SA. It allocates nothing per message. It is not safe for concurrent
// use: its SA guards it.
type Box struct {
	aead  cipher.AEAD
	nonce [12]byte // salt | IV

	enc, dec cbcMode
	mac      hash.Hash
	sum      [64]byte

	ivLen, icvLen, align int
}

// NewBox makes a Box. keyE is the encryption key with the salt of an AEAD behind it; keyA is empty for an AEAD.
func NewBox(e Encr, bits int, i Integ, keyE, keyA secret.Key) (*Box, error) {
	if !e.Known() || !e.ValidBits(bits) {
		return nil, fmt.Errorf("encryption %s with %d key bits: not implemented", e, bits)
	}
	if keyE.Len() != e.KeyLen(bits) {
		return nil, fmt.Errorf("encryption key of %d octets, expected %d for %s", keyE.Len(), e.KeyLen(bits), e)
	}
	if e.AEAD() {
		if i != IntegNone || !keyA.IsZero() {
			return nil, fmt.Errorf("integrity %s beside %s, expected none", i, e)
		}
		return newAEADBox(e, keyE)
	}
	if !i.Known() || keyA.Len() != i.KeyLen() {
		return nil, fmt.Errorf("integrity key of %d octets for %s, expected %d", keyA.Len(), i, i.KeyLen())
	}
	return newCBCBox(i, keyE, keyA)
}

func newAEADBox(e Encr, keyE secret.Key) (*Box, error) {
	b := &Box{ivLen: aeadIVLen, icvLen: aeadICVLen, align: 1}
	key, salt := keyE.Bytes()[:keyE.Len()-saltLen], keyE.Bytes()[keyE.Len()-saltLen:]
	copy(b.nonce[:], salt)
	var err error
	if e == EncrChaCha20Poly1305 {
		b.aead, err = chacha20poly1305.New(key)
		return b, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	b.aead, err = cipher.NewGCM(block)
	return b, err
}

func newCBCBox(i Integ, keyE, keyA secret.Key) (*Box, error) {
	block, err := aes.NewCipher(keyE.Bytes())
	if err != nil {
		return nil, err
	}
	var zero [aes.BlockSize]byte
	enc, ok1 := cipher.NewCBCEncrypter(block, zero[:]).(cbcMode)
	dec, ok2 := cipher.NewCBCDecrypter(block, zero[:]).(cbcMode)
	if !ok1 || !ok2 {
		return nil, errors.New("the CBC mode of this Go release cannot set its IV again")
	}
	return &Box{
		enc: enc, dec: dec, mac: hmac.New(i.hash(), keyA.Bytes()),
		ivLen: aes.BlockSize, icvLen: i.ICVLen(), align: aes.BlockSize,
	}, nil
}

func (i Integ) hash() func() hash.Hash {
	switch i {
	case IntegHMACSHA196:
		return sha1.New
	case IntegHMACSHA2256128:
		return sha256.New
	case IntegHMACSHA2384192:
		return sha512.New384
	}
	return sha512.New
}

// IVLen is the length of the explicit IV in octets.
func (b *Box) IVLen() int { return b.ivLen }

// ICVLen is the length of the ICV in octets.
func (b *Box) ICVLen() int { return b.icvLen }

// Align is what the length of the plaintext must be a multiple of, in octets.
func (b *Box) Align() int { return b.align }

// AEAD reports whether the IV must be unique and not random (a counter, RFC 4106, Section 3.1).
func (b *Box) AEAD() bool { return b.aead != nil }

// Seal encrypts msg in place: msg[hdr:] begins with the IV, which the caller has written, and ends with ICVLen octets that
// Seal writes. An AEAD authenticates aad, or msg[:hdr] where aad is nil; a MAC covers msg up to the ICV and then tail.
// Seal panics on a message that is too short or not aligned: lengths are the caller's, never the peer's.
func (b *Box) Seal(msg []byte, hdr int, aad, tail []byte) {
	end := len(msg) - b.icvLen
	body := msg[hdr+b.ivLen : end]
	if b.aead != nil {
		copy(b.nonce[saltLen:], msg[hdr:hdr+aeadIVLen])
		if aad == nil {
			aad = msg[:hdr]
		}
		b.aead.Seal(body[:0], b.nonce[:], body, aad)
		return
	}
	b.enc.SetIV(msg[hdr : hdr+b.ivLen])
	b.enc.CryptBlocks(body, body)
	copy(msg[end:], b.tag(msg[:end], tail))
}

// Open verifies and then decrypts msg in place; the plaintext is msg[hdr+IVLen : len-ICVLen].
// ErrICV is all that it says about a message that is too short, not aligned, or not authentic; msg is then unchanged
// or, for an AEAD, cleared.
func (b *Box) Open(msg []byte, hdr int, aad, tail []byte) error {
	end := len(msg) - b.icvLen
	if end < hdr+b.ivLen {
		return ErrICV
	}
	body := msg[hdr+b.ivLen : end]
	if b.aead != nil {
		copy(b.nonce[saltLen:], msg[hdr:hdr+aeadIVLen])
		if aad == nil {
			aad = msg[:hdr]
		}
		if _, err := b.aead.Open(body[:0], b.nonce[:], msg[hdr+b.ivLen:], aad); err != nil {
			return ErrICV
		}
		return nil
	}
	if subtle.ConstantTimeCompare(b.tag(msg[:end], tail), msg[end:]) != 1 {
		return ErrICV
	}
	if len(body)%b.align != 0 {
		return ErrICV
	}
	b.dec.SetIV(msg[hdr : hdr+b.ivLen])
	b.dec.CryptBlocks(body, body)
	return nil
}

// tag is the truncated MAC; it is valid until the next call.
func (b *Box) tag(msg, tail []byte) []byte {
	b.mac.Reset()
	b.mac.Write(msg)
	b.mac.Write(tail)
	return b.mac.Sum(b.sum[:0])[:b.icvLen]
}

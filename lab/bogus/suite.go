// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The algorithms of this peer: PRFs, integrity, ciphers, and how one protects a text with associated data
// (RFC 7296, Section 3.14; RFC 5282; RFC 4106; RFC 7634).

package bogus

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// Suite is a set of algorithms, for IKE (all fields) or ESP (Encr, Bits, Integ, and KE where there is PFS).
type Suite struct {
	Encr, Bits, Integ, PRF, KE uint16
}

// Usual suites.
func GCM128() Suite { return Suite{Encr: EncrAESGCM16, Bits: 128, PRF: PRFSHA256, KE: KEX25519} }
func GCM256() Suite { return Suite{Encr: EncrAESGCM16, Bits: 256, PRF: PRFSHA256, KE: KEX25519} }
func CBC256() Suite {
	return Suite{Encr: EncrAESCBC, Bits: 256, Integ: IntegSHA256, PRF: PRFSHA256, KE: KEX25519}
}

func prfHash(id uint16) (func() hash.Hash, error) {
	switch id {
	case PRFSHA1:
		return sha1.New, nil
	case PRFSHA256:
		return sha256.New, nil
	case PRFSHA384:
		return sha512.New384, nil
	case PRFSHA512:
		return sha512.New, nil
	}
	return nil, fmt.Errorf("PRF %d is not known here", id)
}

// integrity is an HMAC with its key length and how much of it is sent, in octets.
type integrity struct {
	hash     func() hash.Hash
	key, icv int
}

func integOf(id uint16) (integrity, error) {
	switch id {
	case IntegNone:
		return integrity{}, nil
	case IntegSHA1:
		return integrity{sha1.New, 20, 12}, nil
	case IntegSHA256:
		return integrity{sha256.New, 32, 16}, nil
	case IntegSHA384:
		return integrity{sha512.New384, 48, 24}, nil
	case IntegSHA512:
		return integrity{sha512.New, 64, 32}, nil
	}
	return integrity{}, fmt.Errorf("INTEG %d is not known here", id)
}

// AEAD reports whether the cipher needs no integrity algorithm.
func (s Suite) AEAD() bool { return s.Encr == EncrAESGCM16 || s.Encr == EncrChaCha }

// keyLens are the lengths of the encryption key with its salt and of the integrity key, in octets.
func (s Suite) keyLens() (encr, integ int, err error) {
	i, err := integOf(s.Integ)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case s.Encr == EncrChaCha:
		return 36, 0, nil
	case s.Bits != 128 && s.Bits != 192 && s.Bits != 256:
		return 0, 0, fmt.Errorf("key of %d bits", s.Bits)
	case s.Encr == EncrAESGCM16:
		return int(s.Bits)/8 + 4, 0, nil
	case s.Encr == EncrAESCBC && s.Integ != IntegNone:
		return int(s.Bits) / 8, i.key, nil
	}
	return 0, 0, fmt.Errorf("suite %+v is not known here", s)
}

// box protects one direction of an SA.
type box struct {
	aead  cipher.AEAD
	salt  []byte
	block cipher.Block
	integ integrity
	key   []byte // of integ
}

func (s Suite) box(encr, integ []byte) (*box, error) {
	i, err := integOf(s.Integ)
	if err != nil {
		return nil, err
	}
	b := &box{integ: i, key: integ}
	switch s.Encr {
	case EncrChaCha:
		b.aead, err = chacha20poly1305.New(encr[:32])
		b.salt = encr[32:]
	case EncrAESGCM16:
		var block cipher.Block
		if block, err = aes.NewCipher(encr[:len(encr)-4]); err == nil {
			b.aead, err = cipher.NewGCM(block)
			b.salt = encr[len(encr)-4:]
		}
	default:
		b.block, err = aes.NewCipher(encr)
	}
	return b, err
}

// ivLen, icvLen and align are in octets; a text is padded to a multiple of align.
func (b *box) ivLen() int {
	if b.aead != nil {
		return 8
	}
	return aes.BlockSize
}

func (b *box) icvLen() int {
	if b.aead != nil {
		return b.aead.Overhead()
	}
	return b.integ.icv
}

func (b *box) align() int {
	if b.aead != nil {
		return 4
	}
	return aes.BlockSize
}

// seal returns IV, ciphertext and ICV. For an AEAD aad is the associated data; otherwise it is what the ICV covers before
// the IV.
func (b *box) seal(aad, iv, text []byte) []byte {
	if b.aead != nil {
		return b.aead.Seal(append([]byte(nil), iv...), append(append([]byte(nil), b.salt...), iv...), text, aad)
	}
	out := append(append([]byte(nil), iv...), text...)
	if n := len(text) - len(text)%aes.BlockSize; n > 0 {
		cipher.NewCBCEncrypter(b.block, iv).CryptBlocks(out[len(iv):len(iv)+n], text[:n])
	}
	return append(out, b.mac(aad, out)...)
}

// open is the reverse of seal.
func (b *box) open(aad, body []byte) ([]byte, error) {
	if len(body) < b.ivLen()+b.icvLen() {
		return nil, errors.New("too short to be sealed")
	}
	iv, rest := body[:b.ivLen()], body[b.ivLen():]
	if b.aead != nil {
		return b.aead.Open(nil, append(append([]byte(nil), b.salt...), iv...), rest, aad)
	}
	text, icv := rest[:len(rest)-b.icvLen()], rest[len(rest)-b.icvLen():]
	if !hmac.Equal(icv, b.mac(aad, body[:len(body)-b.icvLen()])) {
		return nil, errors.New("the ICV is wrong")
	}
	if len(text)%aes.BlockSize != 0 {
		return nil, errors.New("not whole blocks")
	}
	out := make([]byte, len(text))
	cipher.NewCBCDecrypter(b.block, iv).CryptBlocks(out, text)
	return out, nil
}

func (b *box) mac(parts ...[]byte) []byte {
	m := hmac.New(b.integ.hash, b.key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)[:b.integ.icv]
}

// prf is the negotiated pseudorandom function (RFC 7296, Section 2.13).
func (s Suite) prf(key []byte, parts ...[]byte) []byte {
	h, err := prfHash(s.PRF)
	if err != nil {
		panic(err) // the suite was checked when it was negotiated
	}
	m := hmac.New(h, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// prfPlus gives n octets of key material (RFC 7296, Section 2.13).
func (s Suite) prfPlus(key, seed []byte, n int) []byte {
	var out, t []byte
	for i := byte(1); len(out) < n; i++ {
		t = s.prf(key, t, seed, []byte{i})
		out = append(out, t...)
	}
	return out[:n]
}

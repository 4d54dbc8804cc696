// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// AES-CCM (RFC 3610) with the nonce of ESP and IKE (RFC 4309, Section 4; RFC 5282, Section 4): a salt of 3 octets and an IV of
// 8, so that L is 4; and AES-CTR (RFC 3686). Both on the block cipher of the standard library, which has no CCM, and whose CTR
// mode allocates memory for every message. The message is attacker controlled; what is not authentic is cleared.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

const (
	ccmNonceLen = ccmSaltLen + aeadIVLen
	ccmL        = 15 - ccmNonceLen // octets of the length field: RFC 3610, Section 2
	// maxCCMAAD: RFC 3610, Section 2.2: longer data has its length written in another way, which no header needs.
	maxCCMAAD = 0xff00 - 1
)

// ccm is a cipher.AEAD for one goroutine at a time: its blocks are scratch memory.
type ccm struct {
	block cipher.Block
	tag   int // octets: M in RFC 3610
	x     [aes.BlockSize]byte
	ctr   counter
}

func newCCM(block cipher.Block, tag int) *ccm {
	return &ccm{block: block, tag: tag, ctr: counter{block: block}}
}

func (c *ccm) NonceSize() int { return ccmNonceLen }
func (c *ccm) Overhead() int  { return c.tag }

// Seal appends to dst the encrypted plaintext and the tag. dst must have room, and may be plaintext[:0].
func (c *ccm) Seal(dst, nonce, plaintext, aad []byte) []byte {
	n := len(dst)
	out := dst[:n+len(plaintext)+c.tag]
	c.authenticate(nonce, plaintext, aad)
	c.start(nonce)
	tag := out[n+len(plaintext):]
	c.maskTag()
	c.ctr.xor(out[n:n+len(plaintext)], plaintext)
	copy(tag, c.x[:c.tag])
	return out
}

// Open appends the plaintext to dst, which must have room and may be ciphertext[:0].
func (c *ccm) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	end := len(ciphertext) - c.tag
	if end < 0 || len(aad) > maxCCMAAD { // a peer's datagram may be longer than any header of ours
		return nil, ErrICV
	}
	n := len(dst)
	out := dst[: n+end : n+end]
	c.start(nonce)
	// The key stream block of the tag is made first: it is the counter's first block.
	mask := c.ctr.stream
	c.ctr.xor(out[n:], ciphertext[:end])
	c.authenticate(nonce, out[n:], aad)
	subtle.XORBytes(c.x[:], c.x[:], mask[:])
	// RFC 3610, Section 2.5: where the tag is wrong, the receiver must not reveal the decrypted message.
	if subtle.ConstantTimeCompare(c.x[:c.tag], ciphertext[end:]) != 1 {
		clear(out[n:])
		return nil, ErrICV
	}
	return out, nil
}

// start makes A_0 and the key stream block for the tag, S_0; the message's blocks follow from A_1: RFC 3610, Section 2.3.
func (c *ccm) start(nonce []byte) {
	c.ctr.a[0] = ccmL - 1
	copy(c.ctr.a[1:], nonce)
	c.ctr.from(0)
	c.ctr.next()
}

func (c *ccm) maskTag() { subtle.XORBytes(c.x[:], c.x[:], c.ctr.stream[:]) }

// authenticate leaves T, the CBC-MAC over B_0, aad and msg, in x: RFC 3610, Section 2.2.
func (c *ccm) authenticate(nonce, msg, aad []byte) {
	if len(aad) > maxCCMAAD {
		panic(fmt.Sprintf("CCM: %d octets of additional data", len(aad)))
	}
	c.x[0] = byte((c.tag-2)/2<<3 | (ccmL - 1))
	if len(aad) > 0 {
		c.x[0] |= 1 << 6
	}
	copy(c.x[1:], nonce)
	binary.BigEndian.PutUint32(c.x[1+ccmNonceLen:], uint32(len(msg)))
	c.block.Encrypt(c.x[:], c.x[:])
	if len(aad) > 0 {
		c.x[0] ^= byte(len(aad) >> 8)
		c.x[1] ^= byte(len(aad))
		n := subtle.XORBytes(c.x[2:], c.x[2:], aad)
		c.block.Encrypt(c.x[:], c.x[:])
		c.chain(aad[n:])
	}
	c.chain(msg)
}

// chain continues the CBC-MAC; an incomplete last block is padded with zeros.
func (c *ccm) chain(b []byte) {
	for len(b) >= aes.BlockSize {
		xorBlock(&c.x, b)
		c.block.Encrypt(c.x[:], c.x[:])
		b = b[aes.BlockSize:]
	}
	if len(b) > 0 {
		subtle.XORBytes(c.x[:], c.x[:], b)
		c.block.Encrypt(c.x[:], c.x[:])
	}
}

// counter makes the key stream of CTR mode with a counter of 4 octets at the end of the block.
type counter struct {
	block     cipher.Block
	a, stream [aes.BlockSize]byte
}

// from sets the counter.
func (c *counter) from(n uint32) { binary.BigEndian.PutUint32(c.a[12:], n) }

// next makes the block of key stream for the counter's value, and counts.
func (c *counter) next() {
	c.block.Encrypt(c.stream[:], c.a[:])
	binary.BigEndian.PutUint32(c.a[12:], binary.BigEndian.Uint32(c.a[12:])+1)
}

// xor encrypts or decrypts; dst and src are the same memory or do not overlap.
func (c *counter) xor(dst, src []byte) {
	for len(src) > 0 {
		c.next()
		n := subtle.XORBytes(dst, src, c.stream[:])
		dst, src = dst[n:], src[n:]
	}
}

// xorBlock is x ^= b for one block.
func xorBlock(x *[aes.BlockSize]byte, b []byte) {
	_ = b[aes.BlockSize-1]
	binary.NativeEndian.PutUint64(x[:8], binary.NativeEndian.Uint64(x[:8])^binary.NativeEndian.Uint64(b[:8]))
	binary.NativeEndian.PutUint64(x[8:], binary.NativeEndian.Uint64(x[8:])^binary.NativeEndian.Uint64(b[8:16]))
}

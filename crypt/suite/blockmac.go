// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493) on the block cipher of the standard library, which has neither: CBC-MAC whose
// last block is masked with one of two subkeys. The message is attacker controlled; neither its content nor its length makes
// a difference to the path taken, other than by the number of blocks.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// blockMAC is a hash.Hash whose Sum does not end it. It is not safe for concurrent use.
type blockMAC struct {
	block       cipher.Block
	whole, part [aes.BlockSize]byte // subkeys: for a complete last block, for one that was padded
	x           [aes.BlockSize]byte // the chain
	last        [aes.BlockSize]byte // octets not chained yet; the last block must be known as such
	n           int                 // octets in last
}

// newXCBC derives K1, K2 and K3 (RFC 3566, Section 4, step 1); the chain runs under K1.
func newXCBC(block cipher.Block) (*blockMAC, error) {
	m := &blockMAC{}
	var k1 [aes.BlockSize]byte
	defer clear(k1[:])
	for i := range k1 {
		k1[i], m.whole[i], m.part[i] = 1, 2, 3
	}
	block.Encrypt(k1[:], k1[:])
	block.Encrypt(m.whole[:], m.whole[:])
	block.Encrypt(m.part[:], m.part[:])
	var err error
	m.block, err = aes.NewCipher(k1[:])
	return m, err
}

// newCMAC derives K1 and K2 (RFC 4493, Section 2.3).
func newCMAC(block cipher.Block) *blockMAC {
	m := &blockMAC{block: block}
	block.Encrypt(m.whole[:], m.whole[:])
	double(&m.whole)
	m.part = m.whole
	double(&m.part)
	return m
}

// double multiplies by x in GF(2^128), in constant time.
func double(b *[aes.BlockSize]byte) {
	const polynomial = 0x87 // RFC 4493, Section 2.3: const_Rb
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		carry, b[i] = b[i]>>7, b[i]<<1|carry
	}
	b[len(b)-1] ^= byte(subtle.ConstantTimeSelect(int(carry), polynomial, 0))
}

func (m *blockMAC) Size() int      { return aes.BlockSize }
func (m *blockMAC) BlockSize() int { return aes.BlockSize }

func (m *blockMAC) Reset() {
	clear(m.x[:])
	m.n = 0
}

func (m *blockMAC) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if m.n == aes.BlockSize { // more follows: this one is not the last
			subtle.XORBytes(m.x[:], m.x[:], m.last[:])
			m.block.Encrypt(m.x[:], m.x[:])
			m.n = 0
		}
		n := copy(m.last[m.n:], p)
		m.n += n
		p = p[n:]
	}
	return size, nil
}

// Sum appends the MAC of what was written. RFC 3566, Section 4, steps 4 and 5; RFC 4493, Section 2.4.
func (m *blockMAC) Sum(b []byte) []byte {
	y, key := m.x, &m.whole
	var last [aes.BlockSize]byte
	copy(last[:], m.last[:m.n])
	if m.n < aes.BlockSize {
		last[m.n] = 0x80
		key = &m.part
	}
	subtle.XORBytes(y[:], y[:], last[:])
	subtle.XORBytes(y[:], y[:], key[:])
	// The result goes by way of the chain's own array, which the caller restarts with Reset anyway: a local one would move to
	// the heap behind cipher.Block.
	before := m.x
	m.x = y
	m.block.Encrypt(m.x[:], m.x[:])
	b = append(b, m.x[:]...)
	m.x = before
	return b
}

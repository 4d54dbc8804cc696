// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// An oracle for every suite, made of the standard library's primitives alone and written from the RFCs' formulas, not from crypt/suite:
// CCM by CBC-MAC and CTR of crypto/cipher, CMAC and XCBC by CBC over a padded copy.

package esp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"math/big"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/natterjack/natterjack/crypt/suite"
)

// oracle opens a packet with primitives alone and returns payload, padding and trailer.
func oracle(t *testing.T, x *sa, s suite.ESP, pkt []byte, seq uint64) []byte {
	t.Helper()
	var high [4]byte
	binary.BigEndian.PutUint32(high[:], uint32(seq>>32))
	if s.Encr.AEAD() {
		aad := bytes.Clone(pkt[:8])
		if s.ESN {
			aad = append(append(bytes.Clone(pkt[:4]), high[:]...), pkt[4:8]...)
		}
		return oracleAEAD(t, x.keyE, s, pkt, aad)
	}
	icv := map[suite.Integ]int{
		suite.IntegHMACSHA2256128: 16, suite.IntegHMACSHA2384192: 24, suite.IntegHMACSHA2512256: 32,
	}[s.Integ]
	if icv == 0 {
		icv = 12
	}
	end := len(pkt) - icv
	covered := bytes.Clone(pkt[:end])
	if s.ESN {
		covered = append(covered, high[:]...)
	}
	if !bytes.Equal(oracleMAC(t, s.Integ, x.keyA, covered)[:icv], pkt[end:]) {
		t.Fatalf("%v: the oracle gets another ICV", s)
	}
	return oracleDecrypt(t, x.keyE, s, pkt[8:end])
}

func oracleDecrypt(t *testing.T, key []byte, s suite.ESP, body []byte) []byte {
	t.Helper()
	switch s.Encr {
	case suite.EncrNULL:
		return bytes.Clone(body)
	case suite.EncrAESCTR:
		split := len(key) - 4
		block, _ := aes.NewCipher(key[:split])
		iv := append(append(bytes.Clone(key[split:]), body[:8]...), 0, 0, 0, 1)
		plain := bytes.Clone(body[8:])
		cipher.NewCTR(block, iv).XORKeyStream(plain, plain)
		return plain
	}
	block, err := aes.NewCipher(key)
	if s.Encr == suite.Encr3DESCBC {
		block, err = des.NewTripleDESCipher(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	size := block.BlockSize()
	plain := bytes.Clone(body[size:])
	cipher.NewCBCDecrypter(block, body[:size]).CryptBlocks(plain, plain)
	return plain
}

func oracleAEAD(t *testing.T, keyE []byte, s suite.ESP, pkt, aad []byte) []byte {
	t.Helper()
	salt, tag := 4, 16
	switch s.Encr {
	case suite.EncrAESCCM8:
		salt, tag = 3, 8
	case suite.EncrAESCCM12:
		salt, tag = 3, 12
	case suite.EncrAESCCM16:
		salt = 3
	case suite.EncrAESGCM12:
		tag = 12
	}
	key := keyE[:len(keyE)-salt]
	nonce := append(bytes.Clone(keyE[len(keyE)-salt:]), pkt[8:16]...)
	if salt == 3 {
		return oracleCCM(t, key, nonce, pkt[16:], aad, tag)
	}
	var a cipher.AEAD
	var err error
	if s.Encr == suite.EncrChaCha20Poly1305 {
		a, err = chacha20poly1305.New(key)
	} else {
		block, _ := aes.NewCipher(key)
		a, err = cipher.NewGCMWithTagSize(block, tag)
	}
	if err != nil {
		t.Fatal(err)
	}
	sealed := pkt[16:]
	var clear []byte
	if s.Encr == suite.EncrNullAESGMAC { // RFC 4543, Section 3.4: header, IV and payload are additional data
		clear = bytes.Clone(pkt[16 : len(pkt)-tag])
		aad, sealed = append(bytes.Clone(aad), pkt[8:len(pkt)-tag]...), pkt[len(pkt)-tag:]
	}
	plain, err := a.Open(nil, nonce, sealed, aad)
	if err != nil {
		t.Fatalf("%v: the oracle cannot open it", s)
	}
	return append(clear, plain...)
}

// oracleCCM is RFC 3610 with L = 4.
func oracleCCM(t *testing.T, key, nonce, sealed, aad []byte, tag int) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	stream := cipher.NewCTR(block, append(append([]byte{3}, nonce...), 0, 0, 0, 0))
	mac := bytes.Clone(sealed[len(sealed)-tag:])
	s0 := make([]byte, 16)
	stream.XORKeyStream(s0, s0)
	plain := bytes.Clone(sealed[:len(sealed)-tag])
	stream.XORKeyStream(plain, plain)

	b := append([]byte{byte(64 + 8*((tag-2)/2) + 3)}, nonce...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(plain)))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(aad))), aad...)
	b = append(b, make([]byte, -len(b)&15)...)
	b = append(b, plain...)
	b = append(b, make([]byte, -len(b)&15)...)
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(b, b)
	for i := range mac {
		mac[i] ^= s0[i]
	}
	if !bytes.Equal(mac, b[len(b)-16:][:tag]) {
		t.Fatal("CCM: the oracle gets another tag")
	}
	return plain
}

func oracleMAC(t *testing.T, i suite.Integ, key, msg []byte) []byte {
	t.Helper()
	switch i {
	case suite.IntegAESXCBC96:
		return oracleXCBC(key, msg)
	case suite.IntegAESCMAC96:
		return oracleCMAC(key, msg)
	}
	h := map[suite.Integ]func() hash.Hash{
		suite.IntegHMACMD596: md5.New, suite.IntegHMACSHA196: sha1.New, suite.IntegHMACSHA2256128: sha256.New,
		suite.IntegHMACSHA225696: sha256.New, suite.IntegHMACSHA2384192: sha512.New384, suite.IntegHMACSHA2512256: sha512.New,
	}[i]
	m := hmac.New(h, key)
	m.Write(msg)
	return m.Sum(nil)
}

// lastBlock masks the last block with one of two subkeys and returns the CBC-MAC.
func lastBlock(block cipher.Block, msg, whole, part []byte) []byte {
	b, k := bytes.Clone(msg), whole
	if len(b) == 0 || len(b)%16 != 0 {
		b, k = append(b, 0x80), part
		b = append(b, make([]byte, -len(b)&15)...)
	}
	for i := range 16 {
		b[len(b)-16+i] ^= k[i]
	}
	cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(b, b)
	return b[len(b)-16:]
}

func oracleXCBC(key, msg []byte) []byte {
	block, _ := aes.NewCipher(key)
	k := make([][]byte, 3)
	for i := range k {
		k[i] = bytes.Repeat([]byte{byte(i + 1)}, 16)
		block.Encrypt(k[i], k[i])
	}
	block, _ = aes.NewCipher(k[0])
	return lastBlock(block, msg, k[1], k[2])
}

func oracleCMAC(key, msg []byte) []byte {
	block, _ := aes.NewCipher(key)
	l := make([]byte, 16)
	block.Encrypt(l, l)
	twice := func(b []byte) []byte {
		n := new(big.Int).Lsh(new(big.Int).SetBytes(b), 1)
		if n.Bit(128) == 1 {
			n.SetBit(n, 128, 0).Xor(n, big.NewInt(0x87))
		}
		return n.FillBytes(make([]byte, 16))
	}
	return lastBlock(block, msg, twice(l), twice(twice(l)))
}

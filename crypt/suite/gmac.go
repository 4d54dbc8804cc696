// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// AES-GMAC (RFC 4543): GCM with nothing to encrypt. crypto/cipher takes the additional data as one slice, so what ESN puts in the
// middle of a packet is put there for the time of the calculation, and what AH covers is gathered. The message is attacker
// controlled; where it is not authentic it is left as it was.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"hash"

	"github.com/natterjack/natterjack/crypt/secret"
)

// sealGMAC writes the ICV over aad (or the header), IV and payload: RFC 4543, Section 3.4. The IV is covered too, as it is by the
// other implementations.
func (b *Box) sealGMAC(msg []byte, hdr int, aad []byte) {
	b.gmacTag(msg, hdr, aad)
	copy(msg[len(msg)-gmacICVLen:], b.other.sum[:gmacICVLen])
}

func (b *Box) openGMAC(msg []byte, hdr int, aad []byte) error {
	var icv [gmacICVLen]byte
	end := len(msg) - gmacICVLen
	copy(icv[:], msg[end:])
	b.gmacTag(msg, hdr, aad)
	copy(msg[end:], icv[:])
	if subtle.ConstantTimeCompare(b.other.sum[:gmacICVLen], icv[:]) != 1 {
		return ErrICV
	}
	return nil
}

const gmacICVLen = 16 // RFC 4543, Section 3.5

// gmacTag leaves the ICV in sum. msg is changed meanwhile, its last gmacICVLen octets for good.
func (b *Box) gmacTag(msg []byte, hdr int, aad []byte) {
	end := len(msg) - gmacICVLen
	nonce := b.nonce[:b.salt+aeadIVLen]
	if aad == nil {
		b.aead.Seal(b.other.sum[:0], nonce, nil, msg[:end])
		return
	}
	grow := len(aad) - hdr
	if grow < 0 || grow > gmacICVLen {
		panic(fmt.Sprintf("GMAC: %d octets of additional data for a header of %d", len(aad), hdr))
	}
	var header [maxGMACHeader]byte
	saved := header[:hdr]
	copy(saved, msg)
	copy(msg[hdr+grow:], msg[hdr:end])
	copy(msg, aad)
	b.aead.Seal(b.other.sum[:0], nonce, nil, msg[:end+grow])
	copy(msg[hdr:], msg[hdr+grow:end+grow])
	copy(msg, saved)
}

// maxGMACHeader is the longest header that can be replaced by additional data, in octets. ESP's has 8.
const maxGMACHeader = 16

// MAC is the ICV of one direction of an AH SA. It allocates nothing per message once it has seen the longest. It is not safe
// for concurrent use: its SA guards it.
type MAC struct {
	mac hash.Hash

	// GMAC: what is covered is gathered, since crypto/cipher takes it as one slice.
	aead     cipher.AEAD
	nonce    [12]byte
	gathered []byte

	sum    [maxMAC]byte
	icvLen int
}

// NewMAC makes a MAC. The key of GMAC has its salt behind it.
func NewMAC(i Integ, key secret.Key) (*MAC, error) {
	if !i.KnownAH() || key.Len() != i.KeyLen() {
		return nil, fmt.Errorf("integrity key of %d octets for %s, expected %d", key.Len(), i, i.KeyLen())
	}
	m := &MAC{icvLen: i.ICVLen()}
	var err error
	if !i.gmac() {
		m.mac, err = newMAC(i, key)
		return m, err
	}
	split := key.Len() - saltLen
	copy(m.nonce[:], key.Bytes()[split:])
	block, err := aes.NewCipher(key.Bytes()[:split])
	if err != nil {
		return nil, err
	}
	m.aead, err = cipher.NewGCM(block)
	return m, err
}

// IVLen is the length in octets of the IV that is sent in front of the ICV: RFC 4543, Section 4. 0 for all but GMAC.
func (m *MAC) IVLen() int {
	if m.aead != nil {
		return aeadIVLen
	}
	return 0
}

// ICVLen is the length of the ICV in octets, without the IV.
func (m *MAC) ICVLen() int { return m.icvLen }

// Reset begins a message.
func (m *MAC) Reset() {
	if m.aead != nil {
		m.gathered = m.gathered[:0]
		return
	}
	m.mac.Reset()
}

// Cover adds octets to the message.
func (m *MAC) Cover(b []byte) {
	if m.aead != nil {
		m.gathered = append(m.gathered, b...)
		return
	}
	m.mac.Write(b)
}

// Sum is the ICV of what was covered; it is valid until the next call. iv has IVLen octets, and MUST be another for every
// message of a key (RFC 4543, Section 3.1).
func (m *MAC) Sum(iv []byte) []byte {
	if m.aead != nil {
		copy(m.nonce[saltLen:], iv[:aeadIVLen])
		return m.aead.Seal(m.sum[:0], m.nonce[:], nil, m.gathered)
	}
	return m.mac.Sum(m.sum[:0])[:m.icvLen]
}

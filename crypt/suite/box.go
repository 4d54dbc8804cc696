// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Box: one direction's protection, for the SK payload of IKE and for ESP alike. Both have the same layout,
//
//	header | IV | plaintext | ICV
//
// and differ in the header and in what ESN adds. There are three kinds: an AEAD, a cipher or nothing beside a MAC, and GMAC, an
// AEAD of which everything is additional data. The message is attacker controlled in Open; with a MAC or GMAC the ICV is verified
// before anything is decrypted, with an AEAD nothing decrypted stays when it is wrong; it is compared in constant time, and every
// failure is the same error.

package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
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

const aeadIVLen = 8 // RFC 4106, Section 3.1; RFC 4309, Section 3.1; RFC 5282, Section 3.1; RFC 7634, Section 2; RFC 3686, Section 3.1

// Box seals or opens messages of one direction of an SA. It allocates nothing per message. It is not safe for concurrent
// use: its SA guards it.
//
// What an AEAD needs is small: among very many SAs it lies with its SA in memory. What others need beside it is elsewhere.
type Box struct {
	aead  cipher.AEAD
	other *other   // nil: the AEAD does it all
	lines *Lines   // nil: not seen
	nonce [12]byte // salt | IV
	salt  uint8    // octets of salt in it

	ivLen, icvLen, align uint8
	gmac                 bool  // everything is additional data
	none                 uint8 // always zero, which a compiler does not know
}

// Lines is the memory of an AES-GCM of crypto/cipher: a view by which it is read ahead, and never written. Its words are key material:
// whoever reads one keeps nothing of it.
type Lines [95]uint64

// View finds the Lines of a cipher; nil: it is another one, or its memory is not known.
type View func(cipher.AEAD) *Lines

// other is what a Box has that is not an AEAD alone.
type other struct {
	enc, dec cbcMode  // CBC
	ctr      *counter // CTR
	mac      hash.Hash
	sum      [maxMAC]byte
}

// maxMAC is the longest MAC before it is cut, in octets: SHA2-512.
const maxMAC = 64

// NewBox makes a Box. keyE is the encryption key with its salt behind it, and empty for NULL; keyA is empty for an AEAD.
// It makes whatever ESP may have: who makes one for an IKE SA asks KnownIKE first.
func NewBox(e Encr, bits int, i Integ, keyE, keyA secret.Key) (*Box, error) {
	if !e.KnownESP() || !e.ValidBits(bits) {
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
	if !i.KnownESP() || keyA.Len() != i.KeyLen() {
		return nil, fmt.Errorf("integrity key of %d octets for %s, expected %d", keyA.Len(), i, i.KeyLen())
	}
	mac, err := newMAC(i, keyA)
	if err != nil {
		return nil, err
	}
	b := &Box{other: &other{mac: mac}, icvLen: uint8(i.ICVLen()), align: 1}
	switch e {
	case EncrNULL: // RFC 2410: no key, no IV, no padding of its own
		return b, nil
	case EncrAESCTR:
		return b, b.useCTR(keyE)
	}
	return b, b.useCBC(e, keyE)
}

func newAEADBox(e Encr, keyE secret.Key) (*Box, error) {
	b := &Box{ivLen: aeadIVLen, icvLen: uint8(e.ICVLen()), align: 1, salt: uint8(e.SaltLen()), gmac: e == EncrNullAESGMAC}
	if b.gmac {
		b.other = &other{}
	}
	key, salt := keyE.Bytes()[:keyE.Len()-e.SaltLen()], keyE.Bytes()[keyE.Len()-e.SaltLen():]
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
	switch e {
	case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16:
		b.aead = newCCM(block, e.ICVLen())
	default:
		b.aead, err = cipher.NewGCMWithTagSize(block, e.ICVLen())
	}
	return b, err
}

// useCTR: RFC 3686, Section 4: the counter block is nonce | IV | 1. Nothing is authenticated: a MAC is beside it (Section 7).
func (b *Box) useCTR(keyE secret.Key) error {
	key, nonce := keyE.Bytes()[:keyE.Len()-saltLen], keyE.Bytes()[keyE.Len()-saltLen:]
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	b.other.ctr = &counter{block: block}
	copy(b.other.ctr.a[:], nonce)
	b.ivLen = aeadIVLen
	return nil
}

func (b *Box) useCBC(e Encr, keyE secret.Key) error {
	newCipher := aes.NewCipher
	if e == Encr3DESCBC {
		newCipher = des.NewTripleDESCipher
	}
	block, err := newCipher(keyE.Bytes())
	if err != nil {
		return err
	}
	var zero [aes.BlockSize]byte
	size := block.BlockSize()
	var ok1, ok2 bool
	b.other.enc, ok1 = cipher.NewCBCEncrypter(block, zero[:size]).(cbcMode)
	b.other.dec, ok2 = cipher.NewCBCDecrypter(block, zero[:size]).(cbcMode)
	if !ok1 || !ok2 {
		return errors.New("the CBC mode of this Go release cannot set its IV again")
	}
	b.ivLen, b.align = uint8(size), uint8(size)
	return nil
}

// See makes the cipher's own memory known to Touch. A nil view leaves it unknown: then a batch waits for it packet by packet, which is
// all.
func (b *Box) See(view View) {
	if view != nil && b.aead != nil {
		b.lines = view(b.aead)
	}
}

// Touch reads what does not change of a Box, one word of each line of memory that Seal and Open will need of a short packet, and returns
// their sum: a batch of packets of many SAs waits for all of them together this way. Nothing of a key is in the sum.
func (b *Box) Touch() uint64 {
	n := uint64(b.ivLen) + uint64(b.salt)
	if l := b.lines; l != nil {
		// The round keys of AES-128, the lengths, and the power of the hash key that is last in its table. Where a release of Go has them
		// elsewhere, or a key is longer, it is read when it is needed.
		n += (l[0] + l[8] + l[16] + l[61] + l[94]) & uint64(b.none)
	}
	return n
}

// IVLen is the length of the explicit IV in octets; 0 for NULL.
func (b *Box) IVLen() int { return int(b.ivLen) }

// ICVLen is the length of the ICV in octets.
func (b *Box) ICVLen() int { return int(b.icvLen) }

// Align is what the length of the plaintext must be a multiple of, in octets.
func (b *Box) Align() int { return int(b.align) }

// AEAD reports whether there is no MAC: the IV must be unique and not random (a counter, RFC 4106, Section 3.1), and what ESN adds
// is in the additional data.
func (b *Box) AEAD() bool { return b.aead != nil }

// CounterIV reports whether the IV must be unique and need not be unpredictable: that of an AEAD, and of CTR (RFC 3686,
// Section 3.1). That of CBC must be unpredictable; NULL has none.
func (b *Box) CounterIV() bool { return b.aead != nil || b.other.enc == nil }

// Seal encrypts msg in place: msg[hdr:] begins with the IV, which the caller has written, and ends with ICVLen octets that
// Seal writes. An AEAD authenticates aad, or msg[:hdr] where aad is nil; a MAC covers msg up to the ICV and then tail.
// With GMAC aad must not be shorter than hdr, nor longer by more than ICVLen.
// Seal panics on a message that is too short or not aligned: lengths are the caller's, never the peer's.
func (b *Box) Seal(msg []byte, hdr int, aad, tail []byte) {
	end, from := len(msg)-int(b.icvLen), hdr+int(b.ivLen)
	body := msg[from:end]
	if b.aead != nil {
		copy(b.nonce[b.salt:], msg[hdr:hdr+aeadIVLen])
		if b.gmac {
			b.sealGMAC(msg, hdr, aad)
			return
		}
		if aad == nil {
			aad = msg[:hdr]
		}
		b.aead.Seal(body[:0], b.nonce[:b.salt+aeadIVLen], body, aad)
		return
	}
	b.other.encrypt(msg[hdr:from], body)
	copy(msg[end:], b.tag(msg[:end], tail))
}

func (b *other) encrypt(iv, body []byte) {
	switch {
	case b.enc != nil:
		b.enc.SetIV(iv)
		b.enc.CryptBlocks(body, body)
	case b.ctr != nil:
		b.count(iv, body)
	}
}

// count is both directions of CTR.
func (b *other) count(iv, body []byte) {
	copy(b.ctr.a[saltLen:], iv)
	b.ctr.from(1) // RFC 3686, Section 4
	b.ctr.xor(body, body)
}

// Open verifies and then decrypts msg in place; the plaintext is msg[hdr+IVLen : len-ICVLen].
// ErrICV is all that it says about a message that is too short, not aligned, or not authentic; msg is then unchanged
// or, for an AEAD, cleared.
func (b *Box) Open(msg []byte, hdr int, aad, tail []byte) error {
	end, from := len(msg)-int(b.icvLen), hdr+int(b.ivLen)
	if end < from {
		return ErrICV
	}
	body := msg[from:end]
	if b.aead != nil {
		copy(b.nonce[b.salt:], msg[hdr:hdr+aeadIVLen])
		if b.gmac {
			return b.openGMAC(msg, hdr, aad)
		}
		if aad == nil {
			aad = msg[:hdr]
		}
		if _, err := b.aead.Open(body[:0], b.nonce[:b.salt+aeadIVLen], msg[from:], aad); err != nil {
			return ErrICV
		}
		return nil
	}
	if subtle.ConstantTimeCompare(b.tag(msg[:end], tail), msg[end:]) != 1 {
		return ErrICV
	}
	if len(body)%int(b.align) != 0 {
		return ErrICV
	}
	switch o := b.other; {
	case o.dec != nil:
		o.dec.SetIV(msg[hdr:from])
		o.dec.CryptBlocks(body, body)
	case o.ctr != nil:
		o.count(msg[hdr:from], body)
	}
	return nil
}

// tag is the truncated MAC; it is valid until the next call.
func (b *Box) tag(msg, tail []byte) []byte {
	o := b.other
	o.mac.Reset()
	o.mac.Write(msg)
	o.mac.Write(tail)
	return o.mac.Sum(o.sum[:0])[:b.icvLen]
}

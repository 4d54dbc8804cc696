// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Outbound processing: RFC 4303, Section 3.3. Its input is this host's own packets; a length that does not fit the buffer is the
// caller's error and panics.

package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// Sealer is one outbound SA. It is not safe for concurrent use (its SA guards it). It must not be copied:
// a second counter under one key would repeat a nonce.
type Sealer struct {
	_     [0]func() // not comparable, not copied by accident
	aad   [12]byte  // SPI, high half, low half: RFC 4303, Section 2.2.1; RFC 4106, Section 5
	align uint8     // what payload and trailer are padded to
	esn   bool
	// seq is the number of the last packet sealed. RFC 4303, Section 2.2: it MUST be present and starts at 0.
	seq  uint64
	mask uint64    // what counts: its IV is the sequence number XOR this
	box  suite.Box // by value: what a packet touches lies together
	ivs  *ivs      // CBC; nil for what counts, or has none
}

// ivs makes IVs from the sequence number.
type ivs struct {
	block cipher.Block
	iv    [aes.BlockSize]byte
}

// NewSealer makes the outbound SA spi: see Sealer.Init.
func NewSealer(spi uint32, s suite.ESP, keyE, keyA secret.Key, seed io.Reader) (*Sealer, error) {
	o := &Sealer{}
	if err := o.Init(spi, s, keyE, keyA, seed); err != nil {
		return nil, err
	}
	return o, nil
}

// Init makes o, which is part of its SA and zero, the outbound SA spi. keyE has the salt of an AEAD behind it. seed makes the IVs of
// CBC unpredictable, and those that count begin elsewhere in each SA: a manual key may be used again by the next one (RFC 3686, Section
// 7 and RFC 4106, Section 10 warn of it, and a PF_KEY client may not know). It is read here only. A Sealer is made once in its life:
// its counter never begins again.
func (o *Sealer) Init(spi uint32, s suite.ESP, keyE, keyA secret.Key, seed io.Reader) error {
	if spi < MinSPI {
		return fmt.Errorf("SPI: %d, expected at least %d", spi, MinSPI)
	}
	if o.SPI() != 0 {
		return errMade
	}
	box, err := suite.NewBox(s.Encr, s.EncrBits, s.Integ, keyE, keyA)
	if err != nil {
		return err
	}
	var gen *ivs
	var mask uint64
	switch {
	case !box.CounterIV():
		gen, err = newIVs(seed)
	case box.IVLen() > 0:
		mask, err = newMask(seed)
	}
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(o.aad[:], spi)
	o.esn, o.align, o.box, o.mask, o.ivs = s.ESN, alignOf(box), *box, mask, gen
	return nil
}

// alignOf is what payload and trailer are padded to.
func alignOf(box *suite.Box) uint8 { return uint8(max(box.Align(), wordLen)) }

// newIVs keys the generator of IVs: AES under a key of its own, of the sequence number. No value comes twice, and
// nobody without the key predicts one (RFC 3602, Section 3; NIST SP 800-38A, Appendix C).
func newIVs(seed io.Reader) (*ivs, error) {
	var key [16]byte
	if _, err := io.ReadFull(seed, key[:]); err != nil {
		return nil, fmt.Errorf("seed of the IVs: %w", err)
	}
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return &ivs{block: block}, nil
}

// newMask: XOR with a constant keeps the IVs of a counter apart from each other. Of two SAs that share a key they stay apart but for
// one chance in 2^32 or less.
func newMask(seed io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(seed, b[:]); err != nil {
		return 0, fmt.Errorf("seed of the IVs: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// Touch reads one word of each line of memory that Seal will need, and returns their sum. Many SAs of which a batch needs each once
// are waited for together this way. The caller need not have the SA's lock: the words are constant.
func (o *Sealer) Touch() uint64 { return uint64(o.align) + o.box.Touch() }

// SPI is the SA's.
func (o *Sealer) SPI() uint32 { return binary.BigEndian.Uint32(o.aad[:]) }

// See is suite.Box.See.
func (o *Sealer) See(view suite.View) { o.box.See(view) }

// Seq is the number of the last packet sealed.
func (o *Sealer) Seq() uint64 { return o.seq }

// Head is how many octets a packet has in front of its payload.
func (o *Sealer) Head() int { return HeaderLen + o.box.IVLen() }

// Size is the size in octets of the ESP packet around a payload of n octets.
func (o *Sealer) Size(n int) int {
	return o.Head() + (n+trailerLen+int(o.align)-1)&^(int(o.align)-1) + o.box.ICVLen()
}

// MaxPayload is the largest payload, in octets, whose ESP packet fits room octets; negative: none does.
func (o *Sealer) MaxPayload(room int) int {
	align := int(o.align)
	body := room - o.Head() - o.box.ICVLen()
	if body < align {
		return -1
	}
	return body&^(align-1) - trailerLen
}

// Seal makes the ESP packet around buf[Head():Head()+n] in place and returns its size, Size(n). The payload may be longer
// than the inner packet in front: the rest is traffic flow confidentiality padding (RFC 4303, Section 2.7).
func (o *Sealer) Seal(buf []byte, n int, next uint8) (int, error) {
	size, head := o.Size(n), o.Head()
	msg := buf[:size:size]
	// RFC 4303, Section 3.3.3: with anti-replay the sender MUST NOT send a packet whose number would cycle: a hard stop,
	// not a wrap. Receivers' windows are not negotiated, so every SA is taken to have one.
	seq := o.seq
	if seq >= o.last() {
		return 0, ErrExhausted
	}
	seq++
	o.seq = seq

	// RFC 4303, Section 3.3.2.1: padding, trailer, encryption, in this order.
	tail := msg[head+n : size-o.box.ICVLen()]
	pad := len(tail) - trailerLen
	for i := range pad {
		tail[i] = byte(i + 1) // RFC 4303, Section 2.4: padding octets are 1, 2, 3, …
	}
	tail[pad], tail[pad+1] = byte(pad), next

	copy(msg, o.aad[:4])
	binary.BigEndian.PutUint32(msg[4:], uint32(seq)) // RFC 4303, Section 2.2.1: only the low half is sent
	o.putIV(msg[HeaderLen:head], seq)
	aad, mac := o.extend(seq)
	o.box.Seal(msg, HeaderLen, aad, mac)
	return size, nil
}

// last is the last number that may be used.
func (o *Sealer) last() uint64 {
	if o.esn {
		return maxESN
	}
	return maxSeq
}

// putIV: a counter for an AEAD (RFC 4106, Section 3.1: unique, never random) and CTR (RFC 3686, Section 3.1), unpredictable for
// CBC; nothing for NULL. The IV of 3DES is half of what is made, which may come twice, and need only be unpredictable.
func (o *Sealer) putIV(iv []byte, seq uint64) {
	switch {
	case o.ivs != nil:
		b := o.ivs.iv[:]
		clear(b)
		binary.BigEndian.PutUint64(b[8:], seq)
		o.ivs.block.Encrypt(b, b)
		copy(iv, b)
	case len(iv) > 0:
		binary.BigEndian.PutUint64(iv, seq^o.mask)
	}
}

// extend returns what the ICV covers beside the packet with extended sequence numbers: the AAD of an AEAD (RFC 4106,
// Section 5) or what is appended for a MAC (RFC 4303, Section 2.2.1). Both nil without.
func (o *Sealer) extend(seq uint64) (aad, mac []byte) {
	if !o.esn {
		return nil, nil
	}
	return extendSeq(&o.aad, seq, o.box.AEAD())
}

// extendSeq puts a number behind the SPI that b begins with.
func extendSeq(b *[12]byte, seq uint64, aead bool) (aad, mac []byte) {
	binary.BigEndian.PutUint64(b[4:], seq)
	if aead {
		return b[:], nil
	}
	return nil, b[4:8]
}

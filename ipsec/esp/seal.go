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
	"sync/atomic"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// Sealer is one outbound SA. It is not safe for concurrent use (its SA guards it), but Seq is. It must not be copied:
// a second counter under one key would repeat a nonce.
type Sealer struct {
	_   [0]func() // not comparable, not copied by accident
	spi uint32
	// seq is the number of the last packet sealed. RFC 4303, Section 2.2: it MUST be present and starts at 0.
	seq   atomic.Uint64
	last  uint64 // the last number that may be used
	esn   bool
	box   suite.Box    // by value: what a packet touches lies together
	ivs   cipher.Block // CBC: makes IVs from the sequence number; nil for what counts, or has none
	mask  uint64       // what counts: its IV is the sequence number XOR this
	aad   [12]byte     // SPI, high half, low half: RFC 4303, Section 2.2.1; RFC 4106, Section 5
	iv    [aes.BlockSize]byte
	head  int // octets in front of the payload
	icv   int
	align int
}

// NewSealer makes the outbound SA spi. keyE has the salt of an AEAD behind it. seed makes the IVs of CBC unpredictable,
// and those that count begin elsewhere in each SA: a manual key may be used again by the next one (RFC 3686, Section 7 and RFC 4106,
// Section 10 warn of it, and a PF_KEY client may not know). It is read here only.
func NewSealer(spi uint32, s suite.ESP, keyE, keyA secret.Key, seed io.Reader) (*Sealer, error) {
	if spi < MinSPI {
		return nil, fmt.Errorf("SPI: %d, expected at least %d", spi, MinSPI)
	}
	box, err := suite.NewBox(s.Encr, s.EncrBits, s.Integ, keyE, keyA)
	if err != nil {
		return nil, err
	}
	o := &Sealer{spi: spi, last: maxSeq, esn: s.ESN, box: *box, head: HeaderLen + box.IVLen(), icv: box.ICVLen(), align: max(box.Align(), wordLen)}
	if s.ESN {
		o.last = maxESN
	}
	switch {
	case !box.CounterIV():
		o.ivs, err = newIVs(seed)
	case box.IVLen() > 0:
		o.mask, err = newMask(seed)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// newIVs keys the generator of IVs: AES under a key of its own, of the sequence number. No value comes twice, and
// nobody without the key predicts one (RFC 3602, Section 3; NIST SP 800-38A, Appendix C).
func newIVs(seed io.Reader) (cipher.Block, error) {
	var key [16]byte
	if _, err := io.ReadFull(seed, key[:]); err != nil {
		return nil, fmt.Errorf("seed of the IVs: %w", err)
	}
	defer clear(key[:])
	return aes.NewCipher(key[:])
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
// are waited for together this way. The caller need not have the SA's lock: the words are constant or atomic.
func (o *Sealer) Touch() uint64 { return o.seq.Load() + uint64(o.align) + o.box.Touch() }

// SPI is the SA's.
func (o *Sealer) SPI() uint32 { return o.spi }

// Seq is the number of the last packet sealed. Any goroutine may call it.
func (o *Sealer) Seq() uint64 { return o.seq.Load() }

// Head is how many octets a packet has in front of its payload.
func (o *Sealer) Head() int { return o.head }

// Size is the size in octets of the ESP packet around a payload of n octets.
func (o *Sealer) Size(n int) int {
	return o.head + (n+trailerLen+o.align-1)/o.align*o.align + o.icv
}

// MaxPayload is the largest payload, in octets, whose ESP packet fits room octets; negative: none does.
func (o *Sealer) MaxPayload(room int) int {
	body := room - o.head - o.icv
	if body < o.align {
		return -1
	}
	return body/o.align*o.align - trailerLen
}

// Seal makes the ESP packet around buf[Head():Head()+n] in place and returns its size, Size(n). The payload may be longer
// than the inner packet in front: the rest is traffic flow confidentiality padding (RFC 4303, Section 2.7).
func (o *Sealer) Seal(buf []byte, n int, next uint8) (int, error) {
	size := o.Size(n)
	msg := buf[:size:size]
	// RFC 4303, Section 3.3.3: with anti-replay the sender MUST NOT send a packet whose number would cycle: a hard stop,
	// not a wrap. Receivers' windows are not negotiated, so every SA is taken to have one.
	seq := o.seq.Load()
	if seq >= o.last {
		return 0, ErrExhausted
	}
	seq++
	o.seq.Store(seq)

	// RFC 4303, Section 3.3.2.1: padding, trailer, encryption, in this order.
	pad := size - o.head - o.icv - trailerLen - n
	tail := msg[o.head+n : size-o.icv]
	for i := range pad {
		tail[i] = byte(i + 1) // RFC 4303, Section 2.4: padding octets are 1, 2, 3, …
	}
	tail[pad], tail[pad+1] = byte(pad), next

	binary.BigEndian.PutUint32(msg, o.spi)
	binary.BigEndian.PutUint32(msg[4:], uint32(seq)) // RFC 4303, Section 2.2.1: only the low half is sent
	o.putIV(msg[HeaderLen:o.head], seq)
	aad, mac := o.extend(seq)
	o.box.Seal(msg, HeaderLen, aad, mac)
	return size, nil
}

// putIV: a counter for an AEAD (RFC 4106, Section 3.1: unique, never random) and CTR (RFC 3686, Section 3.1), unpredictable for
// CBC; nothing for NULL. The IV of 3DES is half of what is made, which may come twice, and need only be unpredictable.
func (o *Sealer) putIV(iv []byte, seq uint64) {
	switch {
	case o.ivs != nil:
		clear(o.iv[:])
		binary.BigEndian.PutUint64(o.iv[8:], seq)
		o.ivs.Encrypt(o.iv[:], o.iv[:])
		copy(iv, o.iv[:])
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
	return extendSeq(&o.aad, o.spi, seq, o.box.AEAD())
}

func extendSeq(b *[12]byte, spi uint32, seq uint64, aead bool) (aad, mac []byte) {
	binary.BigEndian.PutUint32(b[:], spi)
	binary.BigEndian.PutUint64(b[4:], seq)
	if aead {
		return b[:], nil
	}
	return nil, b[4:8]
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inbound processing: RFC 4303, Section 3.4. The packet is attacker controlled. Order: length, window (asked), ICV,
// decryption, window (told), padding: nothing of the SA changes before the ICV was verified.

package esp

import (
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/replay"
)

// Opener is one inbound SA. It is not safe for concurrent use: its SA guards it.
type Opener struct {
	aad    [12]byte // see Sealer
	align  uint8
	esn    bool
	window replay.Window // these two by value: what a packet touches lies together
	box    suite.Box
}

// Opened is an authentic packet.
type Opened struct {
	// Payload lies in the packet that was opened, Head octets behind its beginning.
	Payload []byte
	// Next is the next header.
	Next uint8
	// Newest is set if its sequence number is above those of all packets before: only then may its source say anything
	// about where the peer is (RFC 7296, Section 2.23). It is set as well where err is ErrPadding.
	Newest bool
}

// NewOpener makes the inbound SA spi with a replay window of that many packets.
func NewOpener(spi uint32, s suite.ESP, keyE, keyA secret.Key, window int) (*Opener, error) {
	o := &Opener{}
	if err := o.Init(spi, s, keyE, keyA, window); err != nil {
		return nil, err
	}
	return o, nil
}

// Init makes o, which is part of its SA and zero, the inbound SA spi with a replay window of that many packets. An Opener is made once
// in its life: its window never begins again.
func (o *Opener) Init(spi uint32, s suite.ESP, keyE, keyA secret.Key, window int) error {
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
	w, err := replay.New(window, s.ESN)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(o.aad[:], spi)
	o.esn, o.align, o.box, o.window = s.ESN, alignOf(box), *box, *w
	return nil
}

// Touch is what Sealer.Touch is, for Open.
func (o *Opener) Touch() uint64 {
	return uint64(o.align) + uint64(o.window.Size()) + o.box.Touch()
}

// SPI is the SA's.
func (o *Opener) SPI() uint32 { return binary.BigEndian.Uint32(o.aad[:]) }

// See is suite.Box.See.
func (o *Opener) See(view suite.View) { o.box.See(view) }

// Head is how many octets a packet has in front of its payload.
func (o *Opener) Head() int { return HeaderLen + o.box.IVLen() }

// Top is the highest sequence number received.
func (o *Opener) Top() uint64 { return o.window.Top() }

// Open opens pkt in place. After ErrShort and ErrReplay pkt is unchanged.
func (o *Opener) Open(pkt []byte) (Opened, error) {
	head := o.Head()
	body := len(pkt) - head - o.box.ICVLen()
	if body < trailerLen || body&(int(o.align)-1) != 0 { // a power of two: of a block or a word
		return Opened{}, ErrShort
	}
	if binary.BigEndian.Uint32(pkt) != o.SPI() {
		return Opened{}, ErrICV
	}
	// RFC 4303, Section 3.4.3: the window is asked first, so that replays cost no decryption, but MUST NOT be updated
	// before the ICV was verified.
	seq, ok := o.window.Extend(binary.BigEndian.Uint32(pkt[4:]))
	if !ok || !o.window.Check(seq) {
		return Opened{}, ErrReplay
	}
	// RFC 4303, Section 3.4.4: the ICV is verified before anything that was decrypted is used; a packet that fails MUST
	// be discarded.
	var aad, mac []byte
	if o.esn {
		aad, mac = extendSeq(&o.aad, seq, o.box.AEAD())
	}
	if err := o.box.Open(pkt, HeaderLen, aad, mac); err != nil {
		return Opened{}, ErrICV
	}
	fresh, newest := o.window.Commit(seq)
	if !fresh {
		return Opened{}, ErrReplay
	}
	return o.trailer(pkt[head:head+body], newest)
}

// trailer takes the padding off. RFC 4303, Section 2.4: the receiver SHOULD inspect the padding.
func (o *Opener) trailer(body []byte, newest bool) (Opened, error) {
	pad, next := int(body[len(body)-2]), body[len(body)-1]
	n := len(body) - trailerLen - pad
	if n < 0 {
		return Opened{Newest: newest, Next: next}, ErrPadding
	}
	for i, b := range body[n : n+pad] {
		if int(b) != i+1 {
			return Opened{Newest: newest, Next: next}, ErrPadding
		}
	}
	return Opened{Payload: body[:n], Next: next, Newest: newest}, nil
}

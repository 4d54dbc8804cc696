// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Security Association payload (RFC 7296, Section 3.3): proposals of transforms. Bounded by MaxProposals and
// MaxTransforms, so that a peer's offer costs bounded work.

package ikev2msg

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

const (
	// MaxProposals and MaxTransforms bound an offer: several times what any implementation sends.
	MaxProposals  = 64
	MaxTransforms = 255

	attrKeyLength = 14
)

// SA is the Security Association payload.
type SA struct{ Proposals []Proposal }

// Proposal is one proposal substructure.
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte
	Transforms []Transform
}

// Transform is one transform substructure. KeyLen is the Key Length attribute in bits, -1 where there is none.
// Unknown is set where it has an attribute other than that: such a transform can only be skipped
// (RFC 7296, Section 3.3.6); Attrs are all its attributes as they came.
type Transform struct {
	Type    TransformType
	ID      uint16
	KeyLen  int
	Unknown bool
	Attrs   []byte
}

// Type implements Payload.
func (*SA) Type() PayloadType { return TypeSA }

func (*SA) summary() string { return "SA" }

func parseSA(b []byte) (*SA, error) {
	sa := &SA{}
	for more := true; more; {
		if len(sa.Proposals) == MaxProposals {
			return nil, fmt.Errorf("more than %d proposals", MaxProposals)
		}
		r := wire.NewReader(b)
		last := r.U8("proposal: last substruc")
		r.U8("proposal: reserved")
		n := int(r.U16("proposal: length"))
		if r.Err() == nil && (n < 8 || n > len(b)) {
			return nil, fmt.Errorf("proposal: length %d, expected 8 to %d", n, len(b))
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
		p, err := parseProposal(b[4:n])
		if err != nil {
			return nil, err
		}
		sa.Proposals = append(sa.Proposals, p)
		b = b[n:]
		switch last {
		case 0:
			more = false
		case 2:
		default:
			return nil, fmt.Errorf("proposal: last substruc %d, expected 0 or 2", last)
		}
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d octets behind the last proposal", len(b))
	}
	return sa, sa.checkNumbers()
}

// checkNumbers: the first proposal is 1, and each is one more than the one before; the one proposal of an answer has
// the number of the offer's proposal that it accepts (RFC 7296, Section 3.3.1).
func (sa *SA) checkNumbers() error {
	if len(sa.Proposals) == 1 && sa.Proposals[0].Number != 0 {
		return nil
	}
	for i, p := range sa.Proposals {
		if int(p.Number) != i+1 {
			return fmt.Errorf("proposal number %d, expected %d", p.Number, i+1)
		}
	}
	return nil
}

func parseProposal(b []byte) (Proposal, error) {
	r := wire.NewReader(b)
	p := Proposal{Number: r.U8("proposal number"), Protocol: Protocol(r.U8("protocol"))}
	spi, count := int(r.U8("SPI size")), int(r.U8("number of transforms"))
	p.SPI = r.Bytes("SPI", spi)
	if r.Err() != nil {
		return p, r.Err()
	}
	if len(p.SPI) == 0 {
		p.SPI = nil
	}
	body := r.Rest()
	for i := range count {
		t, rest, err := parseTransform(body, i == count-1)
		if err != nil {
			return p, err
		}
		p.Transforms = append(p.Transforms, t)
		body = rest
	}
	if len(body) > 0 {
		return p, fmt.Errorf("proposal %d: %d octets behind its %d transforms", p.Number, len(body), count)
	}
	return p, nil
}

func parseTransform(b []byte, isLast bool) (Transform, []byte, error) {
	r := wire.NewReader(b)
	last := r.U8("transform: last substruc")
	r.U8("transform: reserved")
	n := int(r.U16("transform: length"))
	t := Transform{Type: TransformType(r.U8("transform type")), KeyLen: -1}
	r.U8("transform: reserved")
	t.ID = r.U16("transform ID")
	if r.Err() != nil {
		return t, nil, r.Err()
	}
	if n < 8 || n > len(b) {
		return t, nil, fmt.Errorf("transform: length %d, expected 8 to %d", n, len(b))
	}
	if want := uint8(3); isLast && last != 0 || !isLast && last != want {
		return t, nil, fmt.Errorf("transform: last substruc %d does not fit the number of transforms", last)
	}
	if n > 8 {
		t.Attrs = b[8:n:n]
	}
	return t, b[n:], t.readAttrs()
}

// readAttrs finds the Key Length (RFC 7296, Section 3.3.5).
func (t *Transform) readAttrs() error {
	r := wire.NewReader(t.Attrs)
	for r.Len() > 0 && r.Err() == nil {
		kind := r.U16("attribute type")
		value := r.U16("attribute value")
		switch {
		case kind == attrKeyLength: // with the AF bit clear it would be variable length
			r.Bytes("attribute", int(value))
			t.Unknown = true
		case kind == attrKeyLength|0x8000:
			if t.KeyLen >= 0 {
				return errors.New("transform: two Key Length attributes")
			}
			t.KeyLen = int(value)
		case kind&0x8000 != 0:
			t.Unknown = true
		default:
			r.Bytes("attribute", int(value))
			t.Unknown = true
		}
	}
	return r.Err()
}

func (sa *SA) append(dst []byte) []byte {
	for i, p := range sa.Proposals {
		last := uint8(2)
		if i == len(sa.Proposals)-1 {
			last = 0
		}
		at := len(dst)
		dst = append(dst, last, 0, 0, 0, p.Number, uint8(p.Protocol), uint8(len(p.SPI)), uint8(len(p.Transforms)))
		dst = append(dst, p.SPI...)
		for j, t := range p.Transforms {
			dst = t.append(dst, j == len(p.Transforms)-1)
		}
		binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	}
	return dst
}

func (t Transform) append(dst []byte, isLast bool) []byte {
	last := uint8(3)
	if isLast {
		last = 0
	}
	attrs := t.Attrs
	if attrs == nil && t.KeyLen >= 0 {
		attrs = []byte{attrKeyLength>>8 | 0x80, attrKeyLength, byte(t.KeyLen >> 8), byte(t.KeyLen)}
	}
	n := 8 + len(attrs)
	dst = append(dst, last, 0, byte(n>>8), byte(n), uint8(t.Type), 0, byte(t.ID>>8), byte(t.ID))
	return append(dst, attrs...)
}

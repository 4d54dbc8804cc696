// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Security Association payload (RFC 2408, Sections 3.4 to 3.6; RFC 2407, Section 4.6.1): the IPsec DOI, the situation
// "identity only", and proposals of transforms. What a transform means is Transform.Phase1's and Phase2's to say: one that
// means nothing is not chosen and spoils no other. The number of proposals is bounded, and that of the transforms
// of all of them: an offer is read before anything is known of who sent it.

package ikev1msg

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

const (
	// MaxProposals bounds an offer: several times what any implementation sends.
	MaxProposals = 64
	// MaxTransforms is what the octet that counts the transforms of a proposal can say; clients that are told to find out
	// what a gateway takes send more than a hundred.
	MaxTransforms = 255
	// MaxOffer bounds the transforms of all proposals together: several times what those clients send.
	MaxOffer = 512

	saHeader       = 8 // DOI and situation
	proposalHeader = 8 // and of a transform
)

// SA is the Security Association payload. Proposals with one number are to be accepted together (RFC 2408, Section 4.2).
type SA struct{ Proposals []Proposal }

// Proposal is one proposal. Numbers do not fall from one to the next; the first may be 0: peers begin at either.
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte // of AH and ESP four octets; of ISAKMP it means nothing and may be empty
	Transforms []Transform
}

// Transform is one transform. Its numbers are the sender's and may begin at 0; ID is an ESP, AH or IPComp transform, or KeyIKE.
type Transform struct {
	Number     uint8
	ID         uint8
	Attributes []Attribute
}

// Type implements Payload.
func (*SA) Type() PayloadType { return TypeSA }

func (*SA) summary() string { return "SA" }

func parseSA(b []byte) (*SA, error) {
	r := wire.NewReader(b)
	doi, situation := r.U32("DOI"), r.U32("situation")
	switch {
	case r.Err() != nil:
		return nil, r.Err()
	case doi != DOIIPsec:
		return nil, fmt.Errorf("DOI %d, expected %d", doi, DOIIPsec)
	case situation != SituationIdentityOnly: // labels would follow, or bits that nobody assigned
		return nil, fmt.Errorf("situation %08x, expected %08x (identity only)", situation, SituationIdentityOnly)
	}
	sa, b, total := &SA{}, b[saHeader:], 0
	for more := true; more; {
		if len(sa.Proposals) == MaxProposals {
			return nil, fmt.Errorf("more than %d proposals", MaxProposals)
		}
		body, rest, last, err := substructure("proposal", b, TypeProposal)
		if err != nil {
			return nil, err
		}
		p, err := parseProposal(body, MaxOffer-total)
		if err != nil {
			return nil, err
		}
		total += len(p.Transforms)
		if n := len(sa.Proposals); n > 0 && p.Number < sa.Proposals[n-1].Number {
			return nil, fmt.Errorf("proposal number %d, expected %d or more", p.Number, sa.Proposals[n-1].Number)
		}
		sa.Proposals, b, more = append(sa.Proposals, p), rest, !last
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d octets behind the last proposal", len(b))
	}
	return sa, nil
}

// substructure reads one proposal or transform: a payload whose next one is of the same type or none.
func substructure(what string, b []byte, t PayloadType) (body, rest []byte, last bool, err error) {
	r := wire.NewReader(b)
	next, reserved, n := PayloadType(r.U8(what+": next payload")), r.U8(what+": reserved"), int(r.U16(what+": length"))
	switch {
	case r.Err() != nil:
		err = r.Err()
	case next != t && next != TypeNone:
		err = fmt.Errorf("%s: next payload %d, expected %d or 0", what, uint8(next), uint8(t))
	case reserved != 0:
		err = fmt.Errorf("%s: reserved octet not zero", what)
	case n < proposalHeader || n > len(b):
		err = fmt.Errorf("%s: length %d, expected %d to %d", what, n, proposalHeader, len(b))
	}
	if err != nil {
		return nil, nil, false, err
	}
	return b[4:n], b[n:], next == TypeNone, nil
}

// parseProposal reads a proposal of at most room transforms.
func parseProposal(b []byte, room int) (Proposal, error) {
	r := wire.NewReader(b)
	p := Proposal{Number: r.U8("proposal number"), Protocol: Protocol(r.U8("protocol"))}
	spi, count := int(r.U8("SPI size")), int(r.U8("number of transforms"))
	p.SPI = r.Bytes("SPI", spi)
	switch {
	case r.Err() != nil:
		return p, r.Err()
	case count == 0:
		return p, fmt.Errorf("proposal %d: no transforms, expected one or more", p.Number)
	case count > room:
		return p, fmt.Errorf("proposal %d: with its transforms the offer has more than %d", p.Number, MaxOffer)
	}
	if err := checkSPI(p.Protocol, spi); err != nil {
		return p, fmt.Errorf("proposal %d: %w", p.Number, err)
	}
	rest := r.Rest()
	for i := range count {
		body, behind, last, err := substructure("transform", rest, TypeTransform)
		if err != nil {
			return p, err
		}
		if last != (i == count-1) {
			return p, fmt.Errorf("proposal %d: transform %d of %d is not the last, or is", p.Number, i+1, count)
		}
		t, err := parseTransform(body)
		if err != nil {
			return p, err
		}
		p.Transforms, rest = append(p.Transforms, t), behind
	}
	if len(rest) > 0 {
		return p, fmt.Errorf("proposal %d: %d octets behind its %d transforms", p.Number, len(rest), count)
	}
	return p, nil
}

func parseTransform(b []byte) (Transform, error) {
	r := wire.NewReader(b)
	t := Transform{Number: r.U8("transform number"), ID: r.U8("transform ID")}
	if r.U16("transform: reserved") != 0 {
		return t, errors.New("transform: reserved octets not zero")
	}
	list, err := parseAttributes(r.Rest())
	if err != nil {
		return t, fmt.Errorf("transform %d: %w", t.Number, err)
	}
	t.Attributes = list
	return t, r.Err()
}

func (sa *SA) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, DOIIPsec)
	dst = binary.BigEndian.AppendUint32(dst, SituationIdentityOnly)
	for i, p := range sa.Proposals {
		dst = p.append(dst, i == len(sa.Proposals)-1)
	}
	return dst
}

// Body is the payload without its generic header: SAi_b of RFC 2409, Section 5, of one's own message.
func (sa *SA) Body() []byte { return sa.append(nil) }

func (p Proposal) append(dst []byte, last bool) []byte {
	at := len(dst)
	dst = append(dst, uint8(nextOf(last, TypeProposal)), 0, 0, 0, p.Number, uint8(p.Protocol), uint8(len(p.SPI)), uint8(len(p.Transforms)))
	dst = append(dst, p.SPI...)
	for i, t := range p.Transforms {
		dst = t.append(dst, i == len(p.Transforms)-1)
	}
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

func (t Transform) append(dst []byte, last bool) []byte {
	at := len(dst)
	dst = append(dst, uint8(nextOf(last, TypeTransform)), 0, 0, 0, t.Number, t.ID, 0, 0)
	dst = appendAttributes(dst, t.Attributes)
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

func nextOf(last bool, t PayloadType) PayloadType {
	if last {
		return TypeNone
	}
	return t
}

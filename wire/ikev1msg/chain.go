// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Chains of payloads (RFC 2408, Section 3.2), in the clear and decrypted, with the octets that they were read from: the
// hashes of IKEv1 cover octets of the peer's messages (SAi_b, IDii_b, all that follows HASH), not what one would write.

package ikev1msg

import (
	"errors"
	"fmt"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// MaxPadding bounds what follows the last payload of a decrypted message, in octets: a length octet counts no more than
// 255 before itself.
const MaxPadding = 256

// Chain is a list of payloads. Of one that was parsed Body, After and Padding give its octets.
type Chain struct {
	Payloads []Payload

	octets []byte // the payloads', then the padding
	ends   []int  // of each payload
}

// ParseDecrypted reads what an encrypted message contained; first is the NextPayload of its header.
//
// The last payload may be followed by padding (RFC 2409, Appendix B: to the block size, zeros, the length not in any field).
//
// Deviation: peers pad with any octets, with or without a last one that counts the others, by more than one block, or not
// at all, so that up to MaxPadding octets of any value are taken. They mean nothing: no HASH covers them, and a sender
// writes zeros.
func ParseDecrypted(first PayloadType, b []byte) (*Chain, error) {
	if first == TypeNone {
		return nil, errors.New("header: next payload 0, expected a payload")
	}
	c, err := parseChain(first, b)
	if err != nil {
		return nil, err
	}
	if n := len(c.Padding()); n > MaxPadding {
		return nil, fmt.Errorf("padding: %d octets, expected at most %d", n, MaxPadding)
	}
	for _, p := range c.Payloads {
		if p.Type() == TypeFragment {
			return nil, errors.New("a fragment in an encrypted message")
		}
	}
	return c, nil
}

// parseChain reads payloads; what follows the last is the padding.
func parseChain(first PayloadType, b []byte) (*Chain, error) {
	generic, _, err := isakmp.WalkPrefix(uint8(first), b)
	if err != nil {
		return nil, err
	}
	c := &Chain{Payloads: make([]Payload, len(generic)), octets: b, ends: make([]int, len(generic))}
	for i, g := range generic {
		if c.Payloads[i], err = parsePayload(g, len(generic)); err != nil {
			return nil, err
		}
		c.ends[i] = g.Offset + len(g.Body)
	}
	return c, nil
}

func parsePayload(g isakmp.Generic, of int) (Payload, error) {
	t := PayloadType(g.Type)
	if g.Critical || g.Reserved != 0 {
		return nil, fmt.Errorf("%s: reserved octet not zero", t)
	}
	p, err := parseBody(t, g.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	if t == TypeFragment && of > 1 { // MS-IKEE, Section 3.3.5.3
		return nil, fmt.Errorf("%s: one of %d payloads, expected it alone", t, of)
	}
	return p, nil
}

func parseBody(t PayloadType, b []byte) (Payload, error) {
	switch t {
	case TypeSA:
		return parseSA(b)
	case TypeKE:
		return parseKE(b)
	case TypeID:
		return parseID(b)
	case TypeCert:
		return parseCert(b)
	case TypeCertReq:
		return parseCertReq(b)
	case TypeHash:
		return parseHash(b)
	case TypeSig:
		return parseSig(b)
	case TypeNonce:
		return parseNonce(b)
	case TypeNotify:
		return parseNotify(b)
	case TypeDelete:
		return parseDelete(b)
	case TypeVendor:
		return &Vendor{Data: b}, nil
	case TypeConfig:
		return parseConfig(b)
	case TypeNATD, TypeNATD15, TypeNATD130:
		return &NATD{Num: t, Data: b}, nil
	case TypeNATOA, TypeNATOA16, TypeNATOA131:
		return parseNATOA(t, b)
	case TypeFragment:
		return parseFragment(b)
	}
	if !t.skipped() {
		return nil, &TypeError{Type: t}
	}
	return &Unknown{Num: t, Body: b}, nil
}

// String is the payloads by name, without what is in them.
func (c Chain) String() string { return SummaryOf(c.Payloads) }

// GoString is the payloads by name, without what is in them.
func (c Chain) GoString() string { return SummaryOf(c.Payloads) }

// Body is the body of payload i, without its generic header, as it came: SAi_b, IDii_b and IDir_b of RFC 2409, Section 5.
func (c *Chain) Body(i int) []byte {
	from := isakmp.GenericLen
	if i > 0 {
		from += c.ends[i-1]
	}
	return c.octets[from:c.ends[i]:c.ends[i]]
}

// After is what follows payload i up to the end of the last one, generic headers included and padding not: what a HASH
// payload i covers of a message (RFC 2409, Sections 5.5 and 5.7).
func (c *Chain) After(i int) []byte {
	end := c.end()
	return c.octets[c.ends[i]:end:end]
}

// Padding is what follows the last payload.
func (c *Chain) Padding() []byte { return c.octets[c.end():] }

func (c *Chain) end() int {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// AppendPayloads appends a chain and returns the type of its first payload.
func AppendPayloads(dst []byte, payloads []Payload) (first PayloadType, out []byte) {
	for i, p := range payloads {
		next := TypeNone
		if i+1 < len(payloads) {
			next = payloads[i+1].Type()
		}
		at := len(dst)
		dst = isakmp.AppendGeneric(dst, uint8(next), false, 0)
		dst = p.append(dst)
		n := len(dst) - at
		dst[at+2], dst[at+3] = byte(n>>8), byte(n)
	}
	if len(payloads) > 0 {
		first = payloads[0].Type()
	}
	return first, dst
}

// All gives the payloads of one kind, in their order: All[*Vendor](m.Payloads).
func All[P Payload](payloads []Payload) []P {
	var list []P
	for _, p := range payloads {
		if p, ok := p.(P); ok {
			list = append(list, p)
		}
	}
	return list
}

// Unknown is a payload of a type that has no codec; see [PayloadType].
type Unknown struct {
	Num  PayloadType
	Body []byte
}

// Type implements Payload.
func (p *Unknown) Type() PayloadType { return p.Num }

func (p *Unknown) summary() string { return p.Num.String() }

func (p *Unknown) append(dst []byte) []byte { return append(dst, p.Body...) }

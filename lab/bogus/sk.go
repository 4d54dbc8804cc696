// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Protected messages: SK (RFC 7296, Section 3.14) and SKF (RFC 7383, Section 2.5), with everything that can be wrong.

package bogus

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Sealing says how a message is protected. The zero value is as it should be.
type Sealing struct {
	// Clear sends the payloads without protection.
	Clear bool
	// Before and After are payloads in clear around SK.
	Before, After []Payload
	// PadLen, where not nil, is written as the pad length; Pad are extra octets of padding, a multiple of the block.
	PadLen *uint8
	Pad    int
	// Text replaces the whole plaintext.
	Text []byte
	// OmitIV cuts the IV out; Cut leaves so many octets of the body only, where not nil.
	OmitIV bool
	Cut    *int
	// FlipICV flips a bit of the ICV, FlipText one of the ciphertext.
	FlipICV, FlipText bool
	// Inner, where not nil, is written as the type of the first inner payload.
	Inner *uint8
	// FragmentSize splits the plaintext into fragments of so many octets; 0: no fragments.
	FragmentSize int
	// Number changes what fragment i of n (from 1) says of itself; next is the first inner type it names.
	Number func(i, n int) (number, total uint16, next uint8)
}

// seal returns the datagrams of m, without markers.
func (k *Keys) seal(m *Message, initiator bool, o Sealing) [][]byte {
	b := k.responder
	if initiator {
		b = k.initiator
	}
	if o.Clear {
		return [][]byte{m.Append(nil)}
	}
	inner := First(m.Payloads, NoPayload)
	if o.Inner != nil {
		inner = *o.Inner
	}
	text := append(AppendChain(nil, m.Payloads, NoPayload), m.Trailer...)
	if o.Text != nil {
		text = o.Text
	}
	if o.FragmentSize == 0 {
		return [][]byte{b.sealOne(m, PayloadSK, inner, nil, text, o)}
	}
	n := max(1, (len(text)+o.FragmentSize-1)/o.FragmentSize)
	var out [][]byte
	for i := 1; i <= n; i++ {
		part := text[(i-1)*o.FragmentSize : min(len(text), i*o.FragmentSize)]
		number, total, next := uint16(i), uint16(n), inner
		if i > 1 {
			next = NoPayload
		}
		if o.Number != nil {
			number, total, next = o.Number(i, n)
		}
		head := binary.BigEndian.AppendUint16(nil, number)
		out = append(out, b.sealOne(m, PayloadSKF, next, binary.BigEndian.AppendUint16(head, total), part, o))
	}
	return out
}

// sealOne makes one datagram with an SK or SKF payload; head stands before the IV.
func (b *box) sealOne(m *Message, kind, inner uint8, head, text []byte, o Sealing) []byte {
	pad := (b.align() - (len(text)+1)%b.align()) % b.align()
	if o.Text == nil || len(o.Text) > 0 {
		pad += o.Pad
	}
	padLen := byte(pad)
	if o.PadLen != nil {
		padLen = *o.PadLen
	}
	text = append(append(append([]byte(nil), text...), make([]byte, pad)...), padLen)
	iv := make([]byte, b.ivLen())
	rand.Read(iv)
	sealed := len(iv) + len(text) + b.icvLen()
	after := AppendChain(nil, o.After, NoPayload)
	before := AppendChain(nil, o.Before, kind)
	total := HeaderLen + len(before) + 4 + len(head) + sealed + len(after)
	first := First(o.Before, kind)
	aad := append(m.appendHeader(nil, first, total), before...)
	next := inner
	if len(o.After) > 0 {
		next = o.After[0].Type
	}
	aad = append(aad, next, 0)
	aad = binary.BigEndian.AppendUint16(aad, uint16(4+len(head)+sealed))
	aad = append(aad, head...)
	body := b.seal(aad, iv, text)
	if o.FlipICV {
		body[len(body)-1] ^= 1
	}
	if o.FlipText {
		body[len(iv)] ^= 1
	}
	if o.OmitIV {
		body = body[len(iv):]
	}
	if o.Cut != nil {
		body = body[:min(*o.Cut, len(body))]
	}
	out := append(append(aad, body...), after...)
	if len(out) != total && m.Length == nil {
		// The cut message tells the truth about its lengths.
		binary.BigEndian.PutUint32(out[24:], uint32(len(out)))
		binary.BigEndian.PutUint16(out[HeaderLen+len(before)+2:], uint16(4+len(head)+len(body)))
	}
	return out
}

// open verifies a protected message and puts its inner payloads in place of SK. Fragments are returned as the part they
// carry, with their numbers.
func (k *Keys) open(m *Message, inner uint8, fromInitiator bool) (part []byte, number, total int, err error) {
	b := k.responder
	if fromInitiator {
		b = k.initiator
	}
	if len(m.Payloads) == 0 {
		return nil, 0, 0, errors.New("no payload")
	}
	p := m.Payloads[len(m.Payloads)-1]
	body, headLen := p.Body, 0
	switch p.Type {
	case PayloadSK:
	case PayloadSKF:
		if len(body) < 4 {
			return nil, 0, 0, errors.New("SKF is too short")
		}
		number, total, headLen = int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:])), 4
	default:
		return nil, 0, 0, fmt.Errorf("payload %d is not SK", p.Type)
	}
	at := len(m.Raw) - len(body) + headLen
	text, err := b.open(m.Raw[:at], m.Raw[at:])
	if err != nil {
		return nil, 0, 0, err
	}
	if len(text) == 0 || int(text[len(text)-1]) >= len(text) {
		return nil, 0, 0, errors.New("padding is longer than the text")
	}
	text = text[:len(text)-1-int(text[len(text)-1])]
	if p.Type == PayloadSKF {
		return text, number, total, nil
	}
	outer := m.Payloads[:len(m.Payloads)-1]
	list, _, err := ParseChain(inner, text)
	if err != nil {
		return nil, 0, 0, err
	}
	m.Payloads, m.Sealed = append(outer[:len(outer):len(outer)], list...), true
	return nil, 0, 0, nil
}

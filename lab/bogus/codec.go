// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The header and the chain of payloads (RFC 7296, Sections 3.1 and 3.2), written so that every field can lie.

package bogus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// HeaderLen is the length of the IKE header in octets.
const HeaderLen = 28

// Payload is one payload of a chain.
type Payload struct {
	Type uint8
	// Flags is the octet with the critical bit (0x80) and the reserved ones.
	Flags uint8
	Body  []byte
	// Lie has Claim written as the payload's length instead of the true one.
	Lie   bool
	Claim uint16
}

// Message is an IKE message: what was received and opened, or what is to be sent.
type Message struct {
	SPIi, SPIr uint64
	// Version is 0x20 unless a test changes it.
	Version  uint8
	Exchange uint8
	Flags    uint8
	ID       uint32
	Payloads []Payload
	// Next, where not nil, is written as the first payload's type; Length, where not nil, as the message's length.
	Next   *uint8
	Length *uint32
	// Trailer is appended behind the last payload, inside the length.
	Trailer []byte
	// Sealed says that a received message was protected and its integrity was right.
	Sealed bool
	// Raw are the octets of a received message, of the last fragment where there were several.
	Raw []byte
}

// Response reports whether the flag is set.
func (m *Message) Response() bool { return m.Flags&FlagResponse != 0 }

// Find returns the first payload of a type, nil where there is none.
func (m *Message) Find(kind uint8) *Payload {
	for i := range m.Payloads {
		if m.Payloads[i].Type == kind {
			return &m.Payloads[i]
		}
	}
	return nil
}

// Add appends payloads.
func (m *Message) Add(p ...Payload) { m.Payloads = append(m.Payloads, p...) }

// Omit removes every payload of a type.
func (m *Message) Omit(kind uint8) {
	m.Payloads = slices.DeleteFunc(m.Payloads, func(p Payload) bool { return p.Type == kind })
}

// Notify returns the first notify of a type.
func (m *Message) Notify(kind uint16) (Notify, bool) {
	for _, p := range m.Payloads {
		if n, err := ParseNotify(p.Body); p.Type == PayloadNotify && err == nil && n.Type == kind {
			return n, true
		}
	}
	return Notify{}, false
}

// Error returns the first notify that is an error (RFC 7296, Section 3.10.1: types below 16384), zero where there is none.
func (m *Message) Error() uint16 {
	for _, p := range m.Payloads {
		if n, err := ParseNotify(p.Body); p.Type == PayloadNotify && err == nil && n.Type < 16384 {
			return n.Type
		}
	}
	return 0
}

func (m *Message) String() string {
	kind := "request"
	if m.Response() {
		kind = "response"
	}
	text := fmt.Sprintf("exchange %d %s %d {", m.Exchange, kind, m.ID)
	for _, p := range m.Payloads {
		if n, err := ParseNotify(p.Body); p.Type == PayloadNotify && err == nil {
			text += fmt.Sprintf(" N(%d)", n.Type)
			continue
		}
		text += fmt.Sprintf(" %d", p.Type)
	}
	return text + " }"
}

// appendHeader writes the header of m with the first payload's type and the message's length.
func (m *Message) appendHeader(b []byte, next uint8, length int) []byte {
	if m.Next != nil {
		next = *m.Next
	}
	l := uint32(length)
	if m.Length != nil {
		l = *m.Length
	}
	b = binary.BigEndian.AppendUint64(b, m.SPIi)
	b = binary.BigEndian.AppendUint64(b, m.SPIr)
	b = append(b, next, m.Version, m.Exchange, m.Flags)
	b = binary.BigEndian.AppendUint32(b, m.ID)
	return binary.BigEndian.AppendUint32(b, l)
}

// Append writes m in clear.
func (m *Message) Append(b []byte) []byte {
	body := append(AppendChain(nil, m.Payloads, NoPayload), m.Trailer...)
	return append(m.appendHeader(b, First(m.Payloads, NoPayload), HeaderLen+len(body)), body...)
}

// First is the type that stands before a chain: its first payload's, or last where it is empty.
func First(list []Payload, last uint8) uint8 {
	if len(list) == 0 {
		return last
	}
	return list[0].Type
}

// AppendChain writes payloads one after the other; last stands as the next type in the last one.
func AppendChain(b []byte, list []Payload, last uint8) []byte {
	for i, p := range list {
		length := uint16(4 + len(p.Body))
		if p.Lie {
			length = p.Claim
		}
		b = append(b, First(list[i+1:], last), p.Flags)
		b = binary.BigEndian.AppendUint16(b, length)
		b = append(b, p.Body...)
	}
	return b
}

// ParseHeader reads the header alone; next is the first payload's type.
func ParseHeader(b []byte) (m *Message, next uint8, err error) {
	if len(b) < HeaderLen {
		return nil, 0, fmt.Errorf("message of %d octets", len(b))
	}
	m = &Message{
		SPIi: binary.BigEndian.Uint64(b), SPIr: binary.BigEndian.Uint64(b[8:]), Version: b[17],
		Exchange: b[18], Flags: b[19], ID: binary.BigEndian.Uint32(b[20:]), Raw: b,
	}
	if l := binary.BigEndian.Uint32(b[24:]); uint64(l) != uint64(len(b)) {
		return nil, 0, fmt.Errorf("length %d of a message of %d octets", l, len(b))
	}
	return m, b[16], nil
}

// Parse reads a message in clear. A chain that ends in SK or SKF leaves that payload in the list, unopened, with the type
// of the first inner payload in inner.
func Parse(b []byte) (m *Message, inner uint8, err error) {
	m, next, err := ParseHeader(b)
	if err != nil {
		return nil, 0, err
	}
	m.Payloads, inner, err = ParseChain(next, b[HeaderLen:])
	return m, inner, err
}

// ParseChain reads payloads until the chain ends.
func ParseChain(next uint8, b []byte) (list []Payload, inner uint8, err error) {
	for next != NoPayload {
		if len(b) < 4 {
			return nil, 0, fmt.Errorf("payload %d: %d octets left", next, len(b))
		}
		l := int(binary.BigEndian.Uint16(b[2:]))
		if l < 4 || l > len(b) {
			return nil, 0, fmt.Errorf("payload %d: length %d of %d", next, l, len(b))
		}
		list = append(list, Payload{Type: next, Flags: b[1], Body: b[4:l]})
		if next == PayloadSK || next == PayloadSKF {
			if l != len(b) {
				return nil, 0, errors.New("SK is not the last payload")
			}
			return list, b[0], nil
		}
		next, b = b[0], b[l:]
	}
	if len(b) != 0 {
		return nil, 0, fmt.Errorf("%d octets behind the last payload", len(b))
	}
	return list, 0, nil
}

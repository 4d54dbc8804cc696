// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Data attributes (RFC 2408, Section 3.3), of transforms, of Mode-Config and of RESPONDER-LIFETIME: type and value in two
// octets each (basic), or type, length and value (variable). Both forms come back as they were.

package ikev1msg

import (
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

const (
	// MaxAttributes bounds the attributes of one transform or Attributes payload: several times what any peer sends.
	MaxAttributes = 128

	formatBit = 0x8000 // basic
)

// Attribute is one data attribute. Value has two octets where it is Basic. It does not print its value: XAUTH's password is
// an attribute.
type Attribute struct {
	Kind  uint16 // below 0x8000; what it means depends on what the attribute is of
	Basic bool
	Value []byte
}

// Basic makes an attribute of a kind and two octets.
func Basic(kind, v uint16) Attribute {
	return Attribute{Kind: kind, Basic: true, Value: binary.BigEndian.AppendUint16(nil, v)}
}

// Variable makes an attribute of a kind and any octets; of a request they are none.
func Variable(kind uint16, v []byte) Attribute { return Attribute{Kind: kind, Value: v} }

// Number makes an attribute in the form that the kind's number fits: basic, or variable with four octets. Both are
// allowed for durations (RFC 2407, Section 4.5).
func Number(kind uint16, v uint32) Attribute {
	if v <= 0xffff {
		return Basic(kind, uint16(v))
	}
	return Variable(kind, binary.BigEndian.AppendUint32(nil, v))
}

// Uint is the value as a number, in either form and with as many leading zeros as the peer likes. It is false for no octets
// and for numbers of more than 64 bits.
func (a Attribute) Uint() (uint64, bool) {
	v := uint64(0)
	for _, o := range a.Value {
		if v>>56 != 0 {
			return 0, false
		}
		v = v<<8 | uint64(o)
	}
	return v, len(a.Value) > 0
}

// String is the kind, without the value.
func (a Attribute) String() string { return fmt.Sprintf("attribute %d", a.Kind) }

// GoString is the kind, without the value.
func (a Attribute) GoString() string { return a.String() }

// MarshalText is the kind, without the value.
func (a Attribute) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// parseAttributes reads attributes that fill b.
func parseAttributes(b []byte) ([]Attribute, error) {
	r := wire.NewReader(b)
	var list []Attribute
	for r.Len() > 0 && r.Err() == nil {
		if len(list) == MaxAttributes {
			return nil, fmt.Errorf("more than %d attributes", MaxAttributes)
		}
		kind := r.U16("attribute type")
		a := Attribute{Kind: kind &^ formatBit, Basic: kind&formatBit != 0}
		n := 2
		if !a.Basic {
			n = int(r.U16("attribute length"))
		}
		a.Value = r.Bytes("attribute value", n)
		list = append(list, a)
	}
	return list, r.Err()
}

func appendAttributes(dst []byte, list []Attribute) []byte {
	for _, a := range list {
		if a.Basic {
			dst = binary.BigEndian.AppendUint16(dst, a.Kind|formatBit)
		} else {
			dst = binary.BigEndian.AppendUint16(dst, a.Kind&^formatBit)
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Value)))
		}
		dst = append(dst, a.Value...)
	}
	return dst
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Configuration payload (RFC 7296, Section 3.15).

package ikev2msg

import (
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxAttributes bounds the attributes of one Configuration payload.
const MaxAttributes = 64

// CP is the Configuration payload.
type CP struct {
	CfgType    uint8
	Attributes []Attribute
}

// Attribute is one configuration attribute; in a request Value may be empty.
type Attribute struct {
	Kind  uint16
	Value []byte
}

// Type implements Payload.
func (*CP) Type() PayloadType { return TypeCP }

func (p *CP) summary() string {
	switch p.CfgType {
	case CFGRequest:
		return "CP(REQUEST)"
	case CFGReply:
		return "CP(REPLY)"
	}
	return fmt.Sprintf("CP(%d)", p.CfgType)
}

func parseCP(b []byte) (*CP, error) {
	r := wire.NewReader(b)
	p := &CP{CfgType: r.U8("CFG type")}
	r.Bytes("reserved", 3)
	for r.Len() > 0 && r.Err() == nil {
		if len(p.Attributes) == MaxAttributes {
			return nil, fmt.Errorf("more than %d attributes", MaxAttributes)
		}
		a := Attribute{Kind: r.U16("attribute type") & 0x7fff}
		a.Value = r.Bytes("attribute value", int(r.U16("attribute length")))
		if r.Err() == nil && !a.validLen() {
			return nil, fmt.Errorf("attribute %s: length %d", AttributeName(a.Kind), len(a.Value))
		}
		p.Attributes = append(p.Attributes, a)
	}
	return p, r.Err()
}

// validLen holds the lengths of RFC 7296, Section 3.15.1; attributes that are not of that table may have any.
func (a Attribute) validLen() bool {
	n := len(a.Value)
	switch a.Kind {
	case AttrIP4Address, AttrIP4Netmask, AttrIP4DNS, AttrIP4NBNS, AttrIP4DHCP:
		return n == 0 || n == 4
	case AttrIP6DNS, AttrIP6DHCP:
		return n == 0 || n == 16
	case AttrIP6Address:
		// Deviation: some clients leave the prefix length out.
		return n == 0 || n == 17 || n == 16
	case AttrIP4Subnet:
		return n == 0 || n == 8
	case AttrIP6Subnet:
		return n == 0 || n == 17
	case AttrSupported:
		return n%2 == 0
	}
	return true
}

func (p *CP) append(dst []byte) []byte {
	dst = append(dst, p.CfgType, 0, 0, 0)
	for _, a := range p.Attributes {
		dst = binary.BigEndian.AppendUint16(dst, a.Kind)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Value)))
		dst = append(dst, a.Value...)
	}
	return dst
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Identification payload (RFC 2407, Section 4.6.2): of a peer in phase 1, of the traffic in Quick Mode, where the
// initiator's precedes the responder's. The lengths of addresses are checked; what the identity says is not.

package ikev1msg

import (
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxIDData bounds an identity in octets: the longest sensible distinguished name is far shorter.
const MaxIDData = 4096

// IDType is the type of an identity (RFC 2407, Section 4.6.2.1).
type IDType uint8

// Types of identities.
const (
	IDIPv4       IDType = 1
	IDFQDN       IDType = 2
	IDUserFQDN   IDType = 3
	IDIPv4Subnet IDType = 4
	IDIPv6       IDType = 5
	IDIPv6Subnet IDType = 6
	IDIPv4Range  IDType = 7
	IDIPv6Range  IDType = 8
	IDDERASN1DN  IDType = 9
	IDDERASN1GN  IDType = 10
	IDKeyID      IDType = 11
	IDList       IDType = 12 // RFC 3554
)

// String is the name of a type.
func (t IDType) String() string {
	if int(t) < len(idNames) && t > 0 {
		return idNames[t]
	}
	return fmt.Sprintf("ID_%d", uint8(t))
}

var idNames = [...]string{
	1: "IPV4_ADDR", "FQDN", "USER_FQDN", "IPV4_ADDR_SUBNET", "IPV6_ADDR", "IPV6_ADDR_SUBNET", "IPV4_ADDR_RANGE", "IPV6_ADDR_RANGE",
	"DER_ASN1_DN", "DER_ASN1_GN", "KEY_ID", "LIST",
}

// length is that of an identity of this type in octets; 0 where it varies.
func (t IDType) length() int {
	switch t {
	case IDIPv4:
		return 4
	case IDIPv4Subnet, IDIPv4Range:
		return 8
	case IDIPv6:
		return 16
	case IDIPv6Subnet, IDIPv6Range:
		return 32
	}
	return 0
}

// ID is the Identification payload. Proto and Port are 0 for any. In phase 1 they are 0 and 0 or UDP and 500
// (RFC 2407, Section 4.6.2), with NAT-T UDP and 0 or 500; peers send others, so that whoever reads the payload decides.
type ID struct {
	IDType IDType
	Proto  uint8
	Port   uint16
	Data   []byte
}

// Type implements Payload.
func (*ID) Type() PayloadType { return TypeID }

func (*ID) summary() string { return "ID" }

func parseID(b []byte) (*ID, error) {
	r := wire.NewReader(b)
	p := &ID{IDType: IDType(r.U8("ID type")), Proto: r.U8("protocol"), Port: r.U16("port")}
	p.Data = r.Rest()
	if r.Err() != nil {
		return nil, r.Err()
	}
	if want := p.IDType.length(); want > 0 && len(p.Data) != want {
		return nil, fmt.Errorf("%s: %d octets, expected %d", p.IDType, len(p.Data), want)
	}
	return p, within(p.Data, 0, MaxIDData)
}

func (p *ID) append(dst []byte) []byte {
	dst = append(dst, uint8(p.IDType), p.Proto)
	dst = binary.BigEndian.AppendUint16(dst, p.Port)
	return append(dst, p.Data...)
}

// Body is the payload without its generic header: IDii_b or IDir_b of RFC 2409, Section 5, of one's own message.
func (p *ID) Body() []byte { return p.append(nil) }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Notify and Delete payloads (RFC 7296, Sections 3.10 and 3.11).

package ikev2msg

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// Notify is the Notify payload. SPI is empty but where the notify concerns a child SA.
type Notify struct {
	Protocol Protocol
	SPI      []byte
	Notify   NotifyType
	Data     []byte
}

// Type implements Payload.
func (*Notify) Type() PayloadType { return TypeNotify }

func (p *Notify) summary() string {
	if len(p.SPI) > 0 {
		return fmt.Sprintf("N(%s %s)", p.Notify, hex.EncodeToString(p.SPI))
	}
	return fmt.Sprintf("N(%s)", p.Notify)
}

func parseNotify(b []byte) (*Notify, error) {
	r := wire.NewReader(b)
	p := &Notify{Protocol: Protocol(r.U8("protocol"))}
	n := int(r.U8("SPI size"))
	p.Notify = NotifyType(r.U16("notify type"))
	if n > 0 {
		p.SPI = r.Bytes("SPI", n)
	}
	p.Data = r.Rest()
	if r.Err() == nil && n != 0 && n != 4 && n != 8 {
		return nil, fmt.Errorf("SPI size %d, expected 0, 4 or 8", n)
	}
	return p, r.Err()
}

func (p *Notify) append(dst []byte) []byte {
	dst = append(dst, uint8(p.Protocol), uint8(len(p.SPI)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(p.Notify))
	return append(append(dst, p.SPI...), p.Data...)
}

// MaxDeleted bounds the SPIs of one Delete payload: more than an IKE SA may have children.
const MaxDeleted = 256

// Delete is the Delete payload. For the IKE SA itself there are no SPIs.
type Delete struct {
	Protocol Protocol
	SPIs     []uint32
}

// Type implements Payload.
func (*Delete) Type() PayloadType { return TypeDelete }

func (p *Delete) summary() string {
	s := "D(" + p.Protocol.String()
	for _, spi := range p.SPIs {
		s += fmt.Sprintf(" %08x", spi)
	}
	return s + ")"
}

func parseDelete(b []byte) (*Delete, error) {
	r := wire.NewReader(b)
	p := &Delete{Protocol: Protocol(r.U8("protocol"))}
	size, count := int(r.U8("SPI size")), int(r.U16("number of SPIs"))
	if r.Err() != nil {
		return nil, r.Err()
	}
	switch p.Protocol {
	case ProtoIKE:
		if size != 0 || count != 0 {
			return nil, fmt.Errorf("IKE: SPI size %d and %d SPIs, expected none", size, count)
		}
	case ProtoAH, ProtoESP:
		if size != 4 {
			return nil, fmt.Errorf("SPI size %d, expected 4", size)
		}
		if count > MaxDeleted {
			return nil, fmt.Errorf("%d SPIs, expected at most %d", count, MaxDeleted)
		}
	default:
		return nil, fmt.Errorf("protocol %d, expected IKE, AH or ESP", p.Protocol)
	}
	for range count {
		p.SPIs = append(p.SPIs, r.U32("SPI"))
	}
	r.End("delete")
	return p, r.Err()
}

func (p *Delete) append(dst []byte) []byte {
	size := uint8(4)
	if p.Protocol == ProtoIKE {
		size = 0
	}
	dst = append(dst, uint8(p.Protocol), size)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		dst = binary.BigEndian.AppendUint32(dst, spi)
	}
	return dst
}

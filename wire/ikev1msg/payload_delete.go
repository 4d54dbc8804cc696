// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Delete payload (RFC 2408, Section 3.15). Nothing is deleted by one unless a HASH covers it; that is for whoever reads it.

package ikev1msg

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/natterjack/natterjack/wire"
)

// MaxDeleted bounds the SPIs of one Delete payload: more than a peer may have SAs under one of phase 1.
const MaxDeleted = 256

// maxShown is how many SPIs a summary shows: it becomes a line of a transcript, and the list is the peer's.
const maxShown = 8

// Delete is the Delete payload: one or more SPIs of one protocol, of phase 1 cookie pairs.
type Delete struct {
	DOI      uint32
	Protocol Protocol
	SPIs     [][]byte
}

// Type implements Payload.
func (*Delete) Type() PayloadType { return TypeDelete }

func (p *Delete) summary() string {
	s := "D(" + p.Protocol.String()
	for i, spi := range p.SPIs {
		if i == maxShown {
			s += " ..."
			break
		}
		s += " " + hex.EncodeToString(spi)
	}
	return s + ")"
}

func parseDelete(b []byte) (*Delete, error) {
	r := wire.NewReader(b)
	p := &Delete{DOI: r.U32("DOI"), Protocol: Protocol(r.U8("protocol"))}
	size, count := int(r.U8("SPI size")), int(r.U16("number of SPIs"))
	if r.Err() != nil {
		return nil, r.Err()
	}
	if err := checkDelete(p.Protocol, size, count); err != nil {
		return nil, err
	}
	if r.Len() != size*count {
		return nil, fmt.Errorf("%d octets of SPIs, expected %d of %d octets", r.Len(), count, size)
	}
	p.SPIs = make([][]byte, count)
	for i := range p.SPIs {
		p.SPIs[i] = r.Bytes("SPI", size)
	}
	return p, checkDOI(p.DOI)
}

func checkDelete(p Protocol, size, count int) error {
	switch {
	case p < ProtoISAKMP || p > ProtoIPComp:
		return fmt.Errorf("protocol %d, expected ISAKMP, AH, ESP or IPCOMP", uint8(p))
	case p == ProtoISAKMP && size != CookiePair:
		return fmt.Errorf("%s: SPI size %d, expected %d", p, size, CookiePair)
	case count < 1 || count > MaxDeleted:
		return fmt.Errorf("%d SPIs, expected 1 to %d", count, MaxDeleted)
	}
	return checkSPI(p, size)
}

func (p *Delete) append(dst []byte) []byte {
	size := 0
	if len(p.SPIs) > 0 {
		size = len(p.SPIs[0])
	}
	dst = binary.BigEndian.AppendUint32(dst, p.DOI)
	dst = append(dst, uint8(p.Protocol), uint8(size))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		dst = append(dst, spi...)
	}
	return dst
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The Traffic Selector payloads (RFC 7296, Section 3.13).

package ikev2msg

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/wire"
)

// Traffic selector types.
const (
	TSIPv4 = 7
	TSIPv6 = 8
)

// Selector is one IPv4 or IPv6 traffic selector.
type Selector struct {
	Proto              uint8
	PortFrom, PortTo   uint16
	AddrFrom, AddrUpTo netip.Addr
}

// TS is TSi or TSr. Selectors of unknown types were skipped when it was read (RFC 7296, Section 3.13.1 defines two);
// Skipped counts them.
type TS struct {
	Initiator bool
	Selectors []Selector
	Skipped   int
}

// Type implements Payload.
func (p *TS) Type() PayloadType {
	if p.Initiator {
		return TypeTSi
	}
	return TypeTSr
}

func (p *TS) summary() string { return p.Type().String() }

func parseTS(initiator bool, b []byte) (*TS, error) {
	r := wire.NewReader(b)
	p := &TS{Initiator: initiator}
	count := int(r.U8("number of TSs"))
	r.Bytes("reserved", 3)
	if r.Err() == nil && count == 0 {
		return nil, fmt.Errorf("number of TSs is 0, expected at least 1")
	}
	for range count {
		kind, proto := r.U8("TS type"), r.U8("protocol")
		n := int(r.U16("selector length"))
		body := r.Bytes("selector", n-4)
		if r.Err() != nil {
			return nil, r.Err()
		}
		if kind != TSIPv4 && kind != TSIPv6 {
			p.Skipped++
			continue
		}
		s, err := parseSelector(kind, proto, body)
		if err != nil {
			return nil, err
		}
		p.Selectors = append(p.Selectors, s)
	}
	r.End("selectors")
	return p, r.Err()
}

func parseSelector(kind, proto uint8, b []byte) (Selector, error) {
	size := 4
	if kind == TSIPv6 {
		size = 16
	}
	if len(b) != 4+2*size {
		return Selector{}, fmt.Errorf("selector of type %d: length %d, expected %d", kind, len(b)+4, 8+2*size)
	}
	s := Selector{Proto: proto, PortFrom: binary.BigEndian.Uint16(b), PortTo: binary.BigEndian.Uint16(b[2:])}
	s.AddrFrom, _ = netip.AddrFromSlice(b[4 : 4+size])
	s.AddrUpTo, _ = netip.AddrFromSlice(b[4+size:])
	if s.AddrUpTo.Less(s.AddrFrom) {
		return s, fmt.Errorf("selector: addresses %s to %s, expected ascending", s.AddrFrom, s.AddrUpTo)
	}
	// OPAQUE is the one descending range of ports (RFC 7296, Section 3.13.1).
	if s.PortFrom > s.PortTo && (s.PortFrom != 0xffff || s.PortTo != 0) {
		return s, fmt.Errorf("selector: ports %d to %d, expected ascending", s.PortFrom, s.PortTo)
	}
	return s, nil
}

func (p *TS) append(dst []byte) []byte {
	dst = append(dst, uint8(len(p.Selectors)), 0, 0, 0)
	for _, s := range p.Selectors {
		kind, n := uint8(TSIPv4), uint16(16)
		if s.AddrFrom.Is6() {
			kind, n = TSIPv6, 40
		}
		dst = append(dst, kind, s.Proto)
		dst = binary.BigEndian.AppendUint16(dst, n)
		dst = binary.BigEndian.AppendUint16(dst, s.PortFrom)
		dst = binary.BigEndian.AppendUint16(dst, s.PortTo)
		dst = append(dst, s.AddrFrom.AsSlice()...)
		dst = append(dst, s.AddrUpTo.AsSlice()...)
	}
	return dst
}

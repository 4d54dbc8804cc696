// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The bodies of payloads (RFC 7296, Sections 3.3 to 3.15): values, how they are written, and how those are read that this
// peer needs.

package bogus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Transform is one transform of a proposal.
type Transform struct {
	Type uint8
	ID   uint16
	Bits uint16 // key length attribute; 0: none
	// Attrs are raw attributes behind the key length.
	Attrs []byte
}

// Proposal is one proposal of an SA payload.
type Proposal struct {
	Num        uint8
	Proto      uint8
	SPI        []byte
	Transforms []Transform
}

// SAPayload makes an SA payload; the proposals keep the numbers they have.
func SAPayload(list ...Proposal) Payload {
	var b []byte
	for i, p := range list {
		b = appendProposal(b, p, i == len(list)-1)
	}
	return Payload{Type: PayloadSA, Body: b}
}

func appendProposal(b []byte, p Proposal, last bool) []byte {
	start := len(b)
	more := byte(2)
	if last {
		more = 0
	}
	b = append(b, more, 0, 0, 0, p.Num, p.Proto, byte(len(p.SPI)), byte(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		at := len(b)
		more := byte(3)
		if i == len(p.Transforms)-1 {
			more = 0
		}
		b = append(b, more, 0, 0, 0, t.Type, 0)
		b = binary.BigEndian.AppendUint16(b, t.ID)
		if t.Bits != 0 {
			b = append(b, 0x80, 14)
			b = binary.BigEndian.AppendUint16(b, t.Bits)
		}
		b = append(b, t.Attrs...)
		binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at))
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// ParseSA reads the proposals of an SA payload.
func ParseSA(b []byte) ([]Proposal, error) {
	var list []Proposal
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, errors.New("proposal is too short")
		}
		l, spi, n := int(binary.BigEndian.Uint16(b[2:])), int(b[6]), int(b[7])
		if l < 8+spi || l > len(b) {
			return nil, fmt.Errorf("proposal length %d", l)
		}
		p := Proposal{Num: b[4], Proto: b[5], SPI: b[8 : 8+spi]}
		rest := b[8+spi : l]
		for range n {
			if len(rest) < 8 {
				return nil, errors.New("transform is too short")
			}
			tl := int(binary.BigEndian.Uint16(rest[2:]))
			if tl < 8 || tl > len(rest) {
				return nil, fmt.Errorf("transform length %d", tl)
			}
			t := Transform{Type: rest[4], ID: binary.BigEndian.Uint16(rest[6:])}
			if tl >= 12 && rest[8] == 0x80 && rest[9] == 14 {
				t.Bits = binary.BigEndian.Uint16(rest[10:])
			}
			p.Transforms = append(p.Transforms, t)
			rest = rest[tl:]
		}
		list, b = append(list, p), b[l:]
	}
	return list, nil
}

// KE makes a key exchange payload.
func KE(group uint16, public []byte) Payload {
	b := binary.BigEndian.AppendUint16(nil, group)
	return Payload{Type: PayloadKE, Body: append(append(b, 0, 0), public...)}
}

// Nonce makes a nonce payload.
func Nonce(b []byte) Payload { return Payload{Type: PayloadNonce, Body: b} }

// Notify is the content of a notify payload.
type Notify struct {
	Proto uint8
	SPI   []byte
	Type  uint16
	Data  []byte
}

// Payload writes n.
func (n Notify) Payload() Payload {
	b := []byte{n.Proto, byte(len(n.SPI))}
	b = binary.BigEndian.AppendUint16(b, n.Type)
	return Payload{Type: PayloadNotify, Body: append(append(b, n.SPI...), n.Data...)}
}

// N makes a notify payload without protocol and SPI.
func N(kind uint16, data ...byte) Payload { return Notify{Type: kind, Data: data}.Payload() }

// ParseNotify reads a notify.
func ParseNotify(b []byte) (Notify, error) {
	if len(b) < 4 || len(b) < 4+int(b[1]) {
		return Notify{}, errors.New("notify is too short")
	}
	spi := int(b[1])
	return Notify{Proto: b[0], Type: binary.BigEndian.Uint16(b[2:]), SPI: b[4 : 4+spi], Data: b[4+spi:]}, nil
}

// Delete makes a delete payload; the size of an SPI is that of the first one.
func Delete(proto uint8, spis ...[]byte) Payload {
	size := 0
	if len(spis) > 0 {
		size = len(spis[0])
	}
	b := []byte{proto, byte(size)}
	b = binary.BigEndian.AppendUint16(b, uint16(len(spis)))
	for _, s := range spis {
		b = append(b, s...)
	}
	return Payload{Type: PayloadDelete, Body: b}
}

// ParseDelete reads the SPIs of a delete payload.
func ParseDelete(b []byte) (proto uint8, spis [][]byte, err error) {
	if len(b) < 4 {
		return 0, nil, errors.New("delete is too short")
	}
	size, n := int(b[1]), int(binary.BigEndian.Uint16(b[2:]))
	if len(b) != 4+size*n {
		return 0, nil, errors.New("delete: its length is not that of its SPIs")
	}
	for i := range n {
		spis = append(spis, b[4+i*size:4+(i+1)*size])
	}
	return b[0], spis, nil
}

// ID is an identity.
type ID struct {
	Type uint8
	Data []byte
}

// FQDN makes an identity of a name.
func FQDN(name string) ID { return ID{IDFQDN, []byte(name)} }

// Body is what AUTH signs of it (RFC 7296, Section 2.15).
func (id ID) Body() []byte { return append([]byte{id.Type, 0, 0, 0}, id.Data...) }

// Selector is a traffic selector.
type Selector struct {
	From, To         netip.Addr
	Proto            uint8
	PortFrom, PortTo uint16
}

// Net makes the selector of a prefix with all protocols and ports.
func Net(prefix string) Selector {
	p := netip.MustParsePrefix(prefix).Masked()
	to := p.Addr().AsSlice()
	for i := range to {
		host := min(8, max(0, (i+1)*8-p.Bits()))
		to[i] |= byte(1<<host - 1)
	}
	last, _ := netip.AddrFromSlice(to)
	return Selector{From: p.Addr(), To: last, PortTo: 65535}
}

// TS makes a TSi or TSr payload.
func TS(kind uint8, list ...Selector) Payload {
	b := []byte{byte(len(list)), 0, 0, 0}
	for _, s := range list {
		typ, l := byte(7), uint16(16)
		if s.From.Is6() {
			typ, l = 8, 40
		}
		b = append(b, typ, s.Proto)
		b = binary.BigEndian.AppendUint16(b, l)
		b = binary.BigEndian.AppendUint16(b, s.PortFrom)
		b = binary.BigEndian.AppendUint16(b, s.PortTo)
		b = append(append(b, s.From.AsSlice()...), s.To.AsSlice()...)
	}
	return Payload{Type: kind, Body: b}
}

// ParseTS reads selectors.
func ParseTS(b []byte) ([]Selector, error) {
	if len(b) < 4 {
		return nil, errors.New("TS is too short")
	}
	n, rest := int(b[0]), b[4:]
	var list []Selector
	for range n {
		if len(rest) < 8 {
			return nil, errors.New("selector is too short")
		}
		l := int(binary.BigEndian.Uint16(rest[2:]))
		if l > len(rest) || (l != 16 && l != 40) {
			return nil, fmt.Errorf("selector length %d", l)
		}
		size := (l - 8) / 2
		from, _ := netip.AddrFromSlice(rest[8 : 8+size])
		to, _ := netip.AddrFromSlice(rest[8+size : l])
		list = append(list, Selector{From: from, To: to, Proto: rest[1],
			PortFrom: binary.BigEndian.Uint16(rest[4:]), PortTo: binary.BigEndian.Uint16(rest[6:])})
		rest = rest[l:]
	}
	return list, nil
}

// Attribute is one attribute of a configuration payload.
type Attribute struct {
	Type uint16
	Data []byte
}

// CP makes a configuration payload: kind 1 is a request, 2 a reply.
func CP(kind uint8, list ...Attribute) Payload {
	b := []byte{kind, 0, 0, 0}
	for _, a := range list {
		b = binary.BigEndian.AppendUint16(b, a.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Data)))
		b = append(b, a.Data...)
	}
	return Payload{Type: PayloadCP, Body: b}
}

// ParseCP reads the attributes of a configuration payload.
func ParseCP(b []byte) ([]Attribute, error) {
	if len(b) < 4 {
		return nil, errors.New("CP is too short")
	}
	var list []Attribute
	for b = b[4:]; len(b) > 0; {
		if len(b) < 4 || len(b) < 4+int(binary.BigEndian.Uint16(b[2:])) {
			return nil, errors.New("CP attribute is too short")
		}
		l := int(binary.BigEndian.Uint16(b[2:]))
		list = append(list, Attribute{binary.BigEndian.Uint16(b), b[4 : 4+l]})
		b = b[4+l:]
	}
	return list, nil
}

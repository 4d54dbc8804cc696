// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package isakmp has what IKEv1 and IKEv2 share on the wire: the header (RFC 7296, Section 3.1) and the generic payload
// header (Section 3.2). Every octet is attacker controlled; nothing is allocated by a length that was read.
package isakmp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// HeaderLen is the length of the header in octets.
	HeaderLen = 28
	// GenericLen is the length of a generic payload header in octets.
	GenericLen = 4
	// MaxPayloads bounds the payloads of a chain: a message with the most certificates allowed has fewer than 40.
	MaxPayloads = 64
	// MaxMessage bounds a message in octets, reassembled ones too: what a UDP datagram can carry.
	MaxMessage = 65535
)

// Flags of the header.
const (
	FlagInitiator = 0x08 // from the original initiator of the IKE SA
	FlagVersion   = 0x10
	FlagResponse  = 0x20
)

// Header is the header of a message.
type Header struct {
	SPIi, SPIr   uint64
	NextPayload  uint8
	Major, Minor uint8
	Exchange     uint8
	Flags        uint8
	MessageID    uint32
	Length       uint32
}

// ErrShort is returned for fewer octets than a header has.
var ErrShort = errors.New("header: fewer than 28 octets")

// ParseHeader reads the header at the start of b. Length is not compared with anything.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, ErrShort
	}
	return Header{
		SPIi: binary.BigEndian.Uint64(b), SPIr: binary.BigEndian.Uint64(b[8:]),
		NextPayload: b[16], Major: b[17] >> 4, Minor: b[17] & 15,
		Exchange: b[18], Flags: b[19],
		MessageID: binary.BigEndian.Uint32(b[20:]), Length: binary.BigEndian.Uint32(b[24:]),
	}, nil
}

// Append appends the header.
func (h Header) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, h.SPIi)
	dst = binary.BigEndian.AppendUint64(dst, h.SPIr)
	dst = append(dst, h.NextPayload, h.Major<<4|h.Minor&15, h.Exchange, h.Flags)
	dst = binary.BigEndian.AppendUint32(dst, h.MessageID)
	return binary.BigEndian.AppendUint32(dst, h.Length)
}

// Response reports whether the message is a response.
func (h Header) Response() bool { return h.Flags&FlagResponse != 0 }

// Initiator reports whether the message is from the original initiator.
func (h Header) Initiator() bool { return h.Flags&FlagInitiator != 0 }

// Generic is one payload of a chain: its type, what follows, and its body without the generic header. Critical is a bit of
// IKEv2; the seven below it, Reserved, and in IKEv1 all eight, are reserved.
type Generic struct {
	Type     uint8
	Critical bool
	Reserved uint8
	Next     uint8
	Body     []byte
	Offset   int // of the body in the octets that were walked
}

// Walk reads the chain that begins with type first and fills b exactly. stop ends the chain: after a payload for which
// it returns true (the Encrypted payload is the last of its message and its Next is the first inside) nothing follows.
func Walk(first uint8, b []byte, stop func(uint8) bool) ([]Generic, error) {
	list, n, err := walk(first, b, stop)
	if err != nil {
		return nil, err
	}
	if n != len(b) {
		return nil, fmt.Errorf("payloads: %d octets behind the last one", len(b)-n)
	}
	return list, nil
}

// WalkPrefix reads the chain that begins with type first and returns its length in octets: in IKEv1 padding may follow.
func WalkPrefix(first uint8, b []byte) ([]Generic, int, error) {
	return walk(first, b, func(uint8) bool { return false })
}

func walk(first uint8, b []byte, stop func(uint8) bool) ([]Generic, int, error) {
	if len(b) > MaxMessage {
		return nil, 0, fmt.Errorf("payloads: %d octets, expected at most %d", len(b), MaxMessage)
	}
	var list []Generic
	at := 0
	for next := first; next != 0; {
		if len(list) == MaxPayloads {
			return nil, 0, fmt.Errorf("payloads: more than %d", MaxPayloads)
		}
		if len(b)-at < GenericLen {
			return nil, 0, fmt.Errorf("payload %d: %d octets left, expected a generic header of %d", next, len(b)-at, GenericLen)
		}
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		if n < GenericLen || n > len(b)-at {
			return nil, 0, fmt.Errorf("payload %d: length %d, expected %d to %d", next, n, GenericLen, len(b)-at)
		}
		p := Generic{Type: next, Next: b[at], Critical: b[at+1]&0x80 != 0, Reserved: b[at+1] & 0x7f, Offset: at + GenericLen}
		p.Body = b[at+GenericLen : at+n : at+n]
		list = append(list, p)
		at += n
		if stop(next) {
			break
		}
		next = p.Next
	}
	return list, at, nil
}

// AppendGeneric appends a generic header for a body of n octets.
func AppendGeneric(dst []byte, next uint8, critical bool, n int) []byte {
	var c uint8
	if critical {
		c = 0x80
	}
	dst = append(dst, next, c)
	return binary.BigEndian.AppendUint16(dst, uint16(n+GenericLen))
}

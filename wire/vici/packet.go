// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The packets of VICI: a 32-bit length, a type octet, for four of the types a name, and a message. Input is from a local
// client; Length refuses before anything is read or allocated (HOSTILE T-100).

package vici

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/natterjack/natterjack/wire"
)

// MaxPacket is the largest packet in octets, without its length field: charon's limit, which clients rely on.
const MaxPacket = 512 * 1024

// HeaderLen is the length field in octets.
const HeaderLen = 4

// PacketType says what a packet is.
type PacketType uint8

// The packet types of VICI.
const (
	CmdRequest      PacketType = 0
	CmdResponse     PacketType = 1
	CmdUnknown      PacketType = 2
	EventRegister   PacketType = 3
	EventUnregister PacketType = 4
	EventConfirm    PacketType = 5
	EventUnknown    PacketType = 6
	Event           PacketType = 7
)

// String is the name of the type in VICI's documentation.
func (t PacketType) String() string {
	switch t {
	case CmdRequest:
		return "CMD_REQUEST"
	case CmdResponse:
		return "CMD_RESPONSE"
	case CmdUnknown:
		return "CMD_UNKNOWN"
	case EventRegister:
		return "EVENT_REGISTER"
	case EventUnregister:
		return "EVENT_UNREGISTER"
	case EventConfirm:
		return "EVENT_CONFIRM"
	case EventUnknown:
		return "EVENT_UNKNOWN"
	case Event:
		return "EVENT"
	}
	return fmt.Sprintf("TYPE_%d", uint8(t))
}

// named reports whether packets of the type have a name.
func (t PacketType) named() bool {
	return t == CmdRequest || t == EventRegister || t == EventUnregister || t == Event
}

// carries reports whether packets of the type have a message.
func (t PacketType) carries() bool { return t == CmdRequest || t == CmdResponse || t == Event }

// Packet is one packet. Name is empty for the types without one, Message is nil for the types without one.
type Packet struct {
	Type    PacketType
	Name    string
	Message *Section
}

// Append appends the packet with its length field.
func (p *Packet) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(p.Type))
	if p.Type.named() {
		if len(p.Name) == 0 || len(p.Name) > math.MaxUint8 {
			return nil, fmt.Errorf("packet name %.40q: %d octets, expected 1 to %d", p.Name, len(p.Name), math.MaxUint8)
		}
		dst = append(append(dst, byte(len(p.Name))), p.Name...)
	}
	if p.Type.carries() {
		var err error
		if dst, err = p.Message.Append(dst); err != nil {
			return nil, err
		}
	}
	n := len(dst) - start - HeaderLen
	if n > MaxPacket {
		return nil, fmt.Errorf("packet: %d octets, at most %d", n, MaxPacket)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(n))
	return dst, nil
}

// Length returns how many octets follow a length field.
func Length(header [HeaderLen]byte) (int, error) {
	n := binary.BigEndian.Uint32(header[:])
	if n == 0 || n > MaxPacket {
		return 0, fmt.Errorf("packet length: %d, expected 1 to %d", n, MaxPacket)
	}
	return int(n), nil
}

// ParsePacket parses what follows the length field. Values of the message are parts of b.
func ParsePacket(b []byte) (*Packet, error) {
	if len(b) > MaxPacket {
		return nil, fmt.Errorf("packet: %d octets, at most %d", len(b), MaxPacket)
	}
	r := wire.NewReader(b)
	p := &Packet{Type: PacketType(r.U8("packet type"))}
	if p.Type > Event {
		r.Fail("packet type: %d, expected 0 to %d", p.Type, Event)
	}
	if p.Type.named() {
		p.Name = parseName(r, "packet name")
	}
	if p.Type.carries() {
		p.Message = parseSection(r, 0)
	}
	r.End("packet")
	if err := r.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

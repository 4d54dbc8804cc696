// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package natt tells the datagrams of a UDP port apart (RFC 3948, Section 2) and has the markers that do it. Every octet
// given to Classify is attacker controlled; the verdict depends on the first octets and the length alone, allocates
// nothing and answers nothing.
package natt

import "encoding/binary"

// Mode says how ESP and IKE share a path.
type Mode uint8

const (
	// Raw is IKE alone, without marker (UDP port 500); ESP travels as its own IP protocol.
	Raw Mode = iota
	// NonESP is RFC 3948: IKE behind four zero octets, ESP bare (UDP port 4500).
	NonESP
	// NonIKE is drafts 00 and 01: ESP behind eight zero octets, IKE bare (UDP port 500).
	NonIKE
	// CiscoUDP is ESP bare on a port of its own, without IKE.
	CiscoUDP
	// Stream is RFC 9329.
	Stream
)

// String is a word for logs.
func (m Mode) String() string {
	switch m {
	case Raw:
		return "raw"
	case NonESP:
		return "udp"
	case NonIKE:
		return "udp-non-ike"
	case CiscoUDP:
		return "cisco-udp"
	case Stream:
		return "tcp"
	}
	return "?"
}

// Verdict is what a datagram is.
type Verdict uint8

const (
	// Drop is neither: too short, or not allowed on this path.
	Drop Verdict = iota
	// Keepalive is a NAT-keepalive (RFC 3948, Section 2.3). It is counted and has no other effect.
	Keepalive
	// ESP is a packet for the engine.
	ESP
	// IKE is a message for the key daemon.
	IKE
)

// String is a word for logs.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "drop"
	case Keepalive:
		return "keepalive"
	case ESP:
		return "esp"
	case IKE:
		return "ike"
	}
	return "?"
}

const (
	// KeepaliveOctet is the whole of a NAT-keepalive.
	KeepaliveOctet = 0xff
	// NonESPMarkerLen is the length of the non-ESP marker, NonIKEMarkerLen that of the drafts' non-IKE marker.
	NonESPMarkerLen = 4
	NonIKEMarkerLen = 8

	minIKE = 28 // the header, RFC 7296, Section 3.1
	minESP = 8  // SPI and sequence number, RFC 4303, Section 2
)

// Classify says what the datagram b is on a path of mode m, and returns it without its marker.
//
// A datagram of one octet is a keepalive whatever the octet is (NAT devices and peers differ); so is Cisco's of five.
// SPI 0 is never ESP, which is what makes the non-ESP marker one (RFC 3948, Section 2.2).
func Classify(m Mode, b []byte) (Verdict, []byte) {
	if len(b) == 1 {
		return Keepalive, nil
	}
	switch m {
	case Raw:
		return ike(b)
	case NonESP:
		return nonESP(b)
	case NonIKE:
		return nonIKE(b)
	case CiscoUDP:
		if isCiscoKeepalive(b) {
			return Keepalive, nil
		}
		return esp(b)
	}
	return Drop, nil
}

func nonESP(b []byte) (Verdict, []byte) {
	if len(b) < NonESPMarkerLen {
		return Drop, nil
	}
	if binary.BigEndian.Uint32(b) != 0 {
		return esp(b)
	}
	if isCiscoKeepalive(b) {
		return Keepalive, nil
	}
	return ike(b[NonESPMarkerLen:])
}

// nonIKE: eight zero octets line up with the initiator's cookie, which is never zero.
func nonIKE(b []byte) (Verdict, []byte) {
	if len(b) < NonIKEMarkerLen {
		return Drop, nil
	}
	if binary.BigEndian.Uint64(b) == 0 {
		return esp(b[NonIKEMarkerLen:])
	}
	return ike(b)
}

func ike(b []byte) (Verdict, []byte) {
	if len(b) < minIKE {
		return Drop, nil
	}
	return IKE, b
}

func esp(b []byte) (Verdict, []byte) {
	if len(b) < minESP || binary.BigEndian.Uint32(b) == 0 {
		return Drop, nil
	}
	return ESP, b
}

// isCiscoKeepalive: 00 00 00 00 ff.
func isCiscoKeepalive(b []byte) bool {
	return len(b) == 5 && binary.BigEndian.Uint32(b) == 0 && b[4] == KeepaliveOctet
}

// AppendMarker appends what goes before a message of kind v on a path of mode m.
func AppendMarker(dst []byte, m Mode, v Verdict) []byte {
	switch {
	case m == NonESP && v == IKE:
		return append(dst, 0, 0, 0, 0)
	case m == NonIKE && v == ESP:
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return dst
}

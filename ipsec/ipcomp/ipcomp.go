// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ipcomp compresses and decompresses payloads with DEFLATE (RFC 3173, RFC 2394), each packet for itself:
//
//	next header | flags, 0 | CPI | DEFLATE stream
//
// What is decompressed is the peer's: it came out of an authentic ESP or AH packet, or, where a policy asks for IPComp alone, from
// anybody. It costs at most MaxOutput octets of memory and of work per packet, however small the packet is; nested headers and
// anything behind the stream's end are refused. Compress never makes a packet longer: it says no, and the packet goes without header.
// Compression in front of encryption tells an observer how alike the contents of packets are, for which reason it is off unless a
// configuration asks for it.
package ipcomp

import (
	"encoding/binary"
	"errors"
)

const (
	// Proto is IPComp's protocol number (RFC 3173, Section 3).
	Proto = 108
	// HeaderLen is the header in octets (RFC 3173, Section 3.1).
	HeaderLen = 4
	// CPIDeflate is the well-known CPI of DEFLATE (RFC 2394, Section 4). Negotiated CPIs are MinCPI to MaxCPI.
	CPIDeflate = 2
	// MinCPI and MaxCPI: RFC 3173, Section 3.3.
	MinCPI, MaxCPI = 256, 61439
	// MaxOutput bounds what comes out of one packet: the largest IP packet there is.
	MaxOutput = 65535

	// minInput is what is too short to be worth it, in octets, in the kernels as well (RFC 3173, Section 2.2 leaves it to us).
	minInput = 90
)

// The ways in which a packet is refused.
var (
	// ErrHeader: shorter than an IPComp header.
	ErrHeader = errors.New("IPComp header: too short")
	// ErrNested: IPComp in IPComp: no sender makes it (RFC 3173, Section 2.2), only one who wants the work multiplied.
	ErrNested = errors.New("IPComp header: nested")
	// ErrTooBig: more octets come out than a packet or the caller's buffer holds: a bomb.
	ErrTooBig = errors.New("IPComp: more comes out than a packet can hold")
	// ErrData: no DEFLATE stream, or one that does not end where the packet ends.
	ErrData = errors.New("IPComp: not a DEFLATE stream that ends with the packet")
)

// CPI is the CPI of a payload that begins with an IPComp header: with the destination address it names the association.
func CPI(payload []byte) (cpi uint16, ok bool) {
	if len(payload) < HeaderLen {
		return 0, false
	}
	return binary.BigEndian.Uint16(payload[2:]), true
}

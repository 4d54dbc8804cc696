// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package esp seals and opens ESP packets (RFC 4303; the algorithms are those of crypt/suite: RFC 4106, RFC 4309, RFC 4543, RFC 7634,
// RFC 3602, RFC 3686, RFC 2410 and RFC 2451 with the MACs of RFC 4868, RFC 2404, RFC 3566 and RFC 4494), one
// direction of one SA, in the caller's buffers:
//
//	SPI | sequence number | IV | payload | 1 2 3 … | pad length | next header | ICV
//
// Every octet given to Open is attacker controlled until its ICV was verified, and the peer's after that. A Sealer uses no
// sequence number twice and stops for ever when they are used up; an Opener returns a payload at most once, and only one
// that was authentic. Nothing is allocated per packet. What goes in and comes out behind the header is not looked at.
package esp

import (
	"errors"
)

const (
	// HeaderLen is SPI and sequence number (RFC 4303, Section 2).
	HeaderLen = 8
	// MinSPI: 0 is never sent and 1 to 255 are reserved (RFC 4303, Section 2.1).
	MinSPI = 256
	// MaxOverhead is the most that Size adds to a payload: header, CBC IV, 15 octets of padding, trailer, SHA2-512 ICV.
	// No suite has more of any of these.
	MaxOverhead = HeaderLen + 16 + 15 + trailerLen + 32

	// NextHeaderIPv4, IPv6 and None are what tunnel mode has (RFC 4303, Section 2.6). None is a dummy packet.
	NextHeaderIPv4 = 4
	NextHeaderIPv6 = 41
	NextHeaderNone = 59

	trailerLen = 2 // pad length and next header
	// wordLen: RFC 4303, Section 2.4: the ciphertext MUST end on a boundary of 4 octets, whatever the algorithm is.
	wordLen = 4
	// maxSeq and maxESN are the last sequence numbers of an SA (RFC 4303, Section 3.3.3).
	maxSeq = 1<<32 - 1
	maxESN = 1<<64 - 1
)

// The ways in which a packet is refused.
var (
	// ErrExhausted: the sequence numbers are used up; nothing is ever sealed on this SA again.
	ErrExhausted = errors.New("sequence numbers are used up: the SA must be rekeyed")
	errMade      = errors.New("SA: it has its keys already, and gets no others")
	// ErrShort: shorter than any packet of the SA, or of a length that its algorithm cannot have made.
	ErrShort = errors.New("length: no packet of this SA")
	// ErrReplay: seen already, or left of the window.
	ErrReplay = errors.New("sequence number: seen already or too old")
	// ErrICV: not authentic.
	ErrICV = errors.New("integrity check failed")
	// ErrPadding: authentic, but padded otherwise than RFC 4303 says.
	ErrPadding = errors.New("padding: not 1, 2, 3, … or longer than the packet")
)

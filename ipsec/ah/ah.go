// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ah seals and verifies AH packets (RFC 4302; the algorithms are those of crypt/suite: RFC 4868, RFC 2404, RFC 3566, RFC 4494
// and RFC 4543), one direction of one SA, in the caller's buffers, which hold whole IP packets:
//
//	IP header (+ options or extension headers) | next header | length | 0 | SPI | sequence number | ICV | payload
//
// The ICV covers the IP header too, but for what routers change (Appendix A), which is why AH cannot pass a NAT. Transport and tunnel
// mode are the same here: in tunnel mode the payload is an IP packet.
//
// What the data plane gives a Sealer: the complete outgoing packet, its length the one in its IP header; the header's protocol field,
// or that of the last extension header in front of AH, is 51 already, and Len octets are free where AH goes. TTL, hop
// limit, DSCP, ECN, DF, flow label and the IPv4 checksum may be set after sealing; everything else in the header MUST be final.
// What it gives an Opener: one received packet, reassembled, of exactly the length in its IP header, as it came from the wire.
//
// Every octet given to Open is attacker controlled until its ICV was verified, and the peer's after that. A Sealer uses no sequence
// number twice and stops for ever when they are used up; an Opener returns a payload at most once, and only one that was authentic.
// Nothing is allocated per packet once the longest was seen. The errors that ESP has as well are esp's.
package ah

import (
	"errors"

	"github.com/natterjack/natterjack/crypt/suite"
)

const (
	// Proto is AH's protocol number (RFC 4302, Section 2).
	Proto = 51
	// MinSPI: 0 is never sent and 1 to 255 are reserved (RFC 4302, Section 2.4).
	MinSPI = 256
	// MaxOverhead is the most that AH adds to a packet, in octets: the fixed part, SHA2-512's ICV, 4 octets of padding.
	MaxOverhead = fixedLen + 32 + 4

	// fixedLen is AH without the ICV (RFC 4302, Section 2).
	fixedLen = 12
	// Where the fields are.
	offLen, offReserved, offSPI, offSeq = 1, 2, 4, 8

	// maxSeq and maxESN are the last sequence numbers of an SA (RFC 4302, Section 3.3.2).
	maxSeq = 1<<32 - 1
	maxESN = 1<<64 - 1
)

// The ways in which a packet is refused, beside esp.ErrExhausted, ErrShort, ErrReplay and ErrICV.
var (
	// ErrHeader: the IP header is no header of a whole packet with AH in it, or has what the ICV cannot be calculated over.
	ErrHeader = errors.New("IP header: broken, or not one in front of AH")
	// ErrFragment: RFC 4302, Section 3.4.1: a fragment MUST be discarded: reassembly comes before AH.
	ErrFragment = errors.New("IP header: a fragment; AH is verified on reassembled packets")
)

// size is AH's length in octets. RFC 4302, Section 3.3.3.2.1: a multiple of 8 in IPv6, of 4 in IPv4 unless align8.
func size(mac *suite.MAC, v6, align8 bool) int {
	n := fixedLen + mac.IVLen() + mac.ICVLen()
	if v6 || align8 {
		return (n + 7) &^ 7
	}
	return (n + 3) &^ 3
}

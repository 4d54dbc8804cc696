// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs in words: RFC 4301, Section 4.4.2, as PF_KEY and manual keying add them (RFC 2367, Section 3.1). A pair of IKE's is a
// Child; everything of an SA here comes from a privileged client of the host.

package sadb

import (
	"errors"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/natt"
)

// SAID names a single SA: RFC 4301, Section 4.1: SPI, destination and protocol.
type SAID struct {
	Proto uint8
	SPI   uint32
	Dst   netip.Addr
}

// SA is one security association. It has no direction of its own: it opens what arrives at Dst, or seals for the policies
// whose template it fits, but once it has done one of them it never does the other.
type SA struct {
	// Proto is ProtoESP, ProtoAH or ProtoIPComp; SPI of the last is a compression parameter index.
	Proto uint8
	SPI   uint32
	// Src may be unspecified for an SA that only opens; Dst is never.
	Src, Dst netip.Addr
	// Encap is how ESP travels; SrcPort and DstPort are UDP's and mean nothing with natt.Raw.
	Encap            natt.Mode
	SrcPort, DstPort uint16
	// OrigSrc and OrigDst are the addresses in the peer's checksums, of the source and the destination of this SA
	// (NAT-OA; transport mode). Invalid: unknown or unchanged.
	OrigSrc, OrigDst netip.Addr
	Mode             Mode
	Reqid            uint32
	// Suite has an integrity algorithm alone for AH, and nothing for IPComp.
	Suite suite.ESP
	// Key has the salt of an AEAD behind it. The database keeps copies and wipes them at the end of the SA.
	Key, Integ secret.Key
	// Window is the replay window in packets, 32 to 4096; 0: 64.
	Window int
	Limits Limits
	// AlignAH8 pads AH in IPv4 to 8 octets and not to 4: what Linux wants of SAs that PF_KEY made (see package ah).
	AlignAH8 bool
	// CopyECN, CopyDF and DSCP: see Child.
	CopyECN, CopyDF bool
	DSCP            DSCP
	// Traffic is what it carries of what policies would have it carry; nil: all of it. It stays for life.
	Traffic *Traffic
	// Owner is whose SAs follow one endpoint together: see SetFollow.
	Owner uint64
	// Seq is the sequence number of the Acquire that this SA answers; zero: none.
	Seq uint32
}

// ID is the SA's name.
func (s *SA) ID() SAID { return SAID{Proto: s.Proto, SPI: s.SPI, Dst: s.Dst} }

// Reservation asks for an SPI (GETSPI). Min and Max bound it, both included.
type Reservation struct {
	Proto    uint8
	Src, Dst netip.Addr
	Mode     Mode
	Reqid    uint32
	Min, Max uint32
	Owner    uint64
	Seq      uint32
}

// Change is what UpdateSA may change of an SA that has its keys: RFC 2367, Section 3.1.2. Nil: leave it.
type Change struct {
	Limits *Limits
	// Src and Dst are another identity of the SA (X_NEW_ADDRESS); Encap, SrcPort and DstPort go with them or alone. All
	// of these at once, as they shall be.
	Endpoint *SAEndpoint
	// Reqid replaces the SA's.
	Reqid *uint32
}

// SAEndpoint is the addresses of an SA.
type SAEndpoint struct {
	Src, Dst         netip.Addr
	Encap            natt.Mode
	SrcPort, DstPort uint16
	OrigSrc, OrigDst netip.Addr
}

// State is an SA's: RFC 2367, Section 3.1; the numbers are PF_KEY's.
type State uint8

const (
	// StateLarval has an SPI and no keys.
	StateLarval State = iota
	// StateMature is in use.
	StateMature
	// StateDying has reached a soft limit: it goes on receiving, and sends where no other can.
	StateDying
	// StateDead has reached a hard limit; it is removed when its notice is fetched.
	StateDead
)

// String is a word for logs.
func (s State) String() string {
	switch s {
	case StateLarval:
		return "larval"
	case StateMature:
		return "mature"
	case StateDying:
		return "dying"
	case StateDead:
		return "dead"
	}
	return "?"
}

// SAInfo is an SA as GET and DUMP show it.
type SAInfo struct {
	// SA is what its owner knows of it; the keys are copies.
	SA
	State State
	// Endpoint is where it sends, or (Remote is its source) where it is heard from now: another than SA says after the
	// engine has followed the peer.
	Endpoint Endpoint
	// Bytes and Packets (PF_KEY's allocations) are counted in whichever direction the SA has.
	Bytes, Packets uint64
	// Last is the highest sequence number sealed or opened.
	Last uint64
	// Times are zero where nothing has happened.
	Added, FirstUsed, LastUsed time.Time
	// Managed: one half of a pair that belongs to IKE. It has no keys here, and none of the methods for single SAs finds it.
	Managed bool
}

// The failures of methods for single SAs.
var (
	ErrExists   = errors.New("an SA with this SPI exists")
	ErrKeysKept = errors.New("keys of an SA that has keys do not change: add another SA")
	ErrLarval   = errors.New("SA has no keys yet")
	ErrProto    = errors.New("protocol: expected ESP, AH or IPComp")
	ErrRange    = errors.New("range of SPIs is empty, reversed or reserved")
)

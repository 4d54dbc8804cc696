// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// ChildSA is everything the data plane needs to know of a pair of ESP or AH SAs.
type ChildSA struct {
	Name          string
	Connection    string
	Unique        uint64 // of the IKE SA
	ChildID       uint64
	Reqid         uint32
	SPIIn, SPIOut uint32
	Path          Path
	// Mode is ModeTunnel or ModeTransport: what was negotiated.
	Mode Mode
	// AH says that the pair is AH (RFC 4302); then Suite has only an integrity algorithm and ESN.
	AH bool
	// Encap says that ESP travels in UDP on Path; otherwise it is raw (protocol 50). Never set with AH.
	Encap bool
	Suite suite.ESP
	// KeyIn and KeyOut are the encryption keys with their salt; IntegIn and IntegOut are empty for an AEAD.
	KeyIn, KeyOut, IntegIn, IntegOut secret.Key
	// TSLocal and TSRemote are the negotiated selectors, never empty.
	TSLocal, TSRemote []Selector
	// OrigLocal and OrigRemote are the two addresses as the peer sees them, where a NAT is between (RFC 7296, Section
	// 2.23.1): the transport checksums of what the peer sends were made with them. Only in transport mode; invalid: as
	// the selectors have them.
	OrigLocal, OrigRemote netip.Addr
	// CPIIn and CPIOut are the IPComp parameter indexes of the two directions (RFC 3173), ours and the peer's; zero: payloads
	// are not compressed. The algorithm is DEFLATE.
	CPIIn, CPIOut uint16
	// Config is the child's configuration: lifetimes, replay window, header copying, updown. Immutable.
	Config *ChildConfig
	// Lifetime is the hard limit in time from installation, jitter applied; zero: none.
	Lifetime time.Duration
	// Replaces is the inbound SPI of the SA this one replaces; zero at a new child.
	Replaces uint32
	// Standby: the outbound SA is not sent on until its inbound twin has been used, Promote comes, or the SA it
	// replaces is removed (RFC 7296, Section 2.8).
	Standby bool
	// VIPs are the virtual addresses of this host (client) or of the peer (gateway) that the selectors came from.
	VIPs []netip.Addr
	// PeerVIPs says whose VIPs are.
	PeerVIPs bool
	// LocalID and RemoteID are the authenticated identities of the IKE SA; in events and in Install (updown commands are told).
	LocalID, RemoteID ID
}

// Selector is a traffic selector: an address range, a protocol (0: any) and a port range (RFC 7296, Section 3.13.1).
// For ICMP and ICMPv6 a port is type*256 + code.
type Selector struct {
	From, To         netip.Addr
	Proto            uint8
	PortFrom, PortTo uint16
	// Dynamic stands for the host's own (virtual) address; From and To are then invalid. Only in configuration.
	Dynamic bool
}

// Mode is what a child's policy does with traffic.
type Mode uint8

const (
	ModeTunnel Mode = iota
	ModePass        // a shunt: bypass
	ModeDrop        // a shunt: discard
	ModeTransport
)

// Shunt reports whether the mode is a policy without SAs.
func (m Mode) Shunt() bool { return m == ModePass || m == ModeDrop }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package sadb is the databases of RFC 4301, Section 4.4: the SAD (security associations, their lifetimes and their
// peers' endpoints) and the SPD (what is protected, bypassed or discarded). Its callers are the daemon's seam, which
// speaks for IKE, and ipsec/dataplane. Selectors and keys come from an authenticated peer; SPIs and packets from anybody.
// It guarantees that an SPI is unique and not used twice within 120 s, that an outbound SA exists once (a second
// counter under one key would repeat a nonce), that a hard limit ends an SA at the packet that reaches it, and that
// one SA or one policy more costs the same whether there are ten or ten thousand.
//
// Every method of DB may be called from any goroutine; none blocks for long, does I/O or reads a clock.
package sadb

import (
	"errors"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/natt"
)

// Selector is an address range, a protocol and a port range (RFC 7296, Section 3.13.1; RFC 4301, Section 4.4.1.1).
type Selector struct {
	From, To netip.Addr
	// Proto is an IP protocol; 0: any.
	Proto uint8
	// PortFrom and PortTo bound the port of this selector's side; 0 to 65535: any. For ICMP and ICMPv6 a port is
	// type*256 + code; a packet has it on both sides, so that it may stand in either selector or in both.
	PortFrom, PortTo uint16
}

// Endpoint is where a child's ESP packets go and come from, as this host sees it.
type Endpoint struct {
	// Encap is how ESP travels between the two. Raw: as an IP protocol of its own, and the ports mean nothing.
	Encap         natt.Mode
	Local, Remote netip.AddrPort
}

// UDP reports whether packets travel in UDP.
func (e Endpoint) UDP() bool { return e.Encap != natt.Raw }

// The IP protocols of SAs (RFC 4303, RFC 4302, RFC 3173).
const (
	ProtoESP    = 50
	ProtoAH     = 51
	ProtoIPComp = 108
)

// Mode is what an SA is put around: RFC 4301, Section 4.1. The numbers are PF_KEY's.
type Mode uint8

const (
	// AnyMode is for single SAs and templates only: either of the others. A Child without a mode is in tunnel mode.
	AnyMode Mode = iota
	// Transport protects what follows the IP header.
	Transport
	// Tunnel protects the whole packet and gives it another IP header.
	Tunnel
)

// String is a word for logs.
func (m Mode) String() string {
	switch m {
	case Transport:
		return "transport"
	case Tunnel:
		return "tunnel"
	}
	return "any"
}

// DSCP says what happens to the DSCP of the inner header (RFC 4301, Section 5.1.2).
type DSCP uint8

const (
	// DSCPOut copies it to the outer header of a packet that is sealed (swanctl: copy_dscp = out).
	DSCPOut DSCP = iota
	// DSCPIn copies it from the outer header of a packet that is opened.
	DSCPIn
	// DSCPBoth does both.
	DSCPBoth
	// DSCPNone leaves the outer one zero and the inner one alone.
	DSCPNone
)

// Limits are the lifetimes of a pair of SAs; zero: none. Octets (of inner packets) and packets are counted for each
// direction, and the direction that reaches one first counts. A soft limit is told by a notice, a hard one ends the pair.
// Beside these there are limits that cannot be switched off: see Child.
type Limits struct {
	SoftTime, HardTime       time.Duration // from installation
	SoftUse, HardUse         time.Duration // from the first packet; single SAs only
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
}

// Child is a pair of SAs: what a CREATE_CHILD_SA or IKE_AUTH exchange agreed on.
//
// Whatever Limits say, a pair without ESN is told soft at 2^31 packets sent and ends at 2^32-1 (RFC 4303, Section 3.3.3), and
// one whose algorithm has a limit of its own ends there, and is told at half of it: AES-GCM at 2^32, 3DES far earlier.
type Child struct {
	// Reqid names the policies that this child serves and the pairs it replaces or is replaced by. From Reserve.
	Reqid uint32
	// SPIIn is ours, from Reserve; SPIOut the peer's.
	SPIIn, SPIOut uint32
	Endpoint      Endpoint
	// Proto is ProtoESP, which zero means too, or ProtoAH; then Suite has an integrity algorithm alone.
	Proto uint8
	// Mode is Tunnel, which AnyMode means too, or Transport.
	Mode  Mode
	Suite suite.ESP
	// OrigLocal and OrigRemote are the addresses that the peer had in its checksums before a NAT changed them (transport
	// mode, RFC 3948, Section 3.1.2; RFC 7296, Section 2.23.1): this host's as the peer knows it and the peer's own. Invalid:
	// the same as outside, or not known.
	OrigLocal, OrigRemote netip.Addr
	// Peer is whose the child is: children of one proved identity have the same number, whatever their reqid. It shares
	// out what is scarce; zero: not known.
	Peer uint64
	// CPIIn and CPIOut are the compression parameter indexes of this host and the peer (RFC 3173, Section 3.3); zero: no
	// compression in that direction.
	CPIIn, CPIOut uint16
	// KeyIn and KeyOut are encryption keys with the salt of an AEAD behind them; IntegIn and IntegOut are empty for an
	// AEAD. Install keeps none of them: the caller may wipe them afterwards.
	KeyIn, KeyOut, IntegIn, IntegOut secret.Key
	// TSLocal and TSRemote are the negotiated selectors, never empty. A packet belongs to the child if one of the first
	// has its local side and one of the second its remote side.
	TSLocal, TSRemote []Selector
	// Standby: nothing is sealed on the outbound SA until Promote, the first packet on the inbound SA, or the end of
	// the pair that sends for this Reqid now (RFC 7296, Section 2.8). The engine then switches by itself.
	Standby bool
	// NoPolicies installs the SAs alone: the traffic that they carry is chosen by policies added otherwise.
	NoPolicies bool
	// Window is the replay window in packets, 32 to 4096, rounded up to a multiple of 64; 0: 64.
	Window int
	Limits Limits
	// CopyDF: an IPv4 packet with DF that is too large is answered by ICMP. Without it such a packet is fragmented
	// before it is sealed, as if DF were not set. The outer DF is the socket's business and always set.
	CopyDF bool
	// CopyECN does what RFC 6040 says; without it the outer header is not ECN-capable and its bits are ignored.
	CopyECN bool
	DSCP    DSCP
}

// Usage is what a pair has counted. Bytes are those of inner packets. Times are zero where nothing has passed.
type Usage struct {
	BytesIn, BytesOut     uint64
	PacketsIn, PacketsOut uint64
	// LastIn and LastOut are the newest authenticated packet and the newest one sealed, dummies included: for liveness
	// and keepalives. DataIn and DataOut leave out the dummies: for inactivity.
	LastIn, LastOut, DataIn, DataOut time.Time
}

// Info is a pair of SAs as a listing shows it.
type Info struct {
	Reqid         uint32
	SPIIn, SPIOut uint32
	Endpoint      Endpoint
	Proto         uint8
	Mode          Mode
	Suite         suite.ESP
	Usage         Usage
	Installed     time.Time
	PathMTU       int  // octets of the outer IP packet
	Sending       bool // new packets of the Reqid are sealed on this pair
	Dead          bool // a hard limit was reached
}

// The failures of DB's methods.
var (
	ErrNoSPI       = errors.New("no SPI is free: too many SAs or reservations")
	ErrReservation = errors.New("SPI is not reserved: it was never, has expired or is installed already")
	ErrUnknown     = errors.New("no such SA")
	ErrSelectors   = errors.New("selectors are empty, of mixed families or reversed")
	ErrEndpoint    = errors.New("endpoint is not a pair of addresses of one family with ports where there is UDP")
	ErrPolicy      = errors.New("policy needs an action, selectors and, to protect, a reqid")
	ErrTooMany     = errors.New("too many policies")
)

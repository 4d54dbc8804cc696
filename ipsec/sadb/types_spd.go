// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies in words: RFC 4301, Section 4.4.1. A Policy is the daemon's own (bypass, discard, trap); an SPDEntry is one of
// PF_KEY's, with direction, priority and templates. Both come from the operator of the host.

package sadb

import (
	"errors"
	"net/netip"
	"time"
)

// Action is what a policy does with a packet.
type Action uint8

const (
	// Protect seals the packet on the SA of the policy's Reqid, or asks for one.
	Protect Action = iota + 1
	// Bypass hands the packet back unchanged.
	Bypass
	// Discard drops it.
	Discard
)

// String is a word for logs.
func (a Action) String() string {
	switch a {
	case Protect:
		return "protect"
	case Bypass:
		return "bypass"
	case Discard:
		return "discard"
	}
	return "?"
}

// Policy is an entry of the outbound SPD beside those that children bring.
//
// Order, from first to last: bypass; what children brought; the outbound SPDEntries (see there); protect (traps); discard.
// Within the others the policy wins whose remote prefix around the packet is the longest, then the longest local one, then
// the one with a protocol, then the one with ports, then the older one. A packet that meets no policy is discarded (RFC
// 4301, Section 5.1).
type Policy struct {
	// Owner and Reqid: a policy is removed by its owner (ID from AddPolicy, or all of a Reqid). Protect needs a Reqid.
	Reqid         uint32
	Action        Action
	Local, Remote []Selector
	// Name is for listings only.
	Name string
}

// PolicyID names a policy of AddPolicy or SPDAdd. It is not used again before 2^32 others.
type PolicyID uint32

// Dir is the direction of an SPDEntry. The numbers are PF_KEY's.
type Dir uint8

const (
	// In is for packets that this host receives and that end here.
	In Dir = iota + 1
	// Out is for packets that are sent through the engine.
	Out
	// Forward is for packets that this host receives and passes on (Linux); where there is none for a packet, In counts.
	Forward
)

// String is a word for logs.
func (d Dir) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	case Forward:
		return "fwd"
	}
	return "?"
}

// Level says what happens where a template has no SA. The numbers are PF_KEY's.
type Level uint8

const (
	// DefaultLevel is Require. Deviation: KAME's default is a switch of the system, set to use.
	DefaultLevel Level = iota
	// Use seals where there is an SA and leaves the packet as it is where there is none.
	Use
	// Require seals or holds the packet and asks for an SA.
	Require
	// Unique is Require with an SA of the template's own Reqid; zero: one is picked, from 16384 on.
	Unique
)

// MaxTemplates of an SPDEntry: Linux's bound.
const MaxTemplates = 6

// Template is one SA of a bundle: RFC 4301, Section 4.4.1.2.
type Template struct {
	Proto uint8
	Mode  Mode // not AnyMode
	Level Level
	// Reqid fits SAs of this reqid alone; zero fits any.
	Reqid uint32
	// Src and Dst are the outer addresses in tunnel mode. In transport mode they mean nothing: the packet has them.
	Src, Dst netip.Addr
}

// SPDEntry is a policy of PF_KEY's SPD. The one with the smallest Priority wins, among these the older one.
type SPDEntry struct {
	Dir    Dir
	Action Action
	// Priority: smaller goes first.
	Priority uint32
	// Local and Remote are this host's side and the peer's: source and destination of what is sent, destination and source
	// of what is received or passed on.
	Local, Remote Selector
	// Templates are the bundle of Protect, the innermost first: what is nearest to the payload.
	Templates []Template
	// HardTime ends the entry that long after it was added, HardIdle that long after its last use (or, never used, after it
	// was added). SoftTime and SoftIdle tell. Zero: never.
	SoftTime, HardTime, SoftIdle, HardIdle time.Duration
	// Owner is the caller's to use.
	Owner uint64
}

// SPDInfo is an SPDEntry as a listing shows it: with the reqids that were picked.
type SPDInfo struct {
	SPDEntry
	ID              PolicyID
	Added, LastUsed time.Time
}

// Bundle is what a packet is sealed with, the innermost SA first.
type Bundle struct {
	N     int
	SAs   [MaxTemplates]*Sender
	Modes [MaxTemplates]Mode // never AnyMode
	// Inside: SAs[0] is of a pair, and the policy that the packet met has just the pair's selectors: Contains would say yes.
	Inside bool
}

// Resolution says what Resolve found.
type Resolution uint8

const (
	// Missing: an SA that is required does not exist. Hold the packet.
	Missing Resolution = iota
	// Sealed: Bundle has the SAs.
	Sealed
	// Clear: none is required and none exists; the packet goes as it is.
	Clear
)

// Verdict says what the inbound SPD thinks of a packet.
type Verdict uint8

const (
	// NoEntry: no policy knows it. RFC 4301, Section 5.2: what was opened is dropped then.
	NoEntry Verdict = iota
	// Accepted: it came as its policy says.
	Accepted
	// Rejected: it came otherwise than its policy says, or is to be discarded.
	Rejected
	// PortsHidden: a fragment whose ports would have decided (RFC 4301, Section 7).
	PortsHidden
)

// The failures of methods for policies.
var (
	ErrPolicyExists  = errors.New("a policy with this direction and these selectors exists")
	ErrUnknownPolicy = errors.New("no such policy")
	ErrTemplate      = errors.New("template needs ESP, AH or IPComp, transport or tunnel mode and, in tunnel mode, two addresses of one family")
)

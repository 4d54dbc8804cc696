// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package firewall guards what never passes through the engine: cleartext that arrives outside the tunnel although a
// policy says it must be protected is dropped (RFC 4301, Section 5.2), as is cleartext that would leave beside it, and
// `mode = drop` holds for traffic that never enters the TUN. On Linux this is one nftables table of our own; the packets
// it judges are attacker controlled, the selectors come from configuration or authenticated negotiation.
package firewall

import (
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/port/store"
)

// The kinds of store.Undo that Undo and UndoSysctl of this package understand.
const (
	KindTable  = "nftables"
	KindSysctl = "sysctl"
)

const (
	// policyLimit bounds the policies: what peers negotiate must not fill the kernel.
	policyLimit = 65536
	// ruleLimit bounds those that are a rule of their own, which every packet of the host meets one after the other.
	ruleLimit = 2048
)

// Action is what a policy asks for.
type Action uint8

const (
	// Protect: only inside the tunnel.
	Protect Action = iota
	// Bypass: in the clear (mode = pass).
	Bypass
	// Discard: not at all (mode = drop).
	Discard
)

func (a Action) String() string {
	switch a {
	case Bypass:
		return "pass"
	case Discard:
		return "drop"
	}
	return "protect"
}

// Selector is a range of addresses, a protocol (0: any) and a range of ports; for ICMP a port is type*256 + code.
type Selector struct {
	From, To         netip.Addr
	Proto            uint8
	PortFrom, PortTo uint16
}

// Policy is one pair of selectors in both directions. Bypass wins over the others, which both drop.
type Policy struct {
	ID            string // the caller's name for it, shown in listings
	Action        Action
	Local, Remote Selector
}

// Options says whose table it is.
type Options struct {
	// Instance makes the table's name differ from other daemons': the device's name does.
	Instance string
	// Device is the TUN: what comes out of it and goes into it has been judged by the engine.
	Device string
	// Mark is on the daemon's own packets, and is set on the peer's datagrams on input.
	Mark uint32
	// MarkMask is which bits of a packet's mark say that a daemon of ours made it; zero: all.
	MarkMask uint32
	// Ports are the daemon's own UDP ports.
	Ports   []uint16
	Journal *store.Journal // nil: nothing is recorded
}

// Drop is what a policy has kept out or in since the rules changed. Protect policies of all protocols with the same local
// addresses are counted together, as "protect" and these addresses.
type Drop struct {
	ID              string
	Direction       string // "in" or "out"
	Packets, Octets uint64
}

// Unavailable is returned by Open where the system has no packet filter we can set. Its text is one sentence for the
// start-up line and status.
type Unavailable struct{ Err error }

func (u *Unavailable) Error() string {
	return fmt.Sprintf("no nftables here (%v), so cleartext that arrives outside the tunnel is not dropped, and mode = drop holds only for what this host sends or forwards", u.Err)
}

func (u *Unavailable) Unwrap() error { return u.Err }

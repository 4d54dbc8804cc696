// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"net/netip"
	"time"
)

// Notice is what the data plane or the host saw.
type Notice interface{ notice() }

// Acquire: a packet met a policy that has no SA.
type Acquire struct{ Reqid uint32 }

// Expire: an SA reached a soft (rekey it) or hard (it is unusable) lifetime.
type Expire struct {
	SPIIn uint32
	Hard  bool
}

// NewMapping: an authenticated ESP packet, newer than all before it, came from another endpoint.
type NewMapping struct {
	SPIIn    uint32
	From, To netip.AddrPort
	Path     Path // the path it came by
}

// FirstUse: the first packet arrived on an inbound SA.
type FirstUse struct{ SPIIn uint32 }

// Lost: the other side of the seam restarted; all SAs are gone.
type Lost struct{}

// AddressChanged: the host's addresses or routes changed; Path is the path to the peer now, if there is one.
type AddressChanged struct{ Path Path }

// Woke: the host slept for Slept.
type Woke struct{ Slept time.Duration }

// Unreachable: the socket's error queue said that the peer cannot be reached. A hint, never trusted.
type Unreachable struct{ Path Path }

func (Acquire) notice()        {}
func (Expire) notice()         {}
func (NewMapping) notice()     {}
func (FirstUse) notice()       {}
func (Lost) notice()           {}
func (AddressChanged) notice() {}
func (Woke) notice()           {}
func (Unreachable) notice()    {}

// Command is an order of the operator or the configuration. Request is handed back in the Event of kind
// EventCommandDone; zero: nobody waits.
type Command interface{ command() }

// Initiate begins the IKE SA (first command of an initiator's machine) and the named child; on an established SA
// it negotiates a further child. Child may be nil: the IKE SA alone.
type Initiate struct {
	Request uint64
	Child   *ChildConfig
}

// Terminate deletes one child (ChildID) or, with ChildID zero, the whole IKE SA. Force does not wait for the peer.
type Terminate struct {
	Request uint64
	ChildID uint64
	Force   bool
	Reason  CloseReason // zero: CloseOperator
}

// Rekey rekeys one child (ChildID) or, with ChildID zero, the IKE SA.
type Rekey struct {
	Request uint64
	ChildID uint64
}

// CheckLiveness sends an empty INFORMATIONAL request now unless a request is already outstanding.
type CheckLiveness struct{}

func (Initiate) command()      {}
func (Terminate) command()     {}
func (Rekey) command()         {}
func (CheckLiveness) command() {}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ike

import (
	"io"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/wire/natt"
)

// Path is one way between two hosts: the two ends as this host sees them, and how ESP and IKE are told apart on it.
type Path struct {
	Local, Remote netip.AddrPort
	Encap         natt.Mode
}

// Datagram is one received IKE message, without any marker, with the path it came by.
// Bytes is owned by the receiver: the shell copied it out of its read buffer.
type Datagram struct {
	Path
	Bytes []byte
}

// Machine is one IKE SA and the successors it is negotiating. It is not safe for concurrent use: its shard owns it.
// No method blocks, does I/O, reads a clock or returns an error.
type Machine interface {
	// Receive takes a datagram whose SPIs name this machine.
	Receive(now time.Time, d Datagram) []Action
	// Tick is called when Deadline has passed.
	Tick(now time.Time) []Action
	// Deadline is the earliest instant at which Tick has something to do. Zero: nothing is scheduled.
	Deadline() time.Time
	// Do carries out a command of the operator or the configuration.
	Do(now time.Time, c Command) []Action
	// Notice tells the machine what the data plane or the host saw.
	Notice(now time.Time, n Notice) []Action
	// Answer resumes what asked the question. A token that is unknown or cancelled changes nothing.
	Answer(now time.Time, token Token, a Answer) []Action
	// Status is a snapshot for the control socket. It shares no memory with the machine.
	Status(now time.Time) Status
}

// Env is what a machine is given at birth and keeps. All fields are immutable after that.
type Env struct {
	// Rand is the only source of nonces, SPIs, IVs and private values.
	Rand io.Reader
	// NewSPI draws an IKE SPI (never zero) that names the owning shard.
	NewSPI func() uint64
	// Unique is the number by which the operator names this IKE SA; it stays over IKE rekeys.
	Unique uint64
	// KeepaliveInterval is the time after the last packet sent to the peer at which a host behind a NAT sends a
	// keepalive. Zero: no keepalives (RFC 3948, Section 4; the default of the daemon is 20 s).
	KeepaliveInterval time.Duration
	// HalfOpenTimeout is how long an IKE SA may live without being established as responder.
	HalfOpenTimeout time.Duration
	// Retransmit is how requests are sent again.
	Retransmit Retransmit
	// FragmentSize is the largest IP datagram, in octets, in which an IKE message is sent (RFC 7383).
	FragmentSize int
	// RawESP says that the data plane can send ESP as an IP protocol of its own. Where it cannot, ESP travels in UDP also
	// without a NAT (RFC 7296, Section 2.23 has the peer accept both).
	RawESP bool
	// KeyLog has keys reported (EventKeys); only where the operator switched the key log on.
	KeyLog bool
}

// Retransmit says when a request is sent again: after Initial, then each time Base times later, at most Tries times;
// when the last has had its time too, the peer is considered dead (RFC 7296, Section 2.4).
type Retransmit struct {
	Initial time.Duration
	Base    float64
	Limit   time.Duration // the longest single pause; zero: none
	Tries   int
}

// Token names one question of one machine. Tokens are never used twice by a machine.
type Token uint64

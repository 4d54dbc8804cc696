// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a NAT of this package can be told to be: the kinds of RFC 4787, Sections 4 and 5, and the impairments of the
// link on each side. Configuration is trusted.

package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Kind is how much of the remote endpoint a mapping or a filter depends on (RFC 4787, Sections 4.1 and 5).
type Kind uint8

// The kinds of RFC 4787.
const (
	EndpointIndependent Kind = iota
	AddressDependent
	AddressPortDependent
)

func (k Kind) String() string {
	switch k {
	case EndpointIndependent:
		return "endpoint-independent"
	case AddressDependent:
		return "address-dependent"
	case AddressPortDependent:
		return "address-and-port-dependent"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	// DefaultTimeout is the least that RFC 4787, Section 4.3, allows.
	DefaultTimeout = 2 * time.Minute
	// maxMappings and maxRemotes bound the state that hosts inside can make.
	maxMappings, maxRemotes = 4096, 256
	defaultLow, defaultHigh = 20000, 60000
)

// Config says what the NAT is. The zero value but for External is a full-cone NAT that preserves ports.
type Config struct {
	// External are the addresses outside, one of each family in use.
	External           []netip.Addr
	Mapping, Filtering Kind
	// RandomPorts: external ports are drawn; otherwise the inside port is kept where it is free (RFC 4787, Section 4.2.1).
	RandomPorts bool
	// PortLow and PortHigh bound drawn ports; zero: defaults.
	PortLow, PortHigh uint16
	// Timeout forgets a mapping that no packet from inside has used; zero: DefaultTimeout.
	Timeout time.Duration
	// InboundRefresh: packets from outside keep a mapping alive too (RFC 4787, Section 4.3, REQ-6).
	InboundRefresh bool
	// Hairpin: hosts inside reach each other by external addresses (RFC 4787, Section 6).
	Hairpin bool
	// Shared: the external addresses are those of other hosts too (loopback), so only live mappings are hairpins.
	Shared bool
	// Out and In are the links' impairments.
	Out, In Link
	// Seed makes ports and impairments repeatable.
	Seed uint64
}

// Link impairs one direction.
type Link struct {
	// Loss, Duplicate and Reorder are probabilities from 0 to 1. A reordered packet is held back by ReorderBy.
	Loss, Duplicate, Reorder float64
	ReorderBy                time.Duration
	// Delay is that of every packet; Jitter adds up to as much again at random (and so reorders).
	Delay, Jitter time.Duration
	// MTU drops larger IP packets; TooBig says so by ICMP. Zero: none.
	MTU    int
	TooBig bool
	// Block drops everything.
	Block bool
}

// defaultReorder is far enough for the packets that follow on a busy link to pass.
const defaultReorder = 3 * time.Millisecond

func (l *Link) check() error {
	for _, p := range []float64{l.Loss, l.Duplicate, l.Reorder} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("link: probability %v, expected 0 to 1", p)
		}
	}
	if l.Delay < 0 || l.Jitter < 0 || l.ReorderBy < 0 || l.MTU < 0 {
		return errors.New("link: a negative delay or MTU")
	}
	return nil
}

func (c *Config) check() error {
	if len(c.External) == 0 {
		return errors.New("external address: none")
	}
	for i, a := range c.External {
		if !a.IsValid() {
			return errors.New("external address: not valid")
		}
		c.External[i] = a.Unmap()
	}
	if c.Mapping > AddressPortDependent || c.Filtering > AddressPortDependent {
		return errors.New("kind: not one of RFC 4787")
	}
	if c.PortLow == 0 {
		c.PortLow = defaultLow
	}
	if c.PortHigh == 0 {
		c.PortHigh = defaultHigh
	}
	if c.PortLow > c.PortHigh {
		return fmt.Errorf("ports: %d to %d", c.PortLow, c.PortHigh)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Timeout < 0 {
		return errors.New("timeout: negative")
	}
	if err := c.Out.check(); err != nil {
		return err
	}
	return c.In.check()
}

// Direction is which way a packet goes.
type Direction uint8

// Out is from inside to outside; In the other way.
const (
	Out Direction = iota
	In
)

func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// Reason is why a packet was dropped; Forwarded if it was not.
type Reason uint8

// The reasons. NoMapping: nobody inside has a mapping at that external endpoint (any more). Filtered: there is one, but
// the remote endpoint may not use it.
const (
	Forwarded Reason = iota
	NoMapping
	Filtered
	Lost
	Blocked
	TooBig
	NoPort
	NoHairpin
	Unsupported
	reasons
)

func (r Reason) String() string {
	names := [reasons]string{"forwarded", "no mapping", "filtered", "lost", "blocked", "too big", "no port", "no hairpin", "unsupported"}
	if r < reasons {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Tally counts packets by what became of them; index it by Reason.
type Tally [reasons]uint64

// Dropped is the sum of what was dropped.
func (t Tally) Dropped() uint64 {
	var n uint64
	for _, v := range t[Forwarded+1:] {
		n += v
	}
	return n
}

// Counters are the totals of one direction. ESP counts the packets that look like ESP in UDP, which are also in All, so
// that a caller can tell data from IKE and keepalives among what was lost.
type Counters struct {
	Packets, Octets, Duplicated, Reordered uint64
	All, ESP                               Tally
}

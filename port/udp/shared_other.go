// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Systems where a raw socket sees no UDP.

//go:build !linux

package udp

import (
	"errors"
	"net/netip"

	"github.com/natterjack/natterjack/wire/natt"
)

// SharedPort is a port of another's.
type SharedPort struct {
	Addr netip.Addr
	Port uint16
	Mode natt.Mode
}

// Shared is the ESP of ports of others: Linux only.
type Shared struct{}

// OpenShared fails here.
func OpenShared(Config) (*Shared, error) {
	return nil, errors.New("ESP in UDP on the port of another process: Linux only; have the engine bind the port itself")
}

// SetPorts does nothing.
func (*Shared) SetPorts([]SharedPort) error { return errors.ErrUnsupported }

// Mode knows no port.
func (*Shared) Mode(netip.AddrPort) (natt.Mode, bool) { return natt.Raw, false }

// ReadBatch fails.
func (*Shared) ReadBatch([]Message) (int, error) { return 0, errors.ErrUnsupported }

// WriteBatch fails.
func (*Shared) WriteBatch([]Message) (int, error) { return 0, errors.ErrUnsupported }

// PathEvents has none.
func (*Shared) PathEvents([]PathEvent) int { return 0 }

// Counters are zero.
func (*Shared) Counters() Counters { return Counters{} }

// Close does nothing.
func (*Shared) Close() error { return nil }

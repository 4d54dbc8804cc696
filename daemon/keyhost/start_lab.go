// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Sequence numbers that do not begin at zero, for labs alone: see ipsec/esp/start_lab.go.

package keyhost

import "net/netip"

// StartAt gives an SA that has not been used yet the sequence number that it begins behind.
func (e *Engine) StartAt(proto uint8, spi uint32, dst netip.Addr, seals bool, seq uint64) error {
	return e.db.StartAt(proto, spi, dst, seals, seq)
}

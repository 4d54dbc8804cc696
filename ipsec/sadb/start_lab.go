// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Sequence numbers of single SAs that do not begin at zero, for labs alone: see ipsec/esp/start_lab.go for why nothing else may.

package sadb

import (
	"fmt"
	"net/netip"
)

// StartAt gives a single SA of ESP or AH, which has not been used yet, the sequence number that it begins behind: as one that seals, or opens.
func (db *DB) StartAt(proto uint8, spi uint32, dst netip.Addr, seals bool, seq uint64) error {
	s := db.lookupSA(saKey{spi, proto}, dst)
	if s == nil {
		return ErrUnknown
	}
	if seals {
		switch x := s.asSender(); {
		case x == nil || x.seq() != 0:
			return fmt.Errorf("SPI %08x: it is in use", spi)
		case proto == ProtoESP:
			x.sealer.StartAt(seq)
		case x.ah != nil:
			x.ah.StartAt(seq)
		}
		return nil
	}
	switch x := s.asReceiver(); {
	case x == nil || x.seq() != 0:
		return fmt.Errorf("SPI %08x: it is in use", spi)
	case proto == ProtoESP:
		x.opn.StartAt(seq)
	case x.ah != nil:
		x.ah.StartAt(seq)
	}
	return nil
}

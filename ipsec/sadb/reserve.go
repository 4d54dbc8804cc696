// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reservations of single SAs: GETSPI (RFC 2367, Section 3.1.1). SPIs are random in the range that the client asks for; one that
// was given back is not drawn again for 120 s.

package sadb

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
)

// scanRange is the largest range that is looked through where the draws miss.
const scanRange = 1 << 16

// reservation is a single SA without keys: as a timer, it ends.
type reservation Single

// ReserveSA picks an SPI (GETSPI) for 30 s; then a Larval notice tells that it is gone. ErrNoSPI: the range is used up.
func (db *DB) ReserveSA(now time.Time, r Reservation) (uint32, error) {
	lo, hi, err := r.bounds()
	if err != nil {
		return 0, err
	}
	sa := SA{Proto: r.Proto, SPI: lo, Src: r.Src, Dst: r.Dst, Mode: r.Mode, Reqid: r.Reqid, Owner: r.Owner, Seq: r.Seq}
	if err := sa.checkPlace(); err != nil {
		return 0, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	at := db.Clock(now)
	db.forgetRetired(at)
	// Half of the quarantine is kept for pairs: a client that reserves and deletes must not keep IKE from its SPIs.
	if db.singles.Load() >= maxSingles || len(db.retired) >= maxRetired/2 {
		return 0, ErrNoSPI
	}
	if sa.SPI, err = db.drawSA(&r, lo, hi); err != nil {
		return 0, err
	}
	s := db.newSingle(at, &sa)
	s.drawn = true
	var first struct { // it is to be found before it has its keys: s.first and s.home are for what CompleteSA says
		said
		Endpoint
	}
	s.say(&first.said, &first.Endpoint, &sa)
	db.sad.insert(s)
	s.timer = &timer{}
	db.timers.start(s.timer, at+acquireLife, (*reservation)(s))
	return sa.SPI, nil
}

// bounds checks the range. RFC 4303, Section 2.1; RFC 3173, Section 3.3: the lowest 256 are never given out.
func (r *Reservation) bounds() (lo, hi uint32, err error) {
	lo, hi = max(r.Min, esp.MinSPI), r.Max
	switch {
	case r.Proto != ProtoESP && r.Proto != ProtoAH && r.Proto != ProtoIPComp:
		return 0, 0, ErrProto
	case r.Mode > Tunnel:
		return 0, 0, fmt.Errorf("mode: %d, expected any, transport or tunnel", r.Mode)
	case r.Proto == ProtoIPComp:
		hi = min(hi, 0xffff)
	}
	if r.Min > r.Max || lo > hi {
		return 0, 0, ErrRange
	}
	return lo, hi, nil
}

// drawSA finds a random SPI in the range that is free.
func (db *DB) drawSA(r *Reservation, lo, hi uint32) (uint32, error) {
	span := uint64(hi) - uint64(lo) + 1
	if span == 1 { // the client's own choice
		if db.exists(saKey{lo, r.Proto}, r.Dst) {
			return 0, ErrNoSPI
		}
		return lo, nil
	}
	var at uint64
	for range maxDraws {
		var b [8]byte
		if _, err := io.ReadFull(db.rand, b[:]); err != nil {
			return 0, fmt.Errorf("SPI: %w", err)
		}
		at = binary.BigEndian.Uint64(b[:]) % span
		if spi := lo + uint32(at); db.free(r, spi) {
			return spi, nil
		}
	}
	for i := uint64(0); i < span && span <= scanRange; i++ {
		if spi := lo + uint32((at+i)%span); db.free(r, spi) {
			return spi, nil
		}
	}
	return 0, ErrNoSPI
}

func (db *DB) free(r *Reservation, spi uint32) bool {
	_, old := db.retired[spi]
	return !old && !db.exists(saKey{spi, r.Proto}, r.Dst)
}

// due: nobody has completed it.
func (r *reservation) due(now int64) {
	s := (*Single)(r)
	i := s.db.removeSingle(s, now)
	s.db.tellLater(Notice{Kind: Larval, SA: &i})
}

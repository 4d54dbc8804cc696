// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs: the verbs of PF_KEY on the SAD (RFC 2367, Section 3.1).

package sadb

import (
	"net/netip"
	"time"
)

// Single is a single SA in the database. Its methods may be called from any goroutine.
type Single struct {
	core
}

// Info is the SA as GET and DUMP show it.
func (s *Single) Info() SAInfo { return SAInfo{} }

// ReserveSA picks an SPI (GETSPI) for 30 s; then a Larval notice tells that it is gone. ErrNoSPI: the range is used up.
func (db *DB) ReserveSA(now time.Time, r Reservation) (uint32, error) { return 0, ErrNoSPI }

// AddSA adds an SA with its keys (ADD). ErrExists: the SPI is taken, by a reservation too.
func (db *DB) AddSA(now time.Time, s SA) error { return ErrProto }

// CompleteSA gives a reserved SA its keys (UPDATE of a larval SA). Owner zero is the reservation's. ErrUnknown, ErrKeysKept.
func (db *DB) CompleteSA(now time.Time, s SA) error { return ErrUnknown }

// UpdateSA changes an SA that has keys, in place: counters, window and keys stay. ErrUnknown, ErrLarval, ErrExists (its
// new identity is taken).
func (db *DB) UpdateSA(now time.Time, id SAID, c Change) error { return ErrUnknown }

// DeleteSA removes an SA or a reservation and returns it as it was.
func (db *DB) DeleteSA(now time.Time, id SAID) (SAInfo, error) { return SAInfo{}, ErrUnknown }

// DeleteWide removes all SAs but reservations from src to dst of a protocol (DELETE without an SPI), and returns how many.
func (db *DB) DeleteWide(now time.Time, proto uint8, src, dst netip.Addr) int { return 0 }

// FlushSAs removes all single SAs of a protocol, or of all (zero), and returns how many. Pairs of IKE stay.
func (db *DB) FlushSAs(now time.Time, proto uint8) int { return 0 }

// LookupSA finds a single SA, a reservation too; a Dst that is not valid fits any.
func (db *DB) LookupSA(id SAID) (*Single, bool) { return nil, false }

// SAs are all single SAs of a protocol (zero: of all) at this time, in the order in which they were added: for DUMP, which
// asks each for Info when its turn comes (false: it is gone). With managed the halves of IKE's pairs are among them.
func (db *DB) SAs(proto uint8, managed bool) []SARef { return nil }

// SARef is one SA of a listing.
type SARef struct {
	single *Single
	pair   *Pair
	out    bool
}

// Info is the SA as it is now; false: it is gone.
func (r SARef) Info() (SAInfo, bool) { return SAInfo{}, false }

// SetFollow says whether the outbound SAs of an owner follow the newest authentic packet by themselves; they do unless
// told otherwise.
func (db *DB) SetFollow(owner uint64, follow bool) {}

// Receiver finds the SA of a packet that arrived at dst; nil: there is none (RFC 4303, Section 3.4.2). Pairs are found by
// SPI and protocol, single SAs only if the packet arrived at their Dst: one that this host sent and somebody reflected
// finds nothing.
func (db *DB) Receiver(proto uint8, spi uint32, dst netip.Addr) *Receiver { return nil }

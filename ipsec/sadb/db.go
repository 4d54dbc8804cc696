// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package sadb

import (
	"io"
	"net/netip"
	"time"
)

// Config of a DB.
type Config struct {
	// Rand draws SPIs and seeds the IVs of CBC. crypto/rand.Reader, but in tests.
	Rand io.Reader
	// SlotBits: 2^SlotBits inbound SAs and reservations fit; 4 to 20, zero: 14.
	SlotBits int
	// MTU is the size in octets of the largest outer IP packet before a path says less; zero: 1500.
	MTU int
}

// DB is one SAD and one SPD.
type DB struct{}

// New makes an empty DB. Its time begins at now: all times given later are compared with it by the monotonic clock.
func New(now time.Time, c Config) (*DB, error) { panic("draft") }

// Reserve allocates an inbound SPI (GETSPI) for 30 s. Reqid 0 allocates a new reqid too; at a rekey it is the
// predecessor's.
func (db *DB) Reserve(now time.Time, reqid uint32) (spi, newReqid uint32, err error) { panic("draft") }

// Install makes the reserved SPIIn and the outbound SA usable, with the child's policies. After a failure nothing of it
// is left and the reservation is released.
func (db *DB) Install(now time.Time, c Child) error { panic("draft") }

// Promote has the pair seal for its reqid from now on.
func (db *DB) Promote(now time.Time, spiIn uint32) error { panic("draft") }

// Move swaps the endpoint of a pair in place; keys, counters and window stay. It is never refused for a live pair.
// If the newest authenticated packet came from elsewhere than the endpoint that the notice named (somebody raced it,
// HOSTILE T-069), another NewMapping follows at once.
func (db *DB) Move(now time.Time, spiIn uint32, to Endpoint) error { panic("draft") }

// Remove ends a pair, or releases a reservation, and returns what it had counted. Idempotent. With onlyOut the inbound
// SA goes on receiving. The pair's policies go with its outbound half unless another pair of the reqid uses them.
func (db *DB) Remove(now time.Time, spiIn uint32, onlyOut bool) Usage { panic("draft") }

// Query returns the counters of a pair.
func (db *DB) Query(spiIn uint32) (Usage, bool) { panic("draft") }

// List calls f for every pair until it returns false. f must not call DB.
func (db *DB) List(f func(Info) bool) { panic("draft") }

// NewReqid allocates a reqid for a policy.
func (db *DB) NewReqid() uint32 { panic("draft") }

// AddPolicy adds an entry to the SPD.
func (db *DB) AddPolicy(p Policy) (PolicyID, error) { panic("draft") }

// RemovePolicy removes what AddPolicy added; idempotent. Packets that it holds are dropped.
func (db *DB) RemovePolicy(id PolicyID) { panic("draft") }

// AcquireFailed says that no child came of an Acquire: the packets held for reqid are dropped, and the next packet may
// ask again.
func (db *DB) AcquireFailed(reqid uint32) { panic("draft") }

// Pending reports, at the price of one atomic load, whether Notices has something. Ask after every batch and after
// every other call.
func (db *DB) Pending() bool { panic("draft") }

// Notices moves pending notices into dst and returns how many. No notice is ever lost: those of one kind and SA are
// one until they are fetched.
func (db *DB) Notices(dst []Notice) int { panic("draft") }

// Tick does what time alone brings about: lifetimes, reservations, held packets. Call it at Deadline.
func (db *DB) Tick(now time.Time) { panic("draft") }

// Deadline is when Tick has something to do next; zero: nothing is scheduled. It may come nearer with every call of
// Reserve, Install and with every Acquire.
func (db *DB) Deadline() time.Time { panic("draft") }

// PathEvent says that an outer packet to remote was too large: an ICMP message (anybody's; quoted is the beginning of
// the UDP payload it quotes, which must show the SPI of a live outbound SA to remote) or, with thisHost, the finding
// of this host itself. mtu is the size in octets of an outer IP packet that fits; zero: not said. It reports whether it
// was believed. Never below 576 (IPv4) or 1280 (IPv6); a lowered MTU is forgotten after 10 minutes (RFC 1191, Section 6.3).
func (db *DB) PathEvent(now time.Time, remote netip.AddrPort, quoted []byte, mtu int, thisHost bool) bool {
	panic("draft")
}

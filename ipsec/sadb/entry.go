// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verbs of PF_KEY on the SPD (X_SPDADD and the others of KAME).

package sadb

import "time"

// SPDAdd adds a policy. ErrPolicyExists: one with this direction and these selectors is there.
func (db *DB) SPDAdd(now time.Time, e SPDEntry) (PolicyID, error) { return 0, ErrPolicy }

// SPDUpdate adds a policy or replaces the one with its direction and selectors, whose ID stays.
func (db *DB) SPDUpdate(now time.Time, e SPDEntry) (PolicyID, error) { return 0, ErrPolicy }

// SPDDelete removes a policy and returns it as it was.
func (db *DB) SPDDelete(id PolicyID) (SPDInfo, error) { return SPDInfo{}, ErrUnknownPolicy }

// SPDFind finds a policy by direction and selectors.
func (db *DB) SPDFind(dir Dir, local, remote Selector) (PolicyID, bool) { return 0, false }

// SPDLookup shows a policy.
func (db *DB) SPDLookup(id PolicyID) (SPDInfo, bool) { return SPDInfo{}, false }

// SPDList shows all policies of SPDAdd, the oldest first.
func (db *DB) SPDList() []SPDInfo { return nil }

// SPDFlush removes all policies of SPDAdd and returns how many.
func (db *DB) SPDFlush() int { return 0 }

// SPDAcquireFailed says that no SA came of an Acquire with this Seq: what waits for it is dropped, and the next packet may
// ask again.
func (db *DB) SPDAcquireFailed(seq uint32) {}

// Resolve finds the SAs that the policy of a packet wants. It also notes the policy's use. It allocates nothing.
func (m *Match) Resolve(now int64, f *Flow, b *Bundle) Resolution { return Missing }

// CheckIn says whether a packet may be delivered that was protected by chain, the outermost SA first; empty: it came in
// the clear. f is the packet as it would be delivered. Only single SAs stand in chain: a pair has its selectors (Contains).
func (db *DB) CheckIn(now int64, f *Flow, chain []*Receiver) Verdict { return NoEntry }

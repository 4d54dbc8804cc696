// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Listings of SAs that somebody has for long (RFC 2367, Section 3.1.10): what is in one is kept in memory, also when it has ended, so that who
// has one looks through it now and then.

package sadb

// Removals is how many SAs have been removed so far, pairs and single ones.
func (db *DB) Removals() uint64 { return db.removals.Load() }

// Gone reports whether the SA is none any more: Info would say so.
func (r SARef) Gone() bool {
	switch {
	case r.single != nil:
		return r.single.state.Load()&stateInClosed != 0
	case r.out:
		return r.pair.state.Load()&stateOutClosed != 0
	}
	return r.pair.state.Load()&stateInClosed != 0
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// FLUSH (RFC 2367, Section 3.1.9): a privileged client has all single SAs go, and packets are not kept waiting for that.

package sadb

import "time"

// flushStep is how many SAs go with the lock held once.
const flushStep = 64

// FlushSAs removes all single SAs of a protocol, or of all (zero), and returns how many. Pairs of IKE stay.
func (db *DB) FlushSAs(now time.Time, proto uint8) int {
	n := 0
	for list := db.SAs(proto, false); len(list) > 0; {
		step := min(flushStep, len(list))
		n += db.flush(db.Clock(now), list[:step])
		list = list[step:]
	}
	return n
}

func (db *DB) flush(at int64, list []SARef) (n int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, r := range list {
		if r.single.state.Load()&stateInClosed == 0 {
			db.removeSingle(r.single, at)
			n++
		}
	}
	return n
}

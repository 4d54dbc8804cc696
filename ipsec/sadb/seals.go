// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Whether anything is sent to a peer: RFC 4301, Section 4.4.2. Who asks may hold locks of its own that are taken with those of halves held: no
// lock but a set's is taken, and nothing is taken with that.

package sadb

import "net/netip"

// SealsTo is a single SA of a protocol that seals from an address to another, by the names that its owner knows, in transport mode: one in UDP to
// peer, or one without UDP where peer is not valid; nil: there is none. It looks through all between the two addresses.
func (db *DB) SealsTo(proto uint8, local, remote netip.Addr, peer netip.AddrPort) *Single {
	if db.singles.Load() == 0 {
		return nil
	}
	st := db.findSet(keyOf(proto, local, remote, 0))
	if st == nil {
		return nil
	}
	return st.pickFit(Transport, whose{peer: peer, raw: !peer.IsValid()})
}

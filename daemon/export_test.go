// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import "github.com/natterjack/natterjack/ipsec/dataplane"

// Amnesia drops every machine without a word to its peer, as a crash does.
func (d *Daemon) Amnesia() {
	for _, s := range d.shards {
		onShard(s, func(s *shard) bool {
			for _, e := range s.entries() {
				s.drop(e)
			}
			return true
		})
	}
}

// TrapReqid is the reqid of a trap.
func (d *Daemon) TrapReqid(conn, child string) uint32 { return d.traps.reqid(conn, child) }

// Sealed is how many inner packets were sealed.
func (d *Daemon) Sealed() uint64 { return d.plane.engine.Counters()[dataplane.OutSealed] }

// Held is how many packets waited for a child.
func (d *Daemon) Held() uint64 { return d.plane.engine.Counters()[dataplane.OutHeld] }

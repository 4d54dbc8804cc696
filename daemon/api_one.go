// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One IKE SA by its number: what an event of it is told with.

package daemon

// StatusOf is a snapshot of one IKE SA; false: there is none of that number.
func (d *Daemon) StatusOf(unique uint64) (SA, bool) {
	s := d.shardOf(unique)
	if s == nil {
		return SA{}, false
	}
	list := onShard(s, func(s *shard) []SA {
		e := s.byUnique[unique]
		if e == nil {
			return nil
		}
		st, ok := s.status(e)
		if !ok {
			return nil
		}
		return []SA{{Status: st}}
	})
	if len(list) == 0 {
		return SA{}, false
	}
	return d.withUsage(list[0].Status), true
}

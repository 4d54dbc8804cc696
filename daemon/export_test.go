// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

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

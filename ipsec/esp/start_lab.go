// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Sequence numbers that do not begin at zero, for labs alone: crossing 2^32 takes too long otherwise. Two sealers with one key that
// begin at different numbers would repeat some, and with them nonces, so no program that people run has this: the labs build it with
// their own tag.

package esp

import "sync/atomic"

// StartAt has the next packet be number seq+1.
func (o *Sealer) StartAt(seq uint64) { set(&o.seq, seq) }

// set works whether the number may be read beside the sealer or only by its holder.
func set(number any, seq uint64) {
	switch n := number.(type) {
	case *uint64:
		*n = seq
	case *atomic.Uint64:
		n.Store(seq)
	}
}

// StartAt has the window be where seq was the newest packet.
func (o *Opener) StartAt(seq uint64) { o.window.Commit(seq) }

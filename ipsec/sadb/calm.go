// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The limits of an SA at every packet, without looking at each (RFC 4301, Section 4.4.2.1): a half keeps how far it may go before any of
// them, soft or hard, is next to be met, and asks about all only from there on. What it keeps is never beyond a limit: where one comes
// nearer, it is forgotten under the half's lock.

package sadb

import (
	"math"
	"time"
)

// calm is how far a half goes without meeting a limit. The zero calm: no packet. It is part of a half, under its lock, and lies with what
// else a packet touches.
type calm struct {
	until               int64 // before it
	seq, packets, bytes uint64
}

// holds reports whether a packet of n octets more meets nothing at all.
func (c *calm) holds(now int64, seq uint64, t *tally, n int) bool {
	return now < c.until && seq < c.seq && t.packets < c.packets && t.bytes+uint64(n) < c.bytes
}

// calm is how far the half that counts t goes from here. Under the lock of a half.
func (c *core) calm() calm {
	l := c.lim
	next := calm{until: l.hardAt, seq: c.seqHard, packets: l.hardPackets, bytes: l.hardBytes}
	told, used := c.softTold.Load(), c.usedAt.Load()
	switch {
	case used != 0:
		next.until = min(next.until, after(used, time.Duration(l.hardUse)))
	case l.softUse != never || l.hardUse != never: // the first packet, of either half, begins it
		return calm{}
	}
	if told {
		return next
	}
	if used != 0 {
		next.until = min(next.until, after(used, time.Duration(l.softUse)))
	}
	next.until = min(next.until, l.softAt)
	next.seq, next.packets, next.bytes = min(next.seq, c.seqSoft), min(next.packets, l.softPackets), min(next.bytes, l.softBytes)
	return next
}

// uncounted is a calm of what has time as its only limit.
func (c calm) uncounted() calm {
	if c != (calm{}) {
		c.packets, c.bytes = math.MaxUint64, math.MaxUint64
	}
	return c
}

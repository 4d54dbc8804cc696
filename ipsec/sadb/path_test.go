// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What is left of paths whose MTU was lowered.

package sadb

import (
	"testing"
	"time"
)

// TestLoweredIsForgotten: whether any MTU is lowered is known without a look at each path, also when the paths are gone, were lowered by who
// still held one, or are asked for by nobody any more.
func TestLoweredIsForgotten(t *testing.T) {
	db := newDB(t, 0)
	spi, _ := install(t, db, start, 0, nil)
	stays, _ := install(t, db, start, 0, func(c *Child) { c.Endpoint.Remote = thief })
	at := db.Clock(start)
	gone, idle := db.Inbound(spi), db.Inbound(stays)
	if !idle.LowerPath(at, 1200, true) || idle.PathMTU(at) != 1200 || gone.PathMTU(at) != 1500 {
		t.Fatalf("%d and %d", idle.PathMTU(at), gone.PathMTU(at))
	}
	db.Remove(start, spi, false)
	if !gone.LowerPath(at, 1300, true) { // its packet was in hand
		t.Fatal("not lowered")
	}
	if !db.narrow(at) || !db.narrow(at+holeAge-1) {
		t.Error("it is not known that one is lowered")
	}
	if db.narrow(at + holeAge) {
		t.Error("one is taken to be lowered for ever")
	}
	later := start.Add(time.Duration(holeAge))
	if mtu := idle.PathMTU(db.Clock(later)); mtu != 1500 {
		t.Errorf("MTU %d", mtu)
	}
	if !idle.LowerPath(db.Clock(later), 1400, false) || idle.PathMTU(db.Clock(later)) != 1400 {
		t.Errorf("MTU %d, expected 1400: the old one is forgotten", idle.PathMTU(db.Clock(later)))
	}
}

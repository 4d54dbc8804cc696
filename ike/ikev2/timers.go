// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Time: what is due, and when the next thing will be. Every instant that Deadline names is acted upon, or moved, by Tick.

package ikev2

import (
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// Tick implements ike.Machine.
func (sa *SA) Tick(now time.Time) []ike.Action {
	if sa.state == dead {
		return nil
	}
	if sa.state <= authenticating && due(sa.halfOpenUntil, now) {
		sa.closeNow(now, ike.CloseHalfOpenTimeout, "the peer did not go on")
		return sa.take(now)
	}
	sa.retransmit(now)
	if sa.state != dead {
		sa.parkedTooLong(now)
	}
	if sa.state != dead {
		sa.generationTimers(now)
		sa.lingered(now)
	}
	if sa.state == established {
		sa.childTimers(now)
		sa.ikeTimers(now)
	}
	return sa.take(now)
}

// generationTimers forgets replaced IKE SAs that the peer has not deleted.
func (sa *SA) generationTimers(now time.Time) {
	for _, g := range slices.Clone(sa.gens) {
		if due(g.until, now) && g != sa.cur {
			sa.dropGeneration(now, g)
		}
	}
}

// ikeTimers are those of an established IKE SA.
func (sa *SA) ikeTimers(now time.Time) {
	switch {
	case due(sa.expireAt, now):
		sa.expireAt = time.Time{}
		sa.closeGently(now, ike.CloseLifetime, "the IKE SA has reached its lifetime without a successor", 0)
		return
	case due(sa.rekeyAt, now):
		sa.rekeyAt = now.Add(rekeyPause) // again, where the attempt fails
		sa.rekeyIKE(0)
	}
	if due(sa.confirmAt, now) {
		sa.confirm(now)
	}
	if due(sa.trafficAt, now) {
		sa.trafficDue(now)
	}
}

// Deadline implements ike.Machine.
func (sa *SA) Deadline() time.Time {
	var first time.Time
	if sa.state == dead {
		return first
	}
	at := func(when time.Time) {
		if !when.IsZero() && (first.IsZero() || when.Before(first)) {
			first = when
		}
	}
	if sa.state <= authenticating {
		at(sa.halfOpenUntil)
	}
	for _, g := range sa.gens {
		if g.pending != nil {
			at(g.pending.at)
		}
		if g.serving != nil {
			at(g.serving.until)
		}
		if g != sa.cur {
			at(g.until)
		}
	}
	for _, l := range sa.lingering {
		at(l.until)
	}
	if sa.state != established {
		return first
	}
	for _, c := range sa.children {
		at(c.rekeyAt)
		at(c.expireAt)
		at(c.until)
	}
	for _, when := range []time.Time{sa.rekeyAt, sa.expireAt, sa.confirmAt, sa.trafficAt} {
		at(when)
	}
	if sa.windowFree() {
		for _, t := range sa.tasks {
			at(t.at)
		}
	}
	return first
}

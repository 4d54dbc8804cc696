// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What keeps a NAT mapping alive, and what gets it back (RFC 3948, Section 4; RFC 7296, Section 2.23). A keepalive renews
// a mapping and cannot move an endpoint: the peer must not believe it (RFC 3947, Section 7). So when nothing authenticated
// has passed for an interval, the client sends something authenticated in its place, which moves the peer's endpoint if
// the NAT has given another. Times of ESP are asked of the data plane.

package ikev2

import (
	"time"

	"github.com/natterjack/natterjack/ike"
)

// traffic is when something last passed.
type traffic struct {
	in  time.Time // authenticated, from the peer
	out time.Time // to the peer, authenticated there
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// known is what is known without asking the data plane.
func (sa *SA) known() traffic {
	t := traffic{in: later(sa.lastAuthentic, sa.establishedAt), out: sa.lastSent}
	for _, c := range sa.children {
		t.in, t.out = later(t.in, c.usage.LastIn), later(t.out, c.usage.LastOut)
	}
	return t
}

// look asks the data plane for the use times of all children; then gets the result. One look at a time.
func (sa *SA) look(now time.Time, then func(now time.Time, t traffic)) {
	left := 0
	for _, c := range sa.children {
		if c.installing != 0 {
			continue
		}
		left++
		sa.ask(ike.Query{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: c.sa.Path.Remote.Addr()}, func(now time.Time, a ike.Answer) {
			if u, ok := a.(ike.Usage); ok {
				c.usage = u
			}
			if left--; left == 0 {
				then(now, sa.known())
			}
		})
	}
	if left == 0 {
		then(now, sa.known())
	}
}

// soonest is the time between two looks at the traffic, at least.
const soonest = time.Second

// planTraffic sets when to look next: the earliest instant at which something may have to be sent.
func (sa *SA) planTraffic(now time.Time) {
	sa.trafficAt = time.Time{}
	if sa.state != established {
		return
	}
	t := sa.known()
	at := func(when time.Time) {
		if sa.trafficAt.IsZero() || when.Before(sa.trafficAt) {
			sa.trafficAt = when
		}
	}
	if every := sa.env.KeepaliveInterval; every > 0 && sa.natLocal {
		at(later(t.out, sa.lastKeepalive).Add(every))
		if sa.initiator {
			at(later(t.in, t.out).Add(every))
		}
	}
	if sa.conn.DPDDelay > 0 {
		at(later(t.in, sa.lastProbe).Add(sa.conn.DPDDelay))
	}
	// Where the window is not free the outstanding request asks for us; and no look follows another at once.
	if !sa.trafficAt.IsZero() && sa.trafficAt.Before(now.Add(soonest)) {
		sa.trafficAt = now.Add(soonest)
	}
}

// trafficDue looks at what has passed and sends what is needed.
func (sa *SA) trafficDue(now time.Time) {
	sa.trafficAt = time.Time{}
	sa.look(now, func(now time.Time, t traffic) {
		if sa.state != established {
			return
		}
		every := sa.env.KeepaliveInterval
		keeps := every > 0 && sa.natLocal
		silent, unrenewed := now.Sub(later(t.in, t.out)), now.Sub(later(t.out, sa.lastKeepalive))
		switch {
		// Where a keepalive is due and the next look would come too late for what an interval promises, it is the
		// authenticated one: an answer that came a moment after its request must not cost another second.
		case keeps && sa.initiator && (silent >= every || unrenewed >= every && silent+soonest > every):
			sa.probe(now, "nothing authenticated has passed for an interval")
		case keeps && unrenewed >= every:
			sa.lastKeepalive = now
			sa.act(ike.Keepalive{Path: sa.path})
			sa.report(ike.Event{Kind: ike.EventKeepalive, Detail: "0xff"})
		}
		if sa.dpdDue(now, t) {
			sa.checkLiveness(now)
			sa.lastProbe = now
		}
		sa.planTraffic(now)
	})
}

// probe sends something that the peer can authenticate: an ESP dummy where the peer is one of us (others might count it
// as traffic), else a liveness request.
func (sa *SA) probe(now time.Time, why string) {
	if c := sa.sendingChild(); sa.peerIsOurs && c != nil {
		c.usage.LastOut = now
		sa.act(ike.Probe{SPIOut: c.sa.SPIOut})
		sa.report(ike.Event{Kind: ike.EventKeepalive, Detail: "ESP dummy: " + why})
		return
	}
	if sa.windowFree() {
		sa.checkLiveness(now)
		sa.report(ike.Event{Kind: ike.EventKeepalive, Detail: "INFORMATIONAL: " + why})
	}
}

// sendingChild is a child that is sent on.
func (sa *SA) sendingChild() *child {
	return sa.childWhere(func(c *child) bool { return c.installing == 0 && !c.standby && !c.deleting })
}

// urgent makes the host's presence known at once: it has slept, or has another address.
func (sa *SA) urgent(now time.Time, why string) {
	if sa.state != established {
		sa.hasten(now)
		return
	}
	sa.probe(now, why)
	sa.hasten(now)
	sa.checkLiveness(now)
	sa.planTraffic(now)
}

// hasten has outstanding requests sent again now, with all their tries before them: their timers slept too, or the
// requests went to where nobody is any more.
func (sa *SA) hasten(now time.Time) {
	for _, g := range sa.gens {
		if r := g.pending; r != nil {
			r.tries, r.pause = 0, sa.env.Retransmit.Initial
			r.at = now.Add(r.pause)
			sa.send(now, r.packets, r.summary, true)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// CREATE_CHILD_SA that replaces a child (RFC 7296, Sections 1.3.3 and 2.8):
//
//	HDR, SK {N(REKEY_SA), SA, Ni, [KEi,] TSi, TSr} -->
//	                              <-- HDR, SK {SA, Nr, [KEr,] TSi, TSr}
//	HDR, SK {D} -->
//	                              <-- HDR, SK {D}
//
// What was negotiated is offered again, with the mode and the selectors in use. The initiator deletes the old child; the responder
// goes on sending on it until the new one was used or the old one is gone. REKEY_SA is the peer's word and names at most
// one of its own inbound SAs.

package ikev2

import (
	"encoding/binary"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// rekeyChild asks for a successor of a child, unless there is one or one is on its way.
func (sa *SA) rekeyChild(_ time.Time, c *child, request uint64) {
	if c.gone || c.replaced || c.deleting || c.installing != 0 {
		sa.done(request, 0, "the child SA is being replaced or deleted")
		return
	}
	if c.ours != nil || sa.waits(c, rekeyTask) {
		sa.done(request, 0, "the child SA is being rekeyed already")
		return
	}
	sa.enqueue(&task{name: rekeyTask, child: c, request: request, start: func(now time.Time, t *task) {
		sa.askChild(now, &attempt{t: t, conf: c.conf, old: c, proposals: c.proposals, local: c.sa.TSLocal, remote: c.sa.TSRemote})
	}})
}

// waits reports whether a task about a child is queued or running.
func (sa *SA) waits(c *child, name string) bool {
	if sa.running != nil && sa.running.child == c && sa.running.name == name {
		return true
	}
	for _, t := range sa.tasks {
		if t.child == c && t.name == name {
			return true
		}
	}
	return false
}

// redundant reports whether c, which our rekey of old has made, loses against what the peer's has made.
func (sa *SA) redundant(old, c *child) bool {
	return lower(c.ni, c.nr, old.theirs.ni, old.theirs.nr)
}

// succeed puts the new child in the place of the old one, or finds that the peer's crossing rekey has won
// (RFC 7296, Section 2.8.1: whoever made the redundant one deletes it; whoever made the other deletes the old one).
func (sa *SA) succeed(now time.Time, a *attempt, c *child) {
	old, theirs := a.old, a.old.theirs
	old.ours = nil
	sa.childUp(c, true)
	switch {
	case theirs != nil && !theirs.gone && sa.redundant(old, c):
		c.replaced, c.successor = true, theirs
		sa.replace(old, theirs, now.Add(patience))
		sa.deleteChild(now, c, 0)
		sa.endWith(a.t, theirs.sa.ChildID, "")
	case theirs != nil && !theirs.gone:
		theirs.replaced, theirs.successor, theirs.until = true, c, now.Add(patience)
		fallthrough
	default:
		sa.replace(old, c, time.Time{})
		sa.deleteChild(now, old, 0)
		sa.endWith(a.t, c.sa.ChildID, "")
	}
}

// replace notes the successor of a child; what waits for the old one is about the new one.
func (sa *SA) replace(old, c *child, until time.Time) {
	old.replaced, old.successor, old.until, old.rekeyAt = true, c, until, time.Time{}
	for _, t := range sa.tasks {
		if t.child == old && t.name == "delete child" && old.deleting {
			t.child, old.deleting, c.deleting = c, false, true
		}
	}
}

// rekeyFailed notes that our rekey of a child came to nothing.
func (sa *SA) rekeyFailed(now time.Time, a *attempt, kind ikev2msg.NotifyType) {
	old := a.old
	old.ours = nil
	switch {
	case old.theirs != nil && !old.theirs.gone && !old.gone:
		// The peer did not see the crossing; its rekey counts.
		sa.replace(old, old.theirs, now.Add(patience))
	case kind == ikev2msg.ChildSANotFound && !old.gone && (old.theirs == nil || old.theirs.gone):
		// RFC 7296, Section 2.25: deleted silently, and made from scratch.
		sa.dropChild(now, old, "the peer does not know it any more")
		sa.createChild(old.conf, 0)
	}
}

// rekeyTarget finds the child that the peer's REKEY_SA names: its SPI is the one that the peer receives on.
func (sa *SA) rekeyTarget(n *ikev2msg.Notify) *child {
	if n.Protocol != ikev2msg.ProtoESP && n.Protocol != ikev2msg.ProtoAH || len(n.SPI) != 4 {
		return nil
	}
	c := sa.childByOut(n.Protocol == ikev2msg.ProtoAH, binary.BigEndian.Uint32(n.SPI))
	if c == nil || c.installing != 0 {
		return nil
	}
	return c
}

// servedRekey puts the new child beside the old one after the response to the peer's rekey has left.
func (sa *SA) servedRekey(now time.Time, old, c *child) {
	sa.childUp(c, true)
	switch {
	case old.gone:
	case old.ours != nil:
		old.theirs = c // crossing: which one is redundant shows when our response is here
	default:
		sa.replace(old, c, now.Add(patience))
	}
}

// rekeyLimit bounds what an authenticated peer may have done in a second: each costs a key exchange (HOSTILE T-065).
const rekeyLimit = 10

// createLimit and createRate likewise bound further children: as many at once as may exist, then some a second.
const (
	createLimit = 2 * maxChildren
	createRate  = 10
)

// budget is a bucket of what the peer may still ask for.
type budget struct {
	left float64
	at   time.Time
}

// take reports whether one more is within limit, which fills again by rate a second.
func (b *budget) take(now time.Time, limit, rate float64) bool {
	if b.at.IsZero() {
		b.left = limit
	} else if gone := now.Sub(b.at); gone > 0 {
		b.left = min(limit, b.left+rate*gone.Seconds())
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// doRekey is what the operator asks for by Rekey.
func (sa *SA) doRekey(now time.Time, c ike.Rekey) {
	switch old := sa.childByID(c.ChildID); {
	case sa.state != established:
		sa.done(c.Request, 0, "the IKE SA is not established")
	case c.ChildID == 0:
		sa.rekeyIKE(c.Request)
	case old == nil:
		sa.done(c.Request, 0, "there is no such child SA")
	default:
		sa.rekeyChild(now, old.newest(), c.Request)
	}
}

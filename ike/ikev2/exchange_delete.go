// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Deletes (RFC 7296, Section 1.4.1), and the INFORMATIONAL exchange they travel in (Section 1.4):
//
//	HDR, SK {D} -->
//	           <-- HDR, SK {D}
//
// A Delete names SAs by the SPIs its sender receives on. Only the peer's own can be named, so that the worst a hostile
// peer deletes is what it has.

package ikev2

import (
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// doTerminate is what the operator asks for.
func (sa *SA) doTerminate(now time.Time, c ike.Terminate) {
	if c.ChildID != 0 {
		old := sa.childByID(c.ChildID)
		if old == nil || old.installing != 0 {
			sa.done(c.Request, 0, "there is no such child SA")
			return
		}
		sa.deleteChild(now, old.newest(), c.Request)
		return
	}
	why := c.Reason
	if why == 0 {
		why = ike.CloseOperator
	}
	if c.Force {
		sa.closeForced(now, why)
		sa.done(c.Request, 0, "")
		return
	}
	sa.closeGently(now, why, "terminated", c.Request)
}

// closeForced ends the IKE SA without waiting. The peer is told once, where it would understand and the window allows.
func (sa *SA) closeForced(now time.Time, why ike.CloseReason) {
	told := sa.state == established && sa.cur.pending == nil && why != ike.CloseReplaced && why != ike.ClosePeerDead
	if told {
		sa.request(now, sa.cur, ikev2msg.Informational, "delete IKE SA", []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}}, nil)
	}
	sa.closeNow(now, why, "terminated")
}

// closeGently deletes the IKE SA as soon as the window is free. Before it is established there is nothing to delete.
func (sa *SA) closeGently(now time.Time, why ike.CloseReason, detail string, request uint64) {
	switch sa.state {
	case dead:
		return
	case halfOpen, authenticating:
		sa.closeNow(now, why, detail)
		sa.done(request, 0, "")
		return
	case deleting:
		sa.waiters = append(sa.waiters, request)
		return
	}
	sa.state, sa.closing, sa.closingDetail = deleting, why, detail
	sa.waiters = append(sa.waiters, request)
	for _, t := range sa.tasks {
		sa.done(t.request, 0, "the IKE SA is being deleted")
	}
	sa.tasks = nil
	sa.enqueueFirst(&task{name: "delete IKE SA", closing: true, start: sa.askDeleteIKE})
}

func (sa *SA) askDeleteIKE(now time.Time, t *task) {
	r := sa.request(now, sa.cur, ikev2msg.Informational, t.name, []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}},
		func(now time.Time, _ opened) { sa.closeNow(now, sa.closing, sa.closingDetail) })
	r.task, r.kind = t, kindDeleteIKE
}

// deleteGeneration deletes an IKE SA that has a successor. Its window is free: what was outstanding has just been answered.
func (sa *SA) deleteGeneration(now time.Time, g *generation) {
	sa.request(now, g, ikev2msg.Informational, "delete replaced IKE SA", []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}},
		func(now time.Time, _ opened) { sa.dropGeneration(now, g) })
}

// deleteChild deletes a child as soon as the window is free; a replaced one before anything else.
func (sa *SA) deleteChild(_ time.Time, c *child, request uint64) {
	if c.gone || c.deleting {
		sa.done(request, 0, "")
		return
	}
	c.deleting = true
	t := &task{name: "delete child", child: c, request: request}
	t.start = func(now time.Time, t *task) { sa.askDeleteChild(now, t) }
	if c.replaced {
		sa.enqueueFirst(t)
		return
	}
	if !sa.enqueue(t) {
		c.deleting = false
	}
}

func (sa *SA) askDeleteChild(now time.Time, t *task) {
	c := t.child
	if c.gone || sa.state != established {
		sa.end(t, "")
		return
	}
	c.deleteSent = true
	sa.stopSending(c)
	r := sa.request(now, sa.cur, ikev2msg.Informational, t.name,
		[]ikev2msg.Payload{&ikev2msg.Delete{Protocol: protocolOf(c.sa.AH), SPIs: []uint32{c.sa.SPIIn}}}, func(now time.Time, _ opened) {
			// Whatever the answer says: the peer has none of it any more (an empty one: it was deleting too).
			sa.dropChild(now, c, "deleted")
			sa.end(t, "")
		})
	r.task, r.kind = t, kindChild
	r.lost = func(now time.Time) {
		c.deleting, c.deleteSent = false, false
		sa.end(t, "")
		sa.deleteChild(now, c, 0) // again, by the successor
	}
}

// deleteSPI has the peer remove a child that this host could not make.
func (sa *SA) deleteSPI(ah bool, spi uint32) {
	if sa.state != established || spi == 0 {
		return
	}
	sa.enqueueFirst(&task{name: "delete child", start: func(now time.Time, t *task) {
		r := sa.request(now, sa.cur, ikev2msg.Informational, t.name,
			[]ikev2msg.Payload{&ikev2msg.Delete{Protocol: protocolOf(ah), SPIs: []uint32{spi}}}, func(time.Time, opened) { sa.end(t, "") })
		r.task, r.kind = t, kindChild
	}})
}

// serveInformational answers the peer's INFORMATIONAL request: deletes, the initiator's verdict on our authentication, or
// nothing at all, which asks whether we are alive. Everything else in it is ignored.
func (sa *SA) serveInformational(now time.Time, o opened) {
	if n := notifyOf(o.payloads, ikev2msg.AuthenticationFailed); n != nil {
		// RFC 7296, Section 2.21.2: the initiator did not accept our proof.
		sa.respond(now, o.g, o.exchange(), o.path, nil)
		sa.closeNow(now, ike.CloseAuthFailed, "the peer did not accept this host's authentication")
		return
	}
	spis := map[ikev2msg.Protocol][]uint32{}
	for _, p := range o.payloads {
		d, ok := p.(*ikev2msg.Delete)
		switch {
		case ok && d.Protocol == ikev2msg.ProtoIKE:
			sa.serveDeleteIKE(now, o)
			return
		case ok && len(spis[d.Protocol]) < ikev2msg.MaxDeleted:
			spis[d.Protocol] = append(spis[d.Protocol], sa.serveDelete(now, o, d)...)
		}
	}
	var answer []ikev2msg.Payload
	for _, proto := range []ikev2msg.Protocol{ikev2msg.ProtoESP, ikev2msg.ProtoAH} {
		if len(spis[proto]) > 0 {
			answer = append(answer, &ikev2msg.Delete{Protocol: proto, SPIs: spis[proto]})
		}
	}
	sa.respond(now, o.g, o.exchange(), o.path, answer)
}

// serveDelete removes the children that the peer deletes and returns the SPIs that the answer deletes.
func (sa *SA) serveDelete(now time.Time, o opened, d *ikev2msg.Delete) []uint32 {
	var answer []uint32
	for _, spi := range d.SPIs {
		c := sa.childByOut(d.Protocol == ikev2msg.ProtoAH, spi)
		if collide(sa.doing(o.g, wantDeleteChild, c), wantDeleteChild) != serveEmpty && c != nil {
			answer = append(answer, c.sa.SPIIn)
		}
		switch {
		case c != nil:
			sa.dropChild(now, c, "the peer deleted it")
		case sa.makesChild() && len(sa.unborn) < maxUnborn:
			sa.unborn = append(sa.unborn, spi)
		}
	}
	return answer
}

// serveDeleteIKE: the peer deletes the IKE SA that the message came by.
func (sa *SA) serveDeleteIKE(now time.Time, o opened) {
	g := o.g
	sa.respond(now, g, o.exchange(), o.path, nil)
	switch {
	case g.theirs.latest() != nil && g == sa.cur && sa.state == established:
		// RFC 7296, Sections 2.8.1 and 2.25.2: the peer did not see the crossing; our own attempt is forgotten.
		r := g.rekeying
		g.rekeying = nil
		sa.use(now, g.theirs.latest())
		g.theirs = nil
		if r != nil && r.next != nil && !r.next.gone {
			sa.dropGeneration(now, r.next)
		}
		if r != nil {
			sa.end(r.t, "")
		}
		sa.dropGeneration(now, g)
	case g != sa.cur:
		// A replaced one, or one of two crossing successors before it is known which is redundant.
		sa.dropGeneration(now, g)
	case sa.state == deleting:
		sa.closeNow(now, sa.closing, sa.closingDetail)
	default:
		sa.closeNow(now, ike.ClosePeerDeleted, "the peer deleted the IKE SA")
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The daemon's events as events of the control socket: log, ike-updown, ike-rekey, child-updown, child-rekey. One goroutine
// reads the subscription; it makes nothing that nobody registered, and never waits for a client. What it remembers of an IKE
// SA is what it needs to tell of its end, when the machine is gone.

package control

import (
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// follower is owned by the goroutine of Follow.
type follower struct {
	c      *Control
	server *port.Server
	known  map[uint64]*knownSA // established IKE SAs by their number
	lost   uint64              // events that the subscription had lost when known was last compared with what there is
	pruned time.Time           // when that was
}

// prunePause is the least time between two comparisons: each asks the shards once for every IKE SA.
const prunePause = time.Second

// knownSA is what an IKE SA was when it was last told of.
type knownSA struct {
	ike      ike.Status
	children map[uint64]ike.ChildStatus // by number
}

// Follow publishes the daemon's events to the server's clients until the subscription is closed.
func (c *Control) Follow(sub *daemon.Subscription, server *port.Server) {
	f := &follower{c: c, server: server, known: map[uint64]*knownSA{}}
	for ev := range sub.C {
		c.counters.count(ev)
		f.log(ev)
		f.updown(ev)
		if lost := sub.Lost(); lost != f.lost && ev.At.Sub(f.pruned) >= prunePause {
			f.lost, f.pruned = lost, ev.At
			f.prune(ev.At)
		}
	}
}

// prune tells of the end of IKE SAs that are gone although their event never came: it was lost where this subscription
// did not keep up. What is remembered is so bounded by what is there.
func (f *follower) prune(now time.Time) {
	for unique := range f.known {
		if _, ok := f.c.d.StatusOf(unique); !ok {
			f.updown(ike.Event{Kind: ike.EventIKEDown, Unique: unique, At: now})
		}
	}
}

// log publishes the lines of an event.
func (f *follower) log(ev ike.Event) {
	if !f.server.Wanted(eventLog) {
		return
	}
	for _, l := range logLines(ev) {
		f.server.Publish(eventLog, l.section(ev, "1"))
	}
}

func (f *follower) updown(ev ike.Event) {
	switch ev.Kind {
	case ike.EventIKEUp:
		f.remember(ev)
		f.publish(eventIKEUpdown, ev, true, nil)
	case ike.EventIKERekeyed:
		f.ikeRekeyed(ev)
	case ike.EventIKEDown:
		if sa := f.known[ev.Unique]; sa != nil {
			sa.ike.State = "DELETING"
			f.publish(eventIKEUpdown, ev, false, nil)
			delete(f.known, ev.Unique)
		}
	case ike.EventChildUp, ike.EventChildDown:
		if ev.Child != nil && f.known[ev.Unique] != nil {
			f.child(ev)
		}
	}
}

// remember asks what the IKE SA is now. One that is gone already is made of its event.
func (f *follower) remember(ev ike.Event) *knownSA {
	sa := f.known[ev.Unique]
	if sa == nil {
		sa = &knownSA{children: map[uint64]ike.ChildStatus{}}
		f.known[ev.Unique] = sa
	}
	if now, ok := f.c.d.StatusOf(ev.Unique); ok {
		sa.ike = now.Status
		return sa
	}
	sa.ike = ike.Status{
		Unique: ev.Unique, Connection: ev.Connection, Version: 2, State: "ESTABLISHED", Initiator: ev.Initiator, SPIi: ev.SPIi, SPIr: ev.SPIr,
		Path: ev.Path, LocalID: ev.LocalIdentity, RemoteID: ev.Identity, Suite: ev.Suite, Established: ev.At,
	}
	return sa
}

// publish tells of an IKE SA, with children where they are what happened.
func (f *follower) publish(event string, ev ike.Event, up bool, children *vici.Section) {
	if !f.server.Wanted(event) {
		return
	}
	sa := f.known[ev.Unique]
	s := ikeSection(ev.At, sa.ike)
	if children != nil {
		s.SetSub("child-sas", children)
	}
	f.server.Publish(event, vici.New().SetBool("up", up).SetSub(nameOf(sa.ike.Connection), s))
}

func (f *follower) ikeRekeyed(ev ike.Event) {
	sa := f.known[ev.Unique]
	if sa == nil {
		return
	}
	old := sa.ike
	old.State = "REKEYED"
	f.remember(ev)
	if !f.server.Wanted(eventIKERekey) {
		return
	}
	both := vici.New().SetSub("old", ikeSection(ev.At, old)).SetSub("new", ikeSection(ev.At, sa.ike))
	f.server.Publish(eventIKERekey, vici.New().SetSub(nameOf(old.Connection), both))
}

// child tells of a child that came, went or was rekeyed. The end of a child that was replaced has been told as its rekeying.
func (f *follower) child(ev ike.Event) {
	sa := f.known[ev.Unique]
	st := f.childStatus(ev)
	name := childName(st.ChildSA)
	switch {
	case ev.Kind == ike.EventChildDown:
		delete(sa.children, st.ChildID)
		// A child that goes with its IKE SA is told of when that is gone already, or going.
		if now, ok := f.c.d.StatusOf(ev.Unique); ok {
			sa.ike.State = now.State
		} else {
			sa.ike.State = "DELETING"
		}
		if !ev.Rekey {
			f.publish(eventChildUpdown, ev, false, vici.New().SetSub(name, childSection(ev.At, st, ev.Usage)))
		}
	case ev.Rekey:
		both := vici.New()
		for _, old := range sa.children {
			if old.SPIIn == st.Replaces {
				old.State = "REKEYED"
				both.SetSub("old", childSection(ev.At, old, ike.Usage{}))
			}
		}
		both.SetSub("new", childSection(ev.At, st, ike.Usage{}))
		sa.children[st.ChildID] = st
		f.publish(eventChildRekey, ev, false, vici.New().SetSub(name, both))
	default:
		sa.children[st.ChildID] = st
		f.publish(eventChildUpdown, ev, true, vici.New().SetSub(name, childSection(ev.At, st, ev.Usage)))
	}
}

// childStatus is the child of an event, with its times where the IKE SA still has it.
func (f *follower) childStatus(ev ike.Event) ike.ChildStatus {
	if old, ok := f.known[ev.Unique].children[ev.Child.ChildID]; ok {
		return old
	}
	if now, ok := f.c.d.StatusOf(ev.Unique); ok {
		for _, ch := range now.Children {
			if ch.ChildID == ev.Child.ChildID {
				return ch
			}
		}
	}
	return ike.ChildStatus{ChildSA: *ev.Child, State: "INSTALLED", Installed: ev.At.Truncate(time.Second)}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our exchanges wait for the window here: one at a time is prepared, sent and finished (RFC 7296, Section 2.3; the window
// is 1). And the other side of it: the peer's request that is parked on a slow answer of this host.

package ikev2

import (
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

const (
	// maxTasks bounds what may wait for the window.
	maxTasks = 256
	// parkLimit is how long a peer's request may wait for an answer of this host.
	parkLimit = 30 * time.Second
)

// task is an exchange of ours from the wish for it to its end.
type task struct {
	name    string
	at      time.Time // not before; zero: as soon as may be
	child   *child    // what it is about, if anything
	request uint64    // the command to be told
	closing bool      // it deletes the IKE SA: the only one that begins while that is under way
	start   func(now time.Time, t *task)
}

// enqueue adds a task; false: too many wait.
func (sa *SA) enqueue(t *task) bool {
	if len(sa.tasks) >= maxTasks {
		sa.done(t.request, 0, "too many tasks wait for this IKE SA")
		return false
	}
	sa.tasks = append(sa.tasks, t)
	return true
}

// enqueueFirst is for what ends an exchange that has just been (the delete after a rekey): it has no limit, since each
// such task follows from one that had.
func (sa *SA) enqueueFirst(t *task) { sa.tasks = append([]*task{t}, sa.tasks...) }

// pump begins waiting tasks while the window is free.
func (sa *SA) pump(now time.Time) {
	for sa.state == established || sa.state == deleting {
		if !sa.windowFree() {
			return
		}
		t := sa.nextTask(now)
		if t == nil {
			return
		}
		sa.running = t
		t.start(now, t)
	}
}

// windowFree reports whether an exchange of ours may begin. While the peer's rekey of the IKE SA is worked on it would only
// be refused.
func (sa *SA) windowFree() bool {
	return sa.running == nil && sa.cur.pending == nil && !sa.cur.serving.rekeysIKE()
}

// nextTask takes the first task out whose time has come.
func (sa *SA) nextTask(now time.Time) *task {
	for i, t := range sa.tasks {
		if t.at.After(now) || sa.state == deleting && !t.closing {
			continue
		}
		sa.tasks = append(sa.tasks[:i:i], sa.tasks[i+1:]...)
		return t
	}
	return nil
}

// end says that a task is over; failure is empty when it did what it should.
func (sa *SA) end(t *task, failure string) { sa.endWith(t, 0, failure) }

func (sa *SA) endWith(t *task, childID uint64, failure string) {
	if sa.running == t {
		sa.running, sa.unborn = nil, nil
	}
	sa.done(t.request, childID, failure)
	t.request = 0
}

// postpone puts a running task back.
func (sa *SA) postpone(t *task, at time.Time) {
	if sa.running == t {
		sa.running, sa.unborn = nil, nil
	}
	t.at = at
	sa.enqueue(t)
}

// serving is a request of the peer that has begun to be served and is answered later.
type serving struct {
	o     opened
	token ike.Token // of the question that it waits for
	spi   uint32    // reserved for it
	child *child    // being installed, or being rekeyed
	ike   bool      // it rekeys the IKE SA
	until time.Time
	over  bool
}

func (s *serving) rekeysIKE() bool { return s != nil && s.ike }

// park says that a request is answered later. Its retransmissions are absorbed meanwhile.
func (sa *SA) park(now time.Time, o opened) *serving {
	s := &serving{o: o, until: now.Add(parkLimit)}
	o.g.parked, o.g.serving = true, s
	return s
}

// askFor asks a question on behalf of a parked request. resume is not called when the request is given up before.
func (sa *SA) askFor(s *serving, q ike.Question, resume func(now time.Time, a ike.Answer)) {
	s.token = sa.ask(q, func(now time.Time, a ike.Answer) {
		s.token = 0
		if !s.over {
			resume(now, a)
		}
	})
}

// abandon withdraws what a parked request had begun.
func (sa *SA) abandon(s *serving) {
	s.over = true
	if s.token != 0 {
		sa.cancel(s.token)
	}
	sa.unreserve(s.spi)
	s.spi = 0
	if s.child != nil {
		s.child.serving = false
	}
	if s.o.g.serving == s {
		s.o.g.serving = nil
	}
}

// refuseParked ends a parked request by a notify.
func (sa *SA) refuseParked(now time.Time, s *serving, kind ikev2msg.NotifyType, detail string) {
	sa.abandon(s)
	sa.refuse(now, s.o, kind, detail)
}

// parkedTooLong answers what this host could not answer in time.
func (sa *SA) parkedTooLong(now time.Time) {
	for _, g := range sa.gens {
		if s := g.serving; s != nil && !now.Before(s.until) {
			if sa.state == authenticating {
				sa.closeNow(now, ike.CloseHalfOpenTimeout, "this host took too long to answer IKE_AUTH")
				return
			}
			sa.refuseParked(now, s, ikev2msg.TemporaryFailure, "this host took too long")
		}
	}
}

// cancel withdraws a question.
func (sa *SA) cancel(t ike.Token) {
	if _, ok := sa.waiting[t]; ok {
		delete(sa.waiting, t)
		sa.act(ike.Cancel{Token: t})
	}
}

// reservation asks for an SPI for a child.
func (sa *SA) reservation(conf *ike.ChildConfig) ike.Reserve {
	return ike.Reserve{Local: sa.path.Local.Addr(), Remote: sa.path.Remote.Addr(), Connection: sa.conn.Name, Child: conf.Name,
		AH: conf.AH(), Mode: conf.Mode, IPComp: conf.IPComp}
}

// reserve notes an SPI that is reserved and not installed yet, so that whatever happens it is released.
func (sa *SA) reserve(spi uint32) { sa.reserved = append(sa.reserved, spi) }

// consumed: the reservation has become an SA, or the data plane has released it.
func (sa *SA) consumed(spi uint32) bool {
	for i, r := range sa.reserved {
		if r == spi {
			sa.reserved = append(sa.reserved[:i:i], sa.reserved[i+1:]...)
			return true
		}
	}
	return false
}

// unreserve releases a reservation. Unknown ones and zero are ignored.
func (sa *SA) unreserve(spi uint32) {
	if sa.consumed(spi) {
		sa.forget(ike.Remove{SPIIn: spi, Remote: sa.path.Remote.Addr()})
	}
}

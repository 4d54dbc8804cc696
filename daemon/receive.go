// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// How an IKE message finds its machine: by the local SPI that it names, else by the mux, which makes a machine only for a
// first message that it has vetted (RFC 7296, Section 2.6). Every octet here is attacker controlled; what is dropped is
// counted, and told at most some times a second however much of it there is.

package daemon

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/ikev2"
	"github.com/natterjack/natterjack/ike/mux"
	"github.com/natterjack/natterjack/wire/isakmp"
)

// dropPause is the time between two events of one class of dropped datagrams: a flood must not push other events out of
// subscribers' queues.
const dropPause = 100 * time.Millisecond

// newShards makes the shards and the router between them.
func (d *Daemon) newShards(n int) error {
	router, err := mux.NewRouter(rand.Reader, n)
	if err != nil {
		return err
	}
	d.router = router
	limits := mux.DefaultLimits().Share(n)
	for i := range n {
		d.shards = append(d.shards, newShard(d, i, mux.New(rand.Reader, limits)))
	}
	return nil
}

// deliver hands a received message to its shard. It owns the octets from now on.
func (d *Daemon) deliver(at time.Time, dg ike.Datagram) {
	d.counters.ikeIn.Add(1)
	s := d.shards[d.router.Shard(dg)]
	if !s.q.put(input{datagram: &dg, at: at}) {
		d.counters.ikeDropped.Add(1)
	}
}

// env is what a machine of this shard is born with.
func (s *shard) env(unique uint64, path ike.Path) ike.Env {
	o := &s.d.opts
	return ike.Env{
		Rand: rand.Reader,
		NewSPI: func() uint64 {
			spi, err := s.d.router.NewSPI(rand.Reader, s.index)
			if err != nil {
				panic(err) // without randomness there is no safe way on; guard drops the machine
			}
			return spi
		},
		Unique: unique, KeepaliveInterval: o.Keepalive, HalfOpenTimeout: o.HalfOpenLife, Retransmit: o.Retransmit,
		FragmentSize: o.FragmentSize, RawESP: s.d.sockets.rawESP(path.Local.Addr()), KeyLog: s.d.keys != nil,
	}
}

// receive finds the machine of a datagram, or has the mux decide. A defect in the mux costs the datagram.
func (s *shard) receive(at time.Time, dg ike.Datagram) {
	defer s.d.contain("a received IKE message", nil)
	if h, err := isakmp.ParseHeader(dg.Bytes); err == nil {
		if e := s.bySPI[mux.LocalSPI(h)]; e != nil {
			s.give(e, at, dg)
			return
		}
	}
	dec := s.mux.First(at, dg)
	if dec.Drop != 0 {
		s.d.counters.ikeDropped.Add(1)
		s.dropped(ike.Event{Kind: ike.EventDropped, At: at, Path: dg.Path, Drop: dec.Drop, Detail: dec.Detail})
	}
	switch dec.Verdict {
	case mux.Reply:
		s.d.sockets.sendIKE(dg.Path, dec.Reply)
	case mux.Deliver:
		if e := s.byUnique[dec.Unique]; e != nil {
			s.give(e, at, dg)
		}
	case mux.Accept:
		if s.d.closing.Load() {
			return
		}
		unique := s.d.newOwner(s)
		e := s.add(unique, nil, false, ikev2.NewResponder(s.env(unique, dg.Path), dg.Path))
		s.mux.Accepted(dg, unique)
		s.give(e, at, dg)
	}
}

func (s *shard) give(e *entry, at time.Time, dg ike.Datagram) {
	s.step(e, func() []ike.Action { return e.m.Receive(at, dg) })
}

// order carries out a command; one to a machine that is gone ends at once.
func (s *shard) order(unique uint64, c ike.Command) {
	n := requestOf(c)
	e := s.byUnique[unique]
	if e == nil {
		s.d.requests.resolve(n, goneOutcome(n))
		return
	}
	if len(e.requests) == 0 {
		e.failed = nil // what failed before is not this command's
	}
	if n != 0 {
		e.requests[n] = struct{}{}
	}
	s.step(e, func() []ike.Action { return e.m.Do(time.Now(), c) })
}

// requestOf is the number under which somebody waits for a command; zero: nobody does.
func requestOf(c ike.Command) uint64 {
	switch c := c.(type) {
	case ike.Initiate:
		return c.Request
	case ike.Terminate:
		return c.Request
	case ike.Rekey:
		return c.Request
	}
	return 0
}

func goneOutcome(n uint64) outcome {
	down := ike.Event{Kind: ike.EventIKEDown}
	return outcome{done: ike.Event{Kind: ike.EventCommandDone, Request: n, Err: "the IKE SA is gone"}, down: &down}
}

// dropped publishes an event about a datagram that was dropped, seldom enough.
func (s *shard) dropped(ev ike.Event) {
	now := time.Now()
	if int(ev.Drop) >= len(s.drops) {
		ev.Drop = 0
	}
	class := &s.drops[ev.Drop]
	if now.Sub(class.last) < dropPause {
		class.held++
		return
	}
	if class.held > 0 {
		ev.Detail += fmt.Sprintf(" (and %d more of this class)", class.held)
	}
	*class = dropClass{last: now}
	s.d.hub.publish(ev)
}

type dropClass struct {
	last time.Time
	held int
}

// numDrops is more than there are classes (ike.DropReason).
const numDrops = 16

// status asks a machine for a snapshot; a machine that panics is dropped and has none.
func (s *shard) status(e *entry) (st ike.Status, ok bool) {
	s.step(e, func() []ike.Action {
		st, ok = e.m.Status(time.Now()), true
		return nil
	})
	return st, ok
}

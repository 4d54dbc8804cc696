// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Answers to what machines ask. What is known at once is answered after the action list; what is slow goes to the workers
// and comes back through the shard's queue. A question whose machine is gone, or that was cancelled, is answered into
// nothing: the shard looks the token up before it hands an answer over.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// errBusy is the failure of a question that found the workers' queue full.
var errBusy = errors.New("too many key exchanges and signatures are waiting")

// ask puts a question to whoever can answer it. A defect there is a failure to this machine and to no other.
func (s *shard) ask(e *entry, t ike.Token, q ike.Question) {
	defer s.d.contain("the answer to a question of an IKE machine", func() { s.answerNow(e, t, failedInside()) })
	switch q := q.(type) {
	case ike.Remove:
		a := s.d.kernel.Ask(time.Now(), e.unique, q)
		if removed, ok := a.(ike.Removed); ok && q.SPIOut != 0 && !q.OnlyOut {
			e.keepFinal(q.SPIIn, removed.Final)
		}
		if !q.OnlyOut {
			s.d.client.removed(q.SPIIn)
		}
		s.answerNow(e, t, a)
	case ike.Install:
		s.install(e, t, q)
	case ike.Reserve, ike.Promote, ike.Move, ike.Query:
		s.answerNow(e, t, s.d.kernel.Ask(time.Now(), e.unique, q))
	case ike.KeyExchange:
		// The machine may be closed, and wipe what it has, while a worker still computes.
		q.Private = q.Private.Clone()
		s.work(e, t, func() ike.Answer {
			defer q.Private.Wipe()
			return keyExchange(q)
		})
	case ike.Sign:
		s.work(e, t, func() ike.Answer { return s.d.creds.Sign(time.Now(), q) })
	case ike.Verify:
		s.work(e, t, func() ike.Answer { return s.d.creds.Verify(time.Now(), q) })
	case ike.FindPSK:
		s.answerNow(e, t, s.d.creds.FindPSK(q))
	case ike.CertRequests:
		s.answerNow(e, t, s.d.creds.Authorities(q))
	case ike.FindConnections:
		s.answerNow(e, t, s.findConnections(q))
	case ike.Lease:
		s.ready = append(s.ready, ready{e: e, token: t, a: s.d.pools.lease(q), lease: q})
	case ike.Admit:
		s.answerNow(e, t, s.admit(q))
	default:
		s.answerNow(e, t, ike.Failed{Err: fmt.Errorf("question %T is not known", q)})
	}
}

// work answers by a worker.
func (s *shard) work(e *entry, t ike.Token, f func() ike.Answer) {
	answer := s.answerLater(e, t)
	job := func() {
		defer s.d.contain("a key exchange or a signature", func() { answer(failedInside()) })
		answer(f())
	}
	if !s.d.workers.do(job) {
		s.answerNow(e, t, ike.Failed{Refusal: ike.RefusalTemporary, Err: errBusy})
	}
}

func failedInside() ike.Answer {
	return ike.Failed{Refusal: ike.RefusalTemporary, Err: errors.New("an internal failure")}
}

// contain is deferred around code that works on what strangers sent: a panic is counted and logged, and instead is done.
func (d *Daemon) contain(what string, instead func()) {
	p := recover()
	if p == nil {
		return
	}
	d.counters.panics.Add(1)
	d.log.Error("an internal failure; please report this", "in", what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if instead != nil {
		instead()
	}
}

// keyExchange computes; the peer's value is validated by the suite (length, range, point on the curve).
func keyExchange(q ike.KeyExchange) ike.Answer {
	public, err := q.Group.Public(q.Private)
	if err != nil {
		return ike.Failed{Err: err}
	}
	if q.Peer == nil {
		return ike.KeyExchanged{Public: public}
	}
	shared, err := q.Group.Shared(q.Private, q.Peer)
	if err != nil {
		return ike.Failed{Err: fmt.Errorf("key exchange %s: %w", q.Group, err)}
	}
	return ike.KeyExchanged{Public: public, Shared: shared}
}

func (s *shard) findConnections(q ike.FindConnections) ike.Answer {
	return ike.Connections{List: s.d.connections.candidates(q.Path.Local.Addr(), q.Path.Remote.Addr(),
		func(host string) []netip.Addr { return s.d.resolver.known(host) })}
}

// admit decides by the registry and has those closed that the new SA replaces.
func (s *shard) admit(q ike.Admit) ike.Answer {
	replaced, others, err := s.d.registry.admit(q)
	if err != nil {
		return ike.Failed{Refusal: ike.RefusalAuthentication, Err: err}
	}
	for _, unique := range replaced {
		// INITIAL_CONTACT says that the peer knows nothing of the old SA: nobody would answer a delete.
		s.d.command(unique, ike.Terminate{Force: q.InitialContact, Reason: ike.CloseReplaced})
	}
	return ike.Admitted{Others: others}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The executor: carries out a machine's actions, in order. It decides nothing.

package daemon

import (
	"github.com/natterjack/natterjack/ike"
)

// perform executes actions in order. Answers that are known at once are queued in s.ready and given after the list.
func (s *shard) perform(e *entry, actions []ike.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case ike.Send:
			s.d.sockets.sendIKE(a.Path, a.Bytes)
		case ike.Keepalive:
			s.d.sockets.sendKeepalive(a.Path)
		case ike.Probe:
			s.d.plane.probe(a.SPIOut)
		case ike.Ask:
			e.asks[a.Token] = nil
			s.ask(e, a.Token, a.Question)
		case ike.Cancel:
			if cancel := e.asks[a.Token]; cancel != nil {
				cancel()
			}
			delete(e.asks, a.Token)
		case ike.Claim:
			e.spis[a.SPI] = struct{}{}
			s.bySPI[a.SPI] = e
		case ike.Release:
			delete(e.spis, a.SPI)
			delete(s.bySPI, a.SPI)
		case ike.Configure:
			s.d.client.configure(a)
		case ike.Unlease:
			s.d.pools.release(a)
		case ike.Report:
			s.report(e, a.Event)
		case ike.Close:
			s.drop(e)
			return
		}
	}
}

// report completes an event with what every event has and hands it to the hub.
func (s *shard) report(e *entry, ev ike.Event) {
	ev.Unique = e.unique
	if ev.Connection != "" {
		e.connection = ev.Connection
	}
	s.mux.Observe(e.unique, ev.Kind)
	s.d.hub.publish(ev)
}

// answerNow queues an answer that is known already.
func (s *shard) answerNow(e *entry, t ike.Token, a ike.Answer) {
	s.ready = append(s.ready, ready{e: e, token: t, a: a})
}

// answerLater returns the function by which another goroutine answers.
func (s *shard) answerLater(e *entry, t ike.Token) func(ike.Answer) {
	unique := e.unique
	return func(a ike.Answer) { s.q.put(input{unique: unique, token: t, answer: a}) }
}

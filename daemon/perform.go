// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The executor: carries out a machine's actions, in order. It decides nothing.

package daemon

import (
	"github.com/natterjack/natterjack/ike"
)

// perform executes actions in order. Answers that are known at once are queued in s.ready and given after the list.
func (s *shard) perform(e *entry, actions []ike.Action) {
	defer s.settle(e)
	for _, a := range actions {
		switch a := a.(type) {
		case ike.Send:
			e.remote = a.Path.Remote
			s.d.sockets.sendIKE(a.Path, a.Bytes)
		case ike.Keepalive:
			s.d.sockets.sendKeepalive(a.Path)
		case ike.Probe:
			if s.d.keyed != nil {
				// PF_KEY has no dummies. An IKE message is as authentic, and a peer follows it likewise.
				s.d.command(e.unique, ike.CheckLiveness{})
			} else if spi := s.d.kernel.inbound(e.unique, a.SPIOut); spi != 0 {
				s.d.plane.probe(spi)
			}
		case ike.Ask:
			e.asks[a.Token] = struct{}{}
			if _, ok := a.Question.(ike.KeyExchange); ok {
				s.d.counters.keyExchanges.Add(1)
			}
			s.ask(e, a.Token, a.Question)
		case ike.Cancel:
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
			for _, addr := range a.Addrs {
				delete(e.leases, addr)
			}
			s.d.pools.release(a)
		case ike.Report:
			s.report(e, a.Event)
		case ike.Close:
			s.drop(e)
			return
		}
	}
}

// report completes an event with what every event has and hands it on: keys to the key log alone, children to the host,
// the ends of commands to whoever waits, and everything to the hub.
func (s *shard) report(e *entry, ev ike.Event) {
	ev.Unique = e.unique
	switch ev.Kind {
	case ike.EventKeys:
		if s.d.keys != nil {
			s.d.keys.put(ev)
		}
		ev.Keys = nil
	case ike.EventDropped:
		s.dropped(ev)
		return
	case ike.EventFailed:
		e.failed = &ev
	case ike.EventIKEDown:
		e.down = &ev
	case ike.EventCommandDone:
		// Resolved after the action list, which may say also how the IKE SA fared.
		e.finished = append(e.finished, ev)
	case ike.EventChildDown:
		if ev.Child != nil {
			ev.Usage = s.finalUsage(e, ev)
		}
		s.d.client.event(ev)
	case ike.EventChildUp:
		s.d.client.event(ev)
	}
	if ev.Connection != "" && (e.conn == nil || e.conn.Name != ev.Connection) {
		e.conn = s.d.connections.byName(ev.Connection)
	}
	s.mux.Observe(e.unique, ev.Kind)
	s.d.hub.publish(ev)
}

// maxFinals bounds the counts that wait for their event.
const maxFinals = 256

// keepFinal keeps what a pair had counted when it was removed, for the event that says so.
func (e *entry) keepFinal(spiIn uint32, u ike.Usage) {
	if e.finals == nil || len(e.finals) >= maxFinals {
		e.finals = map[uint32]ike.Usage{}
	}
	e.finals[spiIn] = u
}

// finalUsage is what a child had counted in the end: the machine knows only what it asked for last.
func (s *shard) finalUsage(e *entry, ev ike.Event) ike.Usage {
	u, removed := e.finals[ev.Child.SPIIn]
	if !removed {
		u = s.d.kernel.usage(ev.Child.SPIIn)
	}
	delete(e.finals, ev.Child.SPIIn)
	if u.PacketsIn+u.PacketsOut < ev.Usage.PacketsIn+ev.Usage.PacketsOut {
		return ev.Usage
	}
	return u
}

// settle resolves the commands that ended in an action list.
func (s *shard) settle(e *entry) {
	for _, ev := range e.finished {
		delete(e.requests, ev.Request)
		s.d.requests.resolve(ev.Request, outcome{done: ev, failed: e.failed, down: e.down})
	}
	e.finished = e.finished[:0]
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

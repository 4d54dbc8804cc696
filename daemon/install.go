// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Installing a child: the host's guard and routes first, then the SAs, then the answer to the machine. In any other order the peer's
// first packet is delivered while the answer to it still has its old route, and leaves in the clear (RFC 4301, Section 5.1).

package daemon

import (
	"fmt"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
)

// install has the host set up for a child on the client's goroutine, and goes on when that is done. The keys are the data plane's from
// here on: what has them besides forgets them.
func (s *shard) install(e *entry, t ike.Token, q ike.Install) {
	defer wipeKeys(q.Child)
	older, err := s.d.holders.hold(time.Now(), &q.Child, s.d.kernel.tells(&q.Child))
	if err != nil {
		s.d.kernel.Ask(time.Now(), e.unique, ike.Remove{SPIIn: q.Child.SPIIn})
		s.answerNow(e, t, ike.Failed{Refusal: ike.RefusalSelectors, Err: err})
		return
	}
	if s.d.client.host == nil {
		s.answerNow(e, t, s.installed(e, q, older))
		return
	}
	seen := q.Child
	for _, k := range keysOf(&seen) {
		*k = secret.Key{}
	}
	for _, k := range keysOf(&q.Child) {
		*k = k.Clone()
	}
	s.d.client.prepare(&seen, func(err error) {
		s.q.put(input{call: func(s *shard) { s.prepared(e, t, q, older, err) }})
	})
}

func keysOf(c *ike.ChildSA) [4]*secret.Key {
	return [...]*secret.Key{&c.KeyIn, &c.KeyOut, &c.IntegIn, &c.IntegOut}
}

func wipeKeys(c ike.ChildSA) {
	for _, k := range keysOf(&c) {
		k.Wipe()
	}
}

// installed installs the SAs of a child.
func (s *shard) installed(e *entry, q ike.Install, older []*holder) ike.Answer {
	a := s.d.kernel.Ask(time.Now(), e.unique, q)
	if _, ok := a.(ike.Installed); !ok {
		return a
	}
	if s.d.holders.settle(q.Child.SPIIn) { // by one that began later and was done sooner
		s.d.stopTaken(e.unique, q.Child.SPIIn, q.Child.ChildID)
	}
	s.d.takeOver(older)
	return a
}

// prepared installs the SAs of a child that the host is set up for, unless the machine wants it no more.
func (s *shard) prepared(e *entry, t ike.Token, q ike.Install, older []*holder, err error) {
	defer wipeKeys(q.Child)
	if _, wanted := e.asks[t]; !wanted || e.closed {
		s.d.client.removed(q.Child.SPIIn)
		return
	}
	delete(e.asks, t)
	var a ike.Answer
	if err == nil {
		a = s.installed(e, q, older)
	} else {
		s.d.kernel.Ask(time.Now(), e.unique, ike.Remove{SPIIn: q.Child.SPIIn})
		a = ike.Failed{Err: fmt.Errorf("this host could not be set up for child %q: %w", q.Child.Name, err)}
	}
	if _, ok := a.(ike.Installed); !ok {
		s.d.client.removed(q.Child.SPIIn)
	}
	s.step(e, func() []ike.Action { return e.m.Answer(time.Now(), t, a) })
}

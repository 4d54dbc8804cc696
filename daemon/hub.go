// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The event hub: every event goes once to every subscriber (log, VICI, command line, demo). A subscriber that does not
// keep up loses events, and is told how many; it never makes a shard wait.

package daemon

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// subscriberQueue is how many events may wait for one subscriber: a burst of 100 logins of ten events each.
const subscriberQueue = 1024

// Subscription receives events until it is closed.
type Subscription struct {
	C    <-chan ike.Event
	c    chan ike.Event
	lost atomic.Uint64
	hub  *hub
}

// Lost is how many events were not delivered because C was full.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription and closes C.
func (s *Subscription) Close() { s.hub.remove(s) }

// hub is safe for concurrent use.
type hub struct {
	mu   sync.Mutex // protects subs, and orders publish against close
	subs map[*Subscription]struct{}
}

func newHub() *hub { return &hub{subs: map[*Subscription]struct{}{}} }

func (h *hub) subscribe() *Subscription {
	c := make(chan ike.Event, subscriberQueue)
	s := &Subscription{C: c, c: c, hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[s] = struct{}{}
	return s
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		close(s.c)
	}
}

// publish hands ev to every subscriber, and never waits. Key material goes only to the key log, by its own call.
func (h *hub) publish(ev ike.Event) {
	if ev.At.IsZero() {
		ev.At = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		select {
		case s.c <- ev:
		default:
			s.lost.Add(1)
		}
	}
}

// close ends every subscription.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		delete(h.subs, s)
		close(s.c)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func TestHubGivesEveryEventToEverySubscriber(t *testing.T) {
	h := newHub()
	a, b := h.subscribe(), h.subscribe()
	h.publish(ike.Event{Kind: ike.EventIKEUp, Unique: 7})
	for _, s := range []*Subscription{a, b} {
		if ev := <-s.C; ev.Unique != 7 || ev.At.IsZero() {
			t.Errorf("event %+v, expected that of 7 with its time", ev)
		}
	}
	b.Close()
	b.Close() // idempotent
	if _, open := <-b.C; open {
		t.Error("a closed subscription has an open channel")
	}
	h.close()
	if _, open := <-a.C; open {
		t.Error("a closed hub left a channel open")
	}
	a.Close()
}

func TestHubDoesNotWaitForASlowSubscriber(t *testing.T) {
	h := newHub()
	s := h.subscribe()
	for range subscriberQueue + 5 {
		h.publish(ike.Event{Kind: ike.EventMessage})
	}
	if s.Lost() != 5 {
		t.Errorf("%d events lost, expected 5", s.Lost())
	}
}

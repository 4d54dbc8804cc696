// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func TestRequestsAreResolvedOnce(t *testing.T) {
	r := newRequests()
	q := r.begin()
	r.resolve(q.number, outcome{done: ike.Event{Err: "first"}})
	r.resolve(q.number, outcome{done: ike.Event{Err: "second"}})
	<-q.done
	if q.out.done.Err != "first" {
		t.Errorf("outcome %q, expected the first", q.out.done.Err)
	}
	open := r.begin()
	r.close()
	<-open.done
	if open.out.down == nil {
		t.Error("a request outlived the daemon without an end")
	}
	late := r.begin()
	<-late.done
	forgotten := newRequests()
	n := forgotten.begin().number
	forgotten.forget(n)
	forgotten.resolve(n, outcome{})
	if len(forgotten.open) != 0 {
		t.Error("a forgotten request is kept")
	}
}

func TestTargets(t *testing.T) {
	st := ike.Status{Unique: 4, Connection: "office"}
	child := ike.ChildStatus{ChildSA: ike.ChildSA{Name: "web", ChildID: 9}}
	for _, c := range []struct {
		t    Target
		want bool
	}{
		{Target{IKE: "office"}, true}, {Target{IKE: "home"}, false}, {Target{IKEID: 4}, true}, {Target{IKEID: 5}, false},
		{Target{Child: "web"}, true}, {Target{IKE: "home", Child: "web"}, false}, {Target{IKE: "office", ChildID: 9}, true}, {Target{ChildID: 8}, false},
	} {
		if got := c.t.matches(st) && (!c.t.Children() || c.t.matchesChild(child)); got != c.want {
			t.Errorf("%s matches: %v", c.t, got)
		}
	}
}

func TestSlept(t *testing.T) {
	// A timer that fired much too late on a system whose monotonic clock goes on during sleep.
	last := testTime()
	if got := sleptFor(last, last.Add(watchPause)); got != 0 {
		t.Errorf("slept %s between two ticks", got)
	}
	if got := sleptFor(last, last.Add(5*sleptAtLeast)); got != 5*sleptAtLeast {
		t.Errorf("slept %s, expected %s", got, 5*sleptAtLeast)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func TestQueueBoundsDatagramsOnly(t *testing.T) {
	q := newQueue()
	for i := range maxQueuedDatagrams {
		if !q.put(input{datagram: &ike.Datagram{}}) {
			t.Fatalf("datagram %d was refused", i)
		}
	}
	if q.put(input{datagram: &ike.Datagram{}}) {
		t.Error("a datagram too many was taken")
	}
	if !q.put(input{unique: 1, notice: ike.Lost{}}) {
		t.Error("a notice was refused: its machine would wait for ever")
	}
	items := q.take(nil)
	if len(items) != maxQueuedDatagrams+1 || items[len(items)-1].notice == nil {
		t.Errorf("%d items, the last %+v: expected the order kept", len(items), items[len(items)-1])
	}
	if !q.put(input{datagram: &ike.Datagram{}}) {
		t.Error("a datagram was refused by an empty queue")
	}
	select {
	case <-q.wake:
	default:
		t.Error("nobody was woken")
	}
}

// A flood of the largest datagrams waits in no more memory than one of small ones (HOSTILE T-059: 32 MiB in all).
func TestT059QueueBoundsOctets(t *testing.T) {
	q := newQueue()
	large := make([]byte, 65000)
	taken := 0
	for q.put(input{datagram: &ike.Datagram{Bytes: large}}) {
		taken++
	}
	if taken == 0 || taken*len(large) > maxQueuedOctets {
		t.Errorf("%d datagrams of %d octets wait", taken, len(large))
	}
	if len(q.take(nil)) != taken || !q.put(input{datagram: &ike.Datagram{Bytes: large}}) {
		t.Error("what was taken still counts")
	}
}

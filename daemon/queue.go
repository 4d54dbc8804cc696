// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The queue in front of a shard. Datagrams come from the network and are refused when too many wait; answers, notices
// and commands have a cause inside this process, which bounds them, and are never refused: a lost answer would leave a
// machine waiting. One queue keeps their order.

package daemon

import (
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// maxQueuedDatagrams is how many received IKE messages may wait for one shard. A burst of logins behind one modular
// exponentiation (5 ms) fits; a flood does not grow memory beyond this times 64 KiB.
const maxQueuedDatagrams = 2048

// input is one thing for a shard. Exactly one of its kinds is set.
type input struct {
	datagram *ike.Datagram
	at       time.Time
	unique   uint64 // the machine; zero with notice: all machines
	token    ike.Token
	answer   ike.Answer
	notice   ike.Notice
	command  ike.Command
	call     func(*shard)
}

// queue is an unbounded FIFO with a bound on datagrams. The zero value is not usable: newQueue.
type queue struct {
	mu        sync.Mutex // protects the two fields below
	items     []input
	datagrams int

	wake chan struct{} // capacity 1: something is there
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends an item; false: it was a datagram too many.
func (q *queue) put(in input) bool {
	q.mu.Lock()
	if in.datagram != nil {
		if q.datagrams >= maxQueuedDatagrams {
			q.mu.Unlock()
			return false
		}
		q.datagrams++
	}
	q.items = append(q.items, in)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns what waits and leaves spare, emptied, as the next buffer.
func (q *queue) take(spare []input) []input {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.datagrams = spare[:0], 0
	return items
}

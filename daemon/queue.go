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

const (
	// maxQueuedDatagrams is how many received IKE messages may wait for one shard. A burst of logins behind one modular
	// exponentiation (5 ms) fits.
	maxQueuedDatagrams = 2048
	// maxQueuedOctets is how many octets they may have together: as many messages of 1 KiB. A flood of the largest datagrams
	// grows memory by this and the same once more in hand, for each of at most eight shards: HOSTILE T-059 allows 32 MiB.
	maxQueuedOctets = 2 << 20
)

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
	mu        sync.Mutex // protects the fields below
	items     []input
	datagrams int
	octets    int // of the datagrams

	wake chan struct{} // capacity 1: something is there
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends an item; false: it was a datagram too many.
func (q *queue) put(in input) bool {
	q.mu.Lock()
	if in.datagram != nil {
		n := len(in.datagram.Bytes)
		if q.datagrams >= maxQueuedDatagrams || q.octets+n > maxQueuedOctets {
			q.mu.Unlock()
			return false
		}
		q.datagrams++
		q.octets += n
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
	q.items, q.datagrams, q.octets = spare[:0], 0, 0
	return items
}

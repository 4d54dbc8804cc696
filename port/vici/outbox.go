// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What waits to be written to one client. Replies wait for room, so that a long list of SAs goes at the client's pace; events
// do not: a client that does not read them is disconnected. Whoever publishes an event never waits.

package vici

import (
	"errors"
	"sync"
)

// errGone is returned to a command whose client was disconnected.
var errGone = errors.New("the client is gone")

// outbox is safe for concurrent use.
type outbox struct {
	mu     sync.Mutex // protects what follows
	queue  [][]byte
	octets int
	closed bool
	// more and room wake the writer and one that waits for room; each holds one token.
	more, room chan struct{}
	done       chan struct{} // closed with closed
}

func newOutbox() *outbox {
	return &outbox{more: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{})}
}

// offer queues b, or returns false where there is no room.
func (o *outbox) offer(b []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || len(o.queue) > 0 && (o.octets+len(b) > maxOutbox || len(o.queue) >= maxOutboxPackets) {
		return false
	}
	o.queue = append(o.queue, b)
	o.octets += len(b)
	signal(o.more)
	return true
}

// put queues b as soon as there is room.
func (o *outbox) put(b []byte) error {
	for !o.offer(b) {
		select {
		case <-o.done:
			return errGone
		case <-o.room:
		}
	}
	return nil
}

// take waits for packets; nil: the outbox is closed and empty.
func (o *outbox) take() []byte {
	for {
		o.mu.Lock()
		if len(o.queue) > 0 {
			b := o.queue[0]
			o.queue[0] = nil
			o.queue = o.queue[1:]
			o.octets -= len(b)
			signal(o.room)
			o.mu.Unlock()
			return b
		}
		closed := o.closed
		o.mu.Unlock()
		if closed {
			return nil
		}
		select {
		case <-o.more:
		case <-o.done:
		}
	}
}

// close lets nothing more in. What is queued can still be taken.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		close(o.done)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What waits to be written to one client. A message goes into the socket at once where nothing waits and there is room, so that an
// answer can be read before its request is consumed; otherwise it is queued, and one goroutine writes the queue at the client's pace.

package pfkey

import (
	"net"
	"sync"
)

// outbox is safe for concurrent use.
type outbox struct {
	conn *net.UnixConn
	// halfEmpty is called when there is room for more of a DUMP. It must not wait.
	halfEmpty func()

	mu      sync.Mutex // protects what follows
	cond    sync.Cond  // a message was queued, or taken, or the outbox was closed
	queue   [][]byte
	octets  int
	writing bool // the drain has taken a message and not yet written it
	closed  bool
	done    chan struct{} // closed with closed
}

func newOutbox(conn *net.UnixConn, halfEmpty func()) *outbox {
	o := &outbox{conn: conn, halfEmpty: halfEmpty, done: make(chan struct{})}
	o.cond.L = &o.mu
	return o
}

// put writes or queues b. Where there is no room it returns false, but for what must not be lost: the answers to one request at a time.
func (o *outbox) put(b []byte, must bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true // nobody is left who could miss it
	}
	if len(o.queue) == 0 && !o.writing {
		rest, err := tryWrite(o.conn, b)
		if err != nil || len(rest) == 0 {
			return true // its reader will see what is wrong
		}
		b = rest
	} else if !must && o.full() {
		return false
	}
	o.queue = append(o.queue, b)
	o.octets += len(b)
	o.cond.Broadcast()
	return true
}

func (o *outbox) full() bool { return o.octets >= maxQueue || len(o.queue) >= maxQueueMessages }

// room reports whether more of a DUMP should be made.
func (o *outbox) room() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.closed && o.octets < maxQueue/2 && len(o.queue) < maxQueueMessages/2
}

// wait waits until the outbox is not full. False: it is closed.
func (o *outbox) wait() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.full() && !o.closed {
		o.cond.Wait()
	}
	return !o.closed
}

// take waits for a message; nil: the outbox is closed.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	for len(o.queue) == 0 && !o.closed {
		o.cond.Wait()
	}
	if o.closed {
		return nil
	}
	b := o.queue[0]
	o.queue[0] = nil
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil // and its array, which a burst may have made large
	}
	o.octets -= len(b)
	o.writing = true
	o.cond.Broadcast()
	return b
}

// drain writes the queue until the outbox is closed or the client gone.
func (o *outbox) drain() {
	for b := o.take(); b != nil; b = o.take() {
		if _, err := o.conn.Write(b); err != nil {
			o.close()
			return
		}
		if o.room() {
			o.halfEmpty()
		}
	}
}

// close drops what is queued. It never waits.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		o.queue, o.octets = nil, 0
		close(o.done)
		o.cond.Broadcast()
	}
}

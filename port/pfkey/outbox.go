// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What waits to be written to one client. A message goes into the socket at once where nothing waits and there is room, so that an
// answer can be read before its request is consumed; otherwise it is queued, and one goroutine writes the queue at the client's pace.

package pfkey

import (
	"net"
	"sync"
	"sync/atomic"
)

// message is octets for one client or several, cleared when nobody needs them any more: there may be keys in them.
type message struct {
	b     []byte
	users atomic.Int32
}

func newMessage(b []byte, users int32) *message {
	m := &message{b: b}
	m.users.Store(users)
	return m
}

// done is said once for each user.
func (m *message) done() {
	if m.users.Add(-1) == 0 {
		clear(m.b)
	}
}

// queued is what of a message is to be written.
type queued struct {
	*message
	rest []byte
}

// outbox is safe for concurrent use.
type outbox struct {
	conn *net.UnixConn
	// halfEmpty is called when there is room for more of a DUMP. It must not wait.
	halfEmpty func()

	mu      sync.Mutex // protects what follows
	cond    sync.Cond  // a message was queued, or taken, or the outbox was closed
	queue   []queued
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

// put writes or queues m. Where there is no room it returns false, but for what must not be lost: the answers to one request at a time.
func (o *outbox) put(m *message, must bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := m.b
	switch {
	case o.closed:
		m.done()
		return true // nobody is left who could miss it
	case len(o.queue) == 0 && !o.writing:
		var err error
		if rest, err = tryWrite(o.conn, m.b); err != nil || len(rest) == 0 {
			m.done()
			return true // its reader will see what is wrong
		}
	case !must && o.full():
		m.done()
		return false
	}
	o.queue = append(o.queue, queued{m, rest})
	o.octets += len(rest)
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

// take waits for a message; false: the outbox is closed.
func (o *outbox) take() (q queued, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
	for len(o.queue) == 0 && !o.closed {
		o.cond.Wait()
	}
	if o.closed {
		return queued{}, false
	}
	q = o.queue[0]
	o.queue[0] = queued{}
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil // and its array, which a burst may have made large
	}
	o.octets -= len(q.rest)
	o.writing = true
	o.cond.Broadcast()
	return q, true
}

// drain writes the queue until the outbox is closed or the client gone.
func (o *outbox) drain() {
	for q, ok := o.take(); ok; q, ok = o.take() {
		_, err := o.conn.Write(q.rest)
		q.done()
		if err != nil {
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
		for _, q := range o.queue {
			q.done()
		}
		o.queue, o.octets = nil, 0
		close(o.done)
		o.cond.Broadcast()
	}
}

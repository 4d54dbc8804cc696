// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package pfkey has the sockets of PF_KEY version 2: a hub that carries messages between local clients and a server (package
// ipsec/keysock), over Unix sockets that keep messages apart (SOCK_SEQPACKET) or do not (stream, where a message's own length tells
// where it ends), and a client for Go programs. What the octets mean is package wire/pfkey.
//
// A request is peeked at, answered, and only then consumed: a client that waits until its socket's send queue is empty finds the
// answer ready to be read, as with a kernel, whose write(2) returns with the answer queued. Nothing that the server does ever waits
// for a client: each has a bounded queue. A client that does not read loses what others caused (counted, as a kernel's ENOBUFS
// is), and is not served before it has read the answers to its own requests. A DUMP is made at the pace of its reader.
package pfkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// The limits of the sockets.
const (
	// maxQueue and maxQueueMessages are what may wait for one client, beside what the system buffers: the notices of a restart of a
	// thousand SAs. With 256 clients that do not read it is 64 MiB.
	maxQueue         = 256 * 1024
	maxQueueMessages = 1024
	// dumpBurst is how many messages of a DUMP are made before somebody else's request has its turn.
	dumpBurst = 64
	// logPause lies between two lines of one kind that clients can cause: fewer than 1,000 in an hour (HOSTILE T-103).
	logPause = 4 * time.Second
	// acceptPause is the pause after a failure of accept (no more file descriptors).
	acceptPause = 100 * time.Millisecond
)

// Server is what the hub serves: *keysock.Server. One goroutine of the hub calls all methods.
type Server interface {
	// Attach adds a client, Detach forgets it.
	Attach(now time.Time, info wire.ClientInfo) (wire.ClientID, error)
	Detach(now time.Time, id wire.ClientID)
	// Handle serves a request and returns all messages that it causes, the requester's included. The error says that a kernel's write
	// would have failed; it is for those who can fail a write. msg is overwritten after the return, and what is returned is cleared
	// when it is written.
	Handle(now time.Time, id wire.ClientID, msg []byte) ([]wire.Delivery, error)
	// Next returns the next message of the client's running DUMP, nil where there is none, and whether there may be another.
	Next(now time.Time, id wire.ClientID) (msg []byte, more bool)
}

// HostDialect is the dialect of the system that this runs on: FreeBSD's where it has none of its own here.
func HostDialect() wire.Dialect {
	switch runtime.GOOS {
	case "linux", "android":
		return wire.Linux
	case "netbsd":
		return wire.NetBSD
	}
	return wire.FreeBSD
}

// Hub carries messages between clients and a server. Its methods are safe for concurrent use.
type Hub struct {
	server Server
	log    *slog.Logger
	turns  chan func()   // to the goroutine that owns server and clients
	closed chan struct{} // by Close
	once   sync.Once
	ended  sync.WaitGroup // the owner, and all that serves clients
	lost   atomic.Uint64

	clients map[wire.ClientID]*client // owned by the owner's goroutine

	mu        sync.Mutex // protects what follows
	listeners map[*Listener]struct{}
	said      map[string]*line
}

// line is one kind of log line: when it was written, and how often it was not since.
type line struct {
	at   time.Time
	held int
}

// complain writes a line that clients can cause as often as they like.
func (h *Hub) complain(level slog.Level, text string, attrs ...any) {
	now := time.Now()
	h.mu.Lock()
	l := h.said[text]
	if l == nil {
		l = &line{}
		h.said[text] = l
	}
	if !l.at.IsZero() && now.Sub(l.at) < logPause {
		l.held++
		h.mu.Unlock()
		return
	}
	if l.held > 0 {
		attrs = append(attrs, "not_logged", l.held)
	}
	*l = line{at: now}
	h.mu.Unlock()
	h.log.Log(context.Background(), level, text, attrs...)
}

// NewHub starts the goroutine that owns the server. Close ends it.
func NewHub(server Server, log *slog.Logger) *Hub {
	h := &Hub{server: server, log: log, turns: make(chan func()), closed: make(chan struct{}), clients: map[wire.ClientID]*client{},
		listeners: map[*Listener]struct{}{}, said: map[string]*line{}}
	h.ended.Go(h.own)
	return h
}

// own runs what is to be done, one after the other.
func (h *Hub) own() {
	for {
		select {
		case <-h.closed:
			for _, c := range h.clients {
				c.end()
			}
			return
		case turn := <-h.turns:
			turn()
		}
	}
}

// do has the owner run f, and waits for it. False: the hub is closed.
func (h *Hub) do(f func()) bool {
	done := make(chan struct{})
	select {
	case <-h.closed:
		return false
	case h.turns <- func() { defer close(done); f() }:
		<-done
		return true
	}
}

// Do runs f on the goroutine that owns the server and delivers what it returns: notices of the engine. False: the hub is closed.
// A panic in f is not caught and ends the process: it is the engine's own, whose SAs cannot be trusted afterwards, and not of a message
// of a client, which handle catches.
func (h *Hub) Do(f func(now time.Time) []wire.Delivery) bool {
	return h.do(func() { h.deliver(f(time.Now()), 0) })
}

// Lost is how many messages clients did not get because they do not read.
func (h *Hub) Lost() uint64 { return h.lost.Load() }

// Serve accepts clients until the listener or the hub is closed.
func (h *Hub) Serve(l *Listener) {
	h.mu.Lock()
	h.listeners[l] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.listeners, l)
		h.mu.Unlock()
	}()
	for {
		select {
		case <-h.closed:
			l.Close()
			return
		default:
		}
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			h.complain(slog.LevelWarn, "PF_KEY socket: a client could not be accepted", "socket", l.Path(), "error", err)
			select {
			case <-h.closed:
			case <-time.After(acceptPause):
			}
		default:
			h.admit(l, conn)
		}
	}
}

// admit asks who it is, and serves who may be served.
func (h *Hub) admit(l *Listener, conn *net.UnixConn) {
	peer, privileged := peerOf(conn, l.config.Readable)
	if !privileged && !l.config.Readable {
		h.complain(slog.LevelWarn, "PF_KEY client refused: it is of another user", "socket", l.Path(), "uid", peer.UID)
		conn.Close()
		return
	}
	if err := h.Add(conn, wire.ClientInfo{Dialect: l.config.Dialect, Privileged: privileged}); err != nil {
		h.complain(slog.LevelWarn, "PF_KEY client refused", "socket", l.Path(), "uid", peer.UID, "error", err)
	}
}

// ErrClosed: the hub is closed.
var ErrClosed = errors.New("PF_KEY: the hub is closed")

var errDefect = errors.New("PF_KEY: a defect, see the log")

// Add serves a connection, which is the hub's from now on, also where it fails. Its kind (SOCK_SEQPACKET or stream) is found out.
func (h *Hub) Add(conn *net.UnixConn, info wire.ClientInfo) error {
	err := ErrClosed
	h.do(func() {
		defer func() {
			if r := recover(); r != nil {
				h.report(0, r)
				err = errDefect
			}
		}()
		var id wire.ClientID
		if id, err = h.server.Attach(time.Now(), info); err != nil {
			return
		}
		c := newClient(h, id, conn, info.Dialect)
		h.clients[id] = c
		h.ended.Go(c.read)
		h.ended.Go(c.write)
	})
	if err != nil {
		conn.Close()
	}
	return err
}

// forget ends a client; called by its reader, which ends afterwards.
func (h *Hub) forget(c *client) {
	h.do(func() {
		defer h.guard(c)
		delete(h.clients, c.id)
		h.server.Detach(time.Now(), c.id)
	})
	c.end()
}

// handle serves one request of a client.
func (h *Hub) handle(c *client, msg []byte) bool {
	return h.do(func() {
		defer h.guard(c)
		// The errno is for a write that can still fail; whoever wrote to a socket of ours reads it in the answer.
		out, _ := h.server.Handle(time.Now(), c.id, msg)
		h.deliver(out, c.id)
		h.pull(c)
	})
}

// guard keeps a defect that one client's message found from taking the engine along: the client is ended, and said to have been.
func (h *Hub) guard(c *client) {
	if r := recover(); r != nil {
		h.report(c.id, r)
		c.end()
	}
}

func (h *Hub) report(id wire.ClientID, r any) {
	h.log.Error("a PF_KEY request failed; please report this", "client", uint64(id), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
}

// deliver queues messages. What is not an answer to the requester is lost where a client does not read.
func (h *Hub) deliver(list []wire.Delivery, requester wire.ClientID) {
	shared := messages(list)
	for _, d := range list {
		if len(d.Msg) == 0 {
			continue
		}
		m, c := shared[&d.Msg[0]], h.clients[d.To]
		if c == nil {
			m.done()
			continue
		}
		if c.out.put(m, d.To == requester) {
			continue
		}
		h.lost.Add(1)
		if c.lost++; c.lost == 1 {
			h.complain(slog.LevelWarn, "a PF_KEY client does not read: it loses messages", "client", uint64(c.id))
		}
	}
}

// messages are the octets of deliveries, which several may share, with how many do.
func messages(list []wire.Delivery) map[*byte]*message {
	shared := make(map[*byte]*message, 1)
	for _, d := range list {
		if len(d.Msg) == 0 {
			continue
		}
		if m := shared[&d.Msg[0]]; m != nil {
			m.users.Add(1)
		} else {
			shared[&d.Msg[0]] = newMessage(d.Msg, 1)
		}
	}
	return shared
}

// pull makes messages of a running DUMP while there is room for them, a burst at a time.
func (h *Hub) pull(c *client) {
	defer h.guard(c)
	for range dumpBurst {
		if !c.out.room() {
			return // its drain comes back
		}
		msg, more := h.server.Next(time.Now(), c.id)
		if msg != nil {
			c.out.put(newMessage(msg, 1), true)
		}
		if !more {
			return
		}
	}
	c.again() // after the others
}

// Close ends the hub, its listeners and its clients.
func (h *Hub) Close() {
	h.once.Do(func() { close(h.closed) })
	h.mu.Lock()
	for l := range h.listeners {
		l.Close()
	}
	h.mu.Unlock()
	h.ended.Wait()
}

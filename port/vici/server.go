// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The server: it accepts clients, bounds their number, and hands events to those that registered them. One goroutine reads a
// client, one writes to it, one carries out its commands one after the other.

package vici

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/port/unixsocket"
	wire "github.com/natterjack/natterjack/wire/vici"
)

const (
	// flushTime is how long the server's end waits for replies to be read.
	flushTime = 300 * time.Millisecond
	// acceptPause is the pause after a failure of accept (no more file descriptors).
	acceptPause = 100 * time.Millisecond
)

// Peer is who connected, as the kernel says; -1 where it does not.
type Peer = unixsocket.Peer

// Emit sends an event of a running command to its client, if the client registered it. It waits while the client is slow and
// fails when the client is gone.
type Emit func(event string, m *wire.Section) error

// Service is what the server serves. Its methods are called from many goroutines.
type Service interface {
	// Serve carries out one command; known is false where there is none of that name. It returns soon after ctx has ended,
	// which happens when the client is gone. args and its values are overwritten after the return: what is kept is copied.
	Serve(ctx context.Context, peer Peer, command string, args *wire.Section, emit Emit) (reply *wire.Section, known bool)
	// HasEvent reports whether there is an event of that name.
	HasEvent(name string) bool
}

// Server serves VICI. Its methods are safe for concurrent use.
type Server struct {
	service Service
	log     *slog.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	closing atomic.Bool
	done    sync.WaitGroup
	// frameTime is how long a frame may take; a constant outside of tests. Immutable after NewServer.
	frameTime time.Duration

	mu        sync.Mutex // protects what follows; never held while something waits
	listeners map[*Listener]struct{}
	clients   map[*client]struct{}
}

// NewServer makes a server that has no socket yet.
func NewServer(service Service, log *slog.Logger) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		service: service, log: log, ctx: ctx, cancel: cancel, frameTime: frameTime,
		listeners: map[*Listener]struct{}{}, clients: map[*client]struct{}{},
	}
}

// Serve accepts clients until the listener or the server is closed.
func (s *Server) Serve(l *Listener) {
	s.mu.Lock()
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	for !s.closing.Load() {
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Warn("control socket: a client could not be accepted", "error", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(acceptPause):
			}
		default:
			s.admit(conn)
		}
	}
}

// admit starts to serve a client, in the place of an idle one where there are too many.
func (s *Server) admit(conn *net.UnixConn) {
	peer, err := unixsocket.PeerOf(conn)
	if err != nil {
		s.log.Debug("control socket: the system does not say who connected", "error", err) // the socket's mode has decided
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		conn.Close()
		return
	}
	if len(s.clients) >= maxClients {
		idle := s.longestIdle()
		if idle == nil {
			conn.Close()
			s.log.Warn("control client refused: too many are being served", "uid", peer.UID, "pid", peer.PID, "clients", len(s.clients))
			return
		}
		s.log.Warn("idle control client disconnected in favour of another", "uid", idle.peer.UID, "pid", idle.peer.PID)
		delete(s.clients, idle)
		idle.end()
	}
	c := newClient(s, conn, peer)
	s.clients[c] = struct{}{}
	s.log.Debug("control client connected", "uid", peer.UID, "pid", peer.PID)
	s.done.Go(c.run)
}

// longestIdle is the client that has been silent for longest, of those that neither run a command nor wait for events.
func (s *Server) longestIdle() *client {
	var found *client
	for c := range s.clients {
		if c.waiting() && (found == nil || c.since.Load() < found.since.Load()) {
			found = c
		}
	}
	return found
}

// Wanted reports whether any client registered the event: what nobody wants need not be made.
func (s *Server) Wanted(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.registered(event) {
			return true
		}
	}
	return false
}

// Publish sends an event to every client that registered it, and waits for none of them.
func (s *Server) Publish(event string, m *wire.Section) {
	b, err := (&wire.Packet{Type: wire.Event, Name: event, Message: m}).Append(nil)
	if err != nil {
		s.log.Warn("control event is too large", "event", event, "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.registered(event) && !c.out.offer(b) {
			s.log.Warn("control client disconnected: it does not read its events", "uid", c.peer.UID, "pid", c.peer.PID)
			delete(s.clients, c)
			c.end()
		}
	}
}

// Close ends the server, its listeners and its clients; running commands see their context end. Replies that are queued still
// have flushTime to be read.
func (s *Server) Close() {
	s.closing.Store(true)
	s.cancel()
	s.mu.Lock()
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.clients {
		c.flush()
	}
	s.mu.Unlock()
	s.done.Wait()
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package keyhost is the kernel's place beside a key daemon: an engine (SAD, SPD, ESP, AH, IPComp, the device, raw sockets and
// encapsulated ports) whose keys and policies come by PF_KEY (RFC 2367) instead of from IKE in this process.
//
// Clients are privileged: what they say becomes SAs, policies, routes and packet filter rules. Datagrams and inner packets are
// anybody's and judged by the engine. It guarantees that a policy's traffic is kept out of the clear before the client reads the
// answer to its request (what the host refuses is said in the log and tried again; kernels have no such answer, and clients that know
// wire.PrivateHost have one), and that Close takes back everything that was changed of the host.
package keyhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/pfkey"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// Host is what policies change of the operating system: *host.Host.
type Host interface {
	HoldPolicy(host.KeyPolicy) error
	DropPolicy(id uint32) error
}

// ServerOptions says what a Server serves.
type ServerOptions struct {
	DB *sadb.DB
	// Host puts policies in force outside of the engine; nil: nothing does.
	Host Host
	// Changed is called, from any goroutine, when SAs or policies may have changed: held packets may leave, deadlines be nearer.
	Changed func()
	// PassOthers lets packets that meet no policy out in the clear, as a kernel does. Without it the engine drops them.
	PassOthers bool
	Log        *slog.Logger
}

// Server is PF_KEY on an engine. Its methods are safe for concurrent use.
type Server struct {
	opts ServerOptions
	hub  *pfkey.Hub

	mu      sync.Mutex // protects loops' beginning and closed
	loops   sync.WaitGroup
	closed  bool
	watched *policies
}

// NewServer makes a server without listeners.
func NewServer(o ServerOptions) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	s := &Server{opts: o, watched: newPolicies(o)}
	keys := keysock.New(o.DB, keysock.Config{Order: binary.NativeEndian, Enforce: s.watched.enforce})
	s.watched.keys = keys.Notice
	s.hub = pfkey.NewHub(&turns{Server: keys, s: s}, o.Log)
	s.watched.later = func() {
		s.hub.Do(func(time.Time) []wire.Delivery {
			s.watched.due = true
			s.watched.sync()
			return nil
		})
	}
	s.watched.later()
	return s
}

// turns is the key server with what follows each request.
type turns struct {
	*keysock.Server
	s *Server
}

// Handle serves a request; the host follows before the answer can be read.
func (t *turns) Handle(now time.Time, id wire.ClientID, msg []byte) ([]wire.Delivery, error) {
	out, err := t.Server.Handle(now, id, msg)
	t.s.watched.sync()
	t.s.opts.Changed()
	return out, err
}

// Listen makes a listening path and serves it.
func (s *Server) Listen(path string, c pfkey.Config) error {
	l, err := pfkey.Listen(path, c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(errClosed, l.Close())
	}
	s.loops.Go(func() { s.hub.Serve(l) })
	return nil
}

var errClosed = errors.New("PF_KEY: closed")

// Notice takes what the engine saw. Notices of IKE's own pairs are ignored.
func (s *Server) Notice(n sadb.Notice) {
	s.hub.Do(func(now time.Time) []wire.Delivery {
		list := s.watched.keys(now, n)
		if n.Kind == sadb.PolicyExpire {
			s.watched.sync()
		}
		return list
	})
}

// Lost is how many messages clients did not get because they do not read.
func (s *Server) Lost() uint64 { return s.hub.Lost() }

// Close ends listeners and clients, and takes back what their policies changed of the host.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	s.hub.Close()
	s.loops.Wait()
	s.watched.close()
}

// ParsePath reads PATH[=DIALECT]; without a dialect it is the system's own.
func ParsePath(text string) (path string, d wire.Dialect, err error) {
	path, d = text, pfkey.HostDialect()
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] != '=' {
			continue
		}
		path = text[:i]
		if d, err = wire.ParseDialect(text[i+1:]); err != nil || d > wire.Linux {
			return "", d, fmt.Errorf("%s: dialect %q: expected freebsd, netbsd or linux", text, text[i+1:])
		}
		break
	}
	if path == "" {
		return "", d, fmt.Errorf("%q: no path", text)
	}
	return path, d, nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Updown commands of children. A command runs when the first SA with a pair of selectors comes up and when the last goes
// down, so not at a rekey. Commands of one pair run one after another, those of different pairs beside each other, and
// none of them is waited for by anything else (HOSTILE T-132). The journal holds the command for down from before the one
// for up until it has run. What the peer chose arrives as validated environment only (T-099).

package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/dns"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/updown"
)

const (
	// hooksAtOnce bounds the commands that run at one time.
	hooksAtOnce = 8
	// hookLimit bounds the pairs of one child whose command is run: a peer can negotiate many.
	hookLimit = 64
)

// hook is the command of one pair of selectors of one child.
type hook struct {
	key      string // the same for the SA that replaces another
	up, down updown.Command
}

// hooksOf are the commands of a child; none without `updown`.
func hooksOf(c *ike.ChildSA, device string, servers []netip.Addr) []hook {
	if c.Config == nil || len(c.Config.Updown) == 0 {
		return nil
	}
	var list []hook
	for _, p := range pairs(c.TSLocal, c.TSRemote) {
		if len(list) == hookLimit {
			break
		}
		v := updown.Vars{
			Up: true, Connection: c.Name, Interface: device, Reqid: c.Reqid, Unique: c.Unique,
			Me: c.Path.Local.Addr().Unmap(), Peer: c.Path.Remote.Addr().Unmap(), MyID: c.LocalID.String(), PeerID: c.RemoteID.String(),
			MyClient: route.Cover(p.local.From, p.local.To), PeerClient: route.Cover(p.remote.From, p.remote.To),
			MyProtocol: p.local.Proto, PeerProtocol: p.remote.Proto, MyPort: onePort(p.local), PeerClientPort: onePort(p.remote),
			HostAccess: c.Config.HostAccess,
		}
		if c.Encap {
			v.PeerPort = c.Path.Remote.Port()
		}
		if c.PeerVIPs {
			v.PeerSourceIPs = c.VIPs
		} else {
			v.MySourceIPs, v.DNS = c.VIPs, servers
		}
		h := hook{key: fmt.Sprintf("%d %d %s", c.Unique, c.Reqid, p.id()), up: updown.NewCommand(c.Config.Updown, v)}
		v.Up = false
		h.down = updown.NewCommand(c.Config.Updown, v)
		list = append(list, h)
	}
	return list
}

// onePort is the port of a selector with only one; zero stands for any, as existing scripts read it.
func onePort(s ike.Selector) uint16 {
	if s.PortFrom == s.PortTo {
		return s.PortFrom
	}
	return 0
}

// hooks runs commands.
type hooks struct {
	journal *store.Journal
	log     *slog.Logger
	slots   chan struct{}
	ctx     context.Context // ended by close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // protects all following fields
	lines  map[string]*line
	closed bool
}

// line is the commands of one key.
type line struct {
	users int
	down  updown.Command
	id    store.ID
	todo  []job
	busy  bool
}

type job struct {
	command updown.Command
	undoes  store.ID // the record that is done with it
}

func newHooks(j *store.Journal, log *slog.Logger) *hooks {
	ctx, cancel := context.WithCancel(context.Background())
	return &hooks{journal: j, log: log, slots: make(chan struct{}, hooksAtOnce), ctx: ctx, cancel: cancel, lines: map[string]*line{}}
}

func (s *hooks) up(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	l := s.lines[h.key]
	if l == nil {
		l = &line{}
		s.lines[h.key] = l
	}
	if l.users++; l.users > 1 || l.undone(h) {
		return
	}
	id, err := s.journal.Record(h.down.Undo())
	if err != nil {
		s.log.Error("updown: not run, because a crash could not take it back", "reason", err)
		l.users--
		return
	}
	l.id, l.down = id, h.down
	s.add(h.key, l, job{command: h.up})
}

// undone takes back a down that has not run yet, so that a pair that flaps faster than its command leaves one record.
func (l *line) undone(h hook) bool {
	n := len(l.todo)
	if n == 0 || l.todo[n-1].undoes != l.id || !l.todo[n-1].command.Equal(h.down) {
		return false
	}
	l.todo = l.todo[:n-1]
	return true
}

func (s *hooks) down(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lines[h.key]
	if l == nil || l.users == 0 {
		return
	}
	if l.users--; l.users == 0 {
		s.add(h.key, l, job{command: l.down, undoes: l.id})
	}
}

// add queues a command and starts the key's goroutine if there is none. The caller holds mu.
func (s *hooks) add(key string, l *line, j job) {
	l.todo = append(l.todo, j)
	if !l.busy {
		l.busy = true
		s.running.Go(func() { s.work(key, l) })
	}
}

func (s *hooks) work(key string, l *line) {
	for {
		s.mu.Lock()
		if len(l.todo) == 0 {
			l.busy = false
			if l.users == 0 {
				delete(s.lines, key)
			}
			s.mu.Unlock()
			return
		}
		j := l.todo[0]
		l.todo = l.todo[1:]
		s.mu.Unlock()
		s.run(j)
	}
}

// run runs one command. What a shutdown kept from running stays recorded.
func (s *hooks) run(j job) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return
	}
	output, err := j.command.Run(s.ctx, updown.Limit)
	if s.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.log.Warn("updown command failed", "verb", j.command.Verb(), "reason", err, "output", output)
	} else {
		s.log.Debug("updown command", "verb", j.command.Verb(), "output", output)
	}
	if err := s.journal.Done(j.undoes); err != nil {
		s.log.Error("journal", "reason", err)
	}
}

// closeWith is close beside putting back the name servers of lease, which may be nil: both are waited for, up to closeLimit.
func (s *hooks) closeWith(lease *dns.Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	restored := make(chan error, 1)
	go func() { restored <- restoreDNS(ctx, lease) }()
	return errors.Join(s.close(ctx), <-restored)
}

// close runs what is to be run on down, and ends what is not done when ctx is.
func (s *hooks) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for key, l := range s.lines {
		if l.users > 0 {
			l.users = 0
			s.add(key, l, job{command: l.down, undoes: l.id})
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	defer s.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	<-done
	return errors.New("updown: not all commands were done in time; `natterjack cleanup` runs them")
}

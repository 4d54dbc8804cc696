// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Bringing up children: on command, by start_action = start, and again where keyingtries says so. Each initiation has a
// goroutine, which resolves names and waits; the IKE SA itself belongs to its shard. Two wishes for one child are one
// initiation.

package daemon

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
)

const (
	// retryFirst and retryLimit are the pauses between two tries of an initiation, which double: a peer that is not there
	// costs one lookup and one handshake a minute.
	retryFirst = time.Second
	retryLimit = time.Minute
	// maxInitiations bounds what waits at one time.
	maxInitiations = 10000
)

var errTooMany = errors.New("too many initiations are under way")

// starter is safe for concurrent use.
type starter struct {
	d      *Daemon
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex // protects open, busy and the fields of initiations that say so
	open map[string]*initiation
	busy map[string]chan struct{} // by connection: closed when its try ends
}

// initiation is one child that is to come up.
type initiation struct {
	conn  *ike.Connection
	child *ike.ChildConfig // nil: the IKE SA alone
	// auto: by start_action, nobody waits
	auto   bool
	ctx    context.Context
	cancel context.CancelFunc

	uniques map[uint64]bool // under starter.mu: the IKE SAs that were tried
	done    chan struct{}   // closed when the two below are final
	result  Initiated
	err     error
}

func newStarter(d *Daemon, ctx context.Context) *starter {
	s := &starter{d: d, open: map[string]*initiation{}, busy: map[string]chan struct{}{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// close gives all initiations up and waits for their goroutines.
func (s *starter) close() {
	s.mu.Lock()
	s.cancel() // under the lock: begin adds no goroutine after this
	s.mu.Unlock()
	s.wg.Wait()
}

func initiationKey(conn *ike.Connection, child *ike.ChildConfig) string {
	if child == nil {
		return conn.Name
	}
	return conn.Name + "\x00" + child.Name
}

// begin joins an initiation of the same child or starts one.
func (s *starter) begin(conn *ike.Connection, child *ike.ChildConfig, auto bool) (*initiation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := initiationKey(conn, child)
	if in := s.open[k]; in != nil {
		return in, nil
	}
	if len(s.open) >= maxInitiations {
		return nil, errTooMany
	}
	if s.ctx.Err() != nil {
		return nil, errClosing
	}
	in := &initiation{conn: conn, child: child, auto: auto, uniques: map[uint64]bool{}, done: make(chan struct{})}
	in.ctx, in.cancel = context.WithCancel(s.ctx)
	s.open[k] = in
	s.wg.Go(func() { s.run(in) })
	return in, nil
}

// initiate is Daemon.Initiate behind the lookup of names.
func (s *starter) initiate(ctx context.Context, conn *ike.Connection, child *ike.ChildConfig, c Command) (Initiated, error) {
	if child != nil && child.Mode.Shunt() {
		return Initiated{}, &InitiateError{Connection: conn.Name, Child: child.Name,
			Detail: "a policy that passes or drops is in force as long as it is loaded; there is nothing to initiate"}
	}
	p := s.d.watchEvents(c.Progress, nil)
	defer p.close()
	in, err := s.begin(conn, child, false)
	if err != nil {
		return Initiated{}, err
	}
	if c.NoWait {
		return Initiated{}, nil
	}
	p.also = func(unique uint64) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return in.uniques[unique]
	}
	if !p.until(ctx, in.done) {
		return Initiated{}, in.failure(&InitiateError{Timeout: true})
	}
	return in.result, in.err
}

func (in *initiation) failure(e *InitiateError) *InitiateError {
	e.Connection = in.conn.Name
	if in.child != nil {
		e.Child = in.child.Name
	}
	return e
}

// run tries until the child is up, or there is no reason to try again.
func (s *starter) run(in *initiation) {
	pause := retryFirst
	for try := 0; ; try++ {
		in.result, in.err = s.once(in, try)
		if in.err == nil || in.ctx.Err() != nil || !worthAnother(in.err) {
			break
		}
		if in.conn.KeyingTries != 0 && try+1 >= in.conn.KeyingTries {
			break
		}
		s.d.hub.publish(ike.Event{Kind: ike.EventRetry, Connection: in.conn.Name, Detail: in.err.Error()})
		if !sleep(in.ctx, pause) {
			break
		}
		pause = min(2*pause, retryLimit)
	}
	s.mu.Lock()
	delete(s.open, initiationKey(in.conn, in.child))
	s.mu.Unlock()
	if in.auto && in.err != nil && in.ctx.Err() == nil {
		s.d.hub.publish(ike.Event{Kind: ike.EventCommandDone, Connection: in.conn.Name, Err: in.err.Error()})
	}
	in.cancel()
	close(in.done)
}

// sleep waits; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// worthAnother reports whether time alone may mend a failure: a name that could not be resolved, no route. What a machine
// gave up it has tried as often as keyingtries says, and what a peer refused it would refuse again.
func worthAnother(err error) bool {
	if failed, ok := errors.AsType[*InitiateError](err); ok {
		return failed.Reason == ike.CloseLost || failed.Reason == ike.CloseLimit
	}
	return !errors.Is(err, errNoRemote)
}

// once makes one try. Others' names are resolved here, outside the shards. The children of one connection come up one
// after the other, so that the second finds the IKE SA of the first.
func (s *starter) once(in *initiation, try int) (Initiated, error) {
	release, ok := s.turn(in)
	if !ok {
		return Initiated{}, in.failure(&InitiateError{Reason: ike.CloseOperator})
	}
	defer release()
	if have, ok := s.d.installed(in.conn.Name, in.child); ok {
		return have, nil
	}
	q := s.d.requests.begin()
	defer s.d.requests.forget(q.number)
	unique, remote, fresh, err := s.dispatch(in, q.number, try)
	if err != nil {
		return Initiated{}, err
	}
	s.mu.Lock()
	in.uniques[unique] = true
	s.mu.Unlock()
	select {
	case <-q.done:
		o := q.out
		if o.done.Err != "" {
			return Initiated{}, in.failure(s.explain(o, remote))
		}
		made := Initiated{IKEID: unique, ChildID: o.done.ChildID}
		return made, s.d.client.settled(in.ctx, made.ChildID)
	case <-in.ctx.Done():
		if fresh { // an IKE SA that was there before has other children
			s.d.command(unique, ike.Terminate{Reason: ike.CloseOperator})
		}
		return Initiated{}, in.failure(&InitiateError{Reason: ike.CloseOperator})
	}
}

// turn waits until no other initiation of the connection is in its try; false: this one was given up.
func (s *starter) turn(in *initiation) (release func(), ok bool) {
	name := in.conn.Name
	for {
		s.mu.Lock()
		other := s.busy[name]
		if other == nil {
			mine := make(chan struct{})
			s.busy[name] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, name)
				s.mu.Unlock()
				close(mine)
			}, true
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-in.ctx.Done():
			return nil, false
		}
	}
}

// dispatch gives the order to the connection's IKE SA, or to a fresh one.
func (s *starter) dispatch(in *initiation, request uint64, try int) (unique uint64, remote netip.AddrPort, fresh bool, err error) {
	order := ike.Initiate{Request: request, Child: in.child}
	if unique, remote := s.d.reusable(in.conn); unique != 0 {
		s.d.command(unique, order)
		return unique, remote, false, nil
	}
	path, float, err := s.d.paths(in.ctx, in.conn, try)
	if err != nil {
		return 0, netip.AddrPort{}, false, err
	}
	return s.d.newInitiator(in.conn, path, float, order), path.Remote, true, nil
}

// explain makes an error of how a command ended.
func (s *starter) explain(o outcome, remote netip.AddrPort) *InitiateError {
	e := &InitiateError{Remote: remote, Detail: o.done.Err}
	if f := o.failed; f != nil {
		e.Notify, e.Offered, e.Got = f.Notify, f.Offered, f.Got
		if f.Detail != "" {
			e.Detail = f.Detail
		}
	}
	if o.down != nil {
		e.Reason = o.down.Reason
		if o.down.Path.Remote.IsValid() {
			e.Remote = o.down.Path.Remote
		}
		if e.Reason == ike.CloseNoAnswer {
			e.Hint = s.d.sockets.hint(e.Remote)
		}
	}
	return e
}

// giveUp ends the initiations that a target means and returns how many.
func (s *starter) giveUp(t Target) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, in := range s.open {
		if t.IKEID != 0 || t.ChildID != 0 || t.IKE != "" && t.IKE != in.conn.Name {
			continue
		}
		if t.Child != "" && (in.child == nil || t.Child != in.child.Name) {
			continue
		}
		in.cancel()
		n++
	}
	return n
}

// forget ends the automatic initiations of a connection that is not loaded any more, or loaded anew.
func (s *starter) forget(conn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.open {
		if in.auto && in.conn.Name == conn {
			in.cancel()
		}
	}
}

// lost is told that an IKE SA of ours is gone. What start_action wants up, and keyingtries without a bound wants tried for
// ever, begins again when nobody decided the end.
//
// Deviation: charon ties this to dpd_action = restart and close_action = start, which are refused here.
func (s *starter) lost(conn *ike.Connection, reason ike.CloseReason) {
	if conn == nil || conn.KeyingTries != 0 {
		return
	}
	switch reason {
	case ike.ClosePeerDead, ike.CloseLifetime, ike.CloseLost, ike.CloseInternal, ike.CloseMessageIDs:
		s.startAll(conn)
	}
}

// startAll begins what start_action = start says.
func (s *starter) startAll(conn *ike.Connection) {
	for _, ch := range conn.Children {
		if !ch.Start.Begins() || ch.Mode.Shunt() {
			continue
		}
		if _, err := s.begin(conn, ch, true); err != nil && !errors.Is(err, errClosing) {
			s.d.hub.publish(ike.Event{Kind: ike.EventCommandDone, Connection: conn.Name, Err: err.Error()})
		}
	}
}

// of are the IKE SAs of a connection on which something can be negotiated.
func (d *Daemon) of(conn string) []ike.Status {
	var list []ike.Status
	for _, s := range d.shards {
		list = append(list, onShard(s, func(s *shard) []ike.Status {
			var part []ike.Status
			for _, e := range s.entries() {
				if e.name() != conn {
					continue
				}
				if st, ok := s.status(e); ok && (st.State == "ESTABLISHED" || st.State == "REKEYING") {
					part = append(part, st)
				}
			}
			return part
		})...)
	}
	return list
}

// installed finds a child that is up already.
func (d *Daemon) installed(conn string, child *ike.ChildConfig) (Initiated, bool) {
	for _, sa := range d.of(conn) {
		if child == nil {
			return Initiated{IKEID: sa.Unique, Existed: true}, true
		}
		i := slices.IndexFunc(sa.Children, func(c ike.ChildStatus) bool {
			return c.Name == child.Name && (c.State == "INSTALLED" || c.State == "REKEYING")
		})
		if i >= 0 {
			return Initiated{IKEID: sa.Unique, ChildID: sa.Children[i].ChildID, Existed: true}, true
		}
	}
	return Initiated{}, false
}

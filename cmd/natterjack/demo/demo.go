// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package demo is `natterjack demo`: it shows on one machine, without root, that a tunnel from behind a NAT survives what
// NATs do, and proves it by counting packets. It drives two complete daemons; nothing of theirs is replaced.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/natbox/nat"
)

// Faults are what Options.Break takes.
func Faults() []string { return []string{"nat", "rekey", "auth", "loss"} }

const (
	// least is how much is downloaded at any rate.
	least = 64 << 20
	// between is how much must arrive between two events of the download, so that each happens while octets flow.
	between = 8 << 20
	// stepLimit is how long a single step may take.
	stepLimit = 8 * time.Second
)

// Options are the demo's.
type Options struct {
	Out io.Writer
	// JSON prints the daemons' events, one object a line, and nothing else.
	JSON bool
	// Live says that Out is a terminal.
	Live bool
	// Break is a fault to inject, one of Faults; empty: none.
	Break string
}

// Failure is the result of a demo that did not show what it should: which of the faults it looks like, and why.
type Failure struct {
	Step string
	Err  error
}

func (f *Failure) Error() string { return f.Step + ": " + f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Run shows everything. It returns nil only if all of it was true.
func Run(ctx context.Context, o Options) error {
	if o.Break != "" && !slices.Contains(Faults(), o.Break) {
		return fmt.Errorf("--break: %q, expected one of %v", o.Break, Faults())
	}
	n := &narrator{out: o.Out, json: o.JSON, live: o.Live, begin: time.Now()}
	n.say("a gateway, a NAT and a client behind it, on loopback, each daemon with a network of its own in user space")
	w, err := build(n, o.Break, least)
	if err != nil {
		return &Failure{"set-up", err}
	}
	defer w.close()
	s := &story{w: w, n: n, fault: o.Break, ctx: ctx}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"auth", s.connect}, {"nat", s.firstOctets}, {"nat", s.forgetWhileBusy}, {"rekey", s.rekeyChild}, {"rekey", s.rekeyIKE},
		{"download", s.finish}, {"nat", s.forgetWhileIdle}, {"loss", s.account},
	} {
		if err := step.run(); err != nil {
			n.endProgress()
			return &Failure{step.name, err}
		}
	}
	return nil
}

// story is the state between the steps.
type story struct {
	w      *world
	n      *narrator
	fault  string
	ctx    context.Context
	inner  netip.Addr // the client's
	down   *download
	lastN  int64
	lastAt time.Time
}

// connect brings the tunnel up.
func (s *story) connect() error {
	ctx, cancel := context.WithTimeout(s.ctx, stepLimit)
	defer cancel()
	begin := time.Now()
	if _, err := s.w.client.d.Initiate(ctx, "office", "web", daemon.Command{}); err != nil {
		return err
	}
	ev, ok := s.w.client.w.wait(0, stepLimit, func(ev ike.Event) bool { return ev.Kind == ike.EventAddresses && len(ev.Addrs) > 0 })
	if !ok {
		return errors.New("the gateway assigned no inner address")
	}
	s.inner = ev.Addrs[0]
	s.n.say("the tunnel is up after %s", time.Since(begin).Round(time.Millisecond))
	return nil
}

// firstOctets begins the download.
func (s *story) firstOctets() error {
	s.lastAt = time.Now()
	s.down = startDownload(s.ctx, s.w.client.stack.DialContext, "http://"+webInner+"/")
	s.n.say("download of %s and more through the tunnel begins", mib(least))
	return s.flow()
}

// flow waits until more has arrived, and shows it.
func (s *story) flow() error {
	from := s.down.octets.Load()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.down.octets.Load() < from+between {
		select {
		case err := <-s.down.result:
			if err == nil {
				err = errors.New("the download ended early")
			}
			return err
		case <-tick.C:
			s.showProgress()
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	return nil
}

func (s *story) showProgress() {
	now, octets := time.Now(), s.down.octets.Load()
	rate := float64(octets-s.lastN) * 8 / now.Sub(s.lastAt).Seconds()
	s.lastN, s.lastAt = octets, now
	s.n.progress(octets, least, rate)
}

// forgetWhileBusy: the NAT drops its mappings while octets flow. The client's next packet gets another external port, and
// the gateway follows it.
func (s *story) forgetWhileBusy() error {
	mark := s.w.gateway.w.mark()
	before := s.handshakes()
	at := s.down.octets.Load()
	s.w.nat.Forget()
	s.n.say("the NAT forgets its mappings, %s into the download", mib(at))
	if s.fault == "nat" {
		if err := errors.Join(s.w.nat.SetLink(nat.Out, nat.Link{Block: true}), s.w.nat.SetLink(nat.In, nat.Link{Block: true})); err != nil {
			return err
		}
	}
	if err := s.flow(); err != nil {
		return fmt.Errorf("the download did not survive that the NAT forgot the mapping: %w", err)
	}
	ev, ok := s.w.gateway.w.wait(mark, stepLimit, moved)
	if !ok {
		return errors.New("the gateway did not notice that the client comes from another port")
	}
	if n := s.handshakes(); n != before {
		return fmt.Errorf("%d new handshakes were needed", n-before)
	}
	s.n.say("the download goes on, no new handshake: the client is now at %s", ev.Path.Remote)
	return nil
}

func moved(ev ike.Event) bool { return ev.Kind == ike.EventMoved }

// handshakes counts the IKE_SA_INIT messages so far.
func (s *story) handshakes() int { return len(s.w.client.w.since(0, ike.EventNAT)) }

func (s *story) rekeyChild() error {
	return s.rekey("child SA", daemon.Target{Child: "web"}, func(ev ike.Event) bool { return ev.Kind == ike.EventChildUp && ev.Rekey })
}

func (s *story) rekeyIKE() error {
	return s.rekey("IKE SA", daemon.Target{IKE: "office"}, func(ev ike.Event) bool { return ev.Kind == ike.EventIKERekeyed })
}

// rekey has the client rekey, and waits until both ends have done it and octets flow again.
func (s *story) rekey(what string, t daemon.Target, wanted func(ike.Event) bool) error {
	mark := s.w.gateway.w.mark()
	own := s.w.client.w.mark()
	ctx, cancel := context.WithTimeout(s.ctx, stepLimit)
	defer cancel()
	at := s.down.octets.Load()
	if _, err := s.w.client.d.Rekey(ctx, t, daemon.Command{}); err != nil {
		return fmt.Errorf("the %s could not be rekeyed: %w", what, err)
	}
	if _, ok := s.w.gateway.w.wait(mark, stepLimit, wanted); !ok {
		return fmt.Errorf("the gateway did not rekey the %s", what)
	}
	if _, ok := s.w.client.w.wait(own, stepLimit, wanted); !ok {
		return fmt.Errorf("the client did not rekey the %s", what)
	}
	if err := s.flow(); err != nil {
		return fmt.Errorf("the download did not survive the rekeying of the %s: %w", what, err)
	}
	s.n.say("%s rekeyed while octets flowed (%s to %s)", what, mib(at), mib(s.down.octets.Load()))
	return nil
}

// finish lets the server end and compares the hashes.
func (s *story) finish() error {
	s.w.web.enough.Store(true)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-s.down.result:
			s.n.endProgress()
			if err != nil {
				return err
			}
			octets := s.down.octets.Load()
			s.n.say("%s arrived, SHA-256 %s… is that of the server", mib(octets), s.down.digest[:16])
			return nil
		case <-tick.C:
			s.showProgress()
		}
	}
}

// forgetWhileIdle: nothing is sent, the NAT forgets, and the gateway must reach the client all the same, because the client
// notices that it hears nothing and shows itself.
func (s *story) forgetWhileIdle() error {
	s.n.say("idle for %s; keepalives hold the mapping", keepalive+keepalive/2)
	select {
	case <-time.After(keepalive + keepalive/2):
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	mark := s.w.gateway.w.mark()
	s.w.nat.Forget()
	begin := time.Now()
	s.n.say("the NAT forgets its mappings again; the gateway pings %s", s.inner)
	ctx, cancel := context.WithTimeout(s.ctx, stepLimit)
	defer cancel()
	for {
		one, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		rtt, err := s.w.gateway.stack.Ping(one, s.inner)
		stop()
		if err == nil {
			if _, ok := s.w.gateway.w.wait(mark, stepLimit, moved); !ok {
				return errors.New("the gateway reached the client, but did not notice that it had moved")
			}
			took := time.Since(begin)
			// One interval, and what a timer and a round trip take on a busy machine.
			if limit := keepalive + time.Second; took > limit {
				return fmt.Errorf("the gateway reached the client only after %s, expected at most %s", took, limit)
			}
			s.n.say("the gateway reaches the client %s after the mapping was lost (ping %s)", took.Round(10*time.Millisecond), rtt.Round(10*time.Microsecond))
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the gateway does not reach the client any more: %w", err)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What happens to the host: it slept (the wall clock went on and the monotonic clock did not, or both jumped while no timer
// fired), or its addresses and routes changed. Machines that this host began are told where their peer is reached from
// now; they show themselves to the gateway at once (RFC 7296, Section 2.23).

package daemon

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// watchPause is the time between two looks at the clocks and the host's addresses.
	watchPause = 2 * time.Second
	// sleptAtLeast is how far the clocks must be apart: a step of the wall clock by NTP is smaller.
	sleptAtLeast = 10 * time.Second
	// maxAsked is up to how many IKE SAs of ours the routing table is asked about every time, which sees a route change as
	// well; with more, only a change of addresses is worth it.
	maxAsked = 16
)

// watch looks after the host. One goroutine.
type watch struct {
	d     *Daemon
	kicks chan struct{} // capacity 1
	was   []string      // addresses, sorted
	// paths are the local addresses that machines were told, by the machine's number.
	told map[uint64]netip.Addr
}

func newWatch(d *Daemon) *watch {
	return &watch{d: d, kicks: make(chan struct{}, 1), was: hostAddrs(), told: map[uint64]netip.Addr{}}
}

// look has the addresses looked at now.
func (w *watch) look() {
	select {
	case w.kicks <- struct{}{}:
	default:
	}
}

func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	// Where the system gives notice of changes, they are not waited for. An error leaves the ticks.
	notices, _ := route.Watch(ctx, w.d.opts.Device.Name())
	last := time.Now()
	for {
		forced := false
		select {
		case <-ctx.Done():
			return
		case _, ok := <-notices:
			if forced = ok; !ok {
				notices = nil // closed with ctx
			}
		case <-w.kicks:
			forced = true
		case <-tick.C:
		}
		now := time.Now()
		slept := sleptFor(last, now)
		last = now
		if n := w.d.begun.Load(); n > 0 && (forced || slept > 0 || n <= maxAsked || w.moved()) {
			w.changed()
		}
		// After the addresses: a machine that shows itself does so from the right one.
		if slept > 0 {
			w.d.log.Info("the host slept", "for", slept.Round(time.Second).String())
			w.d.Woke(slept)
		}
	}
}

// sleptFor compares how far the two clocks went: the monotonic one of Linux and macOS stands still during sleep, and
// elsewhere a tick comes much too late.
func sleptFor(last, now time.Time) time.Duration {
	mono := now.Sub(last)
	wall := now.Round(0).Sub(last.Round(0))
	if d := wall - mono; d >= sleptAtLeast {
		return d
	}
	if mono >= watchPause+3*sleptAtLeast {
		return mono
	}
	return 0
}

// moved reports whether the host's addresses changed since the last look.
func (w *watch) moved() bool {
	addrs := hostAddrs()
	if slices.Equal(addrs, w.was) {
		return false
	}
	w.was = addrs
	return true
}

// hostAddrs are the host's addresses as text, sorted; nil where the system does not tell.
func hostAddrs() []string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, a := range list {
		// Link-local ones come and go with interfaces that nobody routes through.
		if s := a.String(); !strings.HasPrefix(s, "fe80:") {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// changed tells machines of ours from which address their peers are reached now, if that is another one.
func (w *watch) changed() {
	if l := w.d.opts.Listen; l.IsValid() && !l.IsUnspecified() {
		return // bound to one address: there is no other
	}
	alive := map[uint64]bool{}
	for _, s := range w.d.shards {
		for _, sa := range onShard(s, (*shard).begun) {
			alive[sa.Unique] = true
			w.check(sa)
		}
	}
	for unique := range w.told {
		if !alive[unique] {
			delete(w.told, unique)
		}
	}
}

// begun are the IKE SAs that this host began, whoever has rekeyed them since.
func (s *shard) begun() []ike.Status {
	var list []ike.Status
	for _, e := range s.entries() {
		if !e.began {
			continue
		}
		if st, ok := s.status(e); ok && st.State != "DELETING" {
			list = append(list, st)
		}
	}
	return list
}

func (w *watch) check(sa ike.Status) {
	d := w.d
	conn := d.connections.byName(sa.Connection)
	local, err := udp.SourceTo(sa.Path.Remote.Addr(), d.opts.Mark)
	if err != nil || conn == nil {
		return // no way to the peer now; the next change may bring one
	}
	for _, spec := range conn.LocalAddrs {
		if spec.Host != "" || spec.From.IsValid() && spec.From == spec.To {
			return // the configuration names the address
		}
	}
	now := sa.Path.Local.Addr().Unmap()
	if told, ok := w.told[sa.Unique]; ok {
		now = told
	}
	if local == now {
		return
	}
	w.told[sa.Unique] = local
	path := sa.Path
	path.Local = netip.AddrPortFrom(local, d.sockets.port(local, natt.NonESP))
	path.Encap = sa.Path.Encap
	if path.Encap == natt.Raw {
		path.Local = netip.AddrPortFrom(local, d.sockets.port(local, natt.Raw))
	}
	d.notice(sa.Unique, ike.AddressChanged{Path: path})
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a control socket, the command line and the demo can ask of a running daemon. Every method is safe for concurrent
// use and may wait for shards, for the peer, or for its context; nothing here makes a shard wait. Names come from a local
// control client and are only compared. Failures are typed: *NotFoundError, *InitiateError, *CommandError.

package daemon

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/pool"
)

// Command says how a command is carried out.
type Command struct {
	// NoWait returns as soon as the command has been given.
	NoWait bool
	// Force (Terminate) does not wait for the peer to confirm.
	Force bool
	// Progress, if not nil, is called with the events of the IKE SAs concerned, in order, on the caller's goroutine.
	Progress func(ike.Event)
}

// Target names SAs: those that match every field that is set. With Child or ChildID set it means children, otherwise
// IKE SAs.
type Target struct {
	IKE     string // name of the connection
	IKEID   uint64
	Child   string // name of the child
	ChildID uint64
}

// Children reports whether the target means children.
func (t Target) Children() bool { return t.Child != "" || t.ChildID != 0 }

// Initiated is what Initiate made or found.
type Initiated struct {
	IKEID uint64
	// ChildID is zero where the IKE SA was wanted alone.
	ChildID uint64
	// Existed: the child was installed already and nothing was sent.
	Existed bool
}

// Matches is what became of a command to several SAs.
type Matches struct{ Matched, Done int }

// SA is one IKE SA with what the data plane counted: Usage[i] is that of Children[i].
type SA struct {
	ike.Status
	Usage []ike.Usage
}

// Initiate brings up a child of a loaded connection, and its IKE SA where there is none. Either name may be empty: without
// child the IKE SA alone is made, without conn the first connection that has the child is taken. With keyingtries it begins
// again. When ctx ends before, the negotiation goes on without the caller.
func (d *Daemon) Initiate(ctx context.Context, conn, child string, c Command) (Initiated, error) {
	cn, ch, err := d.connections.named(conn, child)
	if err != nil {
		return Initiated{}, err
	}
	return d.starter.initiate(ctx, cn, ch, c)
}

// Terminate deletes what matches, and waits until it is gone.
func (d *Daemon) Terminate(ctx context.Context, t Target, c Command) (Matches, error) {
	return d.each(ctx, t, c, "terminate", func(request, childID uint64) ike.Command {
		return ike.Terminate{Request: request, ChildID: childID, Force: c.Force}
	})
}

// Rekey rekeys what matches, and waits until it is done.
func (d *Daemon) Rekey(ctx context.Context, t Target, c Command) (Matches, error) {
	return d.each(ctx, t, c, "rekey", func(request, childID uint64) ike.Command {
		return ike.Rekey{Request: request, ChildID: childID}
	})
}

// CheckLiveness has the matching IKE SAs ask their peers for a sign of life now.
func (d *Daemon) CheckLiveness(t Target) int {
	n := 0
	for _, sa := range d.Status() {
		if t.matches(sa.Status) {
			d.command(sa.Unique, ike.CheckLiveness{})
			n++
		}
	}
	return n
}

// Status is a snapshot of all IKE SAs, ordered by their numbers.
func (d *Daemon) Status() []SA {
	list := make([]SA, 0, 16)
	for _, s := range d.shards {
		part := onShard(s, func(s *shard) []ike.Status {
			part := make([]ike.Status, 0, len(s.byUnique))
			for _, e := range s.entries() {
				if st, ok := s.status(e); ok {
					part = append(part, st)
				}
			}
			return part
		})
		for _, st := range part {
			list = append(list, d.withUsage(st))
		}
	}
	slices.SortFunc(list, func(a, b SA) int { return compare(a.Unique, b.Unique) })
	return list
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (d *Daemon) withUsage(st ike.Status) SA {
	sa := SA{Status: st, Usage: make([]ike.Usage, len(st.Children))}
	for i, c := range st.Children {
		sa.Usage[i] = d.kernel.usage(c.SPIIn)
	}
	return sa
}

// Connections are the loaded connections in the order of loading. They are immutable.
func (d *Daemon) Connections() []*ike.Connection { return slices.Clone(d.connections.all()) }

// Pools lists the loaded pools by name.
func (d *Daemon) Pools(leases bool) []pool.Status { return d.pools.status(leases) }

// Events subscribes to everything that happens.
func (d *Daemon) Events() *Subscription { return d.hub.subscribe() }

// Warnings are sentences about what this host could not be given; for the start-up line and status.
func (d *Daemon) Warnings() []string {
	list := slices.Clone(d.sockets.warnings)
	if d.opts.Host != nil {
		list = append(list, d.client.warnings()...)
	}
	return list
}

// Started is when the daemon began.
func (d *Daemon) Started() time.Time { return d.started }

// Woke tells the daemon that the host slept. The daemon finds out by itself within some seconds; a system that says so at
// once saves them.
func (d *Daemon) Woke(slept time.Duration) { d.notice(0, ike.Woke{Slept: slept}) }

// AddressesChanged tells the daemon that addresses or routes of the host may have changed. What is the case is looked up.
func (d *Daemon) AddressesChanged() { d.watch.look() }

// SocketStats is one socket.
type SocketStats struct {
	Name  string // "udp4 0.0.0.0:4500", "esp4"
	GSO   bool
	NoGSO string // why segmentation offload is not used
	In, InOctets, Out, OutOctets,
	Truncated, Refused, Overflow uint64
}

// Stats is what `swanctl --stats` and `natterjack status` show of the whole daemon.
type Stats struct {
	Started                            time.Time
	DataPlane, Device                  string
	IKESAs, HalfOpen, Children         int
	IKEIn, IKEOut, IKEDropped          uint64 // messages; dropped before a machine saw them
	KeepalivesIn, KeepalivesOut, Stray uint64
	KeyExchanges                       uint64 // begun
	Panics                             uint64
	Workers, WorkersQueued             int
	Goroutines                         int
	Heap                               uint64 // octets
	Engine                             EngineStats
	Sockets                            []SocketStats
	Warnings                           []string
}

// Stats returns a snapshot.
func (d *Daemon) Stats() Stats {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	st := Stats{
		Started: d.started, DataPlane: d.opts.DataPlane, Device: d.opts.Device.Name(),
		IKEIn: d.counters.ikeIn.Load(), IKEOut: d.counters.ikeOut.Load(), IKEDropped: d.counters.ikeDropped.Load(),
		KeepalivesIn: d.counters.keepalivesIn.Load(), KeepalivesOut: d.counters.keepalivesOut.Load(),
		Stray: d.counters.strays.Load(), Panics: d.counters.panics.Load(), KeyExchanges: d.counters.keyExchanges.Load(),
		Workers: d.workers.n, WorkersQueued: len(d.workers.jobs), Goroutines: runtime.NumGoroutine(), Heap: mem.HeapInuse,
		Engine: d.plane.stats(), Sockets: d.sockets.stats(), Warnings: d.Warnings(),
	}
	for _, s := range d.shards {
		n := onShard(s, func(s *shard) [2]int { return [2]int{len(s.byUnique), s.mux.HalfOpen()} })
		st.IKESAs, st.HalfOpen = st.IKESAs+n[0], st.HalfOpen+n[1]
	}
	st.Children = d.kernel.children()
	st.KeepalivesIn += st.Engine.KeepalivesIn
	return st
}

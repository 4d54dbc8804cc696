// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// script is a machine that does what a test says.
type script struct {
	do       func(ike.Command) []ike.Action
	receive  func() []ike.Action
	answer   func(ike.Token, ike.Answer) []ike.Action
	tick     func(now time.Time) []ike.Action
	deadline time.Time
}

func (m *script) Receive(time.Time, ike.Datagram) []ike.Action { return m.receive() }
func (m *script) Deadline() time.Time                          { return m.deadline }
func (m *script) Do(_ time.Time, c ike.Command) []ike.Action   { return m.do(c) }
func (m *script) Notice(time.Time, ike.Notice) []ike.Action    { return nil }
func (m *script) Status(time.Time) ike.Status                  { return ike.Status{} }
func (m *script) Tick(now time.Time) []ike.Action              { return m.tick(now) }
func (m *script) Answer(_ time.Time, t ike.Token, a ike.Answer) []ike.Action {
	return m.answer(t, a)
}

// still is a device on which nothing happens.
type still struct {
	once   sync.Once
	closed chan struct{}
}

func newStill() *still { return &still{closed: make(chan struct{})} }

func (s *still) Read([][]byte, []int, int) (int, error) { <-s.closed; return 0, os.ErrClosed }
func (s *still) Write(b [][]byte, _ int) (int, error)   { return len(b), nil }
func (s *still) Name() string                           { return "still" }
func (s *still) MTU() int                               { return 1400 }
func (s *still) BatchSize() int                         { return 8 }
func (s *still) Close() error                           { s.once.Do(func() { close(s.closed) }); return nil }

// bare is a daemon of one shard without sockets and data plane.
func bare(t *testing.T) (*Daemon, *shard) {
	t.Helper()
	d := &Daemon{
		opts: Options{Device: newStill()}, log: slog.New(slog.DiscardHandler), hub: newHub(), registry: newRegistry(), holders: newHolders(),
		connections: newConnections(), pools: newPools(), requests: newRequests(), owners: map[uint64]int{},
		kernel: newSeam(nil, func() {}, func(uint32) {}),
	}
	d.sockets = &sockets{d: d}
	ctx, cancel := context.WithCancel(context.Background())
	d.client = newClient(d, nil)
	d.client.start()
	d.starter = newStarter(d, ctx)
	d.traps = newTraps(d)
	d.workers = newWorkers(ctx)
	if err := d.newShards(1); err != nil {
		t.Fatal(err)
	}
	s := d.shards[0]
	go s.run(ctx)
	t.Cleanup(func() {
		d.starter.close()
		cancel()
		<-s.done
		d.workers.wg.Wait()
		if err := d.client.close(); err != nil {
			t.Error(err)
		}
	})
	return d, s
}

// put gives a machine to the shard and returns its number.
func put(d *Daemon, s *shard, m ike.Machine) uint64 {
	unique := d.newOwner(s)
	onShard(s, func(s *shard) bool { s.add(unique, nil, true, m); return true })
	return unique
}

func TestPanicOfAMachineIsContained(t *testing.T) {
	d, s := bare(t)
	sub := d.Events()
	bad := put(d, s, &script{do: func(ike.Command) []ike.Action { panic("a defect") }})
	good := put(d, s, &script{do: func(c ike.Command) []ike.Action {
		return []ike.Action{ike.Report{Event: ike.Event{Kind: ike.EventCommandDone, Request: c.(ike.Rekey).Request}}}
	}})
	q := d.requests.begin()
	d.command(bad, ike.Rekey{Request: q.number})
	<-q.done
	if q.out.done.Err == "" || q.out.down == nil || q.out.down.Reason != ike.CloseInternal {
		t.Errorf("outcome %+v, expected the end of the IKE SA", q.out)
	}
	if d.counters.panics.Load() != 1 || d.shardOf(bad) != nil {
		t.Error("the machine was not counted and dropped")
	}
	q = d.requests.begin()
	d.command(good, ike.Rekey{Request: q.number})
	if <-q.done; q.out.done.Err != "" {
		t.Errorf("another machine of the shard: %s", q.out.done.Err)
	}
	if ev := <-sub.C; ev.Kind != ike.EventIKEDown || ev.Unique != bad {
		t.Errorf("event %+v, expected that the IKE SA is gone", ev)
	}
}

func TestCommandsToTheDeadEnd(t *testing.T) {
	d, s := bare(t)
	q := d.requests.begin()
	d.command(99, ike.Terminate{Request: q.number})
	<-q.done
	// One that dies without a word about the command.
	u := put(d, s, &script{do: func(ike.Command) []ike.Action { return []ike.Action{ike.Close{Reason: ike.CloseLost}} }})
	q = d.requests.begin()
	d.command(u, ike.Terminate{Request: q.number})
	<-q.done
	if q.out.done.Err == "" {
		t.Error("the command was done by a machine that never said so")
	}
}

func TestLeaseGoesBackWhenTheMachineEnds(t *testing.T) {
	d, s := bare(t)
	if err := d.LoadPool(ike.Pool{Name: "p", Prefix: netip.MustParsePrefix("10.9.0.0/24")}); err != nil {
		t.Fatal(err)
	}
	lease := ike.Lease{Pools: []string{"p"}, Identity: fqdn("a"), Wanted: []netip.Addr{netip.IPv4Unspecified()}}
	before := &script{do: func(ike.Command) []ike.Action {
		return []ike.Action{ike.Ask{Token: 1, Question: lease}, ike.Close{Reason: ike.CloseOperator}}
	}}
	after := &script{do: func(ike.Command) []ike.Action { return []ike.Action{ike.Ask{Token: 1, Question: lease}} }}
	after.answer = func(ike.Token, ike.Answer) []ike.Action { panic("a defect") }
	for _, m := range []*script{before, after} {
		u := put(d, s, m)
		q := d.requests.begin()
		d.command(u, ike.Terminate{Request: q.number})
		<-q.done
		onShard(s, func(*shard) bool { return true })
		if p := d.Pools(false); p[0].Online != 0 || p[0].Offline == 0 {
			t.Errorf("pools %+v: addresses are leased to nobody", p)
		}
	}
}

func TestCancelledQuestionsAreNotAnswered(t *testing.T) {
	d, s := bare(t)
	admit := ike.Admit{Unique: 7, Local: fqdn("gw"), Remote: fqdn("a")}
	u := put(d, s, &script{
		do: func(ike.Command) []ike.Action {
			return []ike.Action{ike.Ask{Token: 1, Question: admit}, ike.Cancel{Token: 1}, ike.Ask{Token: 2, Question: admit}}
		},
		answer: func(tok ike.Token, a ike.Answer) []ike.Action {
			if tok != 2 {
				t.Errorf("token %d was answered", tok)
			}
			return []ike.Action{ike.Close{}}
		},
	})
	q := d.requests.begin()
	d.command(u, ike.Rekey{Request: q.number})
	<-q.done
}

func TestATickThatMovesNothingDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := bare(t)
		ticks := 0
		m := &script{deadline: time.Now()}
		m.tick = func(time.Time) []ike.Action { ticks++; return nil }
		u := put(d, s, m)
		onShard(s, func(s *shard) bool { s.schedule(s.byUnique[u]); return true })
		time.Sleep(10 * tickFloor)
		if n := onShard(s, func(*shard) int { return ticks }); n == 0 || n > 12 {
			t.Errorf("%d ticks in %s", n, 10*tickFloor)
		}
	})
}

func TestStrangersDoNotFloodTheHub(t *testing.T) {
	d, s := bare(t)
	sub := d.Events()
	for range 1000 {
		d.deliver(time.Now(), ike.Datagram{Path: ike.Path{Remote: netip.MustParseAddrPort("192.0.2.1:500")}, Bytes: make([]byte, 28)})
	}
	onShard(s, func(*shard) bool { return true })
	if n := len(sub.C); n == 0 || n > 5 {
		t.Errorf("%d events about 1000 datagrams of strangers", n)
	}
	if d.counters.ikeDropped.Load() != 1000 {
		t.Errorf("%d were counted", d.counters.ikeDropped.Load())
	}
}

// TestPanicOfAWorkerIsContained: what works on certificates and keys of strangers must not take the process along.
func TestPanicOfAWorkerIsContained(t *testing.T) {
	d, s := bare(t)
	m := &script{do: func(ike.Command) []ike.Action {
		// There are no credentials: both answers panic, one on a worker and one on the shard.
		return []ike.Action{ike.Ask{Token: 1, Question: ike.Verify{}}, ike.Ask{Token: 2, Question: ike.FindPSK{}}}
	}}
	left := 2
	m.answer = func(_ ike.Token, a ike.Answer) []ike.Action {
		if _, failed := a.(ike.Failed); !failed {
			t.Errorf("answer %+v", a)
		}
		if left--; left > 0 {
			return nil
		}
		return []ike.Action{ike.Close{}}
	}
	u := put(d, s, m)
	q := d.requests.begin()
	d.command(u, ike.Rekey{Request: q.number})
	<-q.done
	if n := d.counters.panics.Load(); n != 2 {
		t.Errorf("%d failures were counted, expected 2", n)
	}
}

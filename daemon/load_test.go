// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
)

// diary is a Host that writes down what it is told and refuses what a test says.
type diary struct {
	mu     sync.Mutex // protects lines
	lines  []string
	refuse string
}

func (h *diary) note(format string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	h.lines = append(h.lines, line)
	if line == h.refuse {
		return errors.New("the host refuses")
	}
	return nil
}

func (h *diary) ChildUp(c *ike.ChildSA) error    { return h.note("up %d", c.ChildID) }
func (h *diary) ChildDown(c *ike.ChildSA)        { _ = h.note("down %d", c.ChildID) }
func (h *diary) Configure(a ike.Configure) error { return h.note("configure %v %v", a.VIPs, !a.Remove) }
func (h *diary) Warnings() []string              { return []string{"a warning"} }
func (h *diary) Close() error                    { return h.note("close") }
func (h *diary) Shunt(_ string, c *ike.ChildConfig, on bool) error {
	return h.note("shunt %s %s %v", c.Name, SelectorsText(c.RemoteTS), on)
}

func (h *diary) Trap(c *ike.ChildSA, on bool) error {
	return h.note("trap %s %s %v", c.Name, SelectorsText(c.TSRemote), on)
}

func (h *diary) said(line string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.lines, line)
}

func hosted(t *testing.T, h Host) *Daemon {
	t.Helper()
	d, err := New(Options{Device: newStill(), AnyPort: true, Listen: netip.MustParseAddr("127.0.0.1"), NoRawESP: true, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func blocking(conn, name, remote string) *ike.Connection {
	return &ike.Connection{Name: conn, Children: []*ike.ChildConfig{{Name: name, Mode: ike.ModeDrop, LocalTS: prefix("10.0.0.0/8"), RemoteTS: prefix(remote)}}}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	h := &diary{refuse: "shunt two 10.2.0.0/16 true"}
	d := hosted(t, h)
	pool := ike.Pool{Name: "p", Prefix: netip.MustParsePrefix("10.9.0.0/24")}
	first := &config.Config{Connections: []*ike.Connection{blocking("a", "one", "10.1.0.0/16")}, Pools: []ike.Pool{pool}}
	if _, err := d.Apply(first); err != nil {
		t.Fatal(err)
	}
	if err := d.LoadConnection(&ike.Connection{Name: "by hand"}); err != nil {
		t.Fatal(err)
	}
	other := pool
	other.Prefix = netip.MustParsePrefix("10.8.0.0/24")
	second := &config.Config{
		Connections: []*ike.Connection{blocking("a", "one", "10.3.0.0/16"), blocking("b", "two", "10.2.0.0/16")},
		Pools:       []ike.Pool{other, {Name: "q", Prefix: pool.Prefix}},
	}
	if _, err := d.Apply(second); err == nil {
		t.Fatal("a configuration that the host refuses was applied")
	}
	if c := d.Connections(); len(c) != 2 || c[0].Name != "a" || c[0] != first.Connections[0] {
		t.Errorf("connections %v, expected the old ones", c)
	}
	if p := d.Pools(false); len(p) != 1 || p[0].Base != pool.Prefix.Addr() {
		t.Errorf("pools %+v, expected the old one", p)
	}
	if !h.said("shunt one 10.3.0.0/16 true") || h.lines[len(h.lines)-1] != "shunt one 10.1.0.0/16 true" {
		t.Errorf("host %q, expected that the old policy is back", h.lines)
	}
	h.refuse = ""
	changes, err := d.Apply(second)
	if err != nil || len(changes.Added) != 1 || len(changes.Changed) != 1 {
		t.Errorf("changes %+v, %v", changes, err)
	}
	if _, err := d.Apply(&config.Config{}); err != nil {
		t.Fatal(err)
	}
	if c := d.Connections(); len(c) != 1 || c[0].Name != "by hand" {
		t.Errorf("connections %v, expected what a control client loaded", c)
	}
	if !h.said("shunt two 10.2.0.0/16 false") || len(d.Pools(false)) != 0 {
		t.Errorf("host %q, pools %v: something is left", h.lines, d.Pools(false))
	}
}

// TestChildWithoutItsHostIsTerminated: routes and guards or nothing.
func TestChildWithoutItsHostIsTerminated(t *testing.T) {
	h := &diary{refuse: "up 7"}
	d := hosted(t, h)
	var ended []ike.Terminate
	m := &script{do: func(c ike.Command) []ike.Action {
		ended = append(ended, c.(ike.Terminate))
		return nil
	}}
	s := d.shards[0]
	u := put(d, s, m)
	for _, id := range []uint64{6, 7} {
		d.client.event(ike.Event{Kind: ike.EventChildUp, Child: &ike.ChildSA{Name: "c", Unique: u, ChildID: id}})
	}
	if err := d.client.settled(context.Background(), 6); err != nil {
		t.Errorf("child 6: %v", err)
	}
	if err := d.client.settled(context.Background(), 7); err == nil {
		t.Error("child 7 has no host and no error")
	}
	if got := onShard(s, func(*shard) []ike.Terminate { return ended }); len(got) != 1 || got[0].ChildID != 7 {
		t.Errorf("terminated %+v, expected child 7", got)
	}
	d.client.configure(ike.Configure{Unique: u, VIPs: []netip.Addr{netip.MustParseAddr("10.30.0.1")}})
	// The machine goes without taking anything back.
	onShard(s, func(s *shard) bool { s.drop(s.byUnique[u]); return true })
	if err := d.client.settled(context.Background(), 0); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"down 6", "down 7", "configure [10.30.0.1] false"} {
		if !h.said(line) {
			t.Errorf("host %q, expected %q", h.lines, line)
		}
	}
	if w := d.Warnings(); !slices.Contains(w, "a warning") {
		t.Errorf("warnings %q", w)
	}
	d.Close()
	if h.lines[len(h.lines)-1] != "close" {
		t.Errorf("host %q, expected that it was closed last", h.lines)
	}
}

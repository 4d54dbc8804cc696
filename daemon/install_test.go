// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/natt"
)

// watcher is a diary that looks whether SAs are usable before the host is set up for them, and can be made to wait.
type watcher struct {
	diary
	d     *Daemon
	early bool
	hold  chan struct{} // nil: does not wait
}

func (w *watcher) ChildUp(c *ike.ChildSA) error {
	if w.hold != nil {
		<-w.hold
	}
	w.early = w.early || w.d.kernel.children() > 0 || !c.KeyIn.IsZero() || !c.KeyOut.IsZero()
	return w.diary.ChildUp(c)
}

// installing gives a machine the answers of one Install.
func installing(t *testing.T, d *Daemon) (s *shard, u uint64, c ike.ChildSA, answers chan ike.Answer) {
	t.Helper()
	s, answers = d.shards[0], make(chan ike.Answer, 1)
	u = put(d, s, &script{answer: func(_ ike.Token, a ike.Answer) []ike.Action {
		answers <- a
		return nil
	}})
	r := d.kernel.Ask(time.Now(), u, ike.Reserve{Local: netip.MustParseAddr("127.0.0.1"), Remote: netip.MustParseAddr("127.0.0.2")}).(ike.Reserved)
	c = ike.ChildSA{Name: "c", Unique: u, ChildID: 7, Reqid: r.Reqid, SPIIn: r.SPI, SPIOut: 0x12345678, Encap: true,
		Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, KeyIn: octets(1, 20), KeyOut: octets(2, 20),
		TSLocal: prefix("10.1.0.0/24"), TSRemote: prefix("10.2.0.0/24"), Config: &ike.ChildConfig{ReplayWindow: 64, CopyDF: true, CopyECN: true},
		Path: ike.Path{Local: netip.MustParseAddrPort("127.0.0.1:4500"), Remote: netip.MustParseAddrPort("127.0.0.2:4500"), Encap: natt.NonESP}}
	return s, u, c, answers
}

func ask(s *shard, u uint64, q ike.Question) {
	onShard(s, func(s *shard) bool {
		e := s.byUnique[u]
		s.step(e, func() []ike.Action { return []ike.Action{ike.Ask{Token: 1, Question: q}} })
		return true
	})
}

// The first packet of a peer must find the guard and the routes: else the answer to it leaves in the clear.
func TestHostBeforeSAs(t *testing.T) {
	h := &watcher{}
	d := hosted(t, h)
	h.d = d
	s, u, c, answers := installing(t, d)
	ask(s, u, ike.Install{Child: c})
	c.KeyIn.Wipe() // as a machine may
	if a := <-answers; a != (ike.Installed{}) {
		t.Fatalf("answer %+v", a)
	}
	if h.early || !h.said("up 7") || d.kernel.children() != 1 {
		t.Errorf("SAs before the host, or with keys: %v; host %q, %d children", h.early, h.lines, d.kernel.children())
	}
	d.client.event(ike.Event{Kind: ike.EventChildUp, Child: &c}) // says it once more
	ask(s, u, ike.Remove{SPIIn: c.SPIIn})
	<-answers
	d.client.event(ike.Event{Kind: ike.EventChildDown, Child: &c})
	if err := d.client.settled(context.Background(), 7); err != nil {
		t.Error(err)
	}
	if len(h.lines) != 2 || h.lines[1] != "down 7" {
		t.Errorf("host %q, expected one up and one down", h.lines)
	}
}

func TestHostThatRefusesHasNoSAs(t *testing.T) {
	h := &watcher{diary: diary{refuse: "up 7"}}
	d := hosted(t, h)
	h.d = d
	s, u, c, answers := installing(t, d)
	ask(s, u, ike.Install{Child: c})
	if a, ok := (<-answers).(ike.Failed); !ok || a.Err == nil {
		t.Errorf("answer %+v", a)
	}
	if d.kernel.children() != 0 || d.kernel.owner(c.SPIIn) != 0 {
		t.Error("SAs or a reservation without their host")
	}
}

// A machine that ends while the host is being set up leaves neither SAs nor anything at the host.
func TestInstallOutlivesItsMachine(t *testing.T) {
	h := &watcher{hold: make(chan struct{})}
	d := hosted(t, h)
	h.d = d
	s, u, c, _ := installing(t, d)
	ask(s, u, ike.Install{Child: c})
	onShard(s, func(s *shard) bool { s.drop(s.byUnique[u]); return true })
	close(h.hold)
	if err := d.client.settled(context.Background(), 0); err != nil {
		t.Error(err)
	}
	onShard(s, func(*shard) bool { return true }) // after what the client told the shard
	if err := d.client.settled(context.Background(), 0); err != nil {
		t.Error(err)
	}
	if d.kernel.children() != 0 || !h.said("down 7") {
		t.Errorf("%d children, host %q", d.kernel.children(), h.lines)
	}
}

// What a machine hands over is the data plane's alone afterwards.
func TestInstallForgetsKeys(t *testing.T) {
	for name, h := range map[string]Host{"no host": nil, "a host": &watcher{}} {
		d := hosted(t, h)
		if w, ok := h.(*watcher); ok {
			w.d = d
		}
		s, u, c, answers := installing(t, d)
		ask(s, u, ike.Install{Child: c})
		if a := <-answers; a != (ike.Installed{}) {
			t.Fatalf("%s: answer %+v", name, a)
		}
		if !c.KeyIn.Equal(octets(0, 20)) || !c.KeyOut.Equal(octets(0, 20)) {
			t.Errorf("%s: keys are still there", name)
		}
	}
}

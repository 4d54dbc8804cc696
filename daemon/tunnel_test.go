// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The main job, end to end in one process: two daemons over loopback sockets with a NAT between them, TCP/IP of both inner
// networks in user space.

package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/natbox/nat"
)

const (
	payload   = 8 << 20
	innerWeb  = "10.20.0.1"
	keepalive = time.Second
)

func TestTunnelThroughNAT(t *testing.T) {
	check := baseline(t)
	w := build(t, "", "swordfish swordfish")
	made := w.up(t)

	ev, ok := w.client.last(ike.EventNAT)
	if !ok || !ev.NATLocal {
		t.Errorf("NAT detection %+v: this host is behind one", ev)
	}
	if w.client.count(ike.EventFloat) != 1 {
		t.Errorf("%d floats, expected one to the NAT-T port", w.client.count(ike.EventFloat))
	}
	sas := w.client.d.Status()
	if len(sas) != 1 || len(sas[0].Children) != 1 || !sas[0].Children[0].Encap || sas[0].Children[0].ChildID != made.ChildID {
		t.Fatalf("status %+v after %+v", sas, made)
	}
	vip := sas[0].LocalVIPs[0]
	w.transfer(t, nil)
	again, err := w.client.d.Initiate(t.Context(), "office", "web", daemon.Command{})
	if err != nil || !again.Existed || again.ChildID != made.ChildID {
		t.Errorf("a second initiation made %+v, %v, expected what is there", again, err)
	}
	usage := w.client.d.Status()[0].Usage[0]
	if usage.BytesIn < payload || usage.BytesOut < payload {
		t.Errorf("counted %+v, expected %d octets each way", usage, payload)
	}
	t.Run("rekeys", func(t *testing.T) { rekeys(t, w) })
	t.Run("mapping forgotten while busy", func(t *testing.T) {
		moved := w.gateway.count(ike.EventMoved)
		w.transfer(t, func() { w.nat.Forget() })
		if w.gateway.count(ike.EventMoved) == moved {
			t.Error("the gateway did not follow")
		}
	})
	t.Run("mapping forgotten while idle", func(t *testing.T) {
		time.Sleep(keepalive + keepalive/2)
		w.nat.Forget()
		reach(t, w, vip)
	})
	t.Run("mapping forgotten while asleep", func(t *testing.T) {
		w.nat.Forget()
		w.client.d.Woke(time.Hour)
		begin := time.Now()
		reach(t, w, vip)
		if took := time.Since(begin); took > keepalive/2 {
			t.Errorf("reached only after %s: waking did not hasten it", took)
		}
	})
	if n := w.client.count(ike.EventIKEUp); n != 1 {
		t.Errorf("%d IKE SAs came up, expected that one was enough", n)
	}
	m, err := w.client.d.Terminate(t.Context(), daemon.Target{IKE: "office"}, daemon.Command{})
	if err != nil || m.Done != 1 {
		t.Errorf("terminate: %+v, %v", m, err)
	}
	if ev, _ := w.gateway.last(ike.EventChildDown); ev.Usage.BytesIn < payload {
		t.Errorf("counted %+v in the end", ev.Usage)
	}
	if n := len(w.client.d.Status()) + len(w.gateway.d.Status()); n != 0 {
		t.Errorf("%d IKE SAs are left", n)
	}
	if p := w.gateway.d.Pools(true); len(p) != 1 || p[0].Online != 0 || p[0].Offline != 1 {
		t.Errorf("pools %+v, expected the address given back and remembered", p)
	}
	lossless(t, w)
	w.close(t)
	check()
}

// rekeys replaces the keys of both SAs from the client's side, with octets under way.
func rekeys(t *testing.T, w *world) {
	order := func(target daemon.Target) func() {
		return func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if m, err := w.client.d.Rekey(ctx, target, daemon.Command{}); err != nil || m.Done != 1 {
				t.Errorf("rekey of %s: %+v, %v", target, m, err)
			}
		}
	}
	before := w.client.d.Status()[0]
	w.transfer(t, order(daemon.Target{Child: "web"}))
	w.transfer(t, order(daemon.Target{IKE: "office"}))
	after := w.client.d.Status()[0]
	if after.SPIi == before.SPIi || after.Unique != before.Unique {
		t.Errorf("IKE SA %d %x, was %d %x", after.Unique, after.SPIi, before.Unique, before.SPIi)
	}
	var installed []ike.ChildStatus
	for _, c := range after.Children {
		if c.State == "INSTALLED" {
			installed = append(installed, c)
		}
	}
	if len(installed) != 1 || installed[0].SPIIn == before.Children[0].SPIIn {
		t.Errorf("children %+v after a rekey", after.Children)
	}
}

// reach pings the client from the gateway's side until it answers: within one keepalive interval and a round trip.
func reach(t *testing.T, w *world, vip netip.Addr) {
	begin := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := w.gateway.stack.Ping(ctx, vip)
		cancel()
		took := time.Since(begin)
		if err == nil {
			t.Logf("reached after %s", took)
			return
		}
		if took > keepalive+time.Second {
			t.Fatalf("the client cannot be reached %s after its NAT forgot it: %v", took, err)
		}
	}
}

// lossless compares what the two engines counted, less what the NAT says it dropped without a mapping.
func lossless(t *testing.T, w *world) {
	var lost string
	for range 50 {
		g, c := w.gateway.d.Stats().Engine, w.client.d.Stats().Engine
		in, out := w.nat.Counters(nat.In).ESP.Dropped(), w.nat.Counters(nat.Out).ESP.Dropped()
		toClient, toGateway := int64(g.Sealed)-int64(c.Delivered)-int64(in), int64(c.Sealed)-int64(g.Delivered)-int64(out)
		if toClient == 0 && toGateway == 0 {
			return
		}
		lost = fmt.Sprintf("%d packets to the client and %d to the gateway are missing; the NAT dropped %d and %d, the engines %v and %v",
			toClient, toGateway, in, out, g.Drops, c.Drops)
		time.Sleep(20 * time.Millisecond)
	}
	t.Error(lost)
}

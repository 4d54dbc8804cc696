// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package scripts

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
)

// hostile is a network that does what it likes with packets; peaceful, it carries them.
type hostile struct {
	t *rapid.T
	w *simnet.World
}

// meddle does something to one packet under way.
func (n *hostile) meddle(t *rapid.T) {
	if len(n.w.Flight) == 0 {
		t.Skip("nothing is under way")
	}
	i := rapid.IntRange(0, len(n.w.Flight)-1).Draw(t, "packet")
	p := n.w.Flight[i]
	switch rapid.SampledFrom([]string{"deliver", "deliver", "deliver", "drop", "copy", "delay", "flip"}).Draw(t, "fate") {
	case "deliver":
		n.w.Deliver(i)
	case "drop":
		n.w.Flight = slices.Delete(n.w.Flight, i, i+1)
	case "copy":
		again := *p
		n.w.Flight = append(n.w.Flight, &again)
		n.w.Deliver(i)
	case "delay":
		n.w.Flight = append(slices.Delete(n.w.Flight, i, i+1), p)
	case "flip":
		if len(p.IKE) == 0 {
			t.Skip("not an IKE message")
		}
		bad := *p
		bad.IKE = slices.Clone(p.IKE)
		at := rapid.IntRange(0, len(bad.IKE)*8-1).Draw(t, "bit")
		bad.IKE[at/8] ^= 1 << (at % 8)
		n.w.Flight[i] = &bad
	}
}

// orders are what the operator of a host may want at any time.
func order(t *rapid.T, h *simnet.Host, c *ike.Connection) {
	sas := h.SAs()
	child := uint64(0)
	if len(sas) > 0 {
		child = sas[rapid.IntRange(0, len(sas)-1).Draw(t, "child")].ChildID
	}
	switch rapid.SampledFrom([]string{"rekey child", "rekey ike", "create", "delete child", "liveness", "expire", "delete ike", "fail",
		"slow", "release", "woke"}).Draw(t, "order") {
	case "rekey child":
		if child != 0 {
			h.Do(ike.Rekey{ChildID: child})
		}
	case "rekey ike":
		h.Do(ike.Rekey{})
	case "create":
		if len(sas) < 6 {
			h.Do(ike.Initiate{Child: rapid.SampledFrom(c.Children).Draw(t, "name")})
		}
	case "delete child":
		if child != 0 {
			h.Do(ike.Terminate{ChildID: child})
		}
	case "liveness":
		h.Do(ike.CheckLiveness{})
	case "expire":
		if child != 0 {
			h.Expire(uint32(child), rapid.Bool().Draw(t, "hard"))
		}
	case "delete ike":
		if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
			h.Do(ike.Terminate{})
		}
	case "slow":
		h.Slow = rapid.SampledFrom([]string{"Reserve", "Install", "KeyExchange", "Remove", "Query", "Move"}).Draw(t, "question")
	case "release":
		h.Release()
	case "woke":
		h.Notice(ike.Woke{Slept: time.Minute})
	case "fail":
		h.FailReserve, h.FailInstall = rapid.IntRange(0, 1).Draw(t, "reserve"), rapid.IntRange(0, 1).Draw(t, "install")
	}
}

// TestTwoMachines: two machines, a hostile network, and operators who want everything at once. At every step no key and no
// SPI is used twice, memory is bounded, and what both ends have fits; when the network heals, both ends agree on what
// there is, and inner packets pass both ways on every child.
func TestTwoMachines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := simnet.New()
		var transcript []string
		w.Say = func(line string) { transcript = append(transcript, line) }
		defer func() {
			if t.Failed() {
				for _, line := range transcript {
					t.Log(line)
				}
			}
		}()
		seed := rapid.Byte().Draw(t, "seed")
		a, b := w.Host("a", "192.0.2.1", seed), w.Host("b", "198.51.100.2", seed)
		ca, cb := simnet.Pair(a, b, 2), simnet.Pair(b, a, 2)
		ca.DPDDelay, cb.DPDDelay = time.Minute, time.Minute
		ca.RekeyTime, ca.OverTime = 4*time.Hour, 10*time.Minute
		if rapid.Bool().Draw(t, "pfs") {
			for _, c := range []*ike.Connection{ca, cb} {
				if err := simnet.Set(c, "pfs", "x25519"); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.Conns, b.Conns = []*ike.Connection{ca}, []*ike.Connection{cb}
		a.Initiate(ca, b.Addrs[0])
		if rapid.Bool().Draw(t, "from the start") {
			w.Settle()
		}
		n := &hostile{t: t, w: w}
		t.Repeat(map[string]func(*rapid.T){
			"network":       n.meddle,
			"network again": n.meddle,
			"a":             func(t *rapid.T) { order(t, a, ca) },
			"b":             func(t *rapid.T) { order(t, b, cb) },
			"ping": func(t *rapid.T) {
				a.Ping("")
				b.Ping("")
			},
			"time": func(t *rapid.T) {
				w.Advance(time.Duration(rapid.IntRange(1, 20000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) { check(t, a, b) },
		})
		a.FailReserve, a.FailInstall, b.FailReserve, b.FailInstall = 0, 0, 0, 0
		a.Release()
		b.Release()
		w.Run(20 * time.Minute)
		check(t, a, b)
		agree(t, w, a, b)
	})
}

// check is what holds at every instant.
func check(t *rapid.T, hosts ...*simnet.Host) {
	for _, h := range hosts {
		if broken := h.Broken(); len(broken) > 0 {
			t.Fatalf("%s: %s", h, broken)
		}
		if len(h.SAs()) > 64 || h.Reservations() > 64 || h.Claims() > 8 {
			t.Fatalf("%s has %d children, %d reservations, %d claimed SPIs", h, len(h.SAs()), h.Reservations(), h.Claims())
		}
	}
}

// agree is what holds when the network has been quiet for long.
func agree(t *rapid.T, w *simnet.World, a, b *simnet.Host) {
	sas, sbs := a.Status(), b.Status()
	if len(sas) == 0 && len(sbs) == 0 {
		if len(a.SAs())+len(b.SAs())+a.Reservations()+b.Reservations() > 0 {
			t.Fatalf("no IKE SA is left, but %d and %d children and %d and %d reservations are", len(a.SAs()), len(b.SAs()), a.Reservations(), b.Reservations())
		}
		return
	}
	if len(sas) != len(sbs) {
		t.Fatalf("a has %d IKE SAs, b has %d", len(sas), len(sbs))
	}
	for i := range sas {
		if sas[i].SPIi != sbs[i].SPIi || sas[i].SPIr != sbs[i].SPIr || sas[i].State != sbs[i].State {
			t.Fatalf("the IKE SAs differ: %s %x %x and %s %x %x", sas[i].State, sas[i].SPIi, sas[i].SPIr, sbs[i].State, sbs[i].SPIi, sbs[i].SPIr)
		}
	}
	if a.Reservations()+b.Reservations() > 0 {
		t.Fatalf("%d and %d SPIs are reserved and not used", a.Reservations(), b.Reservations())
	}
	if one, other := pairs(a, false), pairs(b, true); !slices.Equal(one, other) {
		t.Fatalf("the children differ:\na: %v\nb: %v", one, other)
	}
	for _, x := range [...][2]*simnet.Host{{a, b}, {b, a}} {
		for _, sa := range x[0].SAs() {
			before := x[1].Delivered
			if !x[0].Ping(sa.Name) {
				t.Fatalf("%s has no SA of %s to send on", x[0], sa.Name)
			}
			w.Run(time.Second)
			if x[1].Delivered != before+1 {
				t.Fatalf("a packet of %s from %s did not arrive", sa.Name, x[0])
			}
		}
	}
	check(t, a, b)
}

// pairs are the children of a host as the two ends call them alike.
func pairs(h *simnet.Host, other bool) []string {
	var list []string
	for _, sa := range h.SAs() {
		in, out := sa.SPIIn, sa.SPIOut
		local, remote := sa.TSLocal, sa.TSRemote
		if other {
			in, out, local, remote = out, in, remote, local
		}
		list = append(list, fmt.Sprintf("%08x/%08x %v %v", in, out, local, remote))
	}
	slices.Sort(list)
	return list
}

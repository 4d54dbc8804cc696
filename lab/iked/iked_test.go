// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package iked

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const auth = "hmac-sha2-512"

// gateway is the iked that waits, client the one that begins.
func gateway(w *netlab.World, more string) *iked {
	return &iked{Host: w.Gateway, lab: w.Lab,
		conf: policy("passive", right, left, w.Gateway.Addr.String(), "any", "gateway.lab", "client.lab", auth, more)}
}

func client(w *netlab.World, more string) *iked {
	c := w.Clients[0]
	return &iked{Host: c, lab: w.Lab, conf: policy("active", left, right, c.Addr.String(), w.Gateway.Addr.String(), "client.lab", "gateway.lab", auth, more)}
}

// TestPair: two unmodified OpenIKEDs, a NAT between them, and traffic that passes through ESP in UDP of ours alone. Nothing of it is
// left afterwards.
func TestPair(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[v6], func(t *testing.T) { onePair(t, worldOf(t, v6)) })
	}
}

func onePair(t *testing.T, w *netlab.World) {
	g, c := gateway(w, ""), client(w, "")
	before := state(g) + state(c)
	capture := w.Router.Capture("wan")
	g.launch()
	c.launch()
	t.Logf("up after %v", up(w))
	pattern := traffic(w)
	for _, d := range []*iked{c, g} {
		if out := d.dump(); strings.Count(out, "state=mature") < 2 {
			t.Errorf("%s: the engine has:\n%s", d.Role, out)
		}
	}
	outer := netlab.Outer{Clients: []netip.Addr{w.Clients[0].Public}, Gateway: w.Gateway.Public, Pattern: pattern, ESPAtLeast: 1000}
	if err := outer.Check(capture.Stop()); err != nil {
		t.Error(err)
	}
	c.stop()
	g.stop()
	w.Eventually(3*time.Second, "nothing is left of the host's changes", func() (bool, string) {
		after := state(g) + state(c)
		return after == before, after
	})
}

// state is what an engine changes of a host. The rule for table 210 is iked's own.
func state(d *iked) string {
	rules := regexp.MustCompile(`(?m)^210:.*\n`).ReplaceAllString(d.Run("ip", "rule"), "")
	return d.Run("ip", "link") + rules + d.Run("ip", "route", "show", "table", "all") + d.Run("nft", "list", "ruleset")
}

// TestRekey: SAs are replaced by EXPIRE of a soft limit, and traffic goes on.
func TestRekey(t *testing.T) {
	const maxLost = 6 // two rekeyings or three, at a ping every 20 ms on a busy machine
	w := world(t)
	g, c := gateway(w, ""), client(w, "lifetime 6")
	g.launch()
	c.launch()
	up(w)
	first := spis(c)
	pings := w.Clients[0].Inner.StartPings(20*time.Millisecond, 600, w.Gateway.Inner4.String())
	var second string
	w.Eventually(12*time.Second, "other SAs", func() (bool, string) {
		second = spis(c)
		return second != first && strings.Contains(second, " "), c.dump()
	})
	// iked's responder sends on the new SA from the moment it answers, before the initiator has read the answer, and its initiator deletes
	// the old SA before it has enabled the new one: what is on its way then is lost with any kernel.
	if lost := pings.Lost(); lost > maxLost {
		t.Errorf("%d pings of 600 were lost, expected at most %d", lost, maxLost)
	}
	if last := spis(c); last == second {
		t.Errorf("rekeyed once only: %s", last)
	}
	traffic(w)
}

var spiOf = regexp.MustCompile(`spi=\d+\(0x[0-9a-f]+\)`)

// spis are those of the engine, in order.
func spis(d *iked) string { return strings.Join(spiOf.FindAllString(d.dump(), -1), " ") }

// TestRebind: the NAT forgets its mappings under a tunnel. iked has no ear for a new mapping: the engine follows the first authentic
// packet, and traffic goes on in both directions.
func TestRebind(t *testing.T) {
	w := world(t)
	g, c := gateway(w, ""), client(w, "")
	g.launch()
	c.launch()
	up(w)
	before := w.Mappings(4500)
	w.Forget()
	t.Logf("up again after %v", up(w))
	if after := w.Mappings(4500); strings.Join(after, " ") == strings.Join(before, " ") {
		t.Errorf("the NAT has its mappings still: %v", after)
	}
	traffic(w)
}

// TestDelete: what ikectl takes away is gone at both ends, policies as well.
func TestDelete(t *testing.T) {
	w := world(t)
	g, c := gateway(w, ""), client(w, "")
	g.launch()
	c.launch()
	up(w)
	c.ctl("reset", "id", "FQDN/gateway.lab")
	for _, d := range []*iked{g, c} {
		w.Eventually(10*time.Second, d.Role+": SAs and policies are gone", func() (bool, string) {
			out := d.dump() + d.policies()
			return !strings.Contains(out, "mature") && !strings.Contains(out, "10.20.0.0"), out + d.ctl("show", "sa")
		})
	}
}

// TestCrash: the supervisor killed with its engine, then all of iked's processes; what comes after works as the first time.
func TestCrash(t *testing.T) {
	w := world(t)
	g, c := gateway(w, ""), client(w, "")
	g.launch()
	c.launch()
	up(w)
	for _, kill := range []func(){c.kill, c.killProgram} {
		kill()
		c.launch()
		t.Logf("up again after %v", up(w))
		traffic(w)
	}
}

// TestEngineRestart: the engine killed under a living iked. Its descriptor works, nothing spins, and it serves the next peer.
func TestEngineRestart(t *testing.T) {
	w := world(t)
	g, c := gateway(w, ""), client(w, "")
	g.serve()
	g.launch()
	c.launch()
	up(w)
	traffic(w)
	logged := len(g.proc.Log())
	g.engine.Kill()
	time.Sleep(2 * time.Second)
	g.serve()
	w.Eventually(5*time.Second, "the supervisor is connected again", func() (bool, string) {
		return strings.Contains(g.proc.Log()[logged:], "connected to the PF_KEY server again"), g.proc.Log()[logged:]
	})
	if n := len(g.proc.Log()) - logged; n > 16<<10 {
		t.Errorf("%d octets were logged meanwhile:\n%.4000s", n, g.proc.Log()[logged:])
	}
	c.kill()
	c.launch()
	t.Logf("up again after %v", up(w))
	traffic(w)
	if strings.Contains(g.proc.Log(), "short recv") {
		t.Error("iked has seen the end of its PF_KEY socket")
	}
}

// TestStrongSwan: OpenIKED on our engine against strongSwan's kernel-libipsec, each role; rekeyed and deleted by strongSwan.
func TestStrongSwan(t *testing.T) {
	for _, role := range []string{"client", "gateway"} {
		t.Run(role, func(t *testing.T) {
			w := world(t)
			var d *iked
			var peer *netlab.Host
			if role == "client" {
				d, peer = client(w, ""), w.Gateway
			} else {
				d, peer = gateway(w, ""), w.Clients[0]
			}
			swan := w.StartNode(netlab.StrongSwan, peer, swanConfig(w, role))
			d.launch()
			if role == "gateway" {
				swan.Initiate("net")
			}
			t.Logf("up after %v", up(w))
			traffic(w)
			first := spis(d)
			pings := w.Clients[0].Inner.StartPings(20*time.Millisecond, 150, w.Gateway.Inner4.String())
			swan.Swanctl("--rekey", "--child", "net")
			w.Eventually(5*time.Second, "other SAs", func() (bool, string) {
				now := spis(d)
				return now != first && now != "", now
			})
			if lost := pings.Lost(); lost > 1 {
				// kernel-libipsec switches to the new outbound SA before its peer can have the new inbound one.
				t.Errorf("%d pings of 150 were lost", lost)
			}
			swan.Swanctl("--terminate", "--ike", "lab")
			w.Eventually(5*time.Second, "no SAs", func() (bool, string) {
				out := d.dump()
				return !strings.Contains(out, "mature") || role == "client" && spis(d) != first, out
			})
		})
	}
}

func swanConfig(w *netlab.World, role string) netlab.Config {
	c := netlab.Config{LocalAuth: "psk", RemoteAuth: "psk", Proposals: "aes256-sha256-modp2048", ESP: "aes256-sha512-modp2048,aes256-sha512", Secret: psk}
	child := netlab.Child{Name: "net", LocalTS: right, RemoteTS: left}
	c.LocalID, c.RemoteID = "gateway.lab", "client.lab"
	if role == "gateway" {
		c.LocalID, c.RemoteID, c.Remote = "client.lab", "gateway.lab", w.Gateway.Public.String()
		child.LocalTS, child.RemoteTS = left, right
	}
	c.Children = []netlab.Child{child}
	return c
}

// build compiles the impatient client, static.
func build(w *netlab.World) string {
	w.Helper()
	path := filepath.Join(w.Dir, "keyclient")
	if out, err := command("go", "build", "-tags", "lab", "-o", path, "./keyclient"); err != nil {
		w.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestRounds: a static program of Go that gives every answer a millisecond, with both processors busy: none of the answers to a
// thousand rekeyings is late.
func TestRounds(t *testing.T) {
	w := world(t)
	g := gateway(w, "")
	path := build(w)
	for _, separate := range []bool{false, true} {
		name := "engine in the supervisor"
		args := []string{w.Binary(), "pfkey", "run", "--state", g.path("-state"), "--", path, "1000"}
		if separate {
			name = "engine beside it"
			g.serve()
			args = []string{w.Binary(), "pfkey", "run", "--socket", g.path(".pfkey"), "--", path, "1000"}
		}
		t.Run(name, func(t *testing.T) {
			for range 2 {
				busy := w.Gateway.Start("busy", nil, "sh", "-c", "while :; do :; done")
				defer busy.Kill()
			}
			p := w.Gateway.Start("rounds", nil, args...)
			if err := p.Wait(60 * time.Second); err != nil || !strings.Contains(p.Log(), "rounds 1000 lost 0 ") {
				t.Errorf("%v: %s", err, p.Log())
			}
			t.Log(p.Log()[strings.LastIndex(p.Log(), "rounds"):])
		})
	}
}

// TestRestartAnswers: after each end of the engine, kill -9 included, a GET is answered by ESRCH on the descriptor of before.
func TestRestartAnswers(t *testing.T) {
	w := world(t)
	g := gateway(w, "")
	path := build(w)
	g.serve()
	p := w.Gateway.Start("get", nil, w.Binary(), "pfkey", "run", "--socket", g.path(".pfkey"), "--", path, "get")
	w.Eventually(5*time.Second, "the program has its socket", func() (bool, string) { return strings.Contains(p.Log(), "ready"), p.Log() })
	for i, sig := range []syscall.Signal{0, syscall.SIGKILL, syscall.SIGTERM} {
		if sig != 0 {
			g.engine.Stop(sig, 5*time.Second)
			g.serve()
		}
		if _, err := p.Stdin.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		const answer = "3 <nil>\n"
		w.Eventually(5*time.Second, "the answer", func() (bool, string) { return strings.Count(p.Log(), answer) == i+1, p.Log() })
	}
	cpu, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID()), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	// Fields 14 and 15 are user and system time in hundredths of a second.
	if f := strings.Fields(string(cpu)); len(f[13]) > 2 || len(f[14]) > 2 {
		t.Errorf("the supervisor has used %s and %s hundredths of a second", f[13], f[14])
	}
}

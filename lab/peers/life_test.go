// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The life of SAs after they are up: rekeyed from either side while packets flow, deleted from either side, given up when the
// peer was killed, established again.

package peers

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

// flow is a series of pings that goes on while something happens: 1.5 s, a packet every 10 ms.
const (
	flowCount = 150
	flowEvery = 10 * time.Millisecond
	flowLead  = 300 * time.Millisecond
)

// side names the end that does something.
type side string

const (
	byClient  side = "by-client"
	byGateway side = "by-gateway"
)

func (tn *tunnel) side(s side) (actor, other *netlab.Node) {
	if s == byClient {
		return tn.clients[0], tn.gw
	}
	return tn.gw, tn.clients[0]
}

// masqueraded is the scenario of most cases.
func masqueraded(p pair) scenario {
	return scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: virtual}
}

func TestRekey(t *testing.T) {
	type what struct {
		name string
		args []string
		esp  string
	}
	for _, p := range all() {
		for _, w := range []what{{"child", []string{"--child", "net"}, "aes128gcm16"},
			{"child-pfs", []string{"--child", "net"}, "aes256-sha256-x25519"}, {"ike", []string{"--ike", "lab"}, "chacha20poly1305"}} {
			for _, s := range []side{byClient, byGateway} {
				t.Run(fmt.Sprintf("%v/%s/%s", p, w.name, s), func(t *testing.T) {
					t.Parallel()
					sc := masqueraded(p)
					sc.editClient = func(c *netlab.Config) { c.ESP = w.esp }
					sc.editGateway = sc.editClient
					sc.rekey(t, s, w.name == "ike", w.args)
				})
			}
		}
	}
}

// rekey has one side rekey while packets flow, and looks for lost ones and for the new keys on both sides.
func (sc scenario) rekey(t *testing.T, s side, ike bool, args []string) {
	t.Helper()
	tn := sc.up(t)
	tn.pings(0)
	actor, other := tn.side(s)
	before := Up(actor.SAs())[0]
	pa := tn.path(0)
	flow := pa.from.StartPings(flowEvery, flowCount, "-I", pa.fromAddr, pa.toAddr)
	time.Sleep(flowLead)
	actor.Swanctl(append([]string{"--rekey"}, args...)...)
	changed := func(list []netlab.SA) bool {
		up := Up(list)
		if len(up) != 1 {
			return false
		}
		for _, c := range up[0].Installed() {
			for _, old := range before.Children {
				if !ike && (c.SPIIn == old.SPIIn || c.SPIIn == old.SPIOut) {
					return false
				}
			}
		}
		return !ike || up[0].SPIi != before.SPIi && up[0].SPIr != before.SPIr && up[0].SPIr != before.SPIi
	}
	actor.WaitSAs(5*time.Second, "rekeyed", changed)
	other.WaitSAs(5*time.Second, "rekeyed", changed)
	if lost := flow.Lost(); lost > 0 {
		t.Errorf("%d of %d packets were lost across the rekey", lost, flowCount)
	}
	tn.pings(0)
	tn.moves(0, fewOctets)
	tn.checkSAs()
	// charon keeps the old inbound SA for five seconds more.
	if tn.client == netlab.Natterjack && tn.gateway == netlab.Natterjack {
		for _, n := range []*netlab.Node{actor, other} {
			n.WaitSAs(5*time.Second, "one SA with one child", func(list []netlab.SA) bool {
				return len(list) == 1 && len(list[0].Children) == 1
			})
		}
	}
}

// TestLifetimes: children and IKE SAs are rekeyed by their own lifetimes, again and again, and no packet is lost.
func TestLifetimes(t *testing.T) {
	short := func(c *netlab.Config) {
		c.Options = append(c.Options, "rekey_time = 3s", "over_time = 2s", "rand_time = 1s")
		c.Children[0].Options = append(c.Children[0].Options, "rekey_time = 2s", "life_time = 4s", "rand_time = 1s")
	}
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			sc := masqueraded(p)
			sc.editClient, sc.editGateway = short, short
			tn := sc.up(t)
			first := Up(tn.gw.SAs())[0]
			pa := tn.path(0)
			flow := pa.from.StartPings(20*time.Millisecond, 400, "-I", pa.fromAddr, pa.toAddr)
			if lost := flow.Lost(); lost > 0 {
				t.Errorf("%d packets were lost across the rekeys", lost)
			}
			last := tn.gw.WaitUp(3*time.Second, 1)[0]
			if last.SPIi == first.SPIi || last.Installed()[0].SPIIn == first.Installed()[0].SPIIn {
				t.Errorf("nothing was rekeyed in 8 s: %s", netlab.Describe([]netlab.SA{last}))
			}
		})
	}
}

func TestDelete(t *testing.T) {
	for _, p := range all() {
		for _, s := range []side{byClient, byGateway} {
			t.Run(fmt.Sprintf("%v/%s", p, s), func(t *testing.T) {
				t.Parallel()
				tn := masqueraded(p).up(t)
				tn.pings(0)
				actor, other := tn.side(s)
				actor.Swanctl("--terminate", "--child", "net")
				for _, n := range []*netlab.Node{actor, other} {
					n.WaitSAs(5*time.Second, "an IKE SA without children", func(list []netlab.SA) bool {
						return len(list) == 1 && len(list[0].Installed()) == 0 && list[0].State == "ESTABLISHED"
					})
				}
				tn.clients[0].Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				tn.pings(0)
				actor.Swanctl("--terminate", "--ike", "lab")
				actor.WaitNone(5 * time.Second)
				other.WaitNone(5 * time.Second)
				tn.nothingLeft(0)
				tn.clients[0].Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				tn.pings(0)
				tn.moves(0, fewOctets)
			})
		}
	}
}

// nothingLeft fails while a client still has addresses or routes of a tunnel.
func (tn *tunnel) nothingLeft(i int) {
	tn.Helper()
	c := tn.Clients[i]
	tn.Eventually(3*time.Second, "addresses and routes are gone", func() (bool, string) {
		state := c.Run("ip", "addr") + c.Run("ip", "route", "show", "table", "all") + c.Run("ip", "-6", "route", "show", "table", "all")
		for _, trace := range []string{"10.30.0.", "fd30::", "10.20.0.", "fd20::"} {
			if strings.Contains(state, trace) {
				return false, trace + " is still there:\n" + state
			}
		}
		return true, ""
	})
}

// TestDeadPeer: one end is killed; the other notices within the delay and its retransmissions; the killed one comes back.
func TestDeadPeer(t *testing.T) {
	const delay, retransmissions = time.Second, 4400 * time.Millisecond
	dpd := func(c *netlab.Config) {
		c.Options = append(c.Options, fmt.Sprintf("dpd_delay = %.0fs", delay.Seconds()))
		c.Children[0].Options = append(c.Children[0].Options, "dpd_action = clear")
	}
	for _, p := range all() {
		for _, s := range []side{byClient, byGateway} {
			t.Run(fmt.Sprintf("%v/%s-killed", p, strings.TrimPrefix(string(s), "by-")), func(t *testing.T) {
				t.Parallel()
				sc := masqueraded(p)
				sc.editClient, sc.editGateway = dpd, dpd
				tn := sc.up(t)
				tn.pings(0)
				killed, other := tn.side(s)
				killed.Proc.Kill()
				begin := time.Now()
				other.WaitNone(delay + retransmissions + 3*time.Second)
				t.Logf("noticed after %v", time.Since(begin).Round(100*time.Millisecond))
				if s == byGateway {
					tn.nothingLeft(0)
				}
				killed.Launch()
				tn.clients[0].Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				tn.pings(0)
				tn.moves(0, fewOctets)
			})
		}
	}
}

// TestReturn: a client that was killed comes back before it was missed, and the gateway keeps one SA of it.
func TestReturn(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tn := masqueraded(p).up(t)
			tn.clients[0].Proc.Kill()
			tn.clients[0].Launch()
			tn.clients[0].Initiate("net")
			tn.gw.WaitSAs(5*time.Second, "one SA, the new one", func(list []netlab.SA) bool {
				mine := Up(tn.clients[0].SAs())
				return len(list) == 1 && len(mine) == 1 && list[0].SPIi == mine[0].SPIi
			})
			tn.pings(0)
		})
	}
}

// TestShutdown: SIGTERM deletes the SAs first, and ends within two seconds.
func TestShutdown(t *testing.T) {
	for _, p := range pairs(pair{netlab.Natterjack, netlab.StrongSwan}, pair{netlab.Natterjack, netlab.Natterjack}) {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tn := masqueraded(p).up(t)
			tn.pings(0)
			c := tn.clients[0]
			if took := c.Proc.Stop(syscall.SIGTERM, 4*time.Second); took > 2*time.Second {
				t.Errorf("ending took %v", took)
			}
			if err := c.Proc.Wait(0); err != nil {
				t.Errorf("exit: %v", err)
			}
			tn.gw.WaitNone(2 * time.Second)
			tn.nothingLeft(0)
			tn.hostClean(c)
		})
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What Natterjack does to its host: cleartext that pretends to come out of the tunnel is dropped, policies of pass and drop hold,
// updown commands run, and nothing is left behind, whatever ended the daemon.

package peers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

// ourClients are the pairs whose client is Natterjack.
func ourClients() []pair {
	return pairs(pair{netlab.Natterjack, netlab.StrongSwan}, pair{netlab.Natterjack, netlab.Natterjack})
}

// hostClean fails if a host differs from before a Natterjack ran on it: device, rules, tables of routes and of nftables.
func (tn *tunnel) hostClean(n *netlab.Node) {
	tn.Helper()
	n.StopKeys()
	tn.Eventually(3*time.Second, n.Role+": nothing of the daemon's is left", func() (bool, string) {
		state := n.Run("ip", "link") + n.Run("ip", "rule") + n.Run("ip", "-6", "rule") + n.Run("nft", "list", "ruleset") +
			n.Run("ip", "route", "show", "table", "all") + n.Run("ip", "-6", "route", "show", "table", "all")
		for _, trace := range []string{"ipsec0", "fwmark", "natterjack", "10.20.", "fd20:", "10.30.", "fd30:"} {
			if strings.Contains(state, trace) {
				return false, trace + " is there:\n" + state
			}
		}
		return true, ""
	})
}

// TestCleartext: datagrams that arrive outside the tunnel with inner addresses are delivered before there is a tunnel, which
// shows that the lab could, and never while there is one (RFC 4301, Section 5.2).
func TestCleartext(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, mode: network, encap: true}
			tn := s.start(t)
			c, g := tn.Clients[0], tn.Gateway
			type attack struct {
				victim         *netlab.Host
				source, target string
				via            string
			}
			var attacks []attack
			if p.client == netlab.Natterjack {
				attacks = append(attacks, attack{c, g.Inner4.String(), c.Inner4.String(), c.Addr.String()},
					attack{c, g.Inner6.String(), c.Inner6.String(), "fd77::10"})
			}
			if p.gateway == netlab.Natterjack {
				attacks = append(attacks, attack{g, c.Inner4.String(), g.Inner4.String(), g.Addr.String()},
					attack{g, c.Inner6.String(), g.Inner6.String(), "2001:db8:100::10"})
			}
			try := func(a attack) int64 {
				t.Helper()
				counter := a.victim.Inner.CountUDP(net.JoinHostPort(a.target, "9999"))
				tn.Router.SendForged(a.source, a.target, a.via, 9999, 50)
				time.Sleep(200 * time.Millisecond)
				n, _, _ := counter.Stop()
				return n
			}
			for _, a := range attacks {
				if n := try(a); n == 0 {
					t.Fatalf("%s to %s: not delivered without a tunnel, so the lab proves nothing", a.source, a.target)
				}
			}
			tn.clients[0].Initiate("net")
			tn.gw.WaitUp(5*time.Second, 1)
			tn.pings(0)
			for _, a := range attacks {
				if n := try(a); n != 0 {
					t.Errorf("%s to %s: %d datagrams in clear were delivered beside the tunnel", a.source, a.target, n)
				}
			}
			tn.pings(0)
		})
	}
}

// TestPolicies: mode = drop holds for what no child protects, whether or not it would enter the TUN; mode = pass lets a part of
// the protected network's traffic go in clear.
func TestPolicies(t *testing.T) {
	for _, p := range ourClients() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, mode: network, encap: true}
			s.editClient = func(c *netlab.Config) {
				c.Children = append(c.Children,
					netlab.Child{Name: "forbidden", LocalTS: "0.0.0.0/0", RemoteTS: "198.51.100.1/32[udp/7]", Options: []string{"mode = drop"}},
					netlab.Child{Name: "wide", LocalTS: "0.0.0.0/0", RemoteTS: "10.20.0.0/16", Options: []string{"mode = drop"}},
					netlab.Child{Name: "clear", LocalTS: "10.40.0.0/24", RemoteTS: "10.20.0.2/32[udp/8]", Options: []string{"mode = pass"}})
			}
			tn := s.start(t)
			// The clear packets need a way through the router, and back.
			tn.Router.IP("route add 10.20.0.0/24 via 198.51.100.10", "route add 10.40.0.0/24 via 192.168.77.10", "addr add 10.20.9.1/32 dev lo")
			tn.clients[0].Initiate("net")
			tn.gw.WaitUp(5*time.Second, 1)
			tn.pings(0)
			capture := tn.Router.Capture("wan")
			c, g := tn.Clients[0], tn.Gateway
			count := func(to *netlab.Space, from *netlab.Space, source, target string) int64 {
				t.Helper()
				counter := to.CountUDP(target)
				from.SendUDP(source+":0", target, 20, 100)
				time.Sleep(200 * time.Millisecond)
				n, _, _ := counter.Stop()
				return n
			}
			if n := count(tn.Router, c.Space, c.Addr.String(), "198.51.100.1:7"); n != 0 {
				t.Errorf("drop: %d datagrams left outside the TUN", n)
			}
			if n := count(tn.Router, c.Space, c.Addr.String(), "198.51.100.1:9"); n != 20 {
				t.Errorf("the port beside the dropped one: %d of 20 arrived", n)
			}
			if n := count(tn.Router, c.Inner, c.Inner4.String(), "10.20.9.1:9"); n != 0 {
				t.Errorf("drop around the protected network: %d datagrams arrived in clear", n)
			}
			if n := count(g.Inner, c.Inner, c.Inner4.String(), "10.20.0.2:9"); n != 20 {
				t.Errorf("the tunnel: %d of 20 datagrams arrived", n)
			}
			packets := capture.Stop()
			if n := clear(packets, 8); n != 0 {
				t.Errorf("%d datagrams for port 8 before any was sent", n)
			}
			capture = tn.Router.Capture("wan")
			counter := g.Space.CountUDP("10.20.0.1:1") // nothing listens on port 8: only the wire is looked at
			c.Inner.SendUDP(c.Inner4.String()+":0", "10.20.0.2:8", 20, 100)
			time.Sleep(time.Second) // a busy machine takes a while to send and to capture them
			counter.Stop()
			if n := clear(capture.Stop(), 8); n != 20 {
				t.Errorf("pass: %d of 20 datagrams went in clear", n)
			}
		})
	}
}

// TestTrap: start_action = trap. The first packet brings the child up and arrives, nothing leaves in clear before, and after the
// peer has taken the child away the next packet brings it back.
func TestTrap(t *testing.T) {
	for _, p := range ourClients() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: network, encap: true}
			s.editClient = func(c *netlab.Config) { c.Children[0].Options = append(c.Children[0].Options, "start_action = trap") }
			tn := s.start(t)
			c, g := tn.Clients[0], tn.Gateway
			tn.Eventually(5*time.Second, "the trap", func() (bool, string) {
				out, err := tn.clients[0].TrySwanctl("--list-pols", "--trap")
				return err == nil && strings.Contains(out, "10.20."), out
			})
			capture := tn.Router.Capture("wan")
			first := func(when string) {
				t.Helper()
				counter := g.Inner.CountUDP(net.JoinHostPort(g.Inner4.String(), "9"))
				c.Inner.SendUDP(c.Inner4.String()+":0", net.JoinHostPort(g.Inner4.String(), "9"), 1, 100)
				tn.gw.WaitUp(5*time.Second, 1)
				time.Sleep(500 * time.Millisecond)
				if n, _, _ := counter.Stop(); n != 1 {
					t.Errorf("%s: %d packets arrived, expected the one that asked", when, n)
				}
			}
			first("the first packet")
			tn.pings(0)
			tn.gw.Swanctl("--terminate", "--ike", "lab")
			time.Sleep(4 * time.Second) // packets alone have an attempt begun only so often
			first("after the peer's delete")
			tn.pings(0)
			if err := tn.outer(1).Check(capture.Stop()); err != nil {
				t.Errorf("outer link: %v", err)
			}
		})
	}
}

// clear counts datagrams to a port in clear.
func clear(packets []netlab.Packet, port uint16) (n int) {
	for i := range packets {
		if packets[i].Protocol == 17 && packets[i].Dst.Port() == port {
			n++
		}
	}
	return n
}

// TestCrash: a daemon is killed; cleanup removes what it left, and so does the next start.
func TestCrash(t *testing.T) {
	for _, p := range ourClients() {
		for _, by := range []string{"cleanup", "next start"} {
			t.Run(p.String()+"/"+by, func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				tn := s.up(t)
				tn.pings(0)
				c := tn.clients[0]
				c.Proc.Kill()
				if by == "cleanup" {
					if out, err := c.Cleanup(); err != nil {
						t.Fatalf("cleanup: %v: %s", err, out)
					}
					tn.hostClean(c)
					return
				}
				c.Launch()
				tn.nothingLeft(0)
				c.Initiate("net")
				tn.gw.WaitUp(5*time.Second, 1)
				tn.pings(0)
				c.Proc.Stop(terminate, 3*time.Second)
				tn.hostClean(c)
			})
		}
	}
}

// TestHostRefuses: a gateway whose host cannot be set up for a child (its interface is down) refuses the child, with its engine behind PF_KEY
// too: the client hears of it, and no SA is left that packets could bypass. When the host can be set up the same child comes up.
func TestHostRefuses(t *testing.T) {
	for _, p := range pairs(pair{netlab.Natterjack, netlab.Natterjack}) {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tn := masqueraded(p).start(t)
			c := tn.clients[0]
			tn.gw.Run("ip", "link", "set", "ipsec0", "down")
			if out, err := c.CLI("up", "net"); err == nil {
				t.Errorf("up succeeded: %s", out)
			} else {
				t.Logf("up says:\n%s", out)
			}
			for _, n := range []*netlab.Node{tn.gw, c} {
				if out := n.Swanctl("--list-sas", "--raw"); strings.Contains(out, "state=INSTALLED") {
					t.Errorf("%s has a child: %s", n.Role, out)
				}
			}
			tn.gw.Run("ip", "link", "set", "ipsec0", "up")
			c.Initiate("net")
			tn.gw.WaitUp(5*time.Second, 1)
			tn.pings(0)
		})
	}
}

// TestUpdown: the child's command runs when the child is up and when it is down, with the environment that it needs to open a
// firewall which drops by default.
func TestUpdown(t *testing.T) {
	for _, p := range ourClients() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			log, script := filepath.Join(dir, "log"), filepath.Join(dir, "updown")
			body := "#!/bin/sh\necho \"$PLUTO_VERB $PLUTO_PEER_CLIENT $PLUTO_MY_CLIENT $PLUTO_PEER $PLUTO_PEER_ID $PLUTO_MY_SOURCEIP\" >> " + log + "\n"
			if err := os.WriteFile(script, []byte(body), 0o700); err != nil {
				t.Fatal(err)
			}
			s := masqueraded(p)
			s.editClient = func(c *netlab.Config) { c.Children[0].Options = append(c.Children[0].Options, "updown = "+script) }
			tn := s.up(t)
			v4, _ := tn.virtualIPs(0)
			lines := func(verb string) []string {
				b, _ := os.ReadFile(log)
				var list []string
				for _, line := range strings.Split(string(b), "\n") {
					if strings.HasPrefix(line, verb) {
						list = append(list, line)
					}
				}
				return list
			}
			want := fmt.Sprintf("up-client 10.20.0.0/24 %s/32 198.51.100.10 %s %s", v4, gatewayID, v4)
			tn.Eventually(3*time.Second, "updown on up", func() (bool, string) {
				all := lines("up-client ")
				for _, line := range all {
					if line == want {
						return true, ""
					}
				}
				return false, fmt.Sprintf("%q, expected %q among them", all, want)
			})
			tn.clients[0].Swanctl("--terminate", "--ike", "lab")
			tn.Eventually(3*time.Second, "updown on down", func() (bool, string) {
				up, down := len(lines("up-client")), len(lines("down-client"))
				return up > 0 && up == down, fmt.Sprintf("%d up, %d down", up, down)
			})
		})
	}
}

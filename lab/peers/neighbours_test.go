// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Several daemons on one host: ports that another one has are said by name, and two Natterjacks do not stand in each other's way.

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

// TestPortsTaken: charon has 500 and 4500, and Natterjack says so and ends.
func TestPortsTaken(t *testing.T) {
	for _, p := range pairs(pair{netlab.StrongSwan, netlab.StrongSwan}) {
		tn := masqueraded(p).start(t)
		dir := t.TempDir()
		conf := filepath.Join(dir, "own.conf")
		if err := os.WriteFile(conf, []byte("daemon {\n  tun = own0\n}\n"), 0o600); err != nil { // ipsec0 is charon's too
			t.Fatal(err)
		}
		out, err := tn.Gateway.Try("timeout", "5", tn.Binary(), "run", "--config", conf, "--vici", filepath.Join(dir, "vici"), "--state", filepath.Join(dir, "state"))
		if err == nil || !strings.Contains(out, "500") || !strings.Contains(out, "charon") {
			t.Errorf("expected an error that names the port and its holder: %v: %s", err, out)
		}
		t.Logf("it says: %s", out)
	}
}

// TestTwoDaemons: two Natterjacks on one host, each with ports, a device and a tunnel of its own. One is killed and cleaned up
// behind; the other does not notice.
func TestTwoDaemons(t *testing.T) {
	for _, p := range ourClients() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := scenario{pair: p, top: netlab.Topology{NAT: netlab.Masquerade}, mode: virtual}
			s.editClient = func(c *netlab.Config) { c.Children[0].RemoteTS = "10.20.0.0/24" }
			tn := s.up(t)
			first := tn.clients[0]
			space := *tn.Clients[0].Space
			space.Role = "c0-second"
			host := *tn.Clients[0]
			host.Space = &space
			c := first.Config
			c.LocalID = "second.clients.example.org"
			c.VIPs = "::"
			c.Children = []netlab.Child{{Name: "net", RemoteTS: "fd20::/64"}}
			c.Daemon = append([]string{"tun = ipsec1", "port = 1500", "port_nat_t = 5500"}, c.Daemon...)
			second := tn.StartNode(netlab.Natterjack, &host, c)
			second.Initiate("net")
			tn.gw.WaitUp(5*time.Second, 2)
			both := func() {
				t.Helper()
				if err := first.Ping(2*time.Second, "10.20.0.2"); err != nil {
					t.Errorf("the first: %v", err)
				}
				if err := first.Ping(2*time.Second, "fd20::2"); err != nil {
					t.Errorf("the second: %v", err)
				}
			}
			both()
			first.Proc.Kill()
			if out, err := first.Cleanup(); err != nil {
				t.Errorf("cleanup: %v: %s", err, out)
			}
			if err := first.Ping(2*time.Second, "fd20::2"); err != nil {
				t.Errorf("the second after the first was cleaned up: %v", err)
			}
			first.Launch()
			first.Initiate("net")
			both()
			second.Proc.Stop(terminate, 3*time.Second)
			if err := first.Ping(2*time.Second, "10.20.0.2"); err != nil {
				t.Errorf("the first after the second ended: %v", err)
			}
		})
	}
}

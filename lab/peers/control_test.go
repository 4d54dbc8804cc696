// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The control of the daemon: natterjack's own command line, a daemon that is loaded by swanctl alone, what fails and how it says
// so, and that Debian's swanctl understands everything.

package peers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const terminate = syscall.SIGTERM

// TestCommandLine: up, status and down, as a person on a laptop uses them.
func TestCommandLine(t *testing.T) {
	for _, p := range ourClients() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tn := masqueraded(p).start(t)
			c := tn.clients[0]
			out, err := c.CLI("up", "net")
			if err != nil {
				t.Fatalf("up: %v", err)
			}
			t.Logf("up says:\n%s", out)
			tn.gw.WaitUp(5*time.Second, 1)
			tn.pings(0)
			out, err = c.CLI("status", "--json")
			if err != nil || !json.Valid([]byte(out)) || !strings.Contains(out, "10.30.0.") {
				t.Errorf("status --json: %v: %s", err, out)
			}
			if out, err = c.CLI("status"); err != nil || !strings.Contains(out, "net") {
				t.Errorf("status: %v: %s", err, out)
			}
			if out, err = c.CLI("down", "lab"); err != nil {
				t.Errorf("down: %v: %s", err, out)
			}
			tn.gw.WaitNone(5 * time.Second)
			tn.nothingLeft(0)
		})
	}
}

// TestBare: a daemon that starts without a file and is loaded by swanctl is the same as one that read it.
func TestBare(t *testing.T) {
	for _, p := range all() {
		for _, key := range []netlab.KeyKind{"", netlab.ECDSA256} {
			t.Run(p.String()+"/"+string(key), func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				s.key = key
				s.editClient = func(c *netlab.Config) { c.Bare = true }
				s.editGateway = s.editClient
				tn := s.up(t)
				tn.pings(0)
				tn.moves(0, fewOctets)
			})
		}
	}
}

// TestSwanctl: every command of Debian's swanctl that the issue names succeeds, also with --raw and --pretty.
func TestSwanctl(t *testing.T) {
	for _, p := range all() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s := masqueraded(p)
			s.key = netlab.ECDSA256
			tn := s.up(t)
			for _, n := range []*netlab.Node{tn.clients[0], tn.gw} {
				if n.Kind != netlab.Natterjack {
					continue
				}
				for _, args := range [][]string{{"--list-sas"}, {"--list-conns"}, {"--list-pools"}, {"--list-pools", "--leases"}, {"--list-certs"},
					{"--stats"}, {"--version", "--daemon"}, {"--reload-settings"}, {"--load-creds", "--noprompt"}, {"--load-pools"}, {"--load-conns"},
					{"--load-all", "--noprompt"}, {"--list-pols"}} {
					for _, format := range [][]string{nil, {"--raw"}, {"--pretty"}} {
						if out, err := n.TrySwanctl(append(args, format...)...); err != nil {
							t.Errorf("%s: %v: %s", n.Role, err, out)
						}
					}
				}
				out := n.Swanctl("--list-sas", "--raw")
				for _, want := range []string{"state=ESTABLISHED", "encr-alg=AES_GCM_16", "encr-keysize=128", "prf-alg=PRF_HMAC_SHA2_256",
					"dh-group=CURVE_25519", "child-sas {", "state=INSTALLED", "mode=TUNNEL", "encap=yes", "version=2"} {
					if !strings.Contains(out, want) {
						t.Errorf("%s: list-sas --raw lacks %q: %s", n.Role, want, out)
					}
				}
			}
			tn.pings(0) // loading the same again changed nothing
			if len(Up(tn.gw.SAs())) != 1 {
				t.Errorf("after loading again: %s", netlab.Describe(tn.gw.SAs()))
			}
		})
	}
}

// TestFailures: what is wrong is said in words that a person can act on, and the daemon lives on.
func TestFailures(t *testing.T) {
	type failure struct {
		name        string
		edit        func(*netlab.Config) // of the client
		says        []string             // any of these, in lower case
		gatewayGone bool
	}
	for _, p := range ourClients() {
		for _, f := range []failure{
			{name: "no proposal", edit: func(c *netlab.Config) { c.Proposals = "aes256-sha512-modp4096" }, says: []string{"proposal"}},
			{name: "no proposal of the child", edit: func(c *netlab.Config) { c.ESP = "chacha20poly1305" }, says: []string{"proposal"}},
			{name: "another secret", edit: func(c *netlab.Config) { c.Secret = "not the gateway's secret, 32+ octets" }, says: []string{"secret", "authentic", "psk", "preshared"}},
			{name: "another identity", edit: func(c *netlab.Config) { c.RemoteID = "other.example.org" }, says: []string{"identity", "authentic", "other.example.org"}},
			{name: "selectors", edit: func(c *netlab.Config) { c.Children[0].RemoteTS = "172.16.0.0/24" }, says: []string{"selector", "ts_unacceptable"}},
			{name: "no answer", gatewayGone: true, says: []string{"no answer", "does not answer", "not answer"}},
		} {
			t.Run(p.String()+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				s := masqueraded(p)
				s.editClient = f.edit
				tn := s.start(t)
				if f.gatewayGone {
					tn.gw.Proc.Kill()
				}
				out, err := tn.clients[0].CLI("up", "net")
				if err == nil {
					t.Fatalf("up succeeded: %s", out)
				}
				t.Logf("up says:\n%s", out)
				for _, want := range f.says {
					if strings.Contains(strings.ToLower(out), want) {
						return
					}
				}
				t.Errorf("none of %q in: %s", f.says, out)
			})
		}
	}
}

// TestReload: SIGHUP loads the file again; a broken one leaves the configuration in force and says which line.
func TestReload(t *testing.T) {
	for _, p := range pairs(pair{netlab.Natterjack, netlab.Natterjack}) {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tn := masqueraded(p).up(t)
			c := tn.clients[0]
			path := filepath.Join(c.Dir(), "swanctl.conf")
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append([]byte("connections {\n  broken {\n    nonsense = 1\n  }\n}\n"), good...), 0o600); err != nil {
				t.Fatal(err)
			}
			c.Proc.Signal(syscall.SIGHUP)
			tn.Eventually(3*time.Second, "the log names the line", func() (bool, string) {
				log := c.Proc.Log()
				return strings.Contains(log, "swanctl.conf:3"), log
			})
			tn.pings(0)
			changed := strings.Replace(string(good), "  lab {", "  second {\n    version = 2\n    remote_addrs = 192.0.2.1\n    local {\n      auth = psk\n    }\n"+
				"    remote {\n      auth = psk\n    }\n    children {\n      other {\n      }\n    }\n  }\n  lab {", 1)
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			c.Proc.Signal(syscall.SIGHUP)
			tn.Eventually(3*time.Second, "the new connection is listed", func() (bool, string) {
				out, err := c.TrySwanctl("--list-conns")
				return err == nil && strings.Contains(out, "second"), out
			})
			tn.pings(0)
		})
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package swanctl

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/lab/netlab"
)

func TestMain(m *testing.M) {
	netlab.Main()
	code := m.Run()
	netlab.RemoveBinary()
	os.Exit(code)
}

// ends are the two daemons of one implementation, with a tunnel between them.
type ends struct{ client, gateway *netlab.Node }

// pair starts a client behind a NAT and its gateway, both of one implementation, with certificates and a pool.
func pair(t *testing.T, kind netlab.Kind) ends {
	t.Helper()
	w := netlab.NewWorld(netlab.New(t), netlab.Topology{NAT: netlab.Masquerade})
	ca := netlab.NewAuthority(t, netlab.ECDSA256)
	common := netlab.Config{
		LocalAuth: "pubkey", RemoteAuth: "pubkey", Proposals: "aes128-sha256-x25519", ESP: "aes128gcm16", Options: []string{"dpd_delay = 30s", "unique = replace"},
	}
	g, c := common, common
	g.LocalID, g.RemoteID, g.Cert = "gw.example.org", "*.clients.example.org", ca.Issue(w, "gw.example.org")
	g.Pools = map[string]string{"p4": "10.30.0.0/24", "p6": "fd30::/120"}
	g.Children = []netlab.Child{{Name: "net", LocalTS: fmt.Sprintf("%v, %v", w.Gateway.Net4, w.Gateway.Net6)}}
	c.LocalID, c.RemoteID, c.Cert = "c0.clients.example.org", "gw.example.org", ca.Issue(w, "c0.clients.example.org")
	c.Remote, c.VIPs = w.Gateway.Public.String(), "0.0.0.0, ::"
	c.Children = []netlab.Child{{Name: "net", RemoteTS: fmt.Sprintf("%v, %v", w.Gateway.Net4, w.Gateway.Net6)}}
	if kind == netlab.Natterjack {
		g.Daemon, c.Daemon = []string{"dns = no"}, []string{"dns = no"}
	}
	return ends{gateway: w.StartNode(kind, w.Gateway, g), client: w.StartNode(kind, w.Clients[0], c)}
}

// unequal are what differs between two runs, or is not ours to have, and what takes its place.
var unequal = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(` ?nat-(local|remote|fake|any)=yes`), ""},                    // kernel-libipsec makes charon believe in a NAT everywhere
	{regexp.MustCompile(`(?m)^ *nat-(local|remote|fake|any) = yes\n`), ""},           // likewise
	{regexp.MustCompile(` tasks-(active|queued|passive)=\[[^]]*\]`), ""},             // the names of charon's classes
	{regexp.MustCompile(`(?m)^list-cert event \{type=X509 flag=NONE data=.*\n`), ""}, // charon keeps certificates that peers sent
	{regexp.MustCompile(`/tmp/njlab\d+/`), "DIR/"},
	{regexp.MustCompile(`=0x[0-9a-f]+`), "=DATA"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9a-f]{16}(_|\b)`), "SPI$1"},
	{regexp.MustCompile(`\b[0-9a-f]{8}\b`), "SPI"},
	{regexp.MustCompile(`\b\d+(s?)\b`), "N$1"},
	{regexp.MustCompile(` +`), " "},
}

// normal is what swanctl printed without what differs between two runs, its lines sorted: the order of SAs and of certificates
// means nothing.
func normal(out string) string {
	for _, u := range unequal {
		out = u.what.ReplaceAllString(out, u.with)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// last is the last line: the reply, without the log that came before.
func last(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// keys are the names in a line of swanctl --raw, without their values.
func keys(out string) string {
	return strings.Join(regexp.MustCompile(`[a-z][a-z-]* ?[={]`).FindAllString(out, -1), " ")
}

// reads are commands that only read; what swanctl prints is compared whole.
var reads = [][]string{
	{"--list-sas"}, {"--list-sas", "--raw"}, {"--list-sas", "--pretty"}, {"--list-sas", "--raw", "--ike", "lab"}, {"--list-sas", "--raw", "--ike", "nope"},
	{"--list-conns"}, {"--list-conns", "--raw"}, {"--list-conns", "--pretty"},
	{"--list-pools"}, {"--list-pools", "--raw"}, {"--list-pools", "--leases"}, {"--list-pools", "--leases", "--raw"}, {"--list-pools", "--leases", "--pretty"},
	{"--list-certs", "--raw"}, {"--list-certs", "--type", "x509", "--raw"}, {"--list-pols", "--raw"}, {"--list-pols", "--trap", "--drop", "--pass"},
	{"--list-authorities"}, {"--list-authorities", "--raw"}, {"--reload-settings"}, {"--reload-settings", "--raw"}, {"--flush-certs", "--raw"},
	{"--terminate", "--child", "nope", "--raw"}, {"--terminate", "--ike-id", "99", "--raw"}, {"--rekey", "--ike", "nope", "--raw"},
	{"--load-creds", "--noprompt", "--raw"}, {"--load-pools", "--raw"}, {"--load-conns", "--raw"}, {"--load-conns"}, {"--load-pools"},
	{"--load-authorities"}, {"--load-all", "--noprompt", "--raw"},
}

// said runs the commands on both ends.
func said(t *testing.T, e ends) map[string]string {
	t.Helper()
	all := map[string]string{}
	for role, n := range map[string]*netlab.Node{"client": e.client, "gateway": e.gateway} {
		for _, args := range reads {
			out, err := n.TrySwanctl(args...)
			if err != nil {
				out = "FAILED " + out
			}
			all[role+" "+strings.Join(args, " ")] = normal(out)
		}
		all[role+" keys of --stats"] = keys(strings.Split(n.Swanctl("--stats", "--raw"), " plugins=")[0])
		all[role+" keys of --version"] = keys(n.Swanctl("--version", "--daemon", "--raw"))
		for _, args := range [][]string{{"--stats"}, {"--stats", "--pretty"}, {"--version", "--daemon"}, {"--list-certs"}, {"--list-algs"}, {"--list-algs", "--raw"}} {
			n.Swanctl(args...)
		}
	}
	all["--rekey --child"] = normal(e.client.Swanctl("--rekey", "--child", "net", "--raw"))
	settled(e)
	all["--rekey --ike"] = normal(e.client.Swanctl("--rekey", "--ike", "lab", "--raw"))
	settled(e)
	all["after the rekeys"] = normal(e.client.Swanctl("--list-sas", "--raw"))
	return all
}

// settled waits until both ends have one IKE SA with one child and nothing else.
func settled(e ends) {
	for _, n := range []*netlab.Node{e.client, e.gateway} {
		n.WaitSAs(10*time.Second, "one SA with one child", func(list []netlab.SA) bool {
			return len(list) == 1 && len(list[0].Children) == 1 && len(netlab.Up(list)) == 1 && list[0].Raw.List("tasks-active") == nil
		})
	}
}

// life is what swanctl says of a tunnel that comes and goes, and what --monitor-sa says meanwhile.
func life(t *testing.T, e ends) map[string]string {
	t.Helper()
	monitor := e.client.Start("monitor", nil, "swanctl", "--monitor-sa", "--raw", "--uri", "unix://"+e.client.Socket())
	time.Sleep(500 * time.Millisecond) // until it has registered, of which there is no sign
	all := map[string]string{}
	all["--initiate --raw"] = normal(last(e.client.Swanctl("--initiate", "--child", "net", "--timeout", "10", "--raw")))
	e.gateway.WaitUp(5*time.Second, 1)
	settled(e)
	for k, v := range said(t, e) {
		all[k] = v
	}
	all["--terminate --raw"] = normal(last(e.client.Swanctl("--terminate", "--ike", "lab", "--timeout", "5", "--raw")))
	e.client.WaitNone(5 * time.Second)
	e.gateway.WaitNone(5 * time.Second)
	time.Sleep(200 * time.Millisecond) // for the last events
	monitor.Stop(syscall.SIGTERM, 2*time.Second)
	all["--monitor-sa"] = events(monitor.Log())
	all["--initiate"] = normal(last(e.client.Swanctl("--initiate", "--child", "net", "--timeout", "10")))
	all["--terminate"] = normal(last(e.client.Swanctl("--terminate", "--child", "net", "--timeout", "5")))
	all["--list-sas without a child"] = normal(e.client.Swanctl("--list-sas", "--raw"))
	return all
}

// events are the lines of --monitor-sa.
func events(out string) string {
	var lines []string
	for _, l := range strings.Split(out, "\n") {
		if strings.Contains(l, " event {") {
			lines = append(lines, l)
		}
	}
	return normal(strings.Join(lines, "\n"))
}

// TestSameAsCharon: swanctl prints the same for both.
func TestSameAsCharon(t *testing.T) {
	want := life(t, pair(t, netlab.StrongSwan))
	got := life(t, pair(t, netlab.Natterjack))
	for what, text := range want {
		if diff := cmp.Diff(text, got[what]); diff != "" {
			t.Errorf("%s: charon's (-) and ours (+) differ:\n%s", what, diff)
		}
	}
}

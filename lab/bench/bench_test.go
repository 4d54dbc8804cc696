// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab && bench

// Package bench measures what passes a tunnel through a NAT: Natterjack on both ends against strongSwan with kernel-libipsec on
// both ends, on the same machine, in one run, taking turns, so that only the ratio counts. Run it with: make bench
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const (
	// rounds is how often each implementation has its turn; medians count.
	rounds = 5
	// streamSeconds is the length of one stream.
	streamSeconds = 2.0
	// goal is the least ratio of the medians of one TCP stream, each way.
	goal = 1.5
	// ipUDP is the length of an IPv4 and a UDP header.
	ipUDP = 28
	suite = "aes128gcm16"
)

func TestMain(m *testing.M) {
	netlab.Main()
	code := m.Run()
	netlab.RemoveBinary()
	os.Exit(code)
}

// kinds are what is compared; BENCH_KINDS, separated by commas, replaces them.
func kinds() []netlab.Kind {
	if v := os.Getenv("BENCH_KINDS"); v != "" {
		var list []netlab.Kind
		for _, k := range strings.Split(v, ",") {
			list = append(list, netlab.Kind(k))
		}
		return list
	}
	return []netlab.Kind{netlab.Natterjack, netlab.StrongSwan}
}

// bed is a pair of one implementation with its tunnel up.
type bed struct {
	kind     netlab.Kind
	world    *netlab.World
	from, to *netlab.Space // client's and gateway's side
	addr     string
	virtual  string
}

func newBed(t *testing.T, kind netlab.Kind) *bed {
	t.Helper()
	w := netlab.NewWorld(netlab.New(t), netlab.Topology{NAT: netlab.Masquerade})
	common := netlab.Config{LocalAuth: "psk", RemoteAuth: "psk", Secret: "a preshared key of the benchmark", ESP: suite,
		Proposals: "aes128gcm16-prfsha256-x25519", Daemon: []string{"dns = no", "log = warn"}}
	g := common
	g.LocalID, g.RemoteID = "gw.example.org", "client.example.org"
	g.Pools = map[string]string{"p": "10.30.0.0/24"}
	g.Children = []netlab.Child{{Name: "net", LocalTS: w.Gateway.Net4.String()}}
	c := common
	c.LocalID, c.RemoteID = g.RemoteID, g.LocalID
	c.Remote, c.VIPs = w.Gateway.Public.String(), "0.0.0.0"
	c.Children = []netlab.Child{{Name: "net", RemoteTS: w.Gateway.Net4.String()}}
	w.StartNode(kind, w.Gateway, g)
	client := w.StartNode(kind, w.Clients[0], c)
	client.Initiate("net")
	up := client.WaitUp(5*time.Second, 1)
	b := &bed{kind: kind, world: w, from: w.Clients[0].Space, to: w.Gateway.Inner, addr: w.Gateway.Inner4.String(), virtual: up[0].LocalVIPs[0]}
	if err := b.from.Ping(2*time.Second, b.addr); err != nil {
		t.Fatal(err)
	}
	return b
}

// direction is which way the octets of a stream go.
type direction string

const (
	toGateway direction = "client to gateway"
	toClient  direction = "gateway to client"
)

// TestStreams prints the throughput of one TCP stream each way, and fails below the goal.
func TestStreams(t *testing.T) {
	var beds []*bed
	for _, k := range kinds() {
		beds = append(beds, newBed(t, k))
	}
	results := map[netlab.Kind]map[direction][]float64{}
	for round := range rounds {
		for _, b := range beds {
			for _, dir := range []direction{toGateway, toClient} {
				mbit := b.world.Stream(b.from, b.to, b.addr, dir == toClient, streamSeconds)
				if results[b.kind] == nil {
					results[b.kind] = map[direction][]float64{}
				}
				results[b.kind][dir] = append(results[b.kind][dir], mbit)
				t.Logf("round %d: %-10s %-17s %7.0f Mbit/s", round+1, b.kind, dir, mbit)
			}
		}
	}
	for _, dir := range []direction{toGateway, toClient} {
		ours, theirs := median(results[netlab.Natterjack][dir]), median(results[netlab.StrongSwan][dir])
		if ours == 0 || theirs == 0 {
			t.Logf("one TCP stream, %s: natterjack %.0f, strongSwan %.0f Mbit/s: no ratio of one", dir, ours, theirs)
			continue
		}
		t.Logf("one TCP stream, %s: natterjack %.0f Mbit/s, strongSwan %.0f Mbit/s, ratio %.2f (goal %.1f)", dir, ours, theirs, ours/theirs, goal)
		if ours/theirs < goal {
			t.Errorf("%s: ratio %.2f, below %.1f", dir, ours/theirs, goal)
		}
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// TestPackets prints how many inner packets of two sizes arrive a second, the best of several offered rates.
func TestPackets(t *testing.T) {
	var beds []*bed
	for _, k := range kinds() {
		beds = append(beds, newBed(t, k))
	}
	for _, size := range []int{64, 1400} {
		best := map[netlab.Kind]float64{}
		for _, rate := range []int{20_000, 50_000, 100_000, 200_000, 400_000} {
			for _, b := range beds {
				got, offered := b.world.Packets(b.from, b.to, b.addr, size-ipUDP, 1, rate)
				best[b.kind] = max(best[b.kind], got)
				t.Logf("%4d octets, %6.0f packets/s offered: %-10s %6.0f packets/s arrived", size, offered, b.kind, got)
			}
		}
		ours, theirs := best[netlab.Natterjack], best[netlab.StrongSwan]
		if theirs > 0 && ours > 0 {
			t.Logf("%d octets: natterjack %.0f packets/s, strongSwan %.0f packets/s, ratio %.2f", size, ours, theirs, ours/theirs)
		}
	}
}

// TestAllocations prints the benchmarks of the data plane with their allocations; that these are 0 is a test of its own.
func TestAllocations(t *testing.T) {
	root, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "0.3s", "./ipsec/dataplane", "./ipsec/esp")
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(root)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(line, "Benchmark") && strings.Contains(line, "allocs/op") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("no benchmark: %s", out)
	}
	fmt.Println(strings.Join(lines, "\n"))
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The world of the end-to-end tests: two daemons, their inner hosts, a web server, and a NAT between them.

package daemon_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/natbox"
	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/netstack"
)

// end is one daemon with its inner host and what it reported.
type end struct {
	d     *daemon.Daemon
	stack *netstack.Stack

	mu     sync.Mutex // protects events
	events []ike.Event
	sub    *daemon.Subscription
	done   chan struct{}
}

func (e *end) collect() {
	e.sub, e.done = e.d.Events(), make(chan struct{})
	go func() {
		defer close(e.done)
		for ev := range e.sub.C {
			e.mu.Lock()
			e.events = append(e.events, ev)
			e.mu.Unlock()
		}
	}()
}

// count is how many events of a kind there were.
func (e *end) count(k ike.EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ev := range e.events {
		if ev.Kind == k {
			n++
		}
	}
	return n
}

func (e *end) last(k ike.EventKind) (ike.Event, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.events) - 1; i >= 0; i-- {
		if e.events[i].Kind == k {
			return e.events[i], true
		}
	}
	return ike.Event{}, false
}

func (e *end) close(t *testing.T) {
	t.Helper()
	begin := time.Now()
	if err := e.d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("close took %s, expected at most 2 s", took)
	}
	<-e.done
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "swanctl.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// boot starts a daemon on free ports of 127.0.0.1.
func boot(t *testing.T, stack *netstack.Stack, c *config.Config, change func(*daemon.Options)) *end {
	t.Helper()
	o := daemon.OptionsOf(c.Daemon)
	o.Device, o.DataPlane, o.AnyPort, o.Listen = stack, "netstack", true, netip.MustParseAddr("127.0.0.1")
	o.Keepalive = keepalive
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if change != nil {
		change(&o)
	}
	d, err := daemon.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{d: d, stack: stack}
	e.collect()
	if _, err := d.Apply(c); err != nil {
		e.close(t)
		t.Fatal(err)
	}
	return e
}

const gatewayConf = `
connections {
  laptops {
    pools = inner
    local { auth = psk
            id = gw.example }
    remote { auth = psk
             id = laptop.example }
    children { web { local_ts = 10.20.0.0/24
                     %s } }
  }
}
pools { inner { addrs = 10.30.0.0/24
                dns = 10.20.0.1 } }
secrets { ike-1 { id-1 = laptop.example
                  secret = "swordfish swordfish" } }
`

const clientConf = `
connections {
  office {
    remote_addrs = 127.0.0.1
    remote_port = %d
    remote_port_nat_t = %d
    vips = 0.0.0.0
    local { auth = psk
            id = laptop.example }
    remote { auth = psk
             id = gw.example }
    children { web { remote_ts = 10.20.0.0/24
                     %s } }
  }
}
secrets { ike-1 { id-1 = gw.example
                  secret = "%s" } }
`

// world is two ends and the NAT between them.
type world struct {
	gateway, client *end
	nat             *natbox.Loopback
	web             net.Listener
	body            []byte
	got             chan [32]byte
}

// build makes the world; child is one more option of both children.
func build(t *testing.T, child, secret string) *world {
	t.Helper()
	w := &world{body: make([]byte, payload), got: make(chan [32]byte, 16)}
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(w.body)
	gs, err := netstack.New([]netip.Addr{netip.MustParseAddr(innerWeb)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	// What is in flight fits the socket buffers of an unprivileged process: whatever is lost, we lost.
	if err := gs.SetTCPWindow(96 << 10); err != nil {
		t.Fatal(err)
	}
	w.gateway = boot(t, gs, load(t, fmt.Sprintf(gatewayConf, child)), nil)
	loopback := netip.MustParseAddr("127.0.0.1")
	ikePort, nattPort := w.gateway.d.Ports(loopback)
	w.nat, err = natbox.NewLoopback(natbox.LoopbackConfig{
		NAT: nat.Config{Mapping: nat.AddressPortDependent, Filtering: nat.AddressPortDependent, RandomPorts: true},
		Destinations: []natbox.Destination{
			{Inside: netip.AddrPortFrom(loopback, 0), Outside: netip.AddrPortFrom(loopback, ikePort)},
			{Inside: netip.AddrPortFrom(loopback, 0), Outside: netip.AddrPortFrom(loopback, nattPort)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cs, err := netstack.New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SetTCPWindow(96 << 10); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(clientConf, w.nat.Inside(0).Port(), w.nat.Inside(1).Port(), child, secret)
	w.client = boot(t, cs, load(t, conf), nil)
	if w.web, err = gs.ListenTCP(netip.MustParseAddrPort(innerWeb + ":80")); err != nil {
		t.Fatal(err)
	}
	go func() { _ = (&http.Server{Handler: w}).Serve(w.web) }()
	return w
}

// ServeHTTP gives the body to a GET and hashes what a PUT brings.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_, _ = out.Write(w.body)
		return
	}
	b, _ := io.ReadAll(r.Body)
	w.got <- sha256.Sum256(b)
}

func (w *world) close(t *testing.T) {
	t.Helper()
	w.web.Close()
	w.client.close(t)
	w.gateway.close(t)
	w.nat.Close()
}

func (w *world) http(ctx context.Context, method string, body io.Reader) (*http.Response, func(), error) {
	tr := &http.Transport{DialContext: w.client.stack.DialContext, DisableKeepAlives: true}
	q, err := http.NewRequestWithContext(ctx, method, "http://"+innerWeb+"/", body)
	if err != nil {
		return nil, nil, err
	}
	res, err := tr.RoundTrip(q)
	return res, tr.CloseIdleConnections, err
}

// transfer moves the body both ways and compares the hashes.
func (w *world) transfer(t *testing.T, while func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	want := sha256.Sum256(w.body)
	res, idle, err := w.http(ctx, http.MethodGet, nil)
	if err != nil {
		t.Fatalf("download: %v", err)
	}
	first := make([]byte, payload/4)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		t.Fatalf("download: %v", err)
	}
	if while != nil {
		while()
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("download: %v", err)
	}
	idle()
	if got := sha256.Sum256(append(first, rest...)); got != want {
		t.Fatal("what was downloaded is not what was sent")
	}
	res, idle, err = w.http(ctx, http.MethodPut, bytes.NewReader(w.body))
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	res.Body.Close()
	idle()
	if got := <-w.got; got != want {
		t.Fatal("what was uploaded is not what was sent")
	}
}

func (w *world) up(t *testing.T) daemon.Initiated {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	progress := 0
	made, err := w.client.d.Initiate(ctx, "office", "web", daemon.Command{Progress: func(ike.Event) { progress++ }})
	if err != nil {
		t.Fatal(err)
	}
	if progress == 0 {
		t.Error("no progress was shown")
	}
	return made
}

// baseline is the number of goroutines before anything was started.
func baseline(t *testing.T) func() {
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	}
}

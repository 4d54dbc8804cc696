// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package keyhost

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/natt"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// end is an engine with a user-space host behind it, a port of its own, and a client that is registered.
type end struct {
	t     *testing.T
	e     *Engine
	stack *netstack.Stack
	inner netip.Addr
	ike   net.PacketConn
	port  netip.AddrPort
	mode  natt.Mode
	c     *pfkey.Conn
	host  *fakeHost
}

// fakeHost remembers what policies changed.
type fakeHost struct {
	mu   sync.Mutex
	held map[uint32]host.KeyPolicy
	most int
}

func (h *fakeHost) HoldPolicy(p host.KeyPolicy) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[p.ID] = p
	h.most = max(h.most, len(h.held))
	return nil
}

func (h *fakeHost) DropPolicy(id uint32) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, id)
	return nil
}

func (h *fakeHost) SetPorts([]uint16) error { return nil }

func (h *fakeHost) count(f func(host.KeyPolicy) bool) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.held {
		if f(p) {
			n++
		}
	}
	return n
}

func newEnd(t *testing.T, d wire.Dialect, m natt.Mode, inner, outer string) *end {
	t.Helper()
	x := &end{t: t, inner: netip.MustParseAddr(inner), mode: m, host: &fakeHost{held: map[uint32]host.KeyPolicy{}}}
	var err error
	if x.stack, err = netstack.New([]netip.Addr{x.inner}, 0); err != nil {
		t.Fatal(err)
	}
	if x.e, err = New(Options{Device: x.stack, Host: x.host, NoRaw: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.e.Close(); err != nil {
			t.Error(err)
		}
		if n := x.host.count(func(host.KeyPolicy) bool { return true }); n > 0 {
			t.Errorf("%d changes of the host are left", n)
		}
	})
	if x.ike, err = x.e.BindIKE(netip.MustParseAddrPort(outer), m, natt.Strict); err != nil {
		t.Fatal(err)
	}
	x.port = x.ike.LocalAddr().(*net.UDPAddr).AddrPort()
	path := filepath.Join(t.TempDir(), "s")
	if err := x.e.Listen(path, pfkey.Config{Dialect: d}); err != nil {
		t.Fatal(err)
	}
	if x.c, err = pfkey.Dial(t.Context(), path, d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.c.Close() })
	x.ask(&wire.Message{Header: wire.Header{Type: wire.TypeRegister, SAType: wire.SATypeESP}})
	return x
}

func (x *end) ask(m *wire.Message) *wire.Message {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 5*time.Second)
	defer cancel()
	a, err := x.c.Request(ctx, m)
	if err != nil {
		x.t.Fatalf("%v: %v", m.Type, err)
	}
	return a
}

func address(a netip.Addr, bits int) *wire.Address {
	return &wire.Address{Proto: 255, PrefixLen: uint8(bits), Sockaddr: wire.Sockaddr{Addr: a}}
}

// policies adds those of a tunnel to peer.
func (x *end) policies(peer *end) {
	x.t.Helper()
	for _, dir := range []wire.Dir{wire.DirOut, wire.DirIn} {
		from, to := x, peer
		if dir == wire.DirIn {
			from, to = peer, x
		}
		x.ask(&wire.Message{Header: wire.Header{Type: wire.TypeSPDAdd}, Src: address(from.inner, from.inner.BitLen()), Dst: address(to.inner, to.inner.BitLen()),
			Policy: &wire.Policy{Type: wire.PolicyIPsec, Dir: dir, Requests: []wire.Request{{Proto: 50, Mode: wire.ModeTunnel, Level: wire.LevelRequire,
				Src: wire.Addressed(from.port), Dst: wire.Addressed(to.port)}}}})
	}
}

// sa adds the SA from one end to the other.
func (x *end) sa(from, to *end, spi uint32) {
	x.t.Helper()
	key := func(n int) *secret.Key {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(spi) + byte(i)
		}
		k := secret.New(b)
		return &k
	}
	kind := uint8(wire.NATTNonESP)
	if x.mode == natt.NonIKE {
		kind = wire.NATTNonIKE
	}
	sport, dport := from.port.Port(), to.port.Port()
	x.ask(&wire.Message{Header: wire.Header{Type: wire.TypeAdd, SAType: wire.SATypeESP},
		SA:  &wire.SA{SPI: spi, Replay: 64, State: wire.StateMature, Auth: 7, Encrypt: 12},
		Src: address(from.port.Addr(), from.port.Addr().BitLen()), Dst: address(to.port.Addr(), to.port.Addr().BitLen()),
		KeyAuth: key(64), KeyEncrypt: key(32), SA2: &wire.SA2{Mode: wire.ModeTunnel},
		NATType: &kind, NATSrcPort: &sport, NATDstPort: &dport})
}

// counted is what the engine has counted, for a test that failed.
func (x *end) counted() string {
	n, unsent, notPassed, deviceErrors := x.e.Counters()
	text := fmt.Sprintf("unsent %d, not passed %d, device errors %d;", unsent, notPassed, deviceErrors)
	for i, v := range n {
		if v != 0 {
			text += fmt.Sprintf(" %d: %d", i, v)
		}
	}
	return text
}

// TestEngines: two engines in user space, told by PF_KEY in two dialects, over ports that ESP shares with IKE. The first packet asks for
// its SA and waits for it.
func TestEngines(t *testing.T) {
	for _, m := range []natt.Mode{natt.NonESP, natt.NonIKE} {
		t.Run(m.String(), func(t *testing.T) { engines(t, m) })
	}
}

func engines(t *testing.T, m natt.Mode) {
	other := wire.FreeBSD
	if m == natt.NonIKE {
		other = wire.NetBSD // FreeBSD has it no more
	}
	// SAs are told apart by their outer addresses: two of one host's.
	a, b := newEnd(t, wire.Linux, m, "10.1.0.1", "127.0.0.1:0"), newEnd(t, other, m, "10.2.0.1", "127.0.0.2:0")
	a.policies(b)
	b.policies(a)
	pinged := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := a.stack.Ping(ctx, b.inner)
		pinged <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		got, err := a.c.Receive(ctx)
		if err != nil {
			t.Fatalf("ACQUIRE: %v", err)
		}
		if got.Type == wire.TypeAcquire {
			break
		}
	}
	b.sa(a, b, 0x1001)
	b.sa(b, a, 0x1002)
	a.sa(b, a, 0x1002)
	a.sa(a, b, 0x1001)
	if err := <-pinged; err != nil {
		t.Errorf("the packet that asked: %v\n%s\n%s", err, a.counted(), b.counted())
	}
	// IKE goes on beside it.
	hello := append([]byte{1}, make([]byte, 40)...)
	if _, err := a.ike.WriteTo(hello, net.UDPAddrFromAddrPort(b.port)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	_ = b.ike.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, from, err := b.ike.ReadFrom(buf); err != nil || n != len(hello) || from.String() != a.port.String() {
		t.Errorf("IKE: %d octets from %v, %v", n, from, err)
	}
	// Without SAs nothing leaves, and nothing of the policies is left of the host when they are gone.
	a.ask(&wire.Message{Header: wire.Header{Type: wire.TypeFlush, SAType: wire.SATypeUnspec}})
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := a.stack.Ping(ctx, b.inner); err == nil {
		t.Error("a ping without SAs was answered")
	}
	protect := func(p host.KeyPolicy) bool { return p.Action == firewall.Protect }
	if n := a.host.count(protect); n != 2 {
		t.Errorf("%d policies are in force of the host, expected 2", n)
	}
	a.ask(&wire.Message{Header: wire.Header{Type: wire.TypeSPDFlush}})
	if n := a.host.count(protect); n != 0 {
		t.Errorf("%d policies are in force of the host after a flush", n)
	}
}

// TestPriorities: what a policy of none changes of the packet filter never opens what another protects before it.
func TestPriorities(t *testing.T) {
	a := newEnd(t, wire.Linux, natt.NonESP, "10.1.0.1", "127.0.0.1:0")
	add := func(kind wire.PolicyType, remote string, priority uint32) {
		p := netip.MustParsePrefix(remote)
		m := &wire.Message{Header: wire.Header{Type: wire.TypeSPDAdd}, Src: address(a.inner, 32), Dst: address(p.Addr(), p.Bits()),
			Policy: &wire.Policy{Type: kind, Dir: wire.DirOut, Priority: priority}}
		if kind == wire.PolicyIPsec {
			m.Policy.Requests = []wire.Request{{Proto: 50, Mode: wire.ModeTransport, Level: wire.LevelRequire}}
		}
		a.ask(m)
	}
	is := func(action firewall.Action) int {
		return a.host.count(func(p host.KeyPolicy) bool { return p.Action == action })
	}
	add(wire.PolicyIPsec, "10.2.0.0/16", 100)
	add(wire.PolicyNone, "0.0.0.0/0", 200)
	if is(firewall.Bypass) != 0 || is(firewall.Protect) != 1 {
		t.Errorf("none behind ipsec: %+v", a.host.held)
	}
	add(wire.PolicyNone, "10.2.1.0/24", 50)
	add(wire.PolicyDiscard, "10.3.0.0/16", 10)
	if is(firewall.Bypass) != 1 || is(firewall.Discard) != 1 {
		t.Errorf("none before ipsec: %+v", a.host.held)
	}
}

func TestParsePath(t *testing.T) {
	for text, want := range map[string]string{
		"/run/x": "/run/x " + pfkey.HostDialect().String(), "/run/x=freebsd": "/run/x freebsd", "/a=b=netbsd": "/a=b netbsd",
		"x=linux": "x linux", "": "error", "=linux": "error", "/x=openbsd": "error", "/x=": "error",
	} {
		path, d, err := ParsePath(text)
		if got := path + " " + d.String(); err == nil && got != want || err != nil && want != "error" {
			t.Errorf("%q: %s, %v", text, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v does not name it", text, err)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The world of one test: a namespace, a TUN, networks behind virtual cables, and a picture of everything that a host can
// have been changed in.

package host

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/tun"
)

const (
	insideVar = "NATTERJACK_LAB_HOST_INSIDE"
	// childLimit ends a test's process.
	childLimit = "120s"
)

// inside runs the test in a process in a fresh namespace and returns false; there it returns true.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	t.Parallel() // each mostly waits, in a world of its own
	ns := fmt.Sprintf("nj-host-%d-%s", os.Getpid(), strings.ToLower(strings.TrimPrefix(t.Name(), "Test")))
	must(t, "ip", "netns", "add", ns)
	t.Cleanup(func() { must(t, "ip", "netns", "del", ns) })
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", childLimit)
	cmd.Env = append(os.Environ(), insideVar+"="+t.Name())
	out, err := cmd.CombinedOutput()
	t.Logf("in %s:\n%s", ns, out)
	// What a test that panicked or ran out of time did not remove; its process is the one that `ip` became.
	left, _ := filepath.Glob(fmt.Sprintf("/run/netns/nj-host-%d-*", cmd.Process.Pid))
	for _, path := range left {
		must(t, "ip", "netns", "del", filepath.Base(path))
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// outside is a namespace at the other end of a cable.
type outside struct{ ns, link string }

// cable connects this namespace to a fresh one: here has ours/24 and theirs is at the other end, likewise in IPv6
// fd00:n::1 and fd00:n::2.
func cable(t *testing.T, name string, n int) outside {
	t.Helper()
	o := outside{ns: fmt.Sprintf("nj-host-%d-%s", os.Getpid(), name), link: "v" + name}
	must(t, "ip", "netns", "add", o.ns)
	t.Cleanup(func() { must(t, "ip", "netns", "del", o.ns) })
	must(t, "ip", "link", "add", o.link, "type", "veth", "peer", "name", "up0", "netns", o.ns)
	must(t, "ip", "addr", "add", fmt.Sprintf("10.%d.0.1/24", n), "dev", o.link)
	must(t, "ip", "addr", "add", fmt.Sprintf("fd00:%d::1/64", n), "dev", o.link, "nodad")
	must(t, "ip", "link", "set", o.link, "up")
	must(t, "ip", "link", "set", "lo", "up")
	for _, args := range [][]string{
		{"addr", "add", fmt.Sprintf("10.%d.0.2/24", n), "dev", "up0"}, {"addr", "add", fmt.Sprintf("fd00:%d::2/64", n), "dev", "up0", "nodad"},
		{"link", "set", "up0", "up"}, {"link", "set", "lo", "up"},
		{"route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", n)}, {"-6", "route", "add", "default", "via", fmt.Sprintf("fd00:%d::1", n)},
	} {
		must(t, "ip", append([]string{"-n", o.ns}, args...)...)
	}
	return o
}

// machine is one TUN with a Host on it.
type machine struct {
	*host.Host
	dev     tun.Device
	journal *store.Journal
}

func start(t testing.TB, name, state string, o host.Options) *machine {
	t.Helper()
	dev, err := tun.Open(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := host.OpenJournal(state, name)
	if err != nil {
		t.Fatal(err)
	}
	o.Device, o.Journal, o.Log = dev, j, slog.New(slog.NewTextHandler(os.Stderr, nil))
	h, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Host: h, dev: dev, journal: j}
	t.Cleanup(func() { m.end(t) })
	return m
}

// end closes everything, in the daemon's order; a second time does nothing.
func (m *machine) end(t testing.TB) {
	t.Helper()
	begin := time.Now()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	m.journal.Close()
	m.dev.Close()
	for range 100 {
		if _, err := net.InterfaceByName(m.dev.Name()); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func stateDir(t *testing.T) string { return filepath.Join(t.TempDir(), "state") }

// picture is everything that is there: rules, routes of all tables, addresses, tables of nftables, and settings.
func picture(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, args := range []string{"rule", "-6 rule", "route show table all", "-6 route show table all", "-o addr"} {
		out, err := exec.Command("ip", strings.Fields(args)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		// Link-local addresses come by themselves.
		lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.Contains(l, "fe80:") })
		slices.Sort(lines)
		b.WriteString("# ip " + args + "\n" + strings.Join(lines, "\n") + "\n")
	}
	tables, err := (&nftables.Conn{}).ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tables {
		fmt.Fprintf(&b, "nft %v %s\n", x.Family, x.Name)
	}
	v, _ := os.ReadFile("/proc/sys/net/ipv4/conf/all/src_valid_mark")
	fmt.Fprintf(&b, "src_valid_mark %s", v)
	return b.String()
}

func same(t testing.TB, before string, when string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(before, "\n"), strings.Split(picture(t), "\n")); d != "" {
		t.Errorf("%s: %s", when, d)
	}
}

func has(t testing.TB, want ...string) {
	t.Helper()
	p := picture(t)
	for _, w := range want {
		if !strings.Contains(p, w) {
			t.Errorf("%q is not there:\n%s", w, p)
		}
	}
}

func hasNot(t testing.TB, unwanted ...string) {
	t.Helper()
	p := picture(t)
	for _, w := range unwanted {
		if strings.Contains(p, w) {
			t.Errorf("%q is there:\n%s", w, p)
		}
	}
}

func ts(text string) ike.Selector {
	p := netip.MustParsePrefix(text)
	return ike.Selector{From: p.Addr(), To: lastOf(p), PortTo: 0xffff}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// childSA is a child between local and remote, over 10.1.0.1 and 10.1.0.2.
func childSA(spi uint32, local, remote string) *ike.ChildSA {
	c := &ike.ChildSA{
		Name: "net", Unique: 7, Reqid: 3, ChildID: uint64(spi), SPIIn: spi, Encap: true, Config: &ike.ChildConfig{Name: "net"},
		Path: ike.Path{Local: netip.MustParseAddrPort("10.1.0.1:4500"), Remote: netip.MustParseAddrPort("10.1.0.2:4500")},
	}
	for l := range strings.FieldsSeq(local) {
		c.TSLocal = append(c.TSLocal, ts(l))
	}
	for r := range strings.FieldsSeq(remote) {
		c.TSRemote = append(c.TSRemote, ts(r))
	}
	return c
}

func up(t testing.TB, m *machine, c *ike.ChildSA) {
	t.Helper()
	if err := m.ChildUp(c); err != nil {
		t.Fatal(err)
	}
}

// in runs f on a socket of another namespace: sockets belong to the namespace in which they were made.
func in(t *testing.T, ns string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() { done <- enter(ns, f) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// arrivals receives datagrams on a socket and counts those with the text.
type arrivals struct {
	conn *net.UDPConn
	addr netip.AddrPort
}

func listen(t *testing.T, ns, addr string) *arrivals {
	t.Helper()
	var conn *net.UDPConn
	var err error
	f := func() { conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))) }
	if ns == "" {
		f()
	} else {
		in(t, ns, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &arrivals{conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()}
}

// count waits a moment and counts what came.
func (a *arrivals) count() int {
	n := 0
	buf := make([]byte, 2048)
	a.conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	for {
		if _, _, err := a.conn.ReadFromUDPAddrPort(buf); err != nil {
			return n
		}
		n++
	}
}

// send sends ten datagrams from a namespace (empty: this one), with a mark, and says how many the system took.
func send(t *testing.T, ns, from, to string, mark uint32) int {
	t.Helper()
	taken := 0
	f := func() {
		d := net.Dialer{}
		if from != "" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
		}
		conn, err := d.Dial("udp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if mark != 0 {
			raw, _ := conn.(*net.UDPConn).SyscallConn()
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
			if err != nil {
				t.Error(err)
			}
		}
		for range 10 {
			if _, err := conn.Write([]byte("cleartext")); err == nil {
				taken++
			}
		}
	}
	if ns == "" {
		f()
	} else {
		in(t, ns, f)
	}
	return taken
}

func expect(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d delivered, want %d", what, got, want)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/udp"
)

// What a child sets stands, stays over a rekey, and is gone afterwards.
func TestSetAndGone(t *testing.T) {
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	before := picture(t)
	m := start(t, "nj0", stateDir(t), host.Options{})
	idle := picture(t)
	has(t, "not from all fwmark 0x6e6a", "nft 1 natterjack-nj0")

	old, next := childSA(1, "10.1.0.0/24 fd00:1::/64", "10.2.0.0/16 fd00:2::/48"), childSA(2, "10.1.0.0/24 fd00:1::/64", "10.2.0.0/16 fd00:2::/48")
	next.Replaces = 1
	up(t, m, old)
	has(t, "10.2.0.0/16 dev nj0 table", "src 10.1.0.1", "fd00:2::/48 dev nj0", "src fd00:1::1")
	one := picture(t)
	up(t, m, next)
	m.ChildDown(old)
	same(t, one, "after a rekey")
	if out := must(t, "ip", "route", "get", "10.2.3.4"); !strings.Contains(out, "dev nj0") {
		t.Errorf("not routed into the tunnel: %s", out)
	}
	m.ChildDown(next)
	same(t, idle, "after the child is down")

	// Configured address and full tunnel: the address is the source, in both orders of the two calls.
	conf := ike.Configure{Unique: 7, Connection: "c", VIPs: []netip.Addr{netip.MustParseAddr("10.99.0.5"), netip.MustParseAddr("fd00:99::5")}}
	c := childSA(3, "10.99.0.5/32 fd00:99::5/128", "0.0.0.0/0 ::/0")
	c.VIPs = conf.VIPs
	up(t, m, c)
	if err := m.Configure(conf); err != nil {
		t.Fatal(err)
	}
	has(t, "default dev nj0 table", "src 10.99.0.5", "src fd00:99::5")
	if out := must(t, "ip", "route", "get", "198.51.100.1"); !strings.Contains(out, "dev nj0") || !strings.Contains(out, "src 10.99.0.5") {
		t.Errorf("full tunnel: %s", out)
	}
	conf.Remove = true
	if err := m.Configure(conf); err != nil {
		t.Fatal(err)
	}
	m.ChildDown(c)
	same(t, idle, "after the client is down")

	up(t, m, c)
	if err := m.Shunt("c", &ike.ChildConfig{Name: "p", Mode: ike.ModePass, LocalTS: []ike.Selector{{Dynamic: true, PortTo: 0xffff}}, RemoteTS: []ike.Selector{ts("10.3.0.0/16")}}, true); err != nil {
		t.Fatal(err)
	}
	m.end(t)
	same(t, before, "after Close with a child up")
}

// A selector that covers the gateway's own address: the daemon's packets go round the tunnel, everything else into it, also
// with strict reverse-path filtering.
func TestHostToHost(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	set(t, "net/ipv4/conf/all/rp_filter", "1")
	set(t, "net/ipv4/conf/va/rp_filter", "1")
	before := picture(t)
	state := stateDir(t)
	daemon, there := listen(t, "", "10.1.0.1:4500"), listen(t, out.ns, "10.1.0.2:4500")

	m := start(t, "nj0", state, host.Options{NoFirewall: true})
	up(t, m, childSA(1, "10.1.0.1/32", "10.1.0.2/32"))
	send(t, out.ns, "", "10.1.0.1:4500", 0)
	expect(t, "strict filter without marks", daemon.count(), 0)
	// Not even ARP is answered in this state; what was held for it is not to arrive later.
	must(t, "ip", "-n", out.ns, "neigh", "flush", "all")
	if w := strings.Join(m.Warnings(), "\n"); !strings.Contains(w, "rp_filter = 1 on va") {
		t.Errorf("no warning that names the setting: %q", w)
	}
	m.end(t)
	same(t, before, "after Close")

	m = start(t, "nj0", state, host.Options{})
	up(t, m, childSA(1, "10.1.0.1/32", "10.1.0.2/32"))
	must(t, "ip", "-n", out.ns, "neigh", "flush", "all")
	if w := m.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
	has(t, "src_valid_mark 1")
	send(t, out.ns, "", "10.1.0.1:4500", 0)
	expect(t, "strict filter with marks", daemon.count(), 10)
	expect(t, "the daemon's own were taken", send(t, "", "", "10.1.0.2:4500", m.Mark()), 10)
	expect(t, "the daemon's own", there.count(), 10)
	send(t, "", "", "10.1.0.2:4500", 0)
	expect(t, "unmarked, which go into the tunnel", there.count(), 0)
	m.end(t)
	same(t, before, "after Close")
}

// A policy that covers everybody's addresses lets in what the daemon needs: datagrams, their fragments, and ICMP errors
// about its own; no other ICMP, and no fragments of anything else.
func TestOuterTraffic(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	set(t, "net/ipv4/conf/all/rp_filter", "1")
	must(t, "ip", "route", "add", "default", "via", "10.1.0.2")
	must(t, "ip", "-6", "route", "add", "default", "via", "fd00:1::2")
	other, other6 := listen(t, "", "10.1.0.1:7000"), listen(t, "", "[fd00:1::1]:7000")
	m := start(t, "nj0", stateDir(t), host.Options{})
	up(t, m, childSA(1, "10.1.0.1/32 fd00:1::1/128", "0.0.0.0/0 ::/0"))
	for _, c := range []struct {
		local, peer string
		other       *arrivals
	}{{"10.1.0.1", "203.0.113.9", other}, {"fd00:1::1", "2001:db8::9", other6}} {
		conn, err := udp.Open(udp.Config{Local: netip.AddrPortFrom(netip.MustParseAddr(c.local), 4500), Mark: m.Mark()})
		if err != nil {
			t.Fatal(err)
		}
		sendSize(t, out.ns, netip.AddrPortFrom(netip.MustParseAddr(c.local), 4500), 3000)
		sendSize(t, out.ns, c.other.addr, 3000)
		bufs := []udp.Message{{Buf: make([]byte, udp.MaxDatagram)}}
		if n, err := conn.ReadBatch(bufs); n != 1 || err != nil || bufs[0].N != 3000 {
			t.Errorf("%s: a fragmented datagram: %d of %d octets, %v", c.local, n, bufs[0].N, err)
		}
		expect(t, "fragmented cleartext", c.other.count(), 0)
		local, peer := netip.MustParseAddr(c.local), netip.MustParseAddr(c.peer)
		tooBig(t, out.ns, local, peer, 7000, 1300)
		tooBig(t, out.ns, local, peer, 4500, 1400)
		var events [4]udp.PathEvent
		if n, err := conn.ReadBatch(bufs); n != 0 || err != nil {
			t.Errorf("%s: %d messages, %v; want an event", c.local, n, err)
		}
		n := conn.PathEvents(events[:])
		if e := events[0]; n != 1 || e.Kind != udp.PathMTU || e.MTU != 1400 || e.Remote != netip.AddrPortFrom(peer, 4500) {
			t.Errorf("%s: %d events, %+v", c.local, n, events[0])
		}
		conn.Close()
	}
	// The error about another socket's datagram was kept out: nothing of it is in the route's cache.
	if r := must(t, "ip", "route", "get", "203.0.113.9", "mark", itoa(int(m.Mark()))); strings.Contains(r, "mtu 1300") {
		t.Errorf("a forged ICMP error got in: %s", r)
	}
}

// RFC 4301, Section 5.2: cleartext from outside that a protect policy covers is dropped, to this host and through it.
func TestCleartext(t *testing.T) {
	if !inside(t) {
		return
	}
	out, inner := cable(t, "a", 1), cable(t, "b", 2)
	set(t, "net/ipv4/ip_forward", "1")
	set(t, "net/ipv6/conf/all/forwarding", "1")
	own, own6, behind := listen(t, "", "10.1.0.1:7000"), listen(t, "", "[fd00:1::1]:7000"), listen(t, inner.ns, "10.2.0.2:7000")
	daemon, remote := listen(t, "", "10.1.0.1:4500"), listen(t, out.ns, "10.1.0.2:7000")
	volley := func(what string, want int) {
		t.Helper()
		send(t, out.ns, "", "10.1.0.1:7000", 0)
		send(t, out.ns, "", "[fd00:1::1]:7000", 0)
		send(t, out.ns, "", "10.2.0.2:7000", 0)
		expect(t, what+", to this host", own.count(), want)
		expect(t, what+", to this host in IPv6", own6.count(), want)
		expect(t, what+", through this host", behind.count(), want)
	}
	state := stateDir(t)
	child := func(spi uint32) *ike.ChildSA {
		return childSA(spi, "10.1.0.1/32 10.2.0.0/24 fd00:1::/64", "10.1.0.2/32 fd00:1::2/128")
	}
	m := start(t, "nj0", state, host.Options{NoFirewall: true})
	up(t, m, child(1))
	volley("guard off", 10)
	m.end(t)
	m = start(t, "nj0", state, host.Options{})
	volley("guard on, no child", 10)
	up(t, m, child(1))
	volley("guard on", 0)
	send(t, out.ns, "", "10.1.0.1:4500", 0)
	expect(t, "IKE and ESP of the daemon", daemon.count(), 10)
	// Outbound: even where the tunnel's route is missing, nothing leaves in the clear.
	must(t, "ip", "route", "flush", "table", itoa(m.Table()))
	send(t, inner.ns, "", "10.1.0.2:7000", 0)
	send(t, "", "10.1.0.1", "10.1.0.2:7000", 0)
	expect(t, "outbound beside the tunnel", remote.count(), 0)
	drops, err := m.Drops()
	total := uint64(0)
	for _, d := range drops {
		total += d.Packets
	}
	if err != nil || total < 40 {
		t.Errorf("counted %d drops, %v: %+v", total, err, drops)
	}
	m.ChildDown(child(1))
	volley("after the child is down", 10)
}

// mode = drop holds for what never enters the TUN, mode = pass for what a tunnel's route would take.
func TestShunts(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	there, here, dns := listen(t, out.ns, "10.1.0.2:7000"), listen(t, "", "10.1.0.1:7000"), listen(t, out.ns, "10.1.0.2:5353")
	before := picture(t)
	m := start(t, "nj0", stateDir(t), host.Options{})
	idle := picture(t)
	all := []ike.Selector{{Dynamic: true, PortTo: 0xffff}}
	shunt := func(mode ike.Mode, remote ike.Selector, on bool) {
		t.Helper()
		if err := m.Shunt("conn", &ike.ChildConfig{Name: "s", Mode: mode, LocalTS: all, RemoteTS: []ike.Selector{remote}}, on); err != nil {
			t.Fatal(err)
		}
	}
	volley := func(what string, want int) {
		t.Helper()
		send(t, "", "", "10.1.0.2:7000", 0)
		send(t, out.ns, "", "10.1.0.1:7000", 0)
		expect(t, what+", out", there.count(), want)
		expect(t, what+", in", here.count(), want)
	}
	volley("no policy", 10)
	shunt(ike.ModeDrop, ts("10.1.0.2/32"), true)
	volley("drop", 0)
	shunt(ike.ModeDrop, ts("10.1.0.2/32"), true) // again, as a reload does
	volley("drop", 0)
	shunt(ike.ModeDrop, ts("10.1.0.2/32"), false)
	volley("drop taken back", 10)
	same(t, idle, "after the policy")

	vip := netip.MustParseAddr("10.99.0.5")
	c := childSA(1, "10.99.0.5/32 10.1.0.1/32", "0.0.0.0/0")
	c.VIPs = []netip.Addr{vip}
	up(t, m, c)
	volley("all into the tunnel", 0)
	shunt(ike.ModePass, ts("10.1.0.0/24"), true)
	volley("pass", 10)
	if r := must(t, "ip", "route", "get", "10.1.0.2"); !strings.Contains(r, "src 10.1.0.1") {
		t.Errorf("pass: the tunnel's address is the source: %s", r)
	}
	mdns := ts("10.1.0.0/24")
	mdns.Proto, mdns.PortFrom, mdns.PortTo = 17, 5353, 5353
	shunt(ike.ModePass, mdns, true)
	volley("pass of another port", 0)
	send(t, "", "10.1.0.1", "10.1.0.2:5353", 0)
	expect(t, "pass of this port", dns.count(), 10)
	m.end(t)
	same(t, before, "after Close")
}

const helperVar = "NATTERJACK_LAB_HOST_HELPER"

// A daemon that is killed leaves things behind; Cleanup and the next start take them back, but nothing of one that lives.
func TestCrash(t *testing.T) {
	if state := os.Getenv(helperVar); state != "" {
		m := start(t, os.Getenv("NJ_DEVICE"), state, host.Options{})
		c := childSA(1, "10.99.0.5/32", "0.0.0.0/0")
		c.VIPs, c.Config.Updown = []netip.Addr{netip.MustParseAddr("10.99.0.5")}, []string{os.Getenv("NJ_UPDOWN")}
		up(t, m, c)
		if err := m.Configure(ike.Configure{Unique: 7, VIPs: c.VIPs, DNS: []netip.Addr{netip.MustParseAddr("10.99.0.53")}}); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []ike.Mode{ike.ModePass, ike.ModeDrop} {
			p := &ike.ChildConfig{Name: itoa(int(mode)), Mode: mode, LocalTS: []ike.Selector{{Dynamic: true, PortTo: 0xffff}}, RemoteTS: []ike.Selector{ts("10.77.0.0/16")}}
			if err := m.Shunt("c", p, true); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // the updown command
		os.Stdout.WriteString("ready\n")
		time.Sleep(time.Minute)
	}
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	ownResolvConf(t)
	set(t, "net/ipv4/conf/all/rp_filter", "1")
	state, log := stateDir(t), t.TempDir()+"/log"
	updown := script(t, "echo $PLUTO_VERB $PLUTO_INTERFACE >> "+log+"\n")
	before := picture(t)
	for _, how := range []string{"cleanup", "start"} {
		a := helper(t, state, "nj0", updown)
		b := helper(t, state, "nj1", updown)
		has(t, "natterjack-nj0", "natterjack-nj1", "10.99.0.5/32", "src_valid_mark 1")
		r, err := host.Cleanup(state)
		if err != nil || len(r.Removed) != 0 || !cmp.Equal(r.Alive, []string{"nj0", "nj1"}) {
			t.Errorf("Cleanup beside two that live: %+v, %v", r, err)
		}
		kill(t, a)
		hasNot(t, "dev nj0")
		has(t, "natterjack-nj0") // until somebody takes it back, cleartext stays out
		if r, err = host.Cleanup(state); err != nil || len(r.Removed) == 0 || !cmp.Equal(r.Alive, []string{"nj1"}) {
			t.Errorf("Cleanup after one was killed: %+v, %v", r, err)
		}
		hasNot(t, "natterjack-nj0")
		has(t, "natterjack-nj1", "default dev nj1", "src_valid_mark 1", "10.99.0.5/32")
		kill(t, b)
		if how == "cleanup" {
			if r, err = host.Cleanup(state); err != nil || len(r.Alive) != 0 {
				t.Errorf("Cleanup: %+v, %v", r, err)
			}
		} else {
			m := start(t, "nj1", state, host.Options{})
			m.end(t)
		}
		same(t, before, "after "+how)
		if text, _ := os.ReadFile("/etc/resolv.conf"); string(text) != resolvText {
			t.Errorf("resolv.conf after %s: %q", how, text)
		}
	}
	want := strings.Repeat("up-client nj0\nup-client nj1\ndown-client nj0\ndown-client nj1\n", 2)
	if text, _ := os.ReadFile(log); string(text) != want {
		t.Errorf("updown commands: %q", text)
	}
}

func helper(t *testing.T, state, device, updown string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestCrash$", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), helperVar+"="+state, "NJ_DEVICE="+device, "NJ_UPDOWN="+updown)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, _ := out.Read(buf)
	if !strings.Contains(string(buf[:n]), "ready") {
		t.Fatalf("the helper said %q", buf[:n])
	}
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	time.Sleep(100 * time.Millisecond)
}

// Two daemons side by side: what one does and undoes does not concern the other.
func TestTwoDaemons(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	set(t, "net/ipv4/conf/all/rp_filter", "1")
	there := listen(t, out.ns, "10.1.0.2:4500")
	before := picture(t)
	state := stateDir(t)
	a := start(t, "nj0", state, host.Options{})
	up(t, a, childSA(1, "10.1.0.1/32", "10.1.0.2/32"))
	alone := picture(t)
	b := start(t, "nj1", state, host.Options{Ports: []uint16{501, 4501}})
	if a.Mark() == b.Mark() || a.Table() == b.Table() {
		t.Errorf("the same numbers: %x %d", a.Mark(), a.Table())
	}
	up(t, b, childSA(1, "10.1.0.1/32", "10.1.0.2/32 10.8.0.0/16"))
	// The other one's datagrams are not drawn into this one's tunnel, and not taken for cleartext.
	for _, m := range []*machine{a, b} {
		send(t, "", "", "10.1.0.2:4500", m.Mark())
		expect(t, "a daemon's own beside another", there.count(), 10)
	}
	b.end(t)
	same(t, alone, "after the other one is gone")
	send(t, "", "", "10.1.0.2:4500", a.Mark())
	expect(t, "a daemon's own", there.count(), 10)
	a.end(t)
	same(t, before, "after both are gone")
	if _, _, err := host.OpenJournal(state, "nj0"); err != nil {
		t.Error(err)
	}
}

// Changes of addresses are noticed, and routes whose source went away stand again with the new one.
func TestAddressChange(t *testing.T) {
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	m := start(t, "nj0", stateDir(t), host.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	changes, err := route.Watch(ctx, "nj0")
	if err != nil {
		t.Fatal(err)
	}
	up(t, m, childSA(1, "10.1.0.0/24", "10.2.0.0/16"))
	if err := m.Configure(ike.Configure{Unique: 1, VIPs: []netip.Addr{netip.MustParseAddr("10.99.0.5")}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes:
		t.Error("our own changes were noticed")
	case <-time.After(600 * time.Millisecond):
	}
	has(t, "10.2.0.0/16 dev nj0")
	must(t, "ip", "addr", "add", "10.1.0.77/24", "dev", "va")
	must(t, "ip", "addr", "del", "10.1.0.1/24", "dev", "va")
	select {
	case <-changes:
	case <-time.After(2 * time.Second):
		t.Error("a changed address was not noticed")
	}
	for range 50 {
		if strings.Contains(picture(t), "src 10.1.0.77") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	must(t, "ip", "addr", "add", "10.1.0.77/24", "dev", "va") // removed with the first, as secondary
	time.Sleep(time.Second)
	has(t, "10.2.0.0/16 dev nj0", "src 10.1.0.77")
	cancel()
	for range changes {
	}
}

// An updown command runs on up and on down, not at a rekey, with the documented variables.
func TestUpdown(t *testing.T) {
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	dir := t.TempDir()
	m := start(t, "nj0", stateDir(t), host.Options{})
	c := childSA(1, "10.99.0.5/32", "10.2.0.0/16")
	c.VIPs = []netip.Addr{netip.MustParseAddr("10.99.0.5")}
	c.LocalID, c.RemoteID = ike.ID{Type: ike.IDFQDN, Data: []byte("me")}, ike.ID{Type: ike.IDFQDN, Data: []byte("a$(touch /tmp/x);\n`b`")}
	c.Config.Updown = []string{script(t, "env | grep PLUTO_ | sort > "+dir+"/$PLUTO_VERB; echo $PLUTO_VERB >> "+dir+"/all\n"), "a b;c"}
	if err := m.Configure(ike.Configure{Unique: 7, VIPs: c.VIPs}); err != nil {
		t.Fatal(err)
	}
	up(t, m, c)
	next := *c
	next.SPIIn, next.Replaces = 2, 1
	up(t, m, &next)
	m.ChildDown(c)
	m.ChildDown(&next)
	for range 200 { // a loaded machine; Close would not wait as long
		if text, _ := os.ReadFile(dir + "/all"); strings.Contains(string(text), "down") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.end(t)
	if text, _ := os.ReadFile(dir + "/all"); string(text) != "up-client\ndown-client\n" {
		t.Errorf("runs: %q", text)
	}
	want := "PLUTO_CONNECTION=net\nPLUTO_INTERFACE=nj0\nPLUTO_ME=10.1.0.1\nPLUTO_MY_CLIENT=10.99.0.5/32\nPLUTO_MY_ID=me\n" +
		"PLUTO_MY_PORT=0\nPLUTO_MY_PROTOCOL=0\nPLUTO_MY_SOURCEIP4_1=10.99.0.5\nPLUTO_MY_SOURCEIP=10.99.0.5\nPLUTO_PEER=10.1.0.2\n" +
		"PLUTO_PEER_CLIENT=10.2.0.0/16\nPLUTO_PEER_ID=a??touch /tmp/x???x0a?b?\nPLUTO_PEER_PORT=0\nPLUTO_PEER_PROTOCOL=0\n" +
		"PLUTO_PROTO=esp\nPLUTO_REQID=3\nPLUTO_UDP_ENC=4500\nPLUTO_UNIQUEID=7\nPLUTO_VERB=up-client\nPLUTO_VERSION=1.1\n"
	text, err := os.ReadFile(dir + "/up-client")
	if d := cmp.Diff(want, string(text)); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

// An updown command that hangs holds up nothing: not the routes of others, not Close.
func TestUpdownHangs(t *testing.T) {
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	before := picture(t)
	state, dir := stateDir(t), t.TempDir()
	m := start(t, "nj0", state, host.Options{})
	c := childSA(1, "10.1.0.0/24", "10.2.0.0/16")
	c.Config.Updown = []string{script(t, "[ -e "+dir+"/fast ] && { echo $PLUTO_VERB >> "+dir+"/fast; exit; }; sleep 100\n")}
	begin := time.Now()
	up(t, m, c)
	m.ChildDown(c)
	up(t, m, c)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("waited for the command: %v", took)
	}
	begin = time.Now()
	if err := m.Close(); err == nil || time.Since(begin) > time.Second {
		t.Errorf("Close: %v after %v", err, time.Since(begin))
	}
	m.end(t)
	same(t, before, "after Close")
	os.WriteFile(dir+"/fast", nil, 0o600)
	if _, err := host.Cleanup(state); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(dir + "/fast"); string(text) != "down-client\n" {
		t.Errorf("Cleanup ran %q, want the command that could not run", text)
	}
}

// A thousand clients of a gateway come and go.
func TestManyChildren(t *testing.T) {
	if !inside(t) {
		return
	}
	cable(t, "a", 1)
	m := start(t, "nj0", stateDir(t), host.Options{})
	idle := picture(t)
	var list []*ike.ChildSA
	begin := time.Now()
	for i := range 1000 {
		c := childSA(uint32(i+1), "10.1.0.0/24", netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}).String()+"/32")
		c.PeerVIPs = true
		list = append(list, c)
		up(t, m, c)
	}
	t.Logf("up: %v a child", time.Since(begin)/1000)
	has(t, "10.200.3.231 dev nj0")
	begin = time.Now()
	for _, c := range list[:900] {
		m.ChildDown(c)
	}
	t.Logf("down: %v a child", time.Since(begin)/900)
	hasNot(t, "10.200.0.1 dev nj0")
	for _, c := range list[900:] {
		m.ChildDown(c)
	}
	same(t, idle, "after all are down")
	// Policies with ports are rules of their own.
	p := ike.ChildConfig{Name: "p", Mode: ike.ModeDrop, LocalTS: []ike.Selector{{Dynamic: true, PortTo: 0xffff}}}
	for i := range 1000 {
		s := ts("10.201.0.0/16")
		s.Proto, s.PortFrom, s.PortTo = 17, uint16(i*2), uint16(i*2)
		p.RemoteTS = append(p.RemoteTS, s)
	}
	if err := m.Shunt("c", &p, true); err != nil {
		t.Error(err)
	}
}

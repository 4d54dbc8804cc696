// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/port/tun"
)

// passing is a pass policy of both families for one port, and no tunnel.
const passing = `
connections { c { remote_addrs = 192.0.2.1
  local { auth = psk
    id = a }
  remote { auth = psk
    id = b }
  children {
    p4 { mode = pass
      local_ts = 0.0.0.0/0
      remote_ts = 10.1.0.0/24[udp/7000] }
    p6 { mode = pass
      local_ts = ::/0
      remote_ts = fd00:1::/64[udp/7000] } } } }
`

// What a pass policy names and a route led into the TUN all the same leaves as it is by the daemon's marked socket, once, and
// what no policy names does not leave (RFC 4301, Section 5.1).
func TestPassLeavesTheTUN(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	const mark = 0x6e6a0001
	dev, err := tun.Open("nj0", 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "swanctl.conf")
	if err := os.WriteFile(path, []byte(passing), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := daemon.OptionsOf(c.Daemon)
	o.Log, o.Device, o.DataPlane, o.Mark = slog.New(slog.NewTextHandler(os.Stderr, nil)), dev, "tun", mark
	d, err := daemon.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Apply(c); err != nil {
		t.Fatal(err)
	}
	must(t, "ip", "link", "set", "nj0", "up")
	for family, dst := range map[string]string{"-4": "10.1.0.0/24", "-6": "fd00:1::/64"} {
		must(t, "ip", family, "rule", "add", "not", "fwmark", fmt.Sprint(mark), "lookup", "77", "priority", "5")
		must(t, "ip", family, "route", "add", dst, "dev", "nj0", "table", "77")
	}
	for _, to := range []string{"10.1.0.2", "fd00:1::2"} {
		from := map[string]string{"10.1.0.2": "10.1.0.1", "fd00:1::2": "fd00:1::1"}[to]
		named, other := listen(t, out.ns, netip.AddrPortFrom(netip.MustParseAddr(to), 7000).String()), listen(t, out.ns, netip.AddrPortFrom(netip.MustParseAddr(to), 7001).String())
		send(t, "", from, named.addr.String(), 0)
		expect(t, to+": named by the policy", named.count(), 10)
		send(t, "", from, other.addr.String(), 0)
		expect(t, to+": not named", other.count(), 0)
		unchanged(t, from, named)
	}
}

// unchanged sends one datagram and looks at its octets and its source.
func unchanged(t *testing.T, from string, to *arrivals) {
	t.Helper()
	text := bytes.Repeat([]byte("clear "), 200)
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), net.UDPAddrFromAddrPort(to.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	to.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, src, err := to.conn.ReadFromUDPAddrPort(buf)
	if err != nil || !bytes.Equal(buf[:n], text) || src.Addr().Unmap().String() != from {
		t.Errorf("%d octets from %v, %v; expected %d from %s", n, src, err, len(text), from)
	}
}

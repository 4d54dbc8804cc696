// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/dataplane"
)

// transportSA is a child in transport mode for UDP between a port of this host and any of a peer behind a NAT.
func transportSA(spi uint32, local, remote string, port uint16) *ike.ChildSA {
	c := childSA(spi, local, remote)
	c.Mode = ike.ModeTransport
	for _, s := range [][]ike.Selector{c.TSLocal, c.TSRemote} {
		s[0].Proto, s[0].PortTo = 17, 0xffff
	}
	c.TSLocal[0].PortFrom, c.TSLocal[0].PortTo = port, port
	c.TSRemote[0].PortFrom, c.TSRemote[0].PortTo = port, port
	c.OrigRemote = netip.MustParseAddr("192.168.1.10")
	l, r := netip.MustParsePrefix(local).Addr(), netip.MustParsePrefix(remote).Addr()
	c.Path = ike.Path{Local: netip.AddrPortFrom(l, 4500), Remote: netip.AddrPortFrom(r, 4500)}
	return c
}

// Of what this host sends to a peer's address only what the child protects goes into the device, and what comes out of it
// for this host's own address reaches an ordinary socket, with the strictest reverse-path check there is.
func TestTransportFlows(t *testing.T) {
	if !inside(t) {
		return
	}
	out := cable(t, "a", 1)
	for _, name := range []string{"all", "default", out.link} {
		set(t, "net/ipv4/conf/"+name+"/rp_filter", "1")
	}
	before := picture(t)
	m := start(t, "nj0", stateDir(t), host.Options{})
	for _, f := range []struct{ local, remote string }{{"10.1.0.1", "10.1.0.2"}, {"fd00:1::1", "fd00:1::2"}} {
		bits := "/32"
		if strings.Contains(f.local, ":") {
			bits = "/128"
		}
		c := transportSA(0xc0000001, f.local+bits, f.remote+bits, 1701)
		up(t, m, c)
		second := transportSA(0xc0000002, f.local+bits, f.remote+bits, 1701) // another client behind the same NAT
		up(t, m, second)
		m.ChildDown(c)
		route := func(dev string, args ...string) {
			t.Helper()
			if got := must(t, "ip", append([]string{"route", "get", f.remote}, args...)...); !strings.Contains(got, "dev "+dev+" ") {
				t.Errorf("%s %v: %s, expected dev %s", f.remote, args, got, dev)
			}
		}
		route("nj0", "ipproto", "udp", "sport", "1701", "dport", "40000")
		route(out.link)
		route(out.link, "ipproto", "udp", "sport", "1702", "dport", "1701")
		route(out.link, "ipproto", "tcp", "sport", "1701")
		route(out.link, "ipproto", "udp", "sport", "1701", "mark", "0x6e6a1234")
		exchange(t, m, netip.MustParseAddr(f.local), netip.MustParseAddr(f.remote), 1701)
		clear, other := listen(t, "", netip.AddrPortFrom(netip.MustParseAddr(f.local), 1701).String()), listen(t, "", netip.AddrPortFrom(netip.MustParseAddr(f.local), 1702).String())
		send(t, out.ns, f.remote, clear.addr.String(), 0)
		expect(t, "cleartext to the protected port", clear.count(), 0)
		send(t, out.ns, f.remote, other.addr.String(), 0)
		expect(t, "cleartext to another port", other.count(), 10)
		clear.conn.Close()
		m.ChildDown(second)
		route(out.link, "ipproto", "udp", "sport", "1701", "dport", "40000")
	}
	m.end(t)
	same(t, before, "after the end")
}

// exchange has a packet come out of the device and its answer go into it.
func exchange(t *testing.T, m *machine, local, remote netip.Addr, port uint16) {
	t.Helper()
	server := listen(t, "", netip.AddrPortFrom(local, port).String())
	defer server.conn.Close()
	from := netip.AddrPortFrom(remote, 40001)
	buf := append(make([]byte, dataplane.Headroom), datagram(from, server.addr, "hello!")...)
	if _, err := m.dev.Write([][]byte{buf}, dataplane.Headroom); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	server.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, src, err := server.conn.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != "hello!" || netip.AddrPortFrom(src.Addr().Unmap(), src.Port()) != from {
		t.Fatalf("%q from %s, %v: expected hello! from %s", b[:n], src, err, from)
	}
	if _, err := server.conn.WriteToUDPAddrPort([]byte("answer"), src); err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		bufs, sizes := [][]byte{make([]byte, 4096)}, []int{0}
		for {
			if _, err := m.dev.Read(bufs, sizes, 0); err != nil {
				return
			}
			if text := string(bufs[0][:sizes[0]]); strings.HasSuffix(text, "answer") {
				answer <- text
				return
			}
		}
	}()
	select {
	case <-answer:
	case <-time.After(2 * time.Second):
		t.Error("the answer did not go into the device")
	}
}

// datagram is a whole IP packet with UDP in it.
func datagram(from, to netip.AddrPort, text string) []byte {
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(text)))
	udp = append(append(udp, 0, 0), text...)
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	pseudo := append(append(append([]byte{}, src...), dst...), 0, 17, 0, byte(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, udp...)))
	if from.Addr().Is6() {
		h := []byte{0x60, 0, 0, 0, 0, byte(len(udp)), 17, 64}
		return append(append(append(h, src...), dst...), udp...)
	}
	h := append(append([]byte{0x45, 0, 0, byte(20 + len(udp)), 0, 1, 0, 0, 64, 17, 0, 0}, src...), dst...)
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, udp...)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// L2TP's case (RFC 3948, Section 5.2): 50 homes whose routers all give the same address, behind one masquerade. Each client speaks
// from port 1701 to a server that knows nothing of it, and gets its own answers.

package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

func TestFiftyClientsBehindOneMasquerade(t *testing.T) {
	// The carrier's masquerade restarts, and then has another address. What a peer of PF_KEY's does of the second kind is its daemon's to
	// negotiate.
	t.Run("pairs", func(t *testing.T) { fifty(t, transportPair, "203.0.113.5", "203.0.113.6") })
	t.Run("single SAs", func(t *testing.T) { fifty(t, transportSingles, "203.0.113.5") })
}

func fifty(t *testing.T, join func(t *testing.T, net *Plane, c, gw *Node), later ...string) {
	net := NewPlane()
	masquerade, err := NAT("203.0.113.5", 3)
	if err != nil {
		t.Fatal(err)
	}
	gw, err := net.Node("gateway", "198.51.100.2")
	if err != nil {
		t.Fatal(err)
	}
	gw.Ports[4500] = natt.NonESP
	// The server answers to where a datagram came from, as any does, and sees who is who by that alone.
	peers := map[netip.AddrPort]string{}
	gw.Serve = func(p []byte) [][]byte {
		src, dst, payload, sound := readUDP(p)
		if !sound || dst.Port() != 1701 {
			t.Fatalf("the server got %s to %s, checksum right: %v", src, dst, sound)
		}
		name, _, answered := bytes.Cut(payload, []byte(" "))
		if !answered {
			if peers[src] == "" {
				t.Fatalf("after its NAT has changed a client is %s, which was nobody", src)
			}
			return nil
		}
		if before, ok := peers[src]; ok && before != string(name) {
			t.Fatalf("%s is %s and %s to the server", src, before, name)
		}
		peers[src] = string(name)
		return [][]byte{udpPacket(dst, src, append([]byte("answer to "), payload...))}
	}
	var clients []*Node
	for i := range 50 {
		home, err := NAT(fmt.Sprintf("100.64.0.%d", i+1), uint64(100+i))
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Node(fmt.Sprintf("client%d", i), "192.168.0.2", home, masquerade)
		if err != nil {
			t.Fatal(err)
		}
		c.Ports[4500] = natt.NonESP
		clients = append(clients, c)
		join(t, net, c, gw)
	}
	server := netip.MustParseAddrPort("198.51.100.2:1701")
	const rounds = 5
	for round := range rounds {
		if round >= rounds-len(later) {
			again, err := NAT(later[round-(rounds-len(later))], uint64(50+round))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range clients {
				c.via[1] = again
			}
			for _, c := range clients { // something authentic shows the gateway where it is; what it answers to that may be lost
				ping(c, gw)
			}
		}
		for i, c := range clients {
			c.Send(udpPacket(netip.MustParseAddrPort("192.168.0.2:1701"), server, fmt.Appendf(nil, "client%d %d", i, round)))
		}
		net.Now = net.Now.Add(20 * time.Second)
	}
	if len(peers) != len(clients) {
		t.Errorf("the server saw %d peers of %d", len(peers), len(clients))
	}
	for i, c := range clients {
		if len(c.Got) != rounds {
			t.Fatalf("client %d got %d answers; %v", i, len(c.Got), gw.Engine.Counters())
		}
		for round, p := range c.Got {
			src, dst, payload, sound := readUDP(p)
			if want := fmt.Sprintf("answer to client%d %d", i, round); !sound || src != server || dst.Port() != 1701 || string(payload) != want {
				t.Errorf("client %d got %q from %s to %s, checksum right: %v", i, payload, src, dst, sound)
			}
		}
	}
	if len(net.Lost) > 0 {
		t.Errorf("lost: %v", net.Lost)
	}
}

// ping has a client say something, and the gateway's key daemon, or its engine, follow it.
func ping(c, gw *Node) {
	c.Send(udpPacket(netip.AddrPortFrom(c.Addr, 1701), netip.AddrPortFrom(gw.Addr, 1701), []byte("moved")))
	var list [16]sadb.Notice
	for _, n := range list[:gw.DB.Notices(list[:])] {
		if n.Kind == sadb.NewMapping && n.SPIIn != 0 {
			_ = gw.DB.Move(gw.plane.Now, n.SPIIn, sadb.Endpoint{Local: n.Local, Remote: n.To, Encap: natt.NonESP})
		}
	}
}

// transportPair joins a client behind NATs and a gateway.
func transportPair(t *testing.T, net *Plane, c, gw *Node) {
	t.Helper()
	there := netip.AddrPortFrom(gw.Addr, 4500)
	seen, err := c.Touch(4500, there)
	if err != nil {
		t.Fatal(err)
	}
	spiC, reqC, err := c.DB.Reserve(net.Now, 0)
	if err != nil {
		t.Fatal(err)
	}
	spiG, reqG, err := gw.DB.Reserve(net.Now, 0)
	if err != nil {
		t.Fatal(err)
	}
	up, down := newKey(20), newKey(20)
	l2tp := func(a netip.Addr) []sadb.Selector {
		return []sadb.Selector{{From: a, To: a, Proto: 17, PortFrom: 1701, PortTo: 1701}}
	}
	err = c.DB.Install(net.Now, sadb.Child{Reqid: reqC, SPIIn: spiC, SPIOut: spiG, Mode: sadb.Transport, Suite: gcm, KeyIn: down, KeyOut: up,
		Endpoint: sadb.Endpoint{Local: netip.AddrPortFrom(c.Addr, 4500), Remote: there, Encap: natt.NonESP},
		TSLocal:  l2tp(c.Addr), TSRemote: l2tp(gw.Addr), OrigLocal: seen.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	err = gw.DB.Install(net.Now, sadb.Child{Reqid: reqG, SPIIn: spiG, SPIOut: spiC, Mode: sadb.Transport, Suite: gcm, KeyIn: up, KeyOut: down,
		Endpoint: sadb.Endpoint{Local: there, Remote: seen, Encap: natt.NonESP},
		TSLocal:  l2tp(gw.Addr), TSRemote: l2tp(seen.Addr()), OrigRemote: c.Addr})
	if err != nil {
		t.Fatal(err)
	}
}

// transportSingles is transportPair with what PF_KEY has: single SAs and, at the gateway, one policy for all clients of the NAT, under
// which the newest SA would get every answer.
func transportSingles(t *testing.T, net *Plane, c, gw *Node) {
	t.Helper()
	there, here := netip.AddrPortFrom(gw.Addr, 4500), netip.AddrPortFrom(c.Addr, 4500)
	seen, err := c.Touch(4500, there)
	if err != nil {
		t.Fatal(err)
	}
	spi := 0x1000 + 2*uint32(len(net.Nodes))
	up, down := newKey(20), newKey(20)
	add := func(n *Node, src, dst netip.AddrPort, spi uint32, k secret.Key, origSrc, origDst netip.Addr) {
		err := n.DB.AddSA(net.Now, sadb.SA{Proto: sadb.ProtoESP, SPI: spi, Src: src.Addr(), Dst: dst.Addr(), Encap: natt.NonESP, SrcPort: src.Port(),
			DstPort: dst.Port(), Mode: sadb.Transport, Suite: gcm, Key: k, OrigSrc: origSrc, OrigDst: origDst})
		if err != nil {
			t.Fatal(err)
		}
	}
	none := netip.Addr{}
	add(c, here, there, spi, up, seen.Addr(), none)
	add(c, there, here, spi+1, down, none, seen.Addr())
	add(gw, seen, there, spi, up, c.Addr, none)
	add(gw, there, seen, spi+1, down, none, c.Addr)
	l2tp := func(a netip.Addr) sadb.Selector {
		return sadb.Selector{From: a, To: a, Proto: 17, PortFrom: 1701, PortTo: 1701}
	}
	policies := func(n *Node, local, remote netip.Addr) {
		for _, dir := range []sadb.Dir{sadb.Out, sadb.In} {
			e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: l2tp(local), Remote: l2tp(remote),
				Templates: []sadb.Template{{Proto: sadb.ProtoESP, Mode: sadb.Transport, Level: sadb.Require}}}
			if _, err := n.DB.SPDAdd(net.Now, e); err != nil && !errors.Is(err, sadb.ErrPolicyExists) {
				t.Fatal(err)
			}
		}
	}
	policies(c, c.Addr, gw.Addr)
	policies(gw, gw.Addr, seen.Addr())
}

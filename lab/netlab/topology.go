// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The one topology of the labs. Addresses are fixed, for namespaces keep labs apart:
//
//	v0 ── c0 ──┐
//	           n ══ outer link ══ (m) ── g ── w
//	v1 ── c1 ──┘
//
// c are the clients, n their NAT (or only a router), m the gateway's static NAT where there is one, g the gateway; v and w
// are hosts in the networks behind them. Nobody outside has a route to what is inside. With homes a NAT h stands before each
// client, whose network is that of every other home, and n is the carrier's.

package netlab

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/port/natbox/nat"
)

// NAT is what stands between the clients and the outer link.
type NAT uint8

// The NATs. Masquerade is nftables with random ports; Box is port/natbox.
const (
	NoNAT NAT = iota
	Masquerade
	Box
)

// Topology says what is built.
type Topology struct {
	IPv6       bool // the outside addresses
	NAT        NAT
	BoxKind    nat.Kind // of the box: how it maps and filters
	GatewayNAT bool     // the gateway stands behind a static NAT
	Clients    int      // 0 is 1
	Networks   bool     // a host in a network behind each client
	Homes      bool     // a masquerade of its own before each client: all clients have one address
}

// Host is an end of tunnels.
type Host struct {
	*Space
	// Addr is its address on the link; Public is the one that its peers see or use.
	Addr, Public netip.Addr
	// Inner is a host in the network behind; nil where there is none. Inner4 and Inner6 are its addresses.
	Inner          *Space
	Inner4, Inner6 netip.Addr
	Net4, Net6     netip.Prefix
}

// World is a topology that was built.
type World struct {
	*Lab
	Topology
	Clients []*Host
	Gateway *Host
	// Router is the clients' NAT; its interface wan is the outer link.
	Router *Space
	// Box is the impairment box, where it is the NAT.
	Box *BoxControl
}

// NewWorld builds a topology.
func NewWorld(l *Lab, top Topology) *World {
	l.Helper()
	if top.Clients == 0 {
		top.Clients = 1
	}
	w := &World{Lab: l, Topology: top, Router: l.NewSpace("n")}
	w.Router.Forward()
	lan4, lan6 := "192.168.77.1/24", "fd77::1/64"
	if top.Homes {
		lan4, lan6 = "100.64.0.1/24", "fd64::1/64" // RFC 6598
	}
	w.Router.IP("link add lan type bridge", "link set lan up", "addr add "+lan4+" dev lan", "addr add "+lan6+" dev lan nodad")
	w.gateway()
	for i := range top.Clients {
		w.client(i)
	}
	w.nat()
	return w
}

// join connects a and b by a veth whose ends have these names.
func (l *Lab) join(a *Space, nameA string, b *Space, nameB string) {
	l.Helper()
	if _, err := command(commandLimit, nil, "", "ip", "link", "add", nameA, "netns", a.Name, "type", "veth", "peer", "name",
		nameB, "netns", b.Name); err != nil {
		l.Fatal(err)
	}
	a.IP("link set " + nameA + " up")
	b.IP("link set " + nameB + " up")
}

func (w *World) gateway() {
	w.Helper()
	g := &Host{Space: w.NewSpace("g"), Inner: w.NewSpace("w"),
		Inner4: netip.MustParseAddr("10.20.0.2"), Inner6: netip.MustParseAddr("fd20::2"),
		Net4: netip.MustParsePrefix("10.20.0.0/24"), Net6: netip.MustParsePrefix("fd20::/64")}
	w.Gateway = g
	g.Forward()
	w.behind(g)
	outside := g.Space
	if w.GatewayNAT {
		m := w.NewSpace("m")
		outside = m
		m.Forward()
		w.join(m, "lan", g.Space, "wan")
		m.IP("addr add 10.99.0.1/24 dev lan", "addr add fd99::1/64 dev lan nodad")
		g.IP("addr add 10.99.0.10/24 dev wan", "addr add fd99::10/64 dev wan nodad", "route add default via 10.99.0.1",
			"-6 route add default via fd99::1")
		m.NFT(`table inet nat {
  chain pre { type nat hook prerouting priority dstnat; 
    iifname "wan" meta nfproto ipv4 udp dport { 500, 4500 } dnat ip to 10.99.0.10
    iifname "wan" meta nfproto ipv6 udp dport { 500, 4500 } dnat ip6 to fd99::10
  }
  chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade
  }
}
`)
	}
	w.join(w.Router, "wan", outside, "wan")
	w.Router.IP("addr add 198.51.100.1/24 dev wan", "addr add 2001:db8:100::1/64 dev wan nodad")
	outside.IP("addr add 198.51.100.10/24 dev wan", "addr add 2001:db8:100::10/64 dev wan nodad")
	g.Public = w.pick("198.51.100.10", "2001:db8:100::10")
	g.Addr = g.Public
	if w.GatewayNAT {
		g.Addr = w.pick("10.99.0.10", "fd99::10")
	}
	if w.NAT == NoNAT {
		outside.IP("route add 192.168.77.0/24 via 198.51.100.1", "-6 route add fd77::/64 via 2001:db8:100::1")
	} else {
		outside.IP("route add blackhole 192.168.77.0/24", "-6 route add blackhole fd77::/64")
	}
}

func (w *World) pick(v4, v6 string) netip.Addr {
	if w.IPv6 {
		return netip.MustParseAddr(v6)
	}
	return netip.MustParseAddr(v4)
}

func (w *World) client(i int) {
	w.Helper()
	c := &Host{Space: w.NewSpace(fmt.Sprintf("c%d", i)),
		Net4: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/24", 40+i)), Net6: netip.MustParsePrefix(fmt.Sprintf("fd4%d::/64", i))}
	c.Inner4, c.Inner6 = c.Net4.Addr().Next().Next(), c.Net6.Addr().Next().Next()
	v4, v6 := fmt.Sprintf("192.168.77.%d", 10+i), fmt.Sprintf("fd77::%d", 10+i)
	port, attached := fmt.Sprintf("port%d", i), c.Space
	if w.Homes {
		v4, v6 = "192.168.77.2", "fd77::2"
		attached = w.home(i, c.Space)
	}
	w.join(w.Router, port, attached, "wan")
	w.Router.IP("link set " + port + " master lan")
	if w.Homes {
		attached.IP(fmt.Sprintf("addr add 100.64.0.%d/24 dev wan", 10+i), fmt.Sprintf("addr add fd64::%d/64 dev wan nodad", 10+i),
			"route add default via 100.64.0.1", "-6 route add default via fd64::1")
	}
	c.IP("addr add "+v4+"/24 dev wan", "addr add "+v6+"/64 dev wan nodad",
		"route add default via 192.168.77.1", "-6 route add default via fd77::1")
	c.Addr = w.pick(v4, v6)
	switch w.NAT {
	case NoNAT:
		c.Public = c.Addr
	case Masquerade:
		c.Public = w.pick("198.51.100.1", "2001:db8:100::1")
	case Box:
		c.Public = w.pick("198.51.100.2", "2001:db8:100::2")
	}
	if w.Networks {
		c.Inner = w.NewSpace(fmt.Sprintf("v%d", i))
		c.Forward()
		w.behind(c)
	}
	w.Clients = append(w.Clients, c)
}

// home makes the NAT of one client. It keeps ports where it can, as most do, so that what leaves two homes differs by its
// address alone.
func (w *World) home(i int, c *Space) *Space {
	w.Helper()
	h := w.NewSpace(fmt.Sprintf("h%d", i))
	h.Forward()
	w.join(h, "lan", c, "wan")
	h.IP("addr add 192.168.77.1/24 dev lan", "addr add fd77::1/64 dev lan nodad")
	h.NFT(`table inet nat {
  chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade
  }
}
`)
	return h
}

// behind joins a host's inner network: the host is its first address, the inner host its second.
func (w *World) behind(h *Host) {
	w.Helper()
	w.join(h.Space, "lan", h.Inner, "wan")
	first4, first6 := h.Net4.Addr().Next(), h.Net6.Addr().Next()
	h.IP(fmt.Sprintf("addr add %s/24 dev lan", first4), fmt.Sprintf("addr add %s/64 dev lan nodad", first6))
	h.Inner.IP(fmt.Sprintf("addr add %s/24 dev wan", h.Inner4), fmt.Sprintf("addr add %s/64 dev wan nodad", h.Inner6),
		fmt.Sprintf("route add default via %s", first4), fmt.Sprintf("-6 route add default via %s", first6))
}

func (w *World) nat() {
	w.Helper()
	switch w.NAT {
	case Masquerade:
		// Packets to a mapping that is gone are dropped in silence, as by most NATs.
		w.Router.NFT(`table inet nat {
  chain post { type nat hook postrouting priority srcnat; oifname "wan" meta l4proto udp masquerade to :10000-60000 random
    oifname "wan" masquerade
  }
  chain in { type filter hook input priority filter; iifname "wan" meta l4proto udp drop
  }
}
`)
	case Box:
		w.Box = w.startBox()
	}
}

// Forget drops every mapping of the clients' NAT: their next packets get other ports.
func (w *World) Forget() {
	w.Helper()
	if w.NAT == Box {
		w.Box.Do(BoxCommand{Forget: true})
		return
	}
	w.Router.Run("conntrack", "-F")
}

// Mappings are the external ports of the nftables NAT for datagrams to port, as conntrack has them.
func (w *World) Mappings(port int) []string {
	w.Helper()
	var ports []string
	out := w.Router.Run("conntrack", "-L", "-p", "udp", "--dport", fmt.Sprint(port))
	for _, line := range strings.Split(out, "\n") {
		// The reply's destination port is the last dport= of a line.
		if i := strings.LastIndex(line, "dport="); i >= 0 {
			ports = append(ports, strings.Fields(line[i+len("dport="):])[0])
		}
	}
	return ports
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package peers runs Natterjack against unmodified strongSwan, and against itself, in network namespaces with real TUN
// interfaces and real NATs. Every case brings a tunnel up and fails if it is not; most move octets each way, compare hashes
// and look at what was on the outer link. Run it with: go test -tags lab ./lab/peers
package peers

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const (
	// octets are moved each way by a case that proves data.
	octets = 8 << 20
	// fewOctets are moved where only the tunnel's life is in question.
	fewOctets = 256 << 10
	// secret is the preshared key of the labs.
	secret = "a preshared key of the labs, 32+"
	// minESP is how many packets of ESP a capture must hold when octets went each way: segments of 64 KiB may be one.
	minESP = 2 * octets / 65536
)

func TestMain(m *testing.M) {
	netlab.Main()
	code := m.Run()
	netlab.RemoveBinary()
	os.Exit(code)
}

// pair is who is the client and who the gateway.
type pair struct{ client, gateway netlab.Kind }

func (p pair) String() string { return string(p.client) + "-to-" + string(p.gateway) }

// mixed are the pairs with one foreign peer; all has two of ours besides. LAB_PAIR replaces both, for work on the labs.
func mixed() []pair {
	return pairs(pair{netlab.Natterjack, netlab.StrongSwan}, pair{netlab.StrongSwan, netlab.Natterjack})
}

func all() []pair {
	return pairs(pair{netlab.Natterjack, netlab.StrongSwan}, pair{netlab.StrongSwan, netlab.Natterjack}, pair{netlab.Natterjack, netlab.Natterjack})
}

func pairs(list ...pair) []pair {
	if v := os.Getenv("LAB_PAIR"); v != "" {
		client, gateway, _ := strings.Cut(v, "-to-")
		return []pair{{netlab.Kind(client), netlab.Kind(gateway)}}
	}
	return list
}

// mode is what a child protects.
type mode string

const (
	virtual mode = "virtual IP"
	network mode = "net-to-net"
	host    mode = "host-to-host"
)

// scenario is one case: a topology, who talks, what the child is.
type scenario struct {
	pair
	top    netlab.Topology
	mode   mode
	key    netlab.KeyKind // empty: a preshared key
	inner6 bool           // the data is IPv6
	encap  bool
	// strict turns rp_filter on where Natterjack runs; strongSwan's routes do not pass it.
	strict bool
	// edit changes the configurations before the daemons start; client and gateway are called with what is theirs.
	editClient, editGateway func(*netlab.Config)
}

// tunnel is a scenario whose daemons run.
type tunnel struct {
	*netlab.World
	scenario
	gw      *netlab.Node
	clients []*netlab.Node
	pattern []byte
}

const (
	gatewayID = "gw.example.org"
	clientIDs = "*.clients.example.org"
)

// start builds the world and starts the daemons.
func (s scenario) start(t *testing.T) *tunnel {
	t.Helper()
	s.top.Networks = s.mode == network
	w := netlab.NewWorld(netlab.New(t), s.top)
	tn := &tunnel{World: w, scenario: s, pattern: netlab.NewPattern()}
	var authority *netlab.Authority
	if s.key != "" {
		authority = netlab.NewAuthority(t, s.key)
	}
	tn.gw = tn.node(s.gateway, w.Gateway, s.gatewayConfig(w, authority), s.editGateway)
	for i, c := range w.Clients {
		tn.clients = append(tn.clients, tn.node(s.client, c, s.clientConfig(w, i, authority), s.editClient))
	}
	return tn
}

func (tn *tunnel) node(kind netlab.Kind, h *netlab.Host, c netlab.Config, edit func(*netlab.Config)) *netlab.Node {
	tn.Helper()
	if tn.strict && kind == netlab.Natterjack {
		h.FilterReversePaths()
	}
	if kind == netlab.Natterjack {
		c.Daemon = append(c.Daemon, "dns = no", "retransmit_timeout = 1s", "retransmit_base = 1.4", "retransmit_tries = 2")
	}
	if tn.mode == host {
		// kernel-libipsec routes its own packets into the TUN unless they are marked.
		c.Charon = append(c.Charon, "plugins {", "kernel-libipsec {", "allow_peer_ts = yes", "}", "kernel-netlink {",
			"fwmark = !0x42", "}", "socket-default {", "fwmark = 0x42", "}", "}")
	}
	if edit != nil {
		edit(&c)
	}
	return tn.StartNode(kind, h, c)
}

// common is what both ends have.
func (s scenario) common(authority *netlab.Authority) netlab.Config {
	c := netlab.Config{LocalAuth: "psk", RemoteAuth: "psk", Secret: secret, ESP: "aes128gcm16", Proposals: "aes128gcm16-prfsha256-x25519"}
	if authority != nil {
		c.LocalAuth, c.RemoteAuth, c.Secret = "pubkey", "pubkey", ""
	}
	if s.encap {
		c.Options = append(c.Options, "encap = yes")
	}
	return c
}

func (s scenario) gatewayConfig(w *netlab.World, authority *netlab.Authority) netlab.Config {
	c := s.common(authority)
	c.LocalID, c.RemoteID = gatewayID, clientIDs
	if authority != nil {
		c.Cert = authority.Issue(w, gatewayID)
	}
	child := netlab.Child{Name: "net", LocalTS: fmt.Sprintf("%v, %v", w.Gateway.Net4, w.Gateway.Net6)}
	switch s.mode {
	case virtual:
		c.Pools = map[string]string{"p4": "10.30.0.0/24", "p6": "fd30::/64"}
	case network:
		child.RemoteTS = "10.40.0.0/15, fd40::/15" // narrowed to what each client has
	case host:
		child.LocalTS, child.RemoteTS = w.Gateway.Addr.String(), "192.168.77.0/24, fd77::/64"
	}
	c.Children = []netlab.Child{child}
	return c
}

func (s scenario) clientConfig(w *netlab.World, i int, authority *netlab.Authority) netlab.Config {
	c := s.common(authority)
	c.LocalID, c.RemoteID = fmt.Sprintf("c%d.clients.example.org", i), gatewayID
	if authority != nil {
		c.Cert = authority.Issue(w, c.LocalID)
	}
	c.Remote = w.Gateway.Public.String()
	me := w.Clients[i]
	child := netlab.Child{Name: "net", RemoteTS: fmt.Sprintf("%v, %v", w.Gateway.Net4, w.Gateway.Net6)}
	switch s.mode {
	case virtual:
		c.VIPs = "0.0.0.0, ::"
	case network:
		child.LocalTS = fmt.Sprintf("%v, %v", me.Net4, me.Net6)
	case host:
		child.LocalTS, child.RemoteTS = me.Addr.String(), w.Gateway.Public.String()
	}
	c.Children = []netlab.Child{child}
	return c
}

// up starts everything and brings every client's tunnel up.
func (s scenario) up(t *testing.T) *tunnel {
	t.Helper()
	tn := s.start(t)
	for _, c := range tn.clients {
		c.Initiate("net")
		c.WaitUp(5*time.Second, 1)
	}
	tn.gw.WaitUp(5*time.Second, len(tn.clients))
	return tn
}

// path is the two ends of the inner traffic of client i: where it starts, and the addresses of both.
type path struct {
	from, to           *netlab.Space
	fromAddr, toAddr   string
	fromOther, toOther string // of the other family; empty where there is none
}

func (tn *tunnel) path(i int) path {
	tn.Helper()
	c, g := tn.Clients[i], tn.Gateway
	p := path{from: c.Space, to: g.Inner, toAddr: g.Inner4.String(), toOther: g.Inner6.String()}
	switch tn.mode {
	case virtual:
		p.fromAddr, p.fromOther = tn.virtualIPs(i)
	case network:
		p.from, p.fromAddr, p.fromOther = c.Inner, c.Inner4.String(), c.Inner6.String()
	case host:
		p.to, p.fromAddr, p.toAddr, p.fromOther, p.toOther = g.Space, c.Addr.String(), g.Addr.String(), "", ""
		return p
	}
	if tn.inner6 {
		p.fromAddr, p.fromOther, p.toAddr, p.toOther = p.fromOther, p.fromAddr, p.toOther, p.toAddr
	}
	return p
}

// virtualIPs are the addresses that client i got.
func (tn *tunnel) virtualIPs(i int) (v4, v6 string) {
	tn.Helper()
	sas := tn.clients[i].WaitUp(5*time.Second, 1)
	for _, s := range sas[0].LocalVIPs {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			v4 = s
		} else {
			v6 = s
		}
	}
	if v4 == "" || v6 == "" {
		tn.Fatalf("client %d has virtual IPs %v, expected one of each family", i, sas[0].LocalVIPs)
	}
	return v4, v6
}

// pings reaches every address from both sides.
func (tn *tunnel) pings(i int) {
	tn.Helper()
	p := tn.path(i)
	ping := func(s *netlab.Space, from, to string) {
		tn.Helper()
		if to == "" || from == "" {
			return
		}
		if err := s.Ping(2*time.Second, "-I", from, to); err != nil {
			tn.Fatalf("ping from %s: %v", s.Role, err)
		}
	}
	ping(p.from, p.fromAddr, p.toAddr)
	ping(p.to, p.toAddr, p.fromAddr)
	ping(p.from, p.fromOther, p.toOther)
	ping(p.to, p.toOther, p.fromOther)
}

// moves transfers n octets each way between client i and what is behind the gateway.
func (tn *tunnel) moves(i, n int) {
	tn.Helper()
	p := tn.path(i)
	seen, took := tn.Transfer(netlab.Transfer{From: p.from, To: p.to, Source: p.fromAddr, Addr: p.toAddr, Octets: n, Pattern: tn.pattern})
	if seen != p.fromAddr {
		tn.Fatalf("the server saw the client as %s, expected %s", seen, p.fromAddr)
	}
	if n >= octets {
		tn.Logf("client %d: %d octets each way in %.2f s", i, n, took.Seconds())
	}
}

// outer is what the outer link may hold.
func (tn *tunnel) outer(esp int) *netlab.Outer {
	o := &netlab.Outer{Gateway: tn.Gateway.Public, Pattern: tn.pattern, ESPAtLeast: esp}
	for _, c := range tn.Clients {
		o.Clients = append(o.Clients, c.Public)
	}
	return o
}

// run is the whole of a case: capture, tunnels up, pings, octets each way, and what the capture holds.
func (s scenario) run(t *testing.T) {
	t.Helper()
	tn := s.start(t)
	capture := tn.Router.Capture("wan")
	for i, c := range tn.clients {
		begin := time.Now()
		c.Initiate("net")
		c.WaitUp(5*time.Second, 1)
		t.Logf("client %d up in %v", i, time.Since(begin).Round(time.Millisecond))
	}
	tn.gw.WaitUp(5*time.Second, len(tn.clients))
	for i := range tn.clients {
		tn.pings(i)
		tn.moves(i, octets)
	}
	tn.checkSAs()
	packets := capture.Stop()
	if err := tn.outer(minESP).Check(packets); err != nil {
		t.Fatalf("outer link: %v", err)
	}
	if len(Up(tn.gw.SAs())) != len(tn.clients) {
		t.Fatalf("at the end: %s", netlab.Describe(tn.gw.SAs()))
	}
}

// Up is netlab's.
func Up(list []netlab.SA) []netlab.SA { return netlab.Up(list) }

// checkSAs compares what both ends say of the same SAs.
func (tn *tunnel) checkSAs() {
	tn.Helper()
	bySPI := map[string]netlab.SA{}
	for _, sa := range Up(tn.gw.SAs()) {
		bySPI[sa.SPIi] = sa
	}
	for i, n := range tn.clients {
		for _, sa := range Up(n.SAs()) {
			peer, ok := bySPI[sa.SPIi]
			if !ok || peer.SPIr != sa.SPIr {
				tn.Fatalf("client %d and the gateway have different IKE SAs: %s, %s", i, netlab.Describe(n.SAs()), netlab.Describe(tn.gw.SAs()))
			}
			mine, theirs := sa.Installed(), peer.Installed()
			if len(mine) != 1 || len(theirs) != 1 || mine[0].SPIIn != theirs[0].SPIOut || mine[0].SPIOut != theirs[0].SPIIn {
				tn.Fatalf("client %d and the gateway have different children: %s, %s", i, netlab.Describe(n.SAs()), netlab.Describe(tn.gw.SAs()))
			}
			if mine[0].PacketsIn == 0 || mine[0].PacketsOut == 0 || theirs[0].PacketsIn == 0 || theirs[0].PacketsOut == 0 {
				tn.Fatalf("client %d: a counter of packets is 0: %+v %+v", i, mine[0], theirs[0])
			}
			if tn.top.NAT != netlab.NoNAT && (!sa.NATLocal || !peer.NATRemote || !mine[0].Encap || !theirs[0].Encap) {
				tn.Fatalf("client %d: the NAT is not in list-sas: %+v %+v", i, sa.Raw, peer.Raw)
			}
		}
	}
}

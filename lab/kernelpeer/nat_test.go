// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// ESP in UDP through a NAT without IKE (RFC 3948; the non-IKE marker of drafts 00 and 01 too). At the client's side: the kernel says which
// mapping it saw (SADB_X_NAT_T_NEW_MAPPING of its own AF_KEY), and the test is the key daemon that believes it. At the guest's side: the
// engine follows by itself, also when the NAT forgets.

package kernelpeer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/lab/netlab"
)

const (
	// The guest's address as its own NAT shows it to the client.
	shown4, shown6      = "203.0.113.9", "2001:db8:113::9"
	natSPIOut, natSPIIn = 0x4000, 0x4001
	public4, public6    = "198.51.100.1", "2001:db8:100::1" // the client's, as its NAT shows it
	natFilter           = `table inet far {
  chain post { type nat hook postrouting priority srcnat; oifname "lan" jump out
  }
  chain out {
    meta nfproto ipv4 ip saddr 198.51.100.10 meta l4proto udp snat ip to 203.0.113.9:20000-29999 random
    meta nfproto ipv6 ip6 saddr 2001:db8:100::10 meta l4proto udp snat ip6 to [2001:db8:113::9]:20000-29999 random
  }
}
`
)

// natCase is one SA each way.
type natCase struct {
	name         string
	ipv6, tunnel bool
	alg          algorithm
	nonIKE       bool
	// far: the NAT is the guest's.
	far bool
	// oa tells the client the guest's own address (transport mode).
	oa bool
}

func natCases() []natCase {
	return []natCase{
		{name: "tunnel", tunnel: true, alg: gcm()},
		{name: "tunnel over IPv6", ipv6: true, tunnel: true, alg: cbc()},
		{name: "tunnel, non-IKE marker", tunnel: true, alg: cbc(), nonIKE: true},
		{name: "transport", alg: cbc()},
		{name: "transport over IPv6", ipv6: true, alg: gcm()},
		{name: "tunnel, the guest's NAT", tunnel: true, far: true, alg: cbc()},
		{name: "transport, the guest's NAT", far: true, alg: gcm(), oa: true},
		{name: "transport over IPv6, the guest's NAT", ipv6: true, far: true, alg: cbc()},
	}
}

// side is how one end sees both: the addresses outside, those of the packets, and the ports.
type side struct {
	client, guest           string
	innerClient, innerGuest string
}

// sides are the client's view and the guest's.
func (c natCase) sides() (ours, theirs side) {
	me, far := manualCase{ipv6: c.ipv6}.outside()
	public, shown := public4, shown4
	if c.ipv6 {
		public, shown = public6, shown6
	}
	if c.far {
		public = me
	} else {
		shown = far
	}
	ours, theirs = side{client: me, guest: shown}, side{client: public, guest: far}
	for _, s := range []*side{&ours, &theirs} {
		s.innerClient, s.innerGuest = s.client, s.guest
		if c.tunnel {
			s.innerClient, s.innerGuest = manualCase{tunnel: true, ipv6: c.ipv6}.inside()
		}
	}
	return ours, theirs
}

func (c natCase) port() string {
	if c.nonIKE {
		return strconv.Itoa(nonIKEPort)
	}
	return strconv.Itoa(nonESPPort)
}

func (c natCase) mode() string { return manualCase{tunnel: c.tunnel}.mode(0) }

// ours gives the client its SAs and policies. Those that are to follow their peer have one owner, a connection: each command is its own.
func (c natCase) ours(t *testing.T, m *manual, s side) {
	t.Helper()
	var one net.Conn
	if c.far {
		conn, err := net.Dial("unixpacket", m.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		one = conn
	}
	for _, out := range []bool{true, false} {
		spi, src, dst, from, to, way := natSPIOut, s.client, s.guest, s.innerClient, s.innerGuest, "out"
		if !out {
			spi, src, dst, from, to, way = natSPIIn, dst, src, to, from, "in"
		}
		ends := ""
		if c.tunnel {
			ends = src + "-" + dst
		}
		if one != nil {
			c.write(t, one, spi, src, dst, out)
		} else {
			args := append([]string{"add", src, dst, "esp", strconv.Itoa(spi), "-m", c.mode(), "-r", "64", "--natt", c.port() + ":" + c.port(),
				"--key-file", m.keyFile(t, key(spi, c.alg.encr), key(spi+64, c.alg.auth))}, c.alg.ours...)
			if c.nonIKE {
				args = append(args, "--non-ike")
			}
			m.cli(t, args...)
		}
		m.cli(t, "policy", "add", from, to, "any", "-P", way, "ipsec", "esp/"+c.mode()+"/"+ends+"/require")
	}
}

// theirs gives the guest its SA and policy of one direction, or its SA the client's newest port.
func (c natCase) theirs(t *testing.T, m *manual, s side, out bool, verb string, clientPort string) {
	t.Helper()
	spi, src, dst, from, to, way := natSPIOut, s.client, s.guest, s.innerClient, s.innerGuest, "in"
	sport, dport := clientPort, c.port()
	if !out {
		spi, src, dst, from, to, way = natSPIIn, dst, src, to, from, "out"
		sport, dport = dport, sport
	}
	encap := "espinudp"
	if c.nonIKE {
		encap = "espinudp-nonike"
	}
	args := append([]string{"state", verb, "src", src, "dst", dst, "proto", "esp", "spi", strconv.Itoa(spi), "mode", c.mode(), "replay-window", "32"},
		c.alg.words(key(spi, c.alg.encr), key(spi+64, c.alg.auth))...)
	m.kernel(t, append(args, "encap", encap, sport, dport, "0.0.0.0")...)
	if verb == "add" {
		m.kernel(t, "policy", "add", "src", from, "dst", to, "dir", way, "tmpl", "src", src, "dst", dst, "proto", "esp", "mode", c.mode())
	}
}

// run is the whole of a case.
func (c natCase) run(t *testing.T, m *manual) {
	m.flush(t)
	m.translate(t, !c.far)
	m.Router.Run("conntrack", "-F")
	if c.far {
		m.Router.NFT(natFilter)
		defer m.Router.Run("nft", "delete", "table", "inet", "far")
	}
	before := m.errors(t)
	ours, theirs := c.sides()
	c.ours(t, m, ours)
	capture := m.Router.Capture("wan")
	if c.far {
		c.followed(t, m, ours, theirs)
	} else {
		c.mapped(t, m, ours, theirs)
	}
	m.same(t, false, false, spis{natSPIOut, natSPIIn})
	sizes := []int{1, 700, 1200}
	if c.tunnel {
		sizes = append(sizes, longPing)
	}
	m.pingBoth(t, false, ours, theirs, sizes...)
	pattern := netlab.NewPattern()
	m.moveTo(t, false, ours.innerClient, ours.innerGuest, theirs.innerGuest, pattern)
	m.same(t, false, true, spis{natSPIOut, natSPIIn})
	c.look(t, settled(t, m, capture), theirs, pattern)
	if now := m.errors(t); now != before {
		t.Errorf("the kernel counted errors: %q, before %q", now, before)
	}
}

// mapped: the client begins, the kernel sees from where, and again after the NAT has forgotten. Nothing is answered to where the client was
// before.
func (c natCase) mapped(t *testing.T, m *manual, ours, theirs side) {
	t.Helper()
	c.theirs(t, m, theirs, true, "add", c.port())
	for last, verb := c.port(), "add"; ; verb = "update" {
		m.listen(t)
		m.mute(true)
		_ = m.Clients[0].Ping(lostLimit, "-I", ours.innerClient, ours.innerGuest)
		seen := m.mapping(t)
		m.mute(false)
		if seen.Addr().String() != theirs.client || strconv.Itoa(int(seen.Port())) == last {
			t.Fatalf("the kernel saw %v, expected %s at another port than %s", seen, theirs.client, last)
		}
		last = strconv.Itoa(int(seen.Port()))
		c.theirs(t, m, theirs, false, verb, last)
		c.theirs(t, m, theirs, true, "update", last)
		m.pingBoth(t, false, ours, theirs, 56)
		if verb == "update" {
			return
		}
		m.Router.Run("conntrack", "-F")
	}
}

// muted are sysctls: pings are not answered, or are.
func muted(on bool) []string {
	value := map[bool]string{false: "=0", true: "=1"}[on]
	return []string{"net.ipv4.icmp_echo_ignore_all" + value, "net.ipv6.icmp.echo_ignore_all" + value}
}

// mute has the guest answer no pings.
func (m *manual) mute(on bool) {
	for _, s := range muted(on) {
		m.guest.Exec("sysctl", "-w", s)
	}
}

// followed: the guest begins, and again after its NAT has forgotten. The engine answers to where it was heard from, though not within the
// first moment.
func (c natCase) followed(t *testing.T, m *manual, ours, theirs side) {
	t.Helper()
	c.theirs(t, m, theirs, true, "add", c.port())
	c.theirs(t, m, theirs, false, "add", c.port())
	last := c.port()
	for range 2 {
		m.Router.Run("conntrack", "-F")
		m.Clients[0].Run(append([]string{"sysctl", "-qw"}, muted(true)...)...)
		_, _ = m.guest.TryRun("sh", "-c", "ping -c 1 -W 1 -I "+theirs.innerGuest+" "+theirs.innerClient+" >/dev/null 2>&1 &")
		m.Eventually(upLimit, "the engine sends to another port than "+last, func() (bool, string) {
			now := m.peerPort(t)
			return now != last, m.kernelErrors()
		})
		last = m.peerPort(t)
		m.Clients[0].Run(append([]string{"sysctl", "-qw"}, muted(false)...)...)
		m.pingBoth(t, false, ours, theirs, 56)
	}
}

// peerPort is where the client's SA sends to.
func (m *manual) peerPort(t *testing.T) string {
	t.Helper()
	var list []struct {
		SPI     int
		DstPort int `json:"dst_port"`
	}
	if err := json.Unmarshal([]byte(m.cli(t, "dump", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, sa := range list {
		if sa.SPI == natSPIOut {
			return strconv.Itoa(sa.DstPort)
		}
	}
	t.Fatal("the client's SA is gone")
	return ""
}

// look fails if the outer link held anything but UDP between the ends.
func (c natCase) look(t *testing.T, packets []netlab.Packet, s side, pattern []byte) {
	t.Helper()
	count := map[string]int{}
	for i := range packets {
		p := &packets[i]
		src, dst := p.Src.Addr().String(), p.Dst.Addr().String()
		if !(src == s.client && dst == s.guest) && !(src == s.guest && dst == s.client) {
			continue
		}
		if bytes.Contains(p.Frame, pattern) {
			t.Fatalf("packet %d holds the payload's pattern in clear", i+1)
		}
		switch {
		case p.Protocol == protoUDP && (p.Fragment || strconv.Itoa(int(p.Src.Port())) == c.port() || strconv.Itoa(int(p.Dst.Port())) == c.port()), p.Protocol == protoFragment:
			count["data"]++
		case p.Protocol == protoICMPv6 && len(p.Payload) > 0 && p.Payload[0] >= 133 && p.Payload[0] <= 137:
		default:
			count[fmt.Sprint("protocol ", p.Protocol)]++
		}
	}
	if len(count) != 1 || count["data"] < minPackets {
		t.Errorf("packets on the outer link: %v, expected at least %d of data alone", count, minPackets)
	}
}

// neighbours pins the link between the router and the guest: a policy about all that is between the two would keep back neighbour discovery.
func (m *manual) neighbours(t *testing.T) {
	t.Helper()
	guest := strings.TrimSpace(m.guest.Exec("cat", "/sys/class/net/eth0/address"))
	router := strings.TrimSpace(m.Router.Run("cat", "/sys/class/net/wan/address"))
	m.guest.GuestIP("-6 neigh replace " + public6 + " lladdr " + router + " dev eth0 nud permanent")
	_, far := manualCase{ipv6: true}.outside()
	m.Router.IP("-6 neigh replace " + far + " lladdr " + guest + " dev wan nud permanent")
}

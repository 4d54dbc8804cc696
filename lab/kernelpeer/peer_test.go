// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The cases: each is a tunnel's whole life with the kernel at its other end: up, pings from both sides, octets each way, rekeys
// from both sides, delete.

package kernelpeer

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

// peerCase is one case.
type peerCase struct {
	name      string
	nat, ipv6 bool // the outside
	transport bool
	esp, ah   string // proposals; one of both
	ipcomp    bool
	// answer has the guest initiate; it cannot reach a client behind a NAT.
	answer bool
	// state is what the kernel must say of its SAs.
	state string
	// udp says that ESP is in UDP without a NAT.
	udp bool
	// ike has each side rekey the IKE SA too; brief leaves out all but pings: what it is about is the suite.
	ike, brief bool
}

func cases() []peerCase {
	return []peerCase{
		{name: "tunnel, ESP in UDP", nat: true, esp: "aes128gcm16-esn", state: `encap type espinudp[\s\S]*esn`, ike: true},
		{name: "tunnel, ESP in UDP over IPv6", nat: true, ipv6: true, esp: "aes256-sha256", state: `encap type espinudp`},
		{name: "tunnel, ESP", esp: "aes256-sha384-esn", state: `proto esp[\s\S]*mode tunnel[\s\S]*esn`},
		{name: "tunnel, ESP over IPv6", ipv6: true, esp: "chacha20poly1305", answer: true, state: `proto esp[\s\S]*mode tunnel`, ike: true},
		{name: "transport, ESP", transport: true, esp: "aes128gcm16-esn", answer: true, state: `mode transport[\s\S]*esn`, ike: true},
		{name: "transport, ESP over IPv6", transport: true, ipv6: true, esp: "aes128-sha1", state: `mode transport`},
		{name: "transport, ESP in UDP", nat: true, transport: true, esp: "aes128gcm16", state: `mode transport[\s\S]*encap type espinudp`, ike: true},
		{name: "transport, ESP in UDP over IPv6", nat: true, ipv6: true, transport: true, esp: "aes128-sha256-esn", state: `mode transport[\s\S]*encap type espinudp`},
		{name: "tunnel, ESP with CCM", esp: "aes256ccm16-esn", state: `rfc4309\(ccm\(aes\)\)`},
		{name: "transport, ESP with GMAC", transport: true, esp: "aes128gmac", state: `rfc4543\(gcm\(aes\)\)`},
		{name: "tunnel, ESP with XCBC", esp: "aes128-aesxcbc", state: `xcbc\(aes\)`},
		{name: "tunnel, ESP with CTR and SHA2-512", esp: "aes192ctr-sha512-esn", state: `rfc3686\(ctr\(aes\)\)`, brief: true},
		{name: "tunnel, ESP with CMAC", esp: "aes256-aescmac", state: `cmac\(aes\)`, brief: true},
		{name: "transport, ESP with CCM-8", transport: true, esp: "aes128ccm8-esn", state: `rfc4309\(ccm\(aes\)\) \S+ \(152 bits\) 64`, brief: true},
		{name: "transport, ESP with CCM-12", transport: true, esp: "aes256ccm12", state: `rfc4309\(ccm\(aes\)\) \S+ \(280 bits\) 96`, brief: true},
		{name: "transport, AH with SHA2-384", transport: true, ah: "sha384", state: `hmac\(sha384\)`, brief: true},
		{name: "transport, AH", transport: true, ah: "sha256-esn", state: `proto ah[\s\S]*mode transport`, ike: true},
		{name: "tunnel, AH over IPv6", ipv6: true, ah: "sha1", answer: true, state: `proto ah[\s\S]*mode tunnel`},
		{name: "tunnel, IPComp and ESP", esp: "aes128gcm16", ipcomp: true, state: `proto comp`},
		{name: "transport, IPComp and ESP over IPv6", ipv6: true, transport: true, esp: "aes128gcm16", ipcomp: true, state: `proto comp`},
	}
}

func TestKernelPeer(t *testing.T) {
	w := newWorld(t)
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.run(t, w) })
	}
	t.Run("manual keys", func(t *testing.T) {
		m := newManual(t, w)
		defer m.close()
		for _, c := range manualCases() {
			t.Run(c.name, func(t *testing.T) { c.run(t, m) })
		}
		m.newLayers()
		for _, c := range layersCases() {
			t.Run("layers: "+c.name, func(t *testing.T) { c.run(t, m) })
		}
		m.neighbours(t)
		for _, c := range natCases() {
			t.Run("NAT: "+c.name, func(t *testing.T) { c.run(t, m) })
		}
		t.Run("layers: the kernel and its own AH in ESP", func(t *testing.T) { deafToItself(t, m) })
	})
	t.Run("sequence numbers", func(t *testing.T) {
		n := newNumbers(t, w)
		defer n.close()
		for _, c := range numbersCases() {
			t.Run(c.name, func(t *testing.T) { c.run(t, n) })
		}
		t.Run("numbers of 32 bits end", func(t *testing.T) { plainEnds(t, n) })
		t.Run("GCM ends", func(t *testing.T) { lastNumbers(t, n) })
	})
}

// ends are the addresses outside.
func (c peerCase) ends(w *world) (client, public, gateway string) {
	client, public, gateway = "192.168.77.10", "192.168.77.10", "198.51.100.10"
	if c.nat {
		public = "198.51.100.1"
	}
	if c.ipv6 {
		client, public, gateway = "fd77::10", "fd77::10", "2001:db8:100::10"
		if c.nat {
			public = "2001:db8:100::1"
		}
	}
	return client, public, gateway
}

// configs are swanctl.conf of both ends.
func (c peerCase) configs(w *world) (client, gateway netlab.Config) {
	me, _, far := c.ends(w)
	common := netlab.Config{LocalAuth: "psk", RemoteAuth: "psk", Secret: secret, ESP: c.esp, Proposals: "aes128gcm16-prfsha256-x25519"}
	client, gateway = common, common
	client.LocalID, client.RemoteID, client.Remote = clientID, gatewayID, far
	gateway.LocalID, gateway.RemoteID = gatewayID, clientID
	client.Daemon = []string{"dns = no", "retransmit_timeout = 1s", "retransmit_base = 1.4", "retransmit_tries = 3"}
	var options []string
	if c.ah != "" {
		options = append(options, "ah_proposals = "+c.ah)
	}
	if c.ipcomp {
		options = append(options, "ipcomp = yes")
	}
	mine, theirs := netlab.Child{Name: "net"}, netlab.Child{Name: "net"}
	if c.transport {
		options = append(options, "mode = transport")
	} else {
		mine.LocalTS, mine.RemoteTS = me, "10.20.0.0/24, fd20::/64"
		theirs.LocalTS, theirs.RemoteTS = "10.20.0.0/24, fd20::/64", me
		if !c.answer {
			mine.LocalTS, theirs.RemoteTS = "", ""
			client.VIPs, gateway.Pools = "0.0.0.0, ::", map[string]string{"p4": "10.30.0.0/24", "p6": "fd30::/64"}
		}
	}
	if c.answer {
		gateway.Remote = me
	}
	mine.Options, theirs.Options = options, options
	client.Children, gateway.Children = []netlab.Child{mine}, []netlab.Child{theirs}
	return client, gateway
}

// run is the whole of a case.
func (c peerCase) run(t *testing.T, w *world) {
	w.startCharon(t)
	w.translate(t, c.nat)
	client, gateway := c.configs(w)
	w.guest.WriteFile("/etc/swanctl/swanctl.conf", gateway.String())
	w.must(t, "--load-all", "--noprompt")
	capture := w.Router.Capture("wan")
	n := w.StartNode(netlab.Natterjack, w.Clients[0], client)
	defer n.Proc.Stop(15, 4*time.Second)
	if c.answer {
		w.must(t, "--initiate", "--child", "net", "--timeout", "8")
	} else {
		n.Initiate("net")
	}
	sa := n.WaitUp(upLimit, 1)[0]
	state := w.guest.Exec("ip", "-s", "xfrm", "state")
	if !regexp.MustCompile(c.state).MatchString(state) {
		t.Fatalf("the kernel's SAs are not %q:\n%s", c.state, state)
	}
	pairs := c.pairs(w, &sa)
	c.pings(t, w, pairs)
	if c.brief {
		c.end(t, w, n)
		capture.Stop()
		return
	}
	pattern := netlab.NewPattern()
	w.transfer(t, pairs[0].client, pairs[0].guest, pattern)
	c.rekeys(t, w, n, pairs)
	if c.ike {
		c.rekeysIKE(t, w, n, pairs)
	}
	c.end(t, w, n)
	if err := c.look(w, capture.Stop(), pattern); err != nil {
		t.Errorf("outer link: %v", err)
	}
}

// pair is addresses that reach each other through the SAs.
type pair struct{ client, guest string }

func (c peerCase) pairs(w *world, sa *netlab.SA) []pair {
	me, _, far := c.ends(w)
	switch {
	case c.transport:
		return []pair{{me, far}}
	case c.answer && c.ipv6:
		return []pair{{me, inside6}}
	case c.answer:
		return []pair{{me, inside4}}
	}
	if c.ipcomp {
		// The kernel's own tunnels of IPComp carry what was too short to compress only in the family of the outside.
		for _, vip := range sa.LocalVIPs {
			if strings.Contains(vip, ":") == c.ipv6 {
				return []pair{{vip, map[bool]string{false: inside4, true: inside6}[c.ipv6]}}
			}
		}
	}
	list := []pair{{guest: inside4}, {guest: inside6}}
	for _, vip := range sa.LocalVIPs {
		if strings.Contains(vip, ":") {
			list[1].client = vip
		} else {
			list[0].client = vip
		}
	}
	return list
}

// pings reaches every address from both sides, and the guest's counters of errors stay at zero.
func (c peerCase) pings(t *testing.T, w *world, pairs []pair) {
	t.Helper()
	for _, p := range pairs {
		if err := w.Clients[0].Ping(3*time.Second, "-I", p.client, p.guest); err != nil {
			t.Fatalf("from the client: %v\n%s", err, w.kernelErrors())
		}
		if c.ipcomp {
			// One that is worth compressing.
			if err := w.Clients[0].Ping(3*time.Second, "-s", "1200", "-p", "41", "-I", p.client, p.guest); err != nil {
				t.Fatalf("from the client: %v\n%s", err, w.kernelErrors())
			}
		}
		if c.transport && c.nat {
			continue // nobody reaches a host behind a NAT first
		}
		if _, err := w.guest.TryRun("ping", "-c", "1", "-W", "3", "-I", p.guest, p.client); err != nil {
			t.Fatalf("from the guest: %v\n%s", err, w.kernelErrors())
		}
	}
}

// kernelErrors are the counters of the guest's xfrm that are not zero.
func (w *world) kernelErrors() string {
	out, _ := w.guest.TryRun("grep", "-v", "[^0-9]0$", "/proc/net/xfrm_stat")
	state, _ := w.guest.TryRun("ip", "-s", "xfrm", "state")
	policy, _ := w.guest.TryRun("ip", "xfrm", "policy")
	return out + state + policy
}

// rekeysIKE has each side rekey the IKE SA (RFC 7296, Section 2.18). The children go over to the new one as they are: the kernel notices
// nothing, and traffic of both goes on, and so does a rekey of the child under the new keys.
func (c peerCase) rekeysIKE(t *testing.T, w *world, n *netlab.Node, pairs []pair) {
	t.Helper()
	for _, by := range []string{"client", "guest"} {
		before := n.WaitUp(upLimit, 1)[0]
		if by == "client" {
			n.Swanctl("--rekey", "--ike", "lab")
		} else {
			w.must(t, "--rekey", "--ike", "lab")
		}
		n.WaitSAs(upLimit, "IKE SA rekeyed by the "+by, func(list []netlab.SA) bool {
			up := netlab.Up(list)
			if len(list) != 1 || len(up) != 1 || up[0].SPIi == before.SPIi || up[0].SPIr == before.SPIr {
				return false
			}
			children := up[0].Installed()
			return len(children) == 1 && children[0].SPIIn == before.Installed()[0].SPIIn
		})
		w.Eventually(upLimit, "the guest has one IKE SA", func() (bool, string) {
			out, err := w.swanctl("--list-sas")
			return err == nil && strings.Count(out, "lab: #") == 1 && strings.Count(out, "ESTABLISHED") == 1, out
		})
		c.pings(t, w, pairs)
	}
	c.rekeys(t, w, n, pairs)
}

// rekeys has each side rekey the child.
func (c peerCase) rekeys(t *testing.T, w *world, n *netlab.Node, pairs []pair) {
	t.Helper()
	for _, by := range []string{"client", "guest"} {
		before := n.WaitUp(upLimit, 1)[0].Installed()[0]
		if by == "client" {
			n.Swanctl("--rekey", "--child", "net")
		} else {
			w.must(t, "--rekey", "--child", "net")
		}
		n.WaitSAs(upLimit, "rekeyed by the "+by, func(list []netlab.SA) bool {
			up := netlab.Up(list)
			if len(up) != 1 {
				return false
			}
			for _, child := range up[0].Installed() {
				if child.SPIIn == before.SPIIn || child.SPIOut == before.SPIOut {
					return false
				}
			}
			return true
		})
		c.pings(t, w, pairs)
	}
}

// end deletes the SAs, from the client's side or the guest's.
func (c peerCase) end(t *testing.T, w *world, n *netlab.Node) {
	t.Helper()
	if c.answer {
		n.Swanctl("--terminate", "--ike", "lab")
	} else {
		w.must(t, "--terminate", "--ike", "lab")
	}
	n.WaitNone(upLimit)
	w.Eventually(upLimit, "the kernel has no SA left", func() (bool, string) {
		out := w.guest.Exec("ip", "xfrm", "state")
		return strings.TrimSpace(out) == "", out
	})
}

const (
	protoUDP, protoESP, protoAH, protoICMPv6 = 17, 50, 51, 58
)

// look says what the outer link held that it should not have.
func (c peerCase) look(w *world, packets []netlab.Packet, pattern []byte) error {
	_, public, far := c.ends(w)
	clear := c.esp == "" || strings.Contains(c.esp, "gmac") // these do not encrypt
	data := byte(protoESP)
	switch {
	case c.nat || c.udp:
		data = protoUDP
	case c.ah != "":
		data = protoAH
	}
	count := 0
	for i := range packets {
		p := &packets[i]
		src, dst := p.Src.Addr().String(), p.Dst.Addr().String()
		if !(src == public && dst == far) && !(src == far && dst == public) {
			continue // neighbours, and the machine's own noise
		}
		if p.Protocol == protoICMPv6 && len(p.Payload) > 0 && p.Payload[0] >= 133 && p.Payload[0] <= 137 {
			continue // neighbours again: the NAT's address is one of theirs
		}
		if !clear && bytes.Contains(p.Frame, pattern) {
			return fmt.Errorf("packet %d holds the payload's pattern in clear", i+1)
		}
		switch {
		case p.Protocol == data && (data != protoUDP || c.udp || p.IsESP()):
			count++
		case p.Protocol != protoUDP:
			return fmt.Errorf("packet %d is of protocol %d: % x", i+1, p.Protocol, p.Frame[:min(len(p.Frame), 96)])
		}
	}
	if count < minPackets {
		return fmt.Errorf("%d packets of protected data among %d, expected at least %d", count, len(packets), minPackets)
	}
	return nil
}

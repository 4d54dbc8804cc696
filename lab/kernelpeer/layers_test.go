// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// SAs in SAs (RFC 4301, Section 4.4.1.1 and Appendix E): tunnels in tunnels, to the same host and to a second gateway behind the first, AH
// in ESP and around it, IPComp alone and in others. Each layer has its own ends; the guest does the second gateway in a network
// namespace of its own.

package kernelpeer

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/netlab"
)

const (
	// The ends of tunnels in tunnels.
	mid4, mid6           = "10.32.0.77", "fd32::77" // the client's
	guestMid4, guestMid6 = "10.22.0.1", "fd22::1"
	// The second gateway: its network namespace, its address towards the guest and the one behind it.
	secondName             = "second"
	second4, second6       = "10.23.0.2", "fd23::2"
	beyond4, beyond6       = "10.24.0.1", "fd24::1"
	layersReqid, layersSPI = 0x700, 0x2000
	// longPing does not fit into one packet.
	longPing = 3000
)

// layer is an SA each way, around those before it.
type layer struct {
	algorithm
	tunnel        bool
	client, guest string // its ends
	second        bool   // its end is the second gateway
}

func (l layer) mode() string {
	if l.tunnel {
		return "tunnel"
	}
	return "transport"
}

// layersCase is a list of them, innermost first.
type layersCase struct {
	name          string
	client, guest string // of the packets
	layers        []layer
	// apart: the client has one incoming policy for each tunnel.
	apart bool
}

// over and tunnels make layers: in transport mode and in tunnel mode.
func over(a algorithm, client, guest string) layer {
	return layer{algorithm: a, client: client, guest: guest}
}

func tunnels(a algorithm, client, guest string) layer {
	return layer{algorithm: a, tunnel: true, client: client, guest: guest}
}

func layersCases() []layersCase {
	out4, far4 := manualCase{}.outside()
	out6, far6 := manualCase{ipv6: true}.outside()
	toSecond := func(a algorithm, client, guest string) layer {
		l := tunnels(a, client, guest)
		l.second = true
		return l
	}
	return []layersCase{
		{name: "transport, IPComp alone", client: out4, guest: far4, layers: []layer{over(deflate(), out4, far4)}},
		{name: "transport, IPComp alone over IPv6", client: out6, guest: far6, layers: []layer{over(deflate(), out6, far6)}},
		{name: "transport, IPComp in ESP", client: out4, guest: far4, layers: []layer{over(deflate(), out4, far4), over(cbc(), out4, far4)}},
		{name: "IPComp between hosts in an ESP tunnel", client: client4, guest: inside4,
			layers: []layer{over(deflate(), client4, inside4), tunnels(gcm(), out4, far4)}},
		{name: "IPv6 in an IPComp tunnel in ESP", client: client6, guest: inside6,
			layers: []layer{tunnels(deflate(), out6, far6), over(gcm(), out6, far6)}},
		{name: "ESP tunnel in an ESP tunnel", client: client4, guest: inside4,
			layers: []layer{tunnels(gcm(), mid4, guestMid4), tunnels(cbc(), out4, far4)}},
		{name: "ESP tunnel in an ESP tunnel, policies apart", client: client4, guest: inside4, apart: true,
			layers: []layer{tunnels(cbc(), mid4, guestMid4), tunnels(gcm(), out4, far4)}},
		{name: "IPv6 in an IPv4 tunnel in an IPv6 tunnel", client: client6, guest: inside6,
			layers: []layer{tunnels(cbc(), mid4, guestMid4), tunnels(gcm(), out6, far6)}},
		{name: "tunnel to a second gateway in a tunnel to the first", client: client4, guest: beyond4,
			layers: []layer{toSecond(gcm(), mid4, second4), tunnels(cbc(), out4, far4)}},
		{name: "tunnel to a second gateway in a tunnel to the first, policies apart", client: client4, guest: beyond4, apart: true,
			layers: []layer{toSecond(cbc(), mid4, second4), tunnels(gcm(), out4, far4)}},
		{name: "the same over IPv6, AH inside", client: client6, guest: beyond6,
			layers: []layer{toSecond(ahSHA256(), mid6, second6), tunnels(gcm(), out6, far6)}},
		{name: "transport, AH in ESP", client: out4, guest: far4, layers: []layer{over(ahSHA1(), out4, far4), over(cbc(), out4, far4)}},
		{name: "transport, AH in ESP over IPv6", client: out6, guest: far6, layers: []layer{over(ahSHA256(), out6, far6), over(gcm(), out6, far6)}},
		{name: "AH between hosts in an ESP tunnel", client: client4, guest: inside4,
			layers: []layer{over(ahSHA256(), client4, inside4), tunnels(gcm(), out4, far4)}},
		{name: "AH tunnel in ESP over IPv6", client: client6, guest: inside6,
			layers: []layer{tunnels(ahSHA256(), out6, far6), over(cbc(), out6, far6)}},
		{name: "ESP tunnel in an AH tunnel", client: client4, guest: inside4,
			layers: []layer{tunnels(gcm(), mid4, guestMid4), tunnels(ahSHA1(), out4, far4)}},
		{name: "ESP and AH between hosts in an ESP tunnel over IPv6", client: client6, guest: inside6,
			layers: []layer{over(cbc(), client6, inside6), over(ahSHA256(), client6, inside6), tunnels(gcm(), out6, far6)}},
	}
}

// newLayers adds what the cases need to the guest: the ends of the inner tunnels and the second gateway.
func (m *manual) newLayers() {
	g := m.guest
	m.Clients[0].IP("addr add "+mid4+"/32 dev lo", "-6 addr add "+mid6+"/128 dev lo nodad")
	g.Exec("ip", "netns", "add", secondName)
	g.GuestIP("addr add "+guestMid4+"/32 dev lo", "-6 addr add "+guestMid6+"/128 dev lo nodad",
		"route add "+mid4+" via 198.51.100.1", "-6 route add "+mid6+" via 2001:db8:100::1",
		"link add second0 type veth peer name eth0 netns "+secondName, "link set second0 up",
		"addr add 10.23.0.1/24 dev second0", "-6 addr add fd23::1/64 dev second0 nodad",
		"-n "+secondName+" link set lo up", "-n "+secondName+" link set eth0 up",
		"-n "+secondName+" addr add "+second4+"/24 dev eth0", "-n "+secondName+" -6 addr add "+second6+"/64 dev eth0 nodad",
		"-n "+secondName+" addr add "+beyond4+"/24 dev lo", "-n "+secondName+" -6 addr add "+beyond6+"/64 dev lo nodad",
		"-n "+secondName+" route add default via 10.23.0.1", "-n "+secondName+" -6 route add default via fd23::1")
	g.Exec("sysctl", "-w", "net.ipv4.ip_forward=1")
	g.Exec("sysctl", "-w", "net.ipv6.conf.all.forwarding=1")
}

// in is a command line in the network namespace of a layer's end.
func in(second bool, args ...string) []string {
	if second {
		return append([]string{"ip", "netns", "exec", secondName}, args...)
	}
	return args
}

// second reports whether the packets are for the second gateway.
func (c layersCase) second() bool { return c.layers[0].second }

// spi is of a layer's SA.
func (c layersCase) spi(i int, out bool) int {
	if out {
		return layersSPI + 2*i
	}
	return layersSPI + 2*i + 1
}

// add gives both ends the SAs of one direction, of which out is the client's.
func (c layersCase) add(t *testing.T, m *manual, out bool) {
	t.Helper()
	for i, l := range c.layers {
		src, dst := l.client, l.guest
		if !out {
			src, dst = dst, src
		}
		spi, reqid := fmt.Sprintf("0x%x", c.spi(i, out)), strconv.Itoa(layersReqid+i)
		e, k := key(c.spi(i, out), l.encr), key(c.spi(i, out)+64, l.auth)
		ours := append([]string{"add", src, dst, l.proto, spi, "-m", l.mode(), "-u", reqid}, l.ours...)
		kernel := []string{"xfrm", "state", "add", "src", src, "dst", dst, "proto", kernelProto(l.proto), "spi", spi, "mode", l.mode(), "reqid", reqid}
		if l.proto != "ipcomp" {
			ours = append(ours, "-r", "64", "--key-file", m.keyFile(t, e, k))
			kernel = append(kernel, "replay-window", "32")
		}
		if l.tunnel {
			kernel = append(kernel, "flag", "af-unspec") // packets of either family
		}
		m.cli(t, ours...)
		m.at(t, l.second, append(kernel, l.words(e, k)...)...)
	}
}

// at is ip in the guest or its second gateway.
func (m *manual) at(t *testing.T, second bool, args ...string) {
	t.Helper()
	if _, err := m.guest.TryRun(in(second, append([]string{"ip"}, args...)...)...); err != nil {
		t.Fatal(err)
	}
}

// policies gives both ends those of one direction.
func (c layersCase) policies(t *testing.T, m *manual, out bool) {
	t.Helper()
	if out || !c.apart {
		c.ours(t, m, out, c.client, c.guest, c.layers)
	} else {
		for i, l := range c.layers {
			client, guest := c.client, c.guest
			if i > 0 {
				client, guest = c.layers[i-1].client, c.layers[i-1].guest
			}
			c.ours(t, m, out, client, guest, []layer{l})
		}
	}
	if !c.second() {
		c.theirs(t, m, out, false, c.client, c.guest, 0, len(c.layers), direction(out))
		return
	}
	c.theirs(t, m, out, true, c.client, c.guest, 0, 1, direction(out))
	first := c.layers[0]
	name := direction(out)
	if out {
		name = "fwd"
	}
	c.theirs(t, m, out, false, first.client, first.guest, 1, len(c.layers), name)
}

// direction is the guest's of what the client sends.
func direction(out bool) string {
	if out {
		return "in"
	}
	return "out"
}

// ours gives the client a policy.
func (c layersCase) ours(t *testing.T, m *manual, out bool, client, guest string, layers []layer) {
	t.Helper()
	from, to, way := client, guest, "out"
	if !out {
		from, to, way = to, from, "in"
	}
	args := []string{"policy", "add", from, to, "any", "-P", way, "ipsec"}
	for _, l := range layers {
		ends, level := "", "require"
		if l.tunnel {
			if ends = l.client + "-" + l.guest; !out {
				ends = l.guest + "-" + l.client
			}
		}
		if l.proto == "ipcomp" {
			level = "use" // what is too short is not compressed
		}
		args = append(args, l.proto+"/"+l.mode()+"/"+ends+"/"+level)
	}
	m.cli(t, args...)
}

// theirs gives the guest or its second gateway a policy with the templates from one layer to another.
func (c layersCase) theirs(t *testing.T, m *manual, out, second bool, client, guest string, first, end int, way string) {
	t.Helper()
	from, to := client, guest
	if !out {
		from, to = to, from
	}
	args := []string{"xfrm", "policy", "add", "src", from, "dst", to, "dir", way}
	for i, l := range c.layers[first:end] {
		src, dst, level := l.client, l.guest, "required"
		if !out {
			src, dst = dst, src
		}
		if l.proto == "ipcomp" && (out || !l.tunnel) {
			level = "use"
		}
		args = append(args, "tmpl", "src", src, "dst", dst, "proto", kernelProto(l.proto), "mode", l.mode(), "reqid", strconv.Itoa(layersReqid+first+i), "level", level)
	}
	m.at(t, second, args...)
}

// run is the whole of a case.
func (c layersCase) run(t *testing.T, m *manual) {
	m.translate(t, false)
	m.flush(t)
	if c.second() {
		m.flushSecond(t)
	}
	for _, out := range []bool{true, false} {
		c.add(t, m, out)
		c.policies(t, m, out)
	}
	before := m.errors(t)
	capture := m.Router.Capture("wan")
	if c.deaf() {
		c.oneWay(t, m)
		return
	}
	c.pings(t, m)
	c.agree(t, m, false)
	pattern := netlab.NewPattern()
	m.move(t, c.second(), c.client, c.guest, pattern)
	if c.alone() {
		m.move(t, false, c.client, c.guest, nil) // nothing of it is shorter compressed
	}
	c.agree(t, m, true)
	packets := settled(t, m, capture)
	c.look(t, packets, pattern)
	if now := m.errors(t); now != before {
		t.Errorf("the kernel counted errors: %q, before %q", now, before)
	}
}

// alone is IPComp with nothing around it.
func (c layersCase) alone() bool { return len(c.layers) == 1 && c.layers[0].proto == "ipcomp" }

// pings are of several sizes, from both sides; in tunnels also what is fragmented. Transport mode is of whole packets here, and what the
// second gateway has cut for the first to carry in its tunnel is put together only by this host, so that it has met the policy of that
// tunnel alone.
func (c layersCase) pings(t *testing.T, m *manual) {
	t.Helper()
	sizes := []int{1, 56, 700, 1200}
	if c.layers[0].tunnel && (!c.second() || c.apart) {
		sizes = append(sizes, longPing)
		// The first may be lost to finding the path's MTU.
		_ = m.Clients[0].Ping(lostLimit, "-s", strconv.Itoa(longPing), "-I", c.client, c.guest)
	}
	m.pingBoth(t, c.second(), side{innerClient: c.client, innerGuest: c.guest}, side{innerClient: c.client, innerGuest: c.guest}, sizes...)
}

// pingBoth pings once each way with each size, from each end to the other as it sees it.
func (m *manual) pingBoth(t *testing.T, second bool, ours, theirs side, sizes ...int) {
	t.Helper()
	list := ""
	for _, size := range sizes {
		n := strconv.Itoa(size)
		if err := m.Clients[0].Ping(3*time.Second, "-s", n, "-p", "41", "-I", ours.innerClient, ours.innerGuest); err != nil {
			m.explained(t, fmt.Errorf("from the client: %w\n%s", err, m.secondState()))
		}
		list += " " + n
	}
	all := "for n in" + list + "; do ping -c 1 -W 3 -s $n -I " + theirs.innerGuest + " " + theirs.innerClient + " || exit 1; done"
	if _, err := m.guest.TryRun(in(second, "sh", "-c", all)...); err != nil {
		m.explained(t, fmt.Errorf("from the guest: %w\n%s", err, m.secondState()))
	}
}

// flushSecond leaves the second gateway without SAs and policies.
func (m *manual) flushSecond(t *testing.T) {
	t.Helper()
	m.at(t, true, "xfrm", "policy", "flush")
	m.at(t, true, "xfrm", "state", "flush")
}

// secondState is what the second gateway says of itself.
func (m *manual) secondState() string {
	state, _ := m.guest.TryRun(in(true, "ip", "-s", "xfrm", "state")...)
	policy, _ := m.guest.TryRun(in(true, "ip", "xfrm", "policy")...)
	errors, _ := m.guest.TryRun(in(true, "grep", "-v", "[^0-9]0$", "/proc/net/xfrm_stat")...)
	return state + policy + errors
}

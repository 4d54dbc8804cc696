// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package simnet

import (
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/natbox/nat"
)

// natted is a client behind a NAT and its gateway.
type natted struct {
	t      *testing.T
	w      *World
	net    *Internet
	site   *Site
	client *Host
	gw     *Host
	said   []string
}

// behind establishes a client behind a NAT with a gateway. change may alter both before that.
func behind(t *testing.T, c nat.Config, change func(client, gw *Host, cc *ike.Connection)) *natted {
	t.Helper()
	n := &natted{t: t, w: New()}
	n.w.Say = func(line string) { n.said = append(n.said, line) }
	t.Cleanup(func() {
		if t.Failed() {
			for _, line := range n.said {
				t.Log(line)
			}
		}
	})
	c.Seed = 1
	var err error
	if n.site, err = NewSite("192.168.0.0/16", "198.51.100.1", c); err != nil {
		t.Fatal(err)
	}
	n.net = &Internet{Sites: []*Site{n.site}}
	n.w.Net = n.net
	n.gw = n.w.Host("gw", "203.0.113.9", 1)
	n.client = n.w.Host("client", "192.168.0.2", 1)
	n.connect(n.client, change)
	return n
}

// connect establishes one client.
func (n *natted) connect(client *Host, change func(client, gw *Host, cc *ike.Connection)) {
	n.t.Helper()
	cc, gc := Pair(client, n.gw, 1), Pair(n.gw, client, 1)
	gc.Name = "to-" + client.Name
	if change != nil {
		change(client, n.gw, cc)
	}
	n.gw.Conns = append(n.gw.Conns, gc)
	client.Initiate(cc, n.gw.Addrs[0])
	n.w.Run(5 * time.Second)
	if client.Count(ike.EventIKEUp) != 1 || len(client.SAs()) != 1 {
		n.t.Fatalf("%s did not get up through the NAT: %d IKE SAs, %d children", client, client.Count(ike.EventIKEUp), len(client.SAs()))
	}
}

// arrives reports whether an inner packet gets from one host to another within a second.
func (n *natted) arrives(from, to *Host, child *SA) bool {
	before := to.Delivered
	if child != nil {
		from.kernel.seal(n.w.Now, child, false)
	} else if !from.Ping("") {
		return false
	}
	n.w.Run(time.Second)
	return to.Delivered == before+1
}

func (n *natted) down() bool { return n.arrives(n.gw, n.client, nil) }
func (n *natted) up() bool   { return n.arrives(n.client, n.gw, nil) }

// once: there was one handshake only, and nothing was rekeyed.
func (n *natted) once() {
	n.t.Helper()
	for _, h := range n.w.Hosts {
		if ups := h.Count(ike.EventIKEUp); ups != h.Count(ike.EventChildUp) || h.Count(ike.EventIKEDown) > 0 || h.Count(ike.EventIKERekeyed) > 0 {
			n.t.Errorf("%s: %d IKE SAs came up, %d went down, %d children came up", h, ups, h.Count(ike.EventIKEDown), h.Count(ike.EventChildUp))
		}
		if broken := h.Broken(); len(broken) > 0 {
			n.t.Errorf("%s: %s", h, broken)
		}
	}
}

func kinds(t *testing.T, f func(t *testing.T, c nat.Config)) {
	for mapping := range nat.AddressPortDependent + 1 {
		for filtering := range nat.AddressPortDependent + 1 {
			for _, random := range []bool{false, true} {
				name := mapping.String() + " mapping, " + filtering.String() + " filtering"
				if random {
					name += ", random ports"
				}
				t.Run(name, func(t *testing.T) {
					f(t, nat.Config{Mapping: mapping, Filtering: filtering, RandomPorts: random})
				})
			}
		}
	}
}

// Through every kind of NAT of RFC 4787: the tunnel comes up, the NAT is seen on the right side, and with keepalives the
// mapping lives through an idle hour.
func TestEveryKindOfNAT(t *testing.T) {
	kinds(t, func(t *testing.T, c nat.Config) {
		n := behind(t, c, nil)
		if st := n.client.Status()[0]; !st.NATLocal || st.NATRemote {
			t.Errorf("the client sees a NAT here: %t, there: %t", st.NATLocal, st.NATRemote)
		}
		if st := n.gw.Status()[0]; st.NATLocal || !st.NATRemote {
			t.Errorf("the gateway sees a NAT here: %t, there: %t", st.NATLocal, st.NATRemote)
		}
		if port := n.client.SAs()[0].Path.Remote.Port(); port != 4500 {
			t.Errorf("ESP goes to port %d", port)
		}
		if !n.up() || !n.down() {
			t.Fatal("no traffic")
		}
		n.w.Run(time.Hour)
		if !n.down() {
			t.Error("after an idle hour the gateway does not reach its client")
		}
		if n.gw.Keepalives == 0 && n.gw.SAs()[0].Usage.PacketsIn < 10 {
			t.Error("the client sent nothing to keep the mapping")
		}
		n.once()
	})
}

// Without keepalives the mapping is forgotten; the client's next packet makes another, which the gateway follows within
// one round trip and without a handshake.
func TestExpiryWithoutKeepalives(t *testing.T) {
	kinds(t, func(t *testing.T, c nat.Config) {
		c.RandomPorts = true
		n := behind(t, c, func(client, gw *Host, _ *ike.Connection) {
			client.Env.KeepaliveInterval, gw.Env.KeepaliveInterval = 0, 0
		})
		n.w.Run(10 * time.Minute)
		if n.down() {
			t.Fatal("the mapping lived ten minutes without a packet")
		}
		if n.net.Lost[nat.NoMapping] == 0 {
			t.Errorf("lost: %v, expected that there is no mapping", n.net.Lost)
		}
		if !n.up() {
			t.Fatal("the client's packet did not arrive")
		}
		if !n.down() {
			t.Error("the gateway did not follow its client")
		}
		n.once()
	})
}

// The NAT forgets everything while the client is idle: within one interval and a round trip a packet from the gateway's
// side gets through, because the client sends something authenticated.
func TestForgottenWhileIdle(t *testing.T) {
	kinds(t, func(t *testing.T, c nat.Config) {
		c.RandomPorts = true
		n := behind(t, c, nil)
		n.w.Run(10 * time.Minute)
		n.site.Box.Forget()
		if n.down() {
			t.Fatal("the forgotten mapping works")
		}
		n.w.Run(n.client.Env.KeepaliveInterval + 2*n.w.Latency)
		if !n.down() {
			t.Error("one interval later the gateway does not reach its client")
		}
		n.once()
	})
}

// The NAT gives another endpoint at once: while the client sends (up), and while only the gateway does (down).
func TestRebinding(t *testing.T) {
	for _, other := range []string{"", "198.51.100.77"} {
		for _, dir := range []string{"up", "down", "idle"} {
			t.Run(dir+" "+other, func(t *testing.T) {
				n := behind(t, nat.Config{RandomPorts: true, Mapping: nat.AddressPortDependent, Filtering: nat.AddressPortDependent}, nil)
				n.w.Run(time.Minute)
				for range 5 {
					if dir == "up" && !n.up() || dir == "down" && !n.down() {
						t.Fatal("no traffic")
					}
				}
				old := n.gw.SAs()[0].Path.Remote
				var addr netip.Addr
				if other != "" {
					addr = netip.MustParseAddr(other)
					n.site.Outside = addr
				}
				if err := n.site.Box.Rebind(addr); err != nil {
					t.Fatal(err)
				}
				switch dir {
				case "up":
					if !n.up() || !n.down() {
						t.Error("one round trip after the client's packet the gateway does not reach it")
					}
				default:
					for range 30 {
						if n.down() {
							break
						}
					}
					if n.w.Run(n.w.Latency); !n.down() {
						t.Error("30 s later the gateway does not reach its client")
					}
				}
				if now := n.gw.SAs()[0].Path.Remote; now == old || other != "" && now.Addr() != addr {
					t.Errorf("the gateway sends to %s, before the rebinding it was %s", now, old)
				}
				if n.client.SAs()[0].Path.Remote != netip.MustParseAddrPort("203.0.113.9:4500") {
					t.Error("the client follows its gateway")
				}
				n.once()
			})
		}
	}
}

// Two clients behind one NAT with one address.
func TestTwoClientsBehindOneNAT(t *testing.T) {
	n := behind(t, nat.Config{}, nil)
	second := n.w.Host("client2", "192.168.0.3", 2)
	n.connect(second, nil)
	n.w.Run(10 * time.Minute)
	gw := n.gw.SAs()
	if len(gw) != 2 || gw[0].Path.Remote == gw[1].Path.Remote {
		t.Fatalf("the gateway has %d children", len(gw))
	}
	for i, client := range []*Host{n.client, second} {
		if !n.arrives(client, n.gw, nil) || !n.arrives(n.gw, client, gw[i]) {
			t.Errorf("%s: no traffic", client)
		}
	}
	n.site.Box.Forget()
	n.w.Run(n.client.Env.KeepaliveInterval + 2*n.w.Latency)
	for i, client := range []*Host{n.client, second} {
		if !n.arrives(n.gw, client, gw[i]) {
			t.Errorf("%s: not reached after the NAT forgot", client)
		}
	}
	n.once()
}

// The gateway is behind a static NAT of its own, as in every cloud: it follows its client all the same, which is more than
// RFC 7296, Section 2.23 has a host behind a NAT do; the client, behind a NAT too, never follows.
func TestGatewayBehindStaticNAT(t *testing.T) {
	w := New()
	site, err := NewSite("192.168.0.0/16", "198.51.100.1", nat.Config{RandomPorts: true, Seed: 1, Filtering: nat.AddressPortDependent})
	if err != nil {
		t.Fatal(err)
	}
	public := netip.MustParseAddr("203.0.113.50")
	n := &natted{t: t, w: w, site: site, net: &Internet{Sites: []*Site{site}}}
	w.Say = func(line string) { n.said = append(n.said, line) }
	n.gw = w.Host("gw", "10.255.0.9", 1)
	n.client = w.Host("client", "192.168.0.2", 1)
	n.net.Statics = []Static{{Inside: n.gw.Addrs[0], Outside: public}}
	w.Net = n.net
	cc, gc := Pair(n.client, n.gw, 1), Pair(n.gw, n.client, 1)
	n.gw.Conns = []*ike.Connection{gc}
	n.client.Initiate(cc, public)
	w.Run(5 * time.Second)
	if len(n.client.Status()) != 1 || len(n.gw.Status()) != 1 || len(n.gw.SAs()) != 1 {
		t.Fatalf("not up:\n%v", n.said)
	}
	for _, h := range []*Host{n.client, n.gw} {
		if st := h.Status()[0]; !st.NATLocal || !st.NATRemote {
			t.Errorf("%s sees a NAT here: %t, there: %t", h, st.NATLocal, st.NATRemote)
		}
	}
	if !n.up() || !n.down() {
		t.Fatal("no traffic")
	}
	site.Box.Forget()
	if !n.up() || !n.down() {
		t.Error("the gateway did not follow its client")
	}
	n.once()
}

// The host slept, or has another address, while its NAT forgot: at once, and not an interval later, its gateway reaches it.
func TestAtOnce(t *testing.T) {
	for _, ours := range []bool{true, false} {
		t.Run(map[bool]string{true: "woke", false: "another address"}[ours], func(t *testing.T) {
			n := behind(t, nat.Config{RandomPorts: true, Filtering: nat.AddressPortDependent}, nil)
			n.w.Run(time.Minute)
			n.site.Box.Forget()
			if ours {
				n.client.Notice(ike.Woke{Slept: time.Hour})
			} else {
				n.client.Addrs[0] = netip.MustParseAddr("192.168.0.77")
				_, path := n.client.Path(n.gw.Addrs[0])
				n.client.Notice(ike.AddressChanged{Path: path})
				if got := n.client.SAs()[0].Path.Local.String(); got != "192.168.0.77:4500" {
					t.Errorf("ESP is sent from %s", got)
				}
			}
			n.w.Run(2 * n.w.Latency)
			if !n.down() || !n.up() {
				t.Error("one round trip later there is no traffic")
			}
			n.once()
		})
	}
}

// A gateway that does not answer any more is found dead although the NAT answers nothing either, and the client says so.
func TestGatewayGone(t *testing.T) {
	n := behind(t, nat.Config{}, func(_, _ *Host, cc *ike.Connection) { cc.DPDDelay = 30 * time.Second })
	n.gw.Addrs[0] = netip.MustParseAddr("203.0.113.99")
	n.w.Run(5 * time.Minute)
	if len(n.client.Status()) != 0 || len(n.client.SAs()) != 0 {
		t.Error("the client still believes in its gateway")
	}
}

// A child that is rekeyed while the mapping changes ends up at the new endpoint, on both sides, whoever rekeys.
func TestRekeyWhileRebinding(t *testing.T) {
	for _, who := range []string{"client", "gw"} {
		for _, what := range []string{"child", "ike"} {
			t.Run(who+" "+what, func(t *testing.T) {
				n := behind(t, nat.Config{RandomPorts: true, Filtering: nat.AddressPortDependent}, nil)
				h := map[string]*Host{"client": n.client, "gw": n.gw}[who]
				order := ike.Rekey{}
				if what == "child" {
					order.ChildID = h.SAs()[0].ChildID
				}
				h.Do(order)
				if err := n.site.Box.Rebind(netip.Addr{}); err != nil {
					t.Fatal(err)
				}
				n.w.Run(time.Minute)
				if !n.down() || !n.up() {
					t.Error("no traffic")
				}
				n.w.Run(time.Minute)
				if len(n.gw.SAs()) != 1 || len(n.client.SAs()) != 1 {
					t.Errorf("%d and %d children", len(n.client.SAs()), len(n.gw.SAs()))
				}
				for _, h := range n.w.Hosts {
					if b := h.Broken(); len(b) > 0 {
						t.Errorf("%s: %s", h, b)
					}
				}
			})
		}
	}
}

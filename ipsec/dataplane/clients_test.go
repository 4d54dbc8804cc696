// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Many clients behind one NAT, all with the same address and port inside.

package dataplane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// house is a gateway and the clients of one NAT.
type house struct {
	t       testing.TB
	now     time.Time
	gw      *end
	clients []*tenant
	nextNAT uint16
	s       seen
	peer    uint64 // whose the next clients are
}

// tenant is one client, with its SPIs at the gateway over time.
type tenant struct {
	*end
	s     seen
	spiGW uint32 // the gateway's newest inbound SPI
	reqid uint32
	peer  uint64
	home  netip.Addr // where the gateway found it
	gone  bool
	own   map[uint32]bool // SPIs that it opens
}

func newHouse(t testing.TB, now time.Time) *house {
	return &house{t: t, now: now, gw: newEnd(t, now, Config{}), nextNAT: 31000, s: natted}
}

// move adds a client.
func (h *house) move() *tenant {
	h.nextNAT++
	c := &tenant{end: newEnd(h.t, h.now, Config{}), s: h.s, own: map[uint32]bool{}, peer: h.peer}
	c.s.outside = netip.AddrPortFrom(h.s.outside.Addr(), h.nextNAT)
	h.install(c, 0)
	h.clients = append(h.clients, c)
	return c
}

// install gives a client a new pair at the gateway, under reqid if it has one.
func (h *house) install(c *tenant, reqid uint32) {
	old := c.spi
	joinAs(h.t, h.now, c.end, h.gw, c.s, natt.NonESP, [2]uint32{c.end.reqid, reqid}, func(l, g *sadb.Child) {
		g.Peer = c.peer
		if c.home.IsValid() { // RFC 7296, Section 2.23.1: the selectors are those of the IKE SA's beginning
			l.OrigLocal, g.TSRemote[0].From, g.TSRemote[0].To = c.home, c.home, c.home
		}
		c.home = g.TSRemote[0].From
	})
	if reqid != 0 {
		c.db.Remove(h.now, old, false)
	}
	c.spiGW, c.reqid = h.gw.spi, h.gw.reqid
	c.own[c.spi] = true
}

// up has a client send from a port, and returns the port that the host sees; 0: the packet was dropped.
func (h *house) up(c *tenant, proto uint8, port uint16) uint16 {
	var upper []byte
	switch proto {
	case protoUDP:
		upper = udpOf(port, 1701, 4)
	case protoTCP:
		upper = tcpOf(port, 1701, 1, 0x10)
	default:
		upper = []byte{8, 0, 0, 0, byte(port >> 8), byte(port), 0, 1}
	}
	p := packet(natted.client.Addr(), natted.gateway.Addr(), proto, upper)
	if proto == protoICMP {
		binary.BigEndian.PutUint16(p[22:], slowSum(p[20:]))
	}
	grams := c.seal(h.now, p)
	got := h.gw.open(h.now, cross(grams, c.s, true))
	if len(got) != 1 {
		return 0
	}
	if proto == protoICMP {
		if s := slowSum(got[0][20:]); s != 0 && s != 65535 {
			h.t.Fatalf("ICMP checksum: %x", got[0])
		}
		return binary.BigEndian.Uint16(got[0][24:])
	}
	if !right(got[0]) {
		h.t.Fatalf("checksum: %x", got[0])
	}
	return binary.BigEndian.Uint16(got[0][20:])
}

// down has the host send to a port of the NAT's, and returns who opened it and at which port; nil: nobody, it was dropped.
func (h *house) down(proto uint8, port uint16) (*tenant, uint16) {
	var upper []byte
	switch proto {
	case protoUDP:
		upper = udpOf(1701, port, 4)
	case protoTCP:
		upper = tcpOf(1701, port, 1, 0x10)
	default:
		upper = []byte{0, 0, 0, 0, byte(port >> 8), byte(port), 0, 1}
	}
	p := packet(natted.gateway.Addr(), natted.outside.Addr(), proto, upper)
	if proto == protoICMP {
		binary.BigEndian.PutUint16(p[22:], slowSum(p[20:]))
	}
	grams := h.gw.seal(h.now, p)
	if len(grams) == 0 {
		return nil, 0
	}
	spi := binary.BigEndian.Uint32(grams[0].Buf)
	for _, c := range h.clients {
		if !c.own[spi] {
			continue
		}
		if grams[0].Remote != c.s.outside {
			h.t.Fatalf("sent to %s on the SA of %s", grams[0].Remote, c.s.outside)
		}
		refused := c.e.Counters()[InNoPort]
		got := c.open(h.now, cross(grams, c.s, false))
		if proto == protoICMP && len(got) == 0 && c.e.Counters()[InNoPort] > refused {
			return c, port // it came, and is the answer to nothing that this client's host has asked
		}
		if len(got) != 1 {
			h.t.Fatalf("the client did not open it: %v", c.e.Counters())
		}
		if proto == protoICMP {
			return c, binary.BigEndian.Uint16(got[0][24:])
		}
		if !right(got[0]) {
			h.t.Fatalf("checksum at the client: %x", got[0])
		}
		return c, binary.BigEndian.Uint16(got[0][22:])
	}
	h.t.Fatalf("sealed on %08x, which is nobody's", spi)
	return nil, 0
}

// TestFiftyClients: the same address and port inside; each has a port of its own at the host, the first its own, and answers find
// their client, through rekeys.
func TestFiftyClients(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	for _, proto := range []uint8{protoUDP, protoTCP, protoICMP} {
		ports := map[uint16]*tenant{}
		for i := range 50 {
			if len(h.clients) <= i {
				h.move()
			}
			port := h.up(h.clients[i], proto, 1701)
			if port == 0 || ports[port] != nil || i == 0 && port != 1701 {
				t.Fatalf("protocol %d, client %d: port %d; %v", proto, i, port, h.gw.e.Counters())
			}
			ports[port] = h.clients[i]
		}
		for round := range 3 {
			for port, c := range ports {
				if who, at := h.down(proto, port); who != c || at != 1701 {
					t.Fatalf("round %d: an answer to port %d reached the wrong client or port %d", round, port, at)
				}
				if again := h.up(c, proto, 1701); again != port {
					t.Fatalf("round %d: the port became %d, was %d", round, again, port)
				}
			}
			for _, c := range h.clients { // RFC 7296, Section 2.8
				old := c.spiGW
				h.install(c, c.reqid)
				h.gw.db.Remove(h.now, old, false)
			}
		}
	}
}

// TestClientGone: what is sent to a client that is gone reaches nobody, not the next one either.
func TestClientGone(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	a, b := h.move(), h.move()
	pa, pb := h.up(a, protoUDP, 1701), h.up(b, protoUDP, 1701)
	h.gw.db.Remove(h.now, a.spiGW, false)
	if who, _ := h.down(protoUDP, pa); who != nil {
		t.Error("what was for the first reached somebody")
	}
	h.gw.count(OutNoPort, 1)
	c := h.move()
	if pc := h.up(c, protoUDP, 1701); pc == pa || pc == pb || pc == 0 {
		t.Errorf("the third got port %d", pc)
	}
	if who, _ := h.down(protoUDP, pb); who != b {
		t.Error("the second is not reached")
	}
	h.now = h.now.Add(5*time.Minute + time.Second)
	d := h.move()
	if pd := h.up(d, protoUDP, 1701); pd != pa {
		t.Errorf("after five minutes the port is %d, expected %d again", pd, pa)
	}
}

// TestDeniedNAT: a peer that says it has the NAT's address itself gets no other peer's port by that.
func TestDeniedNAT(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	honest := h.up(h.move(), protoUDP, 1701)
	s, liar := natted, newEnd(t, h.now, Config{})
	s.outside = netip.AddrPortFrom(natted.outside.Addr(), 31999)
	s.client = s.outside
	joinAs(t, h.now, liar, h.gw, s, natt.NonESP, [2]uint32{}, func(_, g *sadb.Child) { g.OrigLocal = s.gateway.Addr() })
	p := packet(s.outside.Addr(), s.gateway.Addr(), protoUDP, udpOf(honest, 1701, 4))
	got := h.gw.open(h.now, cross(liar.seal(h.now, p), s, true))
	if len(got) != 1 {
		t.Fatalf("%d packets, expected 1", len(got))
	}
	if port := binary.BigEndian.Uint16(got[0][20:]); port == honest {
		t.Errorf("both clients have port %d", port)
	}
}

// TestPortless: a protocol without ports is one client's alone, and an error that quotes a packet is nobody's; a client's own host
// does not even send it.
func TestPortless(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	a, b := h.move(), h.move()
	gre := func(c *tenant) int {
		return len(h.gw.open(h.now, cross(c.seal(h.now, ipv4("10.1.0.2", "198.51.100.2", 47, make([]byte, 8))), c.s, true)))
	}
	if gre(a) != 1 || gre(b) != 0 || gre(a) != 1 {
		t.Error("two clients have GRE")
	}
	h.gw.count(InNoPort, 1)
	unreachable := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, ipv4("198.51.100.2", "10.1.0.2", 17, udpOf(1701, 1701, 0))...)
	if got := h.gw.open(h.now, cross(a.seal(h.now, ipv4("10.1.0.2", "198.51.100.2", 1, unreachable)), a.s, true)); len(got) != 0 {
		t.Error("a client's ICMP error was delivered")
	}
	for _, upper := range [][]byte{unreachable, {8, 0, 0, 0, 0, 1, 0, 1}} {
		grams := h.gw.seal(h.now, ipv4("198.51.100.2", "203.0.113.5", 1, upper))
		if upper[0] == 3 && len(grams) != 0 {
			t.Error("an ICMP error of the host was sent to somebody")
		}
	}
}

// TestClientsBounded: a client that uses all ports is stopped, and others are not.
func TestClientsBounded(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	a, b := h.move(), h.move()
	n := 0
	for port := range uint16(maxFlows + 100) {
		if h.up(a, protoUDP, port+1) != 0 {
			n++
		}
	}
	if n != maxFlows {
		t.Errorf("%d flows, expected %d", n, maxFlows)
	}
	h.gw.count(InNoPort, 100)
	if h.up(b, protoUDP, 1701) == 0 {
		t.Error("the other client has none")
	}
	h.now = h.now.Add(time.Duration(flowIdle) + time.Second)
	if h.up(a, protoUDP, 60000) == 0 {
		t.Error("an idle flow did not make room")
	}
}

// TestNothingOfAnothers: whatever clients and the host do, and whoever comes, goes and rekeys, what the host sends to a port reaches
// the client that has it, at its own port, or nobody: never another.
func TestNothingOfAnothers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type holder struct {
			c   *tenant
			own uint16
		}
		h := newHouse(t, time.Unix(1_800_000_000, 0))
		for range 3 {
			h.move()
		}
		had := map[string]holder{}
		ended := map[*tenant]time.Time{}
		key := func(proto uint8, port uint16) string { return fmt.Sprint(proto, "/", port) }
		alive := func(r *rapid.T) *tenant {
			c := rapid.SampledFrom(h.clients).Draw(r, "client")
			if c.gone {
				r.Skip()
			}
			return c
		}
		protos := rapid.SampledFrom([]uint8{protoUDP, protoTCP, protoICMP})
		inside := rapid.SampledFrom([]uint16{1701, 500, 4500, 20000, 20001, 40000})
		r.Repeat(map[string]func(*rapid.T){
			"up": func(r *rapid.T) {
				c, proto, own := alive(r), protos.Draw(r, "protocol"), inside.Draw(r, "port")
				port := h.up(c, proto, own)
				if port == 0 {
					r.Fatalf("dropped: %v", h.gw.e.Counters())
				}
				if old, ok := had[key(proto, port)]; ok && old.c != c && (!old.c.gone || h.now.Sub(ended[old.c]) < 5*time.Minute) {
					r.Fatalf("port %d was given to two clients", port)
				}
				had[key(proto, port)] = holder{c, own}
			},
			"down": func(r *rapid.T) {
				proto := protos.Draw(r, "protocol")
				port := rapid.OneOf(inside, rapid.Uint16Range(20000, 20012)).Draw(r, "port")
				old, known := had[key(proto, port)]
				c, at := h.down(proto, port)
				switch {
				case c == nil && known && !old.c.gone:
					r.Fatalf("nothing reached a client that lives: %v", h.gw.e.Counters())
				case c == nil:
				case c.gone:
					r.Fatal("sent to a client that is gone")
				case known && c != old.c && (!old.c.gone || h.now.Sub(ended[old.c]) < 5*time.Minute):
					r.Fatal("sent on another's SA")
				case known && c == old.c && at != old.own:
					r.Fatalf("at port %d, expected %d", at, old.own)
				default:
					had[key(proto, port)] = holder{c, at}
				}
			},
			"come": func(r *rapid.T) {
				if len(h.clients) < 8 {
					h.move()
				}
			},
			"go": func(r *rapid.T) {
				c := alive(r)
				h.gw.db.Remove(h.now, c.spiGW, false)
				c.gone, ended[c] = true, h.now
			},
			"rekey": func(r *rapid.T) {
				c := alive(r)
				old := c.spiGW
				h.install(c, c.reqid)
				h.gw.db.Remove(h.now, old, false)
			},
			"wait": func(r *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(r, "seconds")) * time.Second)
			},
		})
	})
}

// TestClientsConcurrent: readers, senders and a key daemon at once; for the race detector, and nothing is another's.
func TestClientsConcurrent(t *testing.T) {
	h := newHouse(t, time.Unix(1_800_000_000, 0))
	const clients, rounds = 6, 40
	var up [clients][]Datagram
	owners := map[uint32]int{}
	for i := range clients {
		c := h.move()
		for spi := range c.own {
			owners[spi] = i
		}
		for range rounds {
			up[i] = append(up[i], cross(c.seal(h.now, packet(natted.client.Addr(), natted.gateway.Addr(), 17, udpOf(1701, 1701, 4))), c.s, true)...)
		}
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			in, out := h.gw.e.NewInbound(), h.gw.e.NewOutbound()
			for k, d := range up[i] {
				got := in.Open(h.now, []Datagram{d})
				if len(got.Packets) == 0 {
					continue // its SA is gone
				}
				port := binary.BigEndian.Uint16(got.Packets[0][Headroom+20:])
				p := append(make([]byte, Headroom), packet(natted.gateway.Addr(), natted.outside.Addr(), 17, udpOf(1701, port, 4))...)
				sent := out.Seal(h.now, [][]byte{p}, []int{len(p) - Headroom}, Headroom)
				for _, g := range sent.Datagrams {
					if who := owners[binary.BigEndian.Uint32(g.Buf)]; who != i {
						t.Errorf("what was for client %d went on the SA of %d", i, who)
					}
				}
				if k == rounds/2 && i%2 == 1 {
					h.gw.db.Remove(h.now, h.clients[i].spiGW, false)
				}
			}
		})
	}
	wg.Wait()
}

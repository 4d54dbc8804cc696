// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package nat

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func at(seconds float64) time.Time {
	return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

const external = "192.0.2.1"

func box(t testing.TB, cfg Config) *Box {
	t.Helper()
	if cfg.External == nil {
		cfg.External = []netip.Addr{netip.MustParseAddr(external), netip.MustParseAddr("2001:db8::1")}
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	host   = ap("10.0.0.2:4500")
	other  = ap("10.0.0.3:4500")
	gate   = ap("198.51.100.1:4500")
	gate2  = ap("198.51.100.1:500")
	remote = ap("198.51.100.2:4500")
)

// RFC 4787, Section 4.1: which destinations share a mapping.
func TestMappingKinds(t *testing.T) {
	for _, c := range []struct {
		kind                   Kind
		samePort, sameOtherDst bool
	}{{EndpointIndependent, true, true}, {AddressDependent, true, false}, {AddressPortDependent, false, false}} {
		b := box(t, Config{Mapping: c.kind, RandomPorts: true})
		first := b.Outbound(at(0), Packet{Src: host, Dst: gate})
		port := b.Outbound(at(0), Packet{Src: host, Dst: gate2})
		addr := b.Outbound(at(0), Packet{Src: host, Dst: remote})
		if again := b.Outbound(at(1), Packet{Src: host, Dst: gate}); again.Src != first.Src || again.New || !first.New {
			t.Errorf("%s: the same flow got %v then %v", c.kind, first, again)
		}
		if (port.Src == first.Src) != c.samePort || (addr.Src == first.Src) != c.sameOtherDst {
			t.Errorf("%s: %v, other port %v, other address %v", c.kind, first.Src, port.Src, addr.Src)
		}
	}
}

// RFC 4787, Section 5: who may answer.
func TestFilteringKinds(t *testing.T) {
	for _, c := range []struct {
		kind             Kind
		otherPort, other Reason
	}{{EndpointIndependent, Forwarded, Forwarded}, {AddressDependent, Forwarded, Filtered}, {AddressPortDependent, Filtered, Filtered}} {
		b := box(t, Config{Filtering: c.kind})
		out := b.Outbound(at(0), Packet{Src: host, Dst: gate})
		for _, in := range []struct {
			from netip.AddrPort
			want Reason
		}{{gate, Forwarded}, {gate2, c.otherPort}, {remote, c.other}} {
			d := b.Inbound(at(1), Packet{Src: in.from, Dst: out.Src})
			if d.Drop != in.want || d.Drop == Forwarded && (d.Dst != host || d.Src != in.from || d.Copies != 1) {
				t.Errorf("%s from %v: %+v, want %s", c.kind, in.from, d, in.want)
			}
		}
		if d := b.Inbound(at(1), Packet{Src: gate, Dst: ap(external + ":9")}); d.Drop != NoMapping {
			t.Errorf("an endpoint of nobody: %s", d.Drop)
		}
	}
}

func TestPorts(t *testing.T) {
	b := box(t, Config{})
	first, second := b.Outbound(at(0), Packet{Src: host, Dst: gate}), b.Outbound(at(0), Packet{Src: other, Dst: gate})
	if first.Src != ap(external+":4500") {
		t.Errorf("port not preserved: %v", first.Src)
	}
	if second.Src == first.Src || second.Src.Addr() != first.Src.Addr() {
		t.Errorf("two hosts at %v and %v", first.Src, second.Src)
	}
	six := b.Outbound(at(0), Packet{Src: ap("[fd00::2]:4500"), Dst: ap("[2001:db8:9::1]:4500")})
	if six.Src != ap("[2001:db8::1]:4500") {
		t.Errorf("IPv6: %v", six.Src)
	}
	small := box(t, Config{RandomPorts: true, PortLow: 1000, PortHigh: 1001})
	for i, want := range []Reason{Forwarded, Forwarded, NoPort} {
		src := netip.AddrPortFrom(host.Addr(), uint16(5000+i))
		if d := small.Outbound(at(0), Packet{Src: src, Dst: gate}); d.Drop != want {
			t.Errorf("host port %d: %s, want %s", i, d.Drop, want)
		}
	}
}

func TestExpiry(t *testing.T) {
	for _, inboundRefresh := range []bool{false, true} {
		b := box(t, Config{Timeout: 30 * time.Second, InboundRefresh: inboundRefresh})
		out := b.Outbound(at(0), Packet{Src: host, Dst: gate})
		if d := b.Inbound(at(29.9), Packet{Src: gate, Dst: out.Src}); d.Drop != Forwarded {
			t.Fatalf("before the timeout: %s", d.Drop)
		}
		want := NoMapping
		if inboundRefresh {
			want = Forwarded
		}
		if d := b.Inbound(at(30), Packet{Src: gate, Dst: out.Src}); d.Drop != want {
			t.Errorf("at the timeout, inbound refresh %v: %s", inboundRefresh, d.Drop)
		}
		if n := len(b.Mappings(at(100))); n != 0 {
			t.Errorf("%d mappings live for ever", n)
		}
	}
	// A keepalive every 20 s keeps it.
	b := box(t, Config{Timeout: 30 * time.Second})
	for s := 0.0; s < 600; s += 20 {
		if d := b.Outbound(at(s), Packet{Src: host, Dst: gate, Payload: []byte{0xff}}); d.New != (s == 0) {
			t.Fatalf("at %v s: %+v", s, d)
		}
	}
}

func TestForgetAndRebind(t *testing.T) {
	b := box(t, Config{Filtering: AddressPortDependent})
	esp := append([]byte{0xc0, 0, 0, 1}, make([]byte, 40)...)
	old := b.Outbound(at(0), Packet{Src: host, Dst: gate, Payload: esp})
	if n := b.Forget(); n != 1 {
		t.Errorf("forgot %d", n)
	}
	for range 3 {
		if d := b.Inbound(at(1), Packet{Src: gate, Dst: old.Src, Payload: esp}); d.Drop != NoMapping {
			t.Errorf("after Forget: %s", d.Drop)
		}
	}
	b.Inbound(at(1), Packet{Src: gate, Dst: old.Src, Payload: []byte{0xff}})
	c := b.Counters(In)
	if c.All[NoMapping] != 4 || c.ESP[NoMapping] != 3 || c.All.Dropped() != 4 || c.Packets != 4 {
		t.Errorf("counters: %+v", c)
	}
	fresh := b.Outbound(at(2), Packet{Src: host, Dst: gate})
	if fresh.Src == old.Src || !fresh.New {
		t.Errorf("the same endpoint %v again", fresh.Src)
	}
	// Rebinding keeps the mapping and its filter.
	moved := netip.MustParseAddr("192.0.2.77")
	if err := b.Rebind(moved); err != nil {
		t.Fatal(err)
	}
	now := b.Mappings(at(2))
	if len(now) != 1 || now[0].External.Addr() != moved || now[0].Inside != host {
		t.Fatalf("mappings: %v", now)
	}
	if d := b.Inbound(at(3), Packet{Src: gate, Dst: now[0].External}); d.Drop != Forwarded || d.Dst != host {
		t.Errorf("to the new endpoint: %+v", d)
	}
	if d := b.Inbound(at(3), Packet{Src: gate, Dst: fresh.Src}); d.Drop != NoMapping {
		t.Errorf("to the old endpoint: %s", d.Drop)
	}
	if d := b.Outbound(at(3), Packet{Src: host, Dst: gate}); d.Src != now[0].External || d.New {
		t.Errorf("from inside: %+v", d)
	}
	if err := b.Rebind(netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if again := b.Mappings(at(3)); len(again) != 1 || again[0].External == now[0].External {
		t.Errorf("no other port: %v", again)
	}
	b.Exclude(b.Mappings(at(3))[0].External)
	if n := len(b.Mappings(at(3))); n != 0 {
		t.Errorf("%d mappings after Exclude", n)
	}
}

func TestHairpin(t *testing.T) {
	for _, on := range []bool{false, true} {
		b := box(t, Config{Hairpin: on})
		theirs := b.Outbound(at(0), Packet{Src: other, Dst: gate})
		d := b.Outbound(at(0), Packet{Src: host, Dst: theirs.Src})
		if !on {
			if d.Drop != NoHairpin {
				t.Errorf("without hairpin: %+v", d)
			}
			continue
		}
		if d.Drop != Forwarded || !d.Hairpin || d.Dst != other || d.Src.Addr() != netip.MustParseAddr(external) {
			t.Errorf("hairpin: %+v", d)
		}
	}
}

func TestLinks(t *testing.T) {
	b := box(t, Config{})
	payload := make([]byte, 1400)
	send := func() Decision { return b.Outbound(at(0), Packet{Src: host, Dst: gate, Payload: payload}) }
	for _, c := range []struct {
		link Link
		want Decision
	}{
		{Link{Block: true}, Decision{Drop: Blocked}},
		{Link{Loss: 1}, Decision{Drop: Lost}},
		{Link{MTU: 1427, TooBig: true}, Decision{Drop: TooBig, MTU: 1427}},
		{Link{MTU: 1427}, Decision{Drop: TooBig}},
		{Link{MTU: 1428}, Decision{Copies: 1, At: [2]time.Time{at(0)}}},
		{Link{Duplicate: 1, Delay: time.Second}, Decision{Copies: 2, At: [2]time.Time{at(1), at(1)}}},
		{Link{Reorder: 1, ReorderBy: 2 * time.Second, Delay: time.Second}, Decision{Copies: 1, At: [2]time.Time{at(3)}}},
	} {
		if err := b.SetLink(Out, c.link); err != nil {
			t.Fatal(err)
		}
		got := send()
		got.Src, got.Dst, got.New = netip.AddrPort{}, netip.AddrPort{}, false
		if got != c.want {
			t.Errorf("%+v: got %+v, want %+v", c.link, got, c.want)
		}
	}
	for _, bad := range []Link{{Loss: -1}, {Loss: 2}, {Delay: -1}, {MTU: -1}} {
		if b.SetLink(In, bad) == nil {
			t.Errorf("%+v: accepted", bad)
		}
	}
	if err := b.SetLink(Out, Link{Loss: 0.3}); err != nil {
		t.Fatal(err)
	}
	before := b.Counters(Out).All[Lost]
	for range 10000 {
		send()
	}
	if lost := b.Counters(Out).All[Lost] - before; lost < 2800 || lost > 3200 {
		t.Errorf("%d of 10000 lost, want about 3000", lost)
	}
}

func TestLooksLikeESP(t *testing.T) {
	ike := make([]byte, 60)
	ike[0], ike[17], ike[27] = 0x11, 0x20, 60
	marked := append(make([]byte, 4), ike...)
	esp := append([]byte{0xc0, 1, 2, 3}, make([]byte, 56)...)
	for _, c := range []struct {
		b    []byte
		want bool
	}{{ike, false}, {marked, false}, {esp, true}, {[]byte{0xff}, false}, {nil, false}, {esp[:15], false}} {
		if got := LooksLikeESP(c.b); got != c.want {
			t.Errorf("%x: %v", c.b, got)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []Config{
		{External: []netip.Addr{}}, {External: []netip.Addr{{}}}, {External: []netip.Addr{gate.Addr()}, Mapping: 3},
		{External: []netip.Addr{gate.Addr()}, PortLow: 9, PortHigh: 8}, {External: []netip.Addr{gate.Addr()}, Timeout: -1},
		{External: []netip.Addr{gate.Addr()}, In: Link{Loss: 3}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}

// Whatever happens, a packet from outside reaches only the host whose mapping it was sent to, no two live mappings share
// an endpoint, the counters add up, and the same seed gives the same decisions.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{
			External: []netip.Addr{netip.MustParseAddr(external)}, Mapping: Kind(rapid.IntRange(0, 2).Draw(t, "mapping")),
			Filtering: Kind(rapid.IntRange(0, 2).Draw(t, "filtering")), RandomPorts: rapid.Bool().Draw(t, "random"),
			Hairpin: rapid.Bool().Draw(t, "hairpin"), Timeout: 30 * time.Second, Seed: 7, PortLow: 1000, PortHigh: 1100,
			Out: Link{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}, In: Link{Loss: 0.1, Jitter: time.Millisecond},
		}
		x, _ := New(cfg)
		y, _ := New(cfg)
		now, packets := at(0), uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "wait")) * time.Second)
			in := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(2, 4).Draw(t, "host"))}), 4500)
			out := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(rapid.IntRange(1, 2).Draw(t, "gate"))}), uint16(rapid.IntRange(500, 501).Draw(t, "port")))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				x.Forget()
				y.Forget()
			case 1:
				if x.Rebind(netip.Addr{}) != nil || y.Rebind(netip.Addr{}) != nil {
					t.Fatal("rebind")
				}
			case 2, 3:
				packets++
				p := Packet{Src: in, Dst: out}
				if a, b := x.Outbound(now, p), y.Outbound(now, p); fmt.Sprint(a) != fmt.Sprint(b) {
					t.Fatalf("%v and %v", a, b)
				}
			default:
				live := x.Mappings(now)
				if len(live) == 0 {
					continue
				}
				m := live[rapid.IntRange(0, len(live)-1).Draw(t, "mapping of")]
				packets++
				p := Packet{Src: out, Dst: m.External}
				a := x.Inbound(now, p)
				if y.Inbound(now, p); a.Drop == Forwarded && a.Dst != m.Inside {
					t.Fatalf("%v reached %v", m, a.Dst)
				}
			}
			seen := map[netip.AddrPort]bool{}
			for _, m := range x.Mappings(now) {
				if seen[m.External] {
					t.Fatalf("%v is given twice", m.External)
				}
				seen[m.External] = true
			}
		}
		o, i := x.Counters(Out), x.Counters(In)
		if o.Packets+i.Packets != packets || o.All[Forwarded]+o.All.Dropped() != o.Packets || i.All[Forwarded]+i.All.Dropped() != i.Packets {
			t.Fatalf("%d packets, counted %+v %+v", packets, o, i)
		}
	})
}

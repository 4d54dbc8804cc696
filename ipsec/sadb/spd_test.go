// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SPD against an oracle that looks at every policy.

package sadb

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func flow(local, remote string, proto uint8, lport, rport uint16) Flow {
	l, r := netip.MustParseAddr(local), netip.MustParseAddr(remote)
	return Flow{Local: ipOf(l), Remote: ipOf(r), V6: l.Is6(), Proto: proto, LocalPort: lport, RemotePort: rport, Ports: HavePorts}
}

func TestPrefixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		draw := func(name string) IP {
			lo := rapid.Uint64().Draw(t, name)
			if !v6 {
				return IP{Lo: lo & 0xffffffff}
			}
			return IP{Hi: rapid.Uint64().Draw(t, name), Lo: lo}
		}
		s := span{from: draw("from"), to: draw("to"), v6: v6}
		if s.to.less(s.from) {
			s.from, s.to = s.to, s.from
		}
		list := s.prefixes()
		at := s.from
		for i, p := range list {
			if p != p.Masked() || ipOf(p.Addr()) != at {
				t.Fatalf("%v to %v: prefix %d is %v", s.from.Addr(v6), s.to.Addr(v6), i, p)
			}
			last := at.last(p.Addr().BitLen() - p.Bits())
			if s.to.less(last) {
				t.Fatalf("%v reaches beyond %v", p, s.to.Addr(v6))
			}
			if i == len(list)-1 {
				if last != s.to {
					t.Fatalf("ends at %v, expected %v", last.Addr(v6), s.to.Addr(v6))
				}
				break
			}
			at = last.next()
		}
		if most := map[bool]int{false: 62, true: 254}[v6]; len(list) > most {
			t.Fatalf("%d prefixes", len(list))
		}
		c := s.common()
		p := netip.PrefixFrom(s.from.Addr(v6), c).Masked()
		if !p.Contains(s.to.Addr(v6)) || c < p.Addr().BitLen() && netip.PrefixFrom(s.from.Addr(v6), c+1).Contains(s.to.Addr(v6)) {
			t.Fatalf("common prefix of %v and %v: %d", s.from.Addr(v6), s.to.Addr(v6), c)
		}
	})
}

// oracle finds the policy as Policy's doc says, by looking at all.
func (db *DB) oracle(f *Flow) *policy {
	type key struct {
		class          class
		remote, local  int
		proto, portsOf int
		id             PolicyID
	}
	var best *policy
	var bestKey key
	for _, p := range db.policies {
		local, remote := p.selectors()
		for i := range remote {
			for j := range local {
				l, r := &local[j], &remote[i]
				if l.local(f) != inside || r.remote(f) != inside {
					continue
				}
				k := key{class: p.class, local: -l.common(), id: p.id}
				for _, pfx := range r.prefixes() {
					if pfx.Contains(f.Remote.Addr(f.V6)) {
						k.remote = -pfx.Bits()
					}
				}
				if l.proto != 0 || r.proto != 0 {
					k.proto = -1
				}
				for _, s := range []*span{l, r} {
					if !s.anyPort() {
						k.portsOf--
					}
				}
				if best == nil || cmp.Or(cmp.Compare(k.class, bestKey.class), cmp.Compare(k.remote, bestKey.remote), cmp.Compare(k.local, bestKey.local),
					cmp.Compare(k.proto, bestKey.proto), cmp.Compare(k.portsOf, bestKey.portsOf), cmp.Compare(k.id, bestKey.id)) < 0 {
					best, bestKey = p, k
				}
			}
		}
	}
	return best
}

func TestMatchAgainstOracle(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v6") {
			return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(rapid.IntRange(0, 15).Draw(t, "low"))})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "low"))})
	})
	selector := rapid.Custom(func(t *rapid.T) Selector {
		a, b := addr.Draw(t, "from"), addr.Draw(t, "to")
		if a.Is4() != b.Is4() {
			b = a
		}
		if b.Less(a) {
			a, b = b, a
		}
		s := Selector{From: a, To: b, PortTo: 65535, Proto: rapid.SampledFrom([]uint8{0, 0, 6, 17}).Draw(t, "proto")}
		if rapid.Bool().Draw(t, "ports") {
			s.PortFrom = uint16(rapid.IntRange(0, 3).Draw(t, "port"))
			s.PortTo = s.PortFrom + uint16(rapid.IntRange(0, 2).Draw(t, "more"))
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		db, err := New(start, Config{Rand: stuck{}})
		if err != nil {
			t.Fatal(err)
		}
		var ids []PolicyID
		for range rapid.IntRange(1, 25).Draw(t, "policies") {
			id, err := db.AddPolicy(Policy{
				Action: rapid.SampledFrom([]Action{Bypass, Protect, Discard}).Draw(t, "action"), Reqid: 7,
				Local: rapid.SliceOfN(selector, 1, 2).Draw(t, "local"), Remote: rapid.SliceOfN(selector, 1, 2).Draw(t, "remote"),
			})
			if err == nil {
				ids = append(ids, id)
			}
		}
		for _, id := range ids {
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				db.RemovePolicy(id)
			}
		}
		for range 40 {
			l, r := addr.Draw(t, "local"), addr.Draw(t, "remote")
			if l.Is4() != r.Is4() {
				r = l
			}
			f := Flow{Local: ipOf(l), Remote: ipOf(r), V6: l.Is6(), Proto: rapid.SampledFrom([]uint8{6, 17, 47}).Draw(t, "proto")}
			if f.Proto != 47 {
				f.Ports = HavePorts
				f.LocalPort, f.RemotePort = uint16(rapid.IntRange(0, 6).Draw(t, "lport")), uint16(rapid.IntRange(0, 6).Draw(t, "rport"))
			}
			want, got := Action(0), Action(0)
			if p := db.oracle(&f); p != nil {
				want = p.action
			}
			m, _ := db.Match(&f)
			if got = m.Action; got != want {
				t.Fatalf("%v to %v: %v, oracle %v", l, r, got, want)
			}
		}
	})
}

// TestT087HiddenPorts: RFC 4301, Section 7: a fragment without ports never leaves in clear where its ports might have had it
// protected.
func TestT087HiddenPorts(t *testing.T) {
	db := newDB(t, 0)
	all := []Selector{sel("0.0.0.0/0")}
	web := sel("10.2.0.0/16")
	web.Proto, web.PortFrom, web.PortTo = 6, 443, 443
	add := func(p Policy) {
		t.Helper()
		if _, err := db.AddPolicy(p); err != nil {
			t.Fatal(err)
		}
	}
	f := flow("10.1.0.1", "10.2.0.1", 6, 0, 0)
	f.Ports = HiddenPorts
	other := f
	other.Proto = 17
	add(Policy{Action: Protect, Reqid: 1, Local: all, Remote: []Selector{web}})
	if m, _ := db.Match(&f); m.Action != 0 || !m.Hidden {
		t.Errorf("a port policy alone: %+v", m)
	}
	if m, _ := db.Match(&other); m.Hidden {
		t.Error("another protocol is hidden")
	}
	discard := sel("10.2.0.0/24")
	discard.Proto, discard.PortFrom, discard.PortTo = 6, 25, 25
	add(Policy{Action: Discard, Local: all, Remote: []Selector{discard}})
	add(Policy{Action: Protect, Reqid: 2, Local: all, Remote: all})
	if m, _ := db.Match(&f); m.Action != Protect {
		t.Errorf("with a protect policy for all ports: %+v", m)
	}
}

// TestHiddenBypass: a fragment whose ports might have had it pass leaves by a policy that has it pass whatever they are.
func TestHiddenBypass(t *testing.T) {
	db := newDB(t, 0)
	all := []Selector{sel("0.0.0.0/0")}
	web := sel("10.2.0.0/16")
	web.Proto, web.PortFrom, web.PortTo = 6, 443, 443
	for _, r := range []Selector{web, sel("10.2.0.0/16")} {
		if _, err := db.AddPolicy(Policy{Action: Bypass, Local: all, Remote: []Selector{r}}); err != nil {
			t.Fatal(err)
		}
	}
	f := flow("10.1.0.1", "10.2.0.1", 6, 0, 0)
	f.Ports = HiddenPorts
	if m, _ := db.Match(&f); m.Action != Bypass || m.Hidden {
		t.Errorf("%+v", m)
	}
}

// TestT063Octets: what waits is bounded in octets as well as in packets.
func TestT063Octets(t *testing.T) {
	var w waiting
	dropped := 0
	for i := range 100 {
		dropped += w.keep(bytes.Repeat([]byte{byte(i)}, 9000))
		if len(w.octets) > maxHeldOctets || len(w.octets) != 9000*len(w.lens) {
			t.Fatalf("%d octets of %d packets", len(w.octets), len(w.lens))
		}
	}
	if len(w.lens) != maxHeldOctets/9000 || dropped != 100-len(w.lens) || w.octets[0] != byte(dropped) {
		t.Errorf("%d packets, %d dropped; the oldest is %d", len(w.lens), dropped, w.octets[0])
	}
}

func TestPolicyRefuses(t *testing.T) {
	db := newDB(t, 0)
	all := []Selector{sel("0.0.0.0/0")}
	for name, p := range map[string]Policy{
		"no action":    {Local: all, Remote: all},
		"no reqid":     {Action: Protect, Local: all, Remote: all},
		"no selectors": {Action: Bypass, Local: all},
		"many":         {Action: Bypass, Local: all, Remote: make([]Selector, 256)},
		"families":     {Action: Protect, Reqid: 3, Local: all, Remote: []Selector{sel("::/0")}},
	} {
		if _, err := db.AddPolicy(p); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if len(db.bundles) != 0 || len(db.policies) != 0 {
		t.Error("something is left")
	}
	db.RemovePolicy(99)
}

// BenchmarkPolicies: one policy more costs the same with ten as with ten thousand; a match does not allocate.
func BenchmarkPolicies(b *testing.B) {
	for _, n := range []int{10, 100, 10000} {
		db := newDB(b, 0)
		for i := range n {
			r := sel(fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
			if _, err := db.AddPolicy(Policy{Action: Protect, Reqid: uint32(i + 1), Local: []Selector{sel("192.168.0.0/16")}, Remote: []Selector{r}}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			p := Policy{Action: Bypass, Local: []Selector{sel("192.168.0.0/16")}, Remote: []Selector{sel("10.0.0.3/32")}}
			for b.Loop() {
				id, err := db.AddPolicy(p)
				if err != nil {
					b.Fatal(err)
				}
				db.RemovePolicy(id)
			}
		})
		b.Run(fmt.Sprintf("match/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			f := flow("192.168.1.1", "10.0.0.5", 6, 1, 2)
			for b.Loop() {
				if m, _ := db.Match(&f); m.Action != Protect {
					b.Fatal("no match")
				}
			}
		})
	}
}

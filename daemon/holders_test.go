// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
)

// TestPrefixes: the trie finds what a look at all of them finds, and nothing stays behind.
func TestPrefixes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) netip.Prefix {
			// Few bits, so that prefixes meet.
			b := [4]byte{byte(rapid.SampledFrom([]int{0, 10, 128}).Draw(t, name)), 0, 0, byte(rapid.IntRange(0, 3).Draw(t, name+" host"))}
			return netip.PrefixFrom(netip.AddrFrom4(b), rapid.SampledFrom([]int{0, 1, 4, 8, 24, 31, 32}).Draw(t, name+" bits")).Masked()
		}
		type entry struct {
			p netip.Prefix
			v int
		}
		var set prefixes[int]
		var list []entry
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(list) > 0 && rapid.IntRange(0, 2).Draw(t, "remove") == 0 {
				j := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				set.remove(list[j].p, list[j].v)
				list = slices.Delete(list, j, j+1)
			} else {
				p := draw("added")
				set.add(p, i)
				list = append(list, entry{p, i})
			}
			p := draw("looked for")
			var got, want []int
			set.overlapping(p, func(v int) bool { got = append(got, v); return true })
			for _, e := range list {
				if e.p.Overlaps(p) {
					want = append(want, e.v)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: found %v, expected %v of %v", p, got, want, list)
			}
		}
		for _, e := range list {
			set.remove(e.p, e.v)
		}
		if set.root != nil {
			t.Fatalf("something stayed: %+v", set.root)
		}
	})
}

func ts(text string) []ike.Selector {
	var list []ike.Selector
	for f := range strings.FieldsSeq(text) {
		p := netip.MustParsePrefix(f)
		list = append(list, ike.Selector{From: p.Addr(), To: route.Last(p), PortTo: 65535})
	}
	return list
}

// netOf is a child of a peer, on an IKE SA, with a remote selector out of what its connection allows.
func netOf(unique uint64, spi uint32, name, remote, allowed string) *ike.ChildSA {
	id := func(s string) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(s)} }
	return &ike.ChildSA{Name: "net", Connection: "rw", Unique: unique, ChildID: uint64(spi), SPIIn: spi, LocalID: id("gw"), RemoteID: id(name),
		TSLocal: ts("10.0.0.0/8"), TSRemote: ts(remote), Config: &ike.ChildConfig{Name: "net", RemoteTS: ts(allowed)}}
}

// TestHolders is RFC 3948, Section 5.1, and who is not refused by it.
func TestHolders(t *testing.T) {
	const all = "0.0.0.0/0"
	now, tells := time.Unix(1000, 0), true
	holds := func(t *testing.T, r *holders, c *ike.ChildSA, older ...uint32) {
		t.Helper()
		list, err := r.hold(now, c, tells)
		if err != nil {
			t.Fatalf("%s refused: %v", c.RemoteID, err)
		}
		var got []uint32
		for _, o := range list {
			got = append(got, o.spiIn)
		}
		if !slices.Equal(got, older) {
			t.Fatalf("%s takes over from %v, expected %v", c.RemoteID, got, older)
		}
		r.outdo(list)
	}
	refused := func(t *testing.T, r *holders, c *ike.ChildSA, words ...string) {
		t.Helper()
		_, err := r.hold(now, c, tells)
		if err == nil {
			t.Fatalf("%s holds what another has", c.RemoteID)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	t.Run("two clients", func(t *testing.T) {
		r := newHolders()
		holds(t, r, netOf(1, 1, "a", "192.168.1.10/32", all))
		refused(t, r, netOf(2, 2, "b", "192.168.1.10/32", all), "192.168.1.10/32", "connection rw", "a, IKE SA #1", "1970-01-01T00:16:40Z", "pools")
		refused(t, r, netOf(2, 2, "b", "192.168.1.0/24", all))
		refused(t, r, netOf(2, 2, "b", "172.16.0.0/12 192.168.1.10/32", all))
		holds(t, r, netOf(2, 2, "b", "192.168.1.11/32", all))
		r.release(1)
		holds(t, r, netOf(3, 3, "c", "192.168.1.10/32", all))
		r.release(99)
	})
	t.Run("the same client", func(t *testing.T) {
		r := newHolders()
		holds(t, r, netOf(1, 1, "a", "192.168.1.10/32", all))
		holds(t, r, netOf(1, 2, "a", "192.168.1.10/32", all))       // a rekey, or a further child
		holds(t, r, netOf(2, 3, "a", "192.168.1.10/32", all), 1, 2) // back after a crash, without INITIAL_CONTACT
		holds(t, r, netOf(3, 4, "a", "192.168.1.10/32", all), 3)
		refused(t, r, netOf(4, 5, "b", "192.168.1.10/32", all))
		for spi := range uint32(5) {
			r.release(spi)
		}
		holds(t, r, netOf(4, 5, "b", "192.168.1.10/32", all))
	})
	t.Run("what the operator wrote", func(t *testing.T) {
		r := newHolders()
		holds(t, r, netOf(1, 1, "site", "10.1.0.0/16", "10.1.0.0/16"))
		holds(t, r, netOf(2, 2, "part", "10.1.2.0/24", "10.1.2.0/24"))
		refused(t, r, netOf(3, 3, "again", "10.1.0.0/16", "10.1.0.0/16"))
		refused(t, r, netOf(3, 3, "thief", "10.1.9.9/32", all))
		r = newHolders()
		holds(t, r, netOf(1, 1, "early", "10.1.9.9/32", all)) // chose it itself
		refused(t, r, netOf(2, 2, "site", "10.1.0.0/16", "10.1.0.0/16"))
	})
	t.Run("what does not meet", func(t *testing.T) {
		r := newHolders()
		one := netOf(1, 1, "a", "192.168.1.10/32", all)
		one.TSRemote[0].Proto, one.TSRemote[0].PortFrom, one.TSRemote[0].PortTo = 17, 1701, 1701
		holds(t, r, one)
		two := netOf(2, 2, "b", "192.168.1.10/32", all)
		two.TSRemote[0].Proto = 6
		holds(t, r, two)
		three := netOf(3, 3, "c", "192.168.1.10/32", all)
		three.TSLocal = ts("172.16.0.0/12")
		holds(t, r, three)
	})
	// host is a child in transport mode; the peer's address is that of its NAT.
	host := func(unique uint64, spi uint32, name, at string, udp bool) *ike.ChildSA {
		c := netOf(unique, spi, name, at, all)
		c.Mode, c.Encap = ike.ModeTransport, udp
		return c
	}
	t.Run("transport mode in UDP", func(t *testing.T) {
		r := newHolders()
		holds(t, r, host(1, 1, "a", "203.0.113.5/32", true))
		holds(t, r, host(2, 2, "b", "203.0.113.5/32", true))
		holds(t, r, host(3, 3, "a", "203.0.113.5/32", true)) // two devices of one user
		refused(t, r, host(4, 4, "denies its NAT", "203.0.113.5/32", false), "encap = yes", "RFC 3948, Section 5.2")
		refused(t, r, netOf(4, 4, "thief", "203.0.113.5/32", all), "encap = yes")
		refused(t, r, netOf(4, 4, "thief", "203.0.113.5/32", "203.0.113.5/32"))
		refused(t, r, netOf(4, 4, "thief", "203.0.113.0/24", all))
		holds(t, r, netOf(4, 4, "site", "203.0.113.0/24", "203.0.113.0/24"))
	})
	t.Run("transport mode without UDP", func(t *testing.T) {
		r := newHolders()
		holds(t, r, host(1, 1, "a", "203.0.113.5/32", false))
		holds(t, r, host(2, 2, "a", "203.0.113.5/32", false), 1)
		refused(t, r, host(3, 3, "b", "203.0.113.5/32", false))
		refused(t, r, host(3, 3, "b", "203.0.113.5/32", true))
		holds(t, r, host(3, 3, "b", "203.0.113.6/32", false))
	})
	t.Run("transport mode and tunnels", func(t *testing.T) {
		r := newHolders()
		holds(t, r, netOf(1, 1, "all", "0.0.0.0/0", all))
		holds(t, r, host(2, 2, "host", "203.0.113.5/32", false)) // what the operator wrote is around it
		holds(t, r, netOf(3, 3, "other", "198.51.100.7/32", "198.51.100.7/32"))
		refused(t, r, host(4, 4, "host of another", "198.51.100.7/32", true))
		r = newHolders()
		holds(t, r, netOf(1, 1, "a", "203.0.113.5/32", all)) // dynamic
		refused(t, r, host(2, 2, "b", "203.0.113.5/32", true))
	})
	t.Run("transport mode over PF_KEY", func(t *testing.T) {
		tells = false
		r := newHolders()
		holds(t, r, host(1, 1, "a", "203.0.113.5/32", true))
		refused(t, r, host(2, 2, "b", "203.0.113.5/32", true), "none of them has IPComp")
		holds(t, r, host(3, 3, "a", "203.0.113.5/32", true), 1)
	})
}

// BenchmarkHolders is one client more among 10,000.
func BenchmarkHolders(b *testing.B) {
	r := newHolders()
	for i := range uint32(10000) {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, err := r.hold(time.Time{}, netOf(uint64(i)+1, i+1, "x"+a.String(), a.String()+"/32", "0.0.0.0/0"), true); err != nil {
			b.Fatal(err)
		}
	}
	c := netOf(1<<20, 1<<20, "y", "10.200.0.1/32", "0.0.0.0/0")
	for b.Loop() {
		if _, err := r.hold(time.Time{}, c, true); err != nil {
			b.Fatal(err)
		}
		r.release(c.SPIIn)
	}
}

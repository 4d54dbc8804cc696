// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ike"
)

var (
	any4 = netip.IPv4Unspecified()
	any6 = netip.IPv6Unspecified()
)

func prefix(name, p string) ike.Pool { return ike.Pool{Name: name, Prefix: netip.MustParsePrefix(p)} }

func user(n int) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: fmt.Appendf(nil, "user%d.example", n)} }

func load(t *testing.T, pools ...ike.Pool) *Set {
	t.Helper()
	s := New()
	for _, p := range pools {
		if err := s.Load(p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func leased(t *testing.T, s *Set, id ike.ID, names []string, wanted ...netip.Addr) string {
	t.Helper()
	l, err := s.Lease(names, id, wanted)
	if err != nil {
		return "none"
	}
	return fmt.Sprint(l.Addrs)
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		prefix, base, first, last string
		size                      int
	}{
		{"10.3.0.0/24", "10.3.0.0", "10.3.0.1", "10.3.0.254", 254},
		{"10.3.0.77/24", "10.3.0.0", "10.3.0.1", "10.3.0.254", 254},
		{"10.3.0.4/30", "10.3.0.4", "10.3.0.5", "10.3.0.6", 2},
		{"10.3.0.4/31", "10.3.0.4", "10.3.0.4", "10.3.0.5", 2},
		{"10.3.0.4/32", "10.3.0.4", "10.3.0.4", "10.3.0.4", 1},
		{"10.0.0.0/8", "10.0.0.0", "10.0.0.1", "10.255.255.254", 1<<24 - 2},
		{"fd00::/64", "fd00::", "fd00::1", "fd00::ffff:ffff:ffff:fffe", maxSize},
		{"fd00::/120", "fd00::", "fd00::1", "fd00::fe", 254},
		{"::/0", "::", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", maxSize},
	} {
		s := load(t, prefix("p", c.prefix))
		p, st := s.pools["p"], s.Status(false)[0]
		if st.Size != c.size || st.Base.String() != c.base || p.from.String() != c.first || p.to.String() != c.last {
			t.Errorf("%s: base %s, size %d, %s to %s", c.prefix, st.Base, st.Size, p.from, p.to)
		}
	}
	if err := New().Load(ike.Pool{Name: "p", From: netip.MustParseAddr("10.0.0.9"), To: netip.MustParseAddr("10.0.0.3")}); err == nil {
		t.Error("a range that ends before it begins was loaded")
	}
	if err := New().Load(ike.Pool{Name: "p", From: netip.MustParseAddr("10.0.0.9"), To: netip.MustParseAddr("fd00::1")}); err == nil {
		t.Error("a range of two families was loaded")
	}
	if err := New().Load(ike.Pool{Name: "p"}); err == nil {
		t.Error("a pool without addresses was loaded")
	}
}

func TestLeases(t *testing.T) {
	s := load(t, prefix("a", "10.3.0.0/29"), prefix("b", "10.4.0.0/30"), prefix("six", "fd00::/120"))
	ab := []string{"a", "b"}
	for i, want := range []string{"[10.3.0.1]", "[10.3.0.2]", "[10.3.0.3]", "[10.3.0.4]", "[10.3.0.5]", "[10.3.0.6]", "[10.4.0.1]", "[10.4.0.2]", "none"} {
		if got := leased(t, s, user(i), ab, any4); got != want {
			t.Errorf("user %d got %s, expected %s", i, got, want)
		}
	}
	release := func(n int, addr string) { s.Release(ab, user(n), []netip.Addr{netip.MustParseAddr(addr)}) }
	release(3, "10.3.0.3") // not theirs
	if got := leased(t, s, user(9), ab, any4); got != "none" {
		t.Errorf("an address was released by somebody whose it is not: %s", got)
	}
	release(4, "10.3.0.5")
	release(1, "10.3.0.2")
	if got := leased(t, s, user(1), ab, any4); got != "[10.3.0.2]" {
		t.Errorf("the same identity got %s, expected its address", got)
	}
	if got := leased(t, s, user(10), ab, any4); got != "[10.3.0.5]" {
		t.Errorf("a new identity got %s, expected the one that is unused", got)
	}
	if got := leased(t, s, user(4), ab, any4); got != "none" {
		t.Errorf("the identity whose address was taken got %s", got)
	}
	if got := leased(t, s, user(1), []string{"six", "a"}, any6, any4); got != "[fd00::1]" {
		t.Errorf("both families, one exhausted: %s", got)
	}
	if got := leased(t, s, user(1), []string{"six"}, any4); got != "none" {
		t.Errorf("IPv4 of an IPv6 pool: %s", got)
	}
	if got := leased(t, s, user(1), nil, any4); got != "none" {
		t.Errorf("without pools: %s", got)
	}
}

// A wish is granted where the address is free or the identity's own (T-113).
func TestWishes(t *testing.T) {
	s := load(t, prefix("a", "10.3.0.0/24"))
	a := []string{"a"}
	for _, c := range []struct {
		user int
		want string
		got  string
	}{
		{1, "10.3.0.7", "[10.3.0.7]"},
		{2, "10.3.0.7", "[10.3.0.1]"},  // used by another
		{1, "10.3.0.7", "[10.3.0.7]"},  // its own, before the old SA is gone
		{3, "10.3.0.0", "[10.3.0.2]"},  // the network
		{4, "192.0.2.1", "[10.3.0.3]"}, // not of the pool
		{5, "10.3.0.4", "[10.3.0.4]"},
		{6, "0.0.0.0", "[10.3.0.5]"}, // .4 is passed over
	} {
		if got := leased(t, s, user(c.user), a, netip.MustParseAddr(c.want)); got != c.got {
			t.Errorf("user %d wants %s and got %s, expected %s", c.user, c.want, got, c.got)
		}
	}
	s.Release(a, user(1), []netip.Addr{netip.MustParseAddr("10.3.0.7")})
	if st := s.Status(true)[0]; st.Online != 6 || st.Offline != 0 {
		t.Errorf("one of two uses was released: %d used, %d not", st.Online, st.Offline)
	}
	s.Release(a, user(1), []netip.Addr{netip.MustParseAddr("10.3.0.7")})
	s.Release(a, user(1), []netip.Addr{netip.MustParseAddr("10.3.0.7")})
	if got := leased(t, s, user(7), a, netip.MustParseAddr("10.3.0.7")); got != "[10.3.0.6]" {
		t.Errorf("an address that is remembered for another was given: %s", got)
	}
}

func TestAttributes(t *testing.T) {
	one, two := prefix("one", "10.3.0.0/24"), prefix("two", "fd00::/120")
	one.DNS = []netip.Addr{netip.MustParseAddr("10.3.0.53")}
	two.DNS = []netip.Addr{netip.MustParseAddr("fd00::53"), netip.MustParseAddr("10.3.0.53")}
	one.Attrs = []ike.Attr{{Type: 25, Value: []byte("example.com")}}
	s := load(t, one, two)
	got, err := s.Lease([]string{"one", "two", "none", "one"}, user(1), []netip.Addr{any4, any6, any4, {}})
	want := ike.Leased{
		Addrs: []netip.Addr{netip.MustParseAddr("10.3.0.1"), netip.MustParseAddr("fd00::1")},
		DNS:   []netip.Addr{netip.MustParseAddr("10.3.0.53"), netip.MustParseAddr("fd00::53")},
		Attrs: one.Attrs,
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestReload(t *testing.T) {
	s := load(t, prefix("a", "10.3.0.0/24"))
	a := []string{"a"}
	leased(t, s, user(1), a, any4)
	same := prefix("a", "10.3.0.0/24")
	same.DNS = []netip.Addr{netip.MustParseAddr("10.3.0.53")}
	if err := s.Load(same); err != nil || s.Status(false)[0].Online != 1 {
		t.Errorf("the same range again: %v, %+v", err, s.Status(false))
	}
	if err := s.Load(prefix("a", "10.9.0.0/24")); err == nil {
		t.Error("the range of a used pool was changed")
	}
	if err := s.Unload("a"); err == nil {
		t.Error("a used pool was unloaded")
	}
	s.Release(a, user(1), []netip.Addr{netip.MustParseAddr("10.3.0.1")})
	if err := s.Load(prefix("a", "10.9.0.0/24")); err != nil {
		t.Error(err)
	}
	if got := leased(t, s, user(1), a, any4); got != "[10.9.0.1]" {
		t.Errorf("after the change: %s", got)
	}
	s.Release(a, user(1), []netip.Addr{netip.MustParseAddr("10.9.0.1")})
	if err := s.Unload("a"); err != nil || s.Unload("a") == nil {
		t.Error("unload of an unused pool, then of none")
	}
}

// A pool remembers a bounded number of identities, whatever its size (T-112: bounded).
func TestBounded(t *testing.T) {
	s := load(t, prefix("six", "fd00::/64"))
	for i := range maxLeases + 100 {
		l, err := s.Lease([]string{"six"}, user(i), []netip.Addr{any6})
		if err != nil {
			t.Fatal(err)
		}
		s.Release([]string{"six"}, user(i), l.Addrs)
	}
	p := s.pools["six"]
	if len(p.leases) != maxLeases || len(p.owned) != maxLeases || p.offline.Len() != maxLeases {
		t.Errorf("%d leases of %d identities, %d unused, expected %d", len(p.leases), len(p.owned), p.offline.Len(), maxLeases)
	}
}

// TestHistories is T-112 for one gateway: in any history an address in use has one owner, lies in its pool, and a second
// set with the same history is the same.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := New(), New()
		for _, s := range []*Set{one, two} {
			for _, p := range []ike.Pool{prefix("a", "10.3.0.0/29"), prefix("b", "10.3.1.0/30"), prefix("six", "fd00::/125")} {
				if err := s.Load(p); err != nil {
					t.Fatal(err)
				}
			}
		}
		names := []string{"a", "b", "six"}
		type use struct {
			user int
			addr netip.Addr
		}
		var uses []use
		t.Repeat(map[string]func(*rapid.T){
			"lease": func(t *rapid.T) {
				n := rapid.IntRange(0, 12).Draw(t, "user")
				want := rapid.SampledFrom([]netip.Addr{any4, any6, netip.MustParseAddr("10.3.0.3"), netip.MustParseAddr("10.3.1.2")}).Draw(t, "want")
				l, err := one.Lease(names, user(n), []netip.Addr{want})
				l2, err2 := two.Lease(names, user(n), []netip.Addr{want})
				if (err == nil) != (err2 == nil) || !slices.Equal(l.Addrs, l2.Addrs) {
					t.Fatalf("the same history gave %v and %v", l.Addrs, l2.Addrs)
				}
				if err != nil {
					return
				}
				a := l.Addrs[0]
				for _, u := range uses {
					if u.addr == a && u.user != n {
						t.Fatalf("%s is used by user %d and was leased to user %d", a, u.user, n)
					}
				}
				if a.BitLen() != want.BitLen() {
					t.Fatalf("wanted %s, got %s", want, a)
				}
				uses = append(uses, use{n, a})
			},
			"release": func(t *rapid.T) {
				if len(uses) == 0 {
					t.Skip("nothing is used")
				}
				i := rapid.IntRange(0, len(uses)-1).Draw(t, "use")
				one.Release(names, user(uses[i].user), []netip.Addr{uses[i].addr})
				two.Release(names, user(uses[i].user), []netip.Addr{uses[i].addr})
				uses = slices.Delete(uses, i, i+1)
			},
			"": func(t *rapid.T) {
				used := map[netip.Addr]bool{}
				for _, u := range uses {
					used[u.addr] = true
				}
				online := 0
				for _, st := range one.Status(true) {
					online += st.Online
					if st.Online+st.Offline > st.Size || len(st.Leases) != st.Online+st.Offline {
						t.Fatalf("%+v", st)
					}
				}
				if online != len(used) {
					t.Fatalf("%d addresses online, %d are used", online, len(used))
				}
				if diff := cmp.Diff(one.Status(true), two.Status(true), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Fatal(diff)
				}
			},
		})
	})
}

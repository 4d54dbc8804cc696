// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package route

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/port/store"
)

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"10.0.0.0", "10.255.255.255", []string{"10.0.0.0/8"}},
		{"0.0.0.0", "255.255.255.255", []string{"0.0.0.0/0"}},
		{"192.0.2.1", "192.0.2.6", []string{"192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"}},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", []string{"::/0"}},
		{"2001:db8::1", "2001:db8::1", []string{"2001:db8::1/128"}},
		{"10.0.0.2", "10.0.0.1", nil},
		{"10.0.0.2", "::1", nil},
	} {
		var got []string
		for _, p := range Prefixes(netip.MustParseAddr(c.from), netip.MustParseAddr(c.to)) {
			got = append(got, p.String())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s-%s: %s", c.from, c.to, d)
		}
	}
}

func TestPrefixesCoverExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) netip.Addr {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)))
		}
		from, to := draw("from"), draw("to")
		if to.Less(from) {
			from, to = to, from
		}
		next := from
		list := Prefixes(from, to)
		for _, p := range list {
			if p.Addr() != next || p != p.Masked() {
				t.Fatalf("gap at %v: %v", next, p)
			}
			next = Last(p).Next()
		}
		if len(list) == 0 || Last(list[len(list)-1]) != to {
			t.Fatalf("does not end at %v: %v", to, list)
		}
	})
}

func TestCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "from")))
		to := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "to")))
		if to.Less(from) {
			from, to = to, from
		}
		p := Cover(from, to)
		if !p.Contains(from) || !p.Contains(to) || p != p.Masked() {
			t.Fatalf("%v does not hold %v to %v", p, from, to)
		}
		if p.Bits() < 32 {
			if longer := netip.PrefixFrom(from, p.Bits()+1).Masked(); longer.Contains(to) {
				t.Fatalf("%v would do for %v to %v, got %v", longer, from, to, p)
			}
		}
	})
	if p := Cover(netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")); p.IsValid() {
		t.Errorf("no range: %v", p)
	}
}

func TestUndoRefusesNonsense(t *testing.T) {
	for _, u := range []store.Undo{
		{Kind: KindAddress, Name: "x", Args: map[string]string{"addr": "nonsense"}},
		{Kind: KindRoute, Name: "x", Args: map[string]string{"dst": "10.0.0.0"}},
		{Kind: KindRoute, Name: "x", Args: map[string]string{"dst": "10.0.0.0/8", "table": "many"}},
		{Kind: KindRule, Name: "4", Args: map[string]string{"table": "1", "priority": "2", "mark": "3", "mask": "-4"}},
		{Kind: "nonsense"},
	} {
		if err := Undo(u); err == nil {
			t.Errorf("%+v was taken", u)
		}
	}
}

func TestUsersAreCounted(t *testing.T) {
	h := &Host{held: map[string]*held{}}
	sets := 0
	set := func() error { sets++; return nil }
	u := store.Undo{Kind: KindAddress, Name: "none0", Args: map[string]string{"addr": "192.0.2.1"}}
	for range 2 {
		if err := h.hold("k", "a", u, set); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.hold("k", "b", u, set); err != nil || sets != 2 {
		t.Errorf("a changed source must be set again: %d sets, %v", sets, err)
	}
	for i := 2; i > 0; i-- {
		if err := h.release("k"); err != nil || h.held["k"] == nil {
			t.Fatalf("taken back with %d users left: %v", i, err)
		}
	}
}

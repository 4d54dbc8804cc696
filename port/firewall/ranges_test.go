// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package firewall

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func sel(from, to string) Selector {
	return Selector{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), PortTo: 0xffff}
}

// Merged ranges hold exactly the same addresses, and neither overlap nor touch.
func TestMerge(t *testing.T) {
	at := func(n int) netip.Addr {
		if n > 255 {
			return netip.MustParseAddr("255.255.255.255")
		}
		return netip.AddrFrom4([4]byte{255, 255, 255, byte(n)})
	}
	rapid.Check(t, func(t *rapid.T) {
		var want [256]bool
		var list []span
		for range rapid.IntRange(0, 12).Draw(t, "n") {
			from := rapid.IntRange(0, 255).Draw(t, "from")
			to := rapid.IntRange(from, 255).Draw(t, "to")
			for i := from; i <= to; i++ {
				want[i] = true
			}
			list = append(list, span{at(from), at(to)})
		}
		var got [256]bool
		last := -2
		for _, s := range merge(list) {
			from, to := int(s.from.As4()[3]), int(s.to.As4()[3])
			if from <= last+1 || to < from {
				t.Fatalf("%v touches what is before it", s)
			}
			for i := from; i <= to; i++ {
				got[i] = true
			}
			last = to
		}
		if got != want {
			t.Fatalf("%v is not %v", got, want)
		}
	})
}

func TestArrange(t *testing.T) {
	one := Policy{ID: "a", Local: sel("10.0.0.0", "10.0.0.255"), Remote: sel("192.0.2.1", "192.0.2.1")}
	two, port, pass, drop := one, one, one, one
	two.ID, two.Remote = "b", sel("192.0.2.2", "192.0.2.2")
	port.ID, port.Remote.Proto, port.Remote.PortFrom, port.Remote.PortTo = "c", 6, 80, 80
	pass.ID, pass.Action = "d", Bypass
	drop.ID, drop.Action = "e", Discard
	rules, scopes := arrange([]Policy{one, port, two, pass, drop})
	if len(rules) != 3 || rules[0].ID != "c" || len(scopes) != 1 {
		t.Errorf("rules %v, scopes %v", rules, scopes)
	}
	want := span{one.Remote.From, two.Remote.To}
	if got := scopes[scope{one.Local.From, one.Local.To}]; len(got) != 1 || got[0] != want {
		t.Errorf("%v, want %v", got, want)
	}
}

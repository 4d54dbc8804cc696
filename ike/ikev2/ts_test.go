// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// sels reads "10.0.0.0-10.0.0.255 10.1.0.1-10.1.0.1[6:80-80]".
func sels(t testing.TB, text string) []ike.Selector {
	t.Helper()
	var list []ike.Selector
	for _, f := range strings.Fields(text) {
		addrs, rest, limited := strings.Cut(strings.TrimSuffix(f, "]"), "[")
		from, to, _ := strings.Cut(addrs, "-")
		s := ike.Selector{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), PortTo: 65535}
		if limited {
			if _, err := fmt.Sscanf(rest, "%d:%d-%d", &s.Proto, &s.PortFrom, &s.PortTo); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, s)
	}
	return list
}

func text(list []ike.Selector) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = s.From.String() + "-" + s.To.String()
		if s.Proto != 0 || s.PortFrom != 0 || s.PortTo != 65535 {
			parts[i] += fmt.Sprintf("[%d:%d-%d]", s.Proto, s.PortFrom, s.PortTo)
		}
	}
	return strings.Join(parts, " ")
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct{ name, offer, conf, want string }{
		{"equal", "10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255"},
		{"narrowed by the configuration", "0.0.0.0-255.255.255.255", "10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255"},
		{"narrower offer", "10.0.0.7-10.0.0.7", "10.0.0.0-10.0.0.255", "10.0.0.7-10.0.0.7"},
		{"overlap", "10.0.0.128-10.0.1.127", "10.0.0.0-10.0.0.255", "10.0.0.128-10.0.0.255"},
		{"nothing", "10.1.0.0-10.1.0.255", "10.0.0.0-10.0.0.255", ""},
		{"families do not mix", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "10.0.0.0-10.0.0.255", ""},
		// RFC 7296, Section 2.9: the first selector is that of the packet and is part of the second.
		{"of a packet first", "10.0.0.7-10.0.0.7[6:80-80] 10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255"},
		{"of a packet, only it is allowed", "10.0.0.7-10.0.0.7[6:80-80] 10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255[6:80-80]",
			"10.0.0.0-10.0.0.255[6:80-80]"},
		{"protocol and ports", "10.0.0.0-10.0.0.255[17:1-1000]", "10.0.0.0-10.0.0.255[17:500-2000]", "10.0.0.0-10.0.0.255[17:500-1000]"},
		{"other protocol", "10.0.0.0-10.0.0.255[17:0-65535]", "10.0.0.0-10.0.0.255[6:0-65535]", ""},
		{"two of two", "10.0.0.0-10.0.0.255 fd00::-fd00::ff", "fd00::1-fd00::1 10.0.0.0-10.0.255.255", "10.0.0.0-10.0.0.255 fd00::1-fd00::1"},
		{"doubled offer", "10.0.0.0-10.0.0.255 10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255", "10.0.0.0-10.0.0.255"},
	} {
		if got := text(narrow(sels(t, c.offer), sels(t, c.conf))); got != c.want {
			t.Errorf("%s: %q, expected %q", c.name, got, c.want)
		}
	}
	many := make([]ike.Selector, 200)
	for i := range many {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i), 1})
		many[i] = ike.Selector{From: a, To: a, PortTo: 65535}
	}
	if got := narrow(many, sels(t, "10.0.0.0-10.255.255.255")); len(got) != maxSelectors {
		t.Errorf("200 offered selectors gave %d, expected %d", len(got), maxSelectors)
	}
}

// A peer that may have all of IPv6 must not get IPv4 by it.
func TestMappedSelectorsAreNone(t *testing.T) {
	offer := toWire(true, sels(t, "::ffff:0.0.0.0-::ffff:255.255.255.255 ::1-::ffff:10.0.0.1 fd00::1-fd00::1"))
	conf := sels(t, "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 0.0.0.0-255.255.255.255")
	if got := text(narrow(fromWire(offer), conf)); got != "fd00::1-fd00::1" {
		t.Errorf("negotiated %q", got)
	}
}

// What is negotiated lies in the offer and in the configuration, and every address pair that both allow is in it.
func TestNarrowIsIntersection(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) ike.Selector {
		a, b := rapid.Byte().Draw(t, "from"), rapid.Byte().Draw(t, "to")
		p, q := rapid.Uint16Range(0, 9).Draw(t, "port"), rapid.Uint16Range(0, 9).Draw(t, "port to")
		return ike.Selector{From: netip.AddrFrom4([4]byte{10, 0, 0, min(a, b)}), To: netip.AddrFrom4([4]byte{10, 0, 0, max(a, b)}),
			Proto: rapid.SampledFrom([]uint8{0, 6, 17}).Draw(t, "proto"), PortFrom: min(p, q), PortTo: max(p, q)}
	})
	in := func(list []ike.Selector, s ike.Selector) bool { return subset([]ike.Selector{s}, list) }
	rapid.Check(t, func(t *rapid.T) {
		offer := rapid.SliceOfN(draw, 0, 4).Draw(t, "offer")
		conf := rapid.SliceOfN(draw, 0, 4).Draw(t, "conf")
		got := narrow(offer, conf)
		a := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "address")})
		port := rapid.Uint16Range(0, 9).Draw(t, "packet's port")
		packet := ike.Selector{From: a, To: a, Proto: rapid.SampledFrom([]uint8{6, 17, 50}).Draw(t, "packet"), PortFrom: port, PortTo: port}
		if in(got, packet) != (in(offer, packet) && in(conf, packet)) {
			t.Fatalf("%s of %s and %s is wrong for %s", text(got), text(offer), text(conf), text([]ike.Selector{packet}))
		}
	})
}

func TestResolve(t *testing.T) {
	conf := append(sels(t, "10.0.0.0-10.0.0.255"), ike.Selector{Dynamic: true, Proto: 6, PortFrom: 80, PortTo: 80})
	addrs := []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00::9")}
	if got, want := text(resolve(conf, addrs)), "10.0.0.0-10.0.0.255 10.9.0.1-10.9.0.1[6:80-80] fd00::9-fd00::9[6:80-80]"; got != want {
		t.Errorf("%q, expected %q", got, want)
	}
	if got := text(resolve(conf, nil)); got != "10.0.0.0-10.0.0.255" {
		t.Errorf("without addresses: %q", got)
	}
}

func TestSelectorsOnTheWire(t *testing.T) {
	list := sels(t, "10.0.0.0-10.0.0.255[6:80-80] fd00::-fd00::ff")
	if got := text(fromWire(toWire(true, list))); got != text(list) {
		t.Errorf("%q, expected %q", got, text(list))
	}
	// RFC 7296, Section 3.13.1: OPAQUE ports are 65535 to 0; this host cannot match them.
	opaque := &ikev2msg.TS{Selectors: []ikev2msg.Selector{{AddrFrom: list[0].From, AddrUpTo: list[0].To, PortFrom: 65535, PortTo: 0}}}
	if got := fromWire(opaque); len(got) != 0 {
		t.Errorf("OPAQUE became %q", text(got))
	}
}

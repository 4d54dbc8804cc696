// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ike"
)

func spec(from, to string) ike.AddrSpec {
	return ike.AddrSpec{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}
}

func TestCandidatesMostSpecificFirst(t *testing.T) {
	c := newConnections()
	c.replace([]*ike.Connection{
		{Name: "any"},
		{Name: "other", RemoteAddrs: []ike.AddrSpec{spec("203.0.113.1", "203.0.113.1")}},
		{Name: "range", RemoteAddrs: []ike.AddrSpec{spec("198.51.100.0", "198.51.100.255")}},
		{Name: "host", RemoteAddrs: []ike.AddrSpec{{Host: "peer.example"}}},
		{Name: "six", RemoteAddrs: []ike.AddrSpec{spec("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}},
		{Name: "local", LocalAddrs: []ike.AddrSpec{spec("192.0.2.1", "192.0.2.1")}},
	})
	remote := netip.MustParseAddr("198.51.100.7")
	resolve := func(string) []netip.Addr { return []netip.Addr{remote} }
	var names []string
	for _, conn := range c.candidates(netip.MustParseAddr("192.0.2.1"), remote, resolve) {
		names = append(names, conn.Name)
	}
	want := []string{"host", "range", "local", "any"}
	if len(names) != len(want) {
		t.Fatalf("candidates %v, expected %v", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Fatalf("candidates %v, expected %v", names, want)
		}
	}
}

func TestNamedFindsChildren(t *testing.T) {
	c := newConnections()
	c.replace([]*ike.Connection{
		{Name: "a", Children: []*ike.ChildConfig{{Name: "x"}}},
		{Name: "b", Children: []*ike.ChildConfig{{Name: "x"}, {Name: "y"}}},
	})
	for _, q := range []struct{ conn, child, wantConn, wantChild string }{
		{"", "x", "a", "x"}, {"b", "x", "b", "x"}, {"", "y", "b", "y"}, {"a", "", "a", ""},
	} {
		cn, ch, err := c.named(q.conn, q.child)
		if err != nil || cn.Name != q.wantConn || (ch == nil) != (q.wantChild == "") || ch != nil && ch.Name != q.wantChild {
			t.Errorf("named(%q, %q) = %v, %v, %v", q.conn, q.child, cn, ch, err)
		}
	}
	for _, q := range []struct{ conn, child string }{{"c", ""}, {"a", "y"}, {"", "z"}} {
		_, _, err := c.named(q.conn, q.child)
		var missing *NotFoundError
		if !errors.As(err, &missing) {
			t.Errorf("named(%q, %q): %v, expected a NotFoundError", q.conn, q.child, err)
		}
	}
	if _, _, err := c.named("", ""); err == nil {
		t.Error("no name at all was accepted")
	}
}

func TestConnectionsAreReplacedWhole(t *testing.T) {
	c := newConnections()
	before := c.all()
	if err := c.set(&ike.Connection{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if len(before) != 0 || len(c.all()) != 1 {
		t.Errorf("a list that was handed out changed: %d, %d", len(before), len(c.all()))
	}
	if !c.remove("a") || c.remove("a") {
		t.Error("remove did not say whether there was one")
	}
}

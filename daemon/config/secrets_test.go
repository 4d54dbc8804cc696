// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package config

import (
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
)

// TestFindShared: the key that names both sides best is taken.
func TestFindShared(t *testing.T) {
	id := func(s string) ike.ID { v, _ := ParseID(s); return v }
	list := []Shared{
		{ID: "any", Secret: secret.New([]byte("any"))},
		{ID: "dom", Secret: secret.New([]byte("dom")), Owners: []ike.ID{id("*.example.org")}},
		{ID: "moon", Secret: secret.New([]byte("moon")), Owners: []ike.ID{id("moon.example.org")}},
		{ID: "both", Secret: secret.New([]byte("both")), Owners: []ike.ID{id("moon.example.org"), id("sun.example.org")}},
	}
	for _, c := range []struct{ local, remote, want string }{
		{"x", "y", "any"}, {"x", "a.example.org", "dom"}, {"x", "moon.example.org", "moon"}, {"sun.example.org", "moon.example.org", "both"},
	} {
		k, ok := FindShared(list, id(c.local), id(c.remote))
		if !ok || !k.Equal(secret.New([]byte(c.want))) {
			t.Errorf("%s – %s: not the key %s", c.local, c.remote, c.want)
		}
	}
	if _, ok := FindShared(list[2:], id("x"), id("y")); ok {
		t.Error("a key of others was found")
	}
}

// TestT042FindShared: a key of somebody else and this host is not a key of everybody and this host.
func TestT042FindShared(t *testing.T) {
	id := func(s string) ike.ID { v, _ := ParseID(s); return v }
	one := func(owners ...string) []Shared {
		s := Shared{Secret: secret.New([]byte("k"))}
		for _, o := range owners {
			s.Owners = append(s.Owners, id(o))
		}
		return []Shared{s}
	}
	for _, c := range []struct {
		owners        []string
		local, remote string
		want          bool
	}{
		{[]string{"alice", "gw"}, "gw", "alice", true},
		{[]string{"alice", "gw"}, "gw", "carol", false},
		{[]string{"alice", "gw"}, "gw", "%any", true}, // an initiator does not know the peer's identity yet
		{[]string{"alice", "gw"}, "moon", "carol", false},
		{[]string{"gw"}, "gw", "carol", true},
		{[]string{"gw", "gw"}, "gw", "carol", true},
		{[]string{"gw", "%any"}, "gw", "carol", true},
		{[]string{"alice", "*.example.org"}, "gw", "a.example.org", true},
		{[]string{"*.example.org"}, "gw.example.org", "carol", false},
		{[]string{"alice"}, "gw", "%any", false},
		{[]string{"alice"}, "%any", "carol", false},
		{nil, "gw", "carol", true},
	} {
		if _, ok := FindShared(one(c.owners...), id(c.local), id(c.remote)); ok != c.want {
			t.Errorf("owners %v, %s and %s: %v", c.owners, c.local, c.remote, ok)
		}
	}
}

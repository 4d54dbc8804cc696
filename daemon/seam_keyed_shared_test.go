// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// Several clients in transport mode at one address over PF_KEY (RFC 3948, Section 5.2).

package daemon

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// l2tpChild is a child in transport mode of a client that its NAT has given a port.
func l2tpChild(t *testing.T, k *keyed, unique uint64, spiOut uint32, at string, change func(*ike.ChildSA)) ike.ChildSA {
	t.Helper()
	c := keyedChild(t, k, unique, 1, spiOut)
	k.Ask(time.Now(), unique, ike.Remove{SPIIn: c.SPIIn})
	c.Path, c.Mode, c.OrigRemote = keyedPath(at), ike.ModeTransport, netip.MustParseAddr("10.0.0.5")
	r, ok := k.Ask(time.Now(), unique, ike.Reserve{Local: c.Path.Local.Addr(), Remote: c.Path.Remote.Addr(), Mode: c.Mode}).(ike.Reserved)
	if !ok {
		t.Fatal("no reservation")
	}
	c.SPIIn, c.Reqid, c.ChildID = r.SPI, r.Reqid, r.ChildID
	c.TSLocal, c.TSRemote = prefix("192.0.2.1/32"), prefix(c.Path.Remote.Addr().String()+"/32")
	for _, s := range []*ike.Selector{&c.TSLocal[0], &c.TSRemote[0]} {
		s.Proto, s.PortFrom, s.PortTo = 17, 1701, 1701
	}
	if change != nil {
		change(&c)
	}
	return c
}

// TestKeyedClientsOfOneNAT: they share policies, whatever ports they have, which are of all ports behind the NAT; each SA says what it carries,
// and the last one to go takes the policies along. A rekey and a move of one change nothing of that.
func TestKeyedClientsOfOneNAT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	held := newHolders()
	put := func(c ike.ChildSA) {
		t.Helper()
		c.RemoteID = ike.ID{Data: []byte{byte(c.Unique)}}
		if older, err := held.hold(time.Now(), &c, k.tells(&c)); err != nil || len(older) != 0 {
			t.Fatalf("%v takes over from %v: %v", c.Path.Remote, older, err)
		}
		if a := k.Ask(time.Now(), c.Unique, ike.Install{Child: c}); a != (ike.Installed{}) {
			t.Fatalf("%v: %+v", c.Path.Remote, a)
		}
	}
	expect := func(when string, sas int) {
		t.Helper()
		n, policies := s.counts()
		if n != sas || policies != 2 {
			t.Errorf("%s: %d SAs and %d policies, expected %d and 2", when, n, policies, sas)
		}
		for _, p := range s.db.SPDList() {
			if x := p.Templates[0]; p.Remote.PortTo != 65535 || p.Local.PortTo != 1701 || x.Reqid != k.shared || x.Level != sadb.Unique {
				t.Errorf("%s: policy %+v", when, p)
			}
		}
		for _, ref := range s.db.SAs(0, false) {
			if i, _ := ref.Info(); i.Traffic == nil || i.Reqid != k.shared {
				t.Errorf("%s: SA %#x of reqid %d, %v", when, i.SPI, i.Reqid, i.Traffic)
			}
		}
	}
	one := l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", nil)
	put(one)
	expect("one", 2)
	put(l2tpChild(t, k, 8, 0xc0000002, "198.51.100.1:31001", func(c *ike.ChildSA) { c.TSRemote[0].PortFrom, c.TSRemote[0].PortTo = 50000, 50000 }))
	expect("two", 4)
	if a := k.Ask(time.Now(), 7, ike.Move{SPIIn: one.SPIIn, Path: keyedPath("198.51.100.1:32000")}); a != (ike.Installed{}) {
		t.Errorf("move: %+v", a)
	}
	expect("moved", 4)
	fresh := l2tpChild(t, k, 7, 0xc0000003, "198.51.100.1:32000", func(c *ike.ChildSA) { c.Standby, c.Replaces = true, one.SPIIn })
	put(fresh)
	k.Ask(time.Now(), 7, ike.Remove{SPIIn: one.SPIIn})
	expect("rekeyed", 4)
	k.RemoveAll(8)
	expect("one is gone", 2)
	k.RemoveAll(7)
	if sas, policies := s.counts(); sas != 0 || policies != 0 {
		t.Errorf("%d SAs and %d policies are left", sas, policies)
	}
}

// TestKeyedWithoutNAT: the engine gives ports to whoever is in UDP, so that the policies of a peer that no NAT is known of are of all ports too:
// from the one it was given nobody may send in the clear.
func TestKeyedWithoutNAT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	c := l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:4500", func(c *ike.ChildSA) { c.OrigRemote = netip.Addr{} })
	if a := k.Ask(time.Now(), 7, ike.Install{Child: c}); a != (ike.Installed{}) {
		t.Fatalf("%+v", a)
	}
	for _, p := range s.db.SPDList() {
		if p.Remote.PortTo != 65535 {
			t.Errorf("policy %+v, expected all remote ports", p)
		}
	}
}

// TestKeyedClientAtAnothers: a client that is heard from where another is, whose address it may have written as its source, moves to nowhere
// and gets nothing new there until the other is heard from elsewhere: what is for the other is found by that place.
func TestKeyedClientAtAnothers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	put := func(c ike.ChildSA) ike.Answer {
		c.RemoteID = ike.ID{Type: ike.IDFQDN, Data: []byte{'a' + byte(c.Unique)}}
		return k.Ask(time.Now(), c.Unique, ike.Install{Child: c})
	}
	one := l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", nil)
	two := l2tpChild(t, k, 8, 0xc0000002, "198.51.100.1:31001", nil)
	if a, b := put(one), put(two); a != (ike.Installed{}) || b != (ike.Installed{}) {
		t.Fatalf("%+v, %+v", a, b)
	}
	move := func(c ike.ChildSA, to string) ike.Answer {
		return k.Ask(time.Now(), c.Unique, ike.Move{SPIIn: c.SPIIn, Path: keyedPath(to)})
	}
	temporary := func(what string, a ike.Answer) {
		t.Helper()
		if f, ok := a.(ike.Failed); !ok || f.Refusal != ike.RefusalTemporary {
			t.Errorf("%s: %+v, expected to be refused for now", what, a)
		}
	}
	temporary("a move to where one is", move(two, "198.51.100.1:31000"))
	temporary("a new child there", put(l2tpChild(t, k, 8, 0xc0000003, "198.51.100.1:31000", nil)))
	for _, ref := range s.db.SAs(0, false) {
		if i, _ := ref.Info(); i.SPI == 0xc0000002 && i.Endpoint.Remote.Port() != 31001 {
			t.Errorf("the SA of two sends to %v", i.Endpoint.Remote)
		}
	}
	if a := put(l2tpChild(t, k, 7, 0xc0000004, "198.51.100.1:31000", nil)); a != (ike.Installed{}) {
		t.Errorf("a second child of one's own: %+v", a)
	}
	k.RemoveAll(7)
	if a := move(two, "198.51.100.1:31000"); a != (ike.Installed{}) {
		t.Errorf("a move to where nobody is any more: %+v", a)
	}
}

// TestKeyedClientsRefused: whom the service cannot tell from another at its address is refused, with the reason.
func TestKeyedClientsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	k.trapped = func(_, child string) uint32 { return map[string]uint32{"trap": 77}[child] }
	put := func(name string, c ike.ChildSA, told bool) {
		t.Helper()
		if got := k.tells(&c); got != told {
			t.Errorf("%s: told from others: %t", name, got)
		}
		held := newHolders()
		first := c
		first.RemoteID, first.SPIIn, first.Unique = ike.ID{Data: []byte("first")}, 1, 1
		if _, err := held.hold(time.Now(), &first, true); err != nil {
			t.Fatal(err)
		}
		_, err := held.hold(time.Now(), &c, k.tells(&c))
		if refused := err != nil && strings.Contains(err.Error(), "the service is Natterjack's"); refused == told {
			t.Errorf("%s: %v", name, err)
		}
		k.RemoveAll(c.Unique)
	}
	put("in UDP", l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", nil), true)
	for name, q := range map[string]ike.Reserve{"compressed": {IPComp: true}, "a trap's": {Initiated: true, Child: "trap"}} {
		put(name, l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", func(c *ike.ChildSA) {
			k.Ask(time.Now(), 7, ike.Remove{SPIIn: c.SPIIn})
			q.Local, q.Remote, q.Mode = c.Path.Local.Addr(), c.Path.Remote.Addr(), c.Mode
			r, _ := k.Ask(time.Now(), 7, q).(ike.Reserved)
			c.SPIIn, c.Reqid = r.SPI, r.Reqid
		}), false)
	}
	k.mu.Lock()
	k.tellsSAs = false // of a service that is not ours
	k.mu.Unlock()
	put("elsewhere", l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", nil), false)
	// More than can be said is refused, and not served with less.
	k.mu.Lock()
	k.tellsSAs = true
	k.mu.Unlock()
	many := l2tpChild(t, k, 7, 0xc0000001, "198.51.100.1:31000", func(c *ike.ChildSA) {
		for port := range uint16(pfkey.MaxTraffic) {
			one := c.TSLocal[0]
			one.PortFrom, one.PortTo = port+1, port+1
			c.TSLocal = append(c.TSLocal, one)
		}
	})
	if a, ok := k.Ask(time.Now(), 7, ike.Install{Child: many}).(ike.Failed); !ok || a.Refusal != ike.RefusalSelectors {
		t.Errorf("%d selectors: %+v", len(many.TSLocal), a)
	}
	if sas, policies := s.counts(); sas != 0 || policies != 0 {
		t.Errorf("%d SAs and %d policies are left", sas, policies)
	}
}

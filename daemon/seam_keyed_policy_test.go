// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// outs are the service's outbound policies, in the order in which packets meet them.
func (s *service) outs() []string {
	list := slices.DeleteFunc(s.db.SPDList(), func(p sadb.SPDInfo) bool { return p.Dir != sadb.Out })
	slices.SortStableFunc(list, func(a, b sadb.SPDInfo) int { return int(a.Priority) - int(b.Priority) })
	var out []string
	for _, p := range list {
		text := fmt.Sprintf("%s %s", p.Action, p.Remote.From)
		for _, t := range p.Templates {
			text += fmt.Sprintf(" reqid %d to %s", t.Reqid, t.Dst)
		}
		out = append(out, text)
	}
	return out
}

// wants is a policy of the operator's between 10.1.0.0/16 and remote.
func wants(action sadb.Action, remote string) *standing {
	return &standing{name: "c/x", action: action, local: prefix("10.1.0.0/16"), remote: prefix(remote),
		outLocal: netip.MustParseAddr("192.0.2.1"), outPeer: netip.MustParseAddr("198.51.100.1")}
}

// TestKeyedOrder: policies have the engine's order whatever came first, and one policy is handed from one to the other.
func TestKeyedOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	expect := func(when string, want ...string) {
		t.Helper()
		if got := s.outs(); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nexpected\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	drop, trap := wants(sadb.Discard, "10.2.0.0/16"), wants(sadb.Protect, "10.2.0.0/16")
	wide, pass := wants(sadb.Discard, "10.0.0.0/8"), wants(sadb.Bypass, "10.2.7.0/24")
	for _, p := range []*standing{wide, drop} {
		if err := k.hold(p); err != nil {
			t.Fatal(err)
		}
	}
	expect("shunts", "discard 10.2.0.0", "discard 10.0.0.0")
	if err := k.hold(trap); err != nil {
		t.Fatal(err)
	}
	waits := fmt.Sprintf("protect 10.2.0.0 reqid %d to 198.51.100.1", trap.reqid)
	expect("a trap", waits, "discard 10.0.0.0")
	child := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	has := fmt.Sprintf("protect 10.2.0.0 reqid %d to 198.51.100.1", child.Reqid)
	expect("a child", has, "discard 10.0.0.0")
	part := keyedPut(t, k, 7, 0, 0xc0000002, func(c *ike.ChildSA) { c.TSRemote = prefix("10.2.3.0/24") })
	hasPart := fmt.Sprintf("protect 10.2.3.0 reqid %d to 198.51.100.1", part.Reqid)
	expect("a younger child with a part of it", hasPart, has, "discard 10.0.0.0")
	if err := k.hold(pass); err != nil {
		t.Fatal(err)
	}
	expect("pass", "bypass 10.2.7.0", hasPart, has, "discard 10.0.0.0")
	k.drop(pass)
	k.RemoveAll(7)
	expect("without children", waits, "discard 10.0.0.0")
	k.drop(trap)
	expect("without the trap", "discard 10.2.0.0", "discard 10.0.0.0")
	k.drop(drop)
	k.drop(wide)
	expect("at the end")
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.reqids)+len(k.policies)+len(k.standing) != 0 {
		t.Error("the seam keeps something")
	}
}

// packet meets a policy that has no SA, and waits; for the server it is a while later.
func (s *service) packet(after time.Duration) sadb.Held {
	f := sadb.Flow{Local: sadb.IP{Lo: 10<<24 | 1<<16 | 1}, Remote: sadb.IP{Lo: 10<<24 | 2<<16 | 1}, Proto: 17}
	m, _ := s.db.Match(&f)
	held, _ := m.Hold(s.db.Clock(time.Now()), &f, make([]byte, 28))
	for list := make([]sadb.Notice, 8); s.db.Pending(); {
		for _, n := range list[:s.db.Notices(list)] {
			s.hub.Do(func(now time.Time) []pfkey.Delivery { return s.keys.Notice(now.Add(after), n) })
		}
	}
	return held
}

// TestKeyedTrap: a packet asks for SAs of the trap's reqid, those of its child have it, and a failure lets the next packet ask.
func TestKeyedTrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer func() { s.hub.Close() }()
	k, notices := keyedTo(t, path)
	asked := make(chan uint32, 8)
	trap := wants(sadb.Protect, "10.2.0.0/16")
	k.mu.Lock()
	k.asked = func(reqid uint32) { asked <- reqid }
	k.trapped = func(string, string) uint32 { return trap.reqid }
	k.mu.Unlock()
	if err := k.hold(trap); err != nil {
		t.Fatal(err)
	}
	ask := func(after time.Duration) {
		t.Helper()
		if held := s.packet(after); held != sadb.Kept {
			t.Fatalf("the packet: %v", held)
		}
		select {
		case id := <-asked:
			if id != trap.reqid {
				t.Fatalf("asked for reqid %d, expected %d", id, trap.reqid)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nobody was asked")
		}
	}
	ask(0)
	before := s.db.HeldDropped()
	k.acquireFailed(trap.reqid)
	for end := time.Now().Add(5 * time.Second); s.db.HeldDropped() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the failure changed nothing")
		}
	}
	ask(time.Minute)
	c := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	if c.Reqid != trap.reqid {
		t.Errorf("the child has reqid %d, expected the trap's, %d", c.Reqid, trap.reqid)
	}
	freed := 0
	s.db.Release(make([]byte, 2048), 8, func([]byte) { freed++ })
	if freed != 1 {
		t.Errorf("%d packets leave when the child is up, expected 1", freed)
	}
	// A service that comes back has the trap again.
	s.hub.Close()
	s = serve(t, path)
	<-notices
	ask(0)
}

// TestKeyedResetHolds: where all begins anew with a service that goes on, what holds traffic back is never gone in between.
func TestKeyedResetHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, notices := keyedTo(t, path)
	if err := k.hold(wants(sadb.Discard, "10.0.0.0/8")); err != nil {
		t.Fatal(err)
	}
	keyedPut(t, k, 7, 0, 0xc0000001, nil)
	other, err := port.Dial(t.Context(), path, pfkey.FreeBSD)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	k.reset()
	<-notices
	k.removeLeft() // the end of the last connection may have been heard only now
	last := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP, Seq: 77}}
	if err := other.Send(t.Context(), last); err != nil { // its answer comes behind everything that was said
		t.Fatal(err)
	}
	for {
		m, err := other.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == pfkey.TypeSPDDelete && m.Policy != nil && m.Policy.Type == pfkey.PolicyDiscard {
			t.Fatal("the policy that drops was gone for a moment")
		}
		if m.Type == pfkey.TypeRegister && m.Seq == last.Seq {
			break
		}
	}
	if sas, policies := s.counts(); sas != 0 || policies != 1 {
		t.Errorf("%d SAs, %d policies, expected only the one that drops; %v", sas, policies, s.outs())
	}
}

// TestKeyedSelectors: what has words and what is refused by name.
func TestKeyedSelectors(t *testing.T) {
	icmp := func(from, to uint16) []ike.Selector {
		s := prefix("10.2.0.0/16")
		s[0].Proto, s[0].PortFrom, s[0].PortTo = 1, from, to
		return s
	}
	any := icmp(0, 0xffff)
	udp := func(from, to uint16) []ike.Selector {
		s := icmp(from, to)
		s[0].Proto = 17
		return s
	}
	ports := func(n int) (list []ike.Selector) {
		for range n {
			list = append(list, udp(7, 7)...)
		}
		return list
	}
	for name, c := range map[string]struct {
		local, remote []ike.Selector
		want          string
	}{
		"all of ICMP":             {prefix("10.1.0.0/16"), any, "1 0 0"},
		"echo requests":           {any, icmp(8<<8, 8<<8|255), "1 8 0"},
		"fragmentation needed":    {icmp(3<<8|4, 3<<8|4), icmp(3<<8, 3<<8|255), "1 3 4"},
		"nothing in common":       {icmp(8<<8, 8<<8|255), icmp(3<<8, 3<<8|255), "no traffic"},
		"echo replies":            {any, icmp(0, 255), "cannot say"},
		"code zero of a type":     {any, icmp(8<<8, 8<<8), "cannot say"},
		"one port":                {prefix("10.1.0.0/16"), udp(53, 53), "17 0 53"},
		"a range of ports":        {prefix("10.1.0.0/16"), udp(1024, 65535), "cannot say"},
		"as many ports as may be": {prefix("10.1.0.0/16"), ports(maxKeyedRules), strings.TrimSuffix(strings.Repeat("17 0 7, ", maxKeyedRules), ", ")},
		"too many ports":          {prefix("10.1.0.0/16"), ports(maxKeyedRules + 1), "no traffic"},
		"a range with a protocol": {prefix("10.1.0.0/16"), []ike.Selector{{From: netip.MustParseAddr("0.0.0.1"), To: netip.MustParseAddr("255.255.255.254"), Proto: 6, PortTo: 0xffff}}, "no traffic"},
		"the protocol of all":     {prefix("10.1.0.0/16"), []ike.Selector{{From: netip.MustParseAddr("10.2.0.0"), To: netip.MustParseAddr("10.2.0.0"), Proto: 255, PortTo: 0xffff}}, "cannot say"},
		"different protocols":     {any, udp(53, 53), "no traffic"},
		"different families":      {prefix("fd00::/64"), prefix("10.2.0.0/16"), "no traffic"},
		"a range of two prefix":   {prefix("10.1.0.0/16"), []ike.Selector{{From: netip.MustParseAddr("10.2.0.0"), To: netip.MustParseAddr("10.2.0.2"), PortTo: 0xffff}}, "255 0 0, 255 0 0"},
	} {
		list, err := policiesOf(c.local, c.remote, pfkey.DirOut)
		got := make([]string, 0, len(list))
		for _, x := range list {
			got = append(got, fmt.Sprintf("%d %d %d", x.proto, x.lport, x.rport))
		}
		text := strings.Join(got, ", ")
		switch {
		case errors.Is(err, errNotSaid):
			text = "cannot say"
		case errors.Is(err, sadb.ErrSelectors):
			text = "no traffic"
		}
		if text != c.want {
			t.Errorf("%s: %s (%v), expected %s", name, text, err, c.want)
		}
	}
}

// TestKeyedICMP: a type is in the port of the source and its code in that of the destination, in both directions.
func TestKeyedICMP(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	keyedPut(t, k, 7, 0, 0xc0000001, func(c *ike.ChildSA) {
		for _, ts := range [][]ike.Selector{c.TSLocal, c.TSRemote} {
			ts[0].Proto, ts[0].PortFrom, ts[0].PortTo = 1, 3<<8|4, 3<<8|4
		}
	})
	for _, p := range s.db.SPDList() {
		if p.Local.PortFrom != 3<<8|4 || p.Local.PortTo != 3<<8|4 || p.Remote != (sadb.Selector{From: p.Remote.From, To: p.Remote.To, Proto: 1, PortFrom: 3<<8 | 4, PortTo: 3<<8 | 4}) {
			t.Errorf("%s: %+v %+v", p.Dir, p.Local, p.Remote)
		}
	}
	if k.RemoveAll(7); len(s.db.SPDList()) != 0 {
		t.Error("policies are left")
	}
}

// TestKeyedHostRefuses: a child whose policy the service's host does not put in force is refused, as it is with the engine in this process,
// and nothing of it is left; so is a policy of the operator's. What was in force stays.
func TestKeyedHostRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	var refuses atomic.Bool
	s := serveWith(t, path, keysock.Config{Enforce: func(time.Time, sadb.PolicyID) error {
		if refuses.Load() {
			return errors.New("no room")
		}
		return nil
	}})
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	first := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	refuses.Store(true)
	second := keyedChild(t, k, 8, 0, 0xc0000002)
	second.TSRemote = prefix("10.3.0.0/16")
	a, ok := k.Ask(time.Now(), 8, ike.Install{Child: second}).(ike.Failed)
	if !ok || !errors.Is(a.Err, pfkey.ErrnoHost) || !strings.Contains(a.Err.Error(), "10.3.0.0/16") {
		t.Errorf("install: %+v", a)
	}
	if err := k.hold(wants(sadb.Discard, "10.4.0.0/16")); !errors.Is(err, pfkey.ErrnoHost) {
		t.Errorf("a shunt: %v", err)
	}
	has := []string{fmt.Sprintf("protect 10.2.0.0 reqid %d to 198.51.100.1", first.Reqid)}
	if sas, policies := s.counts(); sas != 2 || policies != 2 || !slices.Equal(s.outs(), has) || k.children() != 1 {
		t.Errorf("%d SAs and %d policies, %v, expected the first one's", sas, policies, s.outs())
	}
}

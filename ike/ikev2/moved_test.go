// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// transported is an IKE SA with a child in transport mode whose peer was 203.0.113.9 when it began; a peer behind a NAT is 10.1.0.2 itself.
func transported(start time.Time, initiator, behind bool) (*SA, *child) {
	sa := up(start, ike.Env{}, &ike.Connection{})
	sa.initiator, sa.natLocal, sa.natPeer = initiator, false, behind
	conf := &ike.ChildConfig{Name: "l2tp", Mode: ike.ModeTransport}
	c := &child{conf: conf, sa: ike.ChildSA{ChildID: 1, SPIIn: 1, SPIOut: 2, Mode: ike.ModeTransport, Path: sa.path, Encap: true, Config: conf}}
	all := func(a netip.Addr) []ike.Selector { return []ike.Selector{{From: a, To: a, PortTo: 65535}} }
	c.sa.TSLocal, c.sa.TSRemote = all(sa.hostLocal()), all(sa.hostRemote())
	if behind {
		c.sa.OrigRemote = netip.MustParseAddr("10.1.0.2")
	}
	sa.children = append(sa.children, c)
	return sa, c
}

// RFC 7296, Sections 2.23 and 2.23.1: the child of a client in transport mode goes where its NAT has moved it to. One that is behind no NAT,
// and one whose own end moved, is between two addresses and does not.
func TestTransportFollowsANAT(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name              string
		initiator, behind bool
		change            func(*ike.Path)
		moves, replaces   bool
	}{
		{"another port", false, false, func(p *ike.Path) { p.Remote = netip.MustParseAddrPort("203.0.113.9:31000") }, true, false},
		{"the client's NAT has another address", false, true, func(p *ike.Path) { p.Remote = netip.MustParseAddrPort("203.0.113.77:31000") }, true, false},
		{"the gateway's NAT has another address", true, true, func(p *ike.Path) { p.Remote = netip.MustParseAddrPort("203.0.113.77:4500") }, true, false},
		{"a client without a NAT has another address", false, false, func(p *ike.Path) { p.Remote = netip.MustParseAddrPort("203.0.113.77:4500") }, false, false},
		{"this client has another address", true, true, func(p *ike.Path) { p.Local = netip.MustParseAddrPort("192.168.0.3:4500") }, false, true},
		{"another family", false, true, func(p *ike.Path) { p.Remote = netip.MustParseAddrPort("[2001:db8::9]:4500") }, false, false},
	} {
		sa, ch := transported(start, c.initiator, c.behind)
		to := sa.path
		c.change(&to)
		sa.move(start, to)
		moved := false
		for _, a := range sa.take(start) {
			if q, ok := a.(ike.Ask); ok {
				if m, ok := q.Question.(ike.Move); ok {
					moved = m.Path == to && m.SPIIn == 1
				}
			}
		}
		if moved != c.moves || ch.sa.Path == to != c.moves || ch.deleting != c.replaces {
			t.Errorf("%s: moved %t, replaced %t, expected %t and %t", c.name, moved, ch.deleting, c.moves, c.replaces)
		}
	}
}

// Where the data plane cannot move it the child stays where it was: nothing is negotiated anew by a responder.
func TestTransportThatCannotMove(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa, ch := transported(start, false, true)
	before, to := sa.path, sa.path
	to.Remote = netip.MustParseAddrPort("203.0.113.77:31000")
	sa.move(start, to)
	for _, a := range sa.take(start) {
		if q, ok := a.(ike.Ask); ok {
			sa.Answer(start, q.Token, ike.Failed{Refusal: ike.RefusalUnsupported})
		}
	}
	if ch.sa.Path != before || len(sa.children) != 1 || ch.deleting || sa.path != to {
		t.Errorf("the child is at %v, deleting %t", ch.sa.Path, ch.deleting)
	}
}

// A peer behind a NAT that has moved is still the address that IKE_SA_INIT found, at a rekey; any other peer has no child in transport
// mode any more.
func TestTransportHostsAfterAMove(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := func(a string) []ike.Selector {
		x := netip.MustParseAddr(a)
		return []ike.Selector{{From: x, To: x, PortTo: 65535}}
	}
	for _, behind := range []bool{true, false} {
		sa, _ := transported(start, false, behind)
		remote := one("203.0.113.9")
		if behind {
			remote = one("10.1.0.2")
		}
		if sa.hostsOf(one("192.168.0.2"), remote) == nil {
			t.Fatalf("behind a NAT %t: refused before the move", behind)
		}
		sa.move(start, elsewhere(sa))
		h := sa.hostsOf(one("192.168.0.2"), remote)
		switch {
		case h != nil != behind:
			t.Errorf("behind a NAT %t: hosts %v", behind, h)
		case behind && (h.remote[0].From != netip.MustParseAddr("203.0.113.9") || h.origRemote != netip.MustParseAddr("10.1.0.2")):
			t.Errorf("the peer became %v, once %v", h.remote[0].From, h.origRemote)
		}
	}
}

// RFC 7296, Section 2.23.1: once its NAT has given the peer another address a child in transport mode is rekeyed, and none is made anew,
// whoever asks; tunnel mode is as it was.
func TestNoNewTransportAfterAMove(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, moved := range []bool{false, true} {
		for _, old := range []bool{false, true} {
			for _, mode := range []ike.Mode{ike.ModeTransport, ike.ModeTunnel} {
				sa, c := transported(start, false, true)
				c.conf.Mode, c.conf.Proposals = mode, []ike.ESPProposal{gcmESP()}
				c.conf.LocalTS, c.conf.RemoteTS = []ike.Selector{{Dynamic: true, PortTo: 65535}}, []ike.Selector{{Dynamic: true, PortTo: 65535}}
				if moved {
					sa.move(start, elsewhere(sa))
				}
				w, a := &offerOfChild{}, &attempt{conf: c.conf}
				if old {
					w.old, a.old = c, c
				}
				may := !moved || old || mode == ike.ModeTunnel
				if why := sa.stale(a); why == "" != may {
					t.Errorf("moved %t, rekey %t, %v: asked for: %q", moved, old, mode, why)
				}
				if got := sa.chooseChild(w, []*ike.ChildConfig{c.conf}, proposeESP(c.conf.Proposals, 0x1234, true), asksFor(sa, mode), true); got == nil != may {
					t.Errorf("moved %t, rekey %t, %v: served: %+v", moved, old, mode, got)
				} else if got != nil && got.kind != ikev2msg.TSUnacceptable {
					t.Errorf("moved %t, rekey %t, %v: refused with %v", moved, old, mode, got.kind)
				}
			}
		}
	}
}

// A rekey after that gives the peer no more of its old address than the child has; before it, what is configured.
func TestRekeyAfterAMoveIsNoWider(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, moved := range []bool{false, true} {
		sa, c := transported(start, false, true)
		c.conf.Proposals = []ike.ESPProposal{gcmESP()}
		c.conf.LocalTS, c.conf.RemoteTS = []ike.Selector{{Dynamic: true, PortTo: 65535}}, []ike.Selector{{Dynamic: true, PortTo: 65535}}
		for _, s := range []*ike.Selector{&c.sa.TSLocal[0], &c.sa.TSRemote[0]} {
			s.Proto, s.PortFrom, s.PortTo = 17, 1701, 1701
		}
		if moved {
			sa.move(start, elsewhere(sa))
		}
		w := &offerOfChild{old: c}
		if got := sa.chooseChild(w, []*ike.ChildConfig{c.conf}, proposeESP(c.conf.Proposals, 0x1234, true), asksFor(sa, ike.ModeTransport), true); got != nil {
			t.Fatalf("moved %t: %+v", moved, got)
		}
		if wider := !subset(w.local, c.sa.TSLocal) || !subset(w.remote, c.sa.TSRemote); wider == moved {
			t.Errorf("moved %t: %s === %s", moved, show(w.local), show(w.remote))
		}
	}
}

// The initiator whose gateway has moved, and whose child cannot follow, says that no other takes its place.
func TestNoReplacementIsSaid(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sa, c := transported(start, true, true)
	sa.move(start, elsewhere(sa))
	sa.take(start)
	sa.askChild(start, &attempt{conf: c.conf, t: &task{name: createTask}})
	said := false
	for _, a := range sa.take(start) {
		r, ok := a.(ike.Report)
		said = said || ok && r.Event.Kind == ike.EventFailed
	}
	if !said {
		t.Error("it ends without a word")
	}
}

// asksFor is what a request has, by which the peer asks for a child of a mode between its own address and this host's.
func asksFor(sa *SA, mode ike.Mode) []ikev2msg.Payload {
	peer := sa.hostRemote()
	var list []ikev2msg.Payload
	if mode == ike.ModeTransport {
		peer = netip.MustParseAddr("10.1.0.2")
		list = childNotifies(mode, 0)
	}
	ours := sa.hostLocal()
	return append(list, toWire(true, []ike.Selector{{From: peer, To: peer, PortTo: 65535}}), toWire(false, []ike.Selector{{From: ours, To: ours, PortTo: 65535}}))
}

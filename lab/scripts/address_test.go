// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a peer may not get by being authentic: another host's address.

package scripts

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

var dynamic = []ike.Selector{{Dynamic: true, PortTo: 65535}}

// bystander is a host that has no part in it.
var bystander = netip.MustParseAddr("203.0.113.66")

// dynamicCast is cast with children from address to address.
func dynamicCast() (w *simnet.World, a, b *simnet.Host) {
	w, a, b = cast(false)
	for _, h := range []*simnet.Host{a, b} {
		for _, c := range h.Conns[0].Children {
			c.LocalTS, c.RemoteTS = dynamic, dynamic
		}
	}
	return w, a, b
}

// from is offer with TSi of one address, and an SPI of its own.
func from(a netip.Addr, to netip.Addr, spi uint32, more ...ikev2msg.Payload) []ikev2msg.Payload {
	payloads := offer(2, more...)
	for i, p := range payloads {
		switch p := p.(type) {
		case *ikev2msg.SA:
			p.Proposals[0].SPI = binary.BigEndian.AppendUint32(nil, spi)
		case *ikev2msg.TS:
			at := to
			if p.Initiator {
				at = a
			}
			payloads[i] = &ikev2msg.TS{Initiator: p.Initiator, Selectors: []ikev2msg.Selector{{PortTo: 65535, AddrFrom: at, AddrUpTo: at}}}
		}
	}
	return payloads
}

// answered sends a request and returns the summary of its answer.
func answered(t *testing.T, f *simnet.Forger, id uint32, payloads []ikev2msg.Payload) string {
	t.Helper()
	f.Deliver(f.Message(ikev2msg.CreateChildSA, id, false, payloads...))
	list := f.Answers()
	if len(list) != 1 {
		t.Fatalf("%d answers", len(list))
	}
	return list[0].Summary()
}

// A peer that has to lease its address and leases none has no address at all.
func TestNoLeaseNoAddress(t *testing.T) {
	w, a, b := dynamicCast()
	if err := b.Pools.Load(ike.Pool{Name: "p", From: netip.MustParseAddr("10.30.0.1"), To: netip.MustParseAddr("10.30.0.9")}); err != nil {
		t.Fatal(err)
	}
	b.Conns[0].Pools = []string{"p"}
	w.Settle() // a asks for no address
	wantState(t, "without an address", b, "ESTABLISHED")
	f := b.Forge(a, true)
	for i, addr := range []netip.Addr{a.Addrs[0], netip.MustParseAddr("10.30.0.1")} {
		if s := answered(t, f, 2+uint32(i), from(addr, b.Addrs[0], 0xbad00001)); !strings.Contains(s, "N(TS_UNACCEPTABLE)") {
			t.Errorf("a child of %s: %s", addr, s)
		}
	}
	if n := len(b.SAs()); n != 0 {
		t.Errorf("%d children", n)
	}
}

// The address that `dynamic` stands for is where IKE_SA_INIT reached the peer, not what it writes on a later message.
func TestDynamicIsNotTheSourceOfAMessage(t *testing.T) {
	w, a, b := dynamicCast()
	w.Settle()
	f := b.Forge(a, true)
	f.From = netip.AddrPortFrom(bystander, 4500)
	if s := answered(t, f, 2, from(bystander, b.Addrs[0], 0xbad00001)); !strings.Contains(s, "N(TS_UNACCEPTABLE)") {
		t.Errorf("a child of another's address: %s", s)
	}
	if got := b.Status()[0].Path.Remote.Addr(); got != bystander {
		t.Fatalf("b follows to %s", got)
	}
	// What it has stays its own, wherever it is now.
	if s := answered(t, f, 3, from(a.Addrs[0], b.Addrs[0], 0xbad00002, rekeySA(theirSPI(b)))); !strings.Contains(s, "{ SA") {
		t.Errorf("a rekey after the move: %s", s)
	}

	// IKE_AUTH itself comes from elsewhere.
	w, a, b = dynamicCast()
	w.Deliver(0)
	w.Deliver(0)
	auth := w.Flight[0].IKE
	w.Flight = nil
	b.Receive(netip.AddrPortFrom(bystander, 4500), netip.AddrPortFrom(b.Addrs[0], 4500), auth)
	for _, sa := range b.SAs() {
		for _, s := range sa.TSRemote {
			if s.From != a.Addrs[0] || s.To != a.Addrs[0] {
				t.Errorf("the peer owns %s-%s", s.From, s.To)
			}
		}
	}
}

// This host has another address: a child that has the old one is rekeyed as what it is.
func TestRekeyAfterAnotherAddress(t *testing.T) {
	w, a, b := dynamicCast()
	w.Settle()
	old := a.SAs()[0]
	a.Addrs = []netip.Addr{netip.MustParseAddr("192.0.2.77")}
	_, path := a.Path(b.Addrs[0])
	a.Notice(ike.AddressChanged{Path: path})
	w.Settle()
	a.Do(ike.Rekey{ChildID: old.ChildID})
	w.Settle()
	if !slices.ContainsFunc(a.SAs(), func(sa *simnet.SA) bool { return sa.Replaces == old.SPIIn }) {
		t.Errorf("not rekeyed: %v", a.SAs())
	}
}

// Of two children that meet what the peer wants, the one that has all of it goes before one that narrows it (RFC 7296, Section 2.9).
func TestWholeGoesFirst(t *testing.T) {
	_, a, b := cast(true)
	half, whole := a.Conns[0].Children[0], a.Conns[0].Children[1]
	half.LocalTS, half.RemoteTS = slices.Clone(whole.LocalTS), whole.RemoteTS
	half.LocalTS[0].To = half.LocalTS[0].From
	f := a.Forge(b, false)
	if s := answered(t, f, 0, offer(2)); !strings.Contains(s, "{ SA") {
		t.Fatal(s)
	}
	if list := a.SAs(); list[len(list)-1].Name != whole.Name {
		t.Errorf("the answer is %s", list[len(list)-1].Name)
	}
}

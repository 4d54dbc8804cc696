// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a peer may not get by being authentic: a kind of child that was not negotiated (transport mode, RFC 7296, Section 2.23.1;
// IPComp, Section 2.22; AH for ESP), the addresses of another host in transport mode, or an SA by the name of another.

package scripts

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// outside is the address of a's NAT.
var outside = netip.MustParseAddr("203.0.113.1")

// transportCast establishes with options of simnet.Set; natted puts a NAT before a.
func transportCast(t *testing.T, natted bool, options ...string) (w *simnet.World, a, b *simnet.Host) {
	t.Helper()
	w, a, b = cast(false)
	w.Flight = nil
	a.Do(ike.Terminate{Force: true})
	if natted {
		w.Net = &simnet.Internet{Statics: []simnet.Static{{Inside: a.Addrs[0], Outside: outside}}}
	}
	for _, h := range []*simnet.Host{a, b} {
		h.Env.RawESP = !natted
		for _, o := range options {
			k, v, _ := strings.Cut(o, "=")
			if err := simnet.Set(h.Conns[0], k, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.Initiate(a.Conns[0], b.Addrs[0])
	w.Settle()
	if len(a.SAs()) != 1 || len(b.SAs()) != 1 {
		t.Fatalf("%d and %d children", len(a.SAs()), len(b.SAs()))
	}
	return w, a, b
}

func useTransport() ikev2msg.Payload {
	return &ikev2msg.Notify{Notify: ikev2msg.UseTransportMode}
}

func ipcomp(data ...byte) ikev2msg.Payload {
	return &ikev2msg.Notify{Notify: ikev2msg.IPCOMPSupported, Data: data}
}

func theAH(p []ikev2msg.Payload) []ikev2msg.Payload {
	for _, p := range p {
		if sa, ok := p.(*ikev2msg.SA); ok {
			sa.Proposals[0].Protocol = ikev2msg.ProtoAH
			sa.Proposals[0].Transforms = []ikev2msg.Transform{{Type: ikev2msg.TransformInteg, ID: uint16(suite.IntegHMACSHA2256128), KeyLen: -1},
				{Type: ikev2msg.TransformESN, KeyLen: -1}}
		}
	}
	return p
}

// encrypted adds to a proposal what AH has not (RFC 7296, Section 3.3.3).
func encrypted(p []ikev2msg.Payload) []ikev2msg.Payload {
	for _, p := range p {
		if sa, ok := p.(*ikev2msg.SA); ok {
			sa.Proposals[0].Transforms = append(sa.Proposals[0].Transforms, ikev2msg.Transform{Type: ikev2msg.TransformEncr, ID: uint16(suite.EncrAESGCM16), KeyLen: 128})
		}
	}
	return p
}

// The responder agrees to what was not asked for. The initiator makes no child of it, and has the responder delete the one that it
// believes in.
func TestAnswersOfAnotherKind(t *testing.T) {
	us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	good := func(more ...ikev2msg.Payload) []ikev2msg.Payload { return from(us, them, 0xbad00001, more...) }
	named := func(spi uint32) []ikev2msg.Payload { return from(us, them, spi, useTransport()) }
	for _, c := range []struct {
		name, options string
		answer        []ikev2msg.Payload
		made          bool
	}{
		{"transport, as asked", "mode=transport", good(useTransport()), true},
		{"tunnel for transport", "mode=transport", good(), false},
		{"transport for tunnel", "mode=tunnel", good(useTransport()), false},
		{"another host's TSr", "mode=transport", from(us, bystander, 0xbad00001, useTransport()), false},
		{"another host's TSi", "mode=transport", from(bystander, them, 0xbad00001, useTransport()), false},
		{"tunnel, as asked", "mode=tunnel", good(), true},
		{"tunnel to another host", "mode=tunnel", from(us, bystander, 0xbad00001), false},
		{"tunnel from another host", "mode=tunnel", from(bystander, them, 0xbad00001), false},
		{"an SPI that is reserved", "mode=transport", named(255), false},
		{"an SPI in use", "mode=transport", named(0xb0000001), false},
		{"AH for ESP", "mode=transport", theAH(good(useTransport())), false},
		{"ESP for AH", "mode=transport ah=yes", good(useTransport()), false},
		{"AH for AH", "mode=transport ah=yes", theAH(good(useTransport())), true},
		{"AH with encryption", "mode=transport ah=yes", encrypted(theAH(good(useTransport()))), false},
		{"IPComp that was not offered", "mode=tunnel", good(ipcomp(0x10, 0, 2)), false},
		{"IPComp with DEFLATE", "mode=tunnel ipcomp=yes", good(ipcomp(0x10, 0, 2)), true},
		{"its well-known CPI", "mode=tunnel ipcomp=yes", good(ipcomp(0, 2, 2)), true},
		{"no IPComp", "mode=tunnel ipcomp=yes", good(), true},
		{"IPComp with LZS", "mode=tunnel ipcomp=yes", good(ipcomp(0x10, 0, 3)), false},
		{"the CPI of another algorithm", "mode=tunnel ipcomp=yes", good(ipcomp(0, 3, 2)), false},
		{"CPI 0", "mode=tunnel ipcomp=yes", good(ipcomp(0, 0, 2)), false},
		{"a CPI for private use", "mode=tunnel ipcomp=yes", good(ipcomp(0xf0, 0, 2)), true}, // it is the peer's to choose
		{"two octets of IPComp", "mode=tunnel ipcomp=yes", good(ipcomp(0x10, 0)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, b := transportCast(t, false, strings.Fields(c.options)...)
			a.Do(ike.Initiate{Child: a.Conns[0].Children[1]})
			f := a.Forge(b, false)
			if n := len(f.Answers()); n != 1 {
				t.Fatalf("%d requests", n)
			}
			f.Deliver(f.Message(ikev2msg.CreateChildSA, 2, true, c.answer...))
			if n := len(a.SAs()) - 1; (n == 1) != c.made {
				t.Errorf("%d children were made", n)
			}
			next := f.Answers()
			switch {
			case c.made && len(next) != 0:
				t.Errorf("then a sends %s", next[0].Summary())
			case !c.made && (len(next) != 1 || !strings.Contains(next[0].Summary(), "D(")):
				t.Errorf("the responder is not told: %v", next)
			}
			if n := a.Reservations(); n != 0 {
				t.Errorf("%d SPIs are reserved", n)
			}
			wantState(t, c.name, a, "ESTABLISHED")
		})
	}
}

// The answer to a rekey must lie in what the child has, whatever else is configured.
func TestRekeyAnswersBeyondTheChild(t *testing.T) {
	us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	for _, mode := range []string{"mode=tunnel", "mode=transport"} {
		for name, c := range map[string]struct {
			tsi, tsr netip.Addr
			made     bool
		}{"the same": {us, them, true}, "another TSi": {bystander, them, false}, "another TSr": {us, bystander, false}} {
			t.Run(mode+" "+name, func(t *testing.T) {
				_, a, b := transportCast(t, false, mode)
				// The configuration has room for more than the child.
				all := ike.Selector{From: netip.IPv4Unspecified(), To: netip.AddrFrom4([4]byte{255, 255, 255, 255}), PortTo: 65535}
				conf := a.Conns[0].Children[0]
				conf.LocalTS, conf.RemoteTS = []ike.Selector{all}, []ike.Selector{all}
				a.Do(ike.Rekey{ChildID: a.SAs()[0].ChildID})
				f := a.Forge(b, false)
				if n := len(f.Answers()); n != 1 {
					t.Fatalf("%d requests", n)
				}
				var more []ikev2msg.Payload
				if mode == "mode=transport" {
					more = append(more, useTransport())
				}
				f.Deliver(f.Message(ikev2msg.CreateChildSA, 2, true, from(c.tsi, c.tsr, 0xbad00001, more...)...))
				if n := len(a.SAs()); (n == 2) != c.made {
					t.Errorf("%d children", n)
				}
			})
		}
	}
}

// A request for transport mode is about the two hosts. Where there is a NAT the peer's address is what this host sees, and what the
// peer writes is kept for checksums and for nothing else.
func TestTransportOfAnother(t *testing.T) {
	them := netip.MustParseAddr("198.51.100.2")
	six := netip.MustParseAddr("2001:db8::1")
	both := func(payloads []ikev2msg.Payload, initiator bool, more netip.Addr) []ikev2msg.Payload {
		for _, p := range payloads {
			if ts, ok := p.(*ikev2msg.TS); ok && ts.Initiator == initiator {
				ts.Selectors = append(ts.Selectors, ikev2msg.Selector{PortTo: 65535, AddrFrom: more, AddrUpTo: more})
			}
		}
		return payloads
	}
	wide := from(bystander, them, 0xbad00001, useTransport())
	for _, p := range wide {
		if ts, ok := p.(*ikev2msg.TS); ok && ts.Initiator {
			ts.Selectors[0].AddrUpTo = ts.Selectors[0].AddrUpTo.Next()
		}
	}
	a1 := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name   string
		natted bool
		offer  []ikev2msg.Payload
		made   bool
	}{
		{"its own", false, from(a1, them, 0xbad00001, useTransport()), true},
		{"another's", false, from(bystander, them, 0xbad00001, useTransport()), false},
		{"for another", false, from(a1, bystander, 0xbad00001, useTransport()), false},
		{"its own, and another's", false, both(from(a1, them, 0xbad00001, useTransport()), true, bystander), false},
		{"NAT: the one inside", true, from(a1, them, 0xbad00001, useTransport()), true},
		{"NAT: one that it makes up", true, from(bystander, them, 0xbad00001, useTransport()), true},
		{"NAT: this host's own", true, from(them, them, 0xbad00001, useTransport()), true},
		{"NAT: for another", true, from(a1, bystander, 0xbad00001, useTransport()), false},
		{"NAT: two", true, both(from(a1, them, 0xbad00001, useTransport()), true, bystander), false},
		{"NAT: for two", true, both(from(a1, them, 0xbad00001, useTransport()), false, bystander), false},
		{"NAT: a range", true, wide, false},
		{"NAT: IPv6", true, from(six, them, 0xbad00001, useTransport()), false},
		{"NAT: tunnel mode", true, from(a1, them, 0xbad00001), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, b := transportCast(t, c.natted, "mode=transport")
			f := b.Forge(a, true)
			if c.natted {
				f.From = netip.AddrPortFrom(outside, 4500)
			}
			s := answered(t, f, 2, c.offer)
			if len(b.SAs()) != 1 != c.made {
				t.Fatalf("%s; %d children", s, len(b.SAs()))
			}
			if !c.made {
				return
			}
			if !strings.Contains(s, "N(USE_TRANSPORT_MODE)") {
				t.Error(s)
			}
			sa := b.SAs()[1]
			peer := a1
			if c.natted {
				peer = outside
			}
			if len(sa.TSRemote) != 1 || sa.TSRemote[0].From != peer || sa.TSRemote[0].To != peer || sa.TSLocal[0].From != them || sa.Mode != ike.ModeTransport {
				t.Errorf("%v === %v", sa.TSLocal, sa.TSRemote)
			}
		})
	}
}

// Of two children that fit, the answer to USE_TRANSPORT_MODE is the one for transport mode, wherever it stands.
func TestTransportGoesFirst(t *testing.T) {
	them := netip.MustParseAddr("198.51.100.2")
	_, a, b := transportCast(t, false, "mode=transport")
	b.Conns[0].Children[0].Mode = ike.ModeTunnel
	f := b.Forge(a, true)
	for i, c := range []struct {
		more []ikev2msg.Payload
		name string
	}{{[]ikev2msg.Payload{useTransport()}, "net2"}, {nil, "net1"}} {
		if s := answered(t, f, 2+uint32(i), from(a.Addrs[0], them, 0xbad00001+uint32(i), c.more...)); !strings.Contains(s, "{ N(USE_TRANSPORT_MODE) SA") && c.more != nil {
			t.Error(s)
		}
		if list := b.SAs(); list[len(list)-1].Name != c.name {
			t.Errorf("the answer is %s, expected %s", list[len(list)-1].Name, c.name)
		}
	}
}

// Whatever networks are configured, what is offered for transport mode is the two hosts.
func TestTransportOffersTheHosts(t *testing.T) {
	_, a, b := transportCast(t, false, "mode=transport")
	all := ike.Selector{From: netip.IPv4Unspecified(), To: netip.AddrFrom4([4]byte{255, 255, 255, 255}), PortTo: 65535}
	conf := a.Conns[0].Children[1]
	conf.LocalTS, conf.RemoteTS = []ike.Selector{all}, []ike.Selector{all}
	a.Do(ike.Initiate{Child: conf})
	list := a.Forge(b, false).Answers()
	if len(list) != 1 {
		t.Fatalf("%d requests", len(list))
	}
	for _, p := range list[0].Payloads {
		if ts, ok := p.(*ikev2msg.TS); ok {
			want := b.Addrs[0]
			if ts.Initiator {
				want = a.Addrs[0]
			}
			if len(ts.Selectors) != 1 || ts.Selectors[0].AddrFrom != want || ts.Selectors[0].AddrUpTo != want {
				t.Errorf("offered %v, expected %s", ts.Selectors, want)
			}
		}
	}
}

// A rekey does not change what a child is, and a name is of one protocol.
func TestRekeyOfAnotherKind(t *testing.T) {
	us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	for _, c := range []struct {
		name, options, want string
		kind                ikev2msg.Protocol
		offer               func(...ikev2msg.Payload) []ikev2msg.Payload
		mode                ike.Mode
	}{
		{"transport to tunnel", "mode=transport", "N(NO_PROPOSAL_CHOSEN)", ikev2msg.ProtoESP, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return from(us, them, 0xbad00001, more...)
		}, ike.ModeTransport},
		{"tunnel to transport", "mode=tunnel", "{ SA", ikev2msg.ProtoESP, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return from(us, them, 0xbad00001, append(more, useTransport())...)
		}, ike.ModeTunnel},
		{"ESP to AH", "mode=transport", "N(NO_PROPOSAL_CHOSEN)", ikev2msg.ProtoESP, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return theAH(from(us, them, 0xbad00001, append(more, useTransport())...))
		}, ike.ModeTransport},
		{"AH to ESP", "mode=transport ah=yes", "N(NO_PROPOSAL_CHOSEN)", ikev2msg.ProtoAH, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return from(us, them, 0xbad00001, append(more, useTransport())...)
		}, ike.ModeTransport},
		{"an SA of ESP as AH", "mode=transport", "N(CHILD_SA_NOT_FOUND", ikev2msg.ProtoAH, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return from(us, them, 0xbad00001, append(more, useTransport())...)
		}, ike.ModeTransport},
		{"an SA of AH as ESP", "mode=transport ah=yes", "N(CHILD_SA_NOT_FOUND", ikev2msg.ProtoESP, func(more ...ikev2msg.Payload) []ikev2msg.Payload {
			return theAH(from(us, them, 0xbad00001, append(more, useTransport())...))
		}, ike.ModeTransport},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, b := transportCast(t, false, strings.Fields(c.options)...)
			n := rekeySA(theirSPI(b))
			n.Protocol = c.kind
			f := b.Forge(a, true)
			if s := answered(t, f, 2, c.offer(n)); !strings.Contains(s, c.want) {
				t.Errorf("%s, expected %s", s, c.want)
			}
			for _, sa := range b.SAs() {
				if sa.Mode != c.mode {
					t.Errorf("a child of mode %d", sa.Mode)
				}
			}
			other := ikev2msg.ProtoAH
			if b.SAs()[0].AH {
				other = ikev2msg.ProtoESP
			}
			before := len(b.SAs())
			f.Deliver(f.Message(ikev2msg.Informational, 3, false, &ikev2msg.Delete{Protocol: other, SPIs: []uint32{theirSPI(b)}}))
			if list := f.Answers(); len(list) != 1 || !strings.Contains(list[0].Summary(), "{ }") || len(b.SAs()) != before {
				t.Errorf("a delete of the other protocol: %d children", len(b.SAs()))
			}
		})
	}
}

// All SAs of a child have one reqid, whoever rekeys it: policies, traps and the ports of clients go by it.
func TestRekeyKeepsReqid(t *testing.T) {
	w, a, b := transportCast(t, false, "mode=tunnel")
	for _, h := range []*simnet.Host{a, b} {
		h.Do(ike.Rekey{ChildID: h.SAs()[len(h.SAs())-1].ChildID})
		w.Settle()
		for _, o := range []*simnet.Host{a, b} {
			list := o.SAs()
			if len(list) < 2 {
				t.Fatalf("%s has %d SAs", o, len(list))
			}
			for _, sa := range list {
				if sa.Reqid != list[0].Reqid {
					t.Errorf("%s: reqid %d after %d", o, sa.Reqid, list[0].Reqid)
				}
			}
		}
		w.Run(10 * time.Second) // what was replaced goes
	}
}

// A peer gives one SPI to two children at a time: in its request, which is parked, and in its answer to ours.
func TestOneSPITwice(t *testing.T) {
	us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	_, a, b := transportCast(t, false, "mode=transport")
	b.Do(ike.Initiate{Child: b.Conns[0].Children[1]})
	f := b.Forge(a, true)
	if n := len(f.Answers()); n != 1 {
		t.Fatalf("%d requests", n)
	}
	b.Slow = "Reserve"
	f.Deliver(f.Message(ikev2msg.CreateChildSA, 2, false, from(us, them, 0xbad00001, useTransport())...))
	f.Deliver(f.Message(ikev2msg.CreateChildSA, 0, true, from(them, us, 0xbad00001, useTransport())...))
	if n := len(b.SAs()); n != 2 {
		t.Fatalf("%d children, expected b's own", n)
	}
	b.Slow = ""
	b.Release()
	if n := len(b.SAs()); n != 2 {
		t.Errorf("%d children", n)
	}
	list := f.Answers()
	if len(list) != 1 || !strings.Contains(list[0].Summary(), "{ N(INVALID_SYNTAX) }") {
		t.Errorf("%d answers", len(list))
	}
	seen := map[uint32]bool{}
	for _, sa := range b.SAs() {
		if seen[sa.SPIOut] {
			t.Errorf("two children send by %08x", sa.SPIOut)
		}
		seen[sa.SPIOut] = true
	}
}

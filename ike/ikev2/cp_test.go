// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

func TestConfigurationPayload(t *testing.T) {
	any4, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	a4, a6 := netip.MustParseAddr("10.30.0.1"), netip.MustParseAddr("fd00::1")
	if requestCP(nil) != nil {
		t.Error("a request that wants nothing")
	}
	for _, want := range [][]netip.Addr{{any4}, {any6}, {any4, any6}, {a4}, {a6, a4}} {
		got := wantedCP(requestCP(want))
		have := map[netip.Addr]bool{}
		for _, a := range got {
			have[a] = true
		}
		if len(got) != len(want) {
			t.Errorf("asked for %s, read %s", want, got)
		}
		for _, a := range want {
			if !have[a] {
				t.Errorf("asked for %s, read %s", want, got)
			}
		}
	}
	l := ike.Leased{Addrs: []netip.Addr{a4, a6}, DNS: []netip.Addr{netip.MustParseAddr("10.30.0.53"), netip.MustParseAddr("fd00::53")},
		Attrs: []ike.Attr{{Type: ikev2msg.AttrApplicationVersion, Value: []byte("x")}}}
	for _, c := range []struct {
		asked []netip.Addr
		want  string
	}{
		{[]netip.Addr{any4, any6}, "[10.30.0.1 fd00::1] [10.30.0.53 fd00::53]"},
		{[]netip.Addr{any4}, "[10.30.0.1] [10.30.0.53 fd00::53]"}, // what was not asked for is not taken
		{[]netip.Addr{any6}, "[fd00::1] [10.30.0.53 fd00::53]"},
		{nil, "[] [10.30.0.53 fd00::53]"},
	} {
		vips, dns := readCP(answerCP(l), c.asked)
		if got := fmt.Sprint(vips, " ", dns); got != c.want {
			t.Errorf("asked for %s: %s, expected %s", c.asked, got, c.want)
		}
	}
	// Two addresses of a family and lengths that are none: the first right one counts, DNS is bounded.
	bad := &ikev2msg.CP{CfgType: ikev2msg.CFGReply}
	for _, n := range []int{0, 3, 5, 16} {
		bad.Attributes = append(bad.Attributes, ikev2msg.Attribute{Kind: ikev2msg.AttrIP4Address, Value: make([]byte, n)},
			ikev2msg.Attribute{Kind: ikev2msg.AttrIP6Address, Value: make([]byte, n)}, ikev2msg.Attribute{Kind: ikev2msg.AttrIP4DNS, Value: make([]byte, n)})
	}
	for i := range 20 {
		bad.Attributes = append(bad.Attributes, ikev2msg.Attribute{Kind: ikev2msg.AttrIP4Address, Value: []byte{10, 0, 0, byte(i)}},
			ikev2msg.Attribute{Kind: ikev2msg.AttrIP4DNS, Value: []byte{10, 0, 1, byte(i)}})
	}
	// What is no host's address is not taken either.
	none := &ikev2msg.CP{CfgType: ikev2msg.CFGReply}
	for _, a := range []string{"0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "::1", "ff02::1"} {
		addr, kind, dns := netip.MustParseAddr(a), uint16(ikev2msg.AttrIP4Address), uint16(ikev2msg.AttrIP4DNS)
		value := addr.AsSlice()
		if addr.Is6() {
			kind, dns = ikev2msg.AttrIP6Address, ikev2msg.AttrIP6DNS
		}
		none.Attributes = append(none.Attributes, ikev2msg.Attribute{Kind: dns, Value: value})
		if addr.Is6() {
			value = append(value, 128)
		}
		none.Attributes = append(none.Attributes, ikev2msg.Attribute{Kind: kind, Value: value})
	}
	if vips, dns := readCP(none, []netip.Addr{any4, any6}); len(vips)+len(dns) != 0 {
		t.Errorf("taken as addresses: %s %s", vips, dns)
	}
	vips, dns := readCP(bad, []netip.Addr{any4, any6})
	if fmt.Sprint(vips) != "[10.0.0.0]" || len(dns) != maxDNS {
		t.Errorf("of a malformed reply: %s, %d DNS servers", vips, len(dns))
	}
}

// The shared key is padded as RFC 7296, Section 2.15 says, and the octets end with prf(SK_p, RestOfIDPayload).
func TestPSKAuth(t *testing.T) {
	psk, skP := secret.New([]byte("correct horse")), secret.New(bytes.Repeat([]byte{7}, 32))
	prf := suite.PRFHMACSHA2256
	octets := authOctets([]byte("message"), []byte("nonce"), prf, skP, []byte{2, 0, 0, 0, 'a'})
	mac := prf.Sum(skP, []byte{2, 0, 0, 0, 'a'})
	if want := append([]byte("messagenonce"), mac...); !bytes.Equal(octets, want) {
		t.Errorf("octets %x, expected %x", octets, want)
	}
	inner := secret.New(prf.Sum(psk, []byte("Key Pad for IKEv2")))
	if got := pskAuth(prf, psk, octets); !bytes.Equal(got, prf.Sum(inner, octets)) {
		t.Errorf("AUTH %x", got)
	}
}

// RFC 7296, Sections 1.3.1 and 2.19: a child in transport mode is between the hosts' own addresses, also where the IKE SA has virtual ones;
// those are for the children in tunnel mode.
func TestTransportHasNoVirtualAddress(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	virtual := netip.MustParseAddr("10.30.0.1")
	for _, initiator := range []bool{true, false} {
		for _, mode := range []ike.Mode{ike.ModeTransport, ike.ModeTunnel} {
			sa, c := transported(start, initiator, true)
			sa.conn.VIPs = []netip.Addr{netip.IPv4Unspecified()}
			if initiator {
				sa.vips = []netip.Addr{virtual}
			} else {
				sa.leased = []netip.Addr{virtual}
			}
			c.conf.LocalTS, c.conf.RemoteTS = []ike.Selector{{Dynamic: true, PortTo: 65535}}, []ike.Selector{{Dynamic: true, PortTo: 65535}}
			c.conf.Mode, c.sa.Mode = mode, mode
			sa.fill(c)
			if has := len(c.sa.VIPs) > 0; has != (mode == ike.ModeTunnel) {
				t.Errorf("initiator %t, %v: installed with virtual addresses %v", initiator, mode, c.sa.VIPs)
			}
			local, _ := sa.firstSelectors(c.conf)
			all := netip.MustParseAddr("255.255.255.255")
			want := ike.Selector{From: sa.hostLocal(), To: sa.hostLocal(), PortTo: 65535}
			if mode == ike.ModeTunnel {
				want.From, want.To = netip.IPv4Unspecified(), all
			}
			if len(local) != 1 || local[0].From != want.From || local[0].To != want.To {
				t.Errorf("initiator %t, %v: offers %s", initiator, mode, show(local))
			}
		}
	}
}

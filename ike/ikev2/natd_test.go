// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// The hashes were computed with another program.
func TestNATHash(t *testing.T) {
	for _, c := range []struct {
		spiR       uint64
		addr, want string
	}{
		{0x8899aabbccddeeff, "192.0.2.1:500", "f62ead21e6a756c429b205b272e506bec103e0ea"},
		{0x8899aabbccddeeff, "203.0.113.7:500", "d3d11d80e9551f589934d5244cdb0f25d4372ca1"},
		{0x8899aabbccddeeff, "192.0.2.1:4500", "7845d94f84a3e60616aa53aff1a2105e78375be8"},
		{0x8899aabbccddeeff, "[2001:db8::1]:500", "a5f0b10bc3cdac38818d823463a9b9831c23a335"},
		{0x8899aabbccddeeff, "[::ffff:192.0.2.1]:500", "f62ead21e6a756c429b205b272e506bec103e0ea"},
		{0, "192.0.2.1:500", "0f4e340ec8f74e72a5596c98861f42b328d41ebf"},
	} {
		if got := hex.EncodeToString(natHash(0x0011223344556677, c.spiR, netip.MustParseAddrPort(c.addr))); got != c.want {
			t.Errorf("%s with SPIr %x: %s, expected %s", c.addr, c.spiR, got, c.want)
		}
	}
}

func TestNATDetect(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("203.0.113.7:500")
	outside := netip.MustParseAddrPort("198.51.100.1:61000")
	sent := ike.Path{Local: a, Remote: b}
	for _, c := range []struct {
		name                     string
		payloads                 []ikev2msg.Payload
		received                 ike.Path
		local, remote, supported bool
	}{
		{"no NAT", natNotifies(1, 2, sent, false), ike.Path{Local: b, Remote: a}, false, false, true},
		{"the sender is behind a NAT", natNotifies(1, 2, sent, false), ike.Path{Local: b, Remote: outside}, false, true, true},
		{"the receiver is", natNotifies(1, 2, sent, false), ike.Path{Local: outside, Remote: a}, true, false, true},
		{"both are", natNotifies(1, 2, sent, false), ike.Path{Local: a, Remote: outside}, true, true, true},
		{"only the port is mapped", natNotifies(1, 2, sent, false),
			ike.Path{Local: b, Remote: netip.AddrPortFrom(a.Addr(), 1024)}, false, true, true},
		{"forced", natNotifies(1, 2, sent, true), ike.Path{Local: b, Remote: a}, false, true, true},
		{"other SPIs", natNotifies(1, 3, sent, false), ike.Path{Local: b, Remote: a}, true, true, true},
		{"none", nil, ike.Path{Local: b, Remote: a}, false, false, false},
		{"only the source", natNotifies(1, 2, sent, false)[:1], ike.Path{Local: b, Remote: a}, false, false, false},
		{"several sources, one right", append(natNotifies(1, 2, ike.Path{Local: outside, Remote: outside}, false)[:1],
			natNotifies(1, 2, sent, false)...), ike.Path{Local: b, Remote: a}, false, false, true},
		{"19 octets", []ikev2msg.Payload{
			&ikev2msg.Notify{Notify: ikev2msg.NATDetectionSourceIP, Data: natHash(1, 2, a)[:19]},
			&ikev2msg.Notify{Notify: ikev2msg.NATDetectionDestinationIP, Data: natHash(1, 2, b)[:19]},
		}, ike.Path{Local: b, Remote: a}, true, true, true}, // T-072: in doubt encapsulate
	} {
		local, remote, supported := natDetect(c.payloads, 1, 2, c.received)
		if local != c.local || remote != c.remote || supported != c.supported {
			t.Errorf("%s: local %t, remote %t, supported %t", c.name, local, remote, supported)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package updown

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"/usr/lib/ipsec/_updown iptables", []string{"/usr/lib/ipsec/_updown", "iptables"}},
		{"  /a\t'b c'  \"d \\\" e\" f\\ g '' ", []string{"/a", "b c", "d \" e", "f g", ""}},
		{"/a '$(x)' \"|\"", []string{"/a", "$(x)", "|"}},
		{"", nil}, {"   ", nil}, {"relative", nil}, {"/a | b", nil}, {"/a; b", nil}, {"/a $X", nil}, {"/a `b`", nil},
		{"/a > b", nil}, {"/a 'b", nil}, {"/a \\", nil}, {"/a\x00b", nil}, {"/a\nb", nil}, {"/a" + strings.Repeat(" b", wordLimit), nil},
	} {
		got, err := Split(c.line)
		if (err != nil) != (c.want == nil) {
			t.Errorf("%q: %v", c.line, err)
		}
		if err == nil {
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%q: %s", c.line, d)
			}
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("/a 'b c' \"d\"")
	f.Add("/a \\ b")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := Split(line)
		if err != nil {
			return
		}
		for i, w := range words {
			words[i] = "'" + strings.ReplaceAll(w, "'", "'\"'\"'") + "'"
		}
		again, err := Split(strings.Join(words, " "))
		if err != nil || len(again) != len(words) {
			t.Errorf("%q: quoted again: %q, %v", line, again, err)
		}
	})
}

func vars() Vars {
	return Vars{
		Up: true, Connection: "net", Interface: "ipsec0", Reqid: 3, Unique: 7,
		Me: netip.MustParseAddr("192.0.2.1"), Peer: netip.MustParseAddr("198.51.100.2"), PeerPort: 4500,
		MyID: "gw.example.org", PeerID: "C=XX, CN=a$(reboot);\n'`b\x00",
		MyClient: netip.MustParsePrefix("10.0.0.0/24"), PeerClient: netip.MustParsePrefix("10.1.0.1/32"),
		PeerSourceIPs: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("2001:db8::1")}, HostAccess: true,
	}
}

// HOSTILE T-099.
func TestEnviron(t *testing.T) {
	want := []string{
		"PLUTO_VERSION=1.1", "PLUTO_VERB=up-client", "PLUTO_CONNECTION=net", "PLUTO_INTERFACE=ipsec0", "PLUTO_REQID=3",
		"PLUTO_UNIQUEID=7", "PLUTO_PROTO=esp", "PLUTO_ME=192.0.2.1", "PLUTO_PEER=198.51.100.2", "PLUTO_MY_ID=gw.example.org",
		"PLUTO_PEER_ID=C=XX, CN=a??reboot?????b?", "PLUTO_MY_CLIENT=10.0.0.0/24", "PLUTO_PEER_CLIENT=10.1.0.1/32",
		"PLUTO_MY_PORT=0", "PLUTO_PEER_PORT=0", "PLUTO_MY_PROTOCOL=0", "PLUTO_PEER_PROTOCOL=0", "PLUTO_PEER_SOURCEIP=10.1.0.1",
		"PLUTO_PEER_SOURCEIP4_1=10.1.0.1", "PLUTO_PEER_SOURCEIP6_1=2001:db8::1", "PLUTO_UDP_ENC=4500", "PLUTO_HOST_ACCESS=1",
	}
	if d := cmp.Diff(want, vars().Environ()); d != "" {
		t.Error(d)
	}
}

func TestVerb(t *testing.T) {
	v := vars()
	v.MyClient = netip.MustParsePrefix("192.0.2.1/32")
	if v.Verb() != "up-host" {
		t.Error(v.Verb())
	}
	v.Up, v.MyClient = false, netip.MustParsePrefix("2001:db8::/64")
	if v.Verb() != "down-client-v6" {
		t.Error(v.Verb())
	}
}

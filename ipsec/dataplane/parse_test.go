// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which protocol and ports a policy sees of a packet: RFC 4301, Section 4.4.1.1. The packets are those by which somebody on the inner
// side, or a peer, would have other policies than his own.

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

const inner5, inner7 = "2001:db8:1::5", "2001:db8:2::7"

// TestNextLayer: the four headers that are skipped, and the others that are next layers like any.
func TestNextLayer(t *testing.T) {
	ah := append([]byte{protoTCP, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, make([]byte, 12)...)
	tcp := tcpOf(1, 443, 1, 2)
	opts := []byte{protoTCP, 0, 1, 4, 0, 0, 0, 0}
	frag := func(next uint8, offset int, behind []byte) []byte {
		h := []byte{next, 0, 0, 0, 0, 0, 0, 1}
		binary.BigEndian.PutUint16(h[2:], uint16(offset))
		return append(h, behind...)
	}
	for name, c := range map[string]struct {
		p     []byte
		proto uint8
		ports sadb.Ports
		port  uint16
	}{
		"TCP":                         {ipv6(inner5, inner7, protoTCP, tcp), protoTCP, sadb.HavePorts, 443},
		"behind destination options":  {ipv6(inner5, inner7, protoDstOpts, append(opts, tcp...)), protoTCP, sadb.HavePorts, 443},
		"behind a routing header":     {ipv6(inner5, inner7, protoRouting, append([]byte{protoTCP, 0, 4, 0, 0, 0, 0, 0}, tcp...)), protoTCP, sadb.HavePorts, 443},
		"behind AH":                   {ipv6(inner5, inner7, protoAH, append(ah, tcp...)), protoAH, sadb.NoPorts, 0},
		"behind AH, IPv4":             {ipv4("10.1.0.5", "10.2.0.7", protoAH, append(ah, tcp...)), protoAH, sadb.NoPorts, 0},
		"mobility":                    {ipv6(inner5, inner7, protoMobility, []byte{59, 0, 5, 0, 0, 0, 0, 0}), protoMobility, sadb.HavePorts, 5 << 8},
		"behind a mobility header":    {ipv6(inner5, inner7, protoMobility, append([]byte{protoTCP, 0, 5, 0, 0, 0, 0, 0}, tcp...)), protoMobility, sadb.HavePorts, 5 << 8},
		"HIP":                         {ipv6(inner5, inner7, 139, append(opts, tcp...)), 139, sadb.NoPorts, 0},
		"Shim6":                       {ipv6(inner5, inner7, 140, append(opts, tcp...)), 140, sadb.NoPorts, 0},
		"later fragment":              {ipv6(inner5, inner7, protoFragment, frag(protoTCP, 64, tcp)), protoTCP, sadb.HiddenPorts, 0},
		"later fragment, ESP":         {ipv6(inner5, inner7, protoFragment, frag(protoESP, 64, tcp)), protoESP, sadb.NoPorts, 0},
		"later fragment, AH":          {ipv6(inner5, inner7, protoFragment, frag(protoAH, 64, tcp)), protoAH, sadb.NoPorts, 0},
		"later fragment, mobility":    {ipv6(inner5, inner7, protoFragment, frag(protoMobility, 64, tcp)), protoMobility, sadb.HiddenPorts, 0},
		"later fragment, destination": {ipv6(inner5, inner7, protoFragment, frag(protoDstOpts, 64, tcp)), protoDstOpts, sadb.HiddenProto, 0},
		"later fragment, routing":     {ipv6(inner5, inner7, protoFragment, frag(protoRouting, 64, tcp)), protoRouting, sadb.HiddenProto, 0},
		"later fragment, IPv4 and 60": {func() []byte { p := ipv4("10.1.0.5", "10.2.0.7", protoDstOpts, tcp); p[7] = 8; return p }(), protoDstOpts, sadb.NoPorts, 0},
	} {
		var in inner
		if v := parse(c.p, true, &in); v != good {
			t.Errorf("%s: %v", name, v)
			continue
		}
		if f := in.flow; f.Proto != c.proto || f.Ports != c.ports || f.RemotePort != c.port {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestT087HiddenProtocol: destination options behind the fragment header hide the protocol of a fragment but the first: TCP that is to
// be protected does not leave in clear by a policy for the rest, and a peer that may send TCP sends nothing else by it.
func TestT087HiddenProtocol(t *testing.T) {
	late := ipv6(inner5, inner7, protoFragment, append([]byte{protoDstOpts, 0, 0, 64, 0, 0, 0, 1}, make([]byte, 64)...))
	w := newWorld(t, gcm, func(a, b *sadb.Child) {
		a.TSRemote[1].Proto, b.TSLocal[1].Proto = protoTCP, protoTCP
	})
	pass := sadb.SPDEntry{Dir: sadb.Out, Action: sadb.Bypass, Local: everything(true), Remote: everything(true)}
	if _, err := w.a.db.SPDAdd(w.now, pass); err != nil {
		t.Fatal(err)
	}
	other := ipv6(inner5, inner7, protoUDP, udpOf(1, 2, 8))
	if s := w.a.sealed(w.now, other); len(s.Bypass) != 1 {
		t.Error("UDP did not leave by the policy for the rest")
	}
	if s := w.a.sealed(w.now, late); len(s.Bypass)+len(s.Datagrams) != 0 {
		t.Error("a fragment left of which nobody knows that it is not TCP")
	}
	w.a.count(OutFragmentPorts, 1)
	if got := w.b.open(w.now, []Datagram{w.fromPeer(41, late)}); len(got) != 0 {
		t.Error("a fragment was delivered of which nobody knows that it is TCP")
	}
	w.b.count(InFragmentPorts, 1)
	// Where every protocol is protected there is nothing to be known.
	w = newWorld(t, gcm, nil)
	if got := w.b.open(w.now, arrive(w.a.seal(w.now, late))); len(got) != 1 {
		t.Error("a fragment of anything was dropped")
	}
}

// TestT092RecursionAH: AH of the tunnel itself, routed into it, ends there over IPv6 as well.
func TestT092RecursionAH(t *testing.T) {
	ep := sadb.Endpoint{Local: netip.MustParseAddrPort("[2001:db8::1]:0"), Remote: netip.MustParseAddrPort("[2001:db8::2]:0")}
	own := ipv6("2001:db8::1", "2001:db8::2", protoAH, append([]byte{protoIPv6, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, make([]byte, 52)...))
	var in inner
	if parse(own, true, &in) != good || !loops(own, &in, &ep) {
		t.Error("AH in itself")
	}
}

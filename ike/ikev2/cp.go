// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The configuration payload: virtual addresses and DNS servers (RFC 7296, Sections 2.19 and 3.15). A gateway is trusted
// with addresses only as far as a client asked for some: what was not asked for is not taken.

package ikev2

import (
	"net/netip"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

const (
	maxVIPs = 2 // one a family
	maxDNS  = 8
)

// requestCP asks for the virtual addresses of a connection; nil where it wants none.
func requestCP(vips []netip.Addr) *ikev2msg.CP {
	if len(vips) == 0 {
		return nil
	}
	cp := &ikev2msg.CP{CfgType: ikev2msg.CFGRequest}
	for _, a := range vips {
		kind, dns := uint16(ikev2msg.AttrIP4Address), uint16(ikev2msg.AttrIP4DNS)
		var value []byte
		if a.Is6() {
			kind, dns = ikev2msg.AttrIP6Address, ikev2msg.AttrIP6DNS
			if !a.IsUnspecified() {
				value = append(a.AsSlice(), 128)
			}
		} else if !a.IsUnspecified() {
			value = a.AsSlice()
		}
		cp.Attributes = append(cp.Attributes, ikev2msg.Attribute{Kind: kind, Value: value}, ikev2msg.Attribute{Kind: dns})
	}
	return cp
}

// wantedCP reads a request: the addresses that are wanted, unspecified ones for any of a family.
func wantedCP(cp *ikev2msg.CP) []netip.Addr {
	var v4, v6 netip.Addr
	for _, a := range cp.Attributes {
		switch {
		case a.Kind == ikev2msg.AttrIP4Address && !v4.IsValid():
			v4 = netip.IPv4Unspecified()
			if len(a.Value) == 4 {
				v4, _ = netip.AddrFromSlice(a.Value)
			}
		case a.Kind == ikev2msg.AttrIP6Address && !v6.IsValid():
			v6 = netip.IPv6Unspecified()
			if len(a.Value) >= 16 {
				v6, _ = netip.AddrFromSlice(a.Value[:16])
			}
		}
	}
	var list []netip.Addr
	for _, a := range []netip.Addr{v4, v6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// answerCP is the reply of a gateway.
func answerCP(l ike.Leased) *ikev2msg.CP {
	cp := &ikev2msg.CP{CfgType: ikev2msg.CFGReply}
	add := func(kind uint16, value []byte) {
		cp.Attributes = append(cp.Attributes, ikev2msg.Attribute{Kind: kind, Value: value})
	}
	for _, a := range l.Addrs {
		if a.Is4() {
			add(ikev2msg.AttrIP4Address, a.AsSlice())
		} else {
			add(ikev2msg.AttrIP6Address, append(a.AsSlice(), 128))
		}
	}
	for _, a := range l.DNS {
		if a.Is4() {
			add(ikev2msg.AttrIP4DNS, a.AsSlice())
		} else {
			add(ikev2msg.AttrIP6DNS, a.AsSlice())
		}
	}
	for _, a := range l.Attrs {
		add(a.Type, a.Value)
	}
	return cp
}

// readCP reads a reply: the first address of each family that was asked for, and the DNS servers.
func readCP(cp *ikev2msg.CP, asked []netip.Addr) (vips, dns []netip.Addr) {
	var want4, want6 bool
	for _, a := range asked {
		want4, want6 = want4 || a.Is4(), want6 || a.Is6()
	}
	for _, a := range cp.Attributes {
		v := a.Value
		if addr, ok := netip.AddrFromSlice(v[:min(len(v), 16)]); ok && (addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast()) {
			continue // no host's address
		}
		switch {
		case a.Kind == ikev2msg.AttrIP4Address && len(v) == 4 && want4 && len(vips) < maxVIPs:
			want4 = false
			vips = append(vips, netip.AddrFrom4([4]byte(v)))
		case a.Kind == ikev2msg.AttrIP6Address && len(v) == 17 && want6 && len(vips) < maxVIPs:
			want6 = false
			vips = append(vips, netip.AddrFrom16([16]byte(v[:16])))
		case a.Kind == ikev2msg.AttrIP4DNS && len(v) == 4 && len(dns) < maxDNS:
			dns = append(dns, netip.AddrFrom4([4]byte(v)))
		case a.Kind == ikev2msg.AttrIP6DNS && len(v) == 16 && len(dns) < maxDNS:
			dns = append(dns, netip.AddrFrom16([16]byte(v)))
		}
	}
	return vips, dns
}

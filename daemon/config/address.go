// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Addresses, ranges and traffic selectors of options.

package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/natterjack/natterjack/ike"
)

// addrs returns local_addrs or remote_addrs; nil stands for any address.
func (d *decoder) addrs(key string) []ike.AddrSpec {
	var specs []ike.AddrSpec
	some := false
	for _, v := range d.texts(key) {
		spec, ok := parseAddrSpec(v)
		if !ok {
			d.fail(key, "an address, prefix, range, host name or %any", quote(v))
			return nil
		}
		some = some || spec != ike.AddrSpec{}
		specs = append(specs, spec)
	}
	if !some {
		return nil
	}
	return specs
}

func parseAddrSpec(v string) (ike.AddrSpec, bool) {
	switch v {
	case "%any":
		return ike.AddrSpec{}, true
	case "%any4":
		v = "0.0.0.0/0"
	case "%any6":
		v = "::/0"
	}
	if from, to, ok := parseRange(v); ok {
		return ike.AddrSpec{From: from, To: to}, true
	}
	return ike.AddrSpec{Host: v}, hostName(v)
}

// parseRange parses an address, a prefix or "first-last". A prefix may have host bits: strongSwan clears them.
func parseRange(v string) (from, to netip.Addr, ok bool) {
	if first, last, ranged := strings.Cut(v, "-"); ranged {
		a, err1 := netip.ParseAddr(strings.TrimSpace(first))
		b, err2 := netip.ParseAddr(strings.TrimSpace(last))
		ok = err1 == nil && err2 == nil && a.BitLen() == b.BitLen() && a.Zone() == "" && b.Zone() == "" && !b.Less(a)
		return a, b, ok
	}
	if p, err := netip.ParsePrefix(v); err == nil && !p.Addr().Is4In6() {
		return p.Masked().Addr(), lastAddr(p), true
	}
	a, err := netip.ParseAddr(v)
	return a, a, err == nil && a.Zone() == "" && !a.Is4In6()
}

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// hostName reports whether v can be a host name. What looks like a mistyped address is none.
func hostName(v string) bool {
	if len(v) == 0 || len(v) > 253 {
		return false
	}
	letters := false
	for label := range strings.SplitSeq(strings.TrimSuffix(v, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c >= 0x80:
				letters = true
			case '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return letters
}

// vips returns the virtual addresses to ask for.
func (d *decoder) vips(key string) []netip.Addr {
	var list []netip.Addr
	for _, v := range d.texts(key) {
		switch v {
		case "%config", "%config4":
			v = "0.0.0.0"
		case "%config6":
			v = "::"
		}
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			d.fail(key, "an address, 0.0.0.0 or :: for any", quote(v))
			return nil
		}
		list = append(list, a)
	}
	return list
}

// addresses returns the addresses of a list, of either family.
func (d *decoder) addresses(key string) []netip.Addr {
	var list []netip.Addr
	for _, v := range d.texts(key) {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() {
			d.fail(key, "an address", quote(v))
			return nil
		}
		list = append(list, a)
	}
	return list
}

// selectors returns local_ts or remote_ts; absent is "dynamic".
func (d *decoder) selectors(key string) []ike.Selector {
	values := d.texts(key)
	if len(values) == 0 {
		values = []string{"dynamic"}
	}
	var list []ike.Selector
	for _, v := range values {
		s, expected := parseSelector(v)
		if expected != "" {
			d.fail(key, expected, quote(v))
			return nil
		}
		list = append(list, s)
	}
	return list
}

// parseSelector parses "prefix", "first-last" or "dynamic", with "[protocol/port]". expected is empty if that is what v is.
func parseSelector(v string) (s ike.Selector, expected string) {
	s.PortTo = 65535
	addr, rest, bracket := strings.Cut(v, "[")
	if addr = strings.TrimSpace(addr); addr == "dynamic" {
		s.Dynamic = true
	} else {
		var ok bool
		if s.From, s.To, ok = parseRange(addr); !ok {
			return s, "a prefix, a range or dynamic, perhaps with [protocol/port]"
		}
	}
	if !bracket {
		return s, ""
	}
	inner, closed := strings.CutSuffix(strings.TrimSpace(rest), "]")
	if !closed {
		return s, `"]" after the protocol and port`
	}
	proto, port, ported := strings.Cut(inner, "/")
	var ok bool
	if s.Proto, ok = parseProtocol(strings.TrimSpace(proto)); !ok {
		return s, "a protocol by number (1 to 255) or name (tcp, udp, sctp, icmp, ipv6-icmp, gre, esp, ah, …)"
	}
	port = strings.TrimSpace(port)
	if !ported || port == "" || port == "any" || port == "%any" {
		return s, ""
	}
	// RFC 7296, Section 3.13.1: ports have a meaning for these protocols only.
	if !portful(s.Proto) {
		return s, "no port for this protocol (tcp, udp, sctp, icmp and ipv6-icmp have one)"
	}
	if s.PortFrom, s.PortTo, ok = parsePorts(s.Proto, port); !ok {
		return s, "a port, a range of ports or the name of a service (opaque is not built)"
	}
	return s, ""
}

func portful(proto uint8) bool {
	switch proto {
	case 1, 6, 17, 33, 58, 132, 135, 136:
		return true
	}
	return false
}

// parseProtocol knows the names of getprotobyname(3) that VPN configurations use.
func parseProtocol(v string) (uint8, bool) {
	switch strings.ToLower(v) {
	case "", "any", "%any":
		return 0, true
	case "icmp":
		return 1, true
	case "igmp":
		return 2, true
	case "ipencap", "ipv4", "ipip":
		return 4, true
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "dccp":
		return 33, true
	case "ipv6":
		return 41, true
	case "gre":
		return 47, true
	case "esp":
		return 50, true
	case "ah":
		return 51, true
	case "ipv6-icmp", "icmpv6", "icmp6":
		return 58, true
	case "ospf":
		return 89, true
	case "pim":
		return 103, true
	case "vrrp":
		return 112, true
	case "l2tp":
		return 115, true
	case "sctp":
		return 132, true
	case "mobility-header", "ipv6-mh":
		return 135, true
	case "udplite":
		return 136, true
	}
	n, err := strconv.ParseUint(v, 10, 8)
	return uint8(n), err == nil
}

func parsePorts(proto uint8, v string) (from, to uint16, ok bool) {
	if first, last, ranged := strings.Cut(v, "-"); ranged {
		a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if err1 == nil && err2 == nil && a <= b {
			return uint16(a), uint16(b), true
		}
	}
	if n, err := strconv.ParseUint(v, 10, 16); err == nil {
		return uint16(n), uint16(n), true
	}
	network := "tcp"
	if proto == 17 || proto == 136 {
		network = "udp"
	} else if proto != 6 {
		return 0, 0, false
	}
	// The service names of this host, without a network.
	n, err := net.LookupPort(network, v)
	return uint16(n), uint16(n), err == nil && n > 0
}

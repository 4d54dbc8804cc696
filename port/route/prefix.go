// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Address ranges as prefixes, and the host's own address within one. Ranges come from negotiated selectors.

package route

import (
	"net"
	"net/netip"
)

// prefixLimit bounds what one range is split into: the worst IPv6 range needs 254.
const prefixLimit = 254

// Prefixes returns the fewest prefixes that cover exactly the addresses from first to last; nil if the range is not one.
func Prefixes(first, last netip.Addr) []netip.Prefix {
	if !first.IsValid() || first.BitLen() != last.BitLen() || last.Less(first) {
		return nil
	}
	var list []netip.Prefix
	for len(list) < prefixLimit {
		p := largest(first, last)
		list = append(list, p)
		end := Last(p)
		if end == last {
			return list
		}
		first = end.Next()
	}
	return nil
}

// largest is the shortest prefix that begins at first and does not go beyond last.
func largest(first, last netip.Addr) netip.Prefix {
	for bits := 0; ; bits++ {
		p := netip.PrefixFrom(first, bits)
		if p.Masked().Addr() == first && !last.Less(Last(p)) {
			return p
		}
	}
}

// Last is the highest address of a prefix.
func Last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Cover is the longest prefix that holds every address from first to last; invalid if they are no range.
func Cover(first, last netip.Addr) netip.Prefix {
	if !first.IsValid() || first.BitLen() != last.BitLen() || last.Less(first) {
		return netip.Prefix{}
	}
	for bits := first.BitLen(); ; bits-- {
		if p := netip.PrefixFrom(first, bits).Masked(); p.Contains(last) {
			return p
		}
	}
}

// IsLocal reports whether an address is this host's.
func IsLocal(a netip.Addr) bool {
	found, ok := SourceIn(a, a)
	return ok && found == a
}

// SourceIn returns an address of this host that lies between first and last: the source that the host's own sockets
// should take when they send to the other side of such a selector.
func SourceIn(first, last netip.Addr) (netip.Addr, bool) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, x := range addrs {
		n, ok := x.(*net.IPNet)
		if !ok {
			continue
		}
		a, ok := netip.AddrFromSlice(n.IP)
		a = a.Unmap()
		if ok && !a.IsLoopback() && !a.IsLinkLocalUnicast() && a.BitLen() == first.BitLen() && !a.Less(first) && !last.Less(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Windows: netsh, and the forwarding table through iphlpapi. Not run on this system yet.

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

func stackOf(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

func linkUp(device string, mtu int) error {
	var errs []error
	for _, stack := range []string{"ipv4", "ipv6"} {
		_, err := tool("netsh", "interface", stack, "set", "subinterface", device, "mtu="+strconv.Itoa(mtu), "store=active")
		errs = append(errs, err)
	}
	if errs[0] != nil && errs[1] != nil {
		return errors.Join(errs...)
	}
	return nil // a host may have either family switched off
}

func addAddress(device string, a netip.Addr) error {
	if a.Is4() {
		_, err := tool("netsh", "interface", "ipv4", "add", "address", "name="+device, "address="+a.String(), "mask=255.255.255.255", "store=active")
		return err
	}
	_, err := tool("netsh", "interface", "ipv6", "add", "address", "interface="+device, "address="+a.String()+"/128", "store=active")
	return err
}

func delAddress(device string, a netip.Addr) error {
	if a.Is4() {
		return remove("netsh", "interface", "ipv4", "delete", "address", "name="+device, "address="+a.String())
	}
	return remove("netsh", "interface", "ipv6", "delete", "address", "interface="+device, "address="+a.String())
}

func addOne(device string, dst netip.Prefix, action Action, _ netip.Addr) error {
	if action == Blackhole {
		return errors.New("Windows has no blackhole routes")
	}
	_, err := tool("netsh", "interface", stackOf(dst.Addr()), "add", "route", "prefix="+dst.String(), "interface="+device, "metric=0", "store=active")
	return err
}

func delOne(device string, dst netip.Prefix, _ string) error {
	return remove("netsh", "interface", stackOf(dst.Addr()), "delete", "route", "prefix="+dst.String(), "interface="+device)
}

// gatewayTo returns "INDEX NEXTHOP" of the route in use now.
func gatewayTo(peer netip.Addr) (string, error) {
	family := uint16(windows.AF_INET6)
	if peer.Is4() {
		family = windows.AF_INET
	}
	var table *windows.MibIpForwardTable2
	if err := windows.GetIpForwardTable2(family, &table); err != nil {
		return "", fmt.Errorf("forwarding table: %w", err)
	}
	defer windows.FreeMibTable(unsafe.Pointer(table))
	best, metric, via := -1, uint32(0), ""
	for _, row := range table.Rows() {
		dst := addrOf(&row.DestinationPrefix.Prefix)
		bits := int(row.DestinationPrefix.PrefixLength)
		if !dst.IsValid() || row.Loopback != 0 || !netip.PrefixFrom(dst, bits).Contains(peer) {
			continue
		}
		if bits > best || bits == best && row.Metric < metric {
			best, metric = bits, row.Metric
			via = strconv.FormatUint(uint64(row.InterfaceIndex), 10) + " " + addrOf(&row.NextHop).String()
		}
	}
	if best < 0 {
		return "", errors.New("no route")
	}
	return via, nil
}

func addrOf(sa *windows.RawSockaddrInet) netip.Addr {
	switch sa.Family {
	case windows.AF_INET:
		return netip.AddrFrom4((*windows.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	case windows.AF_INET6:
		return netip.AddrFrom16((*windows.RawSockaddrInet6)(unsafe.Pointer(sa)).Addr)
	}
	return netip.Addr{}
}

func hostRoute(verb string, peer netip.Addr, via string) []string {
	index, hop, _ := strings.Cut(via, " ")
	prefix := netip.PrefixFrom(peer, peer.BitLen())
	return []string{"interface", stackOf(peer), verb, "route", "prefix=" + prefix.String(), "interface=" + index, "nexthop=" + hop}
}

func addExclude(peer netip.Addr, via string) error {
	_, err := tool("netsh", append(hostRoute("add", peer, via), "store=active")...)
	return err
}

func delExclude(peer netip.Addr, via string) error {
	return remove("netsh", hostRoute("delete", peer, via)...)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Linux: rtnetlink. One table and one rule of our own a family; the main table is never touched.

package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/store"
)

const (
	// needsExclude is false: the daemon's packets carry a mark that the rule excepts.
	needsExclude = false
	// basePriority is strongSwan's 220 for the rule: after local (0), before main (32766).
	basePriority = 220
	// baseTable and baseMark are counted up by the device's index, so that daemons with devices of their own never meet.
	baseTable = 28000
	baseMark  = 0x6e6a0000
	indexMask = 0xffff
)

// number fills in what the caller left to us.
func (o *Options) number() error {
	table, mark, err := Numbers(o.Device)
	if err != nil {
		return err
	}
	if o.Table == 0 {
		o.Table = table
	}
	if o.Mark == 0 {
		o.Mark = mark
	}
	if o.Priority == 0 {
		o.Priority = basePriority
	}
	return nil
}

// Numbers returns a routing table and a packet mark that no other daemon on this host has while the device exists.
func Numbers(device string) (table int, mark uint32, err error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return 0, 0, fmt.Errorf("device %s: %w", device, err)
	}
	i := link.Attrs().Index & indexMask
	return baseTable + i, baseMark | uint32(i), nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (o Options) rule(family int) *netlink.Rule {
	r := netlink.NewRule()
	mask := uint32(0xffffffff)
	r.Family, r.Table, r.Priority, r.Mark, r.Mask, r.Invert = family, o.Table, o.Priority, o.Mark, &mask, true
	return r
}

// openFamily adds the rule: not fwmark MARK lookup TABLE.
func (h *Host) openFamily(f string) error {
	family := unix.AF_INET
	if f == "6" {
		family = unix.AF_INET6
		if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
			return nil // a kernel without IPv6 needs no rule for it
		}
	}
	u := store.Undo{Kind: KindRule, Name: f, Args: map[string]string{
		"table": strconv.Itoa(h.opts.Table), "priority": strconv.Itoa(h.opts.Priority), "mark": strconv.FormatUint(uint64(h.opts.Mark), 10),
	}}
	return h.hold("rule "+f, "", u, func() error {
		err := netlink.RuleAdd(h.opts.rule(family))
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	})
}

func undoSystem(u store.Undo) error {
	if u.Kind == KindSysctl {
		return writeSysctl(u.Name, u.Args["value"])
	}
	table, err1 := strconv.Atoi(u.Args["table"])
	priority, err2 := strconv.Atoi(u.Args["priority"])
	mark, err3 := strconv.ParseUint(u.Args["mark"], 10, 32)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("journal: rule: %w", err)
	}
	family := unix.AF_INET
	if u.Name == "6" {
		family = unix.AF_INET6
	}
	o := Options{Table: table, Priority: priority, Mark: uint32(mark)}
	return gone(netlink.RuleDel(o.rule(family)))
}

// gone makes success of the errors that say there was nothing to remove.
func gone(err error) error {
	var missing netlink.LinkNotFoundError
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.As(err, &missing) {
		return nil
	}
	return err
}

func linkUp(device string, mtu int) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("device %s: %w", device, err)
	}
	// No link-local address, and so no router solicitation, into the tunnel. A kernel without IPv6 has no such file.
	_ = writeSysctl("net/ipv6/conf/"+device+"/addr_gen_mode", "1")
	_ = writeSysctl("net/ipv6/conf/"+device+"/accept_ra", "0")
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("device %s: mtu %d: %w", device, mtu, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("device %s: up: %w", device, err)
	}
	return nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func addAddress(device string, a netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: hostNet(a)}
	if a.Is6() {
		// The peer assigned it to us alone: nobody answers duplicate address detection on a TUN.
		addr.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrReplace(link, addr)
}

func delAddress(device string, a netip.Addr) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return gone(err)
	}
	return gone(netlink.AddrDel(link, &netlink.Addr{IPNet: hostNet(a)}))
}

func routeType(action string) int {
	switch action {
	case "throw":
		return unix.RTN_THROW
	case "blackhole":
		return unix.RTN_BLACKHOLE
	}
	return unix.RTN_UNICAST
}

func prefixNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func addRoute(o Options, dst netip.Prefix, action Action, src netip.Addr) error {
	r := &netlink.Route{Dst: prefixNet(dst), Table: o.Table, Type: routeType(action.String()), Family: familyOf(dst.Addr())}
	if action == Tunnel {
		link, err := netlink.LinkByName(o.Device)
		if err != nil {
			return err
		}
		r.LinkIndex, r.Scope = link.Attrs().Index, netlink.SCOPE_LINK
		if src.IsValid() && src.BitLen() == dst.Addr().BitLen() {
			r.Src = src.AsSlice()
		}
	}
	return netlink.RouteReplace(r)
}

func delRoute(device string, table int, dst netip.Prefix, action string) error {
	r := &netlink.Route{Dst: prefixNet(dst), Table: table, Type: routeType(action), Family: familyOf(dst.Addr())}
	if action == Tunnel.String() {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return gone(err) // the device's routes went with it
		}
		r.LinkIndex, r.Scope = link.Attrs().Index, netlink.SCOPE_LINK
	}
	return gone(netlink.RouteDel(r))
}

func gatewayTo(netip.Addr) (string, error) { return "", nil }
func addExclude(netip.Addr, string) error  { return nil }
func delExclude(netip.Addr, string) error  { return nil }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Linux: rtnetlink. One table and one rule of our own a family; the main table is never touched.

package route

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/sysctl"
)

const (
	// needsExclude is false: the daemon's packets carry a mark that the rule excepts.
	needsExclude = false
	// basePriority is strongSwan's 220 for the rule: after local (0), before main (32766).
	basePriority = 220
	// baseTable and baseMark are counted up by a number made of the device's name, so that a daemon finds what it left.
	baseTable = 28000
	baseMark  = 0x6e6a0000
	// ownMask is the half of a mark that all our daemons have in common.
	ownMask   = 0xffff0000
	indexMask = 0xffff
	// claims is how many numbers are tried when others have the first ones.
	claims = 64
)

// claim finds numbers that no other daemon has, and adds the rules that make them ours.
func (h *Host) claim() error {
	o := &h.opts
	link, err := netlink.LinkByName(o.Device)
	if err != nil {
		return fmt.Errorf("device %s: %w", o.Device, err)
	}
	o.index = link.Attrs().Index
	if o.Priority == 0 {
		o.Priority = basePriority
	}
	chosen := o.Table == 0
	first := nameNumber(o.Device)
	for n := range uint32(claims) {
		i := (first + n) & indexMask
		if chosen {
			o.Table = baseTable + int(i)
		}
		if o.Mark == 0 {
			o.Mark, o.Mask = baseMark|i, ownMask
		}
		if o.Mask == 0 {
			o.Mask = 0xffffffff
		}
		if o.Passive {
			return nil
		}
		err := h.claimTable()
		if err == nil || !errors.Is(err, unix.EEXIST) {
			return err
		}
		if !chosen {
			return fmt.Errorf("routing table %d: a rule for it is there already; is it another daemon's? If not, `ip rule del table %d` and `ip -6 rule del table %d` remove it", o.Table, o.Table, o.Table)
		}
	}
	return fmt.Errorf("routing tables %d and the %d after it: all have rules already", baseTable+int(first), claims-1)
}

// nameNumber is FNV-1a over the name, folded to 16 bits.
func nameNumber(device string) uint32 {
	f := fnv.New32a()
	f.Write([]byte(device))
	return (f.Sum32() ^ f.Sum32()>>16) & indexMask
}

// claimTable adds the rules of both families, or none.
func (h *Host) claimTable() error {
	for _, f := range []string{"4", "6"} {
		if err := h.openFamily(f); err != nil {
			return errors.Join(err, h.release("rule 4"))
		}
	}
	return nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (o Options) rule(family int) *netlink.Rule {
	r := netlink.NewRule()
	mask := o.Mask
	r.Family, r.Table, r.Priority, r.Mark, r.Mask, r.Invert = family, o.Table, o.Priority, o.Mark&mask, &mask, true
	return r
}

// openFamily adds the rule: not fwmark MARK/MASK lookup TABLE. EEXIST means that the table is another's.
func (h *Host) openFamily(f string) error {
	family := unix.AF_INET
	if f == "6" {
		family = unix.AF_INET6
		if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
			return nil // a kernel without IPv6 needs no rule for it
		}
	}
	// Looked at first, so that the journal never names a rule of another daemon.
	rules, err := netlink.RuleListFiltered(family, &netlink.Rule{Table: h.opts.Table}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("rules of the system: %w", err)
	}
	if len(rules) > 0 {
		return fmt.Errorf("rule for table %d: %w", h.opts.Table, unix.EEXIST)
	}
	u := store.Undo{Kind: KindRule, Name: f, Args: map[string]string{
		"table": strconv.Itoa(h.opts.Table), "priority": strconv.Itoa(h.opts.Priority),
		"mark": strconv.FormatUint(uint64(h.opts.Mark), 10), "mask": strconv.FormatUint(uint64(h.opts.Mask), 10),
	}}
	return h.hold("rule "+f, "", u, func() error { return netlink.RuleAdd(h.opts.rule(family)) })
}

// undoRule removes a rule.
func undoRule(u store.Undo) error {
	table, err1 := strconv.Atoi(u.Args["table"])
	priority, err2 := strconv.Atoi(u.Args["priority"])
	mark, err3 := strconv.ParseUint(u.Args["mark"], 10, 32)
	mask, err4 := strconv.ParseUint(u.Args["mask"], 10, 32)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return fmt.Errorf("journal: rule: %w", err)
	}
	family := unix.AF_INET
	if u.Name == "6" {
		family = unix.AF_INET6
	}
	o := Options{Table: table, Priority: priority, Mark: uint32(mark), Mask: uint32(mask)}
	return gone(netlink.RuleDel(o.rule(family)))
}

// ForwardingOff reports whether this host forwards nothing of the address's family, and by which setting.
func ForwardingOff(a netip.Addr) (setting string, off bool) {
	if a.Is4() {
		return "net.ipv4.ip_forward", sysctl.Read("net/ipv4/ip_forward") == "0"
	}
	return "net.ipv6.conf.all.forwarding", sysctl.Read("net/ipv6/conf/all/forwarding") == "0"
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
	_ = sysctl.Write("net/ipv6/conf/"+device+"/addr_gen_mode", "1")
	_ = sysctl.Write("net/ipv6/conf/"+device+"/accept_ra", "0")
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
		r.LinkIndex, r.Scope = o.index, netlink.SCOPE_LINK
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

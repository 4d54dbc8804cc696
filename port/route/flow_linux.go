// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Linux: a rule `iif lo ipproto P sport A-B dport C-D lookup TABLE` for each kind of traffic. `iif lo` means: of this host's
// own sockets. Before them `fwmark MARK/MASK goto` the rule of our own table lets the daemon's packets by.

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/sysctl"
)

const hasFlows = true

// changeFlowRule adds or removes the rule that a journal entry names.
func changeFlowRule(u store.Undo, add bool) error {
	table, err1 := strconv.Atoi(u.Args["table"])
	priority, err2 := strconv.Atoi(u.Args["priority"])
	target, err3 := strconv.Atoi(u.Args["goto"])
	mark, err4 := strconv.ParseUint(u.Args["mark"], 10, 32)
	mask, err5 := strconv.ParseUint(u.Args["mask"], 10, 32)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return fmt.Errorf("journal: flow: %w", err)
	}
	r := netlink.NewRule()
	r.Family, r.Priority = unix.AF_INET, priority
	if u.Name == "6" {
		r.Family = unix.AF_INET6
	}
	r.Table = table // of a rule that only jumps it says whose it is: daemons share the mark
	if text := u.Args["flow"]; text == "" {
		m := uint32(mask)
		r.Mark, r.Mask, r.Goto = uint32(mark)&m, &m, target
	} else {
		f, err := parseFlow(text)
		if err != nil {
			return err
		}
		r.IifName, r.IPProto = "lo", int(f.Proto)
		r.Sport, r.Dport = portRange(f.SportFrom, f.SportTo), portRange(f.DportFrom, f.DportTo)
	}
	if add {
		return netlink.RuleAdd(r)
	}
	return gone(netlink.RuleDel(r))
}

// anchor is an address of this host's own loopback range that the device has: nobody sees it.
const anchor = "127.110.106.1"

// acceptFlows has the system take packets for this host's own address from the device. Where rp_filter is set, in whichever
// way, Linux drops what comes by a device that has no address unless the way back is the same, and its look-up for that takes
// the ports for those of the way out. What comes by the device was judged by the engine. Both go with the device.
func acceptFlows(device string, peer netip.Addr) error {
	if !peer.Is4() {
		return nil // IPv6 has no such check
	}
	const key, loose = "net/ipv4/conf/", "2"
	if max(sysctl.Read(key+"all/rp_filter"), sysctl.Read(key+device+"/rp_filter")) == "1" {
		if err := sysctl.Write(key+device+"/rp_filter", loose); err != nil {
			return err
		}
	}
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	a := netip.MustParseAddr(anchor)
	return netlink.AddrReplace(link, &netlink.Addr{IPNet: hostNet(a), Scope: unix.RT_SCOPE_HOST})
}

// portRange is nil for any port.
func portRange(from, to uint16) *netlink.RulePortRange {
	if from == 0 && to == 0xffff {
		return nil
	}
	return netlink.NewRulePortRange(from, to)
}

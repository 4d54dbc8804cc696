// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Routes of some of this host's traffic to an address: what a child in transport mode protects. Everything else to the same
// address, which may be that of a NAT with many others behind it, goes its usual way.

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/natterjack/natterjack/port/store"
)

const (
	// flowLimit bounds the kinds of traffic that have a rule: every packet of this host meets all of them.
	flowLimit = 64
	// flowTables is what is added to the number of our own table for those of the flows.
	flowTables = 200000
	// flowPriority is how far before the rule of our own table the rules of flows are; before them is the one that lets the
	// daemon's own packets by.
	flowPriority, passPriority = 1, 2
)

// KindFlow is the kind of store.Undo of a rule by protocol and ports.
const KindFlow = "flow"

// Flow is a kind of traffic that this host's own sockets send: an IP protocol (0: any) and, for those that have ports,
// ranges of them (0 to 65535: any).
type Flow struct {
	Proto              uint8
	SportFrom, SportTo uint16
	DportFrom, DportTo uint16
}

func (f Flow) String() string {
	return fmt.Sprintf("%d %d-%d %d-%d", f.Proto, f.SportFrom, f.SportTo, f.DportFrom, f.DportTo)
}

// parseFlow reads what String made.
func parseFlow(text string) (f Flow, err error) {
	if _, err = fmt.Sscanf(text, "%d %d-%d %d-%d", &f.Proto, &f.SportFrom, &f.SportTo, &f.DportFrom, &f.DportTo); err != nil {
		err = fmt.Errorf("journal: flow: %w", err)
	}
	return f, err
}

// AddFlow routes one kind of traffic to dst into the device; src is the source that unbound sockets take. What other
// hosts send through this one is left alone, as are the daemon's own packets.
func (h *Host) AddFlow(dst netip.Addr, f Flow, src netip.Addr) error {
	dst = dst.Unmap()
	if !hasFlows {
		return fmt.Errorf("%s: transport mode needs routes by protocol and port, which this system has not: use tunnel mode", dst)
	}
	table, err := h.flowTable(f)
	if err != nil {
		return err
	}
	if err := h.holdRules(f, dst, table); err != nil {
		return err
	}
	o := h.opts
	o.Table = table
	p := netip.PrefixFrom(dst, dst.BitLen())
	u := store.Undo{Kind: KindRoute, Name: o.Device, Args: map[string]string{
		"dst": p.String(), "action": Tunnel.String(), "table": strconv.Itoa(table),
	}}
	if err := h.hold(flowKey(dst, f), src.String(), u, func() error { return addRoute(o, p, Tunnel, src) }); err != nil {
		h.releaseRules(f, dst)
		return err
	}
	return nil
}

// RemoveFlow takes a flow back, once for each AddFlow.
func (h *Host) RemoveFlow(dst netip.Addr, f Flow) error {
	dst = dst.Unmap()
	err := h.release(flowKey(dst, f))
	if again := h.releaseRules(f, dst); err == nil {
		err = again
	}
	return err
}

func flowKey(dst netip.Addr, f Flow) string { return "flow " + f.String() + " to " + dst.String() }

func familyText(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// flowTable is the routing table of a kind of traffic, the same for both families.
func (h *Host) flowTable(f Flow) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n, ok := h.flows[f]; ok {
		return n, nil
	}
	used := map[int]bool{}
	for _, n := range h.flows {
		used[n] = true
	}
	for i := range flowLimit {
		// Tables of different daemons do not meet: theirs are less than 65536 apart.
		if n := flowTables + h.opts.Table + i<<17; !used[n] {
			h.flows[f] = n
			return n, nil
		}
	}
	return 0, fmt.Errorf("transport mode: more than %d kinds of traffic by protocol and ports", flowLimit)
}

// holdRules has the rules of a flow in force: the one that leads to its table, and before all flows the one that lets the
// daemon's own packets go on.
func (h *Host) holdRules(f Flow, dst netip.Addr, table int) error {
	family := familyText(dst)
	undo := func(priority int, flow string) store.Undo {
		return store.Undo{Kind: KindFlow, Name: family, Args: map[string]string{
			"table": strconv.Itoa(table), "priority": strconv.Itoa(priority), "flow": flow, "goto": strconv.Itoa(h.opts.Priority),
			"mark": strconv.FormatUint(uint64(h.opts.Mark), 10), "mask": strconv.FormatUint(uint64(h.opts.Mask), 10),
		}}
	}
	pass := undo(h.opts.Priority-passPriority, "")
	prepare := func() error { return errors.Join(acceptFlows(h.opts.Device, dst), changeFlowRule(pass, true)) }
	if err := h.hold("pass "+family, "", pass, prepare); err != nil {
		return err
	}
	u := undo(h.opts.Priority-flowPriority, f.String())
	if err := h.hold("rule "+family+" "+f.String(), "", u, func() error { return changeFlowRule(u, true) }); err != nil {
		h.release("pass " + family)
		return err
	}
	return nil
}

func (h *Host) releaseRules(f Flow, dst netip.Addr) error {
	family := familyText(dst)
	err := h.release("rule " + family + " " + f.String())
	h.mu.Lock()
	if h.held["rule 4 "+f.String()] == nil && h.held["rule 6 "+f.String()] == nil {
		delete(h.flows, f)
	}
	h.mu.Unlock()
	if again := h.release("pass " + family); err == nil {
		err = again
	}
	return err
}

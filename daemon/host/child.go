// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a child changes: first the packet filter, so that there is no moment at which its traffic may pass in the clear,
// then this host's virtual addresses, then routes. Each is counted: a child that replaces another (RFC 7296, Section 2.8)
// holds the same things before its predecessor lets go of them, and nothing changes.

package host

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/route"
)

// child is what one pair of SAs holds. Fields are protected by Host.mu.
type child struct {
	local    []ike.Selector
	vips     []netip.Addr // of this host
	outer    netip.Addr   // this host's end of the path
	guards   []firewall.Policy
	routes   []netip.Prefix
	flows    []flow     // in the place of routes, in transport mode
	excluded netip.Addr // the peer, where the system has no marks
	hooks    []hook
}

// ChildUp guards a child's selectors, routes the remote ones into the device and runs its updown command. On error nothing
// of it is left. A child with `policies = no` only has its command run.
func (h *Host) ChildUp(c *ike.ChildSA) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	if h.children[c.SPIIn] != nil {
		return fmt.Errorf("child %s: its SPI %08x is up already", c.Name, c.SPIIn)
	}
	k := &child{local: slices.Clone(c.TSLocal), outer: c.Path.Local.Addr().Unmap()}
	if !c.PeerVIPs {
		k.vips = slices.Clone(c.VIPs)
	}
	if c.Config == nil || !c.Config.NoPolicies {
		if err := h.hold(c, k); err != nil {
			return errors.Join(fmt.Errorf("child %s: %w", c.Name, err), h.letGo(k))
		}
	}
	h.children[c.SPIIn] = k
	k.hooks = hooksOf(c, h.device, h.given[c.Unique].DNS)
	for _, hook := range k.hooks {
		h.hooks.up(hook)
	}
	return nil
}

// ChildDown takes back what ChildUp did, except for what another child still holds.
func (h *Host) ChildDown(c *ike.ChildSA) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.children[c.SPIIn]
	if k == nil || h.closed {
		return
	}
	delete(h.children, c.SPIIn)
	for _, hook := range k.hooks {
		h.hooks.down(hook)
	}
	if err := h.letGo(k); err != nil {
		h.log.Error("a change of the host could not be taken back; `natterjack cleanup` tries again", "child_sa", c.Name, "reason", err)
	}
}

// hold makes a child's changes and notes each in k as soon as it may have been made.
func (h *Host) hold(c *ike.ChildSA, k *child) error {
	list := pairs(c.TSLocal, remoteOf(c))
	if err := checkSize(list); err != nil {
		return err
	}
	guards := policies(list, firewall.Protect)
	if err := h.guard(guards); err != nil {
		return err
	}
	k.guards = guards
	if h.opts.NoRoutes {
		return nil
	}
	h.allowMarked()
	h.checkForwarding(k)
	vips := k.vips
	k.vips = nil
	for _, a := range vips {
		if err := h.routes.AddAddress(a); err != nil {
			return err
		}
		k.vips = append(k.vips, a)
	}
	peer := c.Path.Remote.Addr().Unmap()
	if c.Mode == ike.ModeTransport {
		return h.holdFlows(list, k)
	}
	if slices.ContainsFunc(c.TSRemote, func(s ike.Selector) bool { return within(peer, s) }) {
		if err := h.routes.Exclude(peer); err != nil {
			return err
		}
		k.excluded = peer
	}
	for _, dst := range destinations(list) {
		if err := h.routes.AddRoute(dst, route.Tunnel, sourceFor(k, dst)); err != nil {
			return err
		}
		k.routes = append(k.routes, dst)
	}
	return nil
}

// letGo takes back what k holds, in the opposite order.
func (h *Host) letGo(k *child) error {
	var errs []error
	for _, dst := range slices.Backward(k.routes) {
		errs = append(errs, h.routes.RemoveRoute(dst, route.Tunnel))
	}
	if k.excluded.IsValid() {
		errs = append(errs, h.routes.Include(k.excluded))
	}
	if !h.opts.NoRoutes {
		for _, a := range k.vips {
			errs = append(errs, h.routes.RemoveAddress(a))
		}
	}
	errs = append(errs, h.letGoFlows(k), h.unguard(k.guards))
	k.routes, k.excluded, k.vips, k.guards = nil, netip.Addr{}, nil, nil
	return errors.Join(errs...)
}

// guard puts policies in force in the packet filter, or counts one more user of each. On error nothing has changed.
func (h *Host) guard(list []firewall.Policy) error {
	if h.table == nil {
		return nil
	}
	var fresh []firewall.Policy
	for _, p := range list {
		if h.guards[p.ID] == 0 {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) > 0 {
		if err := h.table.Add(fresh...); err != nil {
			return err
		}
	}
	for _, p := range list {
		h.guards[p.ID]++
	}
	return nil
}

func (h *Host) unguard(list []firewall.Policy) error {
	if h.table == nil {
		return nil
	}
	var unused []string
	for _, p := range list {
		if h.guards[p.ID]--; h.guards[p.ID] <= 0 {
			delete(h.guards, p.ID)
			unused = append(unused, p.ID)
		}
	}
	return h.table.Remove(unused...)
}

// checkForwarding warns a gateway that does not forward.
func (h *Host) checkForwarding(k *child) {
	for _, s := range k.local {
		own := s.From == s.To && (s.From == k.outer || slices.Contains(k.vips, s.From) || route.IsLocal(s.From))
		if own || anyAddress(s) && len(k.vips) > 0 {
			continue
		}
		if sysctl, off := route.ForwardingOff(s.From); off {
			h.warn(sysctl, fmt.Errorf("%s = 0: packets from the tunnel reach this host only, not the rest of %s; set it to 1", sysctl, selectorText(s)))
		}
	}
}

// refresh puts all routes in force again, with the source addresses that are right now.
func (h *Host) refresh() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.opts.NoRoutes {
		return
	}
	h.allowMarked()
	holders := slices.AppendSeq(slices.Collect(maps.Values(h.children)), maps.Values(h.policies))
	for _, k := range holders {
		for _, dst := range k.routes {
			if err := h.routes.Again(dst, sourceFor(k, dst)); err != nil {
				h.log.Error("a route could not be set again after a change of addresses", "route", dst.String(), "reason", err)
			}
		}
		if k.excluded.IsValid() {
			if err := h.routes.ExcludeAgain(k.excluded); err != nil {
				h.log.Error("the route to the peer could not be set again", "peer", k.excluded.String(), "reason", err)
			}
		}
	}
}

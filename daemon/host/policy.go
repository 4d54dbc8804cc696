// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies that a key daemon added by PF_KEY (RFC 4301, Section 4.4.1): what it says must be protected is routed into the device
// and kept out of the clear, as the kernel's own SPD would. Selectors are a privileged client's.

package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
)

// KeyPolicy is one policy.
type KeyPolicy struct {
	ID            uint32
	Action        firewall.Action
	Local, Remote ike.Selector
	// Outbound routes the remote side into the device. Only with firewall.Protect.
	Outbound bool
	// Optional lets the same packets pass in the clear as well (level use).
	Optional bool
	// OuterLocal and OuterRemote are the ends of the tunnel; invalid in transport mode.
	OuterLocal, OuterRemote netip.Addr
}

// HoldPolicy puts a policy in force. On error nothing of it is.
func (h *Host) HoldPolicy(p KeyPolicy) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	if h.policies[p.ID] != nil {
		return fmt.Errorf("policy %d: it is in force already", p.ID)
	}
	k := &child{local: []ike.Selector{p.Local}, outer: p.OuterLocal}
	var err error
	switch {
	case p.Action != firewall.Protect:
		k.guards = policies(pairs(k.local, []ike.Selector{p.Remote}), p.Action)
		if err = h.guard(k.guards); err != nil {
			k.guards = nil
		}
	case p.Outbound:
		c := &ike.ChildSA{TSLocal: k.local, TSRemote: []ike.Selector{p.Remote}}
		c.Path.Remote = netip.AddrPortFrom(p.OuterRemote, 0)
		err = h.hold(c, k)
		if err == nil && p.Optional {
			err = h.unguard(k.guards)
			k.guards = nil
		}
	case !p.Optional:
		k.guards = policies(pairs(k.local, []ike.Selector{p.Remote}), firewall.Protect)
		if err = h.guard(k.guards); err != nil {
			k.guards = nil
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("policy %d: %w", p.ID, err), h.letGo(k))
	}
	if h.policies == nil {
		h.policies = map[uint32]*child{}
	}
	h.policies[p.ID] = k
	return nil
}

// DropPolicy takes back what HoldPolicy did, except for what others still hold.
func (h *Host) DropPolicy(id uint32) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.policies[id]
	if k == nil || h.closed {
		return nil
	}
	delete(h.policies, id)
	return h.letGo(k)
}

// SetPorts says which UDP ports are the engine's and its key daemon's now.
func (h *Host) SetPorts(ports []uint16) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.table == nil || h.closed {
		return nil
	}
	return h.table.SetPorts(ports)
}

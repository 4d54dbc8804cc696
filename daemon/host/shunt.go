// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies without SAs: mode = pass and mode = drop (RFC 4301, Section 4.4.1: BYPASS and DISCARD). The engine knows them
// for what enters the TUN; here they are put in force for what does not. The selectors are the operator's.

package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/route"
)

// shunt is what one policy holds.
type shunt struct {
	guards []firewall.Policy
	routes []netip.Prefix
	action route.Action
}

// Shunt puts a pass or drop policy of a connection in force, or takes it back. A policy that is in force already is
// replaced. On error it is not in force.
//
// Pass wins over every child and over drop. Its destinations leave our routing table, so that the system routes them as
// if there were no tunnel; with protocols or ports, the packet filter takes what matches out of the tunnel's route. Drop
// yields to children: it is what remains when no tunnel takes a packet.
func (h *Host) Shunt(conn string, c *ike.ChildConfig, on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	key := conn + "\x00" + c.Name
	old := h.shunts[key]
	var s *shunt
	if on {
		var err error
		if s, err = h.newShunt(c); err != nil {
			return fmt.Errorf("policy %s: %w", c.Name, err)
		}
		h.shunts[key] = s
	}
	if old == nil {
		return nil
	}
	if !on {
		delete(h.shunts, key)
	}
	return h.dropShunt(old)
}

func (h *Host) newShunt(c *ike.ChildConfig) (*shunt, error) {
	list := pairs(concrete(c.LocalTS), concrete(c.RemoteTS))
	s, guards := &shunt{}, []firewall.Policy(nil)
	switch c.Mode {
	case ike.ModePass:
		s.action, guards = route.Throw, policies(list, firewall.Bypass)
	case ike.ModeDrop:
		s.action, guards = route.Blackhole, policies(list, firewall.Discard)
	default:
		return nil, errors.New("mode: neither pass nor drop")
	}
	if err := h.guard(guards); err != nil {
		return nil, err
	}
	s.guards = guards
	if h.opts.NoRoutes || c.Mode == ike.ModeDrop && h.table != nil {
		return s, nil
	}
	for _, dst := range destinations(wholeHosts(list)) {
		if err := h.routes.AddRoute(dst, s.action, netip.Addr{}); err != nil {
			return nil, errors.Join(err, h.dropShunt(s))
		}
		s.routes = append(s.routes, dst)
	}
	return s, nil
}

// wholeHosts are the pairs that a route can express: all protocols and ports.
func wholeHosts(list []pair) []pair {
	var out []pair
	for _, p := range list {
		if p.local.Proto == 0 && p.remote.Proto == 0 && p.local.PortTo-p.local.PortFrom == 0xffff && p.remote.PortTo-p.remote.PortFrom == 0xffff {
			out = append(out, p)
		}
	}
	return out
}

func (h *Host) dropShunt(s *shunt) error {
	var errs []error
	for _, dst := range s.routes {
		errs = append(errs, h.routes.RemoveRoute(dst, s.action))
	}
	return errors.Join(append(errs, h.unguard(s.guards))...)
}

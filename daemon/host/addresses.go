// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The host of a daemon whose engine is behind PF_KEY: routes and guards are made there, for the policies that it is given. What
// is left here are this host's virtual addresses, which no policy says. They come from an authenticated peer.

package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/store"
)

// Addresses puts virtual addresses on the loopback interface. It implements the interface Host of package daemon.
type Addresses struct {
	routes *route.Host
	log    *slog.Logger

	mu       sync.Mutex // protects the rest
	children map[uint32][]netip.Addr
	noDNS    bool // it was said
}

// NewAddresses prepares the interface device, "lo" in Linux.
func NewAddresses(device string, journal *store.Journal, log *slog.Logger) (*Addresses, error) {
	routes, err := route.Open(route.Options{Device: device, Passive: true, Journal: journal})
	if err != nil {
		return nil, err
	}
	return &Addresses{routes: routes, log: log, children: map[uint32][]netip.Addr{}}, nil
}

// ChildUp puts the virtual addresses of this host on the interface, before the child's policies need them.
func (a *Addresses) ChildUp(c *ike.ChildSA) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.Config != nil && len(c.Config.Updown) > 0 {
		return fmt.Errorf("child %s: updown is not built over PF_KEY: it needs --ipsec engine", c.Name)
	}
	if c.PeerVIPs {
		return nil
	}
	for _, v := range c.VIPs {
		if err := a.routes.AddAddress(v); err != nil {
			return errors.Join(fmt.Errorf("child %s: %w", c.Name, err), a.take(c.SPIIn))
		}
		a.children[c.SPIIn] = append(a.children[c.SPIIn], v)
	}
	return nil
}

// take removes what a child holds.
func (a *Addresses) take(spiIn uint32) error {
	var errs []error
	for _, v := range slices.Backward(a.children[spiIn]) {
		errs = append(errs, a.routes.RemoveAddress(v))
	}
	delete(a.children, spiIn)
	return errors.Join(errs...)
}

// ChildDown takes the addresses back, except for what another child still holds.
func (a *Addresses) ChildDown(c *ike.ChildSA) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.take(c.SPIIn); err != nil {
		a.log.Error("an address could not be taken back; `natterjack cleanup` tries again", "child_sa", c.Name, "reason", err)
	}
}

// Configure says what of it is left out: name servers.
func (a *Addresses) Configure(c ike.Configure) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(c.DNS) > 0 && !c.Remove && !a.noDNS {
		a.noDNS = true
		a.log.Warn("the peer's name servers are not set: over PF_KEY this is not built", "dns", fmt.Sprint(c.DNS))
	}
	return nil
}

// Shunt and Trap have nothing to do here: the service puts its policies in force at the host.
func (a *Addresses) Shunt(string, *ike.ChildConfig, bool) error { return nil }

// Trap: see Shunt.
func (a *Addresses) Trap(*ike.ChildSA, bool) error { return nil }

// Warnings has none.
func (a *Addresses) Warnings() []string { return nil }

// Close takes everything back.
func (a *Addresses) Close() error { return a.routes.Close() }

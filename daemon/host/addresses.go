// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The host of a daemon whose engine is behind PF_KEY: routes and guards are made there, for the policies that it is given. What
// is left here is what no policy says: this host's virtual addresses, name servers and updown commands. Addresses, servers and
// identities come from an authenticated peer.

package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/store"
)

// AddressesOptions is what Addresses are made with.
type AddressesOptions struct {
	// Loopback is the interface for virtual addresses, "lo" in Linux.
	Loopback string
	// Device is the name of the engine's interface now; empty: it has none. Updown commands are told, and name servers are set
	// for it.
	Device  func() string
	NoDNS   bool
	Journal *store.Journal
	Log     *slog.Logger
}

// Addresses implements the interface Host of package daemon. It is safe for concurrent use.
type Addresses struct {
	opts   AddressesOptions
	routes *route.Host
	hooks  *hooks

	mu       sync.Mutex // protects the rest
	children map[uint32]*held
	given    map[uint64]ike.Configure
	resolver resolver
	warning  string // about name servers
	closed   bool
}

// held is what a child holds.
type held struct {
	vips  []netip.Addr
	hooks []hook
}

// NewAddresses prepares the loopback interface.
func NewAddresses(o AddressesOptions) (*Addresses, error) {
	routes, err := route.Open(route.Options{Device: o.Loopback, Passive: true, Journal: o.Journal})
	if err != nil {
		return nil, err
	}
	return &Addresses{opts: o, routes: routes, hooks: newHooks(o.Journal, o.Log), children: map[uint32]*held{}, given: map[uint64]ike.Configure{}}, nil
}

// ChildUp puts the virtual addresses of this host on the interface, before the child's policies need them, and runs its updown
// command.
func (a *Addresses) ChildUp(c *ike.ChildSA) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	device := a.opts.Device()
	switch {
	case a.closed:
		return errors.New("host changes: closed")
	case a.children[c.SPIIn] != nil:
		return fmt.Errorf("child %s: its SPI %08x is up already", c.Name, c.SPIIn)
	case device == "" && c.Config != nil && len(c.Config.Updown) > 0:
		return fmt.Errorf("child %s: updown needs an interface, and the engine behind PF_KEY has none", c.Name)
	}
	k := &held{}
	a.children[c.SPIIn] = k
	for _, v := range c.VIPs {
		if c.PeerVIPs {
			break
		}
		if err := a.routes.AddAddress(v); err != nil {
			return errors.Join(fmt.Errorf("child %s: %w", c.Name, err), a.take(c.SPIIn))
		}
		k.vips = append(k.vips, v)
	}
	k.hooks = hooksOf(c, device, a.given[c.Unique].DNS)
	for _, h := range k.hooks {
		a.hooks.up(h)
	}
	return nil
}

// take removes what a child holds.
func (a *Addresses) take(spiIn uint32) error {
	k := a.children[spiIn]
	if k == nil {
		return nil
	}
	delete(a.children, spiIn)
	for _, h := range k.hooks {
		a.hooks.down(h)
	}
	var errs []error
	for _, v := range slices.Backward(k.vips) {
		errs = append(errs, a.routes.RemoveAddress(v))
	}
	return errors.Join(errs...)
}

// ChildDown takes it back, except for what another child still holds.
func (a *Addresses) ChildDown(c *ike.ChildSA) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	if err := a.take(c.SPIIn); err != nil {
		a.opts.Log.Error("an address could not be taken back; `natterjack cleanup` tries again", "child_sa", c.Name, "reason", err)
	}
}

// Configure sets or takes back name servers. Addresses come with the children. What could not be set is a warning, because the tunnel
// works without.
func (a *Addresses) Configure(c ike.Configure) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("host changes: closed")
	}
	delete(a.given, c.Unique)
	if !c.Remove {
		c.DNS = slices.Clone(c.DNS)
		a.given[c.Unique] = c
	}
	a.updateDNS()
	return nil
}

// updateDNS makes the resolver's setting what all connections together ask for. The caller holds mu.
func (a *Addresses) updateDNS() {
	if a.opts.NoDNS {
		return
	}
	device := a.opts.Device()
	if device == "" {
		a.warning = ""
		if slices.ContainsFunc(slices.Collect(maps.Values(a.given)), func(c ike.Configure) bool { return len(c.DNS) > 0 }) {
			a.warning = "the peer's name servers are not set: the engine behind PF_KEY has no interface"
		}
		return
	}
	changed, err := a.resolver.update(device, a.given, a.opts.Journal)
	switch {
	case err != nil:
		a.warning = err.Error()
		a.opts.Log.Warn(a.warning)
	case changed:
		a.warning = ""
	}
}

// Back says that the engine was away and has another interface now: what was set for the one that went is set again.
func (a *Addresses) Back() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.resolver.lease == nil {
		return
	}
	if err := a.resolver.lease.Restore(context.Background()); err != nil {
		a.opts.Log.Warn("DNS as it was before could not be set again", "reason", err)
		return
	}
	a.resolver = resolver{}
	a.updateDNS()
}

// Shunt and Trap have nothing to do here: the service puts its policies in force at the host.
func (a *Addresses) Shunt(string, *ike.ChildConfig, bool) error { return nil }

// Trap: see Shunt.
func (a *Addresses) Trap(*ike.ChildSA, bool) error { return nil }

// Warnings are sentences about what could not be had.
func (a *Addresses) Warnings() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.warning == "" {
		return nil
	}
	return []string{a.warning}
}

// Close takes everything back, within a second. What could not be is still in the journal.
func (a *Addresses) Close() error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return nil
	}
	a.closed = true
	lease := a.resolver.lease
	a.mu.Unlock()
	return errors.Join(a.hooks.closeWith(lease), a.routes.Close())
}

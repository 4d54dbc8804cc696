// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a gateway assigned to this host (RFC 7296, Section 2.19): virtual addresses and DNS servers. Both come from an
// authenticated peer; addresses that cannot be a host's are refused. One DNS setting is in force for the device: the
// servers of all connections in the order of their IKE SAs.

package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/dns"
	"github.com/natterjack/natterjack/port/store"
)

const (
	// vipLimit bounds the addresses one peer can put on our device.
	vipLimit = 16
	// serverLimit bounds the DNS servers in force: what a resolver still asks.
	serverLimit = 8
)

// Configure sets or takes back virtual addresses and DNS servers. An error means that an address could not be set, and
// nothing of a is left; DNS that could not be set is a warning, because the tunnel works without.
func (h *Host) Configure(a ike.Configure) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	old, known := h.given[a.Unique]
	if known {
		delete(h.given, a.Unique)
	}
	var err error
	if !a.Remove {
		err = h.assign(a)
	}
	err = errors.Join(err, h.unassign(old))
	h.updateDNS()
	return err
}

func (h *Host) assign(a ike.Configure) error {
	if len(a.VIPs) > vipLimit {
		return fmt.Errorf("virtual addresses: %d, at most %d", len(a.VIPs), vipLimit)
	}
	a.VIPs, a.DNS = slices.Clone(a.VIPs), slices.Clone(a.DNS)
	for i, ip := range a.VIPs {
		err := checkVIP(ip)
		if err == nil && !h.opts.NoRoutes {
			err = h.routes.AddAddress(ip)
		}
		if err != nil {
			a.VIPs = a.VIPs[:i]
			return errors.Join(err, h.unassign(a))
		}
	}
	h.given[a.Unique] = a
	return nil
}

func (h *Host) unassign(a ike.Configure) error {
	if h.opts.NoRoutes {
		return nil
	}
	var errs []error
	for _, ip := range a.VIPs {
		errs = append(errs, h.routes.RemoveAddress(ip))
	}
	return errors.Join(errs...)
}

func checkVIP(ip netip.Addr) error {
	ip = ip.Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() || ip.Zone() != "" || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("virtual address %v: not an address that a host can have", ip)
	}
	return nil
}

// updateDNS makes the resolver's setting what all connections together ask for.
func (h *Host) updateDNS() {
	if h.opts.NoDNS {
		return
	}
	if changed, err := h.resolver.update(h.device, h.given, h.opts.Journal); changed {
		h.warn("dns", err)
	}
}

// resolver is the setting in force for a device. Its owner's lock protects it.
type resolver struct {
	lease   *dns.Lease
	servers []netip.Addr
}

// update makes it what all connections together ask for; changed: something was done.
func (r *resolver) update(device string, given map[uint64]ike.Configure, j *store.Journal) (changed bool, err error) {
	var want []netip.Addr
	for _, unique := range slices.Sorted(maps.Keys(given)) {
		for _, a := range given[unique].DNS {
			if a = a.Unmap(); !slices.Contains(want, a) && len(want) < serverLimit {
				want = append(want, a)
			}
		}
	}
	if slices.Equal(want, r.servers) {
		return false, nil
	}
	if r.lease != nil {
		if err := r.lease.Restore(context.Background()); err != nil {
			return true, fmt.Errorf("DNS as it was before could not be set again: %w", err)
		}
		r.lease, r.servers = nil, nil
	}
	if len(want) == 0 {
		return true, nil
	}
	lease, err := dns.Set(context.Background(), dns.Settings{Device: device, Servers: want, Full: true}, j)
	if err == nil {
		r.lease, r.servers = lease, want
	}
	return true, err
}

func restoreDNS(ctx context.Context, lease *dns.Lease) error {
	if lease == nil {
		return nil
	}
	return lease.Restore(ctx)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The choice of the data plane: an interface of the system where this process may make one, TCP/IP in this process where not.

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/tun"
)

// dataPlane is a device with what is changed of the host around it.
type dataPlane struct {
	mode, why string // "tun" or "netstack", and the reason in words
	device    tun.Device
	journal   *store.Journal // nil: nothing is changed
	host      *host.Host     // nil likewise
	owned     bool           // the daemon closes device and host
}

// openDataPlane opens the data plane that the options name. "auto" falls back to netstack only where this process may not make
// an interface or the system has none: any other failure is one to be told of.
func openDataPlane(o config.DaemonOptions, state string, log *slog.Logger) (*dataPlane, error) {
	if o.DataPlane == "netstack" {
		return openNetstack(o, "it was chosen")
	}
	name := o.Tun
	if runtime.GOOS != "linux" && name == tun.DefaultName {
		name = "" // the system's own names have another form
	}
	dev, err := tun.Open(name, o.MTU)
	switch {
	case err == nil:
	case o.DataPlane == "tun":
		return nil, err
	case errors.Is(err, tun.ErrPrivilege):
		return openNetstack(o, "this process may not make interfaces (root and CAP_NET_ADMIN may): programs of this host will not see the tunnel")
	case errors.Is(err, tun.ErrNoDevice):
		return openNetstack(o, "this system has no TUN device: programs of this host will not see the tunnel")
	default:
		return nil, fmt.Errorf("%w; or run with --data-plane netstack", err)
	}
	why := "it was chosen"
	if o.DataPlane == "auto" {
		why = "this process may make interfaces"
	}
	p := &dataPlane{mode: "tun", why: why, device: dev}
	if err := p.prepare(o, state, log); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// prepare takes back what an earlier run left and prepares the host.
func (p *dataPlane) prepare(o config.DaemonOptions, state string, log *slog.Logger) error {
	journal, notes, err := host.OpenJournal(state, p.device.Name())
	switch {
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("interface %s: another natterjack uses it; stop that one, or choose another name (daemon { tun = … }): %w", p.device.Name(), err)
	case err != nil:
		return fmt.Errorf("state folder: %w; choose another with --state", err)
	}
	p.journal = journal
	for _, n := range notes {
		log.Warn(n)
	}
	p.host, err = host.New(host.Options{
		Device: p.device, Journal: journal, Table: o.Table, Mark: o.Fwmark, Ports: []uint16{o.Port, o.PortNATT},
		NoRoutes: !o.Routes, NoDNS: !o.DNS, Log: log,
	})
	return err
}

// openNetstack makes a user-space host that passes on what peers send to this side's selectors.
func openNetstack(o config.DaemonOptions, why string) (*dataPlane, error) {
	dev, err := netstack.NewGateway(nil, o.MTU, nil)
	if err != nil {
		return nil, err
	}
	return &dataPlane{mode: "netstack", why: why, device: dev}, nil
}

// name is the device's.
func (p *dataPlane) name() string {
	if p.device == nil {
		return "none"
	}
	return p.device.Name()
}

// close closes what the daemon has not.
func (p *dataPlane) close() error {
	var errs []error
	if !p.owned {
		if p.host != nil {
			errs = append(errs, p.host.Close())
		}
		if p.device != nil {
			errs = append(errs, p.device.Close())
		}
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	return errors.Join(errs...)
}

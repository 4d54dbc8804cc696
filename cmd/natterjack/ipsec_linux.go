// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// `run --ipsec pfkey:PATH`: SAs and policies go to another process's engine (natterjack pfkey serve).

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/daemon/keyhost"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/port/redirect"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// keyedEngine is what is open for an engine behind PF_KEY.
type keyedEngine struct{ ports *keyhost.Ports }

func (k *keyedEngine) close() error {
	if k == nil {
		return nil
	}
	return k.ports.Close()
}

// openKeyed prepares the daemon's options for the engine behind path.
func (s *service) openKeyed(path string, o *daemon.Options) error {
	ports, err := keyhost.DialPorts(path, s.log)
	if err != nil {
		return fmt.Errorf("--ipsec pfkey:%s: %w; is `natterjack pfkey serve --pfkey %s=freebsd` running?", path, err, path)
	}
	if list := othersOptions(s.opts); len(list) > 0 {
		s.log.Warn("options of the section daemon do nothing here: the interface is the PF_KEY service's", "options", strings.Join(list, " "))
	}
	s.keyed = &keyedEngine{ports}
	s.plane = &dataPlane{mode: "pfkey", why: "--ipsec pfkey:" + path}
	journal, notes, err := host.OpenJournal(s.flags.state, "pfkey")
	if err != nil {
		return fmt.Errorf("state folder: %w; choose another with --state", err)
	}
	s.plane.journal = journal
	for _, n := range notes {
		s.log.Warn(n)
	}
	addresses, err := host.NewAddresses(host.AddressesOptions{
		Loopback: "lo", Device: ports.Device, NoDNS: !s.opts.DNS, Journal: journal, Log: s.log,
	})
	if err != nil {
		return err
	}
	o.Host, o.DataPlane, o.Mark = addresses, "pfkey", ports.Mark()
	o.Keyed = &daemon.KeyedOptions{
		Dial: func(ctx context.Context) (*port.Conn, error) { return port.Dial(ctx, path, pfkey.FreeBSD) },
		Bind: func(a netip.AddrPort) error { return ports.Bind(socketOf(a)) },
		// An engine that marks its packets has an interface, and with it the privilege of raw sockets.
		RawESP: ports.Mark() != 0,
		Back:   addresses.Back,
		Log:    s.log,
	}
	return nil
}

// othersOptions are those that were set and that `pfkey serve` has instead, by flags or not at all.
func othersOptions(o config.DaemonOptions) (list []string) {
	for _, x := range []struct {
		name string
		set  bool
	}{
		{"tun", o.Tun != tun.DefaultName}, {"mtu", o.MTU != 0}, {"table", o.Table != 0}, {"fwmark", o.Fwmark != 0}, {"gso", o.GSO != "auto"},
		{"routes", !o.Routes},
	} {
		if x.set {
			list = append(list, x.name)
		}
	}
	return list
}

// socketOf names a port of this process, one a family.
func socketOf(a netip.AddrPort) redirect.Socket {
	s := redirect.Socket{Local: a, Mode: natt.NonESP, Inode: uint64(a.Port())}
	if a.Addr().Is6() {
		s.Inode |= 1 << 16
	}
	return s
}

// parseKeyedPath reads PATH[=freebsd].
func parseKeyedPath(text string) (string, error) {
	path, d, err := keyhost.ParsePath(text)
	switch {
	case err != nil:
		return "", err
	case path == "":
		return "", errors.New("a path is missing")
	case path != text && d != pfkey.FreeBSD:
		return "", fmt.Errorf("expected a path of the dialect freebsd, found %s: no other can move an SA", d)
	}
	return path, nil
}

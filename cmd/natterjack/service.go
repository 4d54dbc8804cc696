// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The daemon with what is around it: its data plane, its control socket, its configuration. Started in an order in which what
// fails costs nothing, and closed in the other.

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/control"
	"github.com/natterjack/natterjack/daemon/keyhost"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/pfkey"
	port "github.com/natterjack/natterjack/port/vici"
)

// service is one run of the daemon.
type service struct {
	log   *slog.Logger
	opts  config.DaemonOptions
	flags *runFlags

	listener *port.Listener
	server   *port.Server
	plane    *dataPlane
	keyed    *keyedEngine // nil: the engine is in this process
	keylog   *daemon.FileKeyLog
	d        *daemon.Daemon
	keys     *keyhost.Server // nil: no PF_KEY
	follow   sync.WaitGroup

	mu sync.Mutex // one reload at a time
}

// start starts everything, name being where the configuration was read. After an error close takes back what was done.
func (s *service) start(c *config.Config, name string) (err error) {
	// First, for it tells whether a daemon runs already.
	if s.listener, err = port.Listen(s.opts.VICI, socketGroup); err != nil {
		return err
	}
	o := daemon.OptionsOf(s.opts)
	o.Log, o.Hold = s.log, true
	if s.flags.keyedPath != "" {
		err = s.openKeyed(s.flags.keyedPath, &o)
	} else {
		err = s.openEngine(&o)
	}
	if err != nil {
		return err
	}
	if s.opts.KeyLog != "" {
		if s.keylog, err = daemon.OpenKeyLog(s.opts.KeyLog); err != nil {
			return err
		}
		o.KeyLog = s.keylog
		s.log.Warn("EVERY KEY IS WRITTEN TO A FILE: whoever reads it reads all traffic; for debugging only", "keylog", s.opts.KeyLog)
	}
	if s.d, err = daemon.New(o); err != nil {
		return err
	}
	s.plane.owned = true // closed by the daemon
	if err := s.serveKeys(); err != nil {
		return err
	}
	ctl := control.New(control.Options{Daemon: s.d, Log: s.log, Version: version(), Reload: s.reload})
	s.server = port.NewServer(ctl, s.log)
	events := s.d.Events()
	s.follow.Go(func() { ctl.Follow(events, s.server) })
	if _, err := s.d.Apply(c); err != nil {
		return err
	}
	s.d.Receive()
	s.follow.Go(func() { s.server.Serve(s.listener) })
	s.announce(c, name)
	return nil
}

// openEngine opens the data plane of an engine in this process.
func (s *service) openEngine(o *daemon.Options) (err error) {
	if s.plane, err = openDataPlane(s.opts, s.flags.state, s.log); err != nil {
		return err
	}
	o.Device, o.DataPlane = s.plane.device, s.plane.mode
	if s.plane.host != nil {
		o.Host, o.Mark = s.plane.host, s.plane.host.Mark()
	}
	return nil
}

// serveKeys serves PF_KEY on the daemon's engine, where that was asked for.
func (s *service) serveKeys() error {
	if len(s.flags.pfkey) == 0 {
		return nil
	}
	var server *keyhost.Server
	ready := make(chan struct{})
	db, changed := s.d.ServeKeys(func(n sadb.Notice) {
		<-ready
		server.Notice(n)
	})
	o := keyhost.ServerOptions{DB: db, Changed: changed, Log: s.log}
	if s.plane.host != nil {
		o.Host = s.plane.host
	}
	server = keyhost.NewServer(o)
	close(ready)
	s.keys = server
	for _, text := range s.flags.pfkey {
		path, d, err := keyhost.ParsePath(text)
		if err != nil {
			return err
		}
		if err := server.Listen(path, pfkey.Config{Dialect: d}); err != nil {
			return err
		}
		s.log.Info("PF_KEY is served", "pfkey", path, "dialect", d.String())
	}
	return nil
}

// announce is the start-up line, and a line for everything that this host could not be given.
func (s *service) announce(c *config.Config, name string) {
	if name == "" {
		name = "none: load one by the control socket"
	}
	s.log.Info("natterjack runs", "version", version(), "data_plane", s.plane.mode, "device", s.plane.name(), "because", s.plane.why,
		"udp", s.ports(), "vici", s.listener.Path(), "configuration", name, "has", counts(c))
	for _, w := range s.d.Warnings() {
		s.log.Warn(w)
	}
}

// ports are the UDP ports of each family that has some.
func (s *service) ports() string {
	var parts []string
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		ike, natt := s.d.Ports(family)
		for _, p := range []uint16{ike, natt} {
			if text := fmt.Sprint(p); p != 0 && !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, " ")
}

// reload reads the configuration again. What is wrong with it is logged and returned, and then nothing has changed.
func (s *service) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, name, err := s.flags.src.load()
	if err == nil && name == "" {
		s.log.Info("there is no configuration to read again", "folder", defaultFolder)
		return nil
	}
	var changes config.Changes
	if err == nil {
		changes, err = s.d.Apply(c)
	}
	if err != nil {
		s.log.Error("the configuration was not reloaded, the one in force stays", "error", err)
		return err
	}
	s.log.Info("configuration reloaded", "from", name, "added", changes.Added, "changed", changes.Changed, "removed", changes.Removed,
		"pools", changes.Pools, "credentials_changed", changes.Credentials)
	if changes.Daemon {
		s.log.Warn("options of the section daemon have changed: they take effect when the daemon is started again")
	}
	return nil
}

// close ends everything that was started.
func (s *service) close() error {
	var errs []error
	if s.keys != nil {
		s.keys.Close() // takes back what its policies hold of the host, which the daemon closes
	}
	if s.d != nil {
		// Before the server, so that its clients hear of the end of the SAs.
		errs = append(errs, s.d.Close())
	}
	if s.server != nil {
		s.server.Close()
	}
	if s.listener != nil {
		s.listener.Close()
	}
	s.follow.Wait()
	if s.keylog != nil {
		errs = append(errs, s.keylog.Close())
	}
	if s.plane != nil {
		errs = append(errs, s.plane.close())
	}
	errs = append(errs, s.keyed.close())
	return errors.Join(errs...)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Loading a whole configuration. It was decoded and checked before it gets here, by daemon/config; what can still fail (a
// pool whose range changes under its users, a policy that the host refuses) is tried first and undone, so that either all
// of the new configuration is in force or all of the old. Running SAs keep what they were born with.

package daemon

import (
	"fmt"
	"reflect"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
)

// OptionsOf are the options that a configuration's section daemon gives. Device, Host, Log and KeyLog are the caller's.
func OptionsOf(o config.DaemonOptions) Options {
	keepalive := o.Keepalive
	if keepalive == 0 {
		keepalive = -1 // in the file zero means never
	}
	return Options{
		Listen: o.Listen, Port: o.Port, PortNATT: o.PortNATT, Keepalive: keepalive, GSO: o.GSO, Mark: o.Fwmark,
		Retransmit: o.Retransmit, FragmentSize: o.FragmentSize,
	}
}

// Apply puts a configuration in force in the place of the one before. What a control client has loaded since stays, unless
// the configuration has something of the same name. It returns what changed.
func (d *Daemon) Apply(c *config.Config) (config.Changes, error) {
	d.loadMu.Lock()
	defer d.loadMu.Unlock()
	var changes config.Changes
	if d.closing.Load() {
		return changes, errClosing
	}
	undo, err := d.applyPools(c.Pools)
	if err != nil {
		return changes, err
	}
	was := map[string]*ike.Connection{}
	for _, conn := range d.connections.all() {
		was[conn.Name] = conn
	}
	warnings, err := d.applyConnections(c)
	if err != nil {
		undo()
		return changes, err
	}
	for _, w := range append(warnings, c.Warnings...) {
		d.log.Warn("configuration", "reason", w)
	}
	if d.applied == nil {
		d.applied = &config.Config{Daemon: c.Daemon}
	}
	changes = config.Diff(d.applied, c)
	d.applied = c
	d.removeOld(c)
	for _, conn := range c.Connections {
		d.changed(was[conn.Name], conn)
	}
	return changes, nil
}

// applyPools loads what is new or different; the function it returns puts the former ones back.
func (d *Daemon) applyPools(list []ike.Pool) (undo func(), err error) {
	was := d.pools.loaded()
	var done []ike.Pool
	undo = func() {
		for _, p := range done {
			if old, had := was[p.Name]; had {
				err = d.pools.load(old)
			} else {
				err = d.pools.unload(p.Name)
			}
			if err != nil {
				d.log.Warn("a pool could not be put back", "pool", p.Name, "reason", err.Error())
			}
		}
	}
	for _, p := range list {
		if err := d.pools.load(p); err != nil {
			undo()
			return nil, err
		}
		done = append(done, p)
	}
	return undo, nil
}

// applyConnections loads credentials and connections: policies that the host may refuse first, then what cannot fail.
func (d *Daemon) applyConnections(c *config.Config) (warnings []string, err error) {
	names := map[string]bool{}
	var swaps []swap
	for _, conn := range c.Connections {
		names[conn.Name] = true
		swaps = append(swaps, swapsOf(d.connections.byName(conn.Name), conn)...)
	}
	var kept, dropped []*ike.Connection
	for _, o := range d.connections.all() {
		switch {
		case names[o.Name]:
		case d.fromFile[o.Name]:
			dropped = append(dropped, o)
		default:
			kept = append(kept, o)
		}
	}
	if n := len(kept) + len(c.Connections); n > maxConnections {
		return nil, fmt.Errorf("connections: %d, at most %d", n, maxConnections)
	}
	undo, err := d.swap(swaps)
	if err != nil {
		return nil, err
	}
	if warnings, err = d.creds.Replace(c); err != nil {
		undo()
		return nil, err
	}
	d.connections.replace(append(kept, c.Connections...))
	d.fromFile, d.dropped = names, dropped
	return warnings, nil
}

// removeOld takes back what the new configuration does not have any more.
func (d *Daemon) removeOld(c *config.Config) {
	for _, o := range d.dropped {
		d.changed(o, nil)
	}
	d.dropped = nil
	names := map[string]bool{}
	for _, p := range c.Pools {
		names[p.Name] = true
	}
	for name := range d.filePools {
		if names[name] {
			continue
		}
		if err := d.pools.unload(name); err != nil {
			d.log.Warn("a pool stays until its addresses are given back", "pool", name, "reason", err.Error())
		}
	}
	d.filePools = names
}

// changed has start_action follow a connection that took another's place; with to nil the old one's policies go too.
func (d *Daemon) changed(old, to *ike.Connection) {
	if to == nil {
		// Taking policies back does not fail.
		_, _ = d.swap(swapsOf(old, nil))
		d.traps.follow(old, nil)
		d.starter.forget(old.Name)
		return
	}
	if old == nil || !reflect.DeepEqual(old, to) {
		d.starter.forget(to.Name)
		d.traps.follow(old, to)
		d.starter.startAll(to)
	}
}

// put loads one connection; loadMu is held.
func (d *Daemon) put(c *ike.Connection) error {
	if d.closing.Load() {
		return errClosing
	}
	old := d.connections.byName(c.Name)
	if err := d.connections.room(c.Name); err != nil {
		return err
	}
	if _, err := d.swap(swapsOf(old, c)); err != nil {
		return err
	}
	if err := d.connections.set(c); err != nil {
		return err
	}
	d.changed(old, c)
	return nil
}

// takeOut unloads one connection; loadMu is held.
func (d *Daemon) takeOut(name string) {
	old := d.connections.byName(name)
	d.connections.remove(name)
	d.changed(old, nil)
}

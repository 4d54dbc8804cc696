// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Loading a whole configuration. It was decoded and checked before it gets here, by daemon/config; what can still fail (a
// pool whose range changes under its users, a policy that the host refuses) is tried first and undone, so that either all
// of the new configuration is in force or all of the old. Running SAs keep what they were born with.

package daemon

import (
	"fmt"
	"reflect"
	"slices"

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
		if slices.Contains(changes.Added, conn.Name) || slices.Contains(changes.Changed, conn.Name) {
			d.starter.forget(conn.Name)
			d.starter.startAll(conn)
		}
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
	type step struct {
		conn string
		ch   *ike.ChildConfig
		on   bool
	}
	var done []step
	defer func() {
		if err == nil {
			return
		}
		for _, s := range slices.Backward(done) {
			if s.on {
				d.unshunt(s.conn, s.ch)
			} else if again := d.shunt(s.conn, s.ch); again != nil {
				d.log.Error("a policy could not be put back", "connection", s.conn, "child_sa", s.ch.Name, "reason", again.Error())
			}
		}
	}()
	for _, conn := range c.Connections {
		old := d.connections.byName(conn.Name)
		gone, added := diffShunts(old, conn)
		// Drops come into force before what they replace goes: nothing leaks in between where names differ.
		for _, ch := range gone {
			d.unshunt(conn.Name, ch)
			done = append(done, step{conn.Name, ch, false})
		}
		for _, ch := range added {
			if err := d.shunt(conn.Name, ch); err != nil {
				return nil, err
			}
			done = append(done, step{conn.Name, ch, true})
		}
	}
	if warnings, err = d.creds.Replace(c); err != nil {
		return nil, err
	}
	list := slices.Clone(d.connections.all())
	list = slices.DeleteFunc(list, func(o *ike.Connection) bool {
		return d.fromFile[o.Name] || slices.ContainsFunc(c.Connections, func(n *ike.Connection) bool { return n.Name == o.Name })
	})
	if len(list)+len(c.Connections) > maxConnections {
		return nil, fmt.Errorf("connections: %d, at most %d", len(list)+len(c.Connections), maxConnections)
	}
	d.dropped = d.dropped[:0]
	for _, o := range d.connections.all() {
		if d.fromFile[o.Name] && !slices.ContainsFunc(c.Connections, func(n *ike.Connection) bool { return n.Name == o.Name }) {
			d.dropped = append(d.dropped, o)
		}
	}
	d.connections.replace(append(list, c.Connections...))
	d.fromFile = map[string]bool{}
	for _, conn := range c.Connections {
		d.fromFile[conn.Name] = true
	}
	return warnings, nil
}

// removeOld takes back what the new configuration does not have any more.
func (d *Daemon) removeOld(c *config.Config) {
	for _, o := range d.dropped {
		for _, ch := range shuntsOf(o) {
			d.unshunt(o.Name, ch)
		}
		d.starter.forget(o.Name)
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

// diffShunts are the policies that go and those that come when a connection takes another's place.
func diffShunts(old, to *ike.Connection) (gone, added []*ike.ChildConfig) {
	was, will := shuntsOf(old), shuntsOf(to)
	same := func(list []*ike.ChildConfig, ch *ike.ChildConfig) bool {
		return slices.ContainsFunc(list, func(o *ike.ChildConfig) bool {
			return o.Name == ch.Name && o.Mode == ch.Mode && reflect.DeepEqual(o.LocalTS, ch.LocalTS) && reflect.DeepEqual(o.RemoteTS, ch.RemoteTS)
		})
	}
	for _, ch := range was {
		if !same(will, ch) {
			gone = append(gone, ch)
		}
	}
	for _, ch := range will {
		if !same(was, ch) {
			added = append(added, ch)
		}
	}
	return gone, added
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
	gone, added := diffShunts(old, c)
	for _, ch := range gone {
		d.unshunt(c.Name, ch)
	}
	for i, ch := range added {
		err := d.shunt(c.Name, ch)
		if err == nil {
			continue
		}
		for _, back := range added[:i] {
			d.unshunt(c.Name, back)
		}
		for _, back := range gone {
			if again := d.shunt(c.Name, back); again != nil {
				d.log.Error("a policy could not be put back", "connection", c.Name, "child_sa", back.Name, "reason", again.Error())
			}
		}
		return err
	}
	if err := d.connections.set(c); err != nil {
		return err
	}
	if old == nil || !reflect.DeepEqual(old, c) {
		d.starter.forget(c.Name)
		d.starter.startAll(c)
	}
	return nil
}

// takeOut unloads one connection; loadMu is held.
func (d *Daemon) takeOut(name string) {
	for _, ch := range shuntsOf(d.connections.byName(name)) {
		d.unshunt(name, ch)
	}
	d.connections.remove(name)
	d.starter.forget(name)
}

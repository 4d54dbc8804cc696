// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a machine tells of itself. Nothing of it shares memory with the machine, and no key is in it.

package ikev2

import (
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// Status implements ike.Machine.
func (sa *SA) Status(time.Time) ike.Status {
	st := ike.Status{
		Unique: sa.env.Unique, Version: 2, State: sa.stateName(), Initiator: sa.initiator, Path: sa.path,
		LocalID: sa.localID, RemoteID: sa.peerID, NATLocal: sa.natLocal, NATRemote: sa.natPeer, NATFake: sa.natFake,
		Established: sa.establishedAt, RekeyAt: sa.rekeyAt, LocalVIPs: slices.Clone(sa.vips), RemoteVIPs: slices.Clone(sa.leased),
		HalfOpen: sa.state <= authenticating, LastAuthenticIn: sa.known().in,
	}
	if sa.conn != nil {
		st.Connection = sa.conn.Name
	}
	if g := sa.cur; g != nil {
		st.SPIi, st.SPIr, st.Suite, st.Initiator = g.spiI, g.spiR, g.suite, g.initiator
	}
	for _, g := range sa.gens {
		if g.pending != nil {
			st.TasksActive = append(st.TasksActive, g.pending.name)
		}
	}
	for _, t := range sa.tasks {
		st.TasksQueued = append(st.TasksQueued, t.name)
	}
	if every := sa.env.KeepaliveInterval; every > 0 && sa.natLocal && sa.state == established {
		st.KeepaliveAt = later(sa.known().out, sa.lastKeepalive).Add(every)
	}
	for _, c := range sa.children {
		s := ike.ChildStatus{ChildSA: c.sa, State: c.stateName(), Installed: c.installedAt, RekeyAt: c.rekeyAt, ExpireAt: c.expireAt}
		s.TSLocal, s.TSRemote, s.VIPs = slices.Clone(c.sa.TSLocal), slices.Clone(c.sa.TSRemote), slices.Clone(c.sa.VIPs)
		st.Children = append(st.Children, s)
	}
	return st
}

func (sa *SA) stateName() string {
	if sa.state == established && sa.cur.rekeying != nil {
		return "REKEYING"
	}
	return sa.state.String()
}

func (c *child) stateName() string {
	switch {
	case c.installing != 0:
		return "INSTALLING"
	case c.deleting:
		return "DELETING"
	case c.replaced:
		return "REKEYED"
	case c.ours != nil:
		return "REKEYING"
	}
	return "INSTALLED"
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The end of a machine. Whatever it had, it gives back here, in one place: children, reservations, addresses, questions,
// SPIs and keys; and whoever waits for it is told.

package ikev2

import (
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// closeNow ends the machine without a word to the peer.
func (sa *SA) closeNow(now time.Time, why ike.CloseReason, detail string) {
	if sa.state == dead {
		return
	}
	sa.state = dead
	sa.closeTasks(detail)
	sa.closeChildren(detail)
	if len(sa.vips) > 0 {
		sa.act(ike.Configure{Unique: sa.env.Unique, Connection: sa.conn.Name, VIPs: sa.vips, DNS: sa.dns, Remove: true})
	}
	if len(sa.leased) > 0 {
		sa.act(ike.Unlease{Pools: sa.conn.Pools, Identity: sa.peerID, Addrs: sa.leased})
	}
	for _, t := range sortedTokens(sa.waiting) {
		if !sa.waiting[t].removal {
			sa.act(ike.Cancel{Token: t})
		}
	}
	sa.waiting = nil
	for _, g := range sa.gens {
		g.gone, g.pending, g.serving = true, nil, nil
		sa.act(ike.Release{SPI: g.local()})
		g.keys.wipe()
	}
	sa.report(ike.Event{Kind: ike.EventIKEDown, Reason: why, Detail: detail, Identity: sa.peerID, LocalIdentity: sa.localID})
	sa.act(ike.Close{Reason: why})
}

// closeTasks tells the commands that wait how it ended.
func (sa *SA) closeTasks(detail string) {
	if sa.init != nil {
		sa.done(sa.init.request, 0, detail)
		if sa.init.first != nil {
			sa.init.first.private.Wipe()
		}
		sa.init.private.Wipe()
		sa.init = nil
	}
	if sa.running != nil {
		sa.done(sa.running.request, 0, detail)
	}
	for _, t := range sa.tasks {
		sa.done(t.request, 0, detail)
	}
	for _, request := range sa.waiters {
		sa.done(request, 0, "")
	}
	sa.running, sa.tasks, sa.waiters = nil, nil, nil
}

// closeChildren removes all children and reservations.
func (sa *SA) closeChildren(detail string) {
	gone := slices.Clone(sa.children)
	for _, l := range sa.lingering {
		gone = append(gone, l.c)
	}
	for _, c := range gone {
		c.gone = true
		if c.installing != 0 {
			sa.uninstall(c)
			continue
		}
		sa.forget(ike.Remove{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: c.sa.Path.Remote.Addr()})
		sa.childDown(c, c.replaced, c.usage, detail)
	}
	for _, c := range sa.removing {
		sa.childDown(c, c.replaced, c.usage, detail)
	}
	for _, spi := range slices.Clone(sa.reserved) {
		sa.unreserve(spi)
	}
	sa.children, sa.lingering, sa.removing = nil, nil, nil
}

// sortedTokens gives the questions in the order in which they were asked.
func sortedTokens(m map[ike.Token]wait) []ike.Token {
	list := make([]ike.Token, 0, len(m))
	for t := range m {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}

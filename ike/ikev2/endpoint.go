// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Endpoint following (RFC 7296, Section 2.23): the peer is where its newest authenticated packet came from. What moves it
// is an IKE request that is new, the response to an outstanding request, or an ESP packet above the top of its window;
// never a keepalive, a replay or anything that is not authenticated: callers have made sure of that. An attacker who
// copies an authentic packet and is faster moves it until the next one.
//
// Where MOBIKE was negotiated (it is not offered yet), IKE messages never move anything (RFC 4555, Section 3.8), ESP moves
// only the ESP endpoint of its child, and UPDATE_SA_ADDRESSES moves the rest: that rule belongs into mayFollow.

package ikev2

import (
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/natt"
)

// mayFollow reports whether the peer's endpoint may be moved. RFC 7296, Section 2.23: a host behind a NAT must not, since
// an attacker could then have it send elsewhere.
//
// Deviation: only the original initiator keeps to that. A responder follows although it is behind a NAT itself, a static
// one as every cloud gateway is: its clients' mappings change as those of any other, and charon follows too.
func (sa *SA) mayFollow() bool { return !sa.initiator || !sa.natLocal }

// follow takes note of the path by which an authentic new IKE message came.
func (sa *SA) follow(now time.Time, path ike.Path) {
	switch {
	case path == sa.path:
	case sa.state == authenticating && !sa.initiator:
		// The initiator has floated to the NAT-T port, or its NAT gave another one there.
		from := sa.path.Remote
		sa.path = path
		sa.report(ike.Event{Kind: ike.EventFloat, From: from})
	case sa.state != established && sa.state != deleting || !sa.mayFollow():
	default:
		sa.move(now, path)
	}
}

// move has IKE and all children go to another endpoint. The SAs stay what they are: only the endpoint is swapped, since an
// outbound AEAD SA must never exist twice.
func (sa *SA) move(now time.Time, path ike.Path) {
	from := sa.path
	sa.path = path
	if from.Remote != path.Remote {
		sa.report(ike.Event{Kind: ike.EventMoved, From: from.Remote})
	}
	for _, c := range slices.Clone(sa.children) {
		if c.sa.Mode == ike.ModeTransport && !sameHosts(c.sa.Path, path) && !natMoved(c, path) {
			sa.hostChanged(now, c)
			continue
		}
		sa.moveChild(now, c, path)
	}
}

// sameHosts reports whether two paths differ in ports at most.
func sameHosts(a, b ike.Path) bool {
	return a.Local.Addr().Unmap() == b.Local.Addr().Unmap() && a.Remote.Addr().Unmap() == b.Remote.Addr().Unmap()
}

// natMoved reports whether only the address that the peer's NAT gave it is another. Then the SAs go where the peer is now, and the
// peer stays, in the packets inside, at the address that it was found at: no port of a socket, no selector and no checksum on either
// side changes, and it becomes no other host (RFC 7296, Section 2.23; 2.23.1 leaves this open).
func natMoved(c *child, path ike.Path) bool {
	return c.sa.OrigRemote.IsValid() && c.sa.Encap && path.Encap != natt.Raw && c.sa.Path.Local.Addr().Unmap() == path.Local.Addr().Unmap() &&
		c.sa.Path.Remote.Addr().BitLen() == path.Remote.Addr().BitLen()
}

// hostChanged: a child in transport mode is between two addresses, and one of them is not what it was. The initiator makes
// another in its place. A responder leaves it where it is: what it carries is for the old address, and a source address
// alone must not make a peer the host that has it.
func (sa *SA) hostChanged(now time.Time, c *child) {
	if !sa.initiator || c.gone || c.deleting || c.replaced {
		return
	}
	sa.deleteChild(now, c, 0)
	sa.createChild(c.conf, 0)
}

// moveChild asks the data plane to swap the endpoint of a child; where it cannot, the child is replaced by one that has the
// new endpoint from the start.
func (sa *SA) moveChild(_ time.Time, c *child, path ike.Path) {
	old := c.sa.Path
	if old == path || !c.sa.Encap && old.Remote.Addr() == path.Remote.Addr() && old.Local.Addr() == path.Local.Addr() {
		return
	}
	c.sa.Path = path
	sa.ask(ike.Move{SPIIn: c.sa.SPIIn, SPIOut: c.sa.SPIOut, Remote: old.Remote.Addr(), Path: path}, func(now time.Time, a ike.Answer) {
		f, failed := a.(ike.Failed)
		if failed && f.Refusal == ike.RefusalTemporary {
			c.sa.Path = old // the next packet from there asks again
		}
		if failed && f.Refusal == ike.RefusalUnsupported && !c.gone {
			c.sa.Path = old
			if c.sa.Mode == ike.ModeTransport && !sameHosts(old, path) {
				sa.hostChanged(now, c)
				return
			}
			sa.rekeyChild(now, c, 0)
		}
	})
}

// espMoved: the data plane has opened an ESP packet, newer than all before it, that came from elsewhere.
func (sa *SA) espMoved(now time.Time, n ike.NewMapping) {
	c := sa.childByIn(n.SPIIn)
	if c == nil || sa.state != established || !sa.mayFollow() || !n.To.IsValid() {
		return
	}
	c.usage.LastIn = now
	path := sa.path
	path.Remote = n.To
	if n.Path.Local.Addr().IsValid() && c.sa.Encap {
		path.Local, path.Encap = n.Path.Local, n.Path.Encap
	}
	if !c.sa.Encap {
		// Raw ESP has no ports: IKE keeps those it has.
		path.Remote = netip.AddrPortFrom(n.To.Addr(), sa.path.Remote.Port())
	}
	if path != sa.path {
		sa.move(now, path)
	}
}

// addressChanged: this host sends from another address now. The peer is told by what it can authenticate, at once, and
// follows it.
func (sa *SA) addressChanged(now time.Time, n ike.AddressChanged) {
	local := n.Path.Local
	if !local.Addr().IsValid() {
		return // no way to the peer at the moment; the next change will be told too
	}
	path := sa.path
	path.Local = netip.AddrPortFrom(local.Addr(), sa.path.Local.Port())
	if local.Port() != 0 {
		path.Local = local
	}
	sa.nattPath.Local = netip.AddrPortFrom(local.Addr(), sa.nattPath.Local.Port())
	if path != sa.path {
		sa.move(now, path)
	}
	sa.urgent(now, "this host's address changed")
}

// float moves an initiator to the NAT-T port when a NAT was found, or where ESP has to travel in UDP anyway
// (RFC 7296, Section 2.23).
func (sa *SA) float() {
	if !sa.encapsulated() || sa.path == sa.nattPath || sa.path.Encap != natt.Raw {
		return
	}
	from := sa.path.Remote
	sa.path = sa.nattPath
	sa.report(ike.Event{Kind: ike.EventFloat, From: from})
}

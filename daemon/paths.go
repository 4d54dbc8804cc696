// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Where an initiation goes: the peer's address (names are resolved, a place to send to and never an identity), this
// host's address towards it, and the ports before and behind the float (RFC 7296, Section 2.23). A host that may not
// have port 500 starts at the peer's 4500 from whatever port it got, which the RFC allows.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/ikev2"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	portIKE  = 500  // RFC 7296, Section 2
	portNATT = 4500 // RFC 3948
)

// errNoRemote: time does not mend it.
var errNoRemote = errors.New("remote_addrs: no address or host name to connect to; a connection with %any or ranges only answers")

// paths returns the two paths of an initiation; they are the same where it starts behind the float. Each try takes the
// next of the peer's addresses.
func (d *Daemon) paths(ctx context.Context, conn *ike.Connection, try int) (path, float ike.Path, err error) {
	remotes, err := d.remotes(ctx, conn)
	if err != nil {
		return path, float, err
	}
	var first error
	for i := range remotes {
		remote := remotes[(try+i)%len(remotes)]
		local, err := d.localFor(ctx, conn, remote)
		if err == nil {
			path, float = d.pathsTo(conn, local, remote)
			return path, float, nil
		}
		if first == nil {
			first = err
		}
	}
	return path, float, first
}

// remotes are the addresses that the connection names, in order.
func (d *Daemon) remotes(ctx context.Context, conn *ike.Connection) ([]netip.Addr, error) {
	var list []netip.Addr
	var first error
	for _, spec := range conn.RemoteAddrs {
		switch {
		case spec.Host != "":
			addrs, err := d.resolver.resolve(ctx, spec.Host)
			if err != nil && first == nil {
				first = err
			}
			list = append(list, addrs...)
		case spec.From.IsValid() && spec.From == spec.To:
			list = append(list, spec.From)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case first != nil:
		return nil, first
	}
	return nil, fmt.Errorf("%s: %w", conn.Name, errNoRemote)
}

// localFor is this host's address towards the peer: the configured one of the family, else what routing says.
func (d *Daemon) localFor(ctx context.Context, conn *ike.Connection, remote netip.Addr) (netip.Addr, error) {
	if !d.sockets.has(remote) {
		return netip.Addr{}, fmt.Errorf("remote_addrs: %s: this daemon has no socket of that family", remote)
	}
	if l := d.opts.Listen; l.IsValid() && !l.IsUnspecified() {
		return l, nil
	}
	specific := false
	for _, spec := range conn.LocalAddrs {
		if spec.Host != "" {
			addrs, err := d.resolver.resolve(ctx, spec.Host)
			if err != nil {
				return netip.Addr{}, err
			}
			for _, a := range addrs {
				if a.Is4() == remote.Is4() {
					return a, nil
				}
			}
			specific = true
			continue
		}
		if spec.From.IsValid() && spec.From == spec.To {
			if spec.From.Is4() == remote.Is4() {
				return spec.From, nil
			}
			specific = true
		}
	}
	if specific && len(conn.LocalAddrs) > 0 && !covers(conn.LocalAddrs, remote.Is4()) {
		return netip.Addr{}, fmt.Errorf("local_addrs: none of the family of %s", remote)
	}
	return udp.SourceTo(remote, d.opts.Mark)
}

// covers reports whether a list allows any address of a family beside single ones.
func covers(specs []ike.AddrSpec, v4 bool) bool {
	for _, s := range specs {
		if s.Host == "" && (!s.From.IsValid() || s.From != s.To && s.From.Is4() == v4) {
			return true
		}
	}
	return false
}

// pathsTo fills in the ports.
func (d *Daemon) pathsTo(conn *ike.Connection, local, remote netip.Addr) (path, float ike.Path) {
	rport, nport := conn.RemotePort, conn.RemotePortNATT
	if nport == 0 {
		nport = portNATT
	}
	if rport == 0 {
		rport = portIKE
	}
	float = ike.Path{
		Local:  netip.AddrPortFrom(local, d.sockets.port(local, natt.NonESP)),
		Remote: netip.AddrPortFrom(remote, nport), Encap: natt.NonESP,
	}
	if rport == nport || d.sockets.port(local, natt.Raw) == 0 {
		return float, float
	}
	path = ike.Path{
		Local:  netip.AddrPortFrom(local, d.sockets.port(local, natt.Raw)),
		Remote: netip.AddrPortFrom(remote, rport), Encap: natt.Raw,
	}
	return path, float
}

// reusable is an IKE SA of the connection on which another child can be negotiated; zero: none. It must have been begun
// by either side with the peer that the connection names now.
func (d *Daemon) reusable(conn *ike.Connection) (uint64, netip.AddrPort) {
	for _, sa := range d.of(conn.Name) {
		return sa.Unique, sa.Path.Remote
	}
	return 0, netip.AddrPort{}
}

// newInitiator makes a machine on one of the shards and gives it its first command.
func (d *Daemon) newInitiator(conn *ike.Connection, path, float ike.Path, first ike.Initiate) uint64 {
	s := d.shards[int(d.nextShard.Add(1))%len(d.shards)]
	unique := d.newOwner(s)
	s.q.put(input{call: func(s *shard) {
		m := ikev2.NewInitiator(s.env(unique, path), conn, path, float)
		s.add(unique, conn, true, m)
		s.order(unique, first)
	}})
	return unique
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The ports of other processes whose ESP is the engine's: package redirect says which, in this process or over a channel.

package keyhost

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/natterjack/natterjack/port/redirect"
	"github.com/natterjack/natterjack/port/udp"
)

// wellKnown are the ports of IKE, which a key daemon has, whether ESP comes there or not.
var wellKnown = [...]uint16{500, 4500}

// portOf is a socket of a key daemon.
type portOf struct {
	redirect.Socket
	owner *portOwner // whose connection it goes with; nil: this process's
}

// portOwner is a connection of a supervisor's.
type portOwner struct{ pid int }

// same reports whether two connections are of one supervisor: it connects again before the engine has seen the end of the last.
func (o *portOwner) same(p *portOwner) bool {
	return o == p || o != nil && p != nil && o.pid > 0 && o.pid == p.pid
}

// Bind takes the ESP of a port that another process has.
func (e *Engine) Bind(s redirect.Socket) error { return e.bindFor(nil, s) }

// Release gives it back.
func (e *Engine) Release(inode uint64) { e.releaseFor(nil, inode) }

// releaseFor gives back what is the owner's own.
func (e *Engine) releaseFor(owner *portOwner, inode uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.ports[inode]; !ok || !p.owner.same(owner) {
		return
	}
	delete(e.ports, inode)
	if err := e.setShared(); err != nil {
		e.log.Warn("a port could not be given back", "reason", err)
	}
}

func (e *Engine) bindFor(owner *portOwner, s redirect.Socket) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.stop:
		return errClosed
	default:
	}
	f := family(s.Local.Addr())
	if e.shared[f] == nil || s.V4 && e.shared[0] == nil {
		return errors.New("no raw socket of UDP: run as root or with CAP_NET_RAW")
	}
	if s.Local.Port() == 0 {
		return errors.New("port: 0, expected that of a socket that is bound")
	}
	old, known := e.ports[s.Inode]
	if known && !old.owner.same(owner) {
		return errors.New("inode: the socket is another supervisor's, end that one first")
	}
	e.ports[s.Inode] = portOf{s, owner}
	err := e.setShared()
	if err == nil {
		return nil
	}
	delete(e.ports, s.Inode)
	if known {
		e.ports[s.Inode] = old
	}
	// Some of the sockets, or the packet filter, may have been told.
	return errors.Join(err, e.setShared())
}

// releaseAll gives back the ports of one connection.
func (e *Engine) releaseAll(owner *portOwner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for inode, p := range e.ports {
		if p.owner == owner {
			delete(e.ports, inode)
		}
	}
	if err := e.setShared(); err != nil {
		e.log.Warn("ports could not be given back", "reason", err)
	}
}

// setShared tells the raw sockets and the packet filter which ports there are. The caller holds mu.
func (e *Engine) setShared() error {
	select {
	case <-e.stop:
		return nil // the sockets are being closed
	default:
	}
	var list [2][]udp.SharedPort
	add := func(f int, addr netip.Addr, s redirect.Socket) {
		p := udp.SharedPort{Addr: addr.WithZone(""), Port: s.Local.Port(), Mode: s.Mode}
		if !slices.Contains(list[f], p) {
			list[f] = append(list[f], p)
		}
	}
	for _, p := range e.ports {
		addr := p.Local.Addr().Unmap()
		add(family(addr), addr, p.Socket)
		if p.V4 {
			add(0, netip.IPv4Unspecified(), p.Socket)
		}
	}
	for f, s := range e.shared {
		if s == nil {
			continue
		}
		if err := s.SetPorts(list[f]); err != nil {
			return fmt.Errorf("ports: %w", err)
		}
	}
	return e.tellPorts()
}

// tellPorts tells the packet filter. The caller holds mu.
func (e *Engine) tellPorts() error {
	if e.opts.Host == nil {
		return nil
	}
	ports := slices.Clone(wellKnown[:])
	for _, p := range e.ports {
		ports = append(ports, p.Local.Port())
	}
	for _, b := range *e.bound.Load() {
		ports = append(ports, b.LocalAddr().Port())
	}
	slices.Sort(ports)
	return e.opts.Host.SetPorts(slices.Compact(ports))
}

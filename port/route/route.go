// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package route changes what the operating system knows of addresses and routes: virtual addresses on the TUN device,
// routes of remote selectors into it, and (Linux) a routing table and a rule of our own, so that the daemon's own packets,
// which carry a mark, are never routed into the tunnel, also where a selector covers the gateway's own address.
//
// Addresses and prefixes come from authenticated negotiation (selectors, virtual addresses) and are typed; the device name
// is ours. Every change is written to the crash journal before it is made and taken back by Close or Undo.
package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"

	"github.com/natterjack/natterjack/port/store"
)

// The kinds of store.Undo that Undo of this package understands.
const (
	KindAddress = "address"
	KindRoute   = "route"
	KindRule    = "rule"
	KindExclude = "exclude"
)

// routeLimit bounds the routes of one daemon: what a peer can negotiate must not fill a routing table.
const routeLimit = 65536

// Options says for which device a Host works. Table, Mark, Mask and Priority are Linux's.
type Options struct {
	Device string
	// Table is the routing table of our own; zero: one that is chosen by the device's name and is nobody else's.
	Table int
	// Mark is on the daemon's own packets; Mask is which of its bits keep a packet out of the tunnel. Zero: a mark by
	// the device's name, whose upper half all daemons have in common, so that none is ever routed into another's tunnel.
	Mark, Mask uint32
	Priority   int // of the rule; zero: 220
	// Passive has Open set no rule: routes are somebody else's.
	Passive bool
	Journal *store.Journal // nil: nothing is recorded
	index   int            // of the device, where the system counts them
}

// Action is what a route does with a packet.
type Action uint8

const (
	// Tunnel sends into the device.
	Tunnel Action = iota
	// Throw leaves the own table, so that the host's other routes decide (Linux; elsewhere nothing is set).
	Throw
	// Blackhole drops silently.
	Blackhole
)

func (a Action) String() string {
	switch a {
	case Throw:
		return "throw"
	case Blackhole:
		return "blackhole"
	}
	return "tunnel"
}

// Host is the changes of one daemon. Its methods are safe for concurrent use; each may take some milliseconds.
type Host struct {
	opts Options // immutable

	mu     sync.Mutex // protects all following fields
	held   map[string]*held
	order  []string     // keys of held, oldest first
	flows  map[Flow]int // the table of each kind of traffic
	closed bool
}

// held is one change that is in force, and how many users it has.
type held struct {
	users int
	id    store.ID
	undo  store.Undo
	spec  string // how it was last set, where it can be set again differently
}

// Open prepares the host: on Linux the rule that sends everything but the daemon's own packets through the own table.
func Open(o Options) (*Host, error) {
	if o.Device == "" {
		return nil, errors.New("device: none given")
	}
	h := &Host{opts: o, held: map[string]*held{}, flows: map[Flow]int{}}
	if err := h.claim(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// Options returns what is in force, with the numbers that were chosen.
func (h *Host) Options() Options { return h.opts }

// LinkUp sets the device's MTU and brings it up.
func (h *Host) LinkUp(mtu int) error { return linkUp(h.opts.Device, mtu) }

// AddAddress puts a virtual address on the device.
func (h *Host) AddAddress(a netip.Addr) error {
	a = a.Unmap()
	u := store.Undo{Kind: KindAddress, Name: h.opts.Device, Args: map[string]string{"addr": a.String()}}
	return h.hold("address "+a.String(), "", u, func() error { return addAddress(h.opts.Device, a) })
}

// RemoveAddress takes it off again, once for each AddAddress.
func (h *Host) RemoveAddress(a netip.Addr) error { return h.release("address " + a.Unmap().String()) }

// AddRoute routes dst. For Tunnel, src is the source address that the host's own sockets take; invalid: the system
// chooses. A route has as many users as there were calls; the last src is in force.
func (h *Host) AddRoute(dst netip.Prefix, action Action, src netip.Addr) error {
	dst = dst.Masked()
	u := store.Undo{Kind: KindRoute, Name: h.opts.Device, Args: map[string]string{
		"dst": dst.String(), "action": action.String(), "table": strconv.Itoa(h.opts.Table),
	}}
	return h.hold(routeKey(dst, action), src.String(), u, func() error { return addRoute(h.opts, dst, action, src) })
}

// RemoveRoute takes a route back, once for each AddRoute.
func (h *Host) RemoveRoute(dst netip.Prefix, action Action) error {
	return h.release(routeKey(dst.Masked(), action))
}

// Again sets a route into the device once more, after the system may have removed it because its source address went
// away. A route that has no user is left alone.
func (h *Host) Again(dst netip.Prefix, src netip.Addr) error {
	dst = dst.Masked()
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.held[routeKey(dst, Tunnel)]
	if c == nil || h.closed {
		return nil
	}
	c.spec = src.String()
	return addRoute(h.opts, dst, Tunnel, src)
}

func routeKey(dst netip.Prefix, action Action) string {
	return "route " + action.String() + " " + dst.String()
}

// Exclude keeps the datagrams to a peer out of the tunnel where the system has no marks: a host route to it through
// the gateway in use now. On Linux it does nothing, the mark does it.
func (h *Host) Exclude(peer netip.Addr) error {
	if !needsExclude {
		return nil
	}
	peer = peer.Unmap()
	via, err := gatewayTo(peer)
	if err != nil {
		return fmt.Errorf("route to %s: %w", peer, err)
	}
	u := store.Undo{Kind: KindExclude, Name: via, Args: map[string]string{"addr": peer.String()}}
	return h.hold("exclude "+peer.String(), via, u, func() error { return addExclude(peer, via) })
}

// ExcludeAgain follows a change of the gateway in use. A peer that is not excluded is left alone.
func (h *Host) ExcludeAgain(peer netip.Addr) error {
	if !needsExclude {
		return nil
	}
	peer = peer.Unmap()
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.held["exclude "+peer.String()]
	if c == nil || h.closed {
		return nil
	}
	// Without the old route the system says how it would reach the peer now; the journal keeps it until the new one stands.
	if err := Undo(c.undo); err != nil {
		return err
	}
	via, err := gatewayTo(peer)
	if err != nil {
		return fmt.Errorf("route to %s: %w", peer, err)
	}
	next := store.Undo{Kind: KindExclude, Name: via, Args: c.undo.Args}
	id, err := h.opts.Journal.Record(next)
	if err != nil {
		return err
	}
	old := c.id
	c.undo, c.spec, c.id = next, via, id
	return errors.Join(addExclude(peer, via), h.opts.Journal.Done(old))
}

// Include takes Exclude back.
func (h *Host) Include(peer netip.Addr) error {
	if !needsExclude {
		return nil
	}
	return h.release("exclude " + peer.Unmap().String())
}

// hold records and makes a change, or counts one more user of it. A different spec makes it again.
func (h *Host) hold(key, spec string, u store.Undo, set func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("host changes: closed")
	}
	if c := h.held[key]; c != nil {
		if c.spec != spec {
			if err := set(); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			c.spec = spec
		}
		c.users++
		return nil
	}
	if len(h.held) >= routeLimit {
		return fmt.Errorf("%s: more than %d changes of the host", key, routeLimit)
	}
	id, err := h.opts.Journal.Record(u)
	if err != nil {
		return err
	}
	if err := set(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", key, err), h.opts.Journal.Done(id))
	}
	h.held[key] = &held{users: 1, id: id, undo: u, spec: spec}
	h.order = append(h.order, key)
	return nil
}

// release counts one user less and takes the change back with the last.
func (h *Host) release(key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.held[key]
	if c == nil {
		return nil
	}
	if c.users--; c.users > 0 {
		return nil
	}
	for i, k := range h.order {
		if k == key {
			h.order = append(h.order[:i], h.order[i+1:]...)
			break
		}
	}
	return h.takeBack(key)
}

func (h *Host) takeBack(key string) error {
	c := h.held[key]
	delete(h.held, key)
	if err := Undo(c.undo); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return h.opts.Journal.Done(c.id)
}

// Close takes everything back, newest first.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	for i := len(h.order) - 1; i >= 0; i-- {
		errs = append(errs, h.takeBack(h.order[i]))
	}
	h.order = nil
	return errors.Join(errs...)
}

// Undo takes one recorded change back. What is gone already is no error.
func Undo(u store.Undo) error {
	switch u.Kind {
	case KindAddress, KindExclude:
		a, err := netip.ParseAddr(u.Args["addr"])
		if err != nil {
			return fmt.Errorf("journal: addr: %w", err)
		}
		if u.Kind == KindExclude {
			return delExclude(a, u.Name)
		}
		return delAddress(u.Name, a)
	case KindRoute:
		dst, err := netip.ParsePrefix(u.Args["dst"])
		if err != nil {
			return fmt.Errorf("journal: dst: %w", err)
		}
		table, err := strconv.Atoi(u.Args["table"])
		if err != nil {
			return fmt.Errorf("journal: table: %w", err)
		}
		return delRoute(u.Name, table, dst, u.Args["action"])
	case KindRule:
		return undoRule(u)
	case KindFlow:
		return changeFlowRule(u, false)
	}
	return fmt.Errorf("journal: kind %q is not ours", u.Kind)
}

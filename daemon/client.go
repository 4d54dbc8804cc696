// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the operating system, or the user-space host, is told of children: one goroutine calls the Host interface, in the
// order of events, because netlink, nftables and a resolver may take a moment. What it was told of an IKE SA it takes
// back when the SA ends, however that came about. A child that the host could not be set up for is terminated: a tunnel
// without its routes or without its guard against cleartext is worse than none.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
)

// hostLimit is how long Close waits for the host to be put back.
const hostLimit = 750 * time.Millisecond

// addressed is a user-space host (port/netstack) that takes what a client is assigned.
type addressed interface {
	AddAddress(netip.Addr) error
	RemoveAddress(netip.Addr) error
	SetDNS([]netip.Addr)
}

// client owns the Host. Its fields below the queue are its goroutine's.
type client struct {
	d    *Daemon
	host Host      // nil: none
	dev  addressed // nil: the device takes no addresses
	done chan struct{}

	mu     sync.Mutex // protects queue, closed and failures
	queue  []func()
	closed bool
	// failures of children, by their number, until they are gone
	failures map[uint64]error
	wake     chan struct{}

	children map[uint64]*ike.ChildSA // by number
	configs  map[uint64]ike.Configure
	addrs    map[netip.Addr]int // users of the user-space host's addresses
	warned   []string           // under mu
}

func newClient(d *Daemon, host Host) *client {
	c := &client{
		d: d, host: host, done: make(chan struct{}), wake: make(chan struct{}, 1), failures: map[uint64]error{},
		children: map[uint64]*ike.ChildSA{}, configs: map[uint64]ike.Configure{}, addrs: map[netip.Addr]int{},
	}
	if host == nil {
		c.dev, _ = d.opts.Device.(addressed)
	}
	return c
}

func (c *client) start() { go c.run() }

// do queues a call for the goroutine; it never waits.
func (c *client) do(f func()) {
	c.mu.Lock()
	if !c.closed {
		c.queue = append(c.queue, f)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *client) run() {
	defer close(c.done)
	for range c.wake {
		for {
			c.mu.Lock()
			list := c.queue
			c.queue = nil
			closed := c.closed
			c.mu.Unlock()
			if len(list) == 0 {
				if closed {
					return
				}
				break
			}
			for _, f := range list {
				f()
			}
		}
	}
}

// event is told what machines report.
func (c *client) event(ev ike.Event) {
	switch {
	case ev.Child == nil:
	case ev.Kind == ike.EventChildUp:
		c.do(func() { c.up(ev.Child) })
	case ev.Kind == ike.EventChildDown:
		c.do(func() { c.down(ev.Child.ChildID) })
	}
}

// prepare sets the host up for a child that is about to be installed, and tells how that went on the client's goroutine. Once the
// client is closed nothing is told: the machines are gone.
func (c *client) prepare(child *ike.ChildSA, then func(error)) {
	c.do(func() {
		err := c.host.ChildUp(child)
		if err == nil {
			c.children[child.ChildID] = child
		}
		c.note()
		then(err)
	})
}

// removed takes back what the host has of a child whose SAs are gone, whether or not anybody was told of it.
func (c *client) removed(spiIn uint32) {
	if c.host == nil {
		return
	}
	c.do(func() {
		for id, child := range c.children {
			if child.SPIIn == spiIn {
				c.down(id)
				return
			}
		}
	})
}

func (c *client) up(child *ike.ChildSA) {
	if c.host == nil || c.children[child.ChildID] != nil {
		return
	}
	c.children[child.ChildID] = child
	if err := c.host.ChildUp(child); err != nil {
		c.failed(child, err)
	}
	c.note()
}

// failed has the child terminated and tells everybody why.
func (c *client) failed(child *ike.ChildSA, err error) {
	err = fmt.Errorf("this host could not be set up for child %q: %w", child.Name, err)
	c.mu.Lock()
	c.failures[child.ChildID] = err
	c.mu.Unlock()
	c.d.hub.publish(ike.Event{Kind: ike.EventFailed, Unique: child.Unique, Path: child.Path, Detail: err.Error()})
	c.d.command(child.Unique, ike.Terminate{ChildID: child.ChildID, Reason: ike.CloseInternal})
}

func (c *client) down(id uint64) {
	child := c.children[id]
	if child == nil {
		return
	}
	delete(c.children, id)
	c.mu.Lock()
	delete(c.failures, id)
	c.mu.Unlock()
	c.host.ChildDown(child)
	c.note()
}

// note keeps the host's warnings where any goroutine may read them.
func (c *client) note() {
	list := c.host.Warnings()
	c.mu.Lock()
	c.warned = list
	c.mu.Unlock()
}

func (c *client) warnings() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.warned)
}

// settled waits until everything that was queued before has been done, and returns how it went for a child.
func (c *client) settled(ctx context.Context, childID uint64) error {
	done := make(chan struct{})
	c.do(func() { close(done) })
	select {
	case <-done:
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures[childID]
}

// configure sets what the peer assigned to this host, or takes it back.
func (c *client) configure(a ike.Configure) {
	c.do(func() { c.apply(a) })
}

func (c *client) apply(a ike.Configure) {
	old, had := c.configs[a.Unique]
	if a.Remove {
		if !had {
			return
		}
		delete(c.configs, a.Unique)
	} else {
		if had {
			c.apply(ike.Configure{Unique: a.Unique, Connection: old.Connection, VIPs: old.VIPs, DNS: old.DNS, Remove: true})
		}
		c.configs[a.Unique] = a
	}
	var err error
	switch {
	case c.host != nil:
		err = c.host.Configure(a)
		c.note()
	case c.dev != nil:
		err = c.device(a)
	}
	if err != nil {
		c.d.hub.publish(ike.Event{Kind: ike.EventFailed, Unique: a.Unique, Connection: a.Connection,
			Detail: fmt.Sprintf("the assigned addresses could not be set: %v", err)})
	}
}

// device gives the user-space host its addresses; several IKE SAs may bring the same one.
func (c *client) device(a ike.Configure) error {
	var failed error
	for _, vip := range a.VIPs {
		if a.Remove {
			if c.addrs[vip]--; c.addrs[vip] <= 0 {
				delete(c.addrs, vip)
				failed = errors.Join(failed, c.dev.RemoveAddress(vip))
			}
			continue
		}
		if c.addrs[vip]++; c.addrs[vip] == 1 {
			failed = errors.Join(failed, c.dev.AddAddress(vip))
		}
	}
	var servers []netip.Addr
	for _, conf := range c.configs {
		servers = append(servers, conf.DNS...)
	}
	c.dev.SetDNS(servers)
	return failed
}

// shunt puts a pass or drop policy in force at the host, or takes it back. It waits: whoever loads a policy wants to know.
func (c *client) shunt(conn string, child *ike.ChildConfig, on bool) error {
	if c.host == nil {
		return nil
	}
	result := make(chan error, 1)
	c.do(func() {
		err := c.host.Shunt(conn, child, on)
		c.note()
		result <- err
	})
	select {
	case err := <-result:
		return err
	case <-c.done:
		return errClosing
	}
}

// trap puts a policy that waits for traffic in force at the host.
func (c *client) trap(x *ike.ChildSA, on bool) error {
	if c.host == nil {
		return nil
	}
	result := make(chan error, 1)
	c.do(func() {
		err := c.host.Trap(x, on)
		c.note()
		result <- err
	})
	select {
	case err := <-result:
		return err
	case <-c.done:
		return errClosing
	}
}

// dropTrap takes it back; it does not wait.
func (c *client) dropTrap(x *ike.ChildSA) {
	if c.host != nil {
		c.do(func() {
			// What the host cannot take back it logs.
			_ = c.host.Trap(x, false)
		})
	}
}

// gone takes back what is left of an IKE SA that is no more: usually nothing.
func (c *client) gone(unique uint64) {
	c.do(func() {
		for id, child := range c.children {
			if child.Unique == unique {
				c.down(id)
			}
		}
		if conf, ok := c.configs[unique]; ok {
			conf.Remove = true
			c.apply(conf)
		}
	})
}

// close does what is queued, puts the host back and ends the goroutine.
func (c *client) close() error {
	result := make(chan error, 1)
	c.do(func() {
		if c.host == nil {
			result <- nil
			return
		}
		result <- c.host.Close()
	})
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	limit := time.NewTimer(hostLimit)
	defer limit.Stop()
	select {
	case err := <-result:
		<-c.done
		return err
	case <-limit.C:
		return errors.New("the host was not put back in time; `natterjack cleanup` or the next start does it")
	}
}

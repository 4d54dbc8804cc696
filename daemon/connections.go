// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The connections in force: an immutable list behind an atomic pointer, replaced whole. Machines keep the connection
// they were born with, so that a reload never changes a running SA.

package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/natterjack/natterjack/ike"
)

// maxConnections bounds what a control client can load.
const maxConnections = 10000

// connections is safe for concurrent use; readers never wait.
type connections struct {
	mu   sync.Mutex // one writer at a time
	list atomic.Pointer[[]*ike.Connection]
}

func newConnections() *connections {
	c := &connections{}
	c.list.Store(&[]*ike.Connection{})
	return c
}

// all returns the list in force, in the order of loading. It must not be changed.
func (c *connections) all() []*ike.Connection { return *c.list.Load() }

// byName returns nil where there is none.
func (c *connections) byName(name string) *ike.Connection {
	for _, conn := range c.all() {
		if conn.Name == name {
			return conn
		}
	}
	return nil
}

// named finds a connection and its child. Either name may be empty, not both: without conn the first connection that has
// the child is taken, without child the IKE SA alone is meant (nil).
func (c *connections) named(conn, child string) (*ike.Connection, *ike.ChildConfig, error) {
	if conn == "" && child == "" {
		return nil, nil, errors.New("name: expected that of a connection or of a child")
	}
	for _, cn := range c.all() {
		if conn != "" && cn.Name != conn {
			continue
		}
		if child == "" {
			return cn, nil, nil
		}
		for _, ch := range cn.Children {
			if ch.Name == child {
				return cn, ch, nil
			}
		}
		if conn != "" {
			return nil, nil, &NotFoundError{Kind: "child", Name: conn + "/" + child}
		}
	}
	if conn != "" {
		return nil, nil, &NotFoundError{Kind: "connection", Name: conn}
	}
	return nil, nil, &NotFoundError{Kind: "child", Name: child}
}

// room reports whether one more may be loaded, or the name is there already.
func (c *connections) room(name string) error {
	if c.byName(name) == nil && len(c.all()) >= maxConnections {
		return fmt.Errorf("%d connections are loaded, which is the limit", maxConnections)
	}
	return nil
}

// set adds or replaces one connection.
func (c *connections) set(conn *ike.Connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.all())
	if i := slices.IndexFunc(list, func(o *ike.Connection) bool { return o.Name == conn.Name }); i >= 0 {
		list[i] = conn
	} else {
		if len(list) >= maxConnections {
			return fmt.Errorf("%d connections are loaded, which is the limit", maxConnections)
		}
		list = append(list, conn)
	}
	c.list.Store(&list)
	return nil
}

// remove takes one connection out; false: there was none.
func (c *connections) remove(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.all())
	i := slices.IndexFunc(list, func(o *ike.Connection) bool { return o.Name == name })
	if i < 0 {
		return false
	}
	list = slices.Delete(list, i, i+1)
	c.list.Store(&list)
	return true
}

// replace puts a whole new list in force.
func (c *connections) replace(list []*ike.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list = slices.Clone(list)
	c.list.Store(&list)
}

// candidates are the connections that a responder may use between two addresses, the most specific first. A connection
// whose peer is a host name is matched when the resolver has its addresses.
func (c *connections) candidates(local, remote netip.Addr, resolve func(host string) []netip.Addr) []*ike.Connection {
	type ranked struct {
		conn *ike.Connection
		rank int
	}
	var found []ranked
	for _, conn := range c.all() {
		l := matchAddr(conn.LocalAddrs, local, resolve)
		r := matchAddr(conn.RemoteAddrs, remote, resolve)
		if l > 0 && r > 0 {
			found = append(found, ranked{conn, 4*r + l})
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].rank > found[j].rank })
	list := make([]*ike.Connection, len(found))
	for i, f := range found {
		list[i] = f.conn
	}
	return list
}

// matchAddr ranks how well specs cover a: 3 exactly, 2 by a range, 1 by %any, 0 not at all.
func matchAddr(specs []ike.AddrSpec, a netip.Addr, resolve func(string) []netip.Addr) int {
	if len(specs) == 0 {
		return 1
	}
	a = a.Unmap()
	best := 0
	for _, s := range specs {
		switch {
		case s.Host != "":
			if slices.Contains(resolve(s.Host), a) {
				best = 3
			}
		case !s.From.IsValid():
			best = max(best, 1)
		case s.From.BitLen() != a.BitLen() || a.Less(s.From) || s.To.Less(a):
		case s.From == s.To:
			best = 3
		default:
			best = max(best, 2)
		}
	}
	return best
}

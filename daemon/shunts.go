// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Children of mode pass and drop: policies without an SA, in force in the SPD and at the host as long as their connection
// is loaded (RFC 4301, Section 4.4.1).

package daemon

import (
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// shunts is safe for concurrent use.
type shunts struct {
	kernel ipsec
	mu     sync.Mutex // protects held
	// held are the policies in force by connection and child.
	held map[string]*standing
}

func newShunts(kernel ipsec) *shunts { return &shunts{kernel: kernel, held: map[string]*standing{}} }

func shuntKey(conn string, child *ike.ChildConfig) string { return conn + "\x00" + child.Name }

// add puts a policy in force in the place of the one of its name, without a moment in which neither is.
func (s *shunts) add(conn string, child *ike.ChildConfig) error {
	action := sadb.Bypass
	if child.Mode == ike.ModeDrop {
		action = sadb.Discard
	}
	p := &standing{name: conn + "/" + child.Name, action: action, local: child.LocalTS, remote: child.RemoteTS}
	if err := s.kernel.hold(p); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	s.mu.Lock()
	old := s.held[shuntKey(conn, child)]
	s.held[shuntKey(conn, child)] = p
	s.mu.Unlock()
	if old != nil {
		s.kernel.drop(old)
	}
	return nil
}

func (s *shunts) remove(conn string, child *ike.ChildConfig) {
	s.mu.Lock()
	p := s.held[shuntKey(conn, child)]
	delete(s.held, shuntKey(conn, child))
	s.mu.Unlock()
	if p != nil {
		s.kernel.drop(p)
	}
}

// shuntsOf are the pass and drop policies of a connection; nil has none.
func shuntsOf(c *ike.Connection) []*ike.ChildConfig {
	if c == nil {
		return nil
	}
	var list []*ike.ChildConfig
	for _, ch := range c.Children {
		if ch.Mode.Shunt() && !ch.NoPolicies {
			list = append(list, ch)
		}
	}
	return list
}

// swap is one policy that takes another's place; nil: there is none on that side.
type swap struct {
	conn     string
	from, to *ike.ChildConfig
}

// swapsOf are the policies that change when a connection takes another's place.
func swapsOf(old, to *ike.Connection) []swap {
	was, will := shuntsOf(old), shuntsOf(to)
	byName := func(list []*ike.ChildConfig, name string) *ike.ChildConfig {
		for _, ch := range list {
			if ch.Name == name {
				return ch
			}
		}
		return nil
	}
	var list []swap
	for _, ch := range will {
		o := byName(was, ch.Name)
		if o == nil || o.Mode != ch.Mode || !reflect.DeepEqual(o.LocalTS, ch.LocalTS) || !reflect.DeepEqual(o.RemoteTS, ch.RemoteTS) {
			list = append(list, swap{to.Name, o, ch})
		}
	}
	for _, ch := range was {
		if byName(will, ch.Name) == nil {
			list = append(list, swap{old.Name, ch, nil})
		}
	}
	return list
}

// swap puts policies in force, or back if one of them is refused. What it returns puts them back too.
func (d *Daemon) swap(list []swap) (undo func(), err error) {
	done := 0
	undo = func() {
		for _, s := range slices.Backward(list[:done]) {
			if err := d.shunt(s.conn, s.to, s.from); err != nil {
				d.log.Error("a policy could not be put back", "connection", s.conn, "reason", err.Error())
			}
		}
	}
	for _, s := range list {
		if err := d.shunt(s.conn, s.from, s.to); err != nil {
			undo()
			return nil, err
		}
		done++
	}
	return undo, nil
}

// shunt puts one policy in the place of another, first at the engine, then at the host.
func (d *Daemon) shunt(conn string, from, to *ike.ChildConfig) error {
	if to == nil {
		d.shunts.remove(conn, from)
		if err := d.client.shunt(conn, from, false); err != nil {
			d.log.Warn("a policy could not be taken back", "connection", conn, "child_sa", from.Name, "reason", err.Error())
		}
		return nil
	}
	if err := d.shunts.add(conn, to); err != nil {
		return err
	}
	err := d.client.shunt(conn, to, true)
	if err == nil {
		return nil
	}
	if from == nil {
		d.shunts.remove(conn, to)
	} else if again := d.shunts.add(conn, from); again != nil {
		d.log.Error("a policy could not be put back", "connection", conn, "child_sa", from.Name, "reason", again.Error())
	}
	return fmt.Errorf("%s/%s: %w", conn, to.Name, err)
}

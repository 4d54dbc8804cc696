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
	db *sadb.DB
	mu sync.Mutex // protects ids
	// ids are the policies in force by connection and child.
	ids map[string]sadb.PolicyID
}

func newShunts(db *sadb.DB) *shunts { return &shunts{db: db, ids: map[string]sadb.PolicyID{}} }

func shuntKey(conn string, child *ike.ChildConfig) string { return conn + "\x00" + child.Name }

// add puts a policy in force in the place of the one of its name, without a moment in which neither is.
func (s *shunts) add(conn string, child *ike.ChildConfig) error {
	action := sadb.Bypass
	if child.Mode == ike.ModeDrop {
		action = sadb.Discard
	}
	id, err := s.db.AddPolicy(sadb.Policy{
		Action: action, Local: selectorsOf(child.LocalTS), Remote: selectorsOf(child.RemoteTS), Name: conn + "/" + child.Name,
	})
	if err != nil {
		return fmt.Errorf("%s/%s: %w", conn, child.Name, err)
	}
	s.mu.Lock()
	old, had := s.ids[shuntKey(conn, child)]
	s.ids[shuntKey(conn, child)] = id
	s.mu.Unlock()
	if had {
		s.db.RemovePolicy(old)
	}
	return nil
}

func (s *shunts) remove(conn string, child *ike.ChildConfig) {
	s.mu.Lock()
	id, ok := s.ids[shuntKey(conn, child)]
	delete(s.ids, shuntKey(conn, child))
	s.mu.Unlock()
	if ok {
		s.db.RemovePolicy(id)
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
	if d.keyed != nil && to != nil {
		return fmt.Errorf("%s/%s: policies without SAs are for whoever runs the PF_KEY service (natterjack pfkey policy)", conn, to.Name)
	}
	if to == nil {
		d.plane.shunts.remove(conn, from)
		if err := d.client.shunt(conn, from, false); err != nil {
			d.log.Warn("a policy could not be taken back", "connection", conn, "child_sa", from.Name, "reason", err.Error())
		}
		return nil
	}
	if err := d.plane.shunts.add(conn, to); err != nil {
		return err
	}
	err := d.client.shunt(conn, to, true)
	if err == nil {
		return nil
	}
	if from == nil {
		d.plane.shunts.remove(conn, to)
	} else if again := d.plane.shunts.add(conn, from); again != nil {
		d.log.Error("a policy could not be put back", "connection", conn, "child_sa", from.Name, "reason", again.Error())
	}
	return fmt.Errorf("%s/%s: %w", conn, to.Name, err)
}

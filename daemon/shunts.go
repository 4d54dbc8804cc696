// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Children of mode pass and drop: policies without an SA, in force in the SPD and at the host as long as their connection
// is loaded (RFC 4301, Section 4.4.1).

package daemon

import (
	"fmt"
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
	defer s.mu.Unlock()
	s.ids[shuntKey(conn, child)] = id
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
		if ch.Mode != ike.ModeTunnel && !ch.NoPolicies {
			list = append(list, ch)
		}
	}
	return list
}

// shunt puts one policy in force, first at the engine, then at the host; after an error it is in force at neither.
func (d *Daemon) shunt(conn string, ch *ike.ChildConfig) error {
	if err := d.plane.shunts.add(conn, ch); err != nil {
		return err
	}
	if err := d.client.shunt(conn, ch, true); err != nil {
		d.plane.shunts.remove(conn, ch)
		return fmt.Errorf("%s/%s: %w", conn, ch.Name, err)
	}
	return nil
}

// unshunt takes one back.
func (d *Daemon) unshunt(conn string, ch *ike.ChildConfig) {
	d.plane.shunts.remove(conn, ch)
	if err := d.client.shunt(conn, ch, false); err != nil {
		d.log.Warn("a policy could not be taken back", "connection", conn, "child_sa", ch.Name, "reason", err.Error())
	}
}

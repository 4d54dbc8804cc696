// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The table of SAs that PF_KEY clients made: what PF_KEY says of them and the database does not need. Keys are the database's alone.

package keysock

import (
	"net/netip"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// entry is one SA.
type entry struct {
	id  sadb.SAID
	src netip.Addr
	// before and next are other SAs with the same SPI. Peers choose SPIs, and may all choose one.
	before, next *entry
	owner        uint64
	// holder is set while the SA is a reservation: whose bound it counts against.
	holder *client

	flags     uint32
	lifetimes bool           // limits were given
	proxy     *pfkey.Address // Linux
}

func (e *entry) larval() bool { return e.holder != nil }

// saTable finds SAs by name, and by SPI alone (FreeBSD's rule: an SPI is unique in the whole database).
type saTable struct {
	byID  map[sadb.SAID]*entry
	bySPI map[uint32]*entry
	owned map[uint64]int     // how many an owner has
	none  func(owner uint64) // is called where an owner has none any more
}

func newSATable() saTable {
	return saTable{byID: map[sadb.SAID]*entry{}, bySPI: map[uint32]*entry{}, owned: map[uint64]int{}, none: func(uint64) {}}
}

// give counts one more SA of an owner, take one less.
func (t *saTable) give(owner uint64) { t.owned[owner]++ }

func (t *saTable) take(owner uint64) {
	if t.owned[owner]--; t.owned[owner] > 0 {
		return
	}
	delete(t.owned, owner)
	t.none(owner)
}

// add puts an SA in. One of its name that is there has ended, or the database had not taken this one.
func (t *saTable) add(e *entry) {
	if old := t.byID[e.id]; old != nil {
		t.remove(old)
	}
	t.byID[e.id] = e
	t.give(e.owner)
	first := t.bySPI[e.id.SPI]
	e.before, e.next = nil, first
	if first != nil {
		first.before = e
	}
	t.bySPI[e.id.SPI] = e
}

func (t *saTable) remove(e *entry) {
	delete(t.byID, e.id)
	t.take(e.owner)
	e.settle()
	if e.next != nil {
		e.next.before = e.before
	}
	switch {
	case e.before != nil:
		e.before.next = e.next
	case e.next != nil:
		t.bySPI[e.id.SPI] = e.next
	default:
		delete(t.bySPI, e.id.SPI)
	}
	e.before, e.next = nil, nil
}

// settle ends a reservation.
func (e *entry) settle() {
	if e.holder != nil {
		e.holder.larval--
		e.holder = nil
	}
}

// rename gives an SA another destination, and with it another name.
func (t *saTable) rename(e *entry, src, dst netip.Addr) {
	holder := e.holder
	e.holder = nil
	t.give(e.owner) // it has one all the time
	t.remove(e)
	e.src, e.id.Dst, e.holder = src, dst, holder
	t.add(e)
	t.take(e.owner)
}

// find is the SA that a client names. exists: an ADD of that name is EEXIST. In FreeBSD an SPI is everybody's, and the addresses
// must be the SA's; elsewhere, and for who said pfkey.PrivateNames, its name is destination, SPI and protocol, and the source is not
// looked at when one is added.
func (t *saTable) find(c *client, id sadb.SAID, src netip.Addr) (mine *entry, exists bool) {
	e := t.byID[id]
	exists = e != nil
	if c.codec.Dialect != pfkey.FreeBSD {
		return e, exists
	}
	if e != nil && e.src != src {
		e = nil
	}
	return e, exists || !c.names && t.bySPI[id.SPI] != nil
}

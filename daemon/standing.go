// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies that no child brought (RFC 4301, Section 4.4.1): what a shunt passes or drops, and traps, which wait for traffic. They are
// the operator's. Both implementations of the seam put them in force; here are the words, and the engine in this process.

package daemon

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// standing is one such policy. It is in force from hold to drop; what a seam notes in it is under that seam's lock.
type standing struct {
	name          string
	action        sadb.Action // Protect: a trap
	local, remote []ike.Selector

	// Of a trap: the reqid of all SAs that serve it (hold draws one where it is zero), what its SAs will be, and between whom.
	reqid             uint32
	mode              ike.Mode
	ah, ipcomp        bool
	outLocal, outPeer netip.Addr

	id   sadb.PolicyID // of the engine in this process
	list []keyedPolicy // over PF_KEY
}

// hold implements ipsec.
func (k *seam) hold(p *standing) error {
	if p.action == sadb.Protect && p.reqid == 0 {
		// A reservation is how a reqid is drawn; its SPI is given back.
		spi, reqid, err := k.db.Reserve(time.Now(), 0)
		if err != nil {
			return err
		}
		defer k.db.Remove(time.Now(), spi, false)
		p.reqid = reqid
	}
	var err error
	p.id, err = k.db.AddPolicy(sadb.Policy{
		Reqid: p.reqid, Action: p.action, Local: selectorsOf(p.local), Remote: selectorsOf(p.remote), Name: p.name,
	})
	return err
}

// drop implements ipsec.
func (k *seam) drop(p *standing) { k.db.RemovePolicy(p.id) }

// acquireFailed implements ipsec.
func (k *seam) acquireFailed(reqid uint32) {
	k.db.AcquireFailed(reqid)
	k.kick()
}

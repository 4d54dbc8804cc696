// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the seam over PF_KEY knows of its pairs without asking anybody.

package daemon

import (
	"time"

	"github.com/natterjack/natterjack/ike"
)

// forget implements ipsec.
func (k *keyed) forget(spiIn uint32) {
	k.released(spiIn)
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.pairs.drop(spiIn)
	if !ok {
		return
	}
	k.leaveReqid(p.reqid)
}

// tells implements ipsec: who shares a policy with others has its reqid, and says what its SAs carry.
func (k *keyed) tells(c *ike.ChildSA) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pairs.in[c.SPIIn]
	return k.tellsSAs && p != nil && p.reqid == k.shared
}

// RemoveAll implements ipsec.
func (k *keyed) RemoveAll(unique uint64) {
	k.mu.Lock()
	spis := k.pairs.of(unique)
	k.mu.Unlock()
	for _, spi := range spis {
		k.remove(time.Now(), spi, false)
	}
}

func (k *keyed) owner(spiIn uint32) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.owner(spiIn)
}

func (k *keyed) inbound(unique uint64, spiOut uint32) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.inbound(unique, spiOut)
}

func (k *keyed) children() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pairs.installed()
}

func (k *keyed) usage(spiIn uint32) ike.Usage {
	if p := k.pair(spiIn); p != nil && p.spiOut != 0 {
		if u, ok := k.count(time.Now(), p).(ike.Usage); ok {
			return u
		}
	}
	return ike.Usage{}
}

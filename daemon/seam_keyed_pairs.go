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
	p := k.pairs[spiIn]
	if p == nil {
		return
	}
	delete(k.pairs, spiIn)
	if k.reqids[p.reqid]--; k.reqids[p.reqid] <= 0 {
		delete(k.reqids, p.reqid)
	}
	delete(k.owned[p.unique], spiIn)
	if len(k.owned[p.unique]) == 0 {
		delete(k.owned, p.unique)
	}
}

// RemoveAll implements ipsec.
func (k *keyed) RemoveAll(unique uint64) {
	k.mu.Lock()
	var spis []uint32
	for spi := range k.owned[unique] {
		spis = append(spis, spi)
	}
	k.mu.Unlock()
	for _, spi := range spis {
		k.remove(time.Now(), spi, false)
	}
}

func (k *keyed) owner(spiIn uint32) uint64 {
	if p := k.pair(spiIn); p != nil {
		return p.unique
	}
	return 0
}

func (k *keyed) inbound(unique uint64, spiOut uint32) uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for spi, p := range k.owned[unique] {
		if p.spiOut == spiOut && spiOut != 0 {
			return spi
		}
	}
	return 0
}

func (k *keyed) children() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, p := range k.pairs {
		if p.spiOut != 0 {
			n++
		}
	}
	return n
}

func (k *keyed) usage(spiIn uint32) ike.Usage {
	if p := k.pair(spiIn); p != nil && p.spiOut != 0 {
		if u, ok := k.count(time.Now(), p).(ike.Usage); ok {
			return u
		}
	}
	return ike.Usage{}
}

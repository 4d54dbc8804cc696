// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Whose reservation or pair of SAs is which: what both implementations of the seam must know to leave nothing behind of a machine
// that fails, and to find the machine that a notice is for.

package daemon

// pair is a reservation or a pair of SAs, and whose it is.
type pair struct {
	unique        uint64
	spiIn, spiOut uint32 // spiOut zero: reserved
	waits         uint32 // the reqid of a trap whose packets may go by it; zero: none
}

func (p *pair) known() *pair { return p }

// pairTable is the pairs of all machines, by inbound SPI and by machine. Its owner's lock protects it.
type pairTable[P interface{ known() *pair }] struct {
	in    map[uint32]P
	owned map[uint64]map[uint32]P
}

func newPairTable[P interface{ known() *pair }]() pairTable[P] {
	return pairTable[P]{in: map[uint32]P{}, owned: map[uint64]map[uint32]P{}}
}

func (t *pairTable[P]) add(p P) {
	k := p.known()
	t.in[k.spiIn] = p
	if t.owned[k.unique] == nil {
		t.owned[k.unique] = map[uint32]P{}
	}
	t.owned[k.unique][k.spiIn] = p
}

// drop takes a pair out; false: there is none of that inbound SPI.
func (t *pairTable[P]) drop(spiIn uint32) (p P, ok bool) {
	if p, ok = t.in[spiIn]; !ok {
		return p, false
	}
	unique := p.known().unique
	delete(t.in, spiIn)
	delete(t.owned[unique], spiIn)
	if len(t.owned[unique]) == 0 {
		delete(t.owned, unique)
	}
	return p, true
}

// of lists the inbound SPIs of a machine.
func (t *pairTable[P]) of(unique uint64) []uint32 {
	spis := make([]uint32, 0, len(t.owned[unique]))
	for spi := range t.owned[unique] {
		spis = append(spis, spi)
	}
	return spis
}

// owner is the machine of an inbound SPI; zero: none.
func (t *pairTable[P]) owner(spiIn uint32) uint64 {
	if p, ok := t.in[spiIn]; ok {
		return p.known().unique
	}
	return 0
}

// inbound is the inbound SPI of a machine's pair by its outbound one; zero: none. Outbound SPIs are the peers' choice: two
// peers may choose the same.
func (t *pairTable[P]) inbound(unique uint64, spiOut uint32) uint32 {
	for spi, p := range t.owned[unique] {
		if p.known().spiOut == spiOut && spiOut != 0 {
			return spi
		}
	}
	return 0
}

// installed is how many pairs are no mere reservations.
func (t *pairTable[P]) installed() int {
	n := 0
	for _, p := range t.in {
		if p.known().spiOut != 0 {
			n++
		}
	}
	return n
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Among a hundred thousand SAs nearly everything a packet needs lies in memory that no cache has, in a chain of pointers, and one packet
// after the other would wait for each. Warm walks the chains of a batch side by side and reads what will be needed, so that
// a processor waits for many packets at once. It decides nothing: all is looked up again. Addresses and SPIs are anybody's.

package sadb

const (
	// MaxWarm is the largest batch.
	MaxWarm = 128
	// crowd is how many SAs are worth it: fewer stay in the caches.
	crowd = 1000
)

// Crowded reports whether there are so many SAs that Warm is worth its price.
func (db *DB) Crowded() bool { return db.pairs.Load()+db.singles.Load() >= crowd }

// Remote is the address of a packet's destination.
type Remote struct {
	Addr IP
	V6   bool
}

// Warm is the memory of one batch. It belongs to one goroutine.
type Warm struct {
	hosts [MaxWarm]*host
	pairs [MaxWarm]*Pair
	sum   uint64 // of what was read: so that it is read

	singles warmSingles
}

// Sealing is for packets to at most MaxWarm addresses that are going to be sealed.
//
// Each pass here and in Opening reads what the one before it has brought, and asks nothing of it that may well be otherwise: a processor
// that has guessed wrong by a word of memory begins again when that word has come, and so would do one packet after the other.
func (w *Warm) Sealing(db *DB, list []Remote) {
	list = list[:min(len(list), MaxWarm)]
	root := db.spd.Load()
	if db.singles.Load() > 0 {
		w.sum += w.singles.sealing(root, list)
	}
	if root.single[classChild] == 0 {
		return
	}
	h := root.hosts
	for i := range list {
		w.hosts[i] = h.bucket(&hostKey{addr: list[i].Addr, v6: list[i].V6, class: classChild}).Load()
	}
	sum := touchHosts(w.hosts[:len(list)])
	n := 0
	for i := range list {
		x := w.hosts[i]
		for x != nil && x.key.addr != list[i].Addr {
			x = x.next.Load()
		}
		if x == nil || x.near == nil {
			continue
		}
		if !x.whole {
			sum += x.near.road.rule.local.to.Lo
		}
		if w.pairs[n] = x.near.sending.Load(); w.pairs[n] != nil {
			n++
		}
	}
	for _, p := range w.pairs[:n] {
		sum += p.core.touch() + p.Sender.touch()
	}
	for _, p := range w.pairs[:n] {
		sum += p.sealer.Touch()
	}
	w.sum += sum
}

// touchHosts reads the hosts that there are.
func touchHosts(list []*host) (sum uint64) {
	for _, x := range list {
		if x != nil {
			sum += x.key.addr.Lo
		}
	}
	return sum
}

// Opening is for ESP packets with at most MaxWarm SPIs that are going to be opened.
func (w *Warm) Opening(db *DB, spis []uint32) {
	spis = spis[:min(len(spis), MaxWarm)]
	if db.singles.Load() > 0 {
		w.sum += w.singles.opening(db, spis)
	}
	t := db.slots.Load()
	n := 0
	for _, spi := range spis {
		if w.pairs[n] = t.at(spi).Load(); w.pairs[n] != nil {
			n++
		}
	}
	sum := uint64(0)
	for _, p := range w.pairs[:n] {
		sum += p.core.touch() + p.Receiver.touch() + p.local[0].to.Lo + p.remote[0].to.Lo
	}
	for _, p := range w.pairs[:n] {
		sum += p.opn.Touch()
	}
	w.sum += sum
}

// The methods that follow read one word of each line of memory that a packet needs, of what is atomic or does not change.

func (c *core) touch() uint64 {
	return uint64(c.state.Load()) + uint64(c.home.Local.Port()) + uint64(c.home.Encap)
}

func (s *Sender) touch() uint64 {
	n := uint64(s.sealer.SPI())
	if s.core != nil {
		n++
	}
	return n
}

func (r *Receiver) touch() uint64 {
	return uint64(r.spi) + uint64(r.opn.SPI())
}

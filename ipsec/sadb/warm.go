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
	hosts     [MaxWarm]*host
	pairs     [MaxWarm]*Pair
	senders   [MaxWarm]*Sender
	receivers [MaxWarm]*Receiver
	sum       uint64 // of what was read: so that it is read
}

// Sealing is for packets to at most MaxWarm addresses that are going to be sealed.
func (w *Warm) Sealing(db *DB, list []Remote) {
	list = list[:min(len(list), MaxWarm)]
	h := db.spd.Load().hosts
	for i := range list {
		w.hosts[i] = h.bucket(&hostKey{addr: list[i].Addr, v6: list[i].V6, class: classChild}).Load()
	}
	sum := uint64(0)
	for i := range list {
		x := w.hosts[i]
		for x != nil && x.key.addr != list[i].Addr {
			x = x.next.Load()
		}
		w.hosts[i] = x
	}
	for i := range list {
		w.pairs[i] = nil
		if x := w.hosts[i]; x != nil && x.near != nil {
			b := x.near
			r, q := &b.road.rule, &b.road.policy
			sum += r.local.from.Lo + r.remote.from.Lo + r.local.to.Lo + r.remote.to.Lo + uint64(r.remote.hi) + uint64(q.action) + uint64(q.class) +
				uint64(len(q.local)) + uint64(len(q.remote)) + uint64(len(b.road.leaf.rules))
			if b.road.rules[0] != nil {
				sum++
			}
			w.pairs[i] = b.sending.Load()
		}
	}
	for i := range list {
		w.senders[i] = nil
		if p := w.pairs[i]; p != nil {
			sum += p.core.touch() + uint64(len(p.local)) + uint64(len(p.remote)) + uint64(p.spiIn)
			w.senders[i] = &p.Sender
		}
	}
	for i := range list {
		if s := w.senders[i]; s != nil {
			sum += s.touch()
		}
	}
	w.sum += sum
}

// Opening is for ESP packets with at most MaxWarm SPIs that are going to be opened.
func (w *Warm) Opening(db *DB, spis []uint32) {
	spis = spis[:min(len(spis), MaxWarm)]
	t := db.slots.Load()
	for i, spi := range spis {
		w.pairs[i] = t.at(spi).Load()
	}
	sum := uint64(0)
	for i := range spis {
		w.receivers[i] = nil
		if p := w.pairs[i]; p != nil {
			sum += p.core.touch() + uint64(p.spiIn) + p.local[0].from.Lo + p.remote[0].from.Lo
			w.receivers[i] = &p.Receiver
		}
	}
	for i := range spis {
		if r := w.receivers[i]; r != nil {
			sum += r.touch()
		}
	}
	w.sum += sum
}

// touch reads one word of each line of memory that a packet needs.
func (c *core) touch() uint64 {
	n := uint64(c.proto) + uint64(c.added)
	pl := c.endpoint.Load()
	return n + uint64(c.state.Load()) + uint64(pl.Encap) + uint64(pl.Remote.Port()) + uint64(c.usedAt.Load())
}

func (s *Sender) touch() uint64 {
	n := uint64(s.count.last.Load()) + uint64(s.endpoint.Load().path.mtu.Load())
	if s.sealer != nil {
		n += s.sealer.Touch()
	}
	return n
}

func (r *Receiver) touch() uint64 {
	n := uint64(r.count.last.Load()) + uint64(r.spi)
	if r.opn != nil {
		n += r.opn.Touch()
	}
	return n
}

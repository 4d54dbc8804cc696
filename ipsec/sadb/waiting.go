// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets that wait for an SA. They are anybody's on the inner side; what waits is bounded in number, octets and time (HOSTILE
// T-063).

package sadb

import (
	"slices"
	"time"
)

const (
	// maxHeld and maxHeldOctets bound what waits for one Acquire: T-063.
	maxHeld       = 64
	maxHeldOctets = 96 << 10
	// acquireLife is how long an Acquire may take, and a reservation live: the larval life of Linux's and BSD's SADs.
	acquireLife = int64(30 * time.Second)
)

// waiting is copies of packets, one behind the other. Its owner has the lock.
type waiting struct {
	octets []byte
	lens   []int
	listed bool // stands in db.holders
}

// holder is who has packets that wait.
type holder interface {
	// release moves packets into buf, as many as fit, and calls f for each, if there is an SA for them.
	release(buf []byte, most int, f func(pkt []byte))
}

// keep copies a packet of at most maxHeldOctets, and returns how many older ones went for it.
func (w *waiting) keep(pkt []byte) (dropped int) {
	if w.octets == nil {
		w.octets, w.lens = make([]byte, 0, maxHeldOctets), make([]int, 0, maxHeld)
	}
	for len(w.lens) == maxHeld || len(w.octets)+len(pkt) > maxHeldOctets { // the oldest goes first
		n := w.lens[0]
		w.octets = append(w.octets[:0], w.octets[n:]...)
		w.lens = append(w.lens[:0], w.lens[1:]...)
		dropped++
	}
	w.octets = append(w.octets, pkt...)
	w.lens = append(w.lens, len(pkt))
	return dropped
}

// clear lets go of all and returns how many that were.
func (w *waiting) clear() int {
	n := len(w.lens)
	w.octets, w.lens = nil, nil
	return n
}

// move moves packets into buf, as many as fit, and calls f for each. True: none is left.
func (w *waiting) move(buf []byte, most int, f func(pkt []byte)) bool {
	off, n := 0, 0
	for n < len(w.lens) && n < most && off+w.lens[n] <= len(buf) {
		copy(buf[off:], w.octets[off:off+w.lens[n]])
		f(buf[off : off+w.lens[n]])
		off += w.lens[n]
		n++
	}
	w.octets = append(w.octets[:0], w.octets[off:]...)
	w.lens = append(w.lens[:0], w.lens[n:]...)
	if len(w.lens) > 0 {
		return false
	}
	w.octets, w.lens = nil, nil
	return true
}

// list notes that h holds packets. h's lock is held, so that who releases after an Install finds them.
func (db *DB) list(h holder, w *waiting) {
	if w.listed {
		return
	}
	w.listed = true
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	db.holders = append(db.holders, h)
	db.anyHeld.Store(true)
}

func (db *DB) unlist(h holder, w *waiting) {
	w.listed = false
	db.noteMu.Lock()
	defer db.noteMu.Unlock()
	if i := slices.Index(db.holders, h); i >= 0 {
		db.holders = slices.Delete(db.holders, i, i+1)
	}
	db.anyHeld.Store(len(db.holders) > 0)
}

// Release calls f with held packets that have an SA now, at most most of them, in buf. f must not call DB.
func (db *DB) Release(buf []byte, most int, f func(pkt []byte)) {
	if !db.anyHeld.Load() {
		return
	}
	db.noteMu.Lock()
	holders := slices.Clone(db.holders)
	db.noteMu.Unlock()
	for _, h := range holders {
		h.release(buf, most, func(pkt []byte) {
			f(pkt)
			buf = buf[len(pkt):]
			most--
		})
	}
}

// HeldDropped is how many held packets were dropped because no SA came.
func (db *DB) HeldDropped() uint64 { return db.heldDropped.Load() }

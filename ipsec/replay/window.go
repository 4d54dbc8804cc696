// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package replay is the anti-replay window of an inbound SA: RFC 4303, Section 3.4.3, kept as the ring of words of
// RFC 6479, and the recovery of the high half of extended sequence numbers (RFC 4303, Appendix A2). Sequence numbers
// are attacker controlled until the packet's ICV was verified, which is why asking (Check) and recording (Commit) are two
// methods. It guarantees that Commit says yes at most once for every number, and that Check changes nothing.
package replay

import "fmt"

const (
	// MinSize: RFC 4303, Section 3.4.3: a minimum window size of 32 packets MUST be supported.
	MinSize = 32
	// DefaultSize: RFC 4303, Section 3.4.3: 64 is preferred where nothing else is said.
	DefaultSize = 64
	// MaxSize bounds the memory of an SA: 1 KiB.
	MaxSize = 4096

	wordBits = 64
)

// Window is the window of one SA. It is not safe for concurrent use: its SA guards it.
type Window struct {
	// ring is a power of two of words, at least one more than the window covers (RFC 6479, Section 2); nil: it is small, which
	// is where its SA is in memory already.
	ring  []uint64
	small [smallWords]uint64
	top   uint64 // the highest number committed; 0: none
	size  uint16 // packets
	esn   bool
}

// smallWords is what a window of DefaultSize needs.
const smallWords = 2

// New makes a window for size packets, rounded up to a multiple of 64; 0 is DefaultSize: there is no way to switch it off. With esn numbers have 64 bits of which packets carry 32.
func New(size int, esn bool) (*Window, error) {
	if size == 0 {
		size = DefaultSize
	}
	if size < MinSize || size > MaxSize {
		return nil, fmt.Errorf("replay window: %d packets, expected %d to %d", size, MinSize, MaxSize)
	}
	words := (size + wordBits - 1) / wordBits
	n := 1
	for n < words+1 {
		n *= 2
	}
	w := &Window{size: uint16(words * wordBits), esn: esn}
	if n > smallWords {
		w.ring = make([]uint64, n)
	}
	return w, nil
}

func (w *Window) words() []uint64 {
	if w.ring == nil {
		return w.small[:]
	}
	return w.ring
}

// Size is the window in packets after rounding.
func (w *Window) Size() int { return int(w.size) }

// Top is the highest number committed; 0: none yet.
func (w *Window) Top() uint64 { return w.top }

// Extend returns the whole sequence number of a packet that carries low. False: no number below 2^64 and above 0 fits, the
// packet is outside of everything. What it returns is a guess until the ICV, which covers the high half, was verified.
func (w *Window) Extend(low uint32) (uint64, bool) {
	if !w.esn {
		// RFC 4303, Section 3.3.3: the first packet has sequence number 1, and the counter does not cycle: 0 is never sent.
		return uint64(low), low != 0
	}
	// RFC 4303, Appendix A2.2: tl, th are the halves of the top; bl is the bottom of the window modulo 2^32.
	tl, th := uint32(w.top), uint32(w.top>>32)
	bl := tl - uint32(w.size) + 1
	switch {
	case tl >= uint32(w.size)-1: // case A: the window lies within one half
		if low < bl {
			if th == ^uint32(0) {
				return 0, false
			}
			th++
		}
	case low >= bl: // case B: the window spans two halves, the number is in the lower one
		if th == 0 {
			return 0, false
		}
		th--
	}
	// Deviation: RFC 4303, Appendix A3 (finding the high half again after 2^32 packets were lost in a row) is left out: IKE's
	// liveness check ends an SA long before, and trying further halves would double what a forged packet costs.
	seq := uint64(th)<<32 | uint64(low)
	return seq, seq != 0
}

// Check reports whether seq may be new: right of the window, or inside and not committed. It changes nothing.
func (w *Window) Check(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.top:
		return true
	case w.top-seq >= uint64(w.size):
		return false // left of the window
	}
	return *w.word(seq)&bit(seq) == 0
}

// Commit records seq, whose packet has been authenticated. RFC 4303, Section 3.4.3: the window MUST NOT be updated before
// the integrity check succeeded. fresh is false for a number that is not new after all (another socket was faster); newest
// is true if it is above all before it.
func (w *Window) Commit(seq uint64) (fresh, newest bool) {
	if !w.Check(seq) {
		return false, false
	}
	if seq > w.top {
		newest = true
		w.slide(seq)
	}
	*w.word(seq) |= bit(seq)
	return true, newest
}

// slide clears the words between the old top and the new one: RFC 6479, Section 2.
func (w *Window) slide(seq uint64) {
	from, to := w.top/wordBits, seq/wordBits
	ring := w.words()
	n := min(to-from, uint64(len(ring)))
	for i := range n {
		ring[(to-i)&uint64(len(ring)-1)] = 0
	}
	w.top = seq
}

func (w *Window) word(seq uint64) *uint64 {
	ring := w.words()
	return &ring[seq/wordBits&uint64(len(ring)-1)]
}

func bit(seq uint64) uint64 { return 1 << (seq % wordBits) }

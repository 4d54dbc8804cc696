// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The outbound half: what seals. Its packets are this host's own. A counter exists once under its keys (RFC 4303, Section
// 3.3.3; RFC 4106, Section 3.1: a nonce that comes twice gives the key away), and nothing is sealed after a hard limit.

package sadb

import (
	"sync"

	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// Sender is the outbound half of a pair, or a single SA that seals. It must not be copied.
type Sender struct {
	// What a packet of ESP touches comes first, beginning with the first word: a compiler that makes sure of a pointer reads that.
	*core
	mu     sync.Mutex
	now    int64      // under mu
	count  tally      // under mu
	calm   calm       // under mu
	sealer esp.Sealer // under mu; of ESP only

	ah *ah.Sealer // under mu; nil: another protocol
}

// SPI is the one in its packets.
func (s *Sender) SPI() uint32 {
	if p := s.pair; p != nil {
		return p.spiOut
	}
	return s.single.spi
}

// Head is how many octets an ESP packet has in front of its payload; zero for other protocols.
func (s *Sender) Head() int {
	if s.proto != ProtoESP {
		return 0
	}
	return s.sealer.Head()
}

// BeginSeal takes the half. EndSeal gives it back; in between the caller seals and does nothing else.
func (s *Sender) BeginSeal(now int64) {
	s.mu.Lock()
	s.now = now
}

// Seal seals buf[Head():Head()+n] in place. ErrEnded: nothing was sealed, and nothing ever will be.
func (s *Sender) Seal(buf []byte, n int, next uint8) (int, error) {
	dummy := next == esp.NextHeaderNone
	if !s.may(n, dummy) {
		return 0, ErrEnded
	}
	size, err := s.sealer.Seal(buf, n, next)
	if err != nil {
		s.end()
		return 0, ErrEnded
	}
	s.account(n, dummy)
	return size, nil
}

// may says whether a packet of n octets is within all limits; if it is not, the SA is at its end.
func (s *Sender) may(n int, dummy bool) bool {
	if s.state.Load()&(stateDead|stateOutClosed) != 0 {
		return false
	}
	if s.calm.holds(s.now, s.seq(), &s.count, n) {
		return true
	}
	if s.over(s.now) || s.seq() >= s.seqHard || !dummy && (s.count.packets >= s.lim.hardPackets || s.count.bytes+uint64(n) > s.lim.hardBytes) {
		s.end()
		return false
	}
	return true
}

// account counts a packet that was sealed.
func (s *Sender) account(n int, dummy bool) {
	first := s.count.last == 0 // of this half
	s.count.last = s.now
	if first && s.pair == nil && s.usedAt.Load() == 0 {
		s.usedAt.Store(s.now)
		s.db.post(&s.note, noteFirst)
	}
	if dummy {
		return
	}
	s.count.packets++
	s.count.bytes += uint64(n)
	s.count.data = s.now
}

// counted is a snapshot: the counters, and the number of the last packet sealed.
func (s *Sender) counted() (tally, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.seq()
}

// seq is the number of the last packet sealed. Under mu.
func (s *Sender) seq() uint64 {
	switch {
	case s.proto == ProtoESP:
		return s.sealer.Seq()
	case s.ah != nil:
		return s.ah.Seq()
	}
	return 0
}

// EndSeal gives the half back and tells of a soft limit.
func (s *Sender) EndSeal() {
	if s.calm.holds(s.now, s.seq(), &s.count, 0) {
		s.mu.Unlock()
		return
	}
	soft := s.seq() >= s.seqSoft || s.soft(&s.count, s.now)
	s.calm = s.core.calm()
	s.mu.Unlock()
	if soft {
		s.tellSoft()
	}
}

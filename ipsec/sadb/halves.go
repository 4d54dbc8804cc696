// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The half of a single SA: made when a packet first needs it, once, and never the other one in use beside it. A packet that this host
// sealed and somebody reflects would otherwise open under the same key. Which of the two an SA is is settled by what is authentic: the
// first packet that is sealed, or the first that opens. Packets that merely name an SA's SPI are anybody's, and settle nothing.

package sadb

import (
	"net/netip"
	"sync/atomic"
)

// asSender is the SA as one that seals; nil: it is not in use, or opens.
func (s *Single) asSender() *Sender {
	if x := s.sender.Load(); x != nil {
		return x
	}
	s.half.Lock()
	defer s.half.Unlock()
	if x := s.sender.Load(); x != nil || !s.usable() || s.opens() {
		return x
	}
	x := &Sender{core: &s.core}
	sa := s.sa.Load()
	var err error
	switch s.proto {
	case ProtoESP:
		err = x.sealer.Init(s.spi, s.suite, sa.key, sa.integ, s.db.rand)
	case ProtoAH:
		err = x.makeAH(s.suite, sa.integ, sa.less().alignAH8)
	}
	if err != nil {
		return nil
	}
	x.sealer.See(s.db.view)
	s.sender.Store(x)
	return x
}

// asReceiver is the SA as one that opens; nil: it is not in use, or seals.
func (s *Single) asReceiver() *Receiver {
	if s.seals() {
		return nil
	}
	if x := s.receiver.Load(); x != nil {
		return x
	}
	s.half.Lock()
	defer s.half.Unlock()
	if x := s.receiver.Load(); x != nil || !s.usable() || s.seals() {
		return x
	}
	x := &Receiver{core: &s.core, spi: s.spi}
	sa := s.sa.Load()
	var err error
	switch s.proto {
	case ProtoESP:
		err = x.opn.Init(s.spi, s.suite, sa.key, sa.integ, int(sa.window))
	case ProtoAH:
		err = x.makeAH(s.suite, sa.integ, int(sa.window))
	}
	if err != nil {
		return nil
	}
	x.opn.See(s.db.view)
	s.receiver.Store(x)
	return x
}

// usable reports whether the SA may become one of the two: it has its keys still.
func (s *Single) usable() bool {
	return s.state.Load()&(stateLarval|stateDead|stateOutClosed|stateInClosed) == 0
}

// seals reports whether the SA is one that seals: it opens nothing from then on.
func (s *Single) seals() bool { return s.sender.Load() != nil }

// opens reports whether the SA is one that opens: something authentic has. It never seals. What IPComp decompresses is nobody's, and
// there is no key under which it could be reflected.
func (s *Single) opens() bool {
	x := s.receiver.Load()
	return x != nil && s.proto != ProtoIPComp && x.opened.Load()
}

// Orig are the addresses of source and destination of the SA's packets in the peer's checksums (NAT-OA); invalid: the same
// as outside, or not known.
func (r *Receiver) Orig() (src, dst netip.Addr) {
	if r.pair != nil {
		dst, src = r.pair.Orig()
		return src, dst
	}
	if o := r.single.sa.Load().rare; o != nil {
		return o.origSrc, o.origDst
	}
	return src, dst
}

// Source is where packets of the SA arrive and come from now, as an endpoint seen from this host.
func (r *Receiver) Source() Endpoint {
	if r.single == nil {
		return r.endpoint.Load().Endpoint
	}
	at := r.single.sa.Load().at
	return Endpoint{Local: at.Remote, Remote: *r.single.source.Load(), Encap: at.Encap}
}

// Tag is a number that the data plane notes on a single SA; zero: none yet.
func (s *Single) Tag() *atomic.Uint64 { return &s.tag }

// Single is the single SA that a half belongs to; nil: it is of a pair.
func (c *core) Single() *Single { return c.single }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// GETSPI, ADD, GET, DELETE and FLUSH (RFC 2367, Sections 3.1.1 to 3.1.5 and 3.1.9).

package keysock

import (
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// firstSPI and lastSPI bound a reservation that names no range: the same in all three kernels.
	firstSPI, lastSPI = 0x100, 0x0fffffff
	// maxRetries of a reservation whose SPI another destination has, which FreeBSD's rule forbids.
	maxRetries = 8
)

// getSPI is SADB_GETSPI: a larval SA.
func (s *Server) getSPI(now time.Time, c *client, m *pfkey.Message) error {
	src, dst, err := addresses(m)
	if err != nil {
		return err
	}
	proto := m.SAType.Proto()
	if proto == 0 || dst.IsUnspecified() {
		return pfkey.EINVAL
	}
	r := sadb.Reservation{Proto: proto, Src: src, Dst: dst, Owner: c.owner, Seq: m.Seq}
	if r.Mode, r.Reqid, err = modeOf(c.codec.Dialect, m.SA2); err != nil {
		return err
	}
	if r.Min, r.Max, err = spiRange(c.codec.Dialect, proto, m.SPIRange); err != nil {
		return err
	}
	if c.larval >= s.config.Larval || len(s.sas.byID) >= s.config.SAs {
		return pfkey.ENOBUFS
	}
	spi, err := s.reserve(now, c, r)
	if err != nil {
		return err
	}
	e := &entry{id: sadb.SAID{Proto: proto, SPI: spi, Dst: dst}, src: src, owner: c.owner, holder: c}
	c.larval++
	s.sas.add(e)
	if c.codec.Dialect != pfkey.Linux {
		s.send(same(&pfkey.Message{
			Header: m.Header, SA: &pfkey.SA{SPI: spi}, Src: m.Src, Dst: m.Dst,
			Order: []pfkey.ExtType{pfkey.ExtSA, pfkey.ExtAddressSrc, pfkey.ExtAddressDst},
		}), toOne(c))
		return nil
	}
	v, err := s.view(e)
	if err != nil {
		return err
	}
	s.send(func(d pfkey.Dialect, _ bool) *pfkey.Message { return v.message(d, m.Header, false) }, toOne(c))
	return nil
}

// spiRange is what a request asks for. An index of IPComp has 16 bits: the BSDs cut the range to it, Linux refuses another.
//
// Deviation: 1 to 255 are never given out (RFC 4303, Section 2.1).
func spiRange(d pfkey.Dialect, proto uint8, asked *pfkey.SPIRange) (least, most uint32, err error) {
	least, most = firstSPI, lastSPI
	if asked != nil {
		least, most = max(asked.Min, esp.MinSPI), asked.Max
		if proto == sadb.ProtoIPComp && d == pfkey.Linux && most > maxCPI {
			return 0, 0, pfkey.EINVAL
		}
	}
	if proto == sadb.ProtoIPComp {
		least, most = min(least, maxCPI), min(most, maxCPI)
	}
	if least > most {
		return 0, 0, pfkey.EINVAL
	}
	return least, most, nil
}

// reserve draws an SPI. A range that is used up is ENOENT in Linux and EEXIST in the BSDs.
func (s *Server) reserve(now time.Time, c *client, r sadb.Reservation) (uint32, error) {
	used := pfkey.EEXIST
	if c.codec.Dialect == pfkey.Linux {
		used = pfkey.ENOENT
	}
	for range maxRetries {
		spi, err := s.db.ReserveSA(now, r)
		if err == sadb.ErrNoSPI {
			return 0, used
		}
		if err != nil {
			return 0, errnoOf(err)
		}
		if c.codec.Dialect != pfkey.FreeBSD || s.sas.bySPI[spi] == nil {
			return spi, nil
		}
		if _, err = s.db.DeleteSA(now, sadb.SAID{Proto: r.Proto, SPI: spi, Dst: r.Dst}); err != nil {
			return 0, errnoOf(err)
		}
	}
	return 0, used
}

// add is SADB_ADD.
func (s *Server) add(now time.Time, c *client, m *pfkey.Message) error {
	r, err := parseSA(c, m)
	if err != nil {
		return err
	}
	if err = algorithmsOf(c.codec.Dialect, m, &r.SA); err != nil {
		return err
	}
	if _, exists := s.sas.find(c, r.id, r.src); exists {
		s.sweep(r.id.SPI)
		if _, exists = s.sas.find(c, r.id, r.src); exists {
			return pfkey.EEXIST
		}
	}
	if len(s.sas.byID) >= s.config.SAs {
		return pfkey.ENOBUFS
	}
	if err = s.db.AddSA(now, r.SA); err != nil {
		return errnoOf(err)
	}
	e := r.entry
	s.sas.add(&e)
	return s.announce(c, m, &e)
}

// sweep forgets SAs with this SPI that the database has ended: their last notice is on its way.
func (s *Server) sweep(spi uint32) {
	for e := s.sas.bySPI[spi]; e != nil; {
		next := e.next
		if _, ok := s.db.LookupSA(e.id); !ok {
			s.sas.remove(e)
		}
		e = next
	}
}

// announce tells everybody of an SA that was made or completed.
func (s *Server) announce(c *client, m *pfkey.Message, e *entry) error {
	v, err := s.view(e)
	if err != nil {
		return err
	}
	defer v.wipe()
	s.send(v.answer(c, m), toAll)
	return nil
}

// view is an SA as it is now.
func (s *Server) view(e *entry) (*shown, error) {
	sa, ok := s.db.LookupSA(e.id)
	if !ok {
		return nil, pfkey.ESRCH
	}
	return &shown{SAInfo: sa.Info(), e: e}, nil
}

// named is the SA that a GET, DELETE or UPDATE names.
func (s *Server) named(c *client, m *pfkey.Message) (*entry, error) {
	src, dst, err := addresses(m)
	if err != nil {
		return nil, err
	}
	proto := m.SAType.Proto()
	if proto == 0 || m.SA == nil {
		return nil, pfkey.EINVAL
	}
	if e, _ := s.sas.find(c, sadb.SAID{Proto: proto, SPI: m.SA.SPI, Dst: dst}, src); e != nil {
		return e, nil
	}
	return s.followed(proto, m.SA.SPI, src, dst)
}

// followed finds an SA by the addresses that it has moved to with its peer, which is how GET and DUMP show it.
func (s *Server) followed(proto uint8, spi uint32, src, dst netip.Addr) (*entry, error) {
	for e := s.sas.bySPI[spi]; e != nil; e = e.next {
		if s.isAt(e, proto, src, dst) {
			return e, nil
		}
	}
	return nil, pfkey.ESRCH
}

// isAt reports whether an SA of a protocol goes from and to these addresses now. Peers choose SPIs, so that very many may be asked.
func (s *Server) isAt(e *entry, proto uint8, src, dst netip.Addr) bool {
	if e.id.Proto != proto || e.larval() || e.src != src && e.id.Dst != dst { // one end alone follows
		return false
	}
	sa, ok := s.db.LookupSA(e.id)
	if !ok {
		return false
	}
	from, to := sa.Ends()
	return from == src && to == dst
}

// get is SADB_GET.
func (s *Server) get(now time.Time, c *client, m *pfkey.Message) error {
	v, err := s.found(c, m)
	if err != nil {
		return err
	}
	defer v.wipe()
	s.send(func(d pfkey.Dialect, keys bool) *pfkey.Message {
		a := v.message(d, m.Header, keys)
		if c.idle && !v.LastUsed.IsZero() {
			a.KMPrivate = c.codec.PrivateSince(now.Sub(v.LastUsed))
		}
		return a
	}, toOne(c))
	return nil
}

func (s *Server) found(c *client, m *pfkey.Message) (*shown, error) {
	e, err := s.named(c, m)
	if err != nil {
		return nil, err
	}
	return s.view(e)
}

// remove is SADB_DELETE. Without an SPI the BSDs delete all SAs from the source to the destination but reservations (INITIAL-CONTACT).
func (s *Server) remove(now time.Time, c *client, m *pfkey.Message) error {
	if m.SA == nil && c.codec.Dialect != pfkey.Linux {
		return s.removeWide(now, m)
	}
	e, err := s.named(c, m)
	if err != nil {
		return err
	}
	info, err := s.db.DeleteSA(now, e.id)
	if err != nil {
		return errnoOf(err)
	}
	v := &shown{SAInfo: info, e: e}
	defer v.wipe()
	s.sas.remove(e)
	s.send(func(d pfkey.Dialect, keys bool) *pfkey.Message {
		if d != pfkey.Linux {
			return &pfkey.Message{Header: m.Header, SA: m.SA, Src: m.Src, Dst: m.Dst,
				Order: []pfkey.ExtType{pfkey.ExtSA, pfkey.ExtAddressSrc, pfkey.ExtAddressDst}}
		}
		a := v.message(d, m.Header, keys)
		a.SA.State = pfkey.StateDead
		return a
	}, toAll)
	return nil
}

func (s *Server) removeWide(now time.Time, m *pfkey.Message) error {
	src, dst, err := addresses(m)
	if err != nil {
		return err
	}
	proto := m.SAType.Proto()
	if proto == 0 {
		return pfkey.EINVAL
	}
	left := s.db.DeleteWide(now, proto, src, dst)
	for id, e := range s.sas.byID {
		if left == 0 {
			break
		}
		if id.Proto == proto && id.Dst == dst && e.src == src && !e.larval() {
			s.sas.remove(e)
			left--
		}
	}
	s.send(same(&pfkey.Message{Header: m.Header, Src: m.Src, Dst: m.Dst}), toAll)
	return nil
}

// flush is SADB_FLUSH. SAs of IKE's stay. Linux answers the requester, and then tells everybody if there was anything.
func (s *Server) flush(now time.Time, c *client, m *pfkey.Message) error {
	proto := m.SAType.Proto()
	if proto == 0 && m.SAType != pfkey.SATypeUnspec {
		return pfkey.EINVAL
	}
	n := s.db.FlushSAs(now, proto)
	for id, e := range s.sas.byID {
		if proto == 0 || id.Proto == proto {
			s.sas.remove(e)
		}
	}
	s.flushed(c, m, n)
	return nil
}

func (s *Server) flushed(c *client, m *pfkey.Message, n int) {
	answer := same(&pfkey.Message{Header: pfkey.Header{Type: m.Type, SAType: m.SAType, Seq: m.Seq, PID: m.PID}})
	if c.codec.Dialect == pfkey.Linux {
		s.send(answer, toOne(c))
		if n == 0 {
			return
		}
	}
	s.send(answer, toAll)
}

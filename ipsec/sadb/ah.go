// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Halves that are not ESP: AH (RFC 4302) and IPComp (RFC 3173), with the same limits and counters. Whole packets go in and come
// out; on the inbound side they are anybody's until they were opened, and compressed data is its sender's, whose size is
// bounded by package ipcomp.

package sadb

import (
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
)

// checkAH refuses what no SA of AH can be.
func (s *SA) checkAH() error {
	if s.Suite.Encr != 0 || !s.Key.IsZero() {
		return fmt.Errorf("encryption %v with a key of %d octets: AH encrypts nothing", s.Suite.Encr, s.Key.Len())
	}
	_, err := ah.NewOpener(s.SPI, s.Suite.Integ, s.Integ, s.Suite.ESN, s.Window)
	return err
}

func (s *Sender) makeAH(u suite.ESP, key secret.Key, align8 bool) (err error) {
	s.ah, err = ah.NewSealer(s.SPI(), u.Integ, key, u.ESN, align8, s.db.rand)
	return err
}

func (r *Receiver) makeAH(u suite.ESP, key secret.Key, window int) (err error) {
	r.ah, err = ah.NewOpener(r.spi, u.Integ, key, u.ESN, window)
	return err
}

// AHLen is how many octets AH takes in a packet of IPv4 or IPv6.
func (s *Sender) AHLen(v6 bool) int { return s.ah.Len(v6) }

// SealAH writes AH into a whole packet: see ah.Sealer.Seal. ErrEnded: nothing was sealed, and nothing ever will be.
func (s *Sender) SealAH(pkt []byte, at int, next uint8) error {
	n, dummy := max(len(pkt)-at-s.AHLen(s.v6()), 0), next == esp.NextHeaderNone
	if !s.may(n, dummy) {
		return ErrEnded
	}
	switch err := s.ah.Seal(pkt, at, next); err {
	case nil:
	case esp.ErrExhausted:
		s.end()
		return ErrEnded
	default:
		return err
	}
	s.account(n, dummy)
	return nil
}

// OpenAH verifies a whole packet: see ah.Opener.Open. An error is one of packages esp and ah, or ErrEnded.
func (r *Receiver) OpenAH(pkt []byte, a *Arrival) (ah.Opened, error) {
	if !r.may() {
		return ah.Opened{}, ErrEnded
	}
	o, err := r.ah.Open(pkt)
	if err != nil {
		return o, err
	}
	r.authentic(a, o.Newest)
	if o.Next != esp.NextHeaderNone {
		r.account(len(o.Payload))
	}
	return o, nil
}

// Compress compresses a payload with the SA's CPI: see ipcomp.Codec. Not ok: it is sent as it is (RFC 3173, Section 2.2),
// and so it is when the SA is at its end.
func (s *Sender) Compress(c *ipcomp.Codec, dst, src []byte, next uint8) (n int, ok bool) {
	if !s.may(len(src), false) {
		return 0, false
	}
	if n, ok = c.Compress(dst, src, uint16(s.SPI()), next); ok {
		s.account(len(src), false)
	}
	return n, ok
}

// Decompress is its inverse: see ipcomp.Codec. ErrEnded: the SA is at its end.
func (r *Receiver) Decompress(c *ipcomp.Codec, dst, src []byte) (n int, next uint8, err error) {
	if !r.may() {
		return 0, 0, ErrEnded
	}
	if n, next, err = c.Decompress(dst, src); err != nil {
		return n, next, err
	}
	r.heardNow()
	r.account(n)
	return n, next, nil
}

// Size is the size of the packet around a payload of n octets, from behind the IP header on.
func (s *Sender) Size(n int) int {
	switch {
	case s.proto == ProtoESP:
		return s.sealer.Size(n)
	case s.ah != nil:
		return n + s.ah.Len(s.v6())
	}
	return n // compression makes nothing longer
}

// most is the largest payload that fits room octets behind the outer headers.
func (s *Sender) most(room int) int {
	switch {
	case s.proto == ProtoESP:
		return s.sealer.MaxPayload(room)
	case s.ah != nil:
		return room - s.ah.Len(s.v6())
	}
	return room
}

func (s *Sender) v6() bool { return s.endpoint.Load().Remote.Addr().Is6() }

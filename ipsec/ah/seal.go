// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Outbound processing: RFC 4302, Section 3.3. Its input is this host's own packets; a header that is not as the data plane has to
// make it is an error, and the number is then not used.

package ah

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// Sealer is one outbound SA. It is not safe for concurrent use (its SA guards it), but Seq is. It must not be copied: a second
// counter under one key would repeat a sequence number, and with GMAC a nonce.
type Sealer struct {
	_   [0]func() // not comparable, not copied by accident
	spi uint32
	// seq is the number of the last packet sealed. RFC 4302, Section 2.5: it MUST be present and starts at 0.
	seq    atomic.Uint64
	last   uint64 // the last number that may be used
	esn    bool
	align8 bool
	mac    *suite.MAC
	mask   uint64 // the IV of GMAC is the sequence number XOR this
	cover  cover
}

// NewSealer makes the outbound SA spi. align8 pads AH in IPv4 to a multiple of 8 octets as well.
// Deviation: RFC 4302, Section 3.3.3.2.1 has 4 there; Linux wants 8 of an SA that was not made with XFRM_STATE_ALIGN4, which PF_KEY
// cannot say. seed is read here only, for GMAC: its IVs begin elsewhere in each SA, since a manual key may be used again by the next one
// (RFC 4543, Section 3.1 wants them different under one key).
func NewSealer(spi uint32, i suite.Integ, key secret.Key, esn, align8 bool, seed io.Reader) (*Sealer, error) {
	if spi < MinSPI {
		return nil, fmt.Errorf("SPI: %d, expected at least %d", spi, MinSPI)
	}
	mac, err := suite.NewMAC(i, key)
	if err != nil {
		return nil, err
	}
	s := &Sealer{spi: spi, last: maxSeq, esn: esn, align8: align8, mac: mac}
	if esn {
		s.last = maxESN
	}
	if mac.IVLen() > 0 {
		var b [8]byte
		if _, err := io.ReadFull(seed, b[:]); err != nil {
			return nil, fmt.Errorf("seed of the IVs: %w", err)
		}
		s.mask = binary.BigEndian.Uint64(b[:])
	}
	return s, nil
}

// SPI is the SA's.
func (s *Sealer) SPI() uint32 { return s.spi }

// Seq is the number of the last packet sealed. Any goroutine may call it.
func (s *Sealer) Seq() uint64 { return s.seq.Load() }

// Len is how many octets AH takes in a packet of IPv4 or IPv6.
func (s *Sealer) Len(v6 bool) int { return size(s.mac, v6, s.align8) }

// Seal writes AH at pkt[at:], Len octets in front of the payload, whose protocol is next. pkt is the whole packet (see the
// package's comment).
func (s *Sealer) Seal(pkt []byte, at int, next uint8) error {
	where, err := s.cover.header(pkt)
	if err != nil {
		return err
	}
	n := s.Len(pkt[0]>>4 == 6)
	if where != at || at+n > len(pkt) {
		return ErrHeader
	}
	// RFC 4302, Section 3.3.2: a hard stop, not a wrap. Receivers' windows are not negotiated, so every SA is taken to have one.
	seq := s.seq.Load()
	if seq >= s.last {
		return esp.ErrExhausted
	}
	seq++
	s.seq.Store(seq)

	h := pkt[at : at+n]
	h[0], h[offLen] = next, uint8(n/4-2) // RFC 4302, Section 2.2: in words of 4 octets, minus 2
	h[offReserved], h[offReserved+1] = 0, 0
	binary.BigEndian.PutUint32(h[offSPI:], s.spi)
	binary.BigEndian.PutUint32(h[offSeq:], uint32(seq)) // RFC 4302, Section 2.5.1: only the low half is sent
	iv := h[fixedLen : fixedLen+s.mac.IVLen()]
	if len(iv) > 0 {
		binary.BigEndian.PutUint64(iv, seq^s.mask) // RFC 4543, Section 3.1: a counter
	}
	// RFC 4302, Section 3.3.3.2.1: the padding is the sender's to choose, and covered.
	clear(h[fixedLen+len(iv):])
	icv := h[fixedLen+len(iv):][:s.mac.ICVLen()]
	copy(icv, s.cover.icv(s.mac, pkt, at, len(iv), seq, s.esn))
	return nil
}

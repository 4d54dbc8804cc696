// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Inbound processing: RFC 4302, Section 3.4. The packet is attacker controlled. Order: IP header, lengths, window (asked), ICV,
// window (told): nothing of the SA changes before the ICV was verified. The packet itself is never changed.

package ah

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/replay"
)

// Opener is one inbound SA. It is not safe for concurrent use: its SA guards it.
type Opener struct {
	spi    uint32
	esn    bool
	mac    *suite.MAC
	window *replay.Window
	cover  cover
}

// Opened is an authentic packet.
type Opened struct {
	// Payload lies in the packet that was opened, behind AH.
	Payload []byte
	// At is where AH begins; Len its octets.
	At, Len int
	// Next is the next header.
	Next uint8
	// Newest is set if its sequence number is above those of all packets before.
	Newest bool
}

// NewOpener makes the inbound SA spi with a replay window of that many packets.
func NewOpener(spi uint32, i suite.Integ, key secret.Key, esn bool, window int) (*Opener, error) {
	if spi < MinSPI {
		return nil, fmt.Errorf("SPI: %d, expected at least %d", spi, MinSPI)
	}
	mac, err := suite.NewMAC(i, key)
	if err != nil {
		return nil, err
	}
	w, err := replay.New(window, esn)
	if err != nil {
		return nil, err
	}
	return &Opener{spi: spi, esn: esn, mac: mac, window: w}, nil
}

// Top is the highest sequence number received.
func (o *Opener) Top() uint64 { return o.window.Top() }

// SPI finds AH in a whole packet: its SPI and where it begins. False: there is none, or the packet is a fragment or broken.
func SPI(pkt []byte) (spi uint32, at int, ok bool) {
	at, err := find(pkt)
	if err != nil || len(pkt)-at < fixedLen {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(pkt[at+offSPI:]), at, true
}

// Open verifies pkt, a whole packet (see the package's comment), which stays as it is.
func (o *Opener) Open(pkt []byte) (Opened, error) {
	at, err := o.cover.header(pkt)
	if err != nil {
		return Opened{}, err
	}
	n, err := o.length(pkt, at)
	if err != nil {
		return Opened{}, err
	}
	h := pkt[at : at+n]
	if binary.BigEndian.Uint32(h[offSPI:]) != o.spi {
		return Opened{}, esp.ErrICV
	}
	// RFC 4302, Section 3.4.3: the window is asked first, but MUST NOT be updated before the ICV was verified.
	seq, ok := o.window.Extend(binary.BigEndian.Uint32(h[offSeq:]))
	if !ok || !o.window.Check(seq) {
		return Opened{}, esp.ErrReplay
	}
	// RFC 4302, Section 3.4.4: a packet whose ICV differs MUST be discarded.
	iv := o.mac.IVLen()
	icv := h[fixedLen+iv:][:o.mac.ICVLen()]
	if subtle.ConstantTimeCompare(o.cover.icv(o.mac, pkt, at, iv, seq, o.esn), icv) != 1 {
		return Opened{}, esp.ErrICV
	}
	fresh, newest := o.window.Commit(seq)
	if !fresh {
		return Opened{}, esp.ErrReplay
	}
	return Opened{Payload: pkt[at+n:], At: at, Len: n, Next: h[0], Newest: newest}, nil
}

// length is AH's, which must be that of the SA's algorithm: RFC 4302, Section 2.2. Both paddings of IPv4 are taken: Linux' is not
// the RFC's (see NewSealer), and the padding is covered.
func (o *Opener) length(pkt []byte, at int) (int, error) {
	if len(pkt)-at < fixedLen {
		return 0, esp.ErrShort
	}
	v6 := pkt[0]>>4 == 6
	n := (int(pkt[at+offLen]) + 2) * 4
	if n != size(o.mac, v6, false) && n != size(o.mac, v6, true) || n > len(pkt)-at {
		return 0, esp.ErrShort
	}
	return n, nil
}

// Strip takes AH out of an opened packet of transport mode in place: what is in front moves up to the payload, and its protocol,
// its length and the IPv4 checksum are those of the packet without AH. The result lies in pkt.
func Strip(pkt []byte, got Opened) []byte {
	out := pkt[got.Len:]
	copy(out, pkt[:got.At])
	if out[0]>>4 == 4 {
		out[9] = got.Next
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		binary.BigEndian.PutUint16(out[10:], 0)
		binary.BigEndian.PutUint16(out[10:], checksum(out[:got.At]))
		return out
	}
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-ipv6Header))
	// The chain was walked when the packet was opened: the last header in front of AH names it.
	out[lastNext(out)] = got.Next
	return out
}

func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

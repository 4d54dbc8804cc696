// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Packets in conversations: what the system sends meets its policies and SAs, what it receives is sealed here as its peer would.
// What becomes of them is not noted, only what the system says of them by PF_KEY.

package oracle

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"net/netip"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	espsa "github.com/natterjack/natterjack/ipsec/esp"
)

const (
	// settle is how long a system may take to say what a packet made it say.
	settle = 200 * time.Millisecond
	// discardPort is of both ends of the datagrams (RFC 863).
	discardPort = 9
	udpHeader   = 8
	ipv4Header  = 20
	protoUDP    = 17
	protoIPv4   = 4
)

// emit has the system send datagrams from one of its addresses, one after the other, and notes what came of them all.
func (s *Session) emit(from, to string, octets, count int) {
	if s.err != nil {
		return
	}
	fmt.Fprintf(&s.text, "%d of %d octets from %s to %s\n", count, octets, from, to)
	for range count {
		if s.err == nil {
			s.err = s.system.Emit(netip.AddrPortFrom(netip.MustParseAddr(from), discardPort), netip.AddrPortFrom(netip.MustParseAddr(to), discardPort), octets)
		}
	}
	s.settle()
}

// settle notes what comes by itself.
func (s *Session) settle() {
	if s.err != nil {
		return
	}
	_, received, err := s.system.Step("", nil, settle)
	if s.err = err; err == nil {
		s.note(received, 0, 0)
	}
}

// acquired is the sequence number of the last ACQUIRE that a socket received in the last step; 0 where there is none.
func (s *Session) acquired(socket string) uint32 {
	for i := len(s.last[socket]) - 1; i >= 0; i-- {
		if b := s.last[socket][i]; len(b) >= headerLen && b[1] == acquire {
			return native.Uint32(b[8:])
		}
	}
	return 0
}

// peer seals what plain's SA receives: AES-CBC and HMAC-SHA-1 with the keys of keys, in UDP.
type peer struct {
	sealer *espsa.Sealer
}

func (s *Session) peer(spi uint32) *peer {
	count := func(n int) secret.Key {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		return secret.New(b)
	}
	sealer, err := espsa.NewSealer(spi, suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196}, count(16), count(20), rand.New(rand.NewSource(1)))
	if err != nil && s.err == nil {
		s.err = err
	}
	return &peer{sealer}
}

// arrive has the system receive, from an address and port of the peer's, an inner datagram that the peer sealed. With forged its ICV is wrong.
func (s *Session) arrive(p *peer, from string, forged bool) {
	if s.err != nil {
		return
	}
	fmt.Fprintf(&s.text, "from %s%s\n", from, map[bool]string{true: ", forged"}[forged])
	src := netip.MustParseAddrPort(from)
	inner := datagram(netip.MustParseAddrPort(inner2+":9"), netip.MustParseAddrPort(inner1+":9"), make([]byte, 20))
	buf := make([]byte, 1024)
	n, err := p.sealer.Seal(buf, copy(buf[p.sealer.Head():], inner), protoIPv4)
	if err != nil {
		s.err = err
		return
	}
	if forged {
		buf[n-1] ^= 1
	}
	if s.err = s.system.Arrive(datagram(src, netip.MustParseAddrPort(addr1+":4500"), buf[:n])); s.err == nil {
		s.settle()
	}
}

// datagram is an IPv4 packet of UDP without a checksum.
func datagram(from, to netip.AddrPort, payload []byte) []byte {
	b := make([]byte, ipv4Header+udpHeader, ipv4Header+udpHeader+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protoUDP
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	copy(b[12:], from.Addr().AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	var sum uint32
	for i := 0; i < ipv4Header; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], from.Port())
	binary.BigEndian.PutUint16(b[22:], to.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(udpHeader+len(payload)))
	return append(b, payload...)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Two engines with a child between them, and packets to send through them.

package dataplane

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// end is one of two hosts.
type end struct {
	t     testing.TB
	db    *sadb.DB
	e     *Engine
	out   *Outbound
	in    *Inbound
	spi   uint32 // inbound
	reqid uint32
}

// world is two hosts with one child.
type world struct {
	t    testing.TB
	now  time.Time
	a, b *end
}

var (
	outerA = netip.MustParseAddrPort("192.0.2.1:4500")
	outerB = netip.MustParseAddrPort("198.51.100.2:4500")
	gcm    = suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}
)

func newEnd(t testing.TB, now time.Time, c Config) *end {
	t.Helper()
	db, err := sadb.New(now, sadb.Config{Rand: rand.Reader, View: view})
	if err != nil {
		t.Fatal(err)
	}
	h := &end{t: t, db: db, e: New(db, c)}
	h.out, h.in = h.e.NewOutbound(), h.e.NewInbound()
	return h
}

// reserve gets the SPI that the other end will send on.
func (h *end) reserve(now time.Time, reqid uint32) {
	h.t.Helper()
	var err error
	if h.spi, h.reqid, err = h.db.Reserve(now, reqid); err != nil {
		h.t.Fatal(err)
	}
}

func everything(v6 bool) sadb.Selector {
	if v6 {
		return sadb.Selector{From: netip.IPv6Unspecified(), To: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), PortTo: 65535}
	}
	return sadb.Selector{From: netip.IPv4Unspecified(), To: netip.MustParseAddr("255.255.255.255"), PortTo: 65535}
}

func selector(prefix string) sadb.Selector {
	p := netip.MustParsePrefix(prefix)
	to := p.Addr().AsSlice()
	for i := p.Bits(); i < len(to)*8; i++ {
		to[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(to)
	return sadb.Selector{From: p.Addr(), To: last, PortTo: 65535}
}

func key(n int) secret.Key {
	b := make([]byte, n)
	rand.Read(b)
	return secret.New(b)
}

// newWorld makes two hosts, each with every address of its side in the selectors: a has 10.1/16 and 2001:db8:1::/48, b has 10.2/16
// and 2001:db8:2::/48. change, if not nil, is shown both children before they are installed.
func newWorld(t testing.TB, s suite.ESP, change func(a, b *sadb.Child)) *world {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	w := &world{t: t, now: now, a: newEnd(t, now, Config{}), b: newEnd(t, now, Config{})}
	w.child(s, change)
	return w
}

// child installs one more pair between the ends, under their reqids.
func (w *world) child(s suite.ESP, change func(a, b *sadb.Child)) {
	w.t.Helper()
	w.a.reserve(w.now, w.a.reqid)
	w.b.reserve(w.now, w.b.reqid)
	encr, integ := s.KeyLens()
	ab, ba := key(encr), key(encr)
	var iab, iba secret.Key
	if integ > 0 {
		iab, iba = key(integ), key(integ)
	}
	tsA := []sadb.Selector{selector("10.1.0.0/16"), selector("2001:db8:1::/48")}
	tsB := []sadb.Selector{selector("10.2.0.0/16"), selector("2001:db8:2::/48")}
	base := sadb.Child{Suite: s, Window: 1024, CopyDF: true, CopyECN: true}
	a, b := base, base
	a.Reqid, a.SPIIn, a.SPIOut, a.KeyIn, a.KeyOut, a.IntegIn, a.IntegOut = w.a.reqid, w.a.spi, w.b.spi, ba, ab, iba, iab
	b.Reqid, b.SPIIn, b.SPIOut, b.KeyIn, b.KeyOut, b.IntegIn, b.IntegOut = w.b.reqid, w.b.spi, w.a.spi, ab, ba, iab, iba
	a.Endpoint, b.Endpoint = sadb.Endpoint{Local: outerA, Remote: outerB, Encap: natt.NonESP}, sadb.Endpoint{Local: outerB, Remote: outerA, Encap: natt.NonESP}
	a.TSLocal, a.TSRemote, b.TSLocal, b.TSRemote = tsA, tsB, tsB, tsA
	if change != nil {
		change(&a, &b)
	}
	if err := w.a.db.Install(w.now, a); err != nil {
		w.t.Fatal(err)
	}
	if err := w.b.db.Install(w.now, b); err != nil {
		w.t.Fatal(err)
	}
}

// seal sends packets and returns copies of the datagrams, runs taken apart.
func (h *end) seal(now time.Time, packets ...[]byte) []Datagram {
	sent := h.sealed(now, packets...)
	return apart(sent.Datagrams)
}

func (h *end) sealed(now time.Time, packets ...[]byte) *Sent {
	var bufs [][]byte
	var sizes []int
	for _, p := range packets {
		bufs = append(bufs, append(make([]byte, Headroom), p...))
		sizes = append(sizes, len(p))
	}
	return h.out.Seal(now, bufs, sizes, Headroom)
}

func apart(list []Datagram) []Datagram {
	var out []Datagram
	for _, d := range list {
		for off := 0; off < d.N; off += d.SegSize {
			n := min(d.SegSize, d.N-off)
			x := d
			x.Buf, x.N, x.SegSize = bytes.Clone(d.Buf[off:off+n]), n, 0
			out = append(out, x)
		}
	}
	return out
}

// arrive turns datagrams sent into datagrams received.
func arrive(list []Datagram) []Datagram {
	out := make([]Datagram, len(list))
	for i, d := range list {
		d.Buf = bytes.Clone(d.Buf)
		d.Remote, d.Local = d.Local, d.Remote
		out[i] = d
	}
	return out
}

// open receives and returns copies of the packets.
func (h *end) open(now time.Time, list []Datagram) [][]byte {
	var out [][]byte
	for len(list) > 0 {
		n := min(len(list), BatchSize)
		for _, p := range h.in.Open(now, list[:n]).Packets {
			out = append(out, bytes.Clone(p[Headroom:]))
		}
		list = list[n:]
	}
	return out
}

// count expects a counter to be n and all other reasons to drop not to have moved since the last call.
func (h *end) count(c Counter, n uint64) {
	h.t.Helper()
	if got := h.e.Counters()[c]; got != n {
		h.t.Errorf("counter %d is %d, expected %d; all: %v", c, got, n, h.e.Counters())
	}
}

// tcp4 is a TCP segment from 10.1.0.5:40000 to 10.2.0.7:443.
func tcp4(payload int, seq uint32, flags uint8) []byte {
	return finish4(ipv4("10.1.0.5", "10.2.0.7", protoTCP, append(tcpOf(40000, 443, seq, flags), make([]byte, payload)...)))
}

func tcpOf(src, dst uint16, seq uint32, flags uint8) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint32(h[4:], seq)
	h[12], h[13] = 5<<4, flags
	return h
}

func udpOf(src, dst uint16, payload int) []byte {
	h := make([]byte, 8+payload)
	binary.BigEndian.PutUint16(h, src)
	binary.BigEndian.PutUint16(h[2:], dst)
	binary.BigEndian.PutUint16(h[4:], uint16(len(h)))
	return h
}

func ipv4(src, dst string, proto uint8, upper []byte) []byte {
	p := make([]byte, 20, 20+len(upper))
	p[0], p[8], p[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(upper)))
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(p[12:], s[:])
	copy(p[16:], d[:])
	p = append(p, upper...)
	binary.BigEndian.PutUint16(p[10:], fold(sum(p[:20], 0)))
	return p
}

func ipv6(src, dst string, next uint8, upper []byte) []byte {
	p := make([]byte, 40, 40+len(upper))
	p[0], p[6], p[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(upper)))
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(p[8:], s[:])
	copy(p[24:], d[:])
	return append(p, upper...)
}

// finish4 makes the TCP checksum of an IPv4 packet.
func finish4(p []byte) []byte {
	tcp := p[20:]
	tcp[16], tcp[17] = 0, 0
	binary.BigEndian.PutUint16(tcp[16:], fold(sum(tcp, sum(p[12:20], uint32(len(tcp))+protoTCP))))
	return p
}

func tcpSumGood(p []byte) bool {
	h := int(p[0]&15) * 4
	return fold(sum(p[h:], sum(p[12:20], uint32(len(p)-h)+protoTCP))) == 0
}

func df(p []byte) []byte {
	p[6] |= 0x40
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], fold(sum(p[:int(p[0]&15)*4], 0)))
	return p
}

// syn is a SYN with an MSS option behind the options given.
func syn(mss uint16, before []byte) []byte {
	opts := append(append([]byte(nil), before...), 2, 4, byte(mss>>8), byte(mss))
	for len(opts)%4 != 0 {
		opts = append(opts, 0)
	}
	tcp := tcpOf(40000, 443, 1, flagSYN)
	tcp[12] = byte((20 + len(opts)) / 4 << 4)
	return finish4(ipv4("10.1.0.5", "10.2.0.7", protoTCP, append(tcp, opts...)))
}

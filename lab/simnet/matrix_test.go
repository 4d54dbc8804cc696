// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The matrix: mode of encapsulation x tunnel and transport x NAT x address family x who installs the SAs (a pair, as IKE does, or
// single SAs with policies, as PF_KEY does). Numbered datagrams go both ways, and the octets outside are compared with a
// table that is typed from RFC 3948 and the drafts, not from the code.

package simnet

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// encapsulation is a row of the table.
type encapsulation struct {
	mode   natt.Mode
	name   string
	proto  uint8  // of the outer IP header
	port   uint16 // of this host's UDP
	marker int    // zero octets in front of the SPI
}

var encapsulations = []encapsulation{
	{natt.Raw, "raw", 50, 0, 0},
	{natt.NonESP, "udp", 17, 4500, 0},
	{natt.NonIKE, "udp-non-ike", 17, 500, 8},
	{natt.CiscoUDP, "cisco-udp", 17, 10000, 0},
}

// place is where the two hosts are.
type place struct {
	nat              string
	v6               bool
	initiator, iOut  string // own address and NAT's; empty: none
	responder, rOut  string
	innerI, innerR   string // hosts behind, for tunnel mode
	prefixI, prefixR string
}

func places() []place {
	var list []place
	for _, nat := range []string{"none", "I", "R", "both"} {
		four := place{nat: nat, initiator: "192.0.2.1", responder: "198.51.100.2", innerI: "10.71.0.5", innerR: "10.72.0.7", prefixI: "10.71.0.0/16", prefixR: "10.72.0.0/16"}
		six := place{nat: nat, v6: true, initiator: "2001:db8:1::1", responder: "2001:db8:2::2", innerI: "fd71::5", innerR: "fd72::7", prefixI: "fd71::/16", prefixR: "fd72::/16"}
		if nat == "I" || nat == "both" {
			four.initiator, four.iOut = "10.1.0.2", "203.0.113.5"
			six.initiator, six.iOut = "fd00:1::2", "2001:db8:5::5"
		}
		if nat == "R" || nat == "both" {
			four.responder, four.rOut = "10.9.0.2", "198.51.100.7"
			six.responder, six.rOut = "fd00:9::2", "2001:db8:7::7"
		}
		list = append(list, four, six)
	}
	return list
}

func TestMatrix(t *testing.T) {
	ran := 0
	for _, enc := range encapsulations {
		for _, mode := range []sadb.Mode{sadb.Tunnel, sadb.Transport} {
			for _, pl := range places() {
				for _, single := range []bool{false, true} {
					if enc.mode == natt.Raw && pl.nat != "none" || enc.mode == natt.CiscoUDP && mode == sadb.Transport {
						continue // what cannot be: no ports for a NAT to translate; Cisco's is for tunnels
					}
					family, how := 4, "pair"
					if pl.v6 {
						family = 6
					}
					if single {
						how = "single"
					}
					ran++
					t.Run(fmt.Sprintf("%s/%s/%s/v%d/%s", enc.name, mode, pl.nat, family, how), func(t *testing.T) {
						newCell(t, enc, mode, pl).run(single)
					})
				}
			}
		}
	}
	// raw: 2 modes x none; udp and non-ike: 2 modes x 4; cisco: tunnel x 4; each x 2 families x 2 kinds of SAs.
	if want := (2*1 + 2*2*4 + 4) * 2 * 2; ran != want {
		t.Errorf("%d cells, expected %d", ran, want)
	}
}

// cell is one cell of the matrix.
type cell struct {
	t    *testing.T
	enc  encapsulation
	mode sadb.Mode
	pl   place
	net  *Plane
	i, r *Node
	// iSeen is the initiator as the responder sees it, rSeen the responder as the initiator sees it.
	iSeen, rSeen netip.AddrPort
	spiI, spiR   uint32 // inbound at each
}

func newCell(t *testing.T, enc encapsulation, mode sadb.Mode, pl place) *cell {
	t.Helper()
	c := &cell{t: t, enc: enc, mode: mode, pl: pl, net: NewPlane()}
	var viaI, viaR []*Router
	if pl.iOut != "" {
		r, err := NAT(pl.iOut, 7)
		if err != nil {
			t.Fatal(err)
		}
		viaI = append(viaI, r)
	}
	rOutside := pl.responder
	if pl.rOut != "" {
		viaR, rOutside = append(viaR, Forward(pl.responder, pl.rOut)), pl.rOut
	}
	var err error
	if c.i, err = c.net.Node("initiator", pl.initiator, viaI...); err != nil {
		t.Fatal(err)
	}
	if c.r, err = c.net.Node("responder", pl.responder, viaR...); err != nil {
		t.Fatal(err)
	}
	// More than one port is bound, each with its mode: the SA says which it goes by.
	for _, n := range []*Node{c.i, c.r} {
		n.Ports[500], n.Ports[4500], n.Ports[10000] = natt.NonIKE, natt.NonESP, natt.CiscoUDP
	}
	c.rSeen = netip.AddrPortFrom(netip.MustParseAddr(rOutside), enc.port)
	c.iSeen = netip.AddrPortFrom(c.i.Addr, enc.port)
	if enc.port != 0 {
		if c.iSeen, err = c.i.Touch(enc.port, c.rSeen); err != nil {
			t.Fatal(err)
		}
	}
	if behind := pl.iOut != ""; behind != (c.iSeen.Port() != enc.port) {
		t.Fatalf("the initiator is seen as %s", c.iSeen)
	}
	return c
}

// run installs SAs and moves numbered datagrams.
func (c *cell) run(single bool) {
	if single {
		c.installSingles()
	} else {
		c.installPairs()
	}
	iInner, rInner := netip.MustParseAddr(c.pl.innerI), netip.MustParseAddr(c.pl.innerR)
	iAtR, rAtI := iInner, rInner
	if c.mode == sadb.Transport {
		iInner, rInner = c.i.Addr, c.r.Addr
		iAtR, rAtI = c.iSeen.Addr(), c.rSeen.Addr()
	}
	const n = 20
	for k := range n {
		number := binary.BigEndian.AppendUint32([]byte("number "), uint32(k))
		c.i.Send(udpPacket(netip.AddrPortFrom(iInner, 5000), netip.AddrPortFrom(rAtI, 1701), number))
		c.r.Send(udpPacket(netip.AddrPortFrom(rInner, 1701), netip.AddrPortFrom(iAtR, 5000), number))
	}
	c.check("responder", c.r, netip.AddrPortFrom(iAtR, 5000), netip.AddrPortFrom(rInner, 1701), n)
	c.check("initiator", c.i, netip.AddrPortFrom(rAtI, 1701), netip.AddrPortFrom(iInner, 5000), n)
	c.checkWire(2 * n)
	if len(c.net.Lost) > 0 {
		c.t.Errorf("lost: %v", c.net.Lost)
	}
}

// check expects n packets in order.
func (c *cell) check(who string, at *Node, src, dst netip.AddrPort, n int) {
	c.t.Helper()
	if len(at.Got) != n {
		c.t.Fatalf("%s got %d packets of %d; %v", who, len(at.Got), n, at.Engine.Counters())
	}
	for k, p := range at.Got {
		s, d, payload, sound := readUDP(p)
		if !sound || s != src || d != dst || len(payload) != 11 || binary.BigEndian.Uint32(payload[7:]) != uint32(k) {
			c.t.Errorf("%s, packet %d: %s to %s, checksum right: %v, %q", who, k, s, d, sound, payload)
		}
	}
}

// checkWire compares every datagram with the table.
func (c *cell) checkWire(n int) {
	c.t.Helper()
	if len(c.net.Sent) != n {
		c.t.Errorf("%d datagrams, expected %d", len(c.net.Sent), n)
	}
	for k, w := range c.net.Sent {
		spi, from, to := c.spiR, netip.AddrPortFrom(c.i.Addr, c.enc.port), c.rSeen
		if k%2 == 1 {
			spi, from, to = c.spiI, netip.AddrPortFrom(c.r.Addr, c.enc.port), c.iSeen
		}
		if w.Proto != c.enc.proto || w.From != from || w.To != to {
			c.t.Errorf("datagram %d: protocol %d, %s to %s; expected %d, %s to %s", k, w.Proto, w.From, w.To, c.enc.proto, from, to)
		}
		for _, b := range w.Octets[:c.enc.marker] {
			if b != 0 {
				c.t.Errorf("datagram %d: the marker is %x", k, w.Octets[:c.enc.marker])
			}
		}
		esp := w.Octets[c.enc.marker:]
		if got, seq := binary.BigEndian.Uint32(esp), binary.BigEndian.Uint32(esp[4:]); got != spi || seq != uint32(k/2+1) {
			c.t.Errorf("datagram %d: SPI %08x, number %d; expected %08x, %d", k, got, seq, spi, k/2+1)
		}
		// header 8, IV 8, pad length and next header, ICV 16: the payload and what it is padded to.
		inside := len(udpPacket(netip.AddrPortFrom(c.i.Addr, 1), netip.AddrPortFrom(c.r.Addr, 1), make([]byte, 11)))
		if c.mode == sadb.Transport {
			inside = 19
		}
		if want := 8 + 8 + (inside+2+3)/4*4 + 16; len(esp) != want {
			c.t.Errorf("datagram %d: %d octets of ESP, expected %d", k, len(esp), want)
		}
	}
}

var gcm = suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}

func newKey(n int) secret.Key {
	b := make([]byte, n)
	rand.Read(b)
	return secret.New(b)
}

func all(prefix netip.Prefix) sadb.Selector {
	b := prefix.Addr().AsSlice()
	for i := prefix.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return sadb.Selector{From: prefix.Addr(), To: last, PortTo: 65535}
}

func one(a netip.Addr) sadb.Selector { return sadb.Selector{From: a, To: a, PortTo: 65535} }

// selectors are those of the two sides, at each host.
func (c *cell) selectors() (iLocal, iRemote, rLocal, rRemote sadb.Selector) {
	if c.mode == sadb.Tunnel {
		i, r := all(netip.MustParsePrefix(c.pl.prefixI)), all(netip.MustParsePrefix(c.pl.prefixR))
		return i, r, r, i
	}
	return one(c.i.Addr), one(c.rSeen.Addr()), one(c.r.Addr), one(c.iSeen.Addr())
}

// originals are the addresses in the peer's checksums that a NAT has changed: RFC 3948, Section 3.1.2. Invalid: unchanged.
func changed(orig, now netip.Addr) netip.Addr {
	if orig == now {
		return netip.Addr{}
	}
	return orig
}

func (c *cell) installPairs() {
	c.t.Helper()
	spiI, reqI, err := c.i.DB.Reserve(c.net.Now, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	spiR, reqR, err := c.r.DB.Reserve(c.net.Now, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.spiI, c.spiR = spiI, spiR
	up, down := newKey(20), newKey(20)
	il, ir, rl, rr := c.selectors()
	i := sadb.Child{Reqid: reqI, SPIIn: spiI, SPIOut: spiR, Mode: c.mode, Suite: gcm, KeyIn: down, KeyOut: up,
		Endpoint: sadb.Endpoint{Local: netip.AddrPortFrom(c.i.Addr, c.enc.port), Remote: c.rSeen, Encap: c.enc.mode},
		TSLocal:  []sadb.Selector{il}, TSRemote: []sadb.Selector{ir}}
	r := sadb.Child{Reqid: reqR, SPIIn: spiR, SPIOut: spiI, Mode: c.mode, Suite: gcm, KeyIn: up, KeyOut: down,
		Endpoint: sadb.Endpoint{Local: netip.AddrPortFrom(c.r.Addr, c.enc.port), Remote: c.iSeen, Encap: c.enc.mode},
		TSLocal:  []sadb.Selector{rl}, TSRemote: []sadb.Selector{rr}}
	if c.mode == sadb.Transport {
		i.OrigLocal, i.OrigRemote = changed(c.iSeen.Addr(), c.i.Addr), changed(c.r.Addr, c.rSeen.Addr())
		r.OrigLocal, r.OrigRemote = changed(c.rSeen.Addr(), c.r.Addr), changed(c.i.Addr, c.iSeen.Addr())
	}
	if err := c.i.DB.Install(c.net.Now, i); err != nil {
		c.t.Fatal(err)
	}
	if err := c.r.DB.Install(c.net.Now, r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) installSingles() {
	c.t.Helper()
	c.spiI, c.spiR = 0x1001, 0x2002
	up, down := newKey(20), newKey(20)
	il, ir, rl, rr := c.selectors()
	iHere, rHere := netip.AddrPortFrom(c.i.Addr, c.enc.port), netip.AddrPortFrom(c.r.Addr, c.enc.port)
	add := func(n *Node, src, dst netip.AddrPort, spi uint32, k secret.Key, origSrc, origDst netip.Addr) {
		sa := sadb.SA{Proto: sadb.ProtoESP, SPI: spi, Src: src.Addr(), Dst: dst.Addr(), Encap: c.enc.mode, SrcPort: src.Port(), DstPort: dst.Port(),
			Mode: c.mode, Suite: gcm, Key: k}
		if c.mode == sadb.Transport {
			sa.OrigSrc, sa.OrigDst = changed(origSrc, src.Addr()), changed(origDst, dst.Addr())
		}
		if err := n.DB.AddSA(c.net.Now, sa); err != nil {
			c.t.Fatal(err)
		}
	}
	// NATT.md, 2.4: the originals are those of the source and the destination of that SA.
	add(c.i, iHere, c.rSeen, c.spiR, up, c.iSeen.Addr(), c.r.Addr)
	add(c.i, c.rSeen, iHere, c.spiI, down, c.r.Addr, c.iSeen.Addr())
	add(c.r, c.iSeen, rHere, c.spiR, up, c.i.Addr, c.rSeen.Addr())
	add(c.r, rHere, c.iSeen, c.spiI, down, c.rSeen.Addr(), c.i.Addr)
	policy := func(n *Node, dir sadb.Dir, local, remote sadb.Selector, src, dst netip.Addr) {
		t := sadb.Template{Proto: sadb.ProtoESP, Mode: c.mode, Level: sadb.Require}
		if c.mode == sadb.Tunnel {
			t.Src, t.Dst = src, dst
		}
		e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: local, Remote: remote, Templates: []sadb.Template{t}}
		if _, err := n.DB.SPDAdd(c.net.Now, e); err != nil {
			c.t.Fatal(err)
		}
	}
	policy(c.i, sadb.Out, il, ir, iHere.Addr(), c.rSeen.Addr())
	policy(c.i, sadb.In, il, ir, c.rSeen.Addr(), iHere.Addr())
	policy(c.r, sadb.Out, rl, rr, rHere.Addr(), c.iSeen.Addr())
	policy(c.r, sadb.In, rl, rr, c.iSeen.Addr(), rHere.Addr())
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Halves that are not ESP.

package sadb

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/wire/natt"
)

var sha256 = suite.ESP{Integ: suite.IntegHMACSHA2256128}

// ahPacket is an IPv4 packet from here to the peer with room for AH in front of n octets.
func ahPacket(s *Sender, n int) []byte {
	p := make([]byte, 20+s.AHLen(false)+n)
	p[0], p[8], p[9] = 0x45, 64, ah.Proto
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	l, r := local.Addr().As4(), peer.Addr().As4()
	copy(p[12:], l[:])
	copy(p[16:], r[:])
	return p
}

func ahSA(spi uint32) SA {
	s := outSA(spi)
	s.Proto, s.Encap, s.SrcPort, s.DstPort, s.Suite = ProtoAH, natt.Raw, 0, 0, sha256
	s.Key, s.Integ = secret.Key{}, secret.New(bytes.Repeat([]byte{5}, 32))
	return s
}

func TestAHSingle(t *testing.T) {
	ours, theirs := newDB(t, 0), newDB(t, 0)
	sa := ahSA(0x1000)
	sa.Limits.HardPackets = 2
	x := addSA(t, ours, sa).asSender()
	addSA(t, theirs, ahSA(0x1000))
	r := theirs.Receiver(ProtoAH, 0x1000, peer.Addr())
	if r == nil || theirs.Receiver(ProtoESP, 0x1000, peer.Addr()) != nil || theirs.Receiver(ProtoAH, 0x1000, local.Addr()) != nil {
		t.Fatal("not found by protocol, SPI and destination")
	}
	for i := range 3 {
		p := ahPacket(x, 64)
		x.BeginSeal(5)
		err := x.SealAH(p, 20, 17)
		x.EndSeal()
		if i == 2 {
			if err != ErrEnded {
				t.Errorf("beyond the hard limit: %v", err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for again, want := range []bool{true, false} { // once
			r.BeginOpen(5)
			o, err := r.OpenAH(p, &Arrival{From: local, To: peer, Raw: true})
			r.EndOpen()
			if (err == nil) != want || want && (o.Next != 17 || len(o.Payload) != 64) {
				t.Errorf("packet %d, time %d: %+v, %v", i, again, o, err)
			}
		}
	}
	for _, s := range []*Single{r.Single(), x.Single()} { // the payload counts, and AH does not
		if i := s.Info(); i.Packets != 2 || i.Bytes != 128 || i.Last != 2 {
			t.Errorf("%+v", i)
		}
	}
	for name, change := range map[string]func(*SA){
		"encryption": func(s *SA) {
			s.Suite.Encr, s.Suite.EncrBits, s.Key = suite.EncrAESCBC, 128, secret.New(make([]byte, 16))
		},
		"UDP":      func(s *SA) { s.Encap, s.SrcPort, s.DstPort = natt.NonESP, 4500, 4500 },
		"key":      func(s *SA) { s.Integ = secret.New(make([]byte, 31)) },
		"no suite": func(s *SA) { s.Suite = suite.ESP{} },
		"window":   func(s *SA) { s.Window = 5000 },
	} {
		s := ahSA(0x1001)
		change(&s)
		if err := ours.AddSA(start, s); err == nil {
			t.Errorf("%s: added", name)
		}
	}
}

func TestAHPair(t *testing.T) {
	db := newDB(t, 0)
	key := secret.New(bytes.Repeat([]byte{5}, 32))
	ahOf := func(c *Child) {
		c.Proto, c.Mode, c.Suite, c.Endpoint.Encap = ProtoAH, Transport, sha256, natt.Raw
		c.KeyIn, c.KeyOut, c.IntegIn, c.IntegOut, c.SPIOut = secret.Key{}, secret.Key{}, key, key, c.SPIIn
	}
	spi, _ := install(t, db, start, 0, ahOf)
	p := db.Inbound(spi)
	if db.Receiver(ProtoESP, spi, local.Addr()) != nil || db.Receiver(ProtoAH, spi, local.Addr()) != p.In() || p.Mode() != Transport || p.Proto() != ProtoAH {
		t.Error("not found as what it is")
	}
	pkt := ahPacket(p.Out(), 100)
	p.BeginSeal(5)
	if err := p.SealAH(pkt, 20, 6); err != nil {
		t.Fatal(err)
	}
	p.EndSeal()
	p.BeginOpen(5)
	if o, err := p.OpenAH(pkt, &Arrival{From: peer, To: local, Raw: true}); err != nil || o.Next != 6 {
		t.Errorf("%+v, %v", o, err)
	}
	p.EndOpen()
	if got := p.MaxInner(5); got != 1500-20-28 {
		t.Errorf("largest payload %d", got)
	}
	for name, change := range map[string]func(*Child){
		"UDP":  func(c *Child) { c.Endpoint.Encap = natt.NonESP },
		"key":  func(c *Child) { c.KeyOut = key },
		"encr": func(c *Child) { c.Suite = gcm128 },
	} {
		spi, reqid, _ := db.Reserve(start, 0)
		c := child(spi, reqid)
		ahOf(&c)
		change(&c)
		if err := db.Install(start, c); err == nil {
			t.Errorf("%s: installed", name)
		}
	}
}

func TestIPCompSingle(t *testing.T) {
	db := newDB(t, 0)
	codec := ipcomp.NewCodec(1)
	out := addSA(t, db, SA{Proto: ProtoIPComp, SPI: 700, Src: local.Addr(), Dst: peer.Addr(), Mode: Tunnel, Limits: Limits{HardPackets: 1}}).asSender()
	in := addSA(t, db, SA{Proto: ProtoIPComp, SPI: 701, Src: peer.Addr(), Dst: local.Addr(), Mode: Tunnel})
	src, dst, back := make([]byte, 1000), make([]byte, 1500), make([]byte, 1500)
	out.BeginSeal(5)
	n, ok := out.Compress(codec, dst, src, 6)
	if cpi, _ := ipcomp.CPI(dst); !ok || n >= 500 || cpi != 700 {
		t.Fatalf("%d octets, %v, CPI %d", n, ok, cpi)
	}
	if _, ok := out.Compress(codec, back, src, 6); ok {
		t.Error("beyond the hard limit")
	}
	out.EndSeal()
	r := db.Receiver(ProtoIPComp, 701, local.Addr())
	r.BeginOpen(5)
	m, next, err := r.Decompress(codec, back, dst[:n])
	r.EndOpen()
	if err != nil || next != 6 || !bytes.Equal(back[:m], src) {
		t.Errorf("%d octets, %v", m, err)
	}
	if i := in.Info(); i.Packets != 1 || i.Bytes != 1000 {
		t.Errorf("%+v", i)
	}
}

// Nobody authenticates IPComp: who guesses a CPI does not use up the SA, and says nothing of its soft limit.
func TestIPCompLimits(t *testing.T) {
	db := newDB(t, 0)
	codec := ipcomp.NewCodec(1)
	out := addSA(t, db, SA{Proto: ProtoIPComp, SPI: 700, Src: local.Addr(), Dst: peer.Addr(), Mode: Tunnel}).asSender()
	in := addSA(t, db, SA{Proto: ProtoIPComp, SPI: 701, Src: peer.Addr(), Dst: local.Addr(), Mode: Tunnel,
		Limits: Limits{SoftPackets: 1, HardPackets: 2, SoftBytes: 1000, HardBytes: 2000}})
	src, dst, back := make([]byte, 1000), make([]byte, 1500), make([]byte, 1500)
	out.BeginSeal(5)
	n, _ := out.Compress(codec, dst, src, 6)
	out.EndSeal()
	r := db.Receiver(ProtoIPComp, 701, local.Addr())
	for i := range 5 {
		r.BeginOpen(5)
		_, _, err := r.Decompress(codec, back, dst[:n])
		r.EndOpen()
		if err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
	}
	var list [8]Notice
	for _, n := range list[:db.Notices(list[:])] {
		if n.Kind == Expire {
			t.Errorf("%+v", n)
		}
	}
	if i := in.Info(); i.Packets != 5 || i.Bytes != 5000 {
		t.Errorf("%+v", i)
	}
}

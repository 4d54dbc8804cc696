// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// AH, IPComp and bundles of SAs between two hosts, as the SPD orders them.

package dataplane

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

var hmac256 = suite.ESP{Integ: suite.IntegHMACSHA2256128}

// duo is two hosts without NAT, with single SAs and policies.
type duo struct {
	t    testing.TB
	now  time.Time
	a, b *end
	s    seen
	// reqid of the SAs that sa adds, and whether they are in UDP.
	reqid uint32
	udp   bool
}

func newDuo(t testing.TB, s seen) *duo {
	now := time.Unix(1_800_000_000, 0)
	return &duo{t: t, now: now, a: newEnd(t, now, Config{}), b: newEnd(t, now, Config{}), s: s}
}

// sa adds an SA and its fellow of the other direction to both hosts. Each direction has its own key; SPIs are spi and spi+1.
func (d *duo) sa(proto uint8, mode sadb.Mode, spi uint32) {
	d.t.Helper()
	for i := range uint32(2) {
		sa := sadb.SA{Proto: proto, SPI: spi + i, Src: d.s.client.Addr(), Dst: d.s.gateway.Addr(), Mode: mode, Reqid: d.reqid, Window: 64, CopyDF: true, CopyECN: true}
		if i == 1 {
			sa.Src, sa.Dst = sa.Dst, sa.Src
		}
		if d.udp {
			sa.Encap, sa.SrcPort, sa.DstPort = natt.NonESP, 4500, 4500
		}
		switch proto {
		case sadb.ProtoESP:
			sa.Suite, sa.Key = gcm, key(20)
		case sadb.ProtoAH:
			sa.Suite, sa.Integ = hmac256, key(32)
		}
		for _, h := range []*end{d.a, d.b} {
			if err := h.db.AddSA(d.now, sa); err != nil {
				d.t.Fatalf("protocol %d: %v", proto, err)
			}
		}
	}
}

// policy has both hosts protect everything between two selectors, a's side and b's, with templates, in both directions.
func (d *duo) policy(a, b sadb.Selector, templates ...sadb.Template) {
	d.t.Helper()
	add := func(h *end, dir sadb.Dir, local, remote sadb.Selector, src, dst netip.Addr) {
		list := append([]sadb.Template{}, templates...)
		for i := range list {
			if list[i].Mode == sadb.Tunnel {
				list[i].Src, list[i].Dst = src, dst
			}
		}
		if _, err := h.db.SPDAdd(d.now, sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: local, Remote: remote, Templates: list}); err != nil {
			d.t.Fatal(err)
		}
	}
	ha, hb := d.s.client.Addr(), d.s.gateway.Addr()
	add(d.a, sadb.Out, a, b, ha, hb)
	add(d.a, sadb.In, a, b, hb, ha)
	add(d.b, sadb.Out, b, a, hb, ha)
	add(d.b, sadb.In, b, a, ha, hb)
}

func host(a netip.Addr) sadb.Selector { return sadb.Selector{From: a, To: a, PortTo: 65535} }

func tmpl(proto uint8, mode sadb.Mode, level sadb.Level) sadb.Template {
	return sadb.Template{Proto: proto, Mode: mode, Level: level}
}

// TestBundles: each bundle carries compressible and other packets both ways; the protocols outside and in what order they lie are
// compared with what is written here.
func TestBundles(t *testing.T) {
	const esp, ah, cmp = sadb.ProtoESP, sadb.ProtoAH, sadb.ProtoIPComp
	for _, c := range []struct {
		name      string
		templates []sadb.Template // the innermost first
		outside   uint8           // protocol of the outer IP header
		under     uint8           // what AH says is inside; 0: no AH
	}{
		{"ah transport", []sadb.Template{tmpl(ah, tr, sadb.Require)}, 51, 17},
		{"ah tunnel", []sadb.Template{tmpl(ah, tn, sadb.Require)}, 51, 4},
		{"esp transport", []sadb.Template{tmpl(esp, tr, sadb.Require)}, 50, 0},
		{"esp transport, ah transport", []sadb.Template{tmpl(esp, tr, sadb.Require), tmpl(ah, tr, sadb.Require)}, 51, 50},
		{"esp tunnel, ah transport", []sadb.Template{tmpl(esp, tn, sadb.Require), tmpl(ah, tr, sadb.Require)}, 51, 50},
		{"ipcomp transport, esp transport", []sadb.Template{tmpl(cmp, tr, sadb.Use), tmpl(esp, tr, sadb.Require)}, 50, 0},
		{"ipcomp tunnel, esp transport", []sadb.Template{tmpl(cmp, tn, sadb.Use), tmpl(esp, tr, sadb.Require)}, 50, 0},
		{"ipcomp, esp, ah", []sadb.Template{tmpl(cmp, tr, sadb.Use), tmpl(esp, tr, sadb.Require), tmpl(ah, tr, sadb.Require)}, 51, 50},
		{"ipcomp transport, ah transport", []sadb.Template{tmpl(cmp, tr, sadb.Use), tmpl(ah, tr, sadb.Require)}, 51, 0},
	} {
		for _, s := range []seen{plain, plain6} {
			t.Run(c.name+"/"+s.client.Addr().String(), func(t *testing.T) {
				d := newDuo(t, s)
				for i, x := range c.templates {
					d.sa(x.Proto, x.Mode, uint32(0x1000+16*i))
				}
				src, dst := s.client.Addr(), s.gateway.Addr()
				if c.templates[0].Mode == tn {
					src, dst = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.2.0.7")
					if s == plain6 {
						src, dst = netip.MustParseAddr("2001:db8:1:1::5"), netip.MustParseAddr("2001:db8:2:1::7")
					}
				}
				d.policy(host(src), host(dst), c.templates...)
				under := c.under
				if under == 4 && s == plain6 {
					under = 41
				}
				for i, payload := range [][]byte{bytes.Repeat([]byte("compressible "), 60), random(780), random(20)} {
					for _, up := range []bool{true, false} {
						from, to, p := d.a, d.b, packet(src, dst, 17, append(udpOf(5000, 1701, 0), payload...))
						if !up {
							from, to, p = d.b, d.a, packet(dst, src, 17, append(udpOf(1701, 5000, 0), payload...))
						}
						p = relength(p, len(payload))
						grams := from.seal(d.now, bytes.Clone(p))
						if len(grams) != 1 {
							t.Fatalf("%d, up %v: %d datagrams; %v", i, up, len(grams), from.e.Counters())
						}
						if got := grams[0].Proto; got != c.outside || !grams[0].Raw() {
							t.Errorf("protocol %d outside, expected %d", got, c.outside)
						}
						if under != 0 && under != grams[0].Buf[headerLen(s == plain6)] {
							t.Errorf("AH has %d inside, expected %d", grams[0].Buf[headerLen(s == plain6)], under)
						}
						if cmp := c.templates[0].Proto == cmp; cmp == (i == 0) && cmp && grams[0].N > 300 {
							t.Errorf("%d octets outside: not compressed", grams[0].N)
						}
						got := to.open(d.now, d.cross(grams, up))
						if len(got) != 1 {
							t.Fatalf("%d, up %v: %d packets; %v", i, up, len(got), to.e.Counters())
						}
						same(t, got[0], p)
						if again := to.open(d.now, d.cross(grams, up)); len(again) != 0 {
							t.Error("delivered twice")
						}
					}
				}
			})
		}
	}
}

// cross turns what was sent into what is received.
func (d *duo) cross(list []Datagram, up bool) []Datagram {
	out := cross(list, d.s, up)
	for i := range out {
		out[i] = unwhole(out[i])
	}
	return out
}

func random(n int) []byte { return key(n).Bytes() }

// relength sets the UDP length to n octets of payload, and the checksum.
func relength(p []byte, n int) []byte {
	var in inner
	if parse(p, true, &in) != good {
		panic("relength")
	}
	binary.BigEndian.PutUint16(p[in.upper+4:], uint16(8+n))
	recompute(p, &in)
	return p
}

// TestPairsOfAH and IPComp, as IKE installs them.
func TestPairLayers(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, s := range []seen{plain, plain6} {
		for _, mode := range []sadb.Mode{sadb.Transport, sadb.Tunnel} {
			for _, c := range []struct {
				name    string
				encap   natt.Mode
				ah, cmp bool
			}{{"ah", natt.Raw, true, false}, {"ah ipcomp", natt.Raw, true, true}, {"esp ipcomp", natt.Raw, false, true}, {"udp ipcomp", natt.NonESP, false, true}} {
				a, b := newEnd(t, now, Config{}), newEnd(t, now, Config{})
				src, dst := s.client.Addr(), s.gateway.Addr()
				if mode == sadb.Tunnel {
					src, dst = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.2.0.7")
				}
				join(t, now, a, b, s, c.encap, func(x, y *sadb.Child) {
					x.Mode, y.Mode = mode, mode
					x.TSLocal, x.TSRemote = []sadb.Selector{host(src)}, []sadb.Selector{host(dst)}
					y.TSLocal, y.TSRemote = x.TSRemote, x.TSLocal
					if c.ah {
						k, l := key(32), key(32)
						for _, z := range []*sadb.Child{x, y} {
							z.Proto, z.Suite, z.KeyIn, z.KeyOut = sadb.ProtoAH, hmac256, secret.Key{}, secret.Key{}
						}
						x.IntegIn, x.IntegOut, y.IntegIn, y.IntegOut = k, l, l, k
					}
					if c.cmp {
						x.CPIIn, x.CPIOut, y.CPIIn, y.CPIOut = 0x3001, 0x3002, 0x3002, 0x3001
					}
				})
				for i, payload := range [][]byte{bytes.Repeat([]byte("compressible "), 60), random(780), random(20)} {
					p := relength(packet(src, dst, 17, append(udpOf(5000, 1701, 0), payload...)), len(payload))
					grams := a.seal(now, bytes.Clone(p))
					if len(grams) != 1 {
						t.Fatalf("%s %s: %d datagrams; %v", c.name, mode, len(grams), a.e.Counters())
					}
					if c.cmp != (grams[0].N < 300) && i == 0 {
						t.Errorf("%s %s: %d octets outside", c.name, mode, grams[0].N)
					}
					got := b.open(now, cross(grams, s, true))
					if len(got) != 1 {
						t.Fatalf("%s %s, %d: %d packets; %v", c.name, mode, i, len(got), b.e.Counters())
					}
					same(t, got[0], p)
				}
			}
		}
	}
}

// TestChainMustFit: what was protected otherwise than its policy says is dropped (RFC 4301, Section 5.2).
func TestChainMustFit(t *testing.T) {
	require := func(proto uint8) sadb.Template { return tmpl(proto, sadb.Transport, sadb.Require) }
	for _, c := range []struct {
		name         string
		sends, wants []sadb.Template
		ok           bool
	}{
		{"as agreed", []sadb.Template{require(50), require(51)}, []sadb.Template{require(50), require(51)}, true},
		{"without AH", []sadb.Template{require(50)}, []sadb.Template{require(50), require(51)}, false},
		{"without ESP", []sadb.Template{require(51)}, []sadb.Template{require(50), require(51)}, false},
		{"AH too many", []sadb.Template{require(50), require(51)}, []sadb.Template{require(50)}, false},
		{"AH may be", []sadb.Template{require(50)}, []sadb.Template{require(50), tmpl(51, sadb.Transport, sadb.Use)}, true},
		{"no policy", []sadb.Template{require(50)}, nil, false},
	} {
		d := newDuo(t, plain)
		d.sa(50, sadb.Transport, 0x1000)
		d.sa(51, sadb.Transport, 0x2000)
		src, dst := host(plain.client.Addr()), host(plain.gateway.Addr())
		if _, err := d.a.db.SPDAdd(d.now, sadb.SPDEntry{Dir: sadb.Out, Action: sadb.Protect, Local: src, Remote: dst, Templates: c.sends}); err != nil {
			t.Fatal(err)
		}
		if c.wants != nil {
			if _, err := d.b.db.SPDAdd(d.now, sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: dst, Remote: src, Templates: c.wants}); err != nil {
				t.Fatal(err)
			}
		}
		grams := d.a.seal(d.now, packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8)))
		if got := d.b.open(d.now, d.cross(grams, true)); (len(got) == 1) != c.ok {
			t.Errorf("%s: %d packets; %v", c.name, len(got), d.b.e.Counters())
		}
	}
}

// TestT092Layers: ESP in ESP, AH in ESP, IPComp in IPComp: nothing is opened in itself.
func TestT092Layers(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(50, sadb.AnyMode, 0x1000)
	d.sa(51, sadb.AnyMode, 0x2000)
	d.sa(108, sadb.AnyMode, 0x3000)
	d.policy(host(plain.client.Addr()), host(plain.gateway.Addr()), tmpl(50, sadb.Transport, sadb.Require))
	inside := packet(plain.client.Addr(), plain.gateway.Addr(), 17, udpOf(1, 2, 8))
	esp := d.a.seal(d.now, inside)[0].Buf
	m, _ := d.a.db.Match(&sadb.Flow{Local: sadb.IP{Lo: 0xc0000201}, Remote: sadb.IP{Lo: 0xc6336402}, Proto: 17, LocalPort: 1, RemotePort: 2, Ports: sadb.HavePorts})
	var bundle sadb.Bundle
	if m.Resolve(1, &sadb.Flow{Local: sadb.IP{Lo: 0xc0000201}, Remote: sadb.IP{Lo: 0xc6336402}, Proto: 17}, &bundle) != sadb.Sealed {
		t.Fatal("no SA")
	}
	sa := bundle.SAs[0]
	for _, c := range []struct {
		next uint8
		body []byte
		why  Counter
	}{
		{50, esp, InNextHeader}, {51, make([]byte, 40), InUnknownSPI},
		{4, inside, InSelectors}, {0, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, inside[20:]...), InNextHeader},
		{44, append([]byte{17, 0, 0, 1, 0, 0, 0, 0}, inside[20:]...), InSelectors},
	} {
		buf := make([]byte, 2048)
		n := copy(buf[sa.Head():], c.body)
		sa.BeginSeal(1)
		size, err := sa.Seal(buf, n, c.next)
		sa.EndSeal()
		if err != nil {
			t.Fatal(err)
		}
		before := d.b.e.Counters()[c.why]
		got := d.b.open(d.now, []Datagram{{Buf: buf[:size], N: size, Remote: netip.AddrPortFrom(plain.client.Addr(), 0), Local: netip.AddrPortFrom(plain.gateway.Addr(), 0)}})
		if c.next == 44 || c.next == 0 {
			// IPv4 has no such headers: protocols like any other, for which the policy speaks.
			continue
		}
		if len(got) != 0 || d.b.e.Counters()[c.why] != before+1 {
			t.Errorf("next header %d: %d packets; %v", c.next, len(got), d.b.e.Counters())
		}
	}
}

// TestT094Single: IPComp of single SAs inside ESP: nested, bombs, CPIs that nobody has, streams that are none; and none from anybody.
func TestT094Single(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(108, sadb.Transport, 0x3000)
	d.sa(50, sadb.Transport, 0x1000)
	d.policy(host(plain.client.Addr()), host(plain.gateway.Addr()), tmpl(108, sadb.Transport, sadb.Use), tmpl(50, sadb.Transport, sadb.Require))
	inside := relength(packet(plain.client.Addr(), plain.gateway.Addr(), 17, append(udpOf(1, 2, 0), make([]byte, 1000)...)), 1000)
	upper := inside[20:]
	flow := sadb.Flow{Local: sadb.IP{Lo: 0xc0000201}, Remote: sadb.IP{Lo: 0xc6336402}, Proto: 17, LocalPort: 1, RemotePort: 2, Ports: sadb.HavePorts}
	m, _ := d.a.db.Match(&flow)
	var bundle sadb.Bundle
	if m.Resolve(1, &flow, &bundle) != sadb.Sealed || bundle.N != 2 {
		t.Fatal("no SAs")
	}
	codec, sa := d.a.e.codec, bundle.SAs[1]
	pack := func(src []byte, cpi uint16, next uint8) []byte {
		b := make([]byte, 1<<16)
		n, ok := codec.Compress(b, src, cpi, 17)
		if !ok {
			t.Fatal("not compressed")
		}
		b[0] = next
		return b[:n]
	}
	fine := pack(upper, 0x3000, 17)
	for _, c := range []struct {
		name string
		body []byte
		why  Counter
	}{
		{"fine", fine, InOpened},
		{"bomb", pack(make([]byte, 65535), 0x3000, 17), InMalformed}, // 65,535 octets and a header are no packet
		{"nested", pack(append(bytes.Clone(fine), make([]byte, 500)...), 0x3000, 108), InCompression},
		{"unknown CPI", pack(upper, 0x3044, 17), InUnknownSPI},
		{"CPI of the other direction", pack(upper, 0x3001, 17), InUnknownSPI},
		{"short", []byte{17, 0, 0x30}, InCompression},
		{"no stream", []byte{17, 0, 0x30, 0, 0xff, 0xff}, InCompression},
		{"ESP inside", pack(make([]byte, 500), 0x3000, 50), InUnknownSPI},
		{"tunnel inside", pack(inside, 0x3000, 4), InSelectors},
	} {
		buf := make([]byte, 4096)
		n := copy(buf[sa.Head():], c.body)
		sa.BeginSeal(1)
		size, err := sa.Seal(buf, n, 108)
		sa.EndSeal()
		if err != nil {
			t.Fatal(err)
		}
		before := d.b.e.Counters()[c.why]
		got := d.b.open(d.now, d.cross([]Datagram{{Buf: buf[:size], N: size}}, true))
		if len(got) == 1 != (c.why == InOpened) || d.b.e.Counters()[c.why] != before+1 {
			t.Errorf("%s: %d packets; %v", c.name, len(got), d.b.e.Counters())
		}
	}
	if got := d.b.open(d.now, d.cross([]Datagram{{Buf: fine, N: len(fine), Proto: 108}}, true)); len(got) != 0 {
		t.Error("IPComp without ESP was delivered")
	}
}

// TestT094Flood: a peer that sends nothing but bombs has a batch decompress no more of them than its memory holds; the next batch is
// served.
func TestT094Flood(t *testing.T) {
	d := newDuo(t, plain)
	d.sa(108, sadb.Transport, 0x3000)
	d.sa(50, sadb.Transport, 0x1000)
	d.policy(host(plain.client.Addr()), host(plain.gateway.Addr()), tmpl(108, sadb.Transport, sadb.Use), tmpl(50, sadb.Transport, sadb.Require))
	p := relength(packet(plain.client.Addr(), plain.gateway.Addr(), 17, append(udpOf(1, 2, 0), make([]byte, 1000)...)), 1000)
	flow := sadb.Flow{Local: sadb.IP{Lo: 0xc0000201}, Remote: sadb.IP{Lo: 0xc6336402}, Proto: 17, LocalPort: 1, RemotePort: 2, Ports: sadb.HavePorts}
	m, _ := d.a.db.Match(&flow)
	var bundle sadb.Bundle
	if m.Resolve(1, &flow, &bundle) != sadb.Sealed || bundle.N != 2 {
		t.Fatal("no SAs")
	}
	var body bytes.Buffer
	body.Write([]byte{17, 0, 0x30, 0})
	w, err := flate.NewWriter(&body, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 1<<17)) // twice what a packet can have
	w.Close()
	sa := bundle.SAs[1]
	var grams []Datagram
	sa.BeginSeal(1)
	for range 8 {
		var run Datagram
		for range 64 {
			buf := make([]byte, 1024)
			size, err := sa.Seal(buf, copy(buf[sa.Head():], body.Bytes()), 108)
			if err != nil {
				t.Fatal(err)
			}
			run.SegSize = size
			run.Buf = append(run.Buf, buf[:size]...)
		}
		run.N = len(run.Buf)
		grams = append(grams, run)
	}
	sa.EndSeal()
	if got := d.b.open(d.now, d.cross(grams, true)); len(got) != 0 {
		t.Errorf("%d bombs were delivered", len(got))
	}
	d.b.count(InCompression, 8*64)
	if c := &d.b.in.chunks; c.at < maxChunks {
		t.Errorf("a batch of bombs had %d chunks and could have gone on", c.at)
	}
	if got := d.b.open(d.now, d.cross(d.a.seal(d.now, p), true)); len(got) != 1 {
		t.Error("the next batch is not served")
	}
}

// TestLayersNoAllocation: AH, IPComp and bundles, batch in to batch out.
func TestLayersNoAllocation(t *testing.T) {
	for name, templates := range map[string][]sadb.Template{
		"ah":            {tmpl(51, tr, sadb.Require)},
		"ipcomp esp ah": {tmpl(108, tr, sadb.Use), tmpl(50, tr, sadb.Require), tmpl(51, tr, sadb.Require)},
		"three tunnels": {tmpl(50, tr, sadb.Require), tmpl(51, tn, sadb.Require), tmpl(108, tn, sadb.Require), tmpl(50, tn, sadb.Require)},
		"ah under esp":  {tmpl(51, tr, sadb.Require), tmpl(108, tr, sadb.Require), tmpl(50, tr, sadb.Require)},
	} {
		d := newDuo(t, plain)
		for i, x := range templates {
			templates[i].Reqid, d.reqid = uint32(i+1), uint32(i+1)
			d.sa(x.Proto, x.Mode, uint32(0x1000+16*i))
		}
		d.policy(host(plain.client.Addr()), host(plain.gateway.Addr()), templates...)
		var bufs [][]byte
		var sizes []int
		for i := range BatchSize {
			p := relength(packet(plain.client.Addr(), plain.gateway.Addr(), 17, append(udpOf(uint16(i), 2, 0), make([]byte, 500)...)), 500)
			bufs, sizes = append(bufs, append(make([]byte, Headroom), p...)), append(sizes, len(p))
		}
		var grams [maxDatagrams]Datagram
		memory := make([]byte, 1<<20)
		run := func() {
			n := received(grams[:], memory, d.a.out.Seal(d.now, bufs, sizes, Headroom).Datagrams)
			for i := range grams[:n] {
				grams[i] = unwhole(grams[i])
			}
			if got := d.b.in.Open(d.now, grams[:n]); len(got.Packets) != BatchSize {
				t.Fatalf("%s: %d packets; %v %v", name, len(got.Packets), d.a.e.Counters(), d.b.e.Counters())
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s: %v allocations for a batch of %d packets", name, n, BatchSize)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What AH refuses, and the cases of HOSTILE T-080, T-082, T-084 and T-088 as they concern AH.

package ah

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
)

// TestT080Shapes: every prefix, with and without its IP length corrected, every length field of AH, and an ICV of zeros.
func TestT080Shapes(t *testing.T) {
	for _, h := range headers() {
		x := newSA(t, suite.IntegHMACSHA2256128, false, false)
		whole, at, _ := x.seal(t, h, []byte("payload"), 17)
		for n := range len(whole) {
			for _, corrected := range []bool{false, true} {
				b := bytes.Clone(whole[:n])
				if corrected {
					setLength(b)
				}
				if _, err := x.Open(b); err == nil {
					t.Fatalf("%s: %d octets opened", h.name, n)
				}
				SPI(b)
			}
		}
		for l := range 256 {
			b := bytes.Clone(whole)
			if b[at+1] == byte(l) {
				clear(b[at+12 : at+28])
			}
			b[at+1] = byte(l)
			if _, err := x.Open(b); err == nil {
				t.Fatalf("%s: AH length %d", h.name, l)
			}
		}
		if x.Top() != 0 {
			t.Errorf("%s: the window moved", h.name)
		}
		if _, err := x.Open(whole); err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
	}
}

func setLength(b []byte) {
	switch {
	case len(b) >= ipv4Header && b[0]>>4 == 4:
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	case len(b) >= ipv6Header && b[0]>>4 == 6:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	}
}

// TestT088Headers: chains that do not end, are too long, or have what cannot be covered.
func TestT088Headers(t *testing.T) {
	v4 := func(options string) []byte {
		o := unhex(t, options)
		b := append(unhex(t, "4000 0000 1234 0000 4033 0000 c0000201 c6336402"), o...)
		b[0] |= byte(len(b) / 4)
		b = append(b, make([]byte, 28)...)
		setLength(b)
		return b
	}
	v6 := func(first byte, chain string) []byte {
		b := unhex(t, "60000000 0000 0040 20010db8000000000000000000000001 20010db8000000000000000000000002")
		b[6] = first
		b = append(append(b, unhex(t, chain)...), make([]byte, 32)...)
		setLength(b)
		return b
	}
	options := "3c00010400000000"
	for name, c := range map[string]struct {
		pkt  []byte
		want error
	}{
		"nothing":                     {nil, ErrHeader},
		"version 0":                   {make([]byte, 60), ErrHeader},
		"version 5":                   {append([]byte{0x55}, make([]byte, 60)...), ErrHeader},
		"header length 4":             {change(v4(""), 0, 0x44), ErrHeader},
		"header longer than packet":   {change(v4("")[:24], 0, 0x4f), ErrHeader},
		"total length too long":       {change(v4(""), 3, 0xff), ErrHeader},
		"total length too short":      {change(v4(""), 3, 20), ErrHeader},
		"another protocol":            {change(v4(""), 9, 50), ErrHeader},
		"more fragments":              {change(v4(""), 6, 0x20), ErrFragment},
		"fragment offset":             {change(v4(""), 7, 1), ErrFragment},
		"option of length 0":          {v4("07000000"), ErrHeader},
		"option of length 1":          {v4("07010000"), ErrHeader},
		"option longer than header":   {v4("07050000"), ErrHeader},
		"option without length":       {v4("01010107"), ErrHeader},
		"source route under way":      {v4("83070400000000 00"), ErrHeader},
		"strict route under way":      {v4("89070400000000 00"), ErrHeader},
		"route without pointer":       {v4("83020000"), ErrHeader},
		"payload length too long":     {change(v6(Proto, ""), 5, 0xff), ErrHeader},
		"another next header":         {v6(17, ""), ErrHeader},
		"fragment header":             {v6(fragment, "3300000000000000"), ErrFragment},
		"unknown extension header":    {v6(139, "3300010400000000"), ErrHeader},
		"no next header":              {v6(59, ""), ErrHeader},
		"hop-by-hop not first":        {v6(60, "0000010400000000 3300010400000000"), ErrHeader},
		"header longer than packet 6": {v6(60, "33ff010400000000"), ErrHeader},
		"segments left":               {v6(43, "33000201 00000000"), ErrHeader},
		"option longer than header 6": {v6(60, "33000105 00000000"), ErrHeader},
		"option cut off":              {v6(60, "3300010300000001"), ErrHeader},
		"nine headers":                {v6(60, strings.Repeat(options, 8)+"3300010400000000"), ErrHeader},
		"one header of 2,048 octets":  {v6(60, "33ff0000"+strings.Repeat("00", 2044)), ErrHeader},
		"AH cut off":                  {func() []byte { b := v4("")[:31]; setLength(b); return b }(), esp.ErrShort},
		"AH of another length":        {change(v4(""), 21, 7), esp.ErrShort},
		"another SPI":                 {change(change(v4(""), 21, 5), 24, 9), esp.ErrICV},
	} {
		x := newSA(t, suite.IntegHMACSHA2256128, false, false)
		before := bytes.Clone(c.pkt)
		if _, err := x.Open(c.pkt); err != c.want || x.Top() != 0 || !bytes.Equal(before, c.pkt) {
			t.Errorf("%s: %v, expected %v", name, err, c.want)
		}
		// What is no header to an Opener is none to a Sealer, and costs no sequence number.
		if c.want == ErrHeader || c.want == ErrFragment {
			for at := range len(c.pkt) + 2 {
				if err := x.Seal(c.pkt, at, 4); err != c.want || x.Seq() != 0 {
					t.Fatalf("%s: sealed at %d: %v", name, at, err)
				}
			}
		}
	}
	// Eight headers are as many as are walked, and the place must be where the chain ends.
	x := newSA(t, suite.IntegHMACSHA2256128, false, false)
	pkt := v6(60, strings.Repeat(options, 6)+"3300010400000000")
	for at := range len(pkt) {
		if err := x.Seal(bytes.Clone(pkt), at, 4); (err == nil) != (at == ipv6Header+7*8) {
			t.Errorf("sealed at %d: %v", at, err)
		}
	}
	// A source route that came to its end is covered as zeros.
	routed := v4("83070800000000 00")
	if err := x.Seal(routed, 28, 4); err != nil {
		t.Error(err)
	}
}

func change(b []byte, at int, to byte) []byte {
	b[at] = to
	return b
}

// TestT082Replay: each packet once, whatever the order; a forgery does not move the window.
func TestT082Replay(t *testing.T) {
	h := headers()[0]
	x := newSA(t, suite.IntegAESCMAC96, false, false)
	var pkts [][]byte
	for range 100 {
		pkt, _, _ := x.seal(t, h, []byte("packet"), 17)
		pkts = append(pkts, pkt)
	}
	forged := bytes.Clone(pkts[0])
	binary.BigEndian.PutUint32(forged[20+offSeq:], 1<<31)
	if _, err := x.Open(forged); err != esp.ErrICV || x.Top() != 0 {
		t.Errorf("forged: %v, window at %d", err, x.Top())
	}
	binary.BigEndian.PutUint32(forged[20+offSeq:], 0)
	if _, err := x.Open(forged); err != esp.ErrReplay {
		t.Errorf("number 0: %v", err)
	}
	for i := 99; i >= 0; i-- {
		_, err := x.Open(pkts[i])
		if old := i < 100-64; (err == nil) == old {
			t.Errorf("packet %d: %v", i, err)
		}
		if _, err := x.Open(pkts[i]); err != esp.ErrReplay {
			t.Errorf("packet %d again: %v", i, err)
		}
	}
}

// TestT084Exhausted: without ESN nothing is ever sealed after 2^32-1, with ESN the high half counts on and is covered.
func TestT084Exhausted(t *testing.T) {
	h := headers()[0]
	for _, esn := range []bool{false, true} {
		x := newSA(t, suite.IntegHMACSHA196, esn, false)
		x.Sealer.seq.Store(1<<32 - 2)
		x.window.Commit(1<<32 - 2)
		pkt, at, _ := x.seal(t, h, nil, 59)
		if _, err := x.Open(pkt); err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(pkt)
		err := x.Seal(pkt, at, 59)
		if !esn {
			if err != esp.ErrExhausted || x.Seq() != 1<<32-1 || !bytes.Equal(before, pkt) {
				t.Errorf("after the last number: %v, %d", err, x.Seq())
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Open(pkt); err != nil || x.Top() != 1<<32 {
			t.Errorf("across 2^32: %v, %d", err, x.Top())
		}
		x.Sealer.seq.Add(1 << 32)
		wrong, _, _ := x.seal(t, h, nil, 59)
		if _, err := x.Open(wrong); err != esp.ErrICV {
			t.Errorf("wrong high half: %v", err)
		}
		x.Sealer.seq.Store(1<<64 - 1)
		if err := x.Seal(pkt, at, 59); err != esp.ErrExhausted {
			t.Errorf("the last extended number: %v", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	key := secret.New(make([]byte, 20))
	for spi := range uint32(256) {
		if _, err := NewSealer(spi, suite.IntegHMACSHA196, key, false, false, rand.Reader); err == nil {
			t.Fatalf("sealer with SPI %d", spi)
		}
		if _, err := NewOpener(spi, suite.IntegHMACSHA196, key, false, 64); err == nil {
			t.Fatalf("opener with SPI %d", spi)
		}
	}
	if _, err := NewSealer(testSPI, suite.IntegNone, secret.Key{}, false, false, rand.Reader); err == nil {
		t.Error("no algorithm")
	}
	if _, err := NewSealer(testSPI, suite.IntegHMACSHA2256128, key, false, false, rand.Reader); err == nil {
		t.Error("a short key")
	}
	if _, err := NewOpener(testSPI, suite.IntegHMACSHA196, key, false, 16); err == nil {
		t.Error("a window of 16")
	}
}

// FuzzOpen: whatever arrives, an SA opens nothing that it did not seal, and its window and the packet stay. What can be sealed opens,
// after travelling too, and gives the same payload.
func FuzzOpen(f *testing.F) {
	for _, h := range headers() {
		x := newSA(f, suite.IntegHMACSHA2256128, true, false)
		pkt, at, _ := x.seal(f, h, []byte("payload"), 17)
		f.Add(pkt, uint16(at))
	}
	for _, i := range []suite.Integ{suite.IntegHMACSHA2256128, suite.IntegAES128GMAC} {
		x := newSA(f, i, true, false)
		pkt, at, _ := x.seal(f, headers()[1], []byte("payload"), 17)
		f.Add(pkt, uint16(at))
	}
	mac, gmac := newSA(f, suite.IntegHMACSHA2256128, true, false), newSA(f, suite.IntegAES128GMAC, true, false)
	f.Fuzz(func(t *testing.T, pkt []byte, at uint16) {
		for _, x := range []*sa{mac, gmac} {
			top, before := x.Top(), bytes.Clone(pkt)
			if _, err := x.Open(pkt); err == nil || x.Top() != top || !bytes.Equal(before, pkt) {
				t.Fatalf("opened, the window moved, or the packet changed: %v", err)
			}
			_, where, found := SPI(pkt)
			ours := bytes.Clone(pkt)
			if x.Seal(ours, int(at), 17) != nil {
				continue
			}
			if !found || where != int(at) {
				t.Fatal("sealed where AH is not found")
			}
			n := x.Len(ours[0]>>4 == 6)
			if !bytes.Equal(ours[:at], before[:at]) || !bytes.Equal(ours[int(at)+n:], before[int(at)+n:]) {
				t.Fatal("Seal changed what is not AH")
			}
			ours[map[byte]int{4: 8, 6: 7}[ours[0]>>4]]-- // TTL or hop limit
			got, err := x.Open(ours)
			if err != nil || got.Next != 17 || !bytes.Equal(got.Payload, before[int(at)+n:]) {
				t.Fatalf("our own packet: %v", err)
			}
			if out := Strip(ours, got); len(out) != len(pkt)-n {
				t.Fatalf("stripped to %d octets", len(out))
			}
		}
	})
}

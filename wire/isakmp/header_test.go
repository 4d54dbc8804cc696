// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package isakmp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func never(uint8) bool { return false }

func TestHeaderRoundTrip(t *testing.T) {
	h := Header{SPIi: 0x0102030405060708, SPIr: 0x1112131415161718, NextPayload: 33, Major: 2, Minor: 5, Exchange: 34,
		Flags: FlagInitiator | FlagResponse, MessageID: 0x21222324, Length: 0xfffffffe}
	b := h.Append(nil)
	if len(b) != HeaderLen {
		t.Fatalf("%d octets", len(b))
	}
	got, err := ParseHeader(b)
	if err != nil || got != h {
		t.Errorf("came back as %+v, %v", got, err)
	}
	if !got.Response() || !got.Initiator() {
		t.Error("flags were lost")
	}
	for n := range HeaderLen {
		if _, err := ParseHeader(b[:n]); !errors.Is(err, ErrShort) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// TestT003EveryVersionIsRead: which versions are answered is the mux's decision; the header says what came.
func TestT003EveryVersionIsRead(t *testing.T) {
	for v := range 256 {
		b := Header{SPIi: 1}.Append(nil)
		b[17] = byte(v)
		h, err := ParseHeader(b)
		if err != nil || int(h.Major) != v>>4 || int(h.Minor) != v&15 {
			t.Errorf("version octet %02x: %d.%d, %v", v, h.Major, h.Minor, err)
		}
	}
}

func chain(types []uint8, bodies ...[]byte) []byte {
	var b []byte
	for i, body := range bodies {
		var next uint8
		if i+1 < len(types) {
			next = types[i+1]
		}
		b = append(AppendGeneric(b, next, i%2 == 1, len(body)), body...)
	}
	return b
}

func TestWalk(t *testing.T) {
	b := chain([]uint8{33, 40, 200}, []byte("abc"), nil, []byte("z"))
	got, err := Walk(33, b, never)
	if err != nil {
		t.Fatal(err)
	}
	want := []Generic{
		{Type: 33, Next: 40, Body: []byte("abc"), Offset: 4},
		{Type: 40, Next: 200, Critical: true, Body: []byte{}, Offset: 11},
		{Type: 200, Body: []byte("z"), Offset: 15},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for n := range b {
		if _, err := Walk(33, b[:n], never); err == nil {
			t.Errorf("the first %d of %d octets were accepted", n, len(b))
		}
	}
	if _, err := Walk(33, append(b, 0), never); err == nil {
		t.Error("an octet behind the last payload was accepted")
	}
	if _, err := Walk(0, nil, never); err != nil {
		t.Errorf("an empty chain: %v", err)
	}
	if _, err := Walk(0, []byte{0, 0, 0, 4}, never); err == nil {
		t.Error("octets behind an empty chain were accepted")
	}
}

// TestWalkStops: nothing may follow the payload that ends the chain, and its Next is not followed.
func TestWalkStops(t *testing.T) {
	stop := func(t uint8) bool { return t == 46 }
	b := chain([]uint8{41, 46, 35}, []byte("n"), []byte("sealed"))
	got, err := Walk(41, b, stop)
	if err != nil || len(got) != 2 || got[1].Next != 35 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Walk(41, append(b, chain([]uint8{35}, []byte("x"))...), stop); err == nil {
		t.Error("a payload behind the last one was accepted")
	}
}

// TestWalkPrefix: what follows the last payload is left, and told by the length of the chain; reserved bits are told too.
func TestWalkPrefix(t *testing.T) {
	b := chain([]uint8{1, 13}, []byte("abc"), nil)
	for n := range 40 {
		got, end, err := WalkPrefix(1, append(bytes.Clone(b), make([]byte, n)...))
		if err != nil || len(got) != 2 || end != len(b) {
			t.Errorf("%d octets behind it: %d payloads in %d octets, %v", n, len(got), end, err)
		}
	}
	for n := range b {
		if _, _, err := WalkPrefix(1, b[:n]); err == nil {
			t.Errorf("the first %d of %d octets were accepted", n, len(b))
		}
	}
	if list, end, err := WalkPrefix(0, b); len(list) != 0 || end != 0 || err != nil {
		t.Errorf("an empty chain: %d payloads in %d octets, %v", len(list), end, err)
	}
	for v := range 256 {
		b[1] = byte(v)
		if got, _, err := WalkPrefix(1, b); err != nil || got[0].Critical != (v >= 0x80) || int(got[0].Reserved) != v&0x7f {
			t.Errorf("octet %02x: %+v, %v", v, got[0], err)
		}
	}
}

// TestT002GenericLengths: a generic length below 4, or beyond the octets, at each position of a chain.
func TestT002GenericLengths(t *testing.T) {
	good := chain([]uint8{33, 34, 40}, make([]byte, 8), make([]byte, 8), make([]byte, 8))
	for at := 0; at < len(good); at += 12 {
		for _, n := range []int{0, 1, 2, 3, len(good) - at + 1, 0x7fff, 0xffff} {
			b := bytes.Clone(good)
			b[at+2], b[at+3] = byte(n>>8), byte(n)
			if _, err := Walk(33, b, never); err == nil {
				t.Errorf("length %d at octet %d was accepted", n, at)
			}
		}
	}
}

func TestWalkIsBounded(t *testing.T) {
	for _, c := range []struct {
		payloads int
		ok       bool
	}{{MaxPayloads, true}, {MaxPayloads + 1, false}} {
		types, bodies := make([]uint8, c.payloads), make([][]byte, c.payloads)
		for i := range types {
			types[i] = 43
		}
		if _, err := Walk(43, chain(types, bodies...), never); (err == nil) != c.ok {
			t.Errorf("%d payloads: %v", c.payloads, err)
		}
	}
	big := chain([]uint8{43, 43}, make([]byte, MaxMessage-8), make([]byte, 1))
	if _, err := Walk(43, big, never); err == nil {
		t.Errorf("%d octets were accepted", len(big))
	}
}

func FuzzChain(f *testing.F) {
	f.Add(uint8(33), chain([]uint8{33, 40}, []byte("abc"), []byte("d")))
	f.Add(uint8(46), chain([]uint8{46}, []byte("sealed")))
	f.Add(uint8(33), []byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		list, err := Walk(first, b, func(t uint8) bool { return t == 46 || t == 53 })
		if err != nil {
			return
		}
		var out []byte
		for _, p := range list {
			if !bytes.Equal(p.Body, b[p.Offset:p.Offset+len(p.Body)]) {
				t.Fatal("Offset is not where Body is")
			}
			out = append(AppendGeneric(out, p.Next, p.Critical, len(p.Body)), p.Body...)
		}
		if len(out) != len(b) || len(list) > MaxPayloads {
			t.Fatalf("%d octets became %d", len(b), len(out))
		}
		for at, i := 0, 0; i < len(list); i++ { // equal but for the reserved bits
			at = list[i].Offset - GenericLen
			b[at+1] &= 0x80
		}
		if !bytes.Equal(out, b) {
			t.Fatalf("%x became %x", b, out)
		}
	})
}

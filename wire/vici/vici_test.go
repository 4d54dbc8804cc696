// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package vici

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample has every kind of element.
func sample() *Section {
	s := New().Set("version", "2").SetList("vips").SetList("local_addrs", "192.0.2.1", "%any").SetBool("encap", true)
	s.Add("local-1").Set("auth", "psk").SetBytes("blob", []byte{0, 0xff, 6, 2})
	s.Add("children").Add("net").SetList("local_ts", "10.0.0.0/8").Set("updown", "")
	return s
}

// sampleBytes is sample as the protocol has it, written by hand.
const sampleBytes = "\x03\x07version\x00\x012" + "\x04\x04vips\x06" +
	"\x04\x0blocal_addrs\x05\x00\x09192.0.2.1\x05\x00\x04%any\x06" + "\x03\x05encap\x00\x03yes" +
	"\x01\x07local-1\x03\x04auth\x00\x03psk\x03\x04blob\x00\x04\x00\xff\x06\x02\x02" +
	"\x01\x08children\x01\x03net\x04\x08local_ts\x05\x00\x0a10.0.0.0/8\x06\x03\x06updown\x00\x00\x02\x02"

func TestAppendParse(t *testing.T) {
	b, err := sample().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleBytes, string(b)); diff != "" {
		t.Fatal(diff)
	}
	s, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), s); diff != "" {
		t.Fatal(diff)
	}
}

// TestPrefixes: a prefix of a message is a message only where an element of the outermost section ends.
func TestPrefixes(t *testing.T) {
	b := []byte(sampleBytes)
	whole := map[int]bool{0: true}
	for i := range sample().Items {
		part, err := (&Section{Items: sample().Items[:i+1]}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		whole[len(part)] = true
	}
	for n := range b {
		if _, err := Parse(b[:n]); (err == nil) != whole[n] {
			t.Errorf("prefix of %d octets: %v", n, err)
		}
	}
}

// TestPacketPrefixes: the length field decides, so that every strict prefix is refused by it or by the parser.
func TestPacketPrefixes(t *testing.T) {
	for _, p := range []Packet{
		{Type: CmdRequest, Name: "load-conn", Message: New().SetSub("a", sample())},
		{Type: CmdResponse, Message: New().Set("success", "yes")},
		{Type: CmdUnknown}, {Type: EventRegister, Name: "list-sa"}, {Type: EventUnregister, Name: "log"},
		{Type: EventConfirm}, {Type: EventUnknown}, {Type: Event, Name: "ike-updown", Message: New().SetSub("a", sample())},
	} {
		b, err := p.Append([]byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		b = b[1:]
		n, err := Length([HeaderLen]byte(b))
		if err != nil || n != len(b)-HeaderLen {
			t.Fatalf("%v: length %d %v, the packet has %d", p.Type, n, err, len(b))
		}
		got, err := ParsePacket(b[HeaderLen:])
		if err != nil {
			t.Fatalf("%v: %v", p.Type, err)
		}
		if diff := cmp.Diff(&p, got); diff != "" {
			t.Errorf("%v: %s", p.Type, diff)
		}
		if !p.Type.carries() || p.Message.Items[0].Kind == KindSection {
			for n := range len(b) - HeaderLen {
				empty := p.Type.carries() && n == 1+lenName(p.Name)
				if _, err := ParsePacket(b[HeaderLen:][:n]); err == nil && !empty {
					t.Errorf("%v: a prefix of %d octets was accepted", p.Type, n)
				}
			}
		}
	}
}

func lenName(s string) int {
	if s == "" {
		return 0
	}
	return 1 + len(s)
}

func TestRefused(t *testing.T) {
	for name, b := range map[string]string{
		"end without a section":   "\x02",
		"list item outside":       "\x05\x00\x01a",
		"list end outside":        "\x06",
		"section in a list":       "\x04\x01a\x01\x01b\x02\x06",
		"unknown element":         "\x07\x01a",
		"element 0":               "\x00",
		"empty section name":      "\x01\x00\x02",
		"empty key":               "\x03\x00\x00\x01a",
		"value beyond the end":    "\x03\x01a\xff\xffb",
		"section without its end": "\x01\x01a",
		"too deep":                strings.Repeat("\x01\x01a", maxDepth+1) + strings.Repeat("\x02", maxDepth+1),
	} {
		if _, err := Parse([]byte(b)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, b := range map[string]string{
		"no type": "", "unknown type": "\x08", "request without a name": "\x00", "empty name": "\x00\x00",
		"confirm with more": "\x05x", "register with a message": "\x03\x01a\x03\x01a\x00\x00",
		"too large": "\x01" + strings.Repeat("\x03\x01a\x00\x00", MaxPacket/5+1),
	} {
		if _, err := ParsePacket([]byte(b)); err == nil {
			t.Errorf("packet, %s: accepted", name)
		}
	}
	for _, h := range [][HeaderLen]byte{{}, {0, 8, 0, 1}, {0xff, 0xff, 0xff, 0xff}} {
		if _, err := Length(h); err == nil {
			t.Errorf("length %x: accepted", h)
		}
	}
	if n, err := Length([HeaderLen]byte{0, 8, 0, 0}); err != nil || n != MaxPacket {
		t.Errorf("the largest packet: %d %v", n, err)
	}
}

func TestAppendRefused(t *testing.T) {
	deep := New()
	for s, i := deep, 0; i <= maxDepth; i++ {
		s = s.Add("a")
	}
	for name, s := range map[string]*Section{
		"long key": New().Set(strings.Repeat("k", 256), "v"), "empty key": New().Set("", "v"),
		"long value": New().Set("k", strings.Repeat("v", 65536)), "long item": New().SetList("k", strings.Repeat("v", 65536)),
		"deep": deep,
	} {
		if _, err := s.Append(nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	long := &Packet{Type: Event, Name: "e", Message: New()}
	for i := range 9 {
		long.Message.Set(strings.Repeat("k", i+1), strings.Repeat("v", 65535))
	}
	if _, err := long.Append(nil); err == nil {
		t.Error("a packet above the limit was appended")
	}
}

func TestSectionMethods(t *testing.T) {
	s := sample()
	s.Set("version", "1").Remove("vips")
	s.Put(Item{Key: "encap", Kind: KindValue, Value: []byte("no")})
	if s.Get("version") != "1" || s.Items[0].Key != "version" || s.Has("vips") || s.Bool("encap") || s.Get("children") != "" {
		t.Errorf("%+v", s)
	}
	if got := s.Sub("children").Sub("net").List("local_ts"); !cmp.Equal(got, []string{"10.0.0.0/8"}) {
		t.Error(got)
	}
	var none *Section
	if none.Sub("a").Sub("b").List("c") != nil || none.Get("a") != "" {
		t.Error("a nil section has items")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sampleBytes))
	f.Add([]byte("\x01\x01a\x04\x01b\x05\x00\x00\x06\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		again, err := s.Append(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}

func FuzzParsePacket(f *testing.F) {
	f.Add([]byte("\x00\x09load-conn" + sampleBytes))
	f.Add([]byte("\x07\x07list-sa\x01\x01a\x02"))
	f.Add([]byte{5})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		if err != nil {
			return
		}
		again, err := p.Append(nil)
		if err != nil || !bytes.Equal(again[HeaderLen:], b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}

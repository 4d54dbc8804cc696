// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The verdicts of the systems, typed from what is written about their socket options and not from this package's constants.

package natt

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// octets reads hex; "x*n" repeats.
func octets(t *testing.T, text string) []byte {
	t.Helper()
	var out []byte
	for word := range strings.FieldsSeq(text) {
		times := 1
		if at := strings.IndexByte(word, '*'); at >= 0 {
			times = 0
			for _, c := range word[at+1:] {
				times = times*10 + int(c-'0')
			}
			word = word[:at]
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Repeat(b, times)...)
	}
	return out
}

// TestT070Systems: columns are the rules in order: Linux, Linux before 2024, FreeBSD 8-10, FreeBSD 11, NetBSD. d: dropped. u: the
// daemon's, whole. e: ESP, whole. 8: ESP behind the eight octets of the marker.
func TestT070Systems(t *testing.T) {
	columns := []Rules{Linux, LinuxNonIKE, FreeBSD8, FreeBSD11, NetBSD}
	nonESP := []struct{ in, want string }{
		{"", "uuuuu"},
		{"ff", "dddud"}, // exactly 1 octet 0xff; FreeBSD 11 drops nothing
		{"00", "uuuuu"},
		{"fe", "uuuuu"},
		{"ff ff", "uuuuu"},
		{"00 00 00 00", "uuuuu"},
		{"00 00 00 00 ff", "uuuuu"}, // Cisco's keepalive is no system's
		{"00 00 01 00 00 00 00", "uuuuu"},
		{"00 00 01 00 00 00 00 01", "uuueu"},    // 8 octets: Linux wants more than 8, FreeBSD 11 not less
		{"00 00 01 00 00 00 00 01 aa", "eeeee"}, // len > 8 and first u32 not zero
		{"00 00 00 01 00*64", "eeeee"},          // the first 32 bits alone decide
		{"00*4 11*28", "uuuuu"},                 // IKE behind its marker, left in place
		{"00*64", "uuuuu"},
		{"11*28", "eeeee"}, // IKE without a marker is taken for ESP
		{"ff*100", "eeeee"},
	}
	for _, c := range nonESP {
		check(t, NonESP, columns, octets(t, c.in), c.in, c.want)
	}
	// The non-IKE marker: len > 8 + 8 and the first two u32 zero: skip 8. x: the system has no such mode.
	nonIKE := []struct{ in, want string }{
		{"", "xuuxu"},
		{"ff", "xddxd"},
		{"00*8", "xuuxu"},
		{"00*8 00 00 01 00 00 00 00 01", "xuuxu"},    // 16 octets are not more than 16
		{"00*8 00 00 01 00 00 00 00 01 aa", "x88x8"}, // 17
		{"00*40", "x88x8"},                           // its SPI is nobody's; the marker decides
		{"00*7 01 00*20", "xuuxu"},
		{"00*4 11*28", "xuuxu"},
		{"11*28", "xuuxu"},
		{"00 00 01 00 00 00 00 01 aa*40", "xuuxu"}, // bare ESP on that port is the daemon's trouble
	}
	for _, c := range nonIKE {
		check(t, NonIKE, columns, octets(t, c.in), c.in, c.want)
	}
	for _, in := range []string{"", "ff", "00*8 00 00 01 00 00 00 00 01 aa", "11*28", "00 00 01 00*30"} {
		check(t, Raw, columns, octets(t, in), in, "uuuuu")
	}
	for _, c := range []struct{ in, want string }{
		{"00 00 00 00 ff", "ddddd"}, {"00 00 01 00 00 00 00 01", "eeeee"}, {"00 00 01 00 00 00 00 01 aa*9", "eeeee"},
	} {
		check(t, CiscoUDP, columns, octets(t, c.in), c.in, c.want)
	}
	for _, r := range columns {
		if v, rest := r.Verdict(Stream, make([]byte, 64)); v != Drop || rest != nil {
			t.Errorf("%s: a stream's octets are %s", r, v)
		}
	}
}

func check(t *testing.T, m Mode, columns []Rules, b []byte, in, want string) {
	t.Helper()
	for i, r := range columns {
		v, rest := r.Verdict(m, b)
		got := byte('?')
		switch {
		case !r.Allow(m) && v == Drop:
			got = 'x'
		case v == Keepalive && rest == nil:
			got = 'd'
		case v == IKE && bytes.Equal(rest, b):
			got = 'u'
		case v == ESP && bytes.Equal(rest, b):
			got = 'e'
		case v == ESP && len(b) > 8 && bytes.Equal(rest, b[8:]):
			got = '8'
		}
		if got != want[i] {
			t.Errorf("%s, %s, %q: %c, expected %c", r, m, in, got, want[i])
		}
	}
}

func TestStripMarker(t *testing.T) {
	for _, c := range []struct {
		m    Mode
		in   string
		want int
	}{
		{NonESP, "00*4 11*28", 28}, {NonESP, "00*4", 0}, {NonESP, "00*3", -1}, {NonESP, "11*28", -1}, {NonESP, "ff", -1},
		{NonIKE, "11*28", 28}, {Raw, "11*28", 28},
	} {
		got, ok := StripMarker(c.m, octets(t, c.in))
		if ok != (c.want >= 0) || ok && len(got) != c.want {
			t.Errorf("%s %q: %d octets, %v", c.m, c.in, len(got), ok)
		}
	}
}

func TestRulesAllocateNothing(t *testing.T) {
	b := make([]byte, 64)
	for r := range numRules {
		if n := testing.AllocsPerRun(100, func() { r.Verdict(NonESP, b); r.Verdict(NonIKE, b) }); n != 0 {
			t.Errorf("%s: %v allocations", r, n)
		}
	}
}

// FuzzVerdict: a verdict depends on the length and the first octets alone, what is handed on is the end of the datagram, and what
// was put behind a marker comes back from under it.
func FuzzVerdict(f *testing.F) {
	f.Add(uint8(Linux), uint8(NonESP), []byte{0xff})
	f.Add(uint8(LinuxNonIKE), uint8(NonIKE), make([]byte, 40))
	f.Add(uint8(FreeBSD11), uint8(NonESP), []byte{0, 0, 1, 0, 0, 0, 0, 1})
	f.Add(uint8(Strict), uint8(CiscoUDP), []byte{0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, rule, mode uint8, b []byte) {
		r, m := Rules(rule), Mode(mode)
		v, rest := r.Verdict(m, b)
		if !bytes.HasSuffix(b, rest) || len(b)-len(rest) > 8 && rest != nil {
			t.Fatal("what is handed on is not the end of the datagram")
		}
		if (v == Drop || v == Keepalive) && rest != nil {
			t.Fatal("octets of what is dropped were returned")
		}
		if v == IKE && r.KeepMarker() && len(rest) != len(b) {
			t.Fatal("a system took the marker off")
		}
		// Two markers and a header are all that is looked at.
		other := bytes.Clone(b)
		for i := 16; i < len(other); i++ {
			other[i] ^= 0x5a
		}
		if v2, rest2 := r.Verdict(m, other); v2 != v || len(rest2) != len(rest) {
			t.Fatalf("%s became %s by octets behind the sixteenth", v, v2)
		}
		if !r.Allow(m) || len(b) <= 28 {
			return
		}
		comesBack(t, r, m, b)
	})
}

// comesBack sends b as ESP and as IKE.
func comesBack(t *testing.T, r Rules, m Mode, b []byte) {
	spi0 := b[0] == 0 && b[1] == 0 && b[2] == 0 && b[3] == 0
	cookie0 := spi0 && b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] == 0
	if m != Raw && !spi0 {
		sent := AppendMarker(nil, m, ESP)
		if v, rest := r.Verdict(m, append(sent, b...)); v != ESP || !bytes.Equal(rest, b) {
			t.Fatalf("%s, %s: ESP came back as %s of %d octets", r, m, v, len(rest))
		}
	}
	if m == CiscoUDP || m == NonIKE && cookie0 {
		return
	}
	sent := append(AppendMarker(nil, m, IKE), b...)
	v, rest := r.Verdict(m, sent)
	if r.KeepMarker() && v == IKE {
		rest, _ = StripMarker(m, rest)
	}
	if v != IKE || !bytes.Equal(rest, b) {
		t.Fatalf("%s, %s: IKE came back as %s of %d octets", r, m, v, len(rest))
	}
}

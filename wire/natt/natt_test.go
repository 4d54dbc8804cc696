// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package natt

import (
	"bytes"
	"testing"
)

func zeros(n int) []byte { return make([]byte, n) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestT070Demultiplexing is the whole table of what arrives on a port.
func TestT070Demultiplexing(t *testing.T) {
	ike := append([]byte{1}, zeros(27)...)
	spi := []byte{0, 0, 0, 1, 0, 0, 0, 1}
	for _, c := range []struct {
		name string
		m    Mode
		in   []byte
		want Verdict
		skip int
	}{
		{"empty", NonESP, nil, Drop, 0},
		{"keepalive", NonESP, []byte{0xff}, Keepalive, 0},
		{"keepalive on 500", Raw, []byte{0xff}, Keepalive, 0},
		{"one octet 00", NonESP, []byte{0}, Keepalive, 0},
		{"two octets ff", NonESP, []byte{0xff, 0xff}, Drop, 0},
		{"three octets", NonESP, zeros(3), Drop, 0},
		{"marker alone", NonESP, zeros(4), Drop, 0},
		{"Cisco keepalive", NonESP, []byte{0, 0, 0, 0, 0xff}, Keepalive, 0},
		{"marker and 27", NonESP, join(zeros(4), ike[:27]), Drop, 0},
		{"marker and IKE", NonESP, join(zeros(4), ike), IKE, 4},
		{"marker and zeros", NonESP, zeros(64), IKE, 4}, // the machine refuses SPI 0, not the port
		{"SPI 1", NonESP, spi, ESP, 0},
		{"ESP of 7", NonESP, spi[:7], Drop, 0},
		{"IKE without marker on 4500", NonESP, ike, ESP, 0}, // to the SAD, which does not know that SPI
		{"IKE on 500", Raw, ike, IKE, 0},
		{"ESP on 500", Raw, append(spi, zeros(64)...), IKE, 0}, // to IKE, which refuses version 0
		{"27 on 500", Raw, ike[:27], Drop, 0},
		{"draft-00 ESP", NonIKE, join(zeros(8), spi), ESP, 8},
		{"draft-00 ESP with SPI 0", NonIKE, zeros(16), Drop, 0},
		{"draft-00 IKE", NonIKE, ike, IKE, 0},
		{"Cisco UDP ESP", CiscoUDP, spi, ESP, 0},
		{"Cisco UDP keepalive", CiscoUDP, []byte{0, 0, 0, 0, 0xff}, Keepalive, 0},
		{"Cisco UDP marker", CiscoUDP, join(zeros(4), ike), Drop, 0},
	} {
		v, rest := Classify(c.m, c.in)
		if v != c.want {
			t.Errorf("%s: %s, expected %s", c.name, v, c.want)
		}
		if (v == ESP || v == IKE) && !bytes.Equal(rest, c.in[c.skip:]) {
			t.Errorf("%s: returned %d octets of %d", c.name, len(rest), len(c.in))
		}
	}
}

func TestMarkersComeBack(t *testing.T) {
	body := append([]byte{1, 2, 3, 4}, zeros(40)...)
	for _, m := range []Mode{Raw, NonESP, NonIKE, CiscoUDP} {
		for _, v := range []Verdict{ESP, IKE} {
			if m == Raw && v == ESP || m == CiscoUDP && v == IKE {
				continue // these do not travel there
			}
			got, rest := Classify(m, append(AppendMarker(nil, m, v), body...))
			if got != v || !bytes.Equal(rest, body) {
				t.Errorf("%s on %s came back as %s of %d octets", v, m, got, len(rest))
			}
		}
	}
}

func TestT071KeepalivesAllocateNothing(t *testing.T) {
	b := []byte{0xff}
	if n := testing.AllocsPerRun(1000, func() { Classify(NonESP, b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(uint8(NonESP), []byte{0xff})
	f.Add(uint8(NonIKE), zeros(40))
	f.Fuzz(func(t *testing.T, m uint8, b []byte) {
		v, rest := Classify(Mode(m), b)
		if v == ESP && (len(rest) < minESP || bytes.Equal(rest[:4], zeros(4))) {
			t.Fatal("ESP with SPI 0 or without a header")
		}
		if v == IKE && len(rest) < minIKE {
			t.Fatal("IKE without a header")
		}
		if (v == Drop || v == Keepalive) && rest != nil {
			t.Fatal("octets of what is dropped were returned")
		}
	})
}

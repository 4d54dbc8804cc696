// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What one SA among many costs: with 64 octets, look-ups included, SAs in random order; and its memory.

package sadb

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/wire/natt"
)

var counts = []int{1, 1000, 10000, 100000}

func inner(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
func outer(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, byte(64 + i>>16), byte(i >> 8), byte(i)})
}

// warrior is the i-th client of a gateway: with an address of its own inside and outside. Its pair opens what it seals.
func warrior(t testing.TB, db *DB, i int, key secret.Key) *Pair {
	t.Helper()
	spi, reqid, err := db.Reserve(start, 0)
	if err != nil {
		t.Fatal(err)
	}
	host := Selector{From: inner(i), To: inner(i), PortTo: 65535}
	err = db.Install(start, Child{
		Reqid: reqid, SPIIn: spi, SPIOut: spi, Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, KeyIn: key, KeyOut: key,
		Endpoint: Endpoint{Local: local, Remote: netip.AddrPortFrom(outer(i), 4500), Encap: natt.NonESP},
		TSLocal:  []Selector{sel("0.0.0.0/0")}, TSRemote: []Selector{host},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db.Inbound(spi)
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// roundTrip seals and opens 64 octets of client i.
func roundTrip(t testing.TB, db *DB, i int, buf []byte) {
	f := Flow{Local: IP{Lo: 0xc0a80101}, Remote: ipOf(inner(i)), Proto: 17, LocalPort: 5, RemotePort: 6, Ports: HavePorts}
	m, _ := db.Match(&f)
	var b Bundle
	if m.Resolve(1, &f, &b) != Sealed {
		t.Fatal("no SA")
	}
	s := b.SAs[0]
	if p := s.Pair(); p != nil && !b.Inside {
		if ok, _ := p.Contains(&f); !ok {
			t.Fatal("outside")
		}
	}
	s.BeginSeal(1)
	n, err := s.Seal(buf, 64, esp.NextHeaderIPv4)
	s.EndSeal()
	if err != nil {
		t.Fatal(err)
	}
	r := db.Receiver(ProtoESP, binary.BigEndian.Uint32(buf), local.Addr())
	if r == nil {
		t.Fatal("no inbound SA")
	}
	r.BeginOpen(1)
	a := Arrival{From: r.Endpoint().Remote, To: local}
	_, err = r.Open(buf[:n], &a)
	r.EndOpen()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPairs(b *testing.B) {
	for _, n := range counts {
		before := inUse()
		db := newDB(b, 0)
		key := secret.New([]byte("0123456789abcdefsalt"))
		for i := range n {
			warrior(b, db, i, key)
		}
		octets := (inUse() - before) / uint64(n)
		b.Run(fmt.Sprintf("packet/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 256)
			for b.Loop() {
				roundTrip(b, db, rand.IntN(n), buf)
			}
			b.ReportMetric(float64(octets), "octets/pair")
		})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			for b.Loop() {
				p := warrior(b, db, n+7, key)
				db.Remove(start, p.SPIIn(), false)
				db.forgetRetired(never)
			}
		})
		runtime.KeepAlive(db)
	}
}

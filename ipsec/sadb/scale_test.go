// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What one SA among many costs: with 64 octets, look-ups included, SAs in random order; and its memory.

package sadb

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// warmer picks clients in random order, in batches as the data plane has them.
type warmer struct {
	batch [MaxWarm]int
	at    int
	to    [MaxWarm]Remote
	spis  [MaxWarm]uint32
	warm  Warm
}

func (w *warmer) next(db *DB, n int) int {
	if w.at = (w.at + 1) % MaxWarm; w.at != 0 {
		return w.batch[w.at]
	}
	for i := range w.batch {
		w.batch[i] = rand.IntN(n)
		w.to[i] = Remote{Addr: ipOf(inner(w.batch[i]))}
	}
	if db.Crowded() {
		w.warm.Sealing(db, w.to[:])
		for i, p := range w.warm.pairs { // what would arrive
			w.spis[i] = p.spiIn
		}
		w.warm.Opening(db, w.spis[:])
	}
	return w.batch[0]
}

// TestWarm: what is warmed is what will be used, and nothing is allocated; strangers find nothing.
func TestWarm(t *testing.T) {
	db := newDB(t, 0)
	key := secret.New([]byte(gcmKey))
	for i := range crowd {
		if db.Crowded() {
			t.Fatal("too early")
		}
		warrior(t, db, i, key)
	}
	if !db.Crowded() {
		t.Fatal("not crowded")
	}
	var w Warm
	list := []Remote{{Addr: ipOf(inner(7))}, {Addr: ipOf(outer(1))}, {Addr: IP{Lo: 1, Hi: 2}, V6: true}, {Addr: ipOf(inner(crowd - 1))}}
	w.Sealing(db, list)
	for i, want := range []netip.Addr{outer(7), outer(crowd - 1)} {
		if got := w.pairs[i]; got == nil || got.Endpoint().Remote.Addr() != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if w.pairs[2] != nil {
		t.Error("a stranger has a pair")
	}
	w.Opening(db, []uint32{w.pairs[0].spiIn, 0, 0xffffffff})
	w.Opening(db, make([]uint32, 2*MaxWarm))
	if n := testing.AllocsPerRun(10, func() { w.Sealing(db, list) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestHostsSpread: addresses that somebody chose by what is written here do not meet in one chain. These had one hash when its numbers
// were constants.
func TestHostsSpread(t *testing.T) {
	h := newHosts()
	const n = 4096
	for i := range uint64(n) {
		h.set(hostKey{addr: IP{Hi: i, Lo: 1 ^ i*0xff51afd7ed558ccd}, v6: true, class: classChild}, &leaf{}, nil)
	}
	longest := 0
	for i := range *h.chains.Load() {
		k := 0
		for x := (*h.chains.Load())[i].Load(); x != nil; x = x.next.Load() {
			k++
		}
		longest = max(longest, k)
	}
	if longest > 16 { // one chance in 10^10
		t.Errorf("%d addresses in one chain", longest)
	}
	if a, b := newHosts(), newHosts(); a.factors == b.factors {
		t.Error("the numbers are known")
	}
}

// TestHostsGrow: readers find every address while the table grows and shrinks.
func TestHostsGrow(t *testing.T) {
	db := newDB(t, 0)
	add := func(i int) PolicyID {
		id, err := db.AddPolicy(Policy{Action: Discard, Local: []Selector{sel("0.0.0.0/0")}, Remote: []Selector{{From: inner(i), To: inner(i), PortTo: 65535}}})
		if err != nil {
			t.Error(err)
		}
		return id
	}
	const fixed, more = 50, 3000
	for i := range fixed {
		add(i)
	}
	var all sync.WaitGroup
	var stop atomic.Bool
	all.Go(func() {
		for i := 0; !stop.Load(); i++ {
			f := Flow{Remote: ipOf(inner(i % fixed)), Proto: 6, Ports: HavePorts}
			if m, _ := db.Match(&f); m.Action != Discard {
				t.Errorf("address %d is not found", i%fixed)
				return
			}
		}
	})
	var ids []PolicyID
	for i := range more {
		ids = append(ids, add(fixed+i))
	}
	for _, id := range ids {
		db.RemovePolicy(id)
	}
	stop.Store(true)
	all.Wait()
	f := Flow{Remote: ipOf(inner(fixed + 1)), Proto: 6, Ports: HavePorts}
	if m, _ := db.Match(&f); m.Action != 0 || db.spd.Load().hosts.n != fixed {
		t.Error("something is left")
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
			var w warmer
			for b.Loop() {
				roundTrip(b, db, w.next(db, n), buf)
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

// keyed is the i-th client as a key daemon of PF_KEY has it: two single SAs and two policies.
func keyed(t testing.TB, db *DB, i int, key secret.Key) (out, in SA, ids [2]PolicyID) {
	t.Helper()
	out = SA{Proto: ProtoESP, SPI: 1<<20 + 2*uint32(i), Src: local.Addr(), Dst: outer(i), Encap: natt.NonESP, SrcPort: 4500, DstPort: 4500,
		Mode: Tunnel, Suite: gcm128, Key: key, Owner: 1}
	in = out
	in.SPI, in.Src, in.Dst = out.SPI+1, out.Dst, out.Src
	for _, s := range []SA{out, in} {
		if err := db.AddSA(start, s); err != nil {
			t.Fatal(err)
		}
	}
	e := SPDEntry{Dir: Out, Action: Protect, Local: sel("0.0.0.0/0"), Remote: Selector{From: inner(i), To: inner(i), PortTo: 65535},
		Templates: []Template{{Proto: ProtoESP, Mode: Tunnel, Src: out.Src, Dst: out.Dst}}}
	ids[0] = addEntry(t, db, e)
	e.Dir, e.Templates = In, []Template{{Proto: ProtoESP, Mode: Tunnel, Src: in.Src, Dst: in.Dst}}
	ids[1] = addEntry(t, db, e)
	return out, in, ids
}

// BenchmarkSingles is BenchmarkPairs for SAs of PF_KEY, with the policy of what is opened looked up.
func BenchmarkSingles(b *testing.B) {
	for _, n := range counts {
		before := inUse()
		db := newDB(b, 0)
		key := secret.New([]byte(gcmKey))
		for i := range n {
			keyed(b, db, i, key)
		}
		buf := make([]byte, 256)
		for i := range n {
			singleTrip(b, db, i, 1, buf) // makes the halves
		}
		octets := (inUse() - before) / uint64(n)
		b.Run(fmt.Sprintf("packet/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				singleTrip(b, db, rand.IntN(n), 1, buf)
			}
			b.ReportMetric(float64(octets), "octets/pair")
		})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			for b.Loop() {
				out, in, ids := keyed(b, db, n+7, key)
				for _, id := range ids {
					if _, err := db.SPDDelete(id); err != nil {
						b.Fatal(err)
					}
				}
				for _, s := range []SA{out, in} {
					if _, err := db.DeleteSA(start, s.ID()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		runtime.KeepAlive(db)
	}
}

// singleTrip seals 64 octets to client i, opens them as if client i had sent them, and asks whether they may be delivered.
func singleTrip(t testing.TB, db *DB, i int, now int64, buf []byte) {
	f := Flow{Local: IP{Lo: 0xc0a80101}, Remote: ipOf(inner(i)), Proto: 17, LocalPort: 5, RemotePort: 6, Ports: HavePorts}
	m, _ := db.Match(&f)
	var b Bundle
	if m.Resolve(now, &f, &b) != Sealed {
		t.Fatal("no SA")
	}
	s := b.SAs[0]
	s.BeginSeal(now)
	n, err := s.Seal(buf, 64, esp.NextHeaderIPv4)
	s.EndSeal()
	if err != nil {
		t.Fatal(err)
	}
	r := db.Receiver(ProtoESP, binary.BigEndian.Uint32(buf)+1, local.Addr())
	if r == nil {
		t.Fatal("no inbound SA")
	}
	binary.BigEndian.PutUint32(buf, r.spi)
	r.BeginOpen(now)
	_, err = r.Open(buf[:n], &Arrival{From: r.Source().Remote, To: local})
	r.EndOpen()
	// The SPI is under the ICV: what was sealed for another SA is refused, which costs what opening costs.
	if err != esp.ErrICV {
		t.Fatal(err)
	}
	chain := [1]Layer{{SA: r, Tunnel: true}}
	if v := db.CheckIn(now, &f, chain[:]); v != Accepted {
		t.Fatal(v)
	}
}

// TestManyBetweenTwo: SAs between the same two addresses, as behind one NAT, cost no more each than others.
func TestManyBetweenTwo(t *testing.T) {
	db := newDB(t, 0)
	const n = 20000
	began := time.Now()
	for i := range uint32(n) {
		for _, s := range []SA{outSA(1<<20 + 2*i), inSA(1<<20 + 2*i + 1)} {
			s.SrcPort, s.DstPort = uint16(1+i%60000), uint16(1+i%60000)
			if err := db.AddSA(start, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range uint32(n) {
		if err := db.UpdateSA(start, SAID{ProtoESP, 1<<20 + 2*i, peer.Addr()}, Change{Limits: &Limits{HardPackets: 9}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.FlushSAs(start, 0); got != 2*n {
		t.Fatalf("%d flushed", got)
	}
	empty(t, db)
	// Quadratic, it took minutes; this is for a machine that is busy with other things.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d pairs took %v", n, took)
	}
}

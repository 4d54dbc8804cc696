// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What SAs cost each other: 64 octets sealed and opened, look-ups included, with 1 to 100,000 road warriors whose packets come in
// random order, as in a gateway's socket.

package dataplane

import (
	"crypto/cipher"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

var warriorCounts = []int{1, 1000, 10_000, 100_000}

// view is that of port/ahead, which is above this room.
func view(a cipher.AEAD) *suite.Lines {
	v := reflect.ValueOf(a)
	if v.Kind() != reflect.Pointer || v.Type().Elem().Size() < unsafe.Sizeof(suite.Lines{}) {
		return nil
	}
	return (*suite.Lines)(v.UnsafePointer())
}

// warrior is the address of a client.
func warrior(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(64 + i>>16), byte(i >> 8), byte(i)})
}

// warriors is a gateway with n clients, each with an address of its own, whose pairs open what they seal.
func warriors(t testing.TB, n int) (*world, []netip.Addr) {
	t.Helper()
	w := newWorld(t, gcm, nil)
	k := key(20)
	addrs := make([]netip.Addr, n)
	for i := range n {
		addrs[i] = warrior(i)
		spi, reqid, err := w.a.db.Reserve(w.now, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = w.a.db.Install(w.now, sadb.Child{
			Reqid: reqid, SPIIn: spi, SPIOut: spi, Suite: gcm, KeyIn: k, KeyOut: k, Window: 64, CopyDF: true, CopyECN: true,
			Endpoint: sadb.Endpoint{Local: outerA, Remote: netip.AddrPortFrom(addrs[i], 4500), Encap: natt.NonESP},
			TSLocal:  []sadb.Selector{everything(false)}, TSRemote: []sadb.Selector{host(addrs[i])},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return w, addrs
}

// shuffled is batches of packets to clients in random order.
func shuffled(addrs []netip.Addr, batches int) [][][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([][][]byte, batches)
	for i := range list {
		for range BatchSize {
			// From the client to itself: the pair opens what it seals, and the packet lies in its selectors both ways.
			a := addrs[r.IntN(len(addrs))].String()
			p := ipv4(a, a, protoUDP, udpOf(5000, 6000, 36))
			list[i] = append(list[i], append(make([]byte, Headroom, Headroom+128), p...))
		}
	}
	return list
}

func BenchmarkSealAmong(b *testing.B) {
	for _, n := range warriorCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, addrs := warriors(b, n)
			sealAmong(b, w.now, w.a, addrs)
		})
	}
}

func BenchmarkOpenAmong(b *testing.B) {
	for _, n := range warriorCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w, addrs := warriors(b, n)
			openAmong(b, w.now, w.a, w.a, addrs)
		})
	}
}

// of64 are the sizes of a batch.
func of64() []int {
	sizes := make([]int, BatchSize)
	for i := range sizes {
		sizes[i] = 64
	}
	return sizes
}

// batchTimes is how long each batch took. On a machine that does other things too the mean is theirs as well; the median hardly is.
type batchTimes []time.Duration

func (t batchTimes) report(b *testing.B) {
	slices.Sort(t)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/BatchSize, "ns/packet")
	b.ReportMetric(float64(t[len(t)/2].Nanoseconds())/BatchSize, "median-ns/packet")
}

// sealAmong seals packets to clients in random order.
func sealAmong(b *testing.B, now time.Time, gw *end, addrs []netip.Addr) {
	batches, sizes := shuffled(addrs, 512), of64()
	times := make(batchTimes, 0, 1<<20)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if s := gw.out.Seal(now, batches[i%len(batches)], sizes, Headroom); len(s.Datagrams) == 0 {
			b.Fatal(gw.e.Counters())
		}
		times = append(times, time.Since(began))
	}
	times.report(b)
}

// openAmong opens what clients have sealed, in random order, long after it was sealed: nothing of an SA is in the caches from that.
func openAmong(b *testing.B, now time.Time, clients, gw *end, addrs []netip.Addr) {
	const ahead = 256 // batches that are sealed at a time
	batches, sizes := shuffled(addrs, 512), of64()
	var grams [ahead][]Datagram
	var memory [ahead][]byte
	for i := range grams {
		grams[i], memory[i] = make([]Datagram, maxDatagrams), make([]byte, BatchSize*128)
	}
	times := make(batchTimes, 0, 1<<20)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%ahead == 0 {
			b.StopTimer()
			for j := range grams {
				m := received(grams[j][:maxDatagrams], memory[j], clients.out.Seal(now, batches[(i+j)%len(batches)], sizes, Headroom).Datagrams)
				grams[j] = grams[j][:m]
				for k := range grams[j] {
					if clients == gw { // it comes from where the pair expects it
						grams[j][k].Remote, grams[j][k].Local = grams[j][k].Local, grams[j][k].Remote
					}
				}
			}
			b.StartTimer()
		}
		began := time.Now()
		gw.in.Open(now, grams[i%ahead])
		times = append(times, time.Since(began))
	}
	b.StopTimer()
	if c := gw.e.Counters(); c[InOpened] < uint64(b.N)*BatchSize {
		b.Fatal(c)
	}
	times.report(b)
}

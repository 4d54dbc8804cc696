// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a packet costs: nothing on the heap, batch in to batch out, in both directions, with 100 policies, counters and the MSS
// clamp; and how long it takes.

package dataplane

import (
	"fmt"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// crowd adds a hundred policies of every kind to h, none of which matches the traffic of these tests.
func crowd(t testing.TB, h *end) {
	t.Helper()
	for i := range 100 {
		p := sadb.Policy{Action: sadb.Bypass, Local: []sadb.Selector{selector("10.1.0.0/16")}, Remote: []sadb.Selector{selector("10.2.0.0/16")}}
		p.Local[0].Proto, p.Local[0].PortFrom, p.Local[0].PortTo = protoUDP, uint16(i), uint16(i)
		switch i % 4 {
		case 1:
			p.Action = sadb.Discard
		case 2:
			p.Action, p.Reqid = sadb.Protect, 1000+uint32(i)
			p.Remote[0] = selector(fmt.Sprintf("10.2.%d.0/24", 100+i))
		case 3:
			p.Remote[0] = sadb.Selector{From: p.Remote[0].From.Next(), To: p.Remote[0].To.Prev(), PortTo: 65535}
		}
		if _, err := h.db.AddPolicy(p); err != nil {
			t.Fatal(err)
		}
	}
}

// batch is packets of many flows in a device's buffers: TCP segments, their acknowledgements, SYNs and UDP.
func mixed(size int) (bufs [][]byte, sizes []int) {
	for i := range BatchSize {
		var p []byte
		switch i % 8 {
		case 0:
			p = ipv4("10.1.0.5", "10.2.0.7", protoUDP, udpOf(uint16(1000+i), 53, size-28))
		case 1:
			p = ipv6("2001:db8:1::5", "2001:db8:2::7", protoUDP, udpOf(uint16(1000+i), 53, max(size-48, 0)))
		case 2:
			p = syn(1460, nil)
		default:
			p = tcp4(max(size-40, 0), uint32(i*size), 0x10)
		}
		bufs = append(bufs, append(make([]byte, Headroom, Headroom+2048), p...))
		sizes = append(sizes, len(p))
	}
	return bufs, sizes
}

func TestNoAllocation(t *testing.T) {
	for name, s := range suites() {
		for _, size := range []int{64, 1400} {
			w := newWorld(t, s, nil)
			crowd(t, w.a)
			crowd(t, w.b)
			bufs, sizes := mixed(size)
			var grams [maxDatagrams]Datagram
			memory := make([]byte, 1<<20)
			run := func() {
				sent := w.a.out.Seal(w.now, bufs, sizes, Headroom)
				n := received(grams[:], memory, sent.Datagrams)
				if got := w.b.in.Open(w.now, grams[:n]); len(got.Packets) != BatchSize {
					t.Fatalf("%s: %d packets; %v", name, len(got.Packets), w.b.e.Counters())
				}
			}
			run()
			if n := testing.AllocsPerRun(20, run); n != 0 {
				t.Errorf("%s, %d octets: %v allocations for a batch of %d packets", name, size, n, BatchSize)
			}
			if c := w.a.e.Counters(); c[OutClamped] == 0 {
				t.Error("nothing was clamped")
			}
		}
	}
}

// received copies datagrams into the buffers of a socket, without allocating.
func received(dst []Datagram, memory []byte, sent []Datagram) int {
	for i, d := range sent {
		n := copy(memory, d.Buf[:d.N])
		dst[i] = d
		dst[i].Buf, memory = memory[:n], memory[n:]
		dst[i].Remote, dst[i].Local = d.Local, d.Remote
	}
	return len(sent)
}

func stream(size int) (bufs [][]byte, sizes []int) {
	for i := range BatchSize {
		p := tcp4(size-40, uint32(i*(size-40)), 0x10)
		bufs = append(bufs, append(make([]byte, Headroom, Headroom+2048), p...))
		sizes = append(sizes, len(p))
	}
	return bufs, sizes
}

func benchSuites() map[string]suite.ESP {
	all := suites()
	return map[string]suite.ESP{"aes128gcm": all["aes128gcm"], "chacha20poly1305": all["chacha20poly1305"], "aes128-sha256": {Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128}}
}

func BenchmarkSeal(b *testing.B) {
	for name, s := range benchSuites() {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				w := newWorld(b, s, nil)
				crowd(b, w.a)
				bufs, sizes := stream(size)
				b.SetBytes(int64(size * BatchSize))
				b.ReportAllocs()
				for b.Loop() {
					w.a.out.Seal(w.now, bufs, sizes, Headroom)
				}
				b.ReportMetric(float64(b.N)*BatchSize/b.Elapsed().Seconds(), "packets/s")
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, s := range benchSuites() {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				w := newWorld(b, s, nil)
				crowd(b, w.b)
				bufs, sizes := stream(size)
				var grams [maxDatagrams]Datagram
				memory := make([]byte, 1<<20)
				b.SetBytes(int64(size * BatchSize))
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					n := received(grams[:], memory, w.a.out.Seal(w.now, bufs, sizes, Headroom).Datagrams)
					b.StartTimer()
					w.b.in.Open(w.now, grams[:n])
				}
				b.ReportMetric(float64(b.N)*BatchSize/b.Elapsed().Seconds(), "packets/s")
			})
		}
	}
}

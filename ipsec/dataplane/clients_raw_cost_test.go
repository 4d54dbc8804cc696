// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What is noted of the ports of peers without UDP, and what that costs.

package dataplane

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/ipsec/sadb"
)

// TestRawPages: a port is the peer's for rawIdle after its last packet at least, and for three times that at most, whatever is noted beside it;
// against a table of times.
func TestRawPages(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var p rawPage
		now, last := int64(0), map[uint16]int64{}
		ports := rapid.SampledFrom([]uint16{0, 1, 63, 64, 511})
		r.Repeat(map[string]func(*rapid.T){
			"mark": func(r *rapid.T) {
				port := ports.Draw(r, "port")
				if !p.fresh(now, port) { // as raw does
					p.mark(now, port)
				}
				last[port] = now
				if !p.fresh(now, port) {
					r.Fatal("not noted")
				}
			},
			"wait": func(r *rapid.T) { now += rapid.Int64Range(0, rawIdle).Draw(r, "time") },
			"": func(r *rapid.T) {
				for _, port := range []uint16{0, 1, 63, 64, 511} {
					at, ok := last[port]
					switch has := p.has(now, port); {
					case has && (!ok || now-at > 3*rawIdle):
						r.Fatalf("port %d is still taken", port)
					case !has && ok && now-at < rawIdle:
						r.Fatalf("port %d is not taken", port)
					}
				}
			},
		})
	})
}

// batch is a batch of flows of the router's, out and in, in the buffers of devices and sockets.
func (r *router) batch() (run func() (opened int)) {
	var down, up [][]byte
	var sizes []int
	for i := range uint16(64) {
		p := packet(natted.gateway.Addr(), natted.outside.Addr(), protoUDP, udpOf(53, 700+i, 8))
		down, sizes = append(down, append(make([]byte, Headroom), p...)), append(sizes, len(p))
		up = append(up, append(make([]byte, Headroom), packet(natted.outside.Addr(), natted.gateway.Addr(), protoUDP, udpOf(700+i, 53, 8))...))
	}
	grams, memory := make([]Datagram, maxDatagrams), make([]byte, 1<<20)
	return func() int {
		r.gw.out.Seal(r.now, down, sizes, Headroom)
		n := received(grams, memory, r.m.out.Seal(r.now, up, sizes, Headroom).Datagrams)
		return len(r.gw.in.Open(r.now, grams[:n]).Packets)
	}
}

// TestRawAllocates: a peer without UDP costs no memory for a packet, in nor out.
func TestRawAllocates(t *testing.T) {
	r := newRouter(t)
	r.arrives(r.keyed(0x3000, 30000), 1701)
	run := r.batch()
	if n := run(); n != 64 {
		t.Fatalf("%d packets: %v", n, r.gw.e.Counters())
	}
	if n := testing.AllocsPerRun(20, func() { run() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRaw: 64 packets of as many flows of a peer without UDP sealed by it, opened, and as many sealed for it.
func BenchmarkRaw(b *testing.B) {
	run := newRouter(b).batch()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/flow")
}

// TestAskIsBounded: however many clients were replaced in silence, a tick asks for a bounded number of them, and in the end for all, each once.
func TestAskIsBounded(t *testing.T) {
	r := newRouter(t)
	const people = 2*askStep + 10
	for i := range uint32(people) {
		r.arrives(r.keyed(0x3000+2*i, 30000+uint16(i)), 2000+uint16(i))
		if _, err := r.gw.db.DeleteSA(r.now, sadb.SAID{Proto: sadb.ProtoESP, SPI: 0x3000 + 2*i, Dst: natted.gateway.Addr()}); err != nil {
			t.Fatal(err)
		}
	}
	sh := r.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1).remote)
	for _, want := range []int{askStep, 2 * askStep, people, people} {
		r.wait(tickPause)
		asked := 0
		for _, c := range sh.clients[natted.outside.Addr()] {
			if c.heir.Load() != nil {
				asked++
			}
		}
		if asked != want {
			t.Errorf("%d are asked for, expected %d", asked, want)
		}
	}
	r.wait(endpointRest)
	r.wait(flowRest)
	if n := len(sh.clients[natted.outside.Addr()]); n != people {
		t.Errorf("%d clients, expected %d: all live", n, people)
	}
}

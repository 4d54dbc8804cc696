// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package mux

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/isakmp"
)

func TestRouterSPIs(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{2})
	for _, shards := range []int{0, 1, 2, 3, 7, 8} {
		r, err := NewRouter(rnd, shards)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			shard := i % max(1, shards)
			spi, err := r.NewSPI(rnd, shard)
			if err != nil || spi == 0 {
				t.Fatalf("SPI %x: %v", spi, err)
			}
			// A message of the peer: as responder the local SPI is SPIr, as initiator SPIi.
			asResponder := isakmp.Header{SPIi: 1, SPIr: spi, Flags: isakmp.FlagInitiator}
			asInitiator := isakmp.Header{SPIi: spi, SPIr: 1, Flags: isakmp.FlagResponse}
			for _, h := range []isakmp.Header{asResponder, asInitiator} {
				if got := r.Shard(from("198.51.100.1:500", h.Append(nil))); got != shard {
					t.Errorf("of %d shards: SPI %016x went to %d, expected %d", shards, spi, got, shard)
				}
			}
		}
	}
}

func TestRouterFirst(t *testing.T) {
	r, _ := NewRouter(rand.NewChaCha8([32]byte{3}), 8)
	other, _ := NewRouter(rand.NewChaCha8([32]byte{4}), 8)
	counts, differ := [8]int{}, 0
	for i := range 4000 {
		addr := fmt.Sprintf("10.0.%d.%d:500", i/250, i%250)
		d := from(addr, request(uint64(i+1), nil))
		shard := r.Shard(d)
		counts[shard]++
		if other.Shard(d) != shard {
			differ++
		}
		withCookie := from(fmt.Sprintf("10.0.%d.%d:4500", i/250, i%250), request(uint64(i+1), make([]byte, 17)))
		if r.Shard(withCookie) != shard {
			t.Fatal("the same first message with a cookie went to another shard")
		}
	}
	for shard, n := range counts {
		if n < 350 || n > 650 {
			t.Errorf("shard %d has %d of 4000 first messages", shard, n)
		}
	}
	if differ < 3000 {
		t.Errorf("two keys spread %d of 4000 differently: the spread can be predicted", differ)
	}
	if r.Shard(ike.Datagram{Bytes: make([]byte, 27)}) != 0 {
		t.Error("a short message did not go to shard 0")
	}
}

func TestRouterWithoutRandomness(t *testing.T) {
	broken := iotest.ErrReader(errors.New("no entropy"))
	if _, err := NewRouter(broken, 1); err == nil {
		t.Error("a router without a key")
	}
	r, _ := NewRouter(rand.NewChaCha8([32]byte{}), 1)
	if _, err := r.NewSPI(broken, 0); err == nil {
		t.Error("an SPI without randomness")
	}
	m := New(broken, DefaultLimits())
	if got := m.First(start, from("198.51.100.1:500", request(7, nil))); got.Verdict != Drop || got.Drop != ike.DropLimit {
		t.Errorf("a first message without a cookie secret: %+v", got)
	}
}

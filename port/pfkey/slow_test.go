// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

package pfkey

import (
	"context"
	"testing"
	"time"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// TestT098Sockets: a hundred clients that do not read have dumps run, are sent notices and send requests; what waits for them is bounded
// and counted, and another client is served meanwhile at once.
func TestT098Sockets(t *testing.T) {
	s := newTables(100_000)
	h, path := serve(t, s, Config{Dialect: wire.Linux})
	const deaf = 100
	dump, err := codec(wire.Linux).Append(nil, &wire.Message{Header: wire.Header{Type: wire.TypeDump}})
	if err != nil {
		t.Fatal(err)
	}
	for range deaf {
		c := connect(t, path, wire.Linux)
		if _, err := c.conn.Write(dump); err != nil {
			t.Fatal(err)
		}
	}
	one := connect(t, path, wire.Linux)
	ctx := limited(t)
	slowest := time.Duration(0)
	for range 3000 {
		begin := time.Now()
		if _, err := one.Request(ctx, add()); err != nil { // goes to all
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin))
	}
	if slowest > 5*time.Second {
		t.Errorf("a request was answered after %s", slowest)
	}
	if h.Lost() == 0 {
		t.Error("nothing was lost, expected the notices beyond the queues")
	}
	h.do(func() {
		for id, c := range h.clients {
			c.out.mu.Lock()
			if c.out.octets > maxQueue+4096 || len(c.out.queue) > maxQueueMessages+1 {
				t.Errorf("client %d: %d octets in %d messages wait", id, c.out.octets, len(c.out.queue))
			}
			c.out.mu.Unlock()
		}
		if s.made > deaf*(2*maxQueueMessages) {
			t.Errorf("%d messages of dumps were made for clients that read none", s.made)
		}
	})
}

// TestSlowReaderGetsItsDump: a client that stopped reading loses notices, and no message of its dump.
func TestSlowReaderGetsItsDump(t *testing.T) {
	h, path := serve(t, newTables(20_000), Config{Dialect: wire.Linux})
	slow, other := connect(t, path, wire.Linux), connect(t, path, wire.Linux)
	ctx := limited(t)
	if err := slow.Send(ctx, &wire.Message{Header: wire.Header{Type: wire.TypeDump, Seq: 1, PID: 1}}); err != nil {
		t.Fatal(err)
	}
	for h.Lost() == 0 {
		if _, err := other.Request(ctx, add()); err != nil {
			t.Fatal(err)
		}
	}
	for seq := uint32(1); ; {
		m, err := slow.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != wire.TypeDump {
			continue
		}
		if m.Seq == 0 {
			break
		}
		if m.Seq != seq {
			t.Fatalf("message %d of the dump, expected %d", m.Seq, seq)
		}
		seq++
	}
}

// TestRequestsWithoutReading: a client that only sends is not served for ever, and all its answers come when it reads.
func TestRequestsWithoutReading(t *testing.T) {
	s := newTables(1)
	_, path := serve(t, s, Config{Dialect: wire.Linux})
	c := connect(t, path, wire.Linux)
	const much = 20_000 // of which the queue, and the system's buffers both ways, hold a part
	sent := uint32(0)
	for ; sent < much; sent++ {
		m := add()
		m.Seq, m.PID = sent+1, 1
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := c.Send(ctx, m)
		cancel()
		if err != nil {
			break
		}
	}
	if sent == much {
		t.Fatal("nothing held the client back")
	}
	for seq := uint32(1); seq <= sent; seq++ {
		m, err := c.Receive(limited(t))
		if err != nil || m.Seq != seq {
			t.Fatalf("answer %d of %d: %v %v", seq, sent, m, err)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package vici

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	wire "github.com/natterjack/natterjack/wire/vici"
)

// closedByServer reports whether the server closed the connection.
func closedByServer(t *testing.T, conn net.Conn, limit time.Duration) bool {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, conn)
	return err == nil || strings.Contains(err.Error(), "reset")
}

// HOSTILE T-100: a length of 4 GiB, of nothing, and frames that are no packets end their client and nobody else.
func TestT100Frames(t *testing.T) {
	_, _, path := serve(t)
	frame := func(b string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + b
	}
	for name, b := range map[string]string{
		"4 GiB": "\xff\xff\xff\xff\x00", "one too many": "\x00\x08\x00\x01\x00", "nothing": "\x00\x00\x00\x00",
		"type 9": frame("\x09"), "a response": frame("\x01"), "an event": frame("\x07\x01a"), "no name": frame("\x00"),
		"deep":      frame("\x00\x04echo" + strings.Repeat("\x01\x01a", 10000)),
		"cut value": frame("\x00\x04echo\x03\x01a\xff\xffb"),
	} {
		conn := raw(t, path)
		if _, err := conn.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
		if !closedByServer(t, conn, 5*time.Second) {
			t.Errorf("%s: the client was not disconnected", name)
		}
	}
	alive(t, path)
}

// HOSTILE T-100: a part of a frame and then nothing ends the client; nothing at all does not.
func TestT100PartialFrame(t *testing.T) {
	s, _, path := serve(t)
	s.frameTime = 100 * time.Millisecond
	silent := dial(t, path)
	for _, part := range []string{"\x00", "\x00\x00\x00\x06", "\x00\x00\x00\x06\x00\x04ech"} {
		conn := raw(t, path)
		if _, err := conn.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if !closedByServer(t, conn, 5*time.Second) {
			t.Errorf("%x: the client was not disconnected", part)
		}
	}
	if _, err := silent.Call(t.Context(), "echo", nil); err != nil {
		t.Errorf("a client that was silent between frames: %v", err)
	}
}

// HOSTILE T-100: 1,000 idle clients, half of them with a part of a frame, do not keep another from being served.
func TestT100IdleClients(t *testing.T) {
	s, _, path := serve(t)
	watcher := dial(t, path)
	if err := watcher.Subscribe(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		conn := raw(t, path)
		if i%2 == 0 {
			conn.Write([]byte("\x00\x00\x01\x00\x00"))
		}
	}
	alive(t, path)
	s.mu.Lock()
	n := len(s.clients)
	s.mu.Unlock()
	if n > maxClients {
		t.Errorf("%d clients, at most %d", n, maxClients)
	}
	// One that waits for events is not idle.
	s.Publish("news", wire.New().Set("n", "1"))
	if e, err := watcher.Next(t.Context()); err != nil || e.Message.Get("n") != "1" {
		t.Errorf("the watcher: %v %v", e, err)
	}
}

// HOSTILE T-100: somebody who registers events and reads none is disconnected; who publishes does not wait.
func TestT100SlowReader(t *testing.T) {
	s, _, path := serve(t)
	slow := dial(t, path)
	if err := slow.Subscribe(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	m := wire.New().Set("data", strings.Repeat("x", 50000))
	begin := time.Now()
	for range 1000 {
		s.Publish("news", m)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("publishing took %v", took)
	}
	if s.Wanted("news") {
		t.Error("the slow reader is still there")
	}
	alive(t, path)
}

// HOSTILE T-100: a client that is killed in the middle of a long reply ends the command.
func TestT100KilledInReply(t *testing.T) {
	_, e, path := serve(t)
	c := dial(t, path)
	if err := c.Subscribe(t.Context(), "item"); err != nil {
		t.Fatal(err)
	}
	if err := c.write(&wire.Packet{Type: wire.CmdRequest, Name: "flood"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.read(); err != nil {
		t.Fatal(err)
	}
	alive(t, path)
	c.Close()
	within(t, e.released)
	alive(t, path)
}

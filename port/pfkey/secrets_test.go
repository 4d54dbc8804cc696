// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

// Keys in messages stay nowhere longer than the messages have to; what clients cannot do to a log, and others not to a Conn.

package pfkey

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/crypt/secret"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// zeros reports whether there is nothing in b.
func zeros(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }

// TestClearedWhenDelivered: the octets of a message are cleared when the last of those who share it has got it, and not before; one that
// comes from the server, a DUMP's, too.
func TestClearedWhenDelivered(t *testing.T) {
	h, path := serve(t, newTables(1), Config{Dialect: wire.Linux})
	one, deaf := connect(t, path, wire.Linux), connect(t, path, wire.Linux)
	for clients := 0; clients != 2; {
		h.do(func() { clients = len(h.clients) })
	}
	k := secret.New(bytes.Repeat([]byte{0x5a}, 20))
	m := add()
	m.KeyAuth = &k
	octets := func() []byte {
		b, err := one.codec.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	deliver := func(b []byte, to ...wire.ClientID) {
		h.Do(func(time.Time) (list []wire.Delivery) {
			for _, id := range to {
				list = append(list, wire.Delivery{To: id, Msg: b})
			}
			return list
		})
	}
	b := octets()
	deliver(b, 1, 2, 99)
	if !zeros(b) {
		t.Errorf("after everybody has it: %x", b)
	}
	if got, err := one.Receive(limited(t)); err != nil || got.KeyAuth == nil || !got.KeyAuth.Equal(k) {
		t.Errorf("%v %v", got, err)
	}
	if !zeros(one.buf) {
		t.Error("the octets of what was received are still there")
	}
	for h.Lost() == 0 {
		deliver(octets(), 2)
	}
	b = octets()
	deliver(b, 2)
	if !zeros(b) {
		t.Error("what was dropped is still there")
	}
	for !func() (empty bool) { // until what waits has been read, and nothing in it was cleared too early
		got, err := deaf.Receive(limited(t))
		if err != nil || got.KeyAuth == nil || !got.KeyAuth.Equal(k) {
			t.Fatalf("%v %v", got, err)
		}
		h.do(func() { c := h.clients[2].out; c.mu.Lock(); empty = len(c.queue) == 0; c.mu.Unlock() })
		return empty
	}() {
	}
}

// TestQueueClearedAtTheEnd: what waits for a client that goes is cleared, and its message when all who share it are gone.
func TestQueueClearedAtTheEnd(t *testing.T) {
	near, far := pair(t, unix.SOCK_SEQPACKET)
	o := newOutbox(far, func() {})
	o.writing = true // nobody writes
	m := newMessage([]byte{1, 2, 3}, 2)
	o.put(m, true)
	o.close()
	if zeros(m.b) {
		t.Error("another client still needs it")
	}
	o.put(m, true)
	if !zeros(m.b) {
		t.Error("nobody needs it")
	}
	near.Close()
}

// TestUnwritable: a client that cannot be written to is disconnected, and does not wait for ever for what never comes.
func TestUnwritable(t *testing.T) {
	h := NewHub(newTables(1), slog.New(slog.DiscardHandler))
	defer h.Close()
	near, far := pair(t, unix.SOCK_STREAM)
	if err := h.Add(far, wire.ClientInfo{Dialect: wire.Linux, Privileged: true}); err != nil {
		t.Fatal(err)
	}
	h.do(func() {
		c := h.clients[1]
		_ = c.conn.SetWriteDeadline(time.Unix(1, 0)) // stands for a system without memory
		c.out.mu.Lock()
		c.out.queue = append(c.out.queue, queued{newMessage([]byte{1}, 1), []byte{1}})
		c.out.cond.Broadcast()
		c.out.mu.Unlock()
	})
	near.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := near.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, expected the end", err)
	}
}

// TestCutSend: a message that was sent in part ends the connection, since whatever followed would be taken for the rest of it.
func TestCutSend(t *testing.T) {
	near, far := pair(t, unix.SOCK_STREAM)
	_ = far.SetWriteBuffer(4096)
	_ = near.SetWriteBuffer(4096)
	c := NewConn(near, wire.Linux)
	m := add()
	m.IdentitySrc = &wire.Identity{Data: make([]byte, 4096)}
	m.IdentityDst = m.IdentitySrc
	var err error
	for err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err = c.Send(ctx, m)
		cancel()
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "octets were sent") {
		t.Errorf("%v, expected a deadline in the middle of a message", err)
	}
	if err := c.Send(limited(t), add()); err == nil {
		t.Error("the stream goes on in the middle of a message")
	}
}

// TestNumbers: connections of one process have numbers of their own, which no ACQUIRE has.
func TestNumbers(t *testing.T) {
	seen := map[uint32]bool{}
	for range 8 {
		near, _ := pair(t, unix.SOCK_SEQPACKET)
		c := NewConn(near, wire.Linux)
		c.seq |= 1<<32 - 2 // soon at the end of the numbers
		for range 4 {
			m := add()
			if c.number(m); m.Seq < ownSeqs {
				t.Errorf("number %#x, expected at least %#x", m.Seq, uint32(ownSeqs))
			}
		}
		c = NewConn(near, wire.Linux)
		m := add()
		c.number(m)
		if seen[m.Seq] {
			t.Errorf("two connections begin with %#x", m.Seq)
		}
		seen[m.Seq] = true
	}
}

// TestListenersAreForgotten: a hub outlives its listeners.
func TestListenersAreForgotten(t *testing.T) {
	h := NewHub(newTables(1), slog.New(slog.DiscardHandler))
	defer h.Close()
	l, err := Listen(t.TempDir()+"/k", Config{Dialect: wire.Linux})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	h.Serve(l)
	if len(h.listeners) != 0 {
		t.Error("a listener that is closed is kept")
	}
}

// TestT103SparingLog: a client that comes again and again is refused in a line now and then, which says how many there were.
func TestT103SparingLog(t *testing.T) {
	var out bytes.Buffer
	s := newTables(1)
	s.full = true
	h := NewHub(s, slog.New(slog.NewTextHandler(&out, nil)))
	path := t.TempDir() + "/k"
	l, err := Listen(path, Config{Dialect: wire.Linux})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		h.Serve(l)
	}()
	for range 50 {
		c := connect(t, path, wire.Linux)
		if _, err := c.Receive(limited(t)); err == nil {
			t.Fatal("it is served")
		}
	}
	h.mu.Lock()
	h.said["PF_KEY client refused"].at = time.Now().Add(-logPause)
	h.mu.Unlock()
	if _, err := connect(t, path, wire.Linux).Receive(limited(t)); err == nil {
		t.Fatal("it is served")
	}
	h.Close()
	<-served
	if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "not_logged=49") {
		t.Errorf("expected two lines about 51 clients:\n%s", text)
	}
}

// TestLostKeysGo: the keys of a message that a Conn has no room for are wiped.
func TestLostKeysGo(t *testing.T) {
	k := secret.New(bytes.Repeat([]byte{0x5a}, 20))
	c := &Conn{pending: make([]*wire.Message, maxPending)}
	if c.keep(&wire.Message{KeyEncrypt: &k}); c.Lost() != 1 || !k.Equal(secret.New(make([]byte, 20))) {
		t.Errorf("%d lost, and the key is there still", c.Lost())
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package keyhost

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/pfkey"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// refusing is a host that takes no policies for a while.
type refusing struct {
	no    bool
	asked int
	held  map[uint32]bool
}

func (h *refusing) HoldPolicy(p host.KeyPolicy) error {
	h.asked++
	if h.no {
		return errors.New("the packet filter is busy")
	}
	h.held[p.ID] = true
	return nil
}

func (h *refusing) DropPolicy(id uint32) error {
	delete(h.held, id)
	return nil
}

// watched is the policies of an SPD at a host that refuses some. The test's goroutine owns them, as the server's does.
type watched struct {
	t    *testing.T
	db   *sadb.DB
	h    *refusing
	p    *policies
	rang chan struct{}
}

func watch(t *testing.T, log io.Writer) *watched {
	t.Helper()
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, db: db, h: &refusing{held: map[uint32]bool{}}, rang: make(chan struct{}, 1)}
	w.p = newPolicies(ServerOptions{DB: db, Host: w.h, Log: slog.New(slog.NewTextHandler(log, nil))})
	w.p.later = func() { w.rang <- struct{}{} }
	return w
}

// pass lets time pass.
func (w *watched) pass(d time.Duration) {
	for end := time.After(d); ; {
		select {
		case <-w.rang:
			w.p.due = true
			w.p.sync()
		case <-end:
			return
		}
	}
}

// add adds the policy of number n, which is not in force at the host before the next sync.
func (w *watched) add(n int) sadb.PolicyID {
	w.t.Helper()
	one := func(a netip.Addr) sadb.Selector { return sadb.Selector{From: a, To: a, PortTo: 65535} }
	id, err := w.db.SPDAdd(time.Now(), sadb.SPDEntry{Dir: sadb.Out, Action: sadb.Discard, Local: one(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})),
		Remote: one(netip.AddrFrom4([4]byte{10, 9, 0, 1}))})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestPolicyNotDelayed: what the host has refused is tried again at its time, and keeps no other policy waiting for that.
func TestPolicyNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, io.Discard)
		h, p, add, pass := w.h, w.p, w.add, w.pass
		defer p.close()
		for n := range atOnce + 1 {
			add(n)
		}
		p.sync()
		h.no = true
		add(atOnce + 1)
		p.sync()
		pass(time.Second)
		h.no = false
		add(atOnce + 2)
		p.sync()
		pass(2 * syncPause)
		if len(h.held) != atOnce+2 || len(p.refused) != 1 {
			t.Errorf("%d in force, %d refused: the new one waits", len(h.held), len(p.refused))
		}
		// Changes in between do not put the next try off.
		for n := range 10 {
			add(atOnce + 3 + n)
			p.sync()
			pass(holdPause / 8)
		}
		if len(p.refused) != 0 {
			t.Error("what was refused was not tried again")
		}
	})
}

// TestPolicyTriedAgain: what the host refuses is said once, is tried again by and by and not at every request, and comes into force
// without anybody's doing.
func TestPolicyTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := watch(t, &log)
		h, p, db, pass := w.h, w.p, w.db, w.pass
		defer p.close()
		h.no = true
		add := func(n int) sadb.PolicyID {
			id := w.add(n)
			p.sync()
			return id
		}
		first := add(1)
		if h.asked != 1 || !strings.Contains(log.String(), "may bypass the tunnel") {
			t.Fatalf("asked %d times; %s", h.asked, &log)
		}
		h.no = false
		add(2) // another request does not try the first again
		if h.asked != 2 || len(h.held) != 1 {
			t.Errorf("asked %d times, %d in force", h.asked, len(h.held))
		}
		h.no = true
		pass(holdPause + time.Millisecond)
		h.no = false
		pass(holdPause + time.Millisecond)
		if h.asked != 4 || len(h.held) != 2 || strings.Count(log.String(), "may bypass") != 1 {
			t.Errorf("asked %d times, %d in force; %s", h.asked, len(h.held), &log)
		}
		pass(time.Hour)
		if h.asked != 4 {
			t.Errorf("asked %d times", h.asked)
		}
		if _, err := db.SPDDelete(first); err != nil {
			t.Fatal(err)
		}
		p.sync()
		if len(h.held) != 1 {
			t.Errorf("%d in force", len(h.held))
		}
		// What is refused and not wanted any more is not tried.
		h.no = true
		last := add(3)
		if _, err := db.SPDDelete(last); err != nil {
			t.Fatal(err)
		}
		p.sync()
		pass(time.Hour)
		if h.asked != 5 || len(p.refused) != 0 {
			t.Errorf("asked %d times, %d refused", h.asked, len(p.refused))
		}
	})
}

// TestPolicyRefused: a client that wants to know is told at once that the host refuses a policy, also where there are many, and when it has
// taken it back nothing of it is tried any more.
func TestPolicyRefused(t *testing.T) {
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	h := &refusing{held: map[uint32]bool{}}
	s := NewServer(ServerOptions{DB: db, Host: h})
	defer s.Close()
	path := filepath.Join(t.TempDir(), "pfkey")
	if err := s.Listen(path, pfkey.Config{Dialect: wire.FreeBSD}); err != nil {
		t.Fatal(err)
	}
	c, err := pfkey.Dial(t.Context(), path, wire.FreeBSD)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Request(t.Context(), &wire.Message{Header: wire.Header{Type: wire.TypeRegister, SAType: wire.SATypeESP}, KMPrivate: c.Codec().Private(wire.PrivateHost)}); err != nil {
		t.Fatal(err)
	}
	ask := func(kind wire.Type, n int) error {
		end := func(a [4]byte) *wire.Address {
			return &wire.Address{Proto: 255, PrefixLen: 32, Sockaddr: wire.Addressed(netip.AddrPortFrom(netip.AddrFrom4(a), 0))}
		}
		_, err := c.Request(t.Context(), &wire.Message{Header: wire.Header{Type: kind}, Src: end([4]byte{10, 0, byte(n >> 8), byte(n)}), Dst: end([4]byte{10, 9, 0, 1}),
			Policy: &wire.Policy{Type: wire.PolicyDiscard, Dir: wire.DirOut}})
		return err
	}
	do := func(f func()) { s.hub.Do(func(time.Time) []wire.Delivery { f(); return nil }) }
	for n := range atOnce + 2 {
		if err := ask(wire.TypeSPDUpdate, n); err != nil {
			t.Fatal(err)
		}
	}
	do(func() {
		if len(h.held) != atOnce+2 {
			t.Errorf("%d in force when the answers are there, expected %d", len(h.held), atOnce+2)
		}
		h.no = true
	})
	for range 2 { // the second time it is asked as well
		if err := ask(wire.TypeSPDUpdate, 5000); !errors.Is(err, wire.ErrnoHost) {
			t.Errorf("refused by the host: %v, expected %v", err, wire.ErrnoHost)
		}
	}
	if err := ask(wire.TypeSPDUpdate, 1); err != nil {
		t.Errorf("in force already: %v", err)
	}
	if err := ask(wire.TypeSPDDelete, 5000); err != nil {
		t.Fatal(err)
	}
	do(func() {
		s.watched.due = true
		s.watched.sync()
		if len(s.watched.refused) != 0 || len(h.held) != atOnce+2 {
			t.Errorf("%d refused, %d in force", len(s.watched.refused), len(h.held))
		}
	})
}

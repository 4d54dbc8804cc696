// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package vici

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	wire "github.com/natterjack/natterjack/wire/vici"
)

// echo is a service of a few commands.
type echo struct{ released chan struct{} }

func (e echo) HasEvent(name string) bool { return name == "item" || name == "news" }

func (e echo) Serve(ctx context.Context, _ Peer, command string, args *wire.Section, emit Emit) (*wire.Section, bool) {
	switch command {
	case "echo":
		return clone(args), true
	case "list":
		for i := range 3 {
			if err := emit("item", wire.New().Set("n", fmt.Sprint(i))); err != nil {
				return wire.New().Set("success", "no"), true
			}
		}
		return wire.New(), true
	case "flood":
		big := wire.New().Set("data", strings.Repeat("x", 60000))
		for emit("item", big) == nil {
		}
		close(e.released)
		return wire.New(), true
	case "hang":
		<-ctx.Done()
		close(e.released)
		return wire.New(), true
	case "panic":
		panic("a defect")
	case "large":
		s := wire.New()
		for i := range 10 {
			s.Set(fmt.Sprint("k", i), strings.Repeat("x", 60000))
		}
		return s, true
	}
	return nil, false
}

func clone(s *wire.Section) *wire.Section {
	b, err := s.Append(nil)
	if err != nil {
		panic(err)
	}
	c, err := wire.Parse(b)
	if err != nil {
		panic(err)
	}
	return c
}

// serve starts a server of echo and returns it with the path of its socket.
func serve(t *testing.T) (*Server, echo, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	e := echo{released: make(chan struct{})}
	s := NewServer(e, slog.New(slog.DiscardHandler))
	go s.Serve(l)
	t.Cleanup(s.Close)
	return s, e, path
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// alive is the common check: another client is answered.
func alive(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	reply, err := dial(t, path).Call(ctx, "echo", wire.New().Set("still", "alive"))
	if err != nil || reply.Get("still") != "alive" {
		t.Fatalf("another client: %v %v", reply, err)
	}
}

func TestCallAndEvents(t *testing.T) {
	s, _, path := serve(t)
	c := dial(t, path)
	want := wire.New().Set("a", "b").SetList("l", "1", "2")
	reply, err := c.Call(t.Context(), "echo", want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, reply); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Call(t.Context(), "nope", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown command: %v", err)
	}
	if err := c.Subscribe(t.Context(), "nope"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown event: %v", err)
	}
	if _, err := c.Call(t.Context(), "list", nil); err != nil || len(c.pending) > 0 {
		t.Errorf("a stream nobody registered: %v %v", err, c.pending)
	}
	var items []string
	if _, err := c.CallStreaming(t.Context(), "list", "item", nil, func(m *wire.Section) error {
		items = append(items, m.Get("n"))
		return nil
	}); err != nil || !cmp.Equal(items, []string{"0", "1", "2"}) {
		t.Errorf("stream: %v %v", items, err)
	}
	if err := c.register(t.Context(), wire.EventUnregister, "item"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an event that was not registered any more: %v", err)
	}
	if s.Wanted("news") {
		t.Error("nobody registered news")
	}
	if err := c.Subscribe(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	if !s.Wanted("news") {
		t.Error("news is not wanted")
	}
	s.Publish("news", wire.New().Set("n", "1"))
	s.Publish("item", wire.New())
	s.Publish("news", wire.New().Set("n", "2"))
	if _, err := c.Call(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"1", "2"} {
		if e, err := c.Next(t.Context()); err != nil || e.Name != "news" || e.Message.Get("n") != n {
			t.Errorf("news %s: %v %v", n, e, err)
		}
	}
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		reply *wire.Section
		want  string
	}{
		{wire.New(), ""}, {wire.New().Set("success", "yes"), ""},
		{wire.New().Set("success", "no").Set("errmsg", "why"), "why"},
		{wire.New().Set("success", "no"), "the daemon gives no reason"},
	} {
		got := ""
		if err := Failure(c.reply); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.reply, got, c.want)
		}
	}
}

func TestDefectAndLargeReply(t *testing.T) {
	_, _, path := serve(t)
	c := dial(t, path)
	for _, command := range []string{"panic", "large"} {
		reply, err := c.Call(t.Context(), command, nil)
		if err != nil || Failure(reply) == nil {
			t.Errorf("%s: %v %v", command, reply, err)
		}
	}
	alive(t, path)
}

// TestClientGone: the command of a client that is gone ends.
func TestClientGone(t *testing.T) {
	_, e, path := serve(t)
	c := dial(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := c.Call(ctx, "hang", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	c.Close()
	within(t, e.released)
}

// TestClose: closing the server ends running commands and removes the socket.
func TestClose(t *testing.T) {
	s, e, path := serve(t)
	c := dial(t, path)
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), "hang", nil)
		result <- err
	}()
	for !busy(s) {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	within(t, e.released)
	<-result // a reply or an end: it does not hang
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func busy(s *Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.busy.Load() {
			return true
		}
	}
	return false
}

func within(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("it did not end")
	}
}

// TestListen: the group may connect, and errors say what the user can do. The rest is tested in port/unixsocket.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "s")
	l, err := Listen(path, "no-such-group-here")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another daemon listens") || !strings.Contains(err.Error(), "choose another path with --vici") {
		t.Errorf("a second daemon: %v", err)
	}
	os.Chmod(filepath.Dir(path), 0o777)
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "replace the control socket") || !strings.Contains(err.Error(), "choose another path with --vici") {
		t.Errorf("a folder that everybody can write: %v", err)
	}
}

// TestReadFrame: what is cut is refused, and the end between frames is an end.
func TestReadFrame(t *testing.T) {
	b, err := (&wire.Packet{Type: wire.CmdRequest, Name: "echo", Message: wire.New().Set("a", strings.Repeat("b", 60000)).Set("c", strings.Repeat("d", 60000))}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readFrame(strings.NewReader(string(b)), func() {})
	if err != nil || string(got) != string(b[wire.HeaderLen:]) {
		t.Errorf("%d octets, %v", len(got), err)
	}
	for _, n := range []int{0, 1, 3, 4, 5, 100, firstPiece + 4, len(b) - 1} {
		_, err := readFrame(strings.NewReader(string(b[:n])), func() {})
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%d octets of a frame: %v", n, err)
		}
	}
	for _, h := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x08\x00\x01"} {
		if _, err := readFrame(strings.NewReader(h+"xxxx"), func() {}); err == nil {
			t.Errorf("length %x was accepted", h)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x06\x00\x04echo"))
	f.Add([]byte("\xff\xff\xff\xff\x00"))
	f.Add([]byte("\x00\x00\x00\x01\x05\x00\x00\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := strings.NewReader(string(b))
		for {
			at := len(b) - r.Len()
			frame, err := readFrame(r, func() {})
			if err != nil {
				return
			}
			if len(frame) == 0 || string(frame) != string(b[at+wire.HeaderLen:][:len(frame)]) {
				t.Fatalf("a frame of %d octets at %d", len(frame), at)
			}
			if p, err := wire.ParsePacket(frame); err == nil {
				again, err := p.Append(nil)
				if err != nil || string(again[wire.HeaderLen:]) != string(frame) {
					t.Fatalf("%x became %x", frame, again)
				}
			}
		}
	})
}

// raw connects without the client.
func raw(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

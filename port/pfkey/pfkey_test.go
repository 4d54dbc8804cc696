// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

package pfkey

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// tables is a server of few words: REGISTER is answered, ADD goes to everybody, DUMP has as many messages as it was made with.
type tables struct {
	last    wire.ClientID
	clients map[wire.ClientID]wire.ClientInfo
	order   []wire.ClientID
	dumps   map[wire.ClientID]*wire.Message
	made    int // messages of dumps
	sas     int
	sizes   []int // of what was handled
	full    bool
}

func newTables(sas int) *tables {
	return &tables{clients: map[wire.ClientID]wire.ClientInfo{}, dumps: map[wire.ClientID]*wire.Message{}, sas: sas}
}

func (s *tables) Attach(_ time.Time, info wire.ClientInfo) (wire.ClientID, error) {
	if s.full {
		return 0, errors.New("too many")
	}
	s.last++
	s.clients[s.last] = info
	s.order = append(s.order, s.last)
	return s.last, nil
}

func (s *tables) Detach(_ time.Time, id wire.ClientID) {
	delete(s.clients, id)
	s.order = slices.DeleteFunc(s.order, func(o wire.ClientID) bool { return o == id })
}

func (s *tables) Handle(_ time.Time, id wire.ClientID, msg []byte) ([]wire.Delivery, error) {
	s.sizes = append(s.sizes, len(msg))
	c := codec(s.clients[id].Dialect)
	m, err := c.Parse(msg)
	if m == nil {
		b, _ := c.Append(nil, &wire.Message{Header: wire.Header{Type: wire.TypeGet, Errno: wire.ErrnoOf(err)}})
		return []wire.Delivery{{To: id, Msg: b}}, wire.ErrnoOf(err)
	}
	switch m.Type {
	case wire.TypePChange:
		panic("a defect")
	case wire.TypeDump:
		s.dumps[id] = &wire.Message{Header: m.Header, SA: &wire.SA{}}
		s.dumps[id].Seq = 0
		return nil, nil
	case wire.TypeAdd:
		var out []wire.Delivery
		for _, o := range s.order {
			out = append(out, wire.Delivery{To: o, Msg: bytes.Clone(msg)})
		}
		return out, nil
	}
	return []wire.Delivery{{To: id, Msg: bytes.Clone(msg)}}, nil
}

func (s *tables) Next(_ time.Time, id wire.ClientID) ([]byte, bool) {
	m := s.dumps[id]
	if m == nil {
		return nil, false
	}
	m.Seq++
	s.made++
	last := int(m.Seq) >= s.sas
	if last {
		m.Seq = 0
		delete(s.dumps, id)
	}
	b, err := codec(s.clients[id].Dialect).Append(nil, m)
	if err != nil {
		panic(err)
	}
	return b, !last
}

// serve listens in a folder of the test.
func serve(t testing.TB, s Server, config Config) (h *Hub, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "k")
	l, err := Listen(path, config)
	if err != nil {
		t.Fatal(err)
	}
	h = NewHub(s, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Serve(l)
	}()
	t.Cleanup(func() {
		h.Close()
		<-done
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket is still there")
		}
	})
	return h, path
}

func connect(t testing.TB, path string, d wire.Dialect) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), path, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func add() *wire.Message {
	one := &wire.Address{PrefixLen: 32, Sockaddr: wire.Addressed(netip.MustParseAddrPort("192.0.2.1:0"))}
	return &wire.Message{Header: wire.Header{Type: wire.TypeAdd, SAType: wire.SATypeESP}, SA: &wire.SA{SPI: 0x1000}, Src: one, Dst: one}
}

// TestBothKinds: requests, dumps and what others cause, over sockets that keep messages apart and over streams, in each dialect.
func TestBothKinds(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, d := range []wire.Dialect{wire.FreeBSD, wire.NetBSD, wire.Linux} {
			_, path := serve(t, newTables(5000), Config{Dialect: d, Stream: stream})
			one, two := connect(t, path, d), connect(t, path, d)
			ctx := limited(t)
			if _, err := two.Request(ctx, &wire.Message{Header: wire.Header{Type: wire.TypeRegister, SAType: wire.SATypeESP}}); err != nil {
				t.Fatal(err)
			}
			a, err := one.Request(ctx, add())
			if err != nil || a.SA.SPI != 0x1000 || a.PID != uint32(os.Getpid()) {
				t.Fatalf("%v %v", a, err)
			}
			if b, err := two.Receive(ctx); err != nil || b.Seq != a.Seq || b.Type != wire.TypeAdd {
				t.Fatalf("the other client: %v %v", b, err)
			}
			n := 0
			if err := one.Dump(ctx, &wire.Message{Header: wire.Header{Type: wire.TypeDump}}, func(*wire.Message) error { n++; return nil }); err != nil || n != 5000 {
				t.Fatalf("stream %v: %d messages of a dump, %v", stream, n, err)
			}
		}
	}
}

// TestAnswerBeforeConsumed: when the socket's send queue is empty, the answer can be read: what a client sees that is kept in its
// write until then, and that waits for its answer for no longer than a millisecond, as OpenIKED does.
func TestAnswerBeforeConsumed(t *testing.T) {
	_, path := serve(t, newTables(1), Config{Dialect: wire.Linux})
	c := connect(t, path, wire.Linux)
	raw, err := c.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	request, err := c.codec.Append(nil, add())
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		buf := make([]byte, 256)
		for i := range 1000 {
			if _, err := unix.Write(int(fd), request); err != nil {
				t.Fatal(err)
			}
			for begin := time.Now(); ; {
				if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil || n == 0 {
					break
				}
				if time.Since(begin) > 10*time.Second {
					t.Fatal("the request was not consumed")
				}
			}
			if n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT); err != nil || n != len(request) {
				t.Fatalf("request %d: consumed, and its answer cannot be read: %d octets, %v", i, n, err)
			}
		}
	})
}

// TestOddClients: no octets, too many octets, and a client that closes with answers unread end nobody else.
func TestOddClients(t *testing.T) {
	s := newTables(1)
	h, path := serve(t, s, Config{Dialect: wire.Linux})
	c := connect(t, path, wire.Linux)
	ctx := limited(t)
	raw, _ := c.conn.SyscallConn()
	_ = raw.Control(func(fd uintptr) { // Go writes nothing where there is nothing to write
		if err := unix.Sendto(int(fd), nil, 0, nil); err != nil {
			t.Error(err)
		}
	})
	if a, err := c.Receive(ctx); err != nil || a.Errno != wire.EMSGSIZE {
		t.Errorf("no octets: %v %v", a, err)
	}
	if _, err := c.conn.Write(make([]byte, wire.MaxMessage+4096)); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Receive(ctx); err != nil || a.Errno != wire.EMSGSIZE {
		t.Errorf("too many octets: %v %v", a, err)
	}
	gone := connect(t, path, wire.Linux)
	for range 50 {
		if err := gone.Send(ctx, add()); err != nil {
			t.Fatal(err)
		}
	}
	gone.Close()
	if _, err := c.Request(ctx, add()); err != nil {
		t.Error(err)
	}
	for clients := 2; clients != 1; {
		h.do(func() { clients = len(h.clients) })
	}
}

// TestDefect: a request that makes the server panic ends its client, not the process.
func TestDefect(t *testing.T) {
	_, path := serve(t, newTables(1), Config{Dialect: wire.Linux})
	bad, good := connect(t, path, wire.Linux), connect(t, path, wire.Linux)
	if _, err := bad.Request(limited(t), &wire.Message{Header: wire.Header{Type: wire.TypePChange}}); err == nil {
		t.Error("it was answered")
	}
	if _, err := good.Request(limited(t), add()); err != nil {
		t.Error(err)
	}
}

// TestStreamOutOfStep: a length that no message has ends the client, since nobody knows where the next begins; half a message ends nobody.
func TestStreamOutOfStep(t *testing.T) {
	_, path := serve(t, newTables(1), Config{Dialect: wire.FreeBSD, Stream: true})
	bad, half, good := connect(t, path, wire.FreeBSD), connect(t, path, wire.FreeBSD), connect(t, path, wire.FreeBSD)
	ctx := limited(t)
	if _, err := bad.conn.Write([]byte{2, 3, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Receive(ctx); err == nil {
		t.Error("a message of length 0 was answered")
	}
	if _, err := half.conn.Write([]byte{2, 3, 0, 3, 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := good.Request(ctx, add()); err != nil {
		t.Error(err)
	}
}

// TestConnInterrupted: a context that ends stops the waiting, and what had come of a message is not lost.
func TestConnInterrupted(t *testing.T) {
	for _, kind := range []int{unix.SOCK_SEQPACKET, unix.SOCK_STREAM} {
		near, far := pair(t, kind)
		c := NewConn(near, wire.Linux)
		b, err := c.codec.Append(nil, add())
		if err != nil {
			t.Fatal(err)
		}
		if kind == unix.SOCK_STREAM {
			if _, err := far.Write(b[:20]); err != nil {
				t.Fatal(err)
			}
			b = b[20:]
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, expected the deadline", err)
		}
		cancel()
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Receive(limited(t)); err != nil || m.Type != wire.TypeAdd {
			t.Errorf("%v %v", m, err)
		}
	}
}

// pair is a connection without a path.
func pair(t *testing.T, kind int) (near, far *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

// TestAdd: a connection that came another way is served like others, and one that the server does not want is closed.
func TestAdd(t *testing.T) {
	s := newTables(1)
	h := NewHub(s, slog.New(slog.DiscardHandler))
	defer h.Close()
	near, far := pair(t, unix.SOCK_SEQPACKET)
	if err := h.Add(far, wire.ClientInfo{Dialect: wire.NetBSD, Privileged: true}); err != nil {
		t.Fatal(err)
	}
	c := NewConn(near, wire.NetBSD)
	if _, err := c.Request(limited(t), add()); err != nil {
		t.Error(err)
	}
	notice, _ := c.codec.Append(nil, &wire.Message{Header: wire.Header{Type: wire.TypeExpire}})
	if !h.Do(func(time.Time) []wire.Delivery { return []wire.Delivery{{To: 1, Msg: notice}, {To: 99, Msg: notice}} }) {
		t.Error("the hub is closed")
	}
	if m, err := c.Receive(limited(t)); err != nil || m.Type != wire.TypeExpire {
		t.Errorf("%v %v", m, err)
	}
	h.do(func() { s.full = true })
	near, far = pair(t, unix.SOCK_SEQPACKET)
	if err := h.Add(far, wire.ClientInfo{}); err == nil {
		t.Error("one more than the server wants was served")
	}
	if _, err := NewConn(near, wire.Linux).Receive(limited(t)); err == nil {
		t.Error("its connection is open")
	}
}

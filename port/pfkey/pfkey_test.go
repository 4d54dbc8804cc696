// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

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
	"strings"
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
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	sent := uint32(0)
	for ; sent < 1_000_000; sent++ {
		m := add()
		m.Seq, m.PID = sent+1, 1
		if c.Send(ctx, m) != nil {
			break
		}
	}
	if sent == 1_000_000 {
		t.Fatal("nothing held the client back")
	}
	for seq := uint32(1); seq <= sent; seq++ {
		m, err := c.Receive(limited(t))
		if err != nil || m.Seq != seq {
			t.Fatalf("answer %d of %d: %v %v", seq, sent, m, err)
		}
	}
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

// TestSocketFile: nobody but the owner may connect, what was left is replaced, what is another's is not.
func TestSocketFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "pfkey.sock")
	old := unix.Umask(0)
	l, err := Listen(path, Config{})
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, expected 0600", info, err)
	}
	for _, stream := range []bool{false, true} {
		if _, err := Listen(path, Config{Stream: stream}); err == nil || !strings.Contains(err.Error(), "another process listens") {
			t.Errorf("a second listener: %v", err)
		}
	}
	l.ul.Close() // as a crash leaves it
	again, err := Listen(path, Config{Readable: true})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v %v, expected 0666", info, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("%v was left", left)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, Config{}); err == nil || !strings.Contains(err.Error(), "found something else") {
		t.Errorf("over a file: %v", err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(open, "s"), Config{}); err == nil || !strings.Contains(err.Error(), "everybody can write") {
		t.Errorf("in a folder of everybody's: %v", err)
	}
	if _, err := Listen(strings.Repeat("x", 200), Config{}); err == nil {
		t.Error("a path that is too long")
	}
	if _, err := Listen(path, Config{Dialect: wire.OpenBSD}); err == nil {
		t.Error("OpenBSD's dialect cannot be served")
	}
}

func TestTrusted(t *testing.T) {
	me := os.Geteuid()
	for _, c := range []struct {
		uid            int
		readable, want bool
	}{{0, false, true}, {0, true, true}, {me, false, true}, {me + 12345, false, false}, {me + 12345, true, false}, {-1, false, true}, {-1, true, false}, {-2, false, false}} {
		if got := trusted(c.uid, c.readable); got != c.want {
			t.Errorf("user %d, readable %v: %v", c.uid, c.readable, got)
		}
	}
}

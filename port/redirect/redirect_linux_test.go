// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package redirect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/natt"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "redirect-exec":
			fmt.Fprintln(os.Stderr, Exec(os.Args[2:]))
			os.Exit(1)
		case "redirect-supervise":
			_, err := Run(context.Background(), Config{Self: []string{os.Args[0], "redirect-exec"}, Server: os.Args[2], Stdout: os.Stdout, Stderr: os.Stderr,
				Args: []string{os.Args[0], "redirect-program", "linger"}, Log: slog.New(slog.DiscardHandler)})
			fmt.Println(err)
			os.Exit(1)
		case "redirect-program":
			if err := programs[os.Args[2]](os.Args[3:]); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// toy is a PF_KEY server that sends back what it gets, as an error ESRCH where that is a GET. It answers before it takes.
type toy struct {
	t     *testing.T
	path  string
	delay time.Duration

	mu    sync.Mutex
	fd    int
	conns []int
	got   [][]byte
}

const typeGet = 5

func newToy(t *testing.T) *toy {
	s := &toy{t: t, path: filepath.Join(t.TempDir(), "s")}
	t.Cleanup(s.stop)
	return s
}

func (s *toy) start() {
	s.t.Helper()
	os.Remove(s.path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.path})
	}
	if err == nil {
		err = unix.Listen(fd, 16)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.fd = fd
	s.mu.Unlock()
	go func() {
		for {
			c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
}

func (s *toy) serve(c int) {
	buf := make([]byte, maxMessage)
	for {
		n, _, err := unix.Recvfrom(c, buf, unix.MSG_PEEK)
		if err != nil || n == 0 {
			return
		}
		msg := append([]byte(nil), buf[:n]...)
		s.mu.Lock()
		s.got = append(s.got, msg)
		s.mu.Unlock()
		time.Sleep(s.delay)
		if msg[1] == typeGet {
			msg = msg[:16:16]
			msg[2] = byte(unix.ESRCH)
			binary.NativeEndian.PutUint16(msg[4:], 2)
		}
		_ = unix.Sendto(c, msg, unix.MSG_NOSIGNAL, nil)
		_, _, _ = unix.Recvfrom(c, buf, 0)
	}
}

// stop ends the server as kill -9 does.
func (s *toy) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd != 0 {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
		unix.Close(s.fd)
	}
	for _, c := range s.conns {
		_ = unix.Shutdown(c, unix.SHUT_RDWR)
	}
	s.fd, s.conns = 0, nil
}

func (s *toy) messages() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.got...)
}

// engine remembers what it is told.
type engine struct {
	mark  uint32
	mu    sync.Mutex
	bound []Socket
	gone  []uint64
}

func (e *engine) Mark() uint32 { return e.mark }

func (e *engine) Bind(s Socket) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bound = append(e.bound, s)
	return nil
}

func (e *engine) Release(inode uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = append(e.gone, inode)
}

// run runs one of the programs and returns what it printed.
func run(t *testing.T, server string, eng Engine, args ...string) string {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, err := Run(ctx, Config{
		Self: []string{os.Args[0], "redirect-exec"}, Args: append([]string{os.Args[0], "redirect-program"}, args...),
		Stdout: out, Stderr: out, Server: server, Engine: eng, Log: slog.New(slog.DiscardHandler),
	})
	text, _ := os.ReadFile(out.Name())
	if err != nil && (strings.Contains(string(text), "operation not permitted") || strings.Contains(string(text), "function not implemented")) {
		t.Skipf("no user notification here: %s", text)
	}
	if err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s", status, err, text)
	}
	return string(text)
}

// TestCalls: each way to write is carried out, and the answer is there when it returns.
func TestCalls(t *testing.T) {
	s := newToy(t)
	s.delay = 5 * time.Millisecond
	s.start()
	run(t, s.path, nil, "calls")
	if got := len(s.messages()); got != 5 {
		t.Errorf("%d messages", got)
	}
}

// TestRounds: a thousand requests of a program that gives each answer a millisecond.
func TestRounds(t *testing.T) {
	s := newToy(t)
	s.start()
	run(t, s.path, nil, "rounds")
}

// TestHostile: nothing that a program gives makes the supervisor fail, and errors are those of the kernel.
func TestHostile(t *testing.T) {
	s := newToy(t)
	s.start()
	run(t, s.path, nil, "hostile")
	for _, m := range s.messages() {
		if check(m) != 0 {
			t.Errorf("the server got % x", m)
		}
	}
}

// TestTravel: the descriptor goes to another process by SCM_RIGHTS, which has given up its privileges. It works there, and the
// supervisor's privileges are not to be had.
func TestTravel(t *testing.T) {
	s := newToy(t)
	s.start()
	run(t, s.path, &engine{mark: 77}, "travel")
	if len(s.messages()) != 1 {
		t.Error("nothing came from the child")
	}
}

// TestRestart: the server ends and comes back; the descriptor works, what it had registered for is said again, and the
// program neither sees an end nor an answer that it did not ask for.
func TestRestart(t *testing.T) {
	s := newToy(t)
	s.start()
	done := make(chan string)
	go func() { done <- run(t, s.path, nil, "restart") }()
	for len(s.messages()) < 2 {
		time.Sleep(time.Millisecond)
	}
	s.stop()
	s.mu.Lock()
	s.got = nil
	s.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	s.start()
	<-done
	var kinds []byte
	for _, m := range s.messages() {
		kinds = append(kinds, m[1])
	}
	if !bytes.Equal(kinds, []byte{typeRegister, typeGet}) {
		t.Errorf("the new server got %v", kinds)
	}
}

// TestPorts: UDP_ENCAP on sockets of both families; what the program reads afterwards is IKE with its marker in place.
func TestPorts(t *testing.T) {
	s := newToy(t)
	s.start()
	e := &engine{}
	run(t, s.path, e, "ports")
	if len(e.bound) != 4 || len(e.gone) != 4 {
		t.Fatalf("bound %v, gone %v", e.bound, e.gone)
	}
	for i, want := range []Socket{
		{Local: netip.MustParseAddrPort("127.0.0.1:0"), Mode: natt.NonESP}, {Local: netip.MustParseAddrPort("127.0.0.1:0"), Mode: natt.NonIKE},
		{Local: netip.MustParseAddrPort("[::1]:0"), Mode: natt.NonESP}, {Local: netip.MustParseAddrPort("[::1]:0"), Mode: natt.NonIKE},
	} {
		got := e.bound[i]
		if got.Local.Addr() != want.Local.Addr() || got.Local.Port() == 0 || got.Mode != want.Mode || got.Inode != e.gone[i] {
			t.Errorf("socket %d: %+v, gone %d", i, got, e.gone[i])
		}
	}
}

// TestLate: UDP_ENCAP may come before bind, and a socket that is closed is seen.
func TestLate(t *testing.T) {
	s := newToy(t)
	s.start()
	e := &engine{}
	run(t, s.path, e, "late")
	if len(e.bound) != 1 || len(e.gone) != 1 || !e.bound[0].V4 {
		t.Errorf("bound %v, gone %v", e.bound, e.gone)
	}
}

// TestBackground: a program whose first process ends is served until its last one has.
func TestBackground(t *testing.T) {
	s := newToy(t)
	s.start()
	if out := run(t, s.path, nil, "background"); !strings.Contains(out, "second done") {
		t.Errorf("output: %s", out)
	}
}

// TestUnread: a PF_KEY socket whose calls wait does not stop the program's other writes.
func TestUnread(t *testing.T) {
	s := newToy(t)
	s.delay = 300 * time.Millisecond
	s.start()
	run(t, s.path, nil, "unread")
}

// TestKilled: when the supervisor is killed, no process of the program stays.
func TestKilled(t *testing.T) {
	s := newToy(t)
	s.start()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-supervise", s.path}, &os.ProcAttr{Files: []*os.File{nil, in, in}})
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = p.Wait() }()
	lines := bufio.NewScanner(out)
	for range 2 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "lingering") {
			t.Skipf("not started: %s", lines.Text())
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when nobody has its other end any more.
	_ = out.SetReadDeadline(time.Now().Add(5 * time.Second))
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
}

// TestCost prints what a write costs that is none of ours, while a PF_KEY socket is open.
func TestCost(t *testing.T) {
	s := newToy(t)
	s.start()
	t.Log(run(t, s.path, nil, "cost"))
	if err := programCost(nil); err != nil {
		t.Error(err)
	}
}

func TestNotFound(t *testing.T) {
	if _, err := Run(t.Context(), Config{Self: []string{os.Args[0]}, Args: []string{"no-such-program-here"}, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("no error")
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The programs of these tests are this binary again, run under the filter: a Go program is static, has many threads, and is
// sent signals by its own runtime.

package redirect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	mu    sync.Mutex
	bound []Socket
	gone  []uint64
}

func (e *engine) Mark() uint32 { return 0 }

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

var programs = map[string]func([]string) error{
	"calls": programCalls, "rounds": programRounds, "hostile": programHostile, "travel": programTravel, "child": programChild,
	"restart": programRestart, "ports": programPorts, "background": programBackground, "cost": programCost, "late": programLate,
	"linger": programLinger,
}

func message(kind byte, seq uint32, extra int) []byte {
	b := make([]byte, 16+8*extra)
	b[0], b[1], b[3] = pfKeyV2, kind, 3
	binary.NativeEndian.PutUint16(b[4:], uint16(len(b)/8))
	binary.NativeEndian.PutUint32(b[8:], seq)
	binary.NativeEndian.PutUint32(b[12:], uint32(os.Getpid()))
	return b
}

// answered reads the answer, which must be there.
func answered(fd int, want []byte) error {
	buf := make([]byte, maxMessage)
	n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	switch {
	case err != nil:
		return fmt.Errorf("no answer when the call returned: %w", err)
	case !bytes.Equal(buf[:n], want):
		return fmt.Errorf("answer % x, expected % x", buf[:n], want)
	}
	return nil
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

func programCalls([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_CLOEXEC, pfKeyV2)
	if err != nil {
		return err
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		return fmt.Errorf("close-on-exec: %d %v", flags, err)
	}
	big := message(3, 5, 1000)
	for i, call := range []func() (int, error){
		func() (int, error) { return unix.Write(fd, message(1, 1, 3)) },
		func() (int, error) { m := message(1, 2, 3); return unix.Writev(fd, [][]byte{m[:16], nil, m[16:]}) },
		func() (int, error) { return len(message(1, 3, 0)), unix.Send(fd, message(1, 3, 0), 0) },
		func() (int, error) { return unix.SendmsgN(fd, message(1, 4, 3), nil, nil, 0) },
		func() (int, error) { return unix.Write(fd, big) },
	} {
		want := message(1, uint32(i+1), 3)
		if i == 2 {
			want = message(1, 3, 0)
		} else if i == 4 {
			want = big
		}
		if n, err := call(); err != nil || n != len(want) {
			return fmt.Errorf("call %d: %d, %w", i, n, err)
		}
		if err := answered(fd, want); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	nb, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_NONBLOCK, pfKeyV2)
	if err != nil {
		return err
	}
	if _, _, err := unix.Recvfrom(nb, make([]byte, 8), 0); err != unix.EAGAIN {
		return fmt.Errorf("SOCK_NONBLOCK: %w", err)
	}
	return nil
}

// TestRounds: a thousand requests of a program that gives each answer a millisecond.
func TestRounds(t *testing.T) {
	s := newToy(t)
	s.start()
	run(t, s.path, nil, "rounds")
}

func programRounds([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	begin := time.Now()
	for i := range 1000 {
		m := message(1, uint32(i), 3)
		if _, err := unix.Write(fd, m); err != nil {
			return err
		}
		if err := answered(fd, m); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	fmt.Println("a round takes", time.Since(begin)/1000)
	return nil
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

func programHostile([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	sys := func(nr uintptr, args ...uintptr) unix.Errno {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		return errno
	}
	f, huge := uintptr(fd), ^uintptr(0)
	short, unknown, old := message(1, 1, 0), message(99, 1, 0), message(1, 1, 0)
	short[4], old[0] = 9, 1
	u, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	pipe := make([]int, 2)
	if err := unix.Pipe(pipe); err != nil {
		return err
	}
	for i, c := range []struct{ got, want error }{
		{sys(unix.SYS_WRITE, f, 1, 100), unix.EFAULT},
		{sys(unix.SYS_WRITE, f, 1, huge), unix.EMSGSIZE},
		{sys(unix.SYS_WRITE, f, 1, 0), unix.EMSGSIZE},
		{sys(unix.SYS_WRITEV, f, 1, 4), unix.EFAULT},
		{sys(unix.SYS_WRITEV, f, 1, huge), unix.EINVAL},
		{sys(unix.SYS_SENDMSG, f, 0, 0), unix.EFAULT},
		{sys(unix.SYS_SENDMSG, f, huge, 0), unix.EFAULT},
		{second(unix.Write(fd, short)), unix.EMSGSIZE},
		{second(unix.Write(fd, old)), unix.EINVAL},
		{second(unix.Write(fd, unknown)), unix.EINVAL},
		{second(unix.Socket(afKey, unix.SOCK_DGRAM, pfKeyV2)), unix.ESOCKTNOSUPPORT},
		{second(unix.Socket(afKey, unix.SOCK_RAW, 0)), unix.EPROTONOSUPPORT},
		{second(unix.Socket(afKey, unix.SOCK_RAW|1<<20, pfKeyV2)), unix.EINVAL},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_IP, ipPolicy, 1, 16), unix.EFAULT},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_IP, ipPolicy, 1, 3), unix.EINVAL},
		{sys(unix.SYS_SETSOCKOPT, uintptr(u), unix.IPPROTO_UDP, unix.UDP_ENCAP, 1, 4), unix.EFAULT},
		{sys(unix.SYS_SETSOCKOPT, huge, unix.IPPROTO_UDP, unix.UDP_ENCAP, 1, 0), unix.EINVAL},
		{unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2), unix.ENOPROTOOPT},
		{unix.SetsockoptInt(12345, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2), unix.EBADF},
		// What is not for PF_KEY is the kernel's.
		{second(unix.Write(12345, short)), unix.EBADF},
		{second(unix.Write(-1, short)), unix.EBADF},
		{second(unix.Write(pipe[1], short)), nil},
		{unix.SetsockoptInt(u, unix.IPPROTO_UDP, unix.UDP_ENCAP, 99), unix.ENOPROTOOPT},
	} {
		if e, ok := c.got.(unix.Errno); ok && e == 0 {
			c.got = nil
		}
		if !errors.Is(c.got, c.want) {
			return fmt.Errorf("call %d: %v, expected %v", i, c.got, c.want)
		}
	}
	bypass, protect := make([]byte, policySize), make([]byte, policySize)
	bypass[offPolicyType], protect[offPolicyType] = policyBypassKAME, 2
	if err := unix.SetsockoptString(u, unix.IPPROTO_IP, ipPolicy, string(bypass)); err != nil {
		return fmt.Errorf("IP_IPSEC_POLICY: %w", err)
	}
	if err := unix.SetsockoptString(u, unix.IPPROTO_IPV6, ipv6Policy, string(bypass)); err != nil {
		return fmt.Errorf("IPV6_IPSEC_POLICY: %w", err)
	}
	if err := unix.SetsockoptString(u, unix.IPPROTO_IP, ipPolicy, string(protect)); err != unix.EOPNOTSUPP {
		return fmt.Errorf("a socket that is to be protected: %w", err)
	}
	// And it works still.
	m := message(1, 7, 0)
	if _, err := unix.Write(fd, m); err != nil {
		return err
	}
	return answered(fd, m)
}

func second(_ int, err error) error { return err }

// TestTravel: the descriptor goes to another process by SCM_RIGHTS, which has given up its privileges.
func TestTravel(t *testing.T) {
	s := newToy(t)
	s.start()
	run(t, s.path, nil, "travel")
	if len(s.messages()) != 1 {
		t.Error("nothing came from the child")
	}
}

func programTravel([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW|unix.SOCK_CLOEXEC, pfKeyV2)
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	unix.Close(fd)
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "child"},
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(uintptr(pair[1]), "pair")}})
	if err != nil {
		return err
	}
	st, err := p.Wait()
	if err != nil || !st.Success() {
		return fmt.Errorf("child: %v %w", st, err)
	}
	return nil
}

func programChild([]string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(unix.Chroot(os.TempDir()), unix.Setgid(65534), unix.Setuid(65534)); err != nil {
			return err
		}
	}
	fd, err := receive(3)
	if err != nil {
		return err
	}
	m := message(1, 1, 0)
	if _, err := unix.Write(fd, m); err != nil {
		return err
	}
	return answered(fd, m)
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

func programRestart([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	register := message(typeRegister, 1, 0)
	if _, err := unix.Write(fd, register); err != nil {
		return err
	}
	if err := answered(fd, register); err != nil {
		return err
	}
	if _, err := unix.Write(fd, message(1, 2, 0)); err != nil {
		return err
	}
	if err := answered(fd, message(1, 2, 0)); err != nil {
		return err
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 30); n != 0 || err != nil {
		return fmt.Errorf("poll while the server is away: %d %v", n, err)
	}
	if _, err := unix.Write(fd, message(typeGet, 3, 5)); err != nil {
		return fmt.Errorf("after the restart: %w", err)
	}
	want := message(typeGet, 3, 0)
	want[2] = byte(unix.ESRCH)
	return answered(fd, want)
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

func programPorts([]string) error {
	for _, local := range []unix.Sockaddr{&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}} {
		for _, value := range []int{2, 1} {
			if err := onePort(local, value); err != nil {
				return fmt.Errorf("%T, value %d: %w", local, value, err)
			}
		}
	}
	return nil
}

func onePort(local unix.Sockaddr, value int) error {
	family := unix.AF_INET
	if _, ok := local.(*unix.SockaddrInet6); ok {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, local); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, value); err != nil {
		return err
	}
	to, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	zero8 := make([]byte, 8)
	ike := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 20)...)
	keep, drop := [][]byte{append(zero8[:4:4], ike...), {1, 2, 3}, {0xfe}}, [][]byte{{0xff}, ike}
	if value == 1 {
		keep, drop = [][]byte{ike, zero8, {0xfe}}, [][]byte{{0xff}, append(zero8[:8:8], ike...)}
	}
	for _, b := range append(append([][]byte{}, drop...), keep...) {
		if err := unix.Sendto(fd, b, 0, to); err != nil {
			return err
		}
	}
	buf := make([]byte, 100)
	for i, want := range keep {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || !bytes.Equal(buf[:n], want) {
			return fmt.Errorf("datagram %d: % x %v, expected % x", i, buf[:n], err, want)
		}
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 0)
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

func programLate([]string) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{}); err != nil {
		return err
	}
	time.Sleep(5 * boundPoll)
	unix.Close(fd)
	time.Sleep(goneCheck + goneCheck/2)
	return nil
}

// TestBackground: a program whose first process ends is served until its last one has.
func TestBackground(t *testing.T) {
	s := newToy(t)
	s.start()
	if out := run(t, s.path, nil, "background"); !strings.Contains(out, "second done") {
		t.Errorf("output: %s", out)
	}
}

func programBackground(args []string) error {
	if len(args) == 0 {
		_, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "background", "second"},
			&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		return err
	}
	time.Sleep(300 * time.Millisecond)
	if err := programCalls(nil); err != nil {
		return err
	}
	fmt.Println("second done")
	return nil
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

func programLinger(args []string) error {
	if len(args) == 0 {
		if _, err := os.StartProcess(os.Args[0], []string{os.Args[0], "redirect-program", "linger", "second"},
			&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}); err != nil {
			return err
		}
	}
	fmt.Println("lingering", os.Getpid())
	time.Sleep(time.Minute)
	return nil
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

func programCost([]string) error {
	if fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2); err == nil {
		defer unix.Close(fd)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	const rounds = 2000
	begin := time.Now()
	for range rounds {
		if _, err := io.WriteString(null, "x"); err != nil {
			return err
		}
	}
	fmt.Println("a write to another descriptor:", time.Since(begin)/rounds)
	return nil
}

func TestNotFound(t *testing.T) {
	if _, err := Run(t.Context(), Config{Self: []string{os.Args[0]}, Args: []string{"no-such-program-here"}, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("no error")
	}
}

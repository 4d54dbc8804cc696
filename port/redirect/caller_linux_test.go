// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who may have what, and how much of it.

package redirect

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCallers(t *testing.T) {
	here, there := [2]uint64{1, 2}, [2]uint64{1, 3}
	root, user := caller{uid: 0, admin: true, space: here}, caller{uid: 1000, space: here}
	for i, c := range []struct {
		own, caller caller
		want        bool
	}{
		{root, root, true},
		{root, user, false},
		{root, caller{uid: 0, space: here}, false},
		{root, caller{uid: 0, admin: true, space: there}, false},
		{root, caller{uid: 1000, admin: true, space: here}, true},
		{user, user, true},
		{user, caller{uid: 1001, space: here}, false},
		{user, caller{uid: 1000, space: there}, false},
	} {
		if got := c.own.may(c.caller); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if c, err := callerOf("thread-self"); err != nil || c.leader != os.Getpid() || int(c.uid) != os.Geteuid() || c.space[1] == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := callerOf("0"); err == nil {
		t.Error("no error")
	}
}

// TestPending: UDP_ENCAP again and again on one socket that is not bound costs one descriptor, and 0 gives it back.
func TestPending(t *testing.T) {
	p := newPorts(&engine{}, slog.New(slog.DiscardHandler))
	defer p.close()
	n := &notification{pid: uint32(unix.Gettid())}
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.pending)
	}
	var fds []int
	for i := range maxPorts + 1 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
		want := unix.Errno(0)
		if i == maxPorts {
			want = unix.ENOBUFS
		}
		for range 3 {
			if errno := p.encap(n, fd, 2, false); errno != want {
				t.Fatalf("socket %d: %v", i, errno)
			}
		}
	}
	if count() != maxPorts {
		t.Errorf("%d are waited for", count())
	}
	for _, fd := range fds {
		if errno := p.encap(n, fd, 0, false); errno != 0 {
			t.Error(errno)
		}
	}
	if count() != 0 {
		t.Errorf("%d are still waited for", count())
	}
}

// gaveUp: what a process without privileges cannot have of the kernel, it cannot have of the supervisor.
func gaveUp() error {
	if os.Geteuid() != 65534 {
		return nil // the test is run by a user, who gave nothing up
	}
	if _, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2); err != unix.EPERM {
		return fmt.Errorf("PF_KEY without privileges: %v, expected EPERM", err)
	}
	u, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	bypass := make([]byte, policySize)
	bypass[offPolicyType] = policyBypassKAME
	if err := unix.SetsockoptString(u, unix.IPPROTO_IP, ipPolicy, string(bypass)); err != unix.EPERM {
		return fmt.Errorf("IP_IPSEC_POLICY without privileges: %v, expected EPERM", err)
	}
	if err := errors.Join(unix.Bind(u, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.SetsockoptInt(u, unix.IPPROTO_UDP, unix.UDP_ENCAP, 2)); err != nil {
		return err
	}
	if mark, err := unix.GetsockoptInt(u, unix.SOL_SOCKET, unix.SO_MARK); mark != 0 || err != nil {
		return fmt.Errorf("mark %d, %v of a socket of a process without privileges", mark, err)
	}
	return nil
}

// programUnread has many threads in a write to a PF_KEY socket whose server takes its time, and writes elsewhere meanwhile.
func programUnread([]string) error {
	fd, err := unix.Socket(afKey, unix.SOCK_RAW, pfKeyV2)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	const threads = 2 * maxWaiting
	results := make(chan error, threads)
	for i := range threads {
		go func() { results <- second(unix.Write(fd, message(1, uint32(i), 3))) }()
	}
	refused := 0
	for range threads - maxCalls {
		if err := <-results; err == unix.ENOBUFS {
			refused++
		}
	}
	begin := time.Now()
	if _, err := io.WriteString(null, "x"); err != nil {
		return err
	}
	if took := time.Since(begin); took > time.Second || refused == 0 {
		return fmt.Errorf("a write to another descriptor took %v; %d of %d were refused", took, refused, threads)
	}
	return nil
}

// slowEngine begins to bind, and goes on when it is let.
type slowEngine struct {
	engine
	began, let chan struct{}
	calls      []string // under engine.mu
}

func (e *slowEngine) note(call string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
}

func (e *slowEngine) Bind(Socket) error {
	e.began <- struct{}{}
	<-e.let
	e.note("bind")
	return nil
}

func (e *slowEngine) Release(uint64) { e.note("release") }

// UDP_ENCAP that is set again while the first one's port is being taken is not undone by it.
func TestPendingAgain(t *testing.T) {
	e := &slowEngine{began: make(chan struct{}), let: make(chan struct{})}
	p := newPorts(e, slog.New(slog.DiscardHandler))
	n := &notification{pid: uint32(unix.Gettid())}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if errno := p.encap(n, fd, 2, false); errno != 0 {
		t.Fatal(errno)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	<-e.began
	second := make(chan unix.Errno)
	go func() { second <- p.encap(n, fd, 2, false) }()
	for waiting := true; waiting; runtime.Gosched() {
		p.mu.Lock()
		waiting = len(p.pending) > 0
		p.mu.Unlock()
	}
	e.let <- struct{}{}
	<-e.began
	e.let <- struct{}{}
	if errno := <-second; errno != 0 {
		t.Fatal(errno)
	}
	e.mu.Lock()
	got := slices.Clone(e.calls)
	e.mu.Unlock()
	if !slices.Equal(got, []string{"bind", "release", "bind"}) {
		t.Errorf("%q", got)
	}
	p.close()
}

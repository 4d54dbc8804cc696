// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// TestPeerIsAsked: the kernel says who connected. Where the test may become somebody else, it does: the other user is refused even where the
// mode of the socket would let it in, and with Readable it is served without privilege.
func TestPeerIsAsked(t *testing.T) {
	near, far := pair(t, unix.SOCK_SEQPACKET)
	if peer, ok := peerOf(far, false); !ok || peer.UID != os.Geteuid() {
		t.Errorf("the peer is user %d, trusted %v, expected %d", peer.UID, ok, os.Geteuid())
	}
	near.Close()
	if os.Geteuid() != 0 {
		return
	}
	for _, readable := range []bool{false, true} {
		s := newTables(1)
		h, path := serve(t, s, Config{Dialect: wire.Linux, Readable: readable})
		for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		var c *Conn
		as(t, 65534, func() { c = connect(t, path, wire.Linux) })
		_, err := c.Request(limited(t), add())
		if readable != (err == nil) {
			t.Errorf("readable %v: another user's request: %v", readable, err)
		}
		h.do(func() {
			for _, info := range s.clients {
				if info.Privileged {
					t.Error("another user is privileged")
				}
			}
		})
	}
}

// TestServerIsAsked: a socket of another user's gets nothing.
func TestServerIsAsked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may become somebody else")
	}
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	as(t, 65534, func() { err = unix.Listen(fd, 1) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(limited(t), path, wire.Linux); err == nil || !strings.Contains(err.Error(), "user 65534 listens there") {
		t.Errorf("%v", err)
	}
}

// as runs f on a thread of another user. The thread is not used again.
func as(t *testing.T, uid int, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			t.Error(errno)
			return
		}
		f()
	}()
	<-done
}

// newcomers is a server that panics at whoever comes.
type newcomers struct{ *tables }

func (newcomers) Attach(time.Time, wire.ClientInfo) (wire.ClientID, error) { panic("a defect") }

// TestDefectAtAttach: the client is refused, and the hub serves on.
func TestDefectAtAttach(t *testing.T) {
	h := NewHub(newcomers{newTables(1)}, slog.New(slog.DiscardHandler))
	defer h.Close()
	for range 2 {
		_, far := pair(t, unix.SOCK_SEQPACKET)
		if err := h.Add(far, wire.ClientInfo{Dialect: wire.Linux}); err != errDefect {
			t.Errorf("%v, expected %v", err, errDefect)
		}
	}
}

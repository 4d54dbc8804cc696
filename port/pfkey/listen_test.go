// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

package pfkey

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/unixsocket"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// TestSocketFile: nobody but the owner may connect, unless it is readable, and errors say what it is. The rest is tested in
// port/unixsocket.
func TestSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "pfkey.sock")
	for _, config := range []Config{{}, {Stream: true}, {Readable: true}} {
		old := unix.Umask(0)
		l, err := Listen(path, config)
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if config.Readable {
			want = 0o666
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%v %v, expected %v", info, err, want)
		}
		for _, stream := range []bool{false, true} {
			if _, err := Listen(path, Config{Stream: stream}); err == nil || !strings.Contains(err.Error(), "another process listens") || !strings.Contains(err.Error(), "choose another path") {
				t.Errorf("a second listener: %v", err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, Config{}); err == nil || !strings.Contains(err.Error(), "found something else") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Listen(path, Config{Dialect: wire.OpenBSD}); err == nil {
		t.Error("OpenBSD's dialect cannot be served")
	}
}

func TestMayAll(t *testing.T) {
	me := os.Geteuid()
	for _, c := range []struct {
		uid            int
		readable, want bool
	}{{0, false, true}, {0, true, true}, {me, false, true}, {me + 12345, false, false}, {me + 12345, true, false}, {-1, false, true}, {-1, true, false}} {
		if got := mayAll(unixsocket.Peer{UID: c.uid}, c.readable); got != c.want {
			t.Errorf("user %d, readable %v: %v", c.uid, c.readable, got)
		}
	}
}

// TestUnknownPeer: where the kernel should be able to say who connected and does not, it is nobody.
func TestUnknownPeer(t *testing.T) {
	_, far := pair(t, unix.SOCK_SEQPACKET)
	far.Close()
	if _, ok := peerOf(far, false); ok {
		t.Error("trusted without a name")
	}
}

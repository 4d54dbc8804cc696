// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

package pfkey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

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

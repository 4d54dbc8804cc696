// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// HOSTILE T-102: what somebody planted in the place of the key log gets no keys, and does not keep the daemon waiting.
func TestT102KeyLog(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	plain := func(name string) string {
		if err := os.WriteFile(at(name), nil, keyLogMode); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	for name, plant := range map[string]func(path string) error{
		"symbolic link": func(path string) error { return os.Symlink(plain("target"), path) },
		"hard link":     func(path string) error { return os.Link(plain("other name"), path) },
		"FIFO":          func(path string) error { return unix.Mkfifo(path, keyLogMode) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"file of another user": func(path string) error {
			if os.Geteuid() != 0 {
				return unix.Mkfifo(path, keyLogMode) // another user's file takes root to make
			}
			return os.Chown(plain(filepath.Base(path)), 65534, -1)
		},
	} {
		if err := plant(at(name)); err != nil {
			t.Fatal(err)
		}
		if l, err := OpenKeyLog(at(name)); err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

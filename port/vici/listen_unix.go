// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package vici

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFolder holds an advisory lock on a folder.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// masked has f make a socket that nobody but its owner can connect to, whatever umask the process was started with: it listens
// before its mode can be set. The mask is the whole process's; what others make meanwhile is only more private for it.
func masked(f func()) {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	f()
}

// ours reports whether the effective user owns it. Root owns what any user left.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(st.Uid) == os.Geteuid())
}

// othersCanReplace reports whether everybody may remove files of the folder.
func othersCanReplace(info fs.FileInfo) bool {
	return info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
}

func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

func groupID(name string) (int, bool) {
	if name == "" {
		return 0, false
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	gid, err := strconv.Atoi(g.Gid)
	return gid, err == nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What Unix systems know of the owners of files, and their locks.

//go:build unix

package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockTime bounds the wait for another process that makes or probes a socket in the folder (probeTime): who may read a folder
	// may lock it, and must not be able to stop a daemon from starting without a word. lockPause lies between two tries.
	lockTime, lockPause = 10 * time.Second, 20 * time.Millisecond
)

// lockFolder holds an advisory lock on a folder.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockTime); ; time.Sleep(lockPause) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) && time.Now().After(end) {
			err = fmt.Errorf("another process has held it for %v (end that one)", lockTime)
		} else if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			continue
		}
		f.Close()
		return nil, err
	}
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

// OtherKind reports whether the error of a connect(2) says that a socket listens there, of the other kind.
func OtherKind(err error) bool { return errors.Is(err, unix.EPROTOTYPE) }

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

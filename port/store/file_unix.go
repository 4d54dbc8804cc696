// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// Opening files in the state folder: never through a link, never one that somebody else could have planted.

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// secureDir makes dir, or checks that it is a real folder which only we can write to.
func secureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Clean(dir), &st); err != nil {
		return fmt.Errorf("state folder %s: %w", dir, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("state folder %s: not a folder (a link is not followed)", dir)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("state folder %s: belongs to user %d, not to us", dir, st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("state folder %s: others can write to it (mode %04o, want 0700)", dir, st.Mode&0o7777)
	}
	return nil
}

// openFile opens a regular file of ours with mode 0600. A FIFO does not block it.
func openFile(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: a link is not followed", path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%s: not a regular file", path)
	case st.Nlink != 1:
		err = fmt.Errorf("%s: has %d names; a hard link is not trusted", path, st.Nlink)
	case st.Uid != uint32(os.Geteuid()):
		err = fmt.Errorf("%s: belongs to user %d, not to us", path, st.Uid)
	case st.Mode&0o022 != 0:
		err = fmt.Errorf("%s: others can write to it (mode %04o)", path, st.Mode&0o7777)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// syncFolder makes a rename in dir outlive a power failure.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil // a file system that has no such thing
	}
	return errors.Join(err, f.Close())
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package updown

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// hasModes says that a file's mode tells who can write to it.
const hasModes = true

// ownGroup lets the deadline end the command with everything it started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// checkOwner refuses a program that belongs to neither root nor the daemon's user: its owner would run as the daemon.
func checkOwner(path string, st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if ok && sys.Uid != 0 && sys.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("updown: %s belongs to user %d, neither root nor the daemon's", path, sys.Uid)
	}
	return nil
}

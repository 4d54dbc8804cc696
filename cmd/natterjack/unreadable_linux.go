// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The daemon's memory holds keys: no other process of the same user may read or trace it, and it never becomes a core file
// (HOSTILE T-101).

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// beUnreadable switches off ptrace(2), /proc/PID/mem and core files for this process; programs that it starts are not concerned.
func beUnreadable() error {
	return errors.Join(
		os.NewSyscallError("prctl PR_SET_DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)),
		os.NewSyscallError("setrlimit RLIMIT_CORE", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})),
	)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// HOSTILE T-101: not dumpable, no core file; what the daemon needs of its own /proc is still there.
func TestT101Unreadable(t *testing.T) {
	if err := beUnreadable(); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		t.Errorf("dumpable: %d, %v", n, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		t.Errorf("core files: %+v, %v", core, err)
	}
	for _, name := range []string{"/proc/self/ns/net", "/proc/self/exe"} {
		if _, err := os.Readlink(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.ReadFile("/proc/self/net/udp"); err != nil {
		t.Error(err)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// enter runs f on a thread in the namespace; the thread ends with the goroutine, because it is never unlocked.
func enter(ns string, f func()) error {
	runtime.LockOSThread()
	file, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	f()
	return nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package vici

import "golang.org/x/sys/unix"

// System asks uname(2).
func System() SystemInfo {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return unknownSystem()
	}
	return SystemInfo{Name: unix.ByteSliceToString(u.Sysname[:]), Release: unix.ByteSliceToString(u.Release[:]), Machine: unix.ByteSliceToString(u.Machine[:])}
}

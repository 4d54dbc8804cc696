// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build windows

package vici

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// lockFolder: Windows refuses to bind a name that exists, and modes of sockets are the folder's.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }

func ours(fs.FileInfo) bool { return true }

func othersCanReplace(fs.FileInfo) bool { return false }

func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// masked: there are no modes to mask.
func masked(f func()) { f() }

func groupID(string) (int, bool) { return 0, false }

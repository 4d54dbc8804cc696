// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Windows refuses to bind a name that exists; permissions of sockets are the folder's, and there is no group to set.

package unixsocket

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

func lockFolder(string) (unlock func(), err error) { return func() {}, nil }

func ours(fs.FileInfo) bool { return true }

func othersCanReplace(fs.FileInfo) bool { return false }

func refused(err error) bool { return errors.Is(err, windows.WSAECONNREFUSED) }

// OtherKind is false: there is one kind.
func OtherKind(error) bool { return false }

func groupID(string) (int, bool) { return 0, false }

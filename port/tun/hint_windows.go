// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the errors of Windows mean when an interface cannot be made.

package tun

import (
	"errors"

	"golang.org/x/sys/windows"
)

const (
	systemName    = DefaultName
	privilegeHint = "run as administrator, or use the netstack data plane"
	deviceHint    = "wintun.dll is missing beside the program; put it there, or use the netstack data plane"
)

func isNoDevice(err error) bool {
	return errors.Is(err, windows.ERROR_MOD_NOT_FOUND) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND)
}

func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ALREADY_EXISTS) || errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS)
}

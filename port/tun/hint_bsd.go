// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the errors of the BSDs and macOS mean when an interface cannot be made. Their TUN interfaces have fixed names,
// so a name is chosen by the system unless the configuration gives one.

//go:build freebsd || openbsd || darwin

package tun

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	privilegeHint = "run as root, or use the netstack data plane"
	deviceHint    = "the system offers no tun(4) or utun; load if_tun, or use the netstack data plane"
)

// systemName is utun on macOS, tun on OpenBSD; FreeBSD renames an interface and takes any name.
var systemName = map[string]string{"darwin": "utun", "openbsd": "tun", "freebsd": DefaultName}[runtime.GOOS]

func isNoDevice(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}

func isBusy(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST)
}

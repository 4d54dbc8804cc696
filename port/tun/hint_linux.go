// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the errors of Linux mean when an interface cannot be made.

package tun

import (
	"errors"

	"golang.org/x/sys/unix"
)

const (
	systemName    = DefaultName
	privilegeHint = "run as root or with CAP_NET_ADMIN, or use the netstack data plane"
	deviceHint    = "/dev/net/tun is missing; load the module tun, give the container the device, or use the netstack data plane"
)

func isNoDevice(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)
}

// isBusy: EINVAL is what TUNSETIFF answers when the name is that of an interface of another kind.
func isBusy(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EINVAL)
}

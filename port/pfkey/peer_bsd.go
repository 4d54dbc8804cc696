// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build darwin || dragonfly || freebsd

package pfkey

import (
	"net"

	"golang.org/x/sys/unix"
)

const solLocal = 0 // SOL_LOCAL

// peerUID asks the kernel who connected (LOCAL_PEERCRED).
func peerUID(c *net.UnixConn) int {
	uid := -2 // nobody's: the kernel must be able to say
	raw, err := c.SyscallConn()
	if err != nil {
		return uid
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid
}

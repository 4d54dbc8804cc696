// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The mark of a socket that only asks for a route.

package udp

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// markControl returns what net.Dialer.Control sets the mark with.
func markControl(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = os.NewSyscallError("setsockopt SO_MARK", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)))
		})
		if err != nil {
			return err
		}
		return failed
	}
}

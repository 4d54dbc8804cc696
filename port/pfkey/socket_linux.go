// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import "golang.org/x/sys/unix"

// sendFlags: who writes to a socket that was closed gets an error, not a signal.
const sendFlags = unix.MSG_NOSIGNAL

// hungUp reports whether nothing more can come: a message of no octets looks the same to recv(2).
func hungUp(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	p[0].Events = unix.POLLRDHUP
	_, err := unix.Poll(p, 0)
	return err != nil || p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}

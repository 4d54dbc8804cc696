// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One end of a Unix SEQPACKET socket, with reads and writes that can be tried without waiting.

package redirect

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errNotNow = errors.New("not now")

// packetConn is safe for concurrent use.
type packetConn struct {
	file *os.File
	raw  syscall.RawConn
}

// newPacketConn takes the descriptor.
func newPacketConn(fd int) (*packetConn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	c := &packetConn{file: os.NewFile(uintptr(fd), "pfkey")}
	var err error
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, err
	}
	return c, nil
}

func (c *packetConn) close() { c.file.Close() }

// send sends one message; with a limit of zero it does not wait.
func (c *packetConn) send(b []byte, limit time.Duration) error {
	var result error
	try := func(fd uintptr) bool {
		result = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		return result != unix.EAGAIN
	}
	var err error
	if limit == 0 {
		err = c.raw.Control(func(fd uintptr) { try(fd) })
	} else {
		_ = c.file.SetWriteDeadline(time.Now().Add(limit))
		err = c.raw.Write(try)
	}
	switch {
	case err != nil:
		return err
	case result == unix.EAGAIN:
		return errNotNow
	}
	return result
}

// next reads a message if there is one. A longer one than b is dropped. io.EOF: the other end is closed.
func (c *packetConn) next(b []byte) (n int, err error) {
	var flags int
	cerr := c.raw.Control(func(fd uintptr) {
		n, _, flags, _, err = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT)
		if n == 0 && err == nil && !hungUp(fd) {
			err = unix.EMSGSIZE // a message of no octets
		}
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err == unix.EAGAIN:
		return 0, errNotNow
	case err != nil:
		return 0, err
	case flags&unix.MSG_TRUNC != 0:
		return 0, unix.EMSGSIZE
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func hungUp(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(p, 0)
	return err != nil || p[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0
}

// readable waits until there is something to read, an end included.
func (c *packetConn) readable() error {
	return c.raw.Read(func(fd uintptr) bool { return polled(fd, unix.POLLIN) })
}

// writable waits until there is room, or nobody to read.
func (c *packetConn) writable() error {
	_ = c.file.SetWriteDeadline(time.Time{})
	return c.raw.Write(func(fd uintptr) bool { return polled(fd, unix.POLLOUT) })
}

func polled(fd uintptr, what int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: what}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents != 0
}

// unread is how many octets of what was sent the other end has not taken yet.
func (c *packetConn) unread() (n int, err error) {
	cerr := c.raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n, errors.Join(cerr, err)
}

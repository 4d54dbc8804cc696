// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package pfkey

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// codec is the dialect in the order of this machine.
func codec(d wire.Dialect) wire.Codec { return wire.Codec{Dialect: d, Order: binary.NativeEndian} }

// keepsMessages reports whether the socket keeps messages apart.
func keepsMessages(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	kind := 0
	_ = raw.Control(func(fd uintptr) { kind, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE) })
	return kind == unix.SOCK_SEQPACKET
}

// receive waits for one message. io.EOF: the other end is closed.
func receive(c *net.UnixConn, buf []byte, flags int) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	n := 0
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, failed = unix.Recvfrom(int(fd), buf, flags|unix.MSG_DONTWAIT)
			if failed != unix.EINTR {
				break
			}
		}
		if failed == nil && n == 0 && hungUp(int(fd)) {
			failed = io.EOF
		}
		return failed != unix.EAGAIN
	})
	if err != nil {
		return 0, err
	}
	return n, failed
}

// peek waits for a message and leaves it in the socket.
func peek(c *net.UnixConn, buf []byte) (int, error) { return receive(c, buf, unix.MSG_PEEK) }

// consume takes the message that was peeked at: what of it does not fit is dropped.
func consume(c *net.UnixConn) error {
	var one [1]byte
	_, err := receive(c, one[:], 0)
	return err
}

// tryWrite writes what fits without waiting, and returns what did not: of a SOCK_SEQPACKET all or nothing.
func tryWrite(c *net.UnixConn, b []byte) (rest []byte, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	n := 0
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		n, failed = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|sendFlags)
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case failed == unix.EAGAIN || failed == unix.EINTR || failed == unix.ENOBUFS:
		return b, nil
	case failed != nil:
		return nil, failed
	}
	return b[n:], nil
}

// disconnected reports whether the other end has gone: also when it closed with answers unread.
func disconnected(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

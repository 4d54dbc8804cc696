// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Error numbers: a message says what failed in the numbers of its own system, which agree up to 34 and differ beyond.

package pfkey

import (
	"errors"
	"fmt"
)

// Errno is why a request failed. Its values are Linux's; a number that has no name here is the dialect's own with rawErrno added.
type Errno uint16

// The error numbers that PF_KEY answers with.
const (
	OK              Errno = 0
	EPERM           Errno = 1
	ENOENT          Errno = 2
	ESRCH           Errno = 3
	EINTR           Errno = 4
	EIO             Errno = 5
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	EFAULT          Errno = 14
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	EINVAL          Errno = 22
	ENOSPC          Errno = 28
	ERANGE          Errno = 34
	ENOSYS          Errno = 38
	EMSGSIZE        Errno = 90
	EPROTONOSUPPORT Errno = 93
	EOPNOTSUPP      Errno = 95
	EAFNOSUPPORT    Errno = 97
	ENOBUFS         Errno = 105
	ETIMEDOUT       Errno = 110

	rawErrno Errno = 0x100
)

// errnos are the names, with the numbers of the BSDs.
var errnos = [...]struct {
	e    Errno
	bsd  uint8
	name string
	text string
}{
	{EPERM, 1, "EPERM", "not permitted"}, {ENOENT, 2, "ENOENT", "nothing there"}, {ESRCH, 3, "ESRCH", "no such SA"}, {EINTR, 4, "EINTR", "interrupted"},
	{EIO, 5, "EIO", "input or output failed"}, {ENOMEM, 12, "ENOMEM", "out of memory"}, {EACCES, 13, "EACCES", "not allowed"},
	{EFAULT, 14, "EFAULT", "bad address"}, {EBUSY, 16, "EBUSY", "busy"}, {EEXIST, 17, "EEXIST", "exists already"}, {EINVAL, 22, "EINVAL", "invalid"},
	{ENOSPC, 28, "ENOSPC", "no room"}, {ERANGE, 34, "ERANGE", "out of range"}, {ENOSYS, 78, "ENOSYS", "not implemented"},
	{EMSGSIZE, 40, "EMSGSIZE", "wrong length"}, {EPROTONOSUPPORT, 43, "EPROTONOSUPPORT", "protocol not supported"},
	{EOPNOTSUPP, 45, "EOPNOTSUPP", "not supported"}, {EAFNOSUPPORT, 47, "EAFNOSUPPORT", "address family not supported"},
	{ENOBUFS, 55, "ENOBUFS", "queue is full"}, {ETIMEDOUT, 60, "ETIMEDOUT", "timed out"},
}

// String is the name and what it means.
func (e Errno) String() string {
	for _, n := range errnos {
		if n.e == e {
			return n.name + " (" + n.text + ")"
		}
	}
	if e == OK {
		return "OK"
	}
	return fmt.Sprintf("errno %d", uint8(e))
}

// Error implements error, for a request that was answered with an errno.
func (e Errno) Error() string { return e.String() }

// number is the errno in the dialect.
func (d Dialect) number(e Errno) uint8 {
	if d != Linux && e < rawErrno {
		for _, n := range errnos {
			if n.e == e {
				return n.bsd
			}
		}
	}
	return uint8(e)
}

// errno is the inverse of number.
func (d Dialect) errno(n uint8) Errno {
	if n == 0 {
		return OK
	}
	for _, k := range errnos {
		if d == Linux && uint8(k.e) == n || d != Linux && k.bsd == n {
			return k.e
		}
	}
	return rawErrno | Errno(n)
}

// Error is why a message cannot be parsed or appended: the field with what was expected, and what a kernel answers.
type Error struct {
	Errno Errno
	Err   error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrnoOf is what to answer for an error of this package: EINVAL for any other.
func ErrnoOf(err error) Errno {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Errno
	}
	if e, ok := errors.AsType[Errno](err); ok {
		return e
	}
	return EINVAL
}

func invalid(format string, args ...any) error { return &Error{EINVAL, fmt.Errorf(format, args...)} }

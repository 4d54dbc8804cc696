// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The listener of a seccomp filter: seccomp(2), seccomp_unotify(2). What it delivers was written by the kernel, about
// arguments that the program chose.

package redirect

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncWakeUp is SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): the two processes take turns on one processor.
const syncWakeUp = 1

// notification is struct seccomp_notif, with room for what later kernels append.
type notification struct {
	id    uint64
	pid   uint32 // the thread, as this process's /proc names it
	flags uint32
	nr    int32
	abi   uint32
	ip    uint64
	args  [6]uint64
	_     [176]byte
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// addedFD is struct seccomp_notif_addfd.
type addedFD struct {
	id                            uint64
	flags, source, number, fdFlag uint32
}

// listener is a descriptor on which calls wait for an answer.
type listener struct{ fd int }

func (l listener) ioctl(request uintptr, p unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(p))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}

// next waits for a call. errEnded: no process has the filter any more.
func (l listener) next(n *notification) error {
	for {
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
		case fds[0].Revents != 0:
			return errEnded
		default:
			continue
		}
		*n = notification{}
		err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
		if err == unix.ENOENT { // the call was interrupted
			continue
		}
		return err
	}
}

var errEnded = errors.New("the program has ended")

// answer ends a call with a value or an error.
func (l listener) answer(id uint64, value int64, errno unix.Errno) {
	r := response{id: id, value: value, errno: -int32(errno)}
	// ENOENT: the call was interrupted, and nobody waits.
	_ = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// untouched has the kernel carry the call out.
func (l listener) untouched(id uint64) {
	r := response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_ = l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// waits says whether the call still waits: if so, the process that was looked at is the one that made it.
func (l listener) waits(id uint64) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == nil
}

// give ends a call with a descriptor of the caller's: a copy of fd.
func (l listener) give(id uint64, fd int, closeOnExec bool) error {
	a := addedFD{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, source: uint32(fd)}
	if closeOnExec {
		a.fdFlag = unix.O_CLOEXEC
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// preferFast asks for the shorter way between the processes, where the kernel has it.
func (l listener) preferFast() {
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, syncWakeUp)
}

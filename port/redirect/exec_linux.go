// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The child: it installs the filter on one of its threads, hands the listener to the supervisor from another, which has no
// filter and therefore asks nobody, and becomes the program on the first. This process runs no code of the program's yet.

package redirect

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channelFD is the child's end of the channel to the supervisor.
const channelFD = 3

// Exec is what Config.Self runs. It ends this process, or returns an error.
func Exec(args []string) error {
	if len(args) < 3 {
		return errors.New("no command")
	}
	if args[0] == stageExec {
		return become(args[1], args[2:])
	}
	status, err := keep(args[1:])
	if err == nil {
		os.Exit(status)
	}
	return err
}

// become installs the filter and becomes the program at path. It returns only an error.
func become(path string, args []string) error {
	unix.CloseOnExec(channelFD)
	filter, err := callFilter()
	if err != nil {
		return err
	}
	installed, handed := make(chan int), make(chan error)
	failed := make(chan error)
	go func() {
		// Whatever happens, this thread and its filter end with the process or become the program.
		runtime.LockOSThread()
		fd, err := install(filter)
		if err != nil {
			failed <- err
			select {}
		}
		installed <- fd
		if err := <-handed; err != nil {
			failed <- err
			select {}
		}
		failed <- fmt.Errorf("%s: %w", path, unix.Exec(path, args, os.Environ()))
		select {}
	}()
	select {
	case err := <-failed:
		return err
	case fd := <-installed:
		handed <- unix.Sendmsg(channelFD, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	return <-failed
}

// install puts the filter on the calling thread and returns the listener.
func install(filter []unix.SockFilter) (int, error) {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	call := func(flags uintptr) (uintptr, unix.Errno) {
		fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
		return fd, errno
	}
	// A signal must not restart a call that has been carried out already: from Linux 5.19 only a deadly one does.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	try := func() (fd uintptr, errno unix.Errno) {
		if fd, errno = call(flags | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV); errno == unix.EINVAL {
			fd, errno = call(flags)
		}
		return fd, errno
	}
	fd, errno := try()
	if errno == unix.EACCES {
		// Without CAP_SYS_ADMIN a filter needs a promise: no program that is started gains privileges.
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return 0, fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", err)
		}
		fd, errno = try()
	}
	switch errno {
	case 0:
		return int(fd), nil
	case unix.EBUSY:
		return 0, errors.New("seccomp: this process is supervised already; run it outside of the other supervisor")
	}
	return 0, fmt.Errorf("seccomp: %w; user notification needs Linux 5.14 and must not be forbidden by a container", errno)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who makes a call. The supervisor acts with its own privileges, so it asks first whether the calling thread has what the kernel would
// ask for: a program that gave up its privileges gets nothing back here. A socket that was opened before keeps working, as the kernel's do.

package redirect

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// caller is what the kernel says of a thread, in the namespaces of this process.
type caller struct {
	leader int    // its process
	uid    uint32 // effective
	admin  bool   // CAP_NET_ADMIN is effective
	space  [2]uint64
}

// callerOf reads it. What was read is of the calling thread only where the call still waits afterwards.
func callerOf(thread string) (c caller, err error) {
	text, err := os.ReadFile("/proc/" + thread + "/status")
	if err != nil {
		return c, err
	}
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan() && err == nil; {
		name, value, _ := strings.Cut(lines.Text(), ":")
		f := strings.Fields(value)
		switch {
		case name == "Tgid" && len(f) == 1:
			c.leader, err = strconv.Atoi(f[0])
		case name == "Uid" && len(f) == 4: // real, effective, saved, of the file system: proc_pid_status(5)
			var uid uint64
			uid, err = strconv.ParseUint(f[1], 10, 32)
			c.uid = uint32(uid)
		case name == "CapEff" && len(f) == 1:
			var set uint64
			set, err = strconv.ParseUint(f[0], 16, 64)
			c.admin = set&(1<<unix.CAP_NET_ADMIN) != 0
		default:
			continue
		}
		found++
	}
	if err == nil && found != 3 {
		err = fmt.Errorf("/proc/%s/status: expected Tgid, Uid and CapEff", thread)
	}
	if err != nil {
		return c, err
	}
	var st unix.Stat_t
	err = unix.Stat("/proc/"+thread+"/ns/user", &st)
	c.space = [2]uint64{uint64(st.Dev), st.Ino}
	return c, err
}

// may reports whether a thread may have what needs CAP_NET_ADMIN. Capabilities in another user namespace are none here. Where the
// supervisor has none either, its own user may all that it may.
func (own caller) may(c caller) bool {
	return c.space == own.space && (c.admin || !own.admin && c.uid == own.uid)
}

// privileged asks about the thread of a call; false also where the call does not wait any more.
func (s *supervisor) privileged(n *notification) bool {
	own, err := callerOf("thread-self")
	if err != nil {
		s.log.Error("the supervisor cannot see its own privileges", "reason", err)
		return false
	}
	c, err := callerOf(strconv.Itoa(int(n.pid)))
	return err == nil && s.listener.waits(n.id) && own.may(c)
}

// take copies the descriptor that a call is about: of the process of the calling thread, whose own it must be too.
func (s *supervisor) take(n *notification) (int, unix.Errno) {
	c, err := callerOf(strconv.Itoa(int(n.pid)))
	if err != nil {
		return -1, unix.EBADF
	}
	pidfd, err := unix.PidfdOpen(c.leader, 0)
	if err != nil {
		return -1, unix.EBADF
	}
	defer unix.Close(pidfd)
	number := int32(n.args[0])
	fd, err := unix.PidfdGetfd(pidfd, int(number), 0)
	if errno, ok := err.(unix.Errno); ok {
		return -1, errno
	} else if err != nil {
		return -1, unix.EBADF
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	inode, isSocket := socketAt(n.pid, number)
	switch {
	case err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK && !isSocket:
		err = unix.ENOTSOCK
	case err != nil || inode != st.Ino || !s.listener.waits(n.id):
		err = unix.EBADF // the thread has a table of its own, or is another by now
	default:
		return fd, 0
	}
	unix.Close(fd)
	return -1, err.(unix.Errno)
}

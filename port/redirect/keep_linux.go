// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The keeper: the parent of the program's processes. It passes the supervisor's signals on, buries what the program's forks leave, and,
// when the supervisor ends before the program, ends them all: without a supervisor every write of theirs would fail, and a daemon
// that does not expect that spins. It has no filter and asks nobody.

package redirect

import (
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stageKeep and stageExec are the first argument of Exec.
	stageKeep, stageExec = "keep", "exec"
	// lifeFD is the keeper's end of a socket of the supervisor's: octets are signals, its end is the supervisor's.
	lifeFD = 4
	// killGap lies between two looks at what is still alive.
	killGap = 10 * time.Millisecond
	// signalled is added to the number of a signal in an exit status, as shells do.
	signalled = 128
)

// keep runs the program and returns its exit status when its last process has ended.
func keep(args []string) (int, error) {
	unix.CloseOnExec(lifeFD)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	prefix := os.Args[:len(os.Args)-len(args)-1]
	argv := append(append(slices.Clone(prefix), stageExec), args...)
	channel := os.NewFile(channelFD, "channel")
	// What a terminal sends goes to all of its group; caught and not ignored, for the program would inherit that.
	fromOthers := make(chan os.Signal, 8)
	signal.Notify(fromOthers, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	p, err := os.StartProcess(self, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, channel}})
	if err != nil {
		return 0, err
	}
	channel.Close()
	go orders(p.Pid)
	return bury(p.Pid)
}

// bury waits for all that is born here.
func bury(first int) (int, error) {
	status := 0
	for {
		var st syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &st, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.ECHILD:
			return status, nil
		case err != nil:
			return status, os.NewSyscallError("wait4", err)
		case pid != first:
		case st.Signaled():
			status = signalled + int(st.Signal())
		default:
			status = st.ExitStatus()
		}
	}
}

// orders obeys the supervisor until it ends.
func orders(first int) {
	var b [1]byte
	for {
		n, err := unix.Read(lifeFD, b[:])
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			for {
				for _, pid := range children() {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				time.Sleep(killGap) // bury ends this process with the last of them
			}
		default:
			// What the program has left behind gets the signal when its first process is gone.
			to := children()
			if slices.Contains(to, first) {
				to = []int{first}
			}
			for _, pid := range to {
				_ = syscall.Kill(pid, syscall.Signal(b[0]))
			}
		}
	}
}

// children are this process's.
func children() []int {
	var list []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

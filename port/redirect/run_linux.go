// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Starting the program under the filter and outliving it: a daemon that goes into the background becomes this process's
// child, so that signals reach it and its end is seen. When this process ends, so does the program: without a supervisor
// every write of its would fail.

package redirect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reapGap is how often children that went into the background are looked for.
const reapGap = 200 * time.Millisecond

// Config says what is run.
type Config struct {
	// Self is the command line that calls Exec with the arguments that follow.
	Self []string
	// Args is the program and its arguments.
	Args           []string
	Stdin          *os.File
	Stdout, Stderr *os.File
	// Server is the path of the PF_KEY server's SEQPACKET socket.
	Server string
	// Engine takes ESP in UDP; nil: UDP_ENCAP fails as on a system without IPsec.
	Engine Engine
	Log    *slog.Logger
}

// Run runs the program until its last process has ended and returns its exit status. When ctx ends, the program is asked to
// end by SIGTERM.
func Run(ctx context.Context, c Config) (int, error) {
	if len(c.Args) == 0 || len(c.Self) == 0 {
		return 0, errors.New("command: none given")
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return 0, err
	}
	if len(c.Server) >= len(unix.RawSockaddrUnix{}.Path) {
		return 0, fmt.Errorf("socket: %s: longer than a Unix address can be", c.Server)
	}
	if _, err := callFilter(); err != nil {
		return 0, err
	}
	// A daemon's orphan comes back to this process.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	p, err := start(c, path)
	if err != nil {
		return 0, err
	}
	s := &supervisor{listener: p.listener, server: c.Server, ports: newPorts(c.Engine, c.Log), log: c.Log,
		waiting: make(chan struct{}, maxWaiting), relays: map[uint64]*relay{}}
	ended := make(chan struct{})
	go p.obey(ctx, ended)
	err = s.serve(p.never)
	close(ended)
	<-p.waited
	unix.Close(p.listener.fd)
	unix.Close(p.never)
	unix.Close(p.neverOther)
	return p.status, err
}

// program is what was started.
type program struct {
	cmd               *exec.Cmd
	listener          listener
	never, neverOther int // a pipe that is never written to
	waited            chan struct{}
	status            int // after waited
}

func start(c Config, path string) (*program, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "channel")
	defer theirs.Close()
	args := append(append(append([]string{}, c.Self[1:]...), path), c.Args...)
	p := &program{cmd: exec.Command(c.Self[0], args...), waited: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	theirs.Close()
	fd, err := receive(pair[0])
	if err != nil {
		<-p.waited
		return nil, fmt.Errorf("%s could not be started under supervision (its reason is above): %w", c.Args[0], err)
	}
	p.listener = listener{fd}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	p.never, p.neverOther = pipe[0], pipe[1]
	return p, nil
}

// receive is the listener that the child sends.
func receive(fd int) (int, error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
	switch {
	case err != nil:
		return 0, os.NewSyscallError("recvmsg", err)
	case n == 0:
		return 0, errors.New("it ended before")
	}
	list, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(list) != 1 {
		return 0, errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&list[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.New("no descriptor came")
	}
	return fds[0], nil
}

// wait waits for the process that was started.
func (p *program) wait() {
	err := p.cmd.Wait()
	var failed *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &failed) && failed.Sys().(syscall.WaitStatus).Signaled():
		p.status = 128 + int(failed.Sys().(syscall.WaitStatus).Signal())
	case errors.As(err, &failed):
		p.status = failed.ExitCode()
	default:
		p.status = 1
	}
	close(p.waited)
}

// obey passes signals on, and reaps what went into the background. A second request to end is one that cannot be ignored.
func (p *program) obey(ctx context.Context, ended <-chan struct{}) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	done, waited := ctx.Done(), p.waited
	asked := 0
	for {
		select {
		case <-ended:
			return
		case <-done:
			done = nil
			p.signal(syscall.SIGTERM)
		case sig := <-signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				if asked++; asked > 1 {
					sig = syscall.SIGKILL
				}
			}
			p.signal(sig.(syscall.Signal))
		case <-waited:
			waited = nil
		case <-time.After(reapGap):
			if waited == nil {
				reap()
			}
		}
	}
}

// signal sends to the process that was started, or to what it has left behind.
func (p *program) signal(sig syscall.Signal) {
	select {
	case <-p.waited:
	default:
		_ = p.cmd.Process.Signal(sig)
		return
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				_ = syscall.Kill(pid, sig)
			}
		}
	}
}

// reap takes note of the end of orphans. The first process is not waited for any more, and this process has no others.
func reap() {
	for {
		var st syscall.WaitStatus
		if pid, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

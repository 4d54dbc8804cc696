// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Starting the program under the filter and serving it until its last process has ended, also where it goes into the background.

package redirect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Config says what is run.
type Config struct {
	// Self is the command line of this binary that calls Exec with the arguments that follow.
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
	p, err := start(c, path)
	if err != nil {
		return 0, err
	}
	s := &supervisor{listener: p.listener, server: c.Server, ports: newPorts(c.Engine, c.Log), log: c.Log,
		waiting: make(chan struct{}, maxWaiting), relays: map[uint64]*relay{}}
	ended := make(chan struct{})
	go p.obey(ctx, ended)
	err = s.serve()
	close(ended)
	p.life.Close() // whatever is left of the program ends
	<-p.waited
	unix.Close(p.listener.fd)
	return p.status, err
}

// program is what was started.
type program struct {
	cmd      *exec.Cmd // the keeper
	life     *os.File
	listener listener
	waited   chan struct{}
	status   int // after waited
}

func start(c Config, path string) (*program, error) {
	var ends [2]*os.File // the keeper's
	var ours [2]int
	for i := range ends {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, os.NewSyscallError("socketpair", err)
		}
		ours[i], ends[i] = pair[0], os.NewFile(uintptr(pair[1]), "supervisor")
		defer ends[i].Close()
	}
	defer unix.Close(ours[0])
	p := &program{waited: make(chan struct{}), life: os.NewFile(uintptr(ours[1]), "life")}
	p.cmd = exec.Command(c.Self[0], slices.Concat(c.Self[1:], []string{stageKeep, path}, c.Args)...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = c.Stdin, c.Stdout, c.Stderr, ends[:]
	if err := p.cmd.Start(); err != nil {
		p.life.Close()
		return nil, err
	}
	go p.wait()
	for _, f := range ends {
		f.Close()
	}
	fd, err := receive(ours[0])
	if err != nil {
		<-p.waited
		p.life.Close()
		return nil, fmt.Errorf("%s could not be started under supervision (its reason is above): %w", c.Args[0], err)
	}
	p.listener = listener{fd}
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

// wait waits for the keeper.
func (p *program) wait() {
	err := p.cmd.Wait()
	var failed *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &failed) && failed.ExitCode() >= 0:
		p.status = failed.ExitCode()
	default:
		p.status = 1 // it was killed; the program is served to its end
	}
	close(p.waited)
}

// obey passes signals on. A second request to end is one that cannot be ignored.
func (p *program) obey(ctx context.Context, ended <-chan struct{}) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	done, asked := ctx.Done(), 0
	for {
		sig := syscall.SIGTERM
		select {
		case <-ended:
			return
		case <-done:
			done = nil
		case s := <-signals:
			sig = s.(syscall.Signal)
		}
		if sig == syscall.SIGTERM || sig == syscall.SIGINT {
			if asked++; asked > 1 {
				sig = syscall.SIGKILL
			}
		}
		_, _ = p.life.Write([]byte{byte(sig)})
	}
}

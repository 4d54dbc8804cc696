// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package agent is what the guest's first process and the test say to each other, by net/rpc over a virtio-serial port: run
// programs, read and write files, and octets through AF_KEY sockets. The guest runs nothing but the lab's own programs, and
// both ends are the tests' own.
package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// PortName is the name of the virtio-serial port, Greeting what the guest writes to it when it is ready.
const (
	PortName = "natterjack"
	Greeting = "natterjack guest\n"
)

// Agent is the receiver of the calls. Its methods may be called at the same time.
type Agent struct {
	mu    sync.Mutex // protects what follows
	procs map[int]*process
	keys  map[string]int // AF_KEY descriptors by name
}

// New makes an agent without processes and sockets.
func New() *Agent { return &Agent{procs: map[int]*process{}, keys: map[string]int{}} }

// Program is a program to run.
type Program struct {
	Args  []string
	Env   []string
	Stdin string
	Limit time.Duration // of Run
}

// Outcome is what a program wrote, and its error as text; empty is success.
type Outcome struct {
	Out   string
	Error string
	Ended bool
}

// process is a program under way.
type process struct {
	cmd  *exec.Cmd
	out  syncBuffer
	done chan struct{}
	err  error // immutable after done
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Run runs a program to its end.
func (a *Agent) Run(p Program, o *Outcome) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Args[0], p.Args[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdin = bytes.NewReader([]byte(p.Stdin))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	o.Out, o.Ended = string(out), true
	if err != nil {
		o.Error = err.Error()
	}
	return nil
}

// Start starts a program and answers its process id.
func (a *Agent) Start(p Program, pid *int) error {
	proc := &process{cmd: exec.Command(p.Args[0], p.Args[1:]...), done: make(chan struct{})}
	proc.cmd.Env = append(os.Environ(), p.Env...)
	proc.cmd.Stdin = bytes.NewReader([]byte(p.Stdin))
	proc.cmd.Stdout, proc.cmd.Stderr = &proc.out, &proc.out
	if err := proc.cmd.Start(); err != nil {
		return err
	}
	*pid = proc.cmd.Process.Pid
	a.mu.Lock()
	a.procs[*pid] = proc
	a.mu.Unlock()
	go func() {
		proc.err = proc.cmd.Wait()
		close(proc.done)
	}()
	return nil
}

func (a *Agent) process(pid int) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.procs[pid]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("process %d: not started here", pid)
}

// Output answers what a started program has written so far, and whether it has ended.
func (a *Agent) Output(pid int, o *Outcome) error {
	p, err := a.process(pid)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
		o.Ended = true
		if p.err != nil {
			o.Error = p.err.Error()
		}
	default:
	}
	o.Out = p.out.String()
	return nil
}

// Kill ends a started program at once and waits for it.
func (a *Agent) Kill(pid int, _ *struct{}) error {
	p, err := a.process(pid)
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// File is a file to write.
type File struct {
	Path string
	Data []byte
	Mode os.FileMode
}

// WriteFile writes a file, and the folders above it where they are missing.
func (a *Agent) WriteFile(f File, _ *struct{}) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(f.Path, f.Data, f.Mode)
}

// ReadFile reads a file.
func (a *Agent) ReadFile(path string, data *[]byte) error {
	b, err := os.ReadFile(path)
	*data = b
	return err
}

// PowerOff ends the machine.
func (a *Agent) PowerOff(struct{}, *struct{}) error {
	return syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

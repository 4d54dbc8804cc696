// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Namespaces and the processes in them. A process dies with the test binary, whatever ends that.

package netlab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Space is one network namespace.
type Space struct {
	Name string // as ip netns has it
	Role string

	lab   *Lab
	procs []*Process
}

// NewSpace makes a namespace with loopback up, without IPv6 autoconfiguration and without a reverse path filter.
func (l *Lab) NewSpace(role string) *Space {
	l.Helper()
	s := &Space{Name: fmt.Sprintf("%s%d-%d-%s", namePrefix, os.Getpid(), l.id, role), Role: role, lab: l}
	if _, err := command(commandLimit, nil, "", "ip", "netns", "add", s.Name); err != nil {
		l.Fatal(err)
	}
	l.spaces = append(l.spaces, s)
	s.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		"net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
		"net.ipv6.conf.default.dad_transmits=0", "net.ipv6.conf.default.router_solicitations=0",
		"net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.default.accept_redirects=0",
		"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0")
	s.Run("ip", "link", "set", "lo", "up")
	return s
}

// Forward makes the namespace a router.
func (s *Space) Forward() {
	s.lab.Helper()
	s.Run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
}

// FilterReversePaths turns strict reverse path filtering on, as many distributions do.
func (s *Space) FilterReversePaths() {
	s.lab.Helper()
	s.Run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1")
}

// Run runs a program in the namespace; its failure is the test's.
func (s *Space) Run(args ...string) string {
	s.lab.Helper()
	out, err := s.Try(args...)
	if err != nil {
		s.lab.Fatal(err)
	}
	return out
}

// Try runs a program in the namespace.
func (s *Space) Try(args ...string) (string, error) {
	return command(commandLimit, nil, "", s.inside(args)...)
}

// IP runs lines of ip -batch in the namespace; those that begin with -6 run after the others, as ip -6.
func (s *Space) IP(lines ...string) {
	s.lab.Helper()
	var v4, v6 []string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "-6 "); ok {
			v6 = append(v6, rest)
		} else {
			v4 = append(v4, line)
		}
	}
	s.batch(v4)
	s.batch(v6, "-6")
}

func (s *Space) batch(lines []string, options ...string) {
	s.lab.Helper()
	if len(lines) == 0 {
		return
	}
	args := append(append([]string{"ip"}, options...), "-n", s.Name, "-batch", "-")
	if _, err := command(commandLimit, nil, strings.Join(lines, "\n"), args...); err != nil {
		s.lab.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
	}
}

// NFT loads a ruleset.
func (s *Space) NFT(rules string) {
	s.lab.Helper()
	if _, err := command(commandLimit, nil, rules, s.inside([]string{"nft", "-f", "-"})...); err != nil {
		s.lab.Fatalf("%v\n%s", err, rules)
	}
}

func (s *Space) inside(args []string) []string {
	return append([]string{"ip", "netns", "exec", s.Name}, args...)
}

// Ping sends one echo request and waits at most for the limit.
func (s *Space) Ping(limit time.Duration, args ...string) error {
	_, err := s.Try(append([]string{"ping", "-n", "-c", "1", "-W", fmt.Sprintf("%.2f", limit.Seconds())}, args...)...)
	return err
}

// snapshot writes the state of a namespace to a file.
func (s *Space) snapshot() {
	var b strings.Builder
	for _, args := range [][]string{{"ip", "addr"}, {"ip", "rule"}, {"ip", "-6", "rule"}, {"ip", "route", "show", "table", "all"},
		{"ip", "-6", "route", "show", "table", "all"}, {"ip", "neigh"}, {"nft", "list", "ruleset"}, {"conntrack", "-L"}, {"nstat", "-az"}} {
		out, err := s.Try(args...)
		fmt.Fprintf(&b, "+ %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	_ = os.WriteFile(filepath.Join(s.lab.Dir, s.Role+"-state.txt"), []byte(b.String()), 0o600)
}

func (s *Space) close() {
	for _, p := range s.procs {
		p.Kill()
	}
	removeSpace(s.Name)
}

// removeSpace kills what still runs in a namespace of ours, and removes it.
func removeSpace(name string) {
	out, _ := command(commandLimit, nil, "", "ip", "netns", "pids", name)
	for _, word := range strings.Fields(out) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_, _ = command(commandLimit, nil, "", "ip", "netns", "del", name)
}

// Process is a program that runs in a namespace until it ends or is ended. What it writes lies in a log of the lab's.
type Process struct {
	Name  string
	Stdin io.WriteCloser
	// Lines are what it wrote to standard output, where it was asked for.
	Lines chan string

	lab  *Lab
	cmd  *exec.Cmd
	done chan struct{}
	err  error // immutable after done
	log  string
}

// Start starts a program whose output goes to a log.
func (s *Space) Start(name string, env []string, args ...string) *Process {
	s.lab.Helper()
	return s.start(name, env, false, args)
}

// StartHelper starts a helper program of this package (helper.go), whose standard output can be read line by line.
func (s *Space) StartHelper(name string, args ...string) *Process {
	s.lab.Helper()
	self, err := os.Executable()
	if err != nil {
		s.lab.Fatal(err)
	}
	return s.start(name, []string{helperVariable + "=1"}, true, append([]string{self}, args...))
}

func (s *Space) start(name string, env []string, lines bool, args []string) *Process {
	s.lab.Helper()
	args = s.inside(args)
	p := &Process{Name: name, lab: s.lab, done: make(chan struct{}), log: filepath.Join(s.lab.Dir, s.Role+"-"+name+".log")}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.lab.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	if p.Stdin, err = p.cmd.StdinPipe(); err != nil {
		s.lab.Fatal(err)
	}
	var stdout io.Reader
	if lines {
		p.cmd.Stdout = nil
		if stdout, err = p.cmd.StdoutPipe(); err != nil {
			s.lab.Fatal(err)
		}
		p.Lines = make(chan string, 64)
	}
	if err := p.cmd.Start(); err != nil {
		s.lab.Fatalf("%s: %v", name, err)
	}
	s.procs = append(s.procs, p)
	go p.wait(stdout)
	return p
}

func (p *Process) wait(stdout io.Reader) {
	if stdout != nil {
		in := bufio.NewScanner(stdout)
		for in.Scan() {
			select {
			case p.Lines <- in.Text():
			case <-time.After(commandLimit): // nobody reads
			}
		}
		close(p.Lines)
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// Line returns the next line of standard output.
func (p *Process) Line(limit time.Duration) string {
	p.lab.Helper()
	select {
	case line, ok := <-p.Lines:
		if !ok {
			<-p.done
			p.lab.Fatalf("%s ended: %v: %s", p.Name, p.err, p.Log())
		}
		return line
	case <-time.After(limit):
		p.Kill()
		p.lab.Fatalf("%s: nothing within %v: %s", p.Name, limit, p.Log())
	}
	return ""
}

// Log is what the process wrote.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end of the process and returns its error.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
	}
	if p.Ended() {
		return p.err
	}
	return fmt.Errorf("%s: still running after %v", p.Name, limit)
}

// Signal sends a signal to the process if it still runs.
func (p *Process) Signal(sig syscall.Signal) {
	if !p.Ended() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// Stop asks the process to end, and makes it end after the limit. It returns how long that took.
func (p *Process) Stop(sig syscall.Signal, limit time.Duration) time.Duration {
	begin := time.Now()
	p.Signal(sig)
	if p.Wait(limit) != nil && !p.Ended() {
		p.Kill()
	}
	return time.Since(begin)
}

// Kill ends the process at once.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	_ = p.Wait(5 * time.Second)
}

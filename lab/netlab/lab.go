// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package netlab makes the worlds of the namespace labs: network namespaces joined by veth, NATs of nftables or of
// port/natbox, unmodified strongSwan and Natterjack as peers, captures, transfers. It needs root and the packages that
// the install stage of lab/ci fetches, and says so by failing: a lab that does not run proves nothing. Its input is the
// tests' own. Whatever it starts or makes is gone after the test; what a killed run left is removed by the next one.
package netlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// commandLimit bounds every command that is run to its end.
	commandLimit = 20 * time.Second
	// pollEvery is how often conditions are looked at.
	pollEvery = 25 * time.Millisecond
	// namePrefix is followed by the process id of the run.
	namePrefix = "nj-lab"
)

// tools are the programs the labs call.
var tools = [...]string{"ip", "nft", "conntrack", "tcpdump", "tshark", "ping", "sysctl", "swanctl", "charon-systemd"}

// number makes the names of this process's labs differ.
var number atomic.Uint64

// requireOnce checks and sweeps once a process.
var requireOnce struct {
	sync.Once
	err error
}

// Lab is what one test has made. It belongs to the test's goroutine.
type Lab struct {
	testing.TB
	// Dir is the lab's own folder; its path is short, for sockets lie in it.
	Dir string

	id     uint64
	spaces []*Space
	nodes  []*Node
}

// New makes an empty lab that ends with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	requireOnce.Do(func() { requireOnce.err = require() })
	if requireOnce.err != nil {
		t.Fatal(requireOnce.err)
	}
	dir, err := os.MkdirTemp("", "njlab")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{TB: t, Dir: dir, id: number.Add(1)}
	t.Cleanup(l.close)
	return l
}

// require says in one sentence what is missing, and removes what killed runs left.
func require() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the namespace labs need root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed; run: go run ./lab/ci install", tool)
		}
	}
	out, err := exec.Command("ip", "netns", "list").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip netns list: %w: %s", err, out)
	}
	for _, m := range regexp.MustCompile(`(?m)^(`+namePrefix+`(\d+)-\S+)`).FindAllStringSubmatch(string(out), -1) {
		pid, err := strconv.Atoi(m[2])
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			removeSpace(m[1])
		}
	}
	return nil
}

// close ends everything in the order that leaves nothing behind, after saying what the daemons logged if the test failed.
func (l *Lab) close() {
	if l.Failed() {
		l.snapshots()
	}
	for _, n := range l.nodes {
		n.stop()
	}
	if l.Failed() {
		l.explain()
	}
	for _, s := range l.spaces {
		s.close()
	}
	os.RemoveAll(l.Dir)
}

// snapshots is for NETLAB_KEEP=FOLDER, which keeps the lab's files, captures and the state of its namespaces.
func (l *Lab) snapshots() {
	if os.Getenv("NETLAB_KEEP") == "" {
		return
	}
	for _, s := range l.spaces {
		s.snapshot()
	}
}

// explain logs the end of every file that a process wrote to.
func (l *Lab) explain() {
	logs, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	for _, path := range logs {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			l.Logf("=== %s\n%s", filepath.Base(path), tail(string(b), 60))
		}
	}
	if keep := os.Getenv("NETLAB_KEEP"); keep != "" {
		to := filepath.Join(keep, strings.ReplaceAll(l.Name(), "/", "_"))
		os.RemoveAll(to)
		for _, n := range l.nodes {
			os.Remove(n.Socket())
		}
		if err := os.CopyFS(to, os.DirFS(l.Dir)); err != nil {
			l.Logf("kept only part: %v", err)
		}
		l.Logf("kept %s", to)
	}
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = append([]string{fmt.Sprintf("... %d lines ...", len(all)-lines)}, all[len(all)-lines:]...)
	}
	return strings.Join(all, "\n")
}

// Eventually polls ok until it is true, and fails the test after the limit with the last reason.
func (l *Lab) Eventually(limit time.Duration, what string, ok func() (bool, string)) time.Duration {
	l.Helper()
	begin := time.Now()
	for {
		good, why := ok()
		took := time.Since(begin)
		if good {
			return took
		}
		if took > limit {
			l.Fatalf("%s: not within %v: %s", what, limit, why)
		}
		time.Sleep(pollEvery)
	}
}

// command runs a program to its end and returns what it printed.
func command(limit time.Duration, env []string, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(tail(string(out), 20)))
	}
	return string(out), nil
}

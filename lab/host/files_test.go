// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package host

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/daemon/host"
	"github.com/natterjack/natterjack/ike"
)

const resolvText = "nameserver 192.0.2.53\n"

// ownResolvConf gives this process an /etc of its own: `ip netns exec` made it a mount namespace. No tool is found.
func ownResolvConf(t *testing.T) {
	t.Helper()
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte(resolvText), 0o644); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "updown")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func itoa(n int) string { return strconv.Itoa(n) }

// DNS servers of several connections are one setting, and the file is as before when the last is gone.
func TestDNS(t *testing.T) {
	if !inside(t) {
		return
	}
	ownResolvConf(t)
	m := start(t, "nj0", stateDir(t), host.Options{})
	servers := func() string {
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for line := range strings.Lines(string(b)) {
			if s, ok := strings.CutPrefix(strings.TrimSpace(line), "nameserver "); ok {
				list = append(list, s)
			}
		}
		return strings.Join(list, " ")
	}
	set := func(unique uint64, remove bool, addrs ...string) {
		t.Helper()
		c := ike.Configure{Unique: unique, Remove: remove}
		for _, a := range addrs {
			c.DNS = append(c.DNS, netip.MustParseAddr(a))
		}
		if err := m.Configure(c); err != nil {
			t.Error(err)
		}
	}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { set(1, false, "10.0.0.1") }, "10.0.0.1"},
		{func() { set(2, false, "10.0.0.2", "10.0.0.1") }, "10.0.0.1 10.0.0.2"},
		{func() { set(1, true) }, "10.0.0.2 10.0.0.1"},
		{func() { set(2, true) }, "192.0.2.53"},
		{func() { set(3, false, "0.0.0.0") }, "192.0.2.53"},
	} {
		step.do()
		if got := servers(); got != step.want {
			t.Errorf("servers %q, want %q", got, step.want)
		}
	}
	if w := strings.Join(m.Warnings(), "\n"); !strings.Contains(w, "0.0.0.0") {
		t.Errorf("a server that is none: %q", w)
	}
	set(4, false, "10.0.0.9")
	m.end(t)
	if got := servers(); got != "192.0.2.53" {
		t.Errorf("after Close: %q", got)
	}
}

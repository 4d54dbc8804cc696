// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package qemu

import (
	"testing"

	"github.com/natterjack/natterjack/lab/netlab"
)

// TestBoot: the machine boots, its agent runs programs, and the kernel has what the labs are for.
func TestBoot(t *testing.T) {
	l := netlab.New(t)
	s := l.NewSpace("q")
	g := Boot(l, s)
	t.Logf("%s ready in %v", g.Release, g.Booted)
	g.GuestIP("addr add 192.0.2.2/24 dev eth0")
	s.IP("addr add 192.0.2.1/24 dev " + Tap)
	if err := s.Ping(2e9, "192.0.2.2"); err != nil {
		t.Fatal(err)
	}
	g.Call("KeyOpen", "a", &struct{}{})
	t.Log(g.Exec("ip", "xfrm", "state", "count"))
}

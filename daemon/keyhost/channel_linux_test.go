// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package keyhost

import (
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/port/redirect"
	"github.com/natterjack/natterjack/port/udp"
)

// TestChannelSocket: the supervisor's socket is its owner's alone, no other engine takes it, and it is gone with its engine.
func TestChannelSocket(t *testing.T) {
	const mark = 7
	engine := func() *Engine {
		stack, err := netstack.New([]netip.Addr{netip.MustParseAddr("10.1.0.1")}, 0)
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(Options{Device: stack, NoRaw: true, Mark: mark})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	path := filepath.Join(t.TempDir(), "s")
	e := engine()
	if err := e.ListenPorts(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path + channelSuffix); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v, expected a socket of mode 0600", info, err)
	}
	other := engine()
	if err := other.ListenPorts(path); err == nil || !strings.Contains(err.Error(), "another engine listens there") {
		t.Errorf("a second engine: %v", err)
	}
	p, err := DialPorts(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if p.Mark() != mark {
		t.Errorf("mark %d, expected %d", p.Mark(), mark)
	}
	if p.Device() != "" {
		t.Errorf("the engine without an interface has %q", p.Device())
	}
	p.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path + channelSuffix); err == nil {
		t.Error("the socket was left")
	}
	if err := other.ListenPorts(path); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}

// TestPortsOfOthers: a supervisor gives back and takes over what is its own, also over a new connection, and nothing of another's.
func TestPortsOfOthers(t *testing.T) {
	const inode = 5
	own, again, other := &portOwner{pid: 1}, &portOwner{pid: 1}, &portOwner{pid: 2}
	s := redirect.Socket{Local: netip.MustParseAddrPort("192.0.2.1:4500"), Inode: inode}
	e := &Engine{ports: map[uint64]portOf{inode: {s, own}}}
	e.shared[0] = new(udp.Shared) // is told nothing here
	for _, o := range []*portOwner{other, nil} {
		if err := e.bindFor(o, s); err == nil {
			t.Errorf("%v took the socket", o)
		}
	}
	e.shared[0] = nil
	e.releaseFor(other, inode)
	e.Release(inode)
	e.releaseAll(again) // only what came over that connection
	if len(e.ports) != 1 {
		t.Error("another gave the socket back")
	}
	e.releaseFor(again, inode)
	if len(e.ports) != 0 {
		t.Error("its own supervisor did not give it back")
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package unixsocket

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func config(network string) Config {
	return Config{Network: network, Mode: 0o640, Group: "no-such-group-here", Noun: "test socket", Listener: "tester", Hint: "choose another with --test"}
}

// networks are the kinds of socket that this system has.
func networks() []string {
	if runtime.GOOS == "darwin" {
		return []string{"unix"}
	}
	return []string{"unix", "unixpacket"}
}

// refuses expects an error with both texts.
func refuses(t *testing.T, path string, c Config, say, hint string) {
	t.Helper()
	l, err := Listen(path, c)
	if err == nil {
		l.Close()
		t.Fatalf("%s was made, expected: %s", path, say)
	}
	if !strings.Contains(err.Error(), say) || !strings.Contains(err.Error(), hint) {
		t.Errorf("%v, expected it to say %q and %q", err, say, hint)
	}
}

// TestListen: the socket has its mode, what a crash left is replaced, what is another's is not, nothing is left behind.
func TestListen(t *testing.T) {
	for _, network := range networks() {
		t.Run(network, func(t *testing.T) {
			c := config(network)
			path := filepath.Join(t.TempDir(), "sub", "s")
			l, err := Listen(path, c)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != c.Mode {
				t.Errorf("%v, %v, expected %v", info, err, c.Mode)
			}
			for _, other := range networks() {
				refuses(t, path, config(other), "another tester listens there", c.Hint)
			}
			l.ul.Close() // as a crash leaves it
			if l, err = Listen(path, c); err != nil {
				t.Fatalf("after a crash: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
				t.Errorf("%v was left", left)
			}
		})
	}
}

// TestCloseLeavesOthers: who took the name meanwhile keeps it.
func TestCloseLeavesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, config("unix"))
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of another was removed: %v", err)
	}
	refuses(t, path, config("unix"), "expected a socket or nothing", "choose another with --test")
}

// TestRefusedNames: what cannot be a socket's name, and folders in which everybody could replace it.
func TestRefusedNames(t *testing.T) {
	dir, c := t.TempDir(), config("unix")
	refuses(t, "", c, "expected the path of a file", c.Hint)
	refuses(t, "@abstract", c, "expected the path of a file", c.Hint)
	refuses(t, "/tmp/"+strings.Repeat("x", maxAddress), c, "at most 103", c.Hint)
	refuses(t, "/"+strings.Repeat("x", maxFolder)+"/s", c, "at most 85", c.Hint)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, filepath.Join(file, "s"), c, "folder of the test socket", c.Hint)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refuses(t, filepath.Join(dir, "s"), c, "everybody can write", c.Hint)
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(filepath.Join(dir, "s"), c)
	if err != nil {
		t.Fatalf("where nobody can remove another's files: %v", err)
	}
	l.Close()
}

// TestLongestFolder: what checkName lets through can be made.
func TestLongestFolder(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "nj") // a short name: that of t.TempDir may be too long already
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dir += "/" + strings.Repeat("x", maxFolder-len(dir)-1)
	path := dir + "/" + strings.Repeat("y", maxAddress-len(dir)-1)
	l, err := Listen(path, config("unix"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// HOSTILE T-101: a process that was started with umask 0 makes a socket that nobody else can reach until it has its mode.
func TestT101SocketBeforeItsMode(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	dir, c := t.TempDir(), config("unix")
	private, err := os.MkdirTemp(dir, firstFolder)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, first, err := c.makeIn(private, path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(private); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(first) != private {
		t.Errorf("%s is made in a folder of mode %v, %v, expected 0700", first, info.Mode(), err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("it has its name before its mode")
	}
	if err := l.name(first, c); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != c.Mode {
		t.Errorf("%v, %v, expected %v", info, err, c.Mode)
	}
}

// TestAtOnce: of many that start at once one gets the name, and it is reachable there.
func TestAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var mu sync.Mutex
	var made []*Listener
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			l, err := Listen(path, config("unix"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made = append(made, l)
			} else if !strings.Contains(err.Error(), "another tester listens there") {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(made) != 1 {
		t.Fatalf("%d have the name, expected 1", len(made))
	}
	defer made[0].Close()
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

// TestPeer: the kernel says who connected, where it says it.
func TestPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path, config("unix"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	p, err := PeerOf(far)
	if err != nil || p.UID != os.Geteuid() && p.UID != -1 {
		t.Errorf("%+v, %v", p, err)
	}
	if runtime.GOOS == "linux" && p != (Peer{UID: os.Geteuid(), PID: os.Getpid()}) {
		t.Errorf("%+v, expected this process", p)
	}
	far.Close()
	if p, err := PeerOf(far); err == nil || p.Trusted() {
		t.Errorf("of a connection that is closed: %+v, %v", p, err)
	}
	me := os.Geteuid()
	for uid, want := range map[int]bool{-2: false, -1: false, 0: true, me: true, me + 12345: false} {
		if got := (Peer{UID: uid}).Trusted(); got != want {
			t.Errorf("user %d: %v", uid, got)
		}
	}
}

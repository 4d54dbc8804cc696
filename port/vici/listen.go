// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The socket in the file system. A socket that nobody listens on is what a crash left and is removed; anything else that has the
// name stays, and is an error that says what it is. The socket gets its owner and mode before it gets its name: at no moment
// could somebody connect who may not.

package vici

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// socketMode lets the owner and the group in.
	socketMode = 0o660
	// probeTime is how long a listener may take to accept before it is taken for alive but busy.
	probeTime = 2 * time.Second
	// maxPath is the longest path of a socket on every system (sockaddr_un of the BSDs), less the ending of its first name.
	maxPath = 103 - len(newEnding)
	// newEnding is what the socket is called until it is ready.
	newEnding = ".new"
)

// Listener is the listening control socket.
type Listener struct {
	ul   *net.UnixListener
	path string
	self os.FileInfo
}

// Listen makes the socket. group is who may connect beside the owner; it is left out where the system has no such group.
func Listen(path, group string) (*Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("%s: %d octets, at most %d fit into the address of a socket", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the control socket: %w; choose another with --vici", err)
	}
	// Two daemons that start at once must not remove each other's socket.
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the control socket: %w", err)
	}
	defer unlock()
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	first := path + newEnding
	if err := removeStale(first); err != nil {
		return nil, err
	}
	var ul *net.UnixListener
	masked(func() { ul, err = net.ListenUnix("unix", &net.UnixAddr{Name: first, Net: "unix"}) })
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ul.SetUnlinkOnClose(false)
	l := &Listener{ul: ul, path: path}
	if err := l.name(first, group); err != nil {
		ul.Close()
		os.Remove(first)
		return nil, err
	}
	return l, nil
}

// name gives the socket its mode, its group and its name.
func (l *Listener) name(first, group string) error {
	if err := os.Chmod(first, socketMode); err != nil {
		return err
	}
	if gid, ok := groupID(group); ok {
		if err := os.Chown(first, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if err := os.Rename(first, l.path); err != nil {
		return err
	}
	var err error
	l.self, err = os.Lstat(l.path)
	return err
}

// checkFolder refuses a folder in which everybody could put another socket in the place of ours.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if othersCanReplace(info) {
		return fmt.Errorf("%s: everybody can write this folder and replace the control socket; chmod o-w it, or choose another with --vici", dir)
	}
	return nil
}

// removeStale removes a socket of ours that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s: expected a socket or nothing, found something else; remove it, or choose another path with --vici", path)
	}
	if !ours(info) {
		return fmt.Errorf("%s: the socket belongs to another user; choose another path with --vici", path)
	}
	c, err := net.DialTimeout("unix", path, probeTime)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: another daemon listens there; stop it, or choose another path with --vici", path)
	}
	if !refused(err) {
		return fmt.Errorf("%s: a socket that does not answer (%w); stop who listens there, or choose another path with --vici", path, err)
	}
	return os.Remove(path)
}

// Path is where the socket is.
func (l *Listener) Path() string { return l.path }

// Close ends listening and removes the socket, unless another has taken its name meanwhile.
func (l *Listener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.self) {
		os.Remove(l.path)
	}
	return l.ul.Close()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package unixsocket makes listening Unix sockets that have a name in the file system, and asks who connected to them.
//
// Anybody who can write the socket's folder chooses what is found there, and anybody may start a second daemon. It guarantees: the
// socket is made in a folder that only its owner can enter (0700) and has its group and its mode before it has its name, so that
// at no moment somebody could connect who may not, whatever the umask is; not everybody can put another socket in its place;
// what a crash left is removed, which is a socket of this user's (root: of anybody's) that nobody listens on, and anything else that
// has the name stays and is an error that says what it is; of two processes that start at once one gets the name; Close removes only
// the socket that Listen made. On Windows, permissions are the folder's and none of them are judged here.
package unixsocket

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
	// probeTime is how long a listener may take to accept before it is taken for alive but busy.
	probeTime = 2 * time.Second
	// maxAddress is the longest name of a socket on every system, in octets: 104 of sun_path on the BSDs, less the zero at its end.
	maxAddress = 103
	// firstFolder is what the folder is called in which a socket is made, firstName what the socket is called there.
	firstFolder, firstName = ".new-*", "s"
	// maxFolder is the longest folder in which that still fits; os.MkdirTemp puts up to ten digits in the place of the star.
	maxFolder = maxAddress - len("/.new-4294967295/s")
	// folderMode is for folders on the way that do not exist yet.
	folderMode = 0o755
)

// Config says what a socket is, and what errors call things.
type Config struct {
	// Network is "unix", a stream, or "unixpacket", SOCK_SEQPACKET, which macOS and Windows do not have.
	Network string
	// Mode is the socket's permissions: who may write may connect.
	Mode fs.FileMode
	// Group owns the socket. It is left as it is for "", where the system has no such group, and where this process may not give
	// the socket to it.
	Group string
	// Noun is what the socket is ("control socket"), Listener who would listen there ("daemon").
	Noun, Listener string
	// Hint is what the user can do where path cannot be had ("choose another path").
	Hint string
}

// Listener is a listening socket. Its methods are safe for concurrent use.
type Listener struct {
	ul   *net.UnixListener
	path string
	self fs.FileInfo // what Close removes
}

// Listen makes the socket, and the folders on the way to it.
func Listen(path string, c Config) (*Listener, error) {
	dir := filepath.Dir(path)
	if err := c.checkName(path, dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("folder of the %s: %w; %s", c.Noun, err, c.Hint)
	}
	// Two processes that start at once must not remove each other's socket.
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the %s: lock of %s: %w; %s", c.Noun, dir, err, c.Hint)
	}
	defer unlock()
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the %s: %w; %s", c.Noun, err, c.Hint)
	}
	if othersCanReplace(info) {
		return nil, fmt.Errorf("%s: everybody can write this folder and replace the %s; chmod o-w it, or %s", dir, c.Noun, c.Hint)
	}
	if err := c.removeStale(path); err != nil {
		return nil, err
	}
	l, err := c.bind(path, dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; %s", c.Noun, err, c.Hint)
	}
	return l, nil
}

// checkName refuses what is not the name of a file, or too long for the address of a socket.
func (c Config) checkName(path, dir string) error {
	switch {
	case path == "" || path[0] == '@': // Linux: @ is the abstract name space, where everybody may connect
		return fmt.Errorf("%s %q: expected the path of a file; %s", c.Noun, path, c.Hint)
	case len(path) > maxAddress:
		return fmt.Errorf("%s: %d octets, at most %d fit into the address of a socket; %s", path, len(path), maxAddress, c.Hint)
	case len(dir) > maxFolder:
		return fmt.Errorf("%s: a folder of %d octets, at most %d fit into the address of a socket in it; %s", path, len(dir), maxFolder, c.Hint)
	}
	return nil
}

// removeStale removes a socket of ours that nobody listens on. The caller holds the folder's lock.
func (c Config) removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w; %s", c.Noun, err, c.Hint)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s: expected a socket or nothing, found something else; remove it, or %s", path, c.Hint)
	}
	if !ours(info) {
		return fmt.Errorf("%s: the socket belongs to another user; %s", path, c.Hint)
	}
	conn, err := net.DialTimeout(c.Network, path, probeTime)
	if err == nil {
		conn.Close()
	}
	if err == nil || OtherKind(err) {
		return fmt.Errorf("%s: another %s listens there; stop it, or %s", path, c.Listener, c.Hint)
	}
	if !refused(err) {
		return fmt.Errorf("%s: a socket that does not answer (%w); stop who listens there, or %s", path, err, c.Hint)
	}
	return os.Remove(path)
}

// bind makes the socket and moves it to its name.
func (c Config) bind(path, dir string) (*Listener, error) {
	private, err := os.MkdirTemp(dir, firstFolder) // 0700
	if err != nil {
		return nil, err
	}
	defer os.Remove(private)
	l, first, err := c.makeIn(private, path)
	if err != nil {
		return nil, err
	}
	if err := l.name(first, c); err != nil {
		l.ul.Close()
		os.Remove(first)
		return nil, err
	}
	return l, nil
}

// makeIn makes the socket in the folder that only its owner can enter: it listens before its mode can be set.
func (c Config) makeIn(private, path string) (l *Listener, first string, err error) {
	first = filepath.Join(private, firstName)
	ul, err := net.ListenUnix(c.Network, &net.UnixAddr{Name: first, Net: c.Network})
	if err != nil {
		return nil, "", err
	}
	ul.SetUnlinkOnClose(false)
	return &Listener{ul: ul, path: path}, first, nil
}

// name gives the socket its group, its mode and, when it has them, its name.
func (l *Listener) name(first string, c Config) error {
	if gid, ok := groupID(c.Group); ok {
		if err := os.Chown(first, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if err := os.Chmod(first, c.Mode); err != nil {
		return err
	}
	if err := os.Rename(first, l.path); err != nil {
		return err
	}
	var err error
	l.self, err = os.Lstat(l.path)
	return err
}

// Path is where the socket is.
func (l *Listener) Path() string { return l.path }

// AcceptUnix waits for the next who connects.
func (l *Listener) AcceptUnix() (*net.UnixConn, error) { return l.ul.AcceptUnix() }

// Close ends listening and removes the socket, unless another has taken its name meanwhile.
func (l *Listener) Close() error {
	// While it listens, no other process takes it for stale and puts its own here.
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.self) {
		os.Remove(l.path)
	}
	return l.ul.Close()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The socket in the file system. It is made in a folder that only its owner can enter, and gets its mode before it gets its name: at no
// moment could somebody connect who may not. A socket that nobody listens on is what a crash left and is removed; anything else
// that has the name stays, and is an error that says what it is.

package pfkey

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// ownerMode is the socket's mode: what it is for needs root where a kernel does it.
	ownerMode = 0o600
	// readableMode lets everybody look.
	readableMode = 0o666
	// probeTime is how long a listener may take to accept before it is taken for alive but busy.
	probeTime = 2 * time.Second
	// maxPath is the longest path of a socket on every system (sockaddr_un of the BSDs), less what its first folder is called.
	maxPath = 103 - 20
)

// Config says what a listening path is.
type Config struct {
	// Dialect is what its clients speak.
	Dialect wire.Dialect
	// Stream is a stream socket, where a message ends where its length says. Systems without SOCK_SEQPACKET (macOS, Windows) have no
	// other: there it is set whatever is asked for.
	Stream bool
	// Readable lets other users connect, who then may look at SAs and policies and see no keys. Otherwise only root and the user
	// that this process runs as may connect.
	Readable bool
}

// streamOnly is where there is no SOCK_SEQPACKET.
func streamOnly() bool {
	return runtime.GOOS == "darwin" || runtime.GOOS == "ios" || runtime.GOOS == "windows"
}

// network is Go's name of the kind of socket.
func network(stream bool) string {
	if stream {
		return "unix"
	}
	return "unixpacket"
}

// Listener is a listening path.
type Listener struct {
	ul     *net.UnixListener
	path   string
	config Config
	self   os.FileInfo
}

// Listen makes the socket.
func Listen(path string, config Config) (*Listener, error) {
	if config.Dialect > wire.Linux {
		return nil, fmt.Errorf("dialect %s: expected freebsd, netbsd or linux", config.Dialect)
	}
	if len(path) == 0 || len(path) > maxPath {
		return nil, fmt.Errorf("%s: %d octets, expected 1 to %d, which fit into the address of a socket; choose another path", path, len(path), maxPath)
	}
	config.Stream = config.Stream || streamOnly()
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the PF_KEY socket: %w; choose another path", err)
	}
	// Two processes that start at once must not remove each other's socket.
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the PF_KEY socket: %w", err)
	}
	defer unlock()
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if othersCanReplace(info) {
		return nil, fmt.Errorf("%s: everybody can write this folder and replace the PF_KEY socket; chmod o-w it, or choose another path", dir)
	}
	if err := removeStale(path, config.Stream); err != nil {
		return nil, err
	}
	return bind(path, dir, config)
}

// bind makes the socket in a folder of its own and moves it to its name.
func bind(path, dir string, config Config) (*Listener, error) {
	private, err := os.MkdirTemp(dir, ".pfkey-") // 0700
	if err != nil {
		return nil, fmt.Errorf("PF_KEY socket: %w", err)
	}
	defer os.Remove(private)
	first := filepath.Join(private, "s")
	kind := network(config.Stream)
	ul, err := net.ListenUnix(kind, &net.UnixAddr{Name: first, Net: kind})
	if err != nil {
		return nil, fmt.Errorf("PF_KEY socket: %w", err)
	}
	ul.SetUnlinkOnClose(false)
	l := &Listener{ul: ul, path: path, config: config}
	if err := l.name(first); err != nil {
		ul.Close()
		os.Remove(first)
		return nil, fmt.Errorf("PF_KEY socket: %w", err)
	}
	return l, nil
}

// name gives the socket its mode and its name.
func (l *Listener) name(first string) error {
	mode := os.FileMode(ownerMode)
	if l.config.Readable {
		mode = readableMode
	}
	if err := os.Chmod(first, mode); err != nil {
		return err
	}
	if err := os.Rename(first, l.path); err != nil {
		return err
	}
	var err error
	l.self, err = os.Lstat(l.path)
	return err
}

// removeStale removes a socket of ours that nobody listens on.
func removeStale(path string, stream bool) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s: expected a socket or nothing, found something else; remove it, or choose another path", path)
	}
	if !ours(info) {
		return fmt.Errorf("%s: the socket belongs to another user; choose another path", path)
	}
	c, err := net.DialTimeout(network(stream), path, probeTime)
	if err == nil {
		c.Close()
	}
	if err == nil || otherKind(err) {
		return fmt.Errorf("%s: another process listens there; stop it, or choose another path", path)
	}
	if !refused(err) {
		return fmt.Errorf("%s: a socket that does not answer (%w); stop who listens there, or choose another path", path, err)
	}
	return os.Remove(path)
}

// Path is where the socket is.
func (l *Listener) Path() string { return l.path }

// Config is what the path is; Stream is set where the system has nothing else.
func (l *Listener) Config() Config { return l.config }

// Close ends listening and removes the socket, unless another has taken its name meanwhile.
func (l *Listener) Close() error {
	if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.self) {
		os.Remove(l.path)
	}
	return l.ul.Close()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The socket in the file system, as port/unixsocket makes it, and who may ask what there.

package pfkey

import (
	"fmt"
	"io/fs"
	"net"
	"runtime"

	"github.com/natterjack/natterjack/port/unixsocket"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// ownerMode is the socket's mode: what it is for needs root where a kernel does it.
	ownerMode = 0o600
	// readableMode lets everybody look.
	readableMode = 0o666
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
	*unixsocket.Listener
	config Config
}

// Listen makes the socket.
func Listen(path string, config Config) (*Listener, error) {
	if config.Dialect > wire.Linux {
		return nil, fmt.Errorf("dialect %s: expected freebsd, netbsd or linux", config.Dialect)
	}
	config.Stream = config.Stream || streamOnly()
	mode := fs.FileMode(ownerMode)
	if config.Readable {
		mode = readableMode
	}
	l, err := unixsocket.Listen(path, unixsocket.Config{
		Network: network(config.Stream), Mode: mode, Noun: "PF_KEY socket", Listener: "process", Hint: "choose another path",
	})
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: l, config: config}, nil
}

// Config is what the path is; Stream is set where the system has nothing else.
func (l *Listener) Config() Config { return l.config }

// peerOf is who connected, and whether that user may do everything. Where the system does not ask who it is (-1) the mode of the
// socket has decided, unless that lets everybody in.
func peerOf(c *net.UnixConn, readable bool) (peer unixsocket.Peer, trusted bool) {
	peer, err := unixsocket.PeerOf(c)
	return peer, err == nil && mayAll(peer, readable)
}

func mayAll(peer unixsocket.Peer, readable bool) bool {
	return peer.Trusted() || peer.UID == -1 && !readable
}

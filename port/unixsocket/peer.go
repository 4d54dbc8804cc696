// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Who connected. The kernel says it; nothing that the other end sends is looked at.

package unixsocket

import (
	"fmt"
	"net"
	"os"
)

// Peer is the process at the other end as it was when it connected, whatever it calls itself now. -1: the system does not say.
type Peer struct{ UID, PID int }

// nobody is a peer that the system says nothing of.
func nobody() Peer { return Peer{UID: -1, PID: -1} }

// PeerOf asks the kernel. An error is a system that could have said who it is and did not: such a peer is to be refused.
func PeerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nobody(), err
	}
	p := nobody()
	var failed error
	if err := raw.Control(func(fd uintptr) { p, failed = credentials(int(fd)) }); err != nil {
		return nobody(), err
	}
	return p, failed
}

// Trusted reports whether the system says that the peer is root or this process's own user.
func (p Peer) Trusted() bool { return p.UID == 0 || p.UID > 0 && p.UID == os.Geteuid() }

// CheckServer is for who has connected to path, before anything is sent: an error says that somebody else than root or this process's
// own user listens there. Where the system does not say who, the folder's permissions have decided.
func CheckServer(c *net.UnixConn, path string) error {
	p, err := PeerOf(c)
	if err != nil {
		return fmt.Errorf("%s: who listens there: %w", path, err)
	}
	return p.CheckServer(path)
}

// CheckServer is the same for a peer that was asked about.
func (p Peer) CheckServer(path string) error {
	if p.UID == -1 || p.Trusted() {
		return nil
	}
	return fmt.Errorf("%s: user %d listens there, expected root or user %d: it gets no keys; look who made that socket, or choose another path",
		path, p.UID, os.Geteuid())
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package unixsocket

import "golang.org/x/sys/unix"

// credentials asks with SO_PEERCRED.
func credentials(fd int) (Peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nobody(), err
	}
	return Peer{UID: int(cred.Uid), PID: int(cred.Pid)}, nil
}

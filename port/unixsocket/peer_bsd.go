// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build darwin || freebsd

package unixsocket

import "golang.org/x/sys/unix"

const solLocal = 0 // SOL_LOCAL

// credentials asks with LOCAL_PEERCRED, which does not say the process.
func credentials(fd int) (Peer, error) {
	cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return nobody(), err
	}
	return Peer{UID: int(cred.Uid), PID: -1}, nil
}

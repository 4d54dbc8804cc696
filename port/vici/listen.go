// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The socket in the file system, as port/unixsocket makes it: the owner and a group may connect.

package vici

import "github.com/natterjack/natterjack/port/unixsocket"

// socketMode lets the owner and the group in.
const socketMode = 0o660

// Listener is the listening control socket.
type Listener = unixsocket.Listener

// Listen makes the socket. group is who may connect beside the owner; it is left out where the system has no such group.
func Listen(path, group string) (*Listener, error) {
	return unixsocket.Listen(path, unixsocket.Config{
		Network: "unix", Mode: socketMode, Group: group, Noun: "control socket", Listener: "daemon", Hint: "choose another path with --vici",
	})
}

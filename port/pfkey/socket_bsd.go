// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix && !linux

package pfkey

// sendFlags: Go ignores SIGPIPE on sockets.
const sendFlags = 0

// hungUp: a message of no octets cannot be told from the end, and ends its sender.
func hungUp(int) bool { return true }

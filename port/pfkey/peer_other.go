// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux && !darwin && !dragonfly && !freebsd

package pfkey

import "net"

// peerUID: who connected is not asked on this system.
func peerUID(*net.UnixConn) int { return -1 }

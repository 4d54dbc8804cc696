// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Systems without marks.

//go:build !linux

package udp

import "syscall"

func markControl(uint32) func(network, address string, c syscall.RawConn) error { return nil }

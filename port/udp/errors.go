// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The reasons for which a socket cannot be opened, as a person needs to read them. Input is the system's error and, on
// Linux, /proc; the name of a process is chosen by whoever runs it, so it is bounded and printed without controls.

package udp

import (
	"fmt"
	"net/netip"
	"strings"
)

// PortInUseError means that another process holds the port.
type PortInUseError struct {
	Addr netip.AddrPort
	// Process and PID name the holder; empty and zero if the system does not tell.
	Process string
	PID     int
	// Option is the daemon option that chooses another port.
	Option string
	Err    error
}

func (e *PortInUseError) Error() string {
	holder := "the system does not say which"
	if e.PID != 0 {
		holder = fmt.Sprintf("%s, process %d", e.Process, e.PID)
	}
	option := e.Option
	if option == "" {
		option = "port"
	}
	where := ""
	if !e.Addr.Addr().IsUnspecified() {
		where = " on " + e.Addr.Addr().String()
	}
	return fmt.Sprintf("UDP %d%s is in use by another key daemon: %s; stop it or set %s in daemon {}", e.Addr.Port(), where, holder, option)
}

func (e *PortInUseError) Unwrap() error { return e.Err }

// PrivilegeError means that this process may not do what was asked of the socket.
type PrivilegeError struct {
	What, Hint string
	Err        error
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s: no privilege (%v); %s", e.What, e.Err, e.Hint)
}

func (e *PrivilegeError) Unwrap() error { return e.Err }

// printable bounds a foreign process's name.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	return name[:min(len(name), 32)]
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package redirect gives an unmodified key daemon on Linux our PF_KEY (RFC 2367) and our ESP in UDP instead of the
// kernel's, by seccomp user notification alone: socket(AF_KEY) returns a connected Unix SEQPACKET socket, write, writev,
// sendto and sendmsg on it are carried out here and return when the answer can be read, the per-socket IPsec policies
// succeed, and setsockopt(UDP_ENCAP) tells the engine of a port and leaves IKE alone to the daemon. Every other call goes
// on untouched.
//
// Input is what the program does: its arguments, memory and descriptors. It is a program that cooperates, and this is no
// sandbox: what a call's arguments point to can change between our look and the kernel's, and a program that does so
// deceives itself. It guarantees that no pointer, length or descriptor of the program's makes the supervisor fail or
// grow, and that it acts only for a call that still waits.
package redirect

import (
	"net/netip"

	"github.com/natterjack/natterjack/wire/natt"
)

// Socket is a UDP socket of the program whose ESP has become the engine's.
type Socket struct {
	// Local is what it is bound to.
	Local netip.AddrPort
	// Mode is natt.NonIKE or natt.NonESP.
	Mode natt.Mode
	// Inode names the socket as long as it lives, as /proc/net/udp does.
	Inode uint64
	// V4 says that an IPv6 socket carries IPv4 as well.
	V4 bool
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package redirect gives an unmodified key daemon on Linux our PF_KEY (RFC 2367) and our ESP in UDP instead of the
// kernel's, by seccomp user notification alone: socket(AF_KEY) returns a connected Unix SEQPACKET socket, write, writev,
// sendto and sendmsg on it are carried out here and return when the answer can be read, the per-socket IPsec policies
// succeed, and setsockopt(UDP_ENCAP) tells the engine of a port and leaves IKE alone to the daemon. Every other call goes
// on untouched.
//
// The filter cannot see what a descriptor is, so every write, writev and sendmsg of the program, and every sendto without an address,
// takes the way through the supervisor: some 20 µs where it took 1 or 2. That is nothing for a key daemon, whose data do not go by its
// system calls any more; sendto with an address, which IKE is sent with, and all that is read cost nothing.
//
// Input is what the program does: its arguments, memory and descriptors. It is a program that cooperates, and this is no
// sandbox: what a call's arguments point to can change between our look and the kernel's, and a program that does so
// deceives itself. A call that the filter does not know (sendmmsg, io_uring) carries its message too, but may return before the answer is
// there. It guarantees that no pointer, length or descriptor of the program's makes the supervisor fail or
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

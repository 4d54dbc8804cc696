// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Which of this host's addresses datagrams to a peer leave from. Nothing is sent; the answer is the routing table's.

package udp

import (
	"fmt"
	"net"
	"net/netip"
)

// discardPort is where the connected socket would send to; it never does (RFC 863).
const discardPort = 9

// SourceTo asks the host's routing which source address datagrams to remote have that carry the mark (zero: none): without
// the mark a host whose tunnel covers the peer would name the tunnel's address.
func SourceTo(remote netip.Addr, mark uint32) (netip.Addr, error) {
	dialer := net.Dialer{}
	if mark != 0 {
		dialer.Control = markControl(mark)
	}
	c, err := dialer.Dial("udp", netip.AddrPortFrom(remote, discardPort).String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("no route to %s: %w", remote, err)
	}
	defer c.Close()
	local, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("source address to %s: not an address", remote)
	}
	return local.AddrPort().Addr().Unmap(), nil
}

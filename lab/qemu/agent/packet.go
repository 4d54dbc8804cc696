// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Packets of the guest's own, so that its policies meet some.

package agent

import (
	"fmt"
	"net"
	"net/netip"
)

// Packet is a UDP datagram to send: its payload is of that many octets, all zero.
type Packet struct {
	From, To netip.AddrPort
	Octets   int
}

// Emit sends it. That a policy keeps it is no error.
func (a *Agent) Emit(p Packet, _ *struct{}) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(p.From))
	if err != nil {
		return fmt.Errorf("from %v: %w", p.From, err)
	}
	defer conn.Close()
	_, _ = conn.WriteToUDPAddrPort(make([]byte, p.Octets), p.To)
	return nil
}

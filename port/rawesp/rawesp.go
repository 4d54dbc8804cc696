// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package rawesp is ESP without UDP: a raw socket of IP protocol 50 (RFC 4303, Section 2) with the interface of port/udp.
// What is read was sent by anybody; it is the ESP packet without its IP header, and nothing of it has been verified.
package rawesp

import (
	"net/netip"

	"github.com/natterjack/natterjack/port/udp"
)

// Protocol is the IP protocol number of ESP.
const Protocol = 50

// Conn, Message and Config are those of port/udp. Ports are zero; Config.GSO and Config.Option mean nothing here.
type (
	Conn    = udp.Conn
	Message = udp.Message
	Config  = udp.Config
)

// Open opens the socket. A *udp.PrivilegeError means that ESP must go in UDP instead.
func Open(cfg Config) (*Conn, error) {
	cfg.Local = netip.AddrPortFrom(cfg.Local.Addr(), 0)
	return udp.OpenRaw(cfg, Protocol)
}

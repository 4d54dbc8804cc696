// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Ports of the guest whose ESP is the kernel's (UDP_ENCAP): what a key daemon does to its socket, for SAs that no daemon made.

package agent

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// The values of UDP_ENCAP.
const (
	EncapNonIKE = 1 // behind eight zero octets, drafts 00 and 01
	EncapNonESP = 2 // RFC 3948
)

// EncapPort is a port to open; it stays open while the guest runs.
type EncapPort struct {
	Port int
	Type int
	IPv6 bool
}

// Encap opens a port on every address of a family.
func (a *Agent) Encap(p EncapPort, _ *struct{}) error {
	family, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: p.Port})
	if p.IPv6 {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: p.Port}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if p.IPv6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, p.Type)
	}
	if err == nil {
		err = bypass(fd, p.IPv6)
	}
	if err == nil {
		err = unix.Bind(fd, addr)
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("port %d: %w", p.Port, err)
	}
	return nil
}

// bypass excepts a socket from all policies, both ways: the kernel asks them about a datagram before it is looked into for ESP.
func bypass(fd int, ipv6 bool) error {
	const policyExtension, policyBypass, words = 18, 4, 2 // SADB_X_EXT_POLICY, IPSEC_POLICY_BYPASS, the length
	level, option := unix.IPPROTO_IP, 16                  // IP_IPSEC_POLICY
	if ipv6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_IPSEC_POLICY
	}
	for direction := byte(1); direction <= 2; direction++ {
		b := binary.NativeEndian.AppendUint16(nil, words)
		b = binary.NativeEndian.AppendUint16(b, policyExtension)
		b = binary.NativeEndian.AppendUint16(b, policyBypass)
		b = append(b, direction, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		if err := unix.SetsockoptString(fd, level, option, string(b)); err != nil {
			return err
		}
	}
	return nil
}

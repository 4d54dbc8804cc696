// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sockets of the user-space host, as Go's own interfaces. Names are resolved by the DNS servers that were set, through
// the tunnel; without servers only addresses are dialled, so that no name leaks to the host's own resolver.

package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// echoTimeout ends a Ping whose context has no deadline.
const echoTimeout = 10 * time.Second

// UDPConn is a UDP socket, connected or not.
type UDPConn interface {
	net.Conn
	net.PacketConn
}

func full(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{NIC: nic, Port: a.Port()}
	if ip := a.Addr().Unmap(); ip.IsValid() && !ip.IsUnspecified() {
		f.Addr = tcpip.AddrFromSlice(ip.AsSlice())
	}
	return f
}

// SetDNS sets the servers that DialContext asks for names.
func (s *Stack) SetDNS(servers []netip.Addr) {
	s.mu.Lock()
	s.dns = append([]netip.Addr(nil), servers...)
	s.mu.Unlock()
}

// DialContext connects to an address or a name, as net.Dialer does, for tcp and udp.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	addrs, err := s.lookup(ctx, host, network)
	if err != nil {
		return nil, err
	}
	var first error
	for _, a := range addrs {
		var c net.Conn
		to := netip.AddrPortFrom(a, uint16(port))
		switch network {
		case "tcp", "tcp4", "tcp6":
			c, err = s.DialTCP(ctx, netip.AddrPort{}, to)
		case "udp", "udp4", "udp6":
			c, err = s.DialUDP(netip.AddrPort{}, to)
		default:
			return nil, net.UnknownNetworkError(network)
		}
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// lookup resolves through the tunnel.
func (s *Stack) lookup(ctx context.Context, host, network string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	s.mu.Lock()
	servers := s.dns
	s.mu.Unlock()
	if len(servers) == 0 {
		return nil, &net.DNSError{Err: "no DNS server inside the tunnel", Name: host, IsNotFound: true}
	}
	next := 0
	r := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := netip.AddrPortFrom(servers[next%len(servers)], 53)
		next++
		return s.DialContext(ctx, network, server.String())
	}}
	family := "ip"
	switch network[len(network)-1] {
	case '4':
		family = "ip4"
	case '6':
		family = "ip6"
	}
	return r.LookupNetIP(ctx, family, host)
}

// DialTCP connects from local (not valid: the stack chooses) to remote.
func (s *Stack) DialTCP(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	if !remote.Addr().IsValid() {
		return nil, errors.New("remote address: none")
	}
	c, err := gonet.DialTCPWithBind(ctx, s.stack, full(local), full(remote), network(remote.Addr().Unmap()))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialUDP connects a UDP socket; local not valid: the stack chooses.
func (s *Stack) DialUDP(local, remote netip.AddrPort) (UDPConn, error) {
	if !remote.Addr().IsValid() {
		return nil, errors.New("remote address: none")
	}
	to := full(remote)
	var from *tcpip.FullAddress
	if local.Addr().IsValid() {
		f := full(local)
		from = &f
	}
	c, err := gonet.DialUDP(s.stack, from, &to, network(remote.Addr().Unmap()))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ListenTCP listens on an address, or on all of a family (0.0.0.0, ::).
func (s *Stack) ListenTCP(local netip.AddrPort) (net.Listener, error) {
	l, err := gonet.ListenTCP(s.stack, full(local), network(local.Addr().Unmap()))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenUDP opens a UDP socket that is not connected.
func (s *Stack) ListenUDP(local netip.AddrPort) (UDPConn, error) {
	from := full(local)
	c, err := gonet.DialUDP(s.stack, &from, nil, network(local.Addr().Unmap()))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Ping sends one echo request and returns the round trip of its answer.
func (s *Stack) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	to = to.Unmap()
	if !to.IsValid() {
		return 0, errors.New("address: none")
	}
	proto, request := icmp.ProtocolNumber4, []byte{byte(header.ICMPv4Echo), 0, 0, 0, 0, 0, 0, 1}
	if to.Is6() {
		proto, request = icmp.ProtocolNumber6, []byte{byte(header.ICMPv6EchoRequest), 0, 0, 0, 0, 0, 0, 1}
	}
	request = binary.BigEndian.AppendUint64(request, uint64(time.Now().UnixNano()))
	var wq waiter.Queue
	ep, e := s.stack.NewEndpoint(proto, network(to), &wq)
	if e != nil {
		return 0, fmt.Errorf("ping %s: %s", to, e)
	}
	c := gonet.NewUDPConn(&wq, ep)
	defer c.Close()
	if e := ep.Connect(full(netip.AddrPortFrom(to, 0))); e != nil {
		return 0, fmt.Errorf("ping %s: %s", to, e)
	}
	deadline := time.Now().Add(echoTimeout)
	if d, ok := ctx.Deadline(); ok {
		deadline = d
	}
	if err := c.SetDeadline(deadline); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	start := time.Now()
	if _, err := c.Write(request); err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, err)
	}
	var reply [256]byte
	for {
		n, err := c.Read(reply[:])
		switch {
		case ctx.Err() != nil:
			return 0, fmt.Errorf("ping %s: %w", to, ctx.Err())
		case err != nil:
			return 0, fmt.Errorf("ping %s: %w", to, os.ErrDeadlineExceeded)
		case n == len(request) && string(reply[8:n]) == string(request[8:]):
			return time.Since(start), nil
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package netstack is a TCP/IP stack in user space (gVisor, imported only here) that takes the place of a network
// interface: it is a tun.Device, and programs in this process dial and listen through it, without root. What arrives
// comes out of the tunnel: its sender is authenticated, its contents are not trusted. Echo requests to its own addresses
// are answered. Close ends every connection and goroutine of the stack.
package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/natterjack/natterjack/port/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nic = 1
	// minMTU is what IPv6 needs (RFC 8200, Section 5); maxMTU is the largest packet.
	minMTU, maxMTU = 1280, 65535
	// Buffers of a TCP connection: enough for 1 Gbit/s at 30 ms, not so large that a stalled peer holds much memory.
	bufferMin, bufferDefault, bufferMax = 4 << 10, 1 << 20, 4 << 20
)

// Stack is one user-space host. Its methods are safe for concurrent use.
type Stack struct {
	link  *link
	stack *stack.Stack

	mu       sync.Mutex // protects the rest
	dns      []netip.Addr
	forward  *forwarder
	closed   bool
	closeAll sync.Once
}

var _ tun.Device = (*Stack)(nil)

// New makes a host with these addresses; everything else is reached through the device. MTU 0: tun.DefaultMTU.
func New(addrs []netip.Addr, mtu int) (*Stack, error) {
	return newStack(addrs, mtu, true)
}

// NewGateway makes a host that also passes on, by dial (nil: sockets of the real host), the TCP connections and UDP flows
// that arrive for addresses which are not its own.
func NewGateway(addrs []netip.Addr, mtu int, dial Dial) (*Stack, error) {
	// gVisor takes every source for one of its own where it handles local traffic and accepts every destination.
	s, err := newStack(addrs, mtu, false)
	if err != nil {
		return nil, err
	}
	if err := s.startForward(dial); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newStack(addrs []netip.Addr, mtu int, handleLocal bool) (*Stack, error) {
	if mtu == 0 {
		mtu = tun.DefaultMTU
	}
	if mtu < minMTU || mtu > maxMTU {
		return nil, fmt.Errorf("mtu: %d, expected %d to %d", mtu, minMTU, maxMTU)
	}
	s := &Stack{link: newLink(mtu), stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        handleLocal,
	})}
	if err := s.setUp(addrs); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) setUp(addrs []netip.Addr) error {
	// Loss recovery stays gVisor's default, RACK: without it uploads are five times slower.
	sack, moderate, cubic := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true), tcpip.CongestionControlOption("cubic")
	send := tcpip.TCPSendBufferSizeRangeOption{Min: bufferMin, Default: bufferDefault, Max: bufferMax}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: bufferMin, Default: bufferDefault, Max: bufferMax}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &cubic, &send, &receive} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("TCP option %T: %s", o, err)
		}
	}
	if err := s.stack.CreateNIC(nic, s.link); err != nil {
		return fmt.Errorf("interface: %s", err)
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	for _, a := range addrs {
		if err := s.AddAddress(a); err != nil {
			return err
		}
	}
	return nil
}

// AddAddress gives the host another address; one that it has already is no error.
func (s *Stack) AddAddress(a netip.Addr) error {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("address: %v, expected a unicast address", a)
	}
	a = a.Unmap().WithZone("")
	err := s.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol: network(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix(),
	}, stack.AddressProperties{})
	if _, has := err.(*tcpip.ErrDuplicateAddress); err != nil && !has {
		return fmt.Errorf("address %s: %s", a, err)
	}
	return nil
}

// RemoveAddress takes an address back; one that the host has not is no error.
func (s *Stack) RemoveAddress(a netip.Addr) error {
	err := s.stack.RemoveAddress(nic, tcpip.AddrFromSlice(a.Unmap().WithZone("").AsSlice()))
	if _, hasNot := err.(*tcpip.ErrBadLocalAddress); err != nil && !hasNot {
		return fmt.Errorf("address %s: %s", a, err)
	}
	return nil
}

// AddRoute sends a prefix into the device. A new host has the routes 0.0.0.0/0 and ::/0.
func (s *Stack) AddRoute(p netip.Prefix) error {
	subnet, err := subnetOf(p)
	if err != nil {
		return err
	}
	s.stack.ReplaceRoute(tcpip.Route{Destination: subnet, NIC: nic})
	return nil
}

// RemoveRoute takes a route back.
func (s *Stack) RemoveRoute(p netip.Prefix) error {
	subnet, err := subnetOf(p)
	if err != nil {
		return err
	}
	s.stack.RemoveRoutes(func(r tcpip.Route) bool { return r.Destination.Equal(subnet) })
	return nil
}

func subnetOf(p netip.Prefix) (tcpip.Subnet, error) {
	if !p.IsValid() {
		return tcpip.Subnet{}, errors.New("route: not a prefix")
	}
	p = p.Masked()
	return tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits()}.Subnet(), nil
}

func network(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// Read implements tun.Device: packets that the stack sends.
func (s *Stack) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return s.link.read(bufs, sizes, offset)
}

// Write implements tun.Device: packets that arrive.
func (s *Stack) Write(bufs [][]byte, offset int) (int, error) {
	return s.link.write(bufs, offset)
}

// Name implements tun.Device.
func (s *Stack) Name() string { return "netstack" }

// MTU implements tun.Device.
func (s *Stack) MTU() int { return int(s.link.MTU()) }

// SetMTU changes the MTU; connections learn it with their next segment.
func (s *Stack) SetMTU(mtu int) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("mtu: %d, expected %d to %d", mtu, minMTU, maxMTU)
	}
	if err := s.stack.SetNICMTU(nic, uint32(mtu)); err != nil {
		return fmt.Errorf("mtu: %s", err)
	}
	return nil
}

// SetTCPWindow bounds what a TCP connection that is opened from now on has in flight in each direction, in octets: for
// paths whose queues are short.
func (s *Stack) SetTCPWindow(octets int) error {
	if octets < bufferMin || octets > bufferMax {
		return fmt.Errorf("tcp window: %d, expected %d to %d", octets, bufferMin, bufferMax)
	}
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: bufferMin, Default: octets, Max: octets}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: bufferMin, Default: octets, Max: octets}
	for _, o := range []tcpip.SettableTransportProtocolOption{&moderate, &send, &receive} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("TCP option %T: %s", o, err)
		}
	}
	return nil
}

// BatchSize implements tun.Device.
func (s *Stack) BatchSize() int { return batchSize }

// Dropped is how many packets the stack sent while nobody read the device.
func (s *Stack) Dropped() uint64 { return s.link.dropped.Load() }

// Close ends every connection and waits for the stack's goroutines.
func (s *Stack) Close() error {
	s.closeAll.Do(func() {
		s.mu.Lock()
		s.closed = true
		f := s.forward
		s.mu.Unlock()
		if f != nil {
			f.close()
		}
		s.stack.Close()
		s.link.Close()
		s.stack.Wait()
		if f != nil {
			f.wait()
		}
	})
	return nil
}

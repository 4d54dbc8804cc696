// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A gateway without root: TCP connections and UDP flows that come out of the tunnel for addresses which are not ours go
// on through this host's own sockets. Who may send where was decided by the SA's selectors; the peer chooses addresses
// and ports, so the number of connections and flows is bounded and idle flows end.

package netstack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// maxHandshakes bounds TCP connections being set up; maxFlows those that exist, TCP and UDP together.
	maxHandshakes, maxFlows = 256, 4096
	// dialTimeout is how long a destination may take to answer; flowIdle ends a UDP flow (RFC 4787, Section 4.3).
	dialTimeout, flowIdle = 10 * time.Second, 2 * time.Minute
)

// Dial opens a connection of the host; net.Dialer.DialContext is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

type forwarder struct {
	s      *Stack
	dial   Dial
	ctx    context.Context
	cancel context.CancelFunc
	flows  sync.WaitGroup
	slots  chan struct{}
}

// startForward makes the stack pass on flows; it is called once, before anything arrives.
func (s *Stack) startForward(dial Dial) error {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if err := s.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("forward: %s", err)
	}
	if err := s.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("forward: %s", err)
	}
	f := &forwarder{s: s, dial: dial, slots: make(chan struct{}, maxFlows)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.stack, 0, maxHandshakes, f.tcp).HandlePacket)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, f.udp).HandlePacket)
	s.forward = f
	return nil
}

func (f *forwarder) close() { f.cancel() }

func (f *forwarder) wait() { f.flows.Wait() }

// begin takes a slot for a flow; false if there are too many, or the stack closes.
func (f *forwarder) begin() bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.closed {
		return false
	}
	select {
	case f.slots <- struct{}{}:
		f.flows.Add(1)
		return true
	default:
		return false
	}
}

func (f *forwarder) end() {
	<-f.slots
	f.flows.Done()
}

// foreign reports whether the destination of a flow is not the stack's own: those are refused as by any host. An IPv4 address in
// IPv6 is refused, as Linux does: this host's sockets would take it for IPv4, which the SA's selectors never allowed, and
// ::ffff:0.0.0.0 for this host itself.
func (f *forwarder) foreign(id stack.TransportEndpointID) (string, bool) {
	a, ok := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	if !ok || a.Is4In6() || a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() {
		return "", false
	}
	proto := tcpip.NetworkProtocolNumber(ipv4.ProtocolNumber)
	if a.Is6() {
		proto = ipv6.ProtocolNumber
	}
	for _, have := range f.s.stack.AllAddresses()[nic] {
		if have.Protocol == proto && have.AddressWithPrefix.Address == id.LocalAddress {
			return "", false
		}
	}
	return netip.AddrPortFrom(a, id.LocalPort).String(), true
}

// tcp is called on a goroutine of its own for each SYN.
func (f *forwarder) tcp(r *tcp.ForwarderRequest) {
	to, ok := f.foreign(r.ID())
	if !ok || !f.begin() {
		r.Complete(true)
		return
	}
	defer f.end()
	ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
	out, err := f.dial(ctx, "tcp", to)
	cancel()
	if err != nil {
		r.Complete(true)
		return
	}
	defer out.Close()
	var wq waiter.Queue
	ep, e := r.CreateEndpoint(&wq)
	r.Complete(e != nil)
	if e != nil {
		return
	}
	in := gonet.NewTCPConn(&wq, ep)
	defer in.Close()
	stop := context.AfterFunc(f.ctx, func() { in.Close(); out.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe(out, in)
	}()
	pipe(in, out)
	<-done
}

// pipe copies one direction and passes its end on.
func pipe(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	half, ok := dst.(interface{ CloseWrite() error })
	if err == nil && ok {
		_ = half.CloseWrite()
		return
	}
	dst.Close()
	src.Close()
}

// udp is called for the first datagram of a flow.
func (f *forwarder) udp(r *udp.ForwarderRequest) bool {
	to, ok := f.foreign(r.ID())
	if !ok || !f.begin() {
		return false
	}
	var wq waiter.Queue
	ep, e := r.CreateEndpoint(&wq)
	if e != nil {
		f.end()
		return true
	}
	in := gonet.NewUDPConn(&wq, ep)
	go func() {
		defer f.end()
		defer in.Close()
		ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
		out, err := f.dial(ctx, "udp", to)
		cancel()
		if err != nil {
			return
		}
		defer out.Close()
		stop := context.AfterFunc(f.ctx, func() { in.Close(); out.Close() })
		defer stop()
		done := make(chan struct{})
		go func() {
			defer close(done)
			relay(in, out)
			in.Close()
		}()
		relay(out, in)
		out.Close()
		<-done
	}()
	return true
}

// relay copies datagrams until nothing came for flowIdle.
func relay(dst, src net.Conn) {
	b := make([]byte, 65535)
	for {
		_ = src.SetReadDeadline(time.Now().Add(flowIdle))
		n, err := src.Read(b)
		if err != nil {
			return
		}
		if _, err := dst.Write(b[:n]); err != nil {
			return
		}
	}
}

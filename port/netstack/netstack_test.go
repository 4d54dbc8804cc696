// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package netstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// pump carries what a sends to b until a is closed.
func pump(wg *sync.WaitGroup, a, b *Stack) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		bufs, sizes := make([][]byte, a.BatchSize()), make([]int, a.BatchSize())
		for i := range bufs {
			bufs[i] = make([]byte, 16+maxMTU)
		}
		out := make([][]byte, 0, len(bufs))
		for {
			n, err := a.Read(bufs, sizes, 16)
			if err != nil {
				return
			}
			out = out[:0]
			for i := range n {
				out = append(out, bufs[i][:16+sizes[i]])
			}
			_, _ = b.Write(out, 16)
		}
	}()
}

func pair(t testing.TB) (*Stack, *Stack) {
	t.Helper()
	b, err := New([]netip.Addr{netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("fd02::1")}, 1400)
	if err != nil {
		t.Fatal(err)
	}
	return client(t, b), b
}

// client makes a host that has b at the other end of its wire.
func client(t testing.TB, b *Stack) *Stack {
	t.Helper()
	a, err := New([]netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1")}, 1400)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	pump(&wg, a, b)
	pump(&wg, b, a)
	t.Cleanup(func() {
		a.Close()
		b.Close()
		wg.Wait()
	})
	return a
}

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTCP(t *testing.T) {
	a, b := pair(t)
	for _, addr := range []string{"10.2.0.1:80", "[fd02::1]:80"} {
		l, err := b.ListenTCP(netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("natterjack "), 1<<18)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(want)
			c.Close()
			l.Close()
		}()
		c, err := a.DialContext(bounded(t), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		c.Close()
		if err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("%s: %d octets of %d, %v", addr, len(got), len(want), err)
		}
	}
	if a.Dropped()+b.Dropped() != 0 {
		t.Errorf("the queues dropped %d and %d", a.Dropped(), b.Dropped())
	}
}

func TestUDPAndPing(t *testing.T) {
	a, b := pair(t)
	for _, addr := range []string{"10.2.0.1:53", "[fd02::1]:53"} {
		to := netip.MustParseAddrPort(addr)
		server, err := b.ListenUDP(to)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			buf := make([]byte, 100)
			n, from, err := server.ReadFrom(buf)
			if err == nil {
				_, _ = server.WriteTo(append([]byte("re "), buf[:n]...), from)
			}
		}()
		c, err := a.DialUDP(netip.AddrPort{}, to)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "re question" {
			t.Errorf("%s: %q, %v", addr, buf[:n], err)
		}
		c.Close()
		server.Close()
		if rtt, err := a.Ping(bounded(t), to.Addr()); err != nil || rtt <= 0 {
			t.Errorf("ping %s: %v %v", addr, rtt, err)
		}
	}
	// Nobody has this address: the context ends the wait.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, netip.MustParseAddr("10.9.9.9")); err == nil {
		t.Error("a ping to nobody was answered")
	}
}

func TestAddresses(t *testing.T) {
	a, b := pair(t)
	extra := netip.MustParseAddr("10.2.0.99")
	for range 2 {
		if err := b.AddAddress(extra); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Ping(bounded(t), extra); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := b.RemoveAddress(extra); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, extra); err == nil {
		t.Error("a removed address answers")
	}
	if err := b.AddAddress(netip.MustParseAddr("224.0.0.1")); err == nil {
		t.Error("a multicast address was accepted")
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	if err := a.RemoveRoute(all); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(bounded(t), netip.MustParseAddr("10.2.0.1")); err == nil {
		t.Error("a ping without a route")
	}
	if err := a.AddRoute(netip.MustParsePrefix("10.2.0.0/16")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(bounded(t), netip.MustParseAddr("10.2.0.1")); err != nil {
		t.Error(err)
	}
	if _, err := a.DialContext(bounded(t), "tcp", "intranet.example:80"); err == nil || !strings.Contains(err.Error(), "DNS server") {
		t.Errorf("a name without servers: %v", err)
	}
}

// A gateway without root: the flow goes on through sockets of the host.
func TestForward(t *testing.T) {
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "192.0.2.7:80" {
			return nil, errors.New("unexpected " + address)
		}
		to := host.Addr()
		if network == "udp" {
			to = packets.LocalAddr()
		}
		return (&net.Dialer{}).DialContext(ctx, network, to.String())
	}
	b, err := NewGateway([]netip.Addr{netip.MustParseAddr("10.2.0.1")}, 1400, dial)
	if err != nil {
		t.Fatal(err)
	}
	a := client(t, b)
	go func() {
		c, err := host.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		got, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(got))
	}()
	c, err := a.DialContext(bounded(t), "tcp", "192.0.2.7:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("abc"))
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "ABC" {
		t.Errorf("TCP: %q, %v", got, err)
	}
	go func() {
		buf := make([]byte, 100)
		n, from, err := packets.ReadFrom(buf)
		if err == nil {
			_, _ = packets.WriteTo(bytes.ToUpper(buf[:n]), from)
		}
	}()
	u, err := a.DialContext(bounded(t), "udp", "192.0.2.7:80")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	_ = u.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = u.Write([]byte("def"))
	buf := make([]byte, 100)
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "DEF" {
		t.Errorf("UDP: %q, %v", buf[:n], err)
	}
	if _, err := a.DialContext(bounded(t), "tcp", "192.0.2.8:80"); err == nil {
		t.Error("a refused destination was connected")
	}
}

// A peer must not reach this host, or IPv4 where its selectors are IPv6, by an IPv4 address in IPv6.
func TestForwardRefusesMapped(t *testing.T) {
	f := &forwarder{s: &Stack{stack: stack.New(stack.Options{})}}
	for _, text := range []string{"::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:192.0.2.7", "::", "::1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "ff02::1"} {
		id := stack.TransportEndpointID{LocalAddress: tcpip.AddrFromSlice(netip.MustParseAddr(text).AsSlice()), LocalPort: 80}
		if to, ok := f.foreign(id); ok {
			t.Errorf("%s would be dialled as %s", text, to)
		}
	}
	for _, text := range []string{"192.0.2.7", "2001:db8::7"} {
		id := stack.TransportEndpointID{LocalAddress: tcpip.AddrFromSlice(netip.MustParseAddr(text).AsSlice()), LocalPort: 80}
		if _, ok := f.foreign(id); !ok {
			t.Errorf("%s is refused", text)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		a, b := pair(t)
		l, err := b.ListenTCP(netip.MustParseAddrPort("10.2.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		}()
		c, err := a.DialContext(bounded(t), "tcp", "10.2.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("half open"))
		a.Close()
		l.Close()
		b.Close()
		if _, err := a.Read([][]byte{make([]byte, 2000)}, []int{0}, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := a.Write([][]byte{make([]byte, 60)}, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	}
	limit := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+1 && time.Now().Before(limit) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before+1 {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
}

func TestRefusals(t *testing.T) {
	for _, mtu := range []int{-1, 576, 1279, 65536} {
		if s, err := New(nil, mtu); err == nil {
			s.Close()
			t.Errorf("mtu %d: accepted", mtu)
		}
	}
	s, err := New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Nothing that arrives may harm the stack.
	for _, b := range [][]byte{{}, {0x45}, {0x60, 0}, {0xff, 1, 2}, bytes.Repeat([]byte{0x45}, 60), bytes.Repeat([]byte{0x66}, 60)} {
		if _, err := s.Write([][]byte{b}, 0); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkTCP(b *testing.B) {
	from, to := pair(b)
	l, err := to.ListenTCP(netip.MustParseAddrPort("10.2.0.1:80"))
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, c)
		done <- n
	}()
	c, err := from.DialContext(context.Background(), "tcp", "10.2.0.1:80")
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := c.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	<-done
}

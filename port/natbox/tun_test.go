// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package natbox

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/netstack"
	"github.com/natterjack/natterjack/port/tun"
)

// kernel stands for a namespace's kernel: what the hosts send goes to the NAT, what the NAT writes goes to the host that
// has the address.
type kernel struct {
	packets chan []byte
	done    chan struct{}
	once    sync.Once
	hosts   map[netip.Addr]*netstack.Stack
}

func (k *kernel) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case p := <-k.packets:
		sizes[0] = copy(bufs[0][offset:], p)
		return 1, nil
	case <-k.done:
		return 0, os.ErrClosed
	}
}

func (k *kernel) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		dst := netip.AddrFrom4([4]byte(b[offset+16 : offset+20]))
		if h := k.hosts[dst]; h != nil {
			_, _ = h.Write([][]byte{b}, offset)
		}
	}
	return len(bufs), nil
}

func (k *kernel) Close() error   { k.once.Do(func() { close(k.done) }); return nil }
func (k *kernel) Name() string   { return "nat" }
func (k *kernel) MTU() int       { return 1500 }
func (k *kernel) BatchSize() int { return 4 }

func TestTUN(t *testing.T) {
	inside, outside := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("198.51.100.1")
	external, router := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.0.0.1")
	k := &kernel{packets: make(chan []byte, 100), done: make(chan struct{}), hosts: map[netip.Addr]*netstack.Stack{}}
	var wg sync.WaitGroup
	for _, a := range []netip.Addr{inside, outside} {
		s, err := netstack.New([]netip.Addr{a}, 1500)
		if err != nil {
			t.Fatal(err)
		}
		k.hosts[a] = s
		wg.Add(1)
		go func() {
			defer wg.Done()
			buf, sizes := [][]byte{make([]byte, 65535)}, []int{0}
			for {
				if _, err := s.Read(buf, sizes, 0); err != nil {
					return
				}
				select {
				case k.packets <- append([]byte(nil), buf[0][:sizes[0]]...):
				case <-k.done:
					return
				}
			}
		}()
	}
	n, err := NewTUN(TUNConfig{
		NAT:    nat.Config{External: []netip.Addr{external}, RandomPorts: true},
		Device: k, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Router: []netip.Addr{router},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Close()
		for _, s := range k.hosts {
			s.Close()
		}
		wg.Wait()
	})
	server, err := k.hosts[outside].ListenUDP(netip.AddrPortFrom(outside, 4500))
	if err != nil {
		t.Fatal(err)
	}
	client, err := k.hosts[inside].DialUDP(netip.AddrPort{}, netip.AddrPortFrom(outside, 4500))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	_ = server.SetDeadline(deadline)
	_ = client.SetDeadline(deadline)
	buf := make([]byte, 2000)
	var last string
	for i, forget := range []bool{false, true, false} {
		if forget {
			n.Forget()
		}
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got, from, err := server.ReadFrom(buf)
		if err != nil || string(buf[:got]) != "hello" {
			t.Fatalf("server: %q, %v", buf[:got], err)
		}
		if (from.String() == last) != (i == 2) {
			t.Errorf("step %d: from %v after %v", i, from, last)
		}
		last = from.String()
		if _, err := server.WriteTo([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Read(buf); err != nil || string(buf[:got]) != "answer" {
			t.Fatalf("client: %q, %v", buf[:got], err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, _ = k.hosts[inside].Ping(ctx, outside)
	if err := n.SetLink(nat.Out, nat.Link{MTU: 1000, TooBig: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write(make([]byte, 1200)); err != nil {
		t.Fatal(err)
	}
	for time.Now().Before(deadline) && (n.Counters(nat.Out).All[nat.TooBig] == 0 || n.Unsupported() == 0) {
		runtime.Gosched()
	}
	if c := n.Counters(nat.Out); c.All[nat.TooBig] != 1 || n.Unsupported() == 0 {
		t.Errorf("%+v, unsupported %d", c, n.Unsupported())
	}
}

var _ tun.Device = (*kernel)(nil)

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
)

func listen(t testing.TB, local string, cfg Config) *Conn {
	t.Helper()
	cfg.Local = netip.MustParseAddrPort(local)
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func buffers(n int) []Message {
	msgs := make([]Message, n)
	for i := range msgs {
		msgs[i].Buf = make([]byte, MaxDatagram)
	}
	return msgs
}

// collect reads until n datagrams have come. The test's own deadline bounds it.
func collect(t testing.TB, c *Conn, n int) (got []string, last Message) {
	t.Helper()
	msgs := buffers(8)
	for len(got) < n {
		k, err := c.ReadBatch(msgs)
		if err != nil {
			t.Fatal(err)
		}
		for i := range msgs[:k] {
			for j := 0; ; j++ {
				b := msgs[i].Segment(j)
				if b == nil {
					break
				}
				got = append(got, string(b))
			}
			last = msgs[i]
		}
	}
	return got, last
}

func loopback(addr string) string {
	if runtime.GOOS != "linux" && strings.HasPrefix(addr, "127.") {
		return "127.0.0.1"
	}
	return addr
}

func TestExchange(t *testing.T) {
	for _, c := range []struct{ name, server, client, ask string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1:0", loopback("127.0.0.3")},
		{"IPv6", "[::]:0", "[::1]:0", "::1"},
	} {
		for _, gso := range []string{"auto", "off"} {
			t.Run(c.name+" "+gso, func(t *testing.T) {
				server, client := listen(t, c.server, Config{GSO: gso}), listen(t, c.client, Config{GSO: gso})
				ask := netip.AddrPortFrom(netip.MustParseAddr(c.ask), server.LocalAddr().Port())
				sizes := []int{100, 100, 100, 40, 1300, 1300, 7, 9, 1, 1, 1}
				var out []Message
				var want []string
				for i, n := range sizes {
					b := bytes.Repeat([]byte{byte('a' + i)}, n)
					want = append(want, string(b))
					out = append(out, Message{Buf: b, N: n, Remote: ask, TOS: 0x2a})
				}
				if n, err := client.WriteBatch(out); n != len(sizes) || err != nil {
					t.Fatalf("wrote %d, %v", n, err)
				}
				got, last := collect(t, server, len(sizes))
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %d datagrams %.60q, want %d", len(got), got, len(want))
				}
				if last.Remote != client.LocalAddr() {
					t.Errorf("remote: %v, want %v", last.Remote, client.LocalAddr())
				}
				if runtime.GOOS == "linux" && (last.Local != ask || last.TOS != 0x2a) {
					t.Errorf("local %v TOS %#x, want %v 0x2a", last.Local, last.TOS, ask)
				}
				// The answer leaves from the address that was asked.
				reply := Message{Buf: []byte("reply"), N: 5, Remote: last.Remote, Local: last.Local, Fragment: true}
				if n, err := server.WriteBatch([]Message{reply}); n != 1 || err != nil {
					t.Fatalf("reply: %d, %v", n, err)
				}
				got, last = collect(t, client, 1)
				if got[0] != "reply" || runtime.GOOS == "linux" && last.Remote != ask {
					t.Errorf("reply %q from %v, want from %v", got[0], last.Remote, ask)
				}
			})
		}
	}
}

// A run given with SegSize arrives as its datagrams, whether or not the system segments.
func TestRun(t *testing.T) {
	for _, gso := range []string{"auto", "off"} {
		server, client := listen(t, "127.0.0.1:0", Config{GSO: gso}), listen(t, "127.0.0.1:0", Config{GSO: gso})
		run := bytes.Repeat([]byte("0123456789"), 7000) // more than one UDP_SEGMENT send may hold
		n, err := client.WriteBatch([]Message{{Buf: run, N: len(run), SegSize: 1200, Remote: server.LocalAddr()}})
		want := (len(run) + 1199) / 1200
		if n != want || err != nil {
			t.Fatalf("gso %s: wrote %d, %v, want %d", gso, n, err, want)
		}
		got, _ := collect(t, server, want)
		if strings.Join(got, "") != string(run) || len(got[0]) != 1200 {
			t.Errorf("gso %s: the run arrived changed, %d datagrams", gso, len(got))
		}
	}
}

func TestRefusedGoesOn(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0", Config{}), listen(t, "127.0.0.1:0", Config{})
	six := netip.MustParseAddrPort("[2001:db8::1]:9")
	n, err := client.WriteBatch([]Message{
		{Buf: []byte("one"), N: 3, Remote: server.LocalAddr()}, {Buf: []byte("two"), N: 3, Remote: six},
		{Buf: []byte("three"), N: 5, Remote: server.LocalAddr()},
	})
	if n != 2 || err == nil {
		t.Fatalf("wrote %d, %v; want 2 and an error", n, err)
	}
	if got, _ := collect(t, server, 2); got[0] != "one" || got[1] != "three" {
		t.Errorf("got %q", got)
	}
	if c := client.Counters(); c.Out != 2 || c.Refused != 1 {
		t.Errorf("counters: %+v", c)
	}
}

func TestPortInUse(t *testing.T) {
	first := listen(t, "127.0.0.1:0", Config{})
	_, err := Open(Config{Local: first.LocalAddr(), Option: "port_nat_t"})
	var taken *PortInUseError
	if !errors.As(err, &taken) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "port_nat_t in daemon {}") {
		t.Errorf("no way out in %q", err)
	}
	if runtime.GOOS == "linux" && taken.PID != os.Getpid() {
		t.Errorf("holder %d, want this process %d: %v", taken.PID, os.Getpid(), err)
	}
}

func TestCloseWakes(t *testing.T) {
	c := listen(t, "127.0.0.1:0", Config{})
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch(buffers(1))
		done <- err
	}()
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if _, err := c.WriteBatch([]Message{{Buf: []byte{1}, N: 1, Remote: netip.MustParseAddrPort("127.0.0.1:9")}}); err == nil {
		t.Error("a closed socket took a datagram")
	}
}

func TestTruncatedIsDropped(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0", Config{GSO: "off"}), listen(t, "127.0.0.1:0", Config{})
	if _, err := client.WriteBatch([]Message{{Buf: make([]byte, 100), N: 100, Remote: server.LocalAddr()}}); err != nil {
		t.Fatal(err)
	}
	msgs := []Message{{Buf: make([]byte, 50)}}
	if n, err := server.ReadBatch(msgs); n != 1 || err != nil || runtime.GOOS == "linux" && (msgs[0].N != 0 || server.Counters().Truncated != 1) {
		t.Errorf("%d %v, N %d, %+v", n, err, msgs[0].N, server.Counters())
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Error("no address: accepted")
	}
	if _, err := Open(Config{Local: netip.MustParseAddrPort("127.0.0.1:0"), GSO: "perhaps"}); err == nil {
		t.Error("gso perhaps: accepted")
	}
	if _, err := OpenRaw(Config{Local: netip.MustParseAddrPort("127.0.0.1:0")}, 0); err == nil {
		t.Error("protocol 0: accepted")
	}
}

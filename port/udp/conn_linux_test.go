// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// An ICMP message about a closed port comes back as an event that quotes what was sent, and harms no later datagram.
func TestUnreachableEvent(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		gone := listen(t, local, Config{})
		dead := gone.LocalAddr()
		gone.Close()
		c, alive := listen(t, local, Config{}), listen(t, local, Config{})
		quote := []byte("an SPI and more")
		if _, err := c.WriteBatch([]Message{{Buf: quote, N: len(quote), Remote: dead}}); err != nil {
			t.Fatal(err)
		}
		if n, err := c.ReadBatch(buffers(1)); n != 0 || err != nil {
			t.Fatalf("got %d, %v; want the event only", n, err)
		}
		var ev [4]PathEvent
		if n := c.PathEvents(ev[:]); n != 1 {
			t.Fatalf("%d events", n)
		}
		if e := ev[0]; e.Kind != PathUnreachable || e.Remote != dead || e.ThisHost || e.Offender != dead.Addr() || !bytes.Equal(e.Quoted(), quote) {
			t.Errorf("event: %+v", e)
		}
		// The pending error of one peer does not cost another's datagram.
		for range 3 {
			_, _ = c.WriteBatch([]Message{{Buf: quote, N: len(quote), Remote: dead}})
			if n, err := c.WriteBatch([]Message{{Buf: []byte("x"), N: 1, Remote: alive.LocalAddr()}}); n != 1 || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
		}
		if got, _ := collect(t, alive, 3); len(got) != 3 {
			t.Errorf("got %d", len(got))
		}
	}
}

// A datagram above the interface's MTU is refused with DF, reported, and passes with Fragment.
func TestTooLarge(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{GSO: "off"}), listen(t, "127.0.0.1:0", Config{GSO: "off"})
	big := make([]byte, 65507) // with its headers 65535: below the 65536 of lo
	m := Message{Buf: big, N: len(big), Remote: b.LocalAddr()}
	if n, err := a.WriteBatch([]Message{m}); n != 1 || err != nil {
		t.Skipf("loopback interface with a small MTU: %d, %v", n, err)
	}
	m.N, m.Buf = 65508, make([]byte, 65508)
	if n, err := a.WriteBatch([]Message{m}); n != 0 || !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("an impossible datagram: %d, %v", n, err)
	}
	m.N, m.Fragment = 60000, true
	if n, err := a.WriteBatch([]Message{m}); n != 1 || err != nil {
		t.Errorf("fragmentable: %d, %v", n, err)
	}
	got, _ := collect(t, b, 2)
	if len(got) != 2 || len(got[1]) != 60000 {
		t.Errorf("got %d datagrams", len(got))
	}
}

// When segmentation is refused, the run goes one by one and segmentation is off from then on.
func TestSegmentationRefused(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0", Config{GSO: "on"}), listen(t, "127.0.0.1:0", Config{GSO: "off"})
	// The kernel refuses UDP_SEGMENT on a socket without checksums (EINVAL).
	if err := a.raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	var msgs []Message
	for range 5 {
		msgs = append(msgs, Message{Buf: make([]byte, 500), N: 500, Remote: b.LocalAddr()})
	}
	if n, err := a.WriteBatch(msgs); n != 5 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	collect(t, b, 5)
	if on, why := a.GSO(); on || why == "" {
		t.Errorf("segmentation: %v %q", on, why)
	}
	if n, err := a.WriteBatch(msgs); n != 5 || err != nil {
		t.Fatalf("without segmentation: %d, %v", n, err)
	}
	collect(t, b, 5)
}

func TestInodesOf(t *testing.T) {
	text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
		"  10: 0100007F:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0\n" +
		"  11: 00000000:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0\n short\n"
	if got := inodesOf([]byte(text), 500); len(got) != 1 || got[0] != "4711" {
		t.Errorf("got %q", got)
	}
}

func TestNoAllocation(t *testing.T) {
	for _, gso := range []string{"on", "off"} {
		for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
			a, b := listen(t, local, Config{GSO: gso}), listen(t, local, Config{GSO: gso})
			out := make([]Message, 32)
			for i := range out {
				out[i] = Message{Buf: make([]byte, 1200), N: 1200, Remote: b.LocalAddr(), Local: netip.AddrPort{}, TOS: 1}
			}
			in := buffers(32)
			allocs := testing.AllocsPerRun(20, func() {
				if n, err := a.WriteBatch(out); n != len(out) || err != nil {
					t.Fatal(n, err)
				}
				for got := 0; got < len(out); {
					n, err := b.ReadBatch(in)
					if err != nil {
						t.Fatal(err)
					}
					for i := range in[:n] {
						for j := 0; in[i].Segment(j) != nil; j++ {
							got++
						}
					}
				}
			})
			if allocs != 0 {
				t.Errorf("gso %s %s: %.1f allocations a batch", gso, local, allocs)
			}
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	for _, gso := range []string{"on", "off"} {
		b.Run("gso="+gso, func(b *testing.B) {
			from, to := listen(b, "127.0.0.1:0", Config{GSO: gso}), listen(b, "127.0.0.1:0", Config{GSO: gso})
			out := make([]Message, 64)
			for i := range out {
				out[i] = Message{Buf: make([]byte, 1400), N: 1400, Remote: to.LocalAddr()}
			}
			in := buffers(64)
			b.SetBytes(64 * 1400)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := from.WriteBatch(out); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < 64*1400; {
					n, err := to.ReadBatch(in)
					if err != nil {
						b.Fatal(err)
					}
					for i := range in[:n] {
						got += in[i].N
					}
				}
			}
		})
	}
}

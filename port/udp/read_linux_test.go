// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A raw packet's header is taken off, with its options, whatever its length field says.
func TestStripIPv4(t *testing.T) {
	head := make([]byte, ipHeader)
	for _, c := range []struct {
		first byte
		after string // what lies behind the first 20 octets
		n     int
		want  string
	}{
		{0x45, "payload", ipHeader + 7, "payload"},
		{0x46, "opt.payload", ipHeader + 11, "payload"},
		{0x4f, "0123456789", ipHeader + 10, ""}, // options beyond the packet
		{0x44, "payload", ipHeader + 7, ""},     // a header shorter than one
		{0x45, "", 19, ""},                      // torn
		{0x45, "", ipHeader, ""},
	} {
		head[0] = c.first
		m := Message{Buf: []byte(c.after + "xxxxxxxx"), N: c.n}
		stripIPv4(head, &m)
		if string(m.Buf[:m.N]) != c.want {
			t.Errorf("%#x %q: %q", c.first, c.after, m.Buf[:m.N])
		}
	}
}

// Control messages are walked within the octets that the kernel says it wrote.
func FuzzControl(f *testing.F) {
	var b control
	_, off := b.put(0, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	_, off = b.put(off, unix.IPPROTO_UDP, unix.UDP_GRO, 4)
	f.Add(bytes.Clone(b.bytes()[:off]), off)
	f.Add(make([]byte, controlSize), controlSize+8)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		var b control
		copy(b.bytes(), raw)
		for off, steps := 0, 0; ; steps++ {
			_, data, next, ok := b.next(off, limit)
			if !ok {
				return
			}
			if next <= off || off+len(data) > limit || steps > controlSize {
				t.Fatalf("at %d: %d octets, next at %d, limit %d", off, len(data), next, limit)
			}
			off = next
		}
	})
}

// Runs, single datagrams and other destinations between them arrive whole and in order, also when pieces of a run do not
// follow each other in memory.
func TestMixedRuns(t *testing.T) {
	for _, gso := range []string{"on", "off"} {
		a, b, c := listen(t, "127.0.0.1:0", Config{GSO: gso}), listen(t, "127.0.0.1:0", Config{GSO: gso}), listen(t, "127.0.0.1:0", Config{GSO: gso})
		var msgs []Message
		var want []string
		for i := range 200 { // more than one system call takes
			size := []int{700, 700, 700, 100, 1300}[i%5]
			buf := bytes.Repeat([]byte{byte('a' + i%26)}, size)
			to := b
			if i%7 == 3 {
				to = c
			} else {
				want = append(want, string(buf))
			}
			msgs = append(msgs, Message{Buf: buf, N: size, Remote: to.LocalAddr(), Local: netip.AddrPort{}})
		}
		if n, err := a.WriteBatch(msgs); n != len(msgs) || err != nil {
			t.Fatalf("gso %s: wrote %d, %v", gso, n, err)
		}
		got, _ := collect(t, b, len(want))
		if len(got) != len(want) {
			t.Fatalf("gso %s: %d of %d arrived", gso, len(got), len(want))
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Fatalf("gso %s: datagram %d is another: %d octets of %c, want %d of %c", gso, i, len(got[i]), got[i][0], len(want[i]), want[i][0])
			}
		}
	}
}

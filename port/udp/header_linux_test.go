// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
)

// Whole packets pass a raw socket with their headers, both ways.
func TestHeader(t *testing.T) {
	const protocol = 253 // RFC 3692: for experiments
	body := []byte("not a packet of anything")
	for _, addr := range []string{"127.0.0.1", "::1"} {
		local := netip.AddrPortFrom(netip.MustParseAddr(addr), 0)
		c, err := OpenRaw(Config{Local: local, Header: true}, protocol)
		var denied *PrivilegeError
		if errors.As(err, &denied) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		a := local.Addr().AsSlice()
		var pkt []byte
		if local.Addr().Is4() {
			pkt = append([]byte{0x45, 0xb8, 0, byte(20 + len(body)), 0, 7, 0x40, 0, 33, protocol, 0, 0}, append(append(a, a...), body...)...)
		} else {
			pkt = append([]byte{0x6b, 0x80, 0, 0, 0, byte(len(body)), protocol, 33}, append(append(a, a...), body...)...)
		}
		if n, err := c.WriteBatch([]Message{{Buf: pkt, N: len(pkt), Remote: local}}); n != 1 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		msgs := buffers(1)
		if n, err := c.ReadBatch(msgs); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		got := msgs[0].Buf[:msgs[0].N]
		if local.Addr().Is4() {
			binary.BigEndian.PutUint16(got[10:], 0) // the system's checksum
		}
		if !bytes.Equal(got, pkt) || msgs[0].TOS != 0xb8 {
			t.Errorf("%s: got % x (TOS %x), expected % x", addr, got, msgs[0].TOS, pkt)
		}
	}
}

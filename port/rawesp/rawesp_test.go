// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package rawesp

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/port/udp"
)

// Where there is privilege a packet passes over loopback without its IP header; where not the error says so.
func TestLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		local := netip.AddrPortFrom(netip.MustParseAddr(addr), 0)
		c, err := Open(Config{Local: local})
		if err != nil {
			var p *udp.PrivilegeError
			if !errors.As(err, &p) {
				t.Errorf("%v", err)
			}
			continue
		}
		defer c.Close()
		payload := "SPI_SEQ_octets"
		if n, err := c.WriteBatch([]Message{{Buf: []byte(payload), N: len(payload), Remote: local}}); n != 1 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		msgs := []Message{{Buf: make([]byte, udp.MaxDatagram)}}
		if n, err := c.ReadBatch(msgs); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		if got := string(msgs[0].Buf[:msgs[0].N]); got != payload || msgs[0].Remote != local || msgs[0].Local != local {
			t.Errorf("got %q from %v to %v", got, msgs[0].Remote, msgs[0].Local)
		}
	}
}

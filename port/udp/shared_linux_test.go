// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/natt"
)

// The ESP of a port that another socket has comes here, the rest does not, and what is sent comes from that port.
func TestShared(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		for _, mode := range []natt.Mode{natt.NonESP, natt.NonIKE} {
			t.Run(addr+" "+mode.String(), func(t *testing.T) { shared(t, addr, mode) })
		}
	}
}

func shared(t *testing.T, addr string, mode natt.Mode) {
	local := netip.MustParseAddrPort(addr)
	s, err := OpenShared(Config{Local: local})
	var denied *PrivilegeError
	if errors.As(err, &denied) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	daemon, peer := listen(t, addr, Config{}), listen(t, addr, Config{})
	port := daemon.LocalAddr()
	if err := s.SetPorts([]SharedPort{{Addr: peer.LocalAddr().Addr(), Port: 1, Mode: natt.NonIKE}, {Addr: port.Addr(), Port: port.Port(), Mode: mode}}); err != nil {
		t.Fatal(err)
	}
	marker := natt.AppendMarker(nil, mode, natt.ESP)
	esp := append(marker, 0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9)
	ike := append(natt.AppendMarker(nil, mode, natt.IKE), bytes.Repeat([]byte{7}, 40)...)
	short := append(marker[:len(marker):len(marker)], 0, 0, 1, 0, 0, 0, 0, 1)
	for _, b := range [][]byte{ike, {0xff}, short, esp} {
		if _, err := peer.WriteBatch([]Message{{Buf: b, N: len(b), Remote: port}}); err != nil {
			t.Fatal(err)
		}
	}
	got := buffers(4)
	n, err := s.ReadBatch(got)
	if err != nil || n != 1 {
		t.Fatalf("%d messages, %v", n, err)
	}
	m := got[0]
	if !bytes.Equal(m.Buf[:m.N], esp) || m.Remote != peer.LocalAddr() || m.Local != port {
		t.Errorf("% x from %v to %v", m.Buf[:m.N], m.Remote, m.Local)
	}
	if got, ok := s.Mode(m.Local); !ok || got != mode {
		t.Errorf("mode %v %v", got, ok)
	}
	run := append(append([]byte{}, esp...), esp...)
	if n, err := s.WriteBatch([]Message{{Buf: run, N: len(run), SegSize: len(esp), Remote: peer.LocalAddr(), Local: port, TOS: 2}}); n != 2 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	back, last := collect(t, peer, 2)
	if back[0] != string(esp) || back[1] != string(esp) || last.Remote != port || last.TOS != 2 {
		t.Errorf("got %q from %v, TOS %d", back, last.Remote, last.TOS)
	}
	// The error about what was sent comes here with the ports in place.
	gone := peer.LocalAddr()
	peer.Close()
	if _, err := s.WriteBatch([]Message{{Buf: esp, N: len(esp), Remote: gone, Local: port}}); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Second, func() { s.Close() })
	defer timer.Stop()
	if n, err := s.ReadBatch(got); n != 0 || err != nil {
		t.Fatalf("%d, %v; want the event only", n, err)
	}
	var ev [2]PathEvent
	if n := s.PathEvents(ev[:]); n != 1 || ev[0].Remote != gone || !bytes.Equal(ev[0].Quoted(), esp) {
		t.Errorf("%d events: %+v", n, ev[0])
	}
}

// What came before the filter is thrown away: it may be anything, also IKE on a port that is ours a moment later.
func TestSharedBefore(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			conn, err := OpenRaw(Config{Local: netip.MustParseAddrPort(addr)}, unix.IPPROTO_UDP)
			var denied *PrivilegeError
			if errors.As(err, &denied) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			daemon, peer := listen(t, addr, Config{}), listen(t, addr, Config{})
			port := daemon.LocalAddr()
			esp := []byte{0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9}
			send := func(b []byte) {
				t.Helper()
				if _, err := peer.WriteBatch([]Message{{Buf: b, N: len(b), Remote: port}}); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				send(bytes.Repeat([]byte{0}, 40))
			}
			s, err := newShared(conn)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.SetPorts([]SharedPort{{Addr: port.Addr(), Port: port.Port(), Mode: natt.NonESP}}); err != nil {
				t.Fatal(err)
			}
			send(esp)
			got := buffers(4)
			if n, err := s.ReadBatch(got); n != 1 || err != nil || !bytes.Equal(got[0].Buf[:got[0].N], esp) {
				t.Fatalf("%d messages, %v, first % x", n, err, got[0].Buf[:got[0].N])
			}
		})
	}
}

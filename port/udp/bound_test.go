// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/natterjack/natterjack/wire/natt"
)

// TestBound: in every mode ESP goes to the sink as it came, IKE comes without its marker and leaves with it.
func TestBound(t *testing.T) {
	ike := append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 32)...)
	body := []byte{0, 0, 1, 0, 0, 0, 0, 1, 1, 2, 3, 4}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		for _, mode := range []natt.Mode{natt.Raw, natt.NonESP, natt.NonIKE, natt.CiscoUDP} {
			t.Run(addr+" "+mode.String(), func(t *testing.T) {
				sink := make(chan string, 8)
				b, err := Bind(BoundConfig{Config: Config{Local: netip.MustParseAddrPort(addr)}, Mode: mode, ESP: func(list []Message) {
					for i := range list {
						for j := 0; list[i].Segment(j) != nil; j++ {
							sink <- string(list[i].Segment(j))
						}
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				peer := listen(t, addr, Config{})
				send := func(datagram []byte) {
					if _, err := peer.WriteBatch([]Message{{Buf: datagram, N: len(datagram), Remote: b.LocalAddr()}}); err != nil {
						t.Fatal(err)
					}
				}
				send([]byte{natt.KeepaliveOctet})
				if mode != natt.Raw {
					esp := append(natt.AppendMarker(nil, mode, natt.ESP), body...)
					send(esp)
					if got := <-sink; got != string(esp) {
						t.Errorf("ESP: % x", got)
					}
				}
				if mode != natt.CiscoUDP {
					boundIKE(t, b, peer, ike, send)
				}
				if n, _ := b.Counters(); n.Keepalives != 1 || n.Strays != 0 {
					t.Errorf("counters: %+v", n)
				}
			})
		}
	}
}

func boundIKE(t *testing.T, b *Bound, peer *Conn, ike []byte, send func([]byte)) {
	t.Helper()
	marked := append(natt.AppendMarker(nil, b.Mode(), natt.IKE), ike...)
	send(marked)
	buf := make([]byte, 100)
	n, from, err := b.IKE().ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], ike) || from.String() != peer.LocalAddr().String() {
		t.Fatalf("% x from %v, %v", buf[:n], from, err)
	}
	if n, err := b.IKE().WriteTo(buf[:n], from); err != nil || n != len(ike) {
		t.Fatal(n, err)
	}
	if got, _ := collect(t, peer, 1); got[0] != string(marked) {
		t.Errorf("sent % x", got[0])
	}
}

// TestBoundDeadline: a deadline ends ReadFrom also while it waits, and Close does.
func TestBoundDeadline(t *testing.T) {
	b, err := Bind(BoundConfig{Config: Config{Local: netip.MustParseAddrPort("127.0.0.1:0")}, Mode: natt.NonESP, ESP: func([]Message) {}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	read := func() {
		_, _, err := b.IKE().ReadFrom(nil)
		ended <- err
	}
	go read()
	_ = b.IKE().SetReadDeadline(time.Now())
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_ = b.IKE().SetReadDeadline(time.Time{})
	go read()
	_ = b.IKE().Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// A key daemon in Go: IKE is a net.PacketConn, ESP on the same port goes to an engine.
func ExampleBind() {
	engine := make(chan int, 1)
	port, err := Bind(BoundConfig{
		Config: Config{Local: netip.MustParseAddrPort("127.0.0.1:0")}, Mode: natt.NonESP,
		ESP: func(batch []Message) { engine <- batch[0].N },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer port.Close()
	peer, err := net.Dial("udp", port.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer peer.Close()

	esp := []byte{0xc0, 0, 0, 1, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef} // an SPI, a sequence number and some octets
	ike := append(make([]byte, 4), make([]byte, 28)...)              // the marker and a header
	ike[4] = 0x17                                                    // of an SPI that is not zero
	for _, datagram := range [][]byte{{0xff}, esp, ike} {
		if _, err := peer.Write(datagram); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("ESP of", <-engine, "octets")
	buf := make([]byte, 1500)
	n, _, err := port.IKE().ReadFrom(buf)
	fmt.Println("IKE of", n, "octets", err)
	counters, _ := port.Counters()
	fmt.Println("keepalives:", counters.Keepalives)
	// Output:
	// ESP of 12 octets
	// IKE of 28 octets <nil>
	// keepalives: 1
}

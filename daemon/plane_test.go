// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

// quiet is a daemon on free ports with a device on which nothing happens.
func quiet(t *testing.T) *Daemon {
	t.Helper()
	d, err := New(Options{Device: newStill(), AnyPort: true, Listen: netip.MustParseAddr("127.0.0.1"), NoRawESP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func prefix(s string) []ike.Selector {
	p := netip.MustParsePrefix(s)
	return []ike.Selector{{From: p.Addr(), To: lastOf(p), PortTo: 0xffff}}
}

// couple installs the two halves of a child in two daemons. Selectors are 10.1.n.0/24 at a and 10.2.n.0/24 at b.
func couple(t *testing.T, a, b *Daemon, n int) (spiA, spiB uint32) {
	t.Helper()
	reserve := func(d *Daemon) ike.Reserved {
		r, ok := d.kernel.Ask(time.Now(), 1, ike.Reserve{}).(ike.Reserved)
		if !ok {
			t.Fatal("no SPI")
		}
		return r
	}
	ra, rb := reserve(a), reserve(b)
	loopback := netip.MustParseAddr("127.0.0.1")
	endA := netip.AddrPortFrom(loopback, a.sockets.port(loopback, natt.NonESP))
	endB := netip.AddrPortFrom(loopback, b.sockets.port(loopback, natt.NonESP))
	k1, k2 := octets(byte(n), 20), octets(byte(n)+100, 20)
	ts := func(side int) []ike.Selector {
		return prefix(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(side), byte(n), 0}), 24).String())
	}
	base := ike.ChildSA{Name: "c", Unique: 1, Encap: true, Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128},
		Config: &ike.ChildConfig{ReplayWindow: 64}}
	ca, cb := base, base
	ca.Reqid, ca.SPIIn, ca.SPIOut, ca.KeyIn, ca.KeyOut, ca.TSLocal, ca.TSRemote = ra.Reqid, ra.SPI, rb.SPI, k1, k2, ts(1), ts(2)
	cb.Reqid, cb.SPIIn, cb.SPIOut, cb.KeyIn, cb.KeyOut, cb.TSLocal, cb.TSRemote = rb.Reqid, rb.SPI, ra.SPI, k2, k1, ts(2), ts(1)
	ca.Path = ike.Path{Local: endA, Remote: endB, Encap: natt.NonESP}
	cb.Path = ike.Path{Local: endB, Remote: endA, Encap: natt.NonESP}
	for _, x := range []struct {
		d *Daemon
		c ike.ChildSA
	}{{a, ca}, {b, cb}} {
		if answer := x.d.kernel.Ask(time.Now(), 1, ike.Install{Child: x.c}); answer != (ike.Installed{}) {
			t.Fatalf("install: %+v", answer)
		}
	}
	return ra.SPI, rb.SPI
}

// packet is an inner IPv4 UDP packet of size octets behind headroom.
func packet(n byte, size int) []byte {
	b := make([]byte, dataplane.Headroom+udp.MaxDatagram)
	p := b[dataplane.Headroom:]
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	copy(p[12:], []byte{10, 1, n, 5, 10, 2, n, 5})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(p[20:], 1000)
	binary.BigEndian.PutUint16(p[22:], 2000)
	binary.BigEndian.PutUint16(p[24:], uint16(size-20))
	return b
}

// TestNothingIsAllocatedPerPacket: device batch to sendmmsg, and a batch that was received to the device, with 100
// policies. What the runtime's poller does is included.
func TestNothingIsAllocatedPerPacket(t *testing.T) {
	a, b := quiet(t), quiet(t)
	for n := range 100 {
		couple(t, a, b, n)
	}
	const batch = 32
	bufs, sizes := make([][]byte, batch), make([]int, batch)
	for i := range bufs {
		bufs[i], sizes[i] = packet(99, 1200), 1200
	}
	out := a.plane.newOutbound()
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { out.batch(now, bufs, sizes) }); n > 0 {
		t.Errorf("%v allocations a batch outbound, expected none", n)
	}
	if a.plane.stats().Sealed == 0 {
		t.Fatalf("nothing was sealed: %+v", a.plane.stats())
	}
	r := b.sockets.newReader(b.sockets.by[0][kindNATT])
	if n := testing.AllocsPerRun(100, func() {
		sent := out.seal.Seal(now, bufs, sizes, dataplane.Headroom)
		for i := range sent.Datagrams {
			g := &sent.Datagrams[i]
			m := &r.msgs[i]
			m.N = copy(m.Buf, g.Buf[:g.N])
			m.SegSize, m.Remote, m.Local = g.SegSize, g.Local, g.Remote
		}
		r.take(now, len(sent.Datagrams))
	}); n > 0 {
		t.Errorf("%v allocations a batch inbound, expected none", n)
	}
	if st := b.plane.stats(); st.Delivered < 100*batch {
		t.Errorf("%d packets were delivered, expected at least %d: %+v", st.Delivered, 100*batch, st)
	}
}

func TestSeamLeavesNothingBehind(t *testing.T) {
	a, b := quiet(t), quiet(t)
	spi, _ := couple(t, a, b, 1)
	if a.kernel.children() != 1 || a.kernel.owner(spi) != 1 {
		t.Fatal("the pair is not known")
	}
	a.kernel.RemoveAll(1)
	a.kernel.RemoveAll(1)
	if a.kernel.children() != 0 || a.kernel.owner(spi) != 0 {
		t.Error("something is left of a machine that is gone")
	}
	answer := a.kernel.Ask(time.Now(), 2, ike.Install{Child: ike.ChildSA{SPIIn: 12345, Config: &ike.ChildConfig{}}})
	if _, failed := answer.(ike.Failed); !failed {
		t.Errorf("a child without reservation: %+v", answer)
	}
	if _, failed := a.kernel.Ask(time.Now(), 2, ike.Query{SPIIn: spi}).(ike.Failed); !failed {
		t.Error("a removed pair was queried")
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	d := quiet(t)
	loopback := netip.MustParseAddr("127.0.0.1")
	port, _ := d.Ports(loopback)
	_, err := New(Options{Device: newStill(), Listen: loopback, Port: port, PortNATT: port + 1})
	var taken *udp.PortInUseError
	if !errors.As(err, &taken) || taken.Option != "port" {
		t.Errorf("%v, expected that the port is in use", err)
	}
}

// TestStrangersGetNothing: UDP payloads that are no IKE message are counted and not answered (HOSTILE T-001).
func TestStrangersGetNothing(t *testing.T) {
	d := quiet(t)
	loopback := netip.MustParseAddr("127.0.0.1")
	ikePort, nattPort := d.Ports(loopback)
	for port, longest := range map[uint16]int{ikePort: 27, nattPort: 31} {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, port)))
		if err != nil {
			t.Fatal(err)
		}
		for size := range longest + 1 {
			for _, fill := range []byte{0x00, 0xff, 0x5a} {
				b := make([]byte, size)
				for i := range b {
					b[i] = fill
				}
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := c.Read(make([]byte, 100)); err == nil {
			t.Errorf("%d octets were answered", n)
		}
		c.Close()
	}
	st := d.Stats()
	if st.KeepalivesIn != 6 {
		t.Errorf("%d keepalives were counted, expected 6", st.KeepalivesIn)
	}
	if st.IKESAs != 0 || st.HalfOpen != 0 || st.Panics != 0 {
		t.Errorf("state was made: %+v", st)
	}
}

// RFC 3948, Section 2.3: one octet 0xFF, from the port that ESP uses, without a marker.
func TestKeepaliveOnTheWire(t *testing.T) {
	d := quiet(t)
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	local := netip.AddrPortFrom(loopback, d.sockets.port(loopback, natt.NonESP))
	d.sockets.sendKeepalive(ike.Path{Local: local, Remote: peer.LocalAddr().(*net.UDPAddr).AddrPort(), Encap: natt.NonESP})
	if err := peer.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := peer.ReadFromUDPAddrPort(buf)
	if err != nil || n != 1 || buf[0] != 0xff || from != local {
		t.Errorf("% x from %s (%v), want ff from %s", buf[:n], from, err, local)
	}
}

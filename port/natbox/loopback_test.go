// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package natbox

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/natterjack/natterjack/port/natbox/nat"
	"github.com/natterjack/natterjack/port/udp"
)

// ends are a client, a NAT and a gateway with two ports.
type ends struct {
	t      testing.TB
	nat    *Loopback
	client *udp.Conn
	gates  [2]*udp.Conn
}

func local(last byte) netip.AddrPort {
	if runtime.GOOS != "linux" {
		last = 1
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), 0)
}

func open(t testing.TB, at netip.AddrPort) *udp.Conn {
	t.Helper()
	c, err := udp.Open(udp.Config{Local: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func newEnds(t testing.TB, cfg nat.Config) *ends {
	t.Helper()
	e := &ends{t: t, client: open(t, local(1))}
	lc := LoopbackConfig{NAT: cfg}
	for i := range e.gates {
		e.gates[i] = open(t, local(3))
		lc.Destinations = append(lc.Destinations, Destination{Inside: local(1), Outside: e.gates[i].LocalAddr()})
	}
	var err error
	if e.nat, err = NewLoopback(lc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.nat.Close() })
	return e
}

func (e *ends) send(from *udp.Conn, to netip.AddrPort, text string) {
	e.t.Helper()
	if n, err := from.WriteBatch([]udp.Message{{Buf: []byte(text), N: len(text), Remote: to}}); n != 1 || err != nil {
		e.t.Fatalf("send: %d, %v", n, err)
	}
}

func (e *ends) receive(c *udp.Conn) (string, netip.AddrPort) {
	e.t.Helper()
	stop := time.AfterFunc(20*time.Second, func() { c.Close() })
	defer stop.Stop()
	msgs := []udp.Message{{Buf: make([]byte, udp.MaxDatagram)}}
	for {
		n, err := c.ReadBatch(msgs)
		if err != nil {
			e.t.Fatalf("receive: %v", err)
		}
		if n == 1 {
			return string(msgs[0].Buf[:msgs[0].N]), msgs[0].Remote
		}
	}
}

func TestLoopback(t *testing.T) {
	e := newEnds(t, nat.Config{RandomPorts: true})
	var seen [2]netip.AddrPort
	for i, gate := range e.gates {
		e.send(e.client, e.nat.Inside(i), "hello")
		text, from := e.receive(gate)
		if text != "hello" || from == e.client.LocalAddr() {
			t.Errorf("gate %d got %q from %v, the client is %v", i, text, from, e.client.LocalAddr())
		}
		seen[i] = from
		e.send(gate, from, "answer")
		if text, from := e.receive(e.client); text != "answer" || from != e.nat.Inside(i) {
			t.Errorf("client got %q from %v, want from %v", text, from, e.nat.Inside(i))
		}
	}
	if seen[0] != seen[1] {
		t.Errorf("an endpoint-independent mapping gave %v", seen)
	}
	if n := e.nat.Forget(); n != 1 {
		t.Errorf("forgot %d mappings", n)
	}
	e.send(e.gates[0], seen[0], "lost")
	e.send(e.gates[0], seen[0], "lost")
	e.send(e.client, e.nat.Inside(0), "moved")
	_, from := e.receive(e.gates[0])
	if from == seen[0] {
		t.Errorf("the same endpoint %v after Forget", from)
	}
	limit := time.Now().Add(20 * time.Second)
	for e.nat.Counters(nat.In).All[nat.NoMapping] != 2 && time.Now().Before(limit) {
		runtime.Gosched()
	}
	if c := e.nat.Counters(nat.In); c.All[nat.NoMapping] != 2 {
		t.Errorf("counters: %+v", c)
	}
	if err := e.nat.Rebind(netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	e.send(e.client, e.nat.Inside(0), "rebound")
	if _, again := e.receive(e.gates[0]); again == from {
		t.Errorf("the same endpoint %v after Rebind", again)
	}
}

// A port that another program holds is not the end.
func TestPortTaken(t *testing.T) {
	e := newEnds(t, nat.Config{External: []netip.Addr{local(3).Addr()}, PortLow: 41000, PortHigh: 41500})
	hog := open(t, netip.AddrPortFrom(local(3).Addr(), e.client.LocalAddr().Port()))
	e.send(e.client, e.nat.Inside(0), "hello")
	if text, from := e.receive(e.gates[0]); text != "hello" || from == hog.LocalAddr() {
		t.Errorf("%q from %v", text, from)
	}
}

func TestImpairments(t *testing.T) {
	e := newEnds(t, nat.Config{})
	e.send(e.client, e.nat.Inside(0), "open")
	_, from := e.receive(e.gates[0])
	for _, dir := range []nat.Direction{nat.Out, nat.In} {
		if err := e.nat.SetLink(dir, nat.Link{Duplicate: 1, Delay: 2 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	e.send(e.client, e.nat.Inside(0), "twice")
	for range 2 {
		if text, _ := e.receive(e.gates[0]); text != "twice" {
			t.Errorf("got %q", text)
		}
	}
	if took := time.Since(start); took < time.Millisecond {
		t.Errorf("a delay of 2 ms took %v", took)
	}
	e.send(e.gates[0], from, "back")
	for range 2 {
		if text, _ := e.receive(e.client); text != "back" {
			t.Errorf("got %q", text)
		}
	}
	if err := e.nat.SetLink(nat.Out, nat.Link{Block: true}); err != nil {
		t.Fatal(err)
	}
	e.send(e.client, e.nat.Inside(0), "blocked")
	limit := time.Now().Add(20 * time.Second)
	for e.nat.Counters(nat.Out).All[nat.Blocked] != 1 && time.Now().Before(limit) {
		runtime.Gosched()
	}
	if c := e.nat.Counters(nat.Out); c.All[nat.Blocked] != 1 || c.Duplicated != 1 {
		t.Errorf("counters: %+v", c)
	}
}

// Runs of datagrams keep their order and sizes on the way.
func TestRuns(t *testing.T) {
	e := newEnds(t, nat.Config{})
	var msgs []udp.Message
	var want []byte
	for i := range 50 {
		b := bytes.Repeat([]byte{byte(i)}, 1000)
		want = append(want, b...)
		msgs = append(msgs, udp.Message{Buf: b, N: len(b), Remote: e.nat.Inside(1)})
	}
	if n, err := e.client.WriteBatch(msgs); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	var got []byte
	for len(got) < len(want) {
		text, _ := e.receive(e.gates[1])
		got = append(got, text...)
	}
	if !bytes.Equal(got, want) {
		t.Error("the run arrived changed")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	e := newEnds(t, nat.Config{Out: nat.Link{Delay: time.Hour}})
	e.send(e.client, e.nat.Inside(0), "held back")
	e.nat.Close()
	e.nat.Close()
	// A goroutine that has said it is done may still be counted for a moment.
	limit := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(limit) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	if _, err := NewLoopback(LoopbackConfig{}); err == nil {
		t.Error("no destinations: accepted")
	}
}

func BenchmarkLoopback(b *testing.B) {
	e := newEnds(b, nat.Config{})
	msgs := make([]udp.Message, 32)
	for i := range msgs {
		msgs[i] = udp.Message{Buf: make([]byte, 1400), N: 1400, Remote: e.nat.Inside(0)}
	}
	in := make([]udp.Message, 16)
	for i := range in {
		in[i].Buf = make([]byte, udp.MaxDatagram)
	}
	b.SetBytes(32 * 1400)
	for b.Loop() {
		if _, err := e.client.WriteBatch(msgs); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < 32*1400; {
			n, err := e.gates[0].ReadBatch(in)
			if err != nil {
				b.Fatal(err)
			}
			for i := range in[:n] {
				got += in[i].N
			}
		}
	}
}

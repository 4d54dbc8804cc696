// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The ports of a peer without UDP are no client's in UDP that comes to its address later, and what is sent to them is not sealed for one.

package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
)

// router is a house, and the router in front of it, which is a peer without UDP itself at the address that it gives to the clients.
type router struct {
	*house
	m *end
}

// The SAs of the router: what it sends on, and what is sent to it on.
const routerUp, routerDown = 0x1000, 0x1001

func newRouter(t testing.TB) *router {
	r := &router{house: newHouse(t, time.Unix(1_800_000_000, 0))}
	r.m = newEnd(t, r.now, Config{})
	gateway, outside := natted.gateway.Addr(), natted.outside.Addr()
	for _, dir := range []sadb.Dir{sadb.Out, sadb.In} {
		e := sadb.SPDEntry{Dir: dir, Action: sadb.Protect, Local: host(gateway), Remote: host(outside),
			Templates: []sadb.Template{tmpl(sadb.ProtoESP, sadb.Transport, sadb.Require)}}
		for _, db := range []*sadb.DB{r.gw.db, r.m.db} {
			if _, err := db.SPDAdd(r.now, e); err != nil {
				t.Fatal(err)
			}
			e.Local, e.Remote = e.Remote, e.Local
		}
	}
	r.both(routerUp)
	return r
}

// both gives the router and the gateway an SA in each direction.
func (r *router) both(spi uint32) {
	r.t.Helper()
	for i, k := range [][2]netip.Addr{{natted.outside.Addr(), natted.gateway.Addr()}, {natted.gateway.Addr(), natted.outside.Addr()}} {
		sa := sadb.SA{Proto: sadb.ProtoESP, SPI: spi + uint32(i), Src: k[0], Dst: k[1], Mode: sadb.Transport, Suite: gcm, Key: key(20), Owner: 1}
		for _, db := range []*sadb.DB{r.gw.db, r.m.db} {
			if err := db.AddSA(r.now, sa); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// ends the SAs of the router.
func (r *router) end(spi uint32) {
	for i, dst := range []netip.Addr{natted.gateway.Addr(), natted.outside.Addr()} {
		for _, db := range []*sadb.DB{r.gw.db, r.m.db} {
			if _, err := db.DeleteSA(r.now, sadb.SAID{Proto: sadb.ProtoESP, SPI: spi + uint32(i), Dst: dst}); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// comes reports whether the gateway takes a packet of the router's as it is.
func (r *router) comes(proto uint8, upper []byte) bool {
	r.t.Helper()
	p := packet(natted.outside.Addr(), natted.gateway.Addr(), proto, upper)
	grams := r.m.seal(r.now, bytes.Clone(p))
	if len(grams) != 1 || !grams[0].Raw() {
		r.t.Fatalf("%d datagrams: %v", len(grams), r.m.e.Counters())
	}
	got := r.gw.open(r.now, cross(grams, seen{natted.outside, natted.outside, natted.gateway}, true))
	if len(got) == 1 && !sameInner(got[0], p) {
		r.t.Errorf("%x came as %x", p, got[0])
	}
	return len(got) == 1
}

func (r *router) says(port uint16) bool { return r.comes(protoUDP, udpOf(port, 1701, 4)) }

// goes returns the datagrams of a packet that the host behind the gateway sends to the NAT's address.
func (r *router) goes(proto uint8, upper []byte) []Datagram {
	return r.gw.seal(r.now, packet(natted.gateway.Addr(), natted.outside.Addr(), proto, upper))
}

// answered reports whether what is sent to a port is sealed for the router.
func (r *router) answered(port uint16) bool {
	r.t.Helper()
	grams := r.goes(protoUDP, udpOf(1701, port, 4))
	return len(grams) == 1 && grams[0].Raw()
}

// keyed adds SAs of PF_KEY, in UDP, of a client at a port of the NAT's, and returns the one that opens.
func (r *router) keyed(spi uint32, port uint16) *sadb.Receiver {
	r.t.Helper()
	in := single(r.t, r.now, r.gw, spi, port)
	err := r.gw.db.AddSA(r.now, sadb.SA{Proto: sadb.ProtoESP, SPI: spi + 1, Src: natted.gateway.Addr(), Dst: natted.outside.Addr(), SrcPort: 4500, DstPort: port,
		Encap: natt.NonESP, Mode: sadb.Transport, Suite: gcm, Key: key(20), Owner: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return in
}

// unkeyed deletes them.
func (r *router) unkeyed(spi uint32) {
	r.t.Helper()
	for i, dst := range []netip.Addr{natted.gateway.Addr(), natted.outside.Addr()} {
		if _, err := r.gw.db.DeleteSA(r.now, sadb.SAID{Proto: sadb.ProtoESP, SPI: spi + uint32(i), Dst: dst}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// arrives is the port that a client of single SAs gets for one of its own.
func (r *router) arrives(in *sadb.Receiver, port uint16) (uint16, bool) {
	return r.gw.e.nats.arrive(r.gw.db.Clock(r.now), slotAt(natted.outside.Addr(), port), who{rcv: in})
}

func (r *router) wait(d int64) {
	r.now = r.now.Add(time.Duration(d))
	r.gw.e.Tick(r.now)
}

// TestRawPortsAreTheirs: what a peer without UDP has, by its own packets and by what is sent to it, no client in UDP gets that comes
// later, and the answers go to the peer, though the newest SA of the policy is a client's.
func TestRawPortsAreTheirs(t *testing.T) {
	r := newRouter(t)
	if !r.says(1701) || !r.answered(80) {
		t.Fatalf("%v", r.gw.e.Counters())
	}
	k := r.keyed(0x3000, 30000)
	for _, port := range []uint16{1701, 80, 8080} {
		if got, ok := r.arrives(k, port); !ok || (got == port) != (port == 8080) {
			t.Errorf("port %d of a client of single SAs is %d, %v", port, got, ok)
		}
	}
	for _, port := range []uint16{1701, 80} {
		if !r.says(port) || !r.answered(port) {
			t.Errorf("port %d is not the peer's any more: %v", port, r.gw.e.Counters())
		}
	}
	if grams := r.goes(protoUDP, udpOf(1701, 8080, 4)); len(grams) != 1 || grams[0].Raw() || grams[0].Remote.Port() != 30000 {
		t.Errorf("the client of single SAs is not answered: %v", grams)
	}
}

// TestRawPortsBesideIKE: clients of IKE's get none of them either. Their policies are before those of PF_KEY: what is sent to the peer is not
// sealed for it any more, nor for them.
func TestRawPortsBesideIKE(t *testing.T) {
	r := newRouter(t)
	if !r.says(1701) || !r.answered(80) {
		t.Fatalf("%v", r.gw.e.Counters())
	}
	v := r.move()
	for _, port := range []uint16{1701, 80} {
		got := r.up(v, protoUDP, port)
		if got == port || got == 0 {
			t.Errorf("port %d of a client is %d", port, got)
		}
		if who, at := r.down(protoUDP, got); who != v || at != port {
			t.Error("the client is not answered")
		}
		if !r.says(port) {
			t.Error("the peer is not heard")
		}
		if len(r.goes(protoUDP, udpOf(1701, port, 4))) != 0 {
			t.Error("what is for the peer is sealed for a client")
		}
	}
	r.gw.count(OutNoPort, 2)
}

// TestRawPings: the same of identifiers of pings, the peer's and this host's, and of protocols without ports.
func TestRawPings(t *testing.T) {
	r := newRouter(t)
	echo := func(kind uint8, id uint16) []byte {
		up := []byte{kind, 0, 0, 0, byte(id >> 8), byte(id), 0, 1}
		binary.BigEndian.PutUint16(up[2:], slowSum(up))
		return up
	}
	if !r.comes(protoICMP, echo(echoRequest, 7)) || len(r.goes(protoICMP, echo(echoRequest, 8))) != 1 || !r.comes(47, make([]byte, 8)) {
		t.Fatalf("%v", r.gw.e.Counters())
	}
	k := r.keyed(0x3000, 30000)
	gets := func(proto uint8, kind sideKind, port uint16) (uint16, bool) {
		s := slotAt(natted.outside.Addr(), port)
		s.proto, s.kind = proto, kind
		return r.gw.e.nats.arrive(r.gw.db.Clock(r.now), s, who{rcv: k})
	}
	if got, ok := gets(protoICMP, sidePort, 7); got == 7 || !ok {
		t.Errorf("identifier %d", got)
	}
	if _, ok := gets(protoICMP, sideOurs, 8); ok {
		t.Error("a client has the answers to a ping of the peer")
	}
	if _, ok := gets(47, sideNone, 0); ok {
		t.Error("GRE has two")
	}
	if grams := r.goes(protoICMP, echo(echoRequest, 8)); len(grams) != 1 || !grams[0].Raw() {
		t.Errorf("the peer is pinged no more: %v", grams)
	}
	if !r.comes(47, make([]byte, 8)) {
		t.Error("GRE has none")
	}
}

// TestRawEnds: what such a peer had rests after its end, and is a client's then; it does not get it back from one that lives, whatever it
// remembers.
func TestRawEnds(t *testing.T) {
	r := newRouter(t)
	if !r.says(1701) || !r.says(1702) {
		t.Fatal("not heard")
	}
	r.end(routerUp)
	r.wait(tickPause)
	a, b := r.move(), r.move()
	if got := r.up(a, protoUDP, 1701); got == 1701 {
		t.Error("a client has its port at once")
	}
	r.now = r.now.Add(time.Duration(flowRest)) // nobody has tidied up
	if got := r.up(b, protoUDP, 1701); got != 1701 {
		t.Errorf("a client has port %d after the peer's end", got)
	}
	r.both(0x1010)
	if r.says(1701) {
		t.Error("it has its port back from a client")
	}
	r.gw.count(InNoPort, 1)
	if !r.says(1702) {
		t.Error("it has not what is nobody's")
	}
}

// TestRawIsForgotten: nothing is left of a peer that is gone, nor of ports that were not used for long, which are others' then.
func TestRawIsForgotten(t *testing.T) {
	r := newRouter(t)
	sh := r.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1).remote)
	at := rawAt{slotAt(natted.outside.Addr(), 1).remote, false}
	r.says(1701)
	r.says(40000)
	for range 4 {
		r.wait(rawIdle / 2)
		r.says(1701)
	}
	if p := sh.raws[at]; p == nil || len(p.pages) != 1 || len(p.homes) != 1 {
		t.Fatalf("%+v, expected one page of one home", p)
	}
	k := r.keyed(0x3000, 30000)
	if got, _ := r.arrives(k, 40000); got != 40000 {
		t.Errorf("a port that was not used for long is %d", got)
	}
	if got, _ := r.arrives(k, 1701); got == 1701 {
		t.Error("one that was used is a client's")
	}
	r.end(routerUp)
	r.wait(tickPause)
	r.wait(flowRest)
	if len(sh.raws) != 0 {
		t.Errorf("%d peers are left", len(sh.raws))
	}
}

// TestRawIsBounded: a peer that uses very many ports takes a bounded number of pages, is heard on all of them, and no client in UDP gets one.
func TestRawIsBounded(t *testing.T) {
	r := newRouter(t)
	sh := r.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1).remote)
	for port := 0; port < 1<<16; port += 1 << rawBits {
		r.comes(protoTCP, tcpOf(uint16(port), 1, 1, 0x10))
		if !r.says(uint16(port)) {
			t.Fatalf("port %d: %v", port, r.gw.e.Counters())
		}
	}
	for at, p := range sh.raws {
		if len(p.pages) != maxRawPages {
			t.Errorf("%v: %d pages, expected %d", at, len(p.pages), maxRawPages)
		}
	}
	k := r.keyed(0x3000, 30000)
	if got, ok := r.arrives(k, 1701); ok {
		t.Errorf("a client has port %d", got)
	}
	r.now = r.now.Add(time.Duration(2 * rawIdle))
	if _, ok := r.arrives(k, 1701); !ok {
		t.Error("for ever no client has a port")
	}
}

// TestRawUnproved: of who has proved nothing, as with IPComp alone, or might write any address as its own, no port is noted; nor does it get a
// client's.
func TestRawUnproved(t *testing.T) {
	for name, sa := range map[string]sadb.SA{
		"IPComp":      {Proto: sadb.ProtoIPComp, SPI: 0x300, Src: natted.outside.Addr()},
		"any address": {Proto: sadb.ProtoESP, SPI: 0x3000, Suite: gcm, Key: key(20), Src: netip.IPv4Unspecified()},
	} {
		r := newRouter(t)
		r.end(routerUp)
		sa.Dst, sa.Mode, sa.Owner = natted.gateway.Addr(), sadb.Transport, 1
		for _, h := range []*end{r.gw, r.m} {
			h.db.SPDFlush()
			e := sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: host(natted.gateway.Addr()), Remote: host(natted.outside.Addr()),
				Templates: []sadb.Template{tmpl(sa.Proto, sadb.Transport, sadb.Require)}}
			if h == r.m {
				sa.Src, e.Dir, e.Local, e.Remote = natted.outside.Addr(), sadb.Out, e.Remote, e.Local
			}
			if err := h.db.AddSA(r.now, sa); err != nil {
				t.Fatal(name, err)
			}
			if _, err := h.db.SPDAdd(r.now, e); err != nil {
				t.Fatal(name, err)
			}
		}
		says := func(port uint16) bool { return r.comes(protoUDP, append(udpOf(port, 1701, 0), make([]byte, 400)...)) }
		if !says(1701) {
			t.Fatalf("%s: not heard: %v", name, r.gw.e.Counters())
		}
		if got, _ := r.arrives(r.keyed(0x4000, 30000), 1701); got != 1701 {
			t.Errorf("%s: port %d", name, got)
		}
		if says(1701) {
			t.Errorf("%s: it has a client's port", name)
		}
	}
}

// TestReplacedInSilence: a client of single SAs whose key daemon has replaced them keeps its port, though it is silent and whatever others
// do, until it has none: a minute, and then its port rests.
func TestReplacedInSilence(t *testing.T) {
	r := newRouter(t)
	if got, _ := r.arrives(r.keyed(0x3000, 30000), 1701); got != 1701 {
		t.Fatalf("port %d", got)
	}
	complains := func() bool {
		return r.comes(protoICMP, complaint(natted.outside.Addr(), natted.gateway.Addr(), unreachable, 3, 0, packet(natted.gateway.Addr(), natted.outside.Addr(), protoUDP, udpOf(1701, 1701, 8)))[20:])
	}
	if r.says(1701) || complains() {
		t.Fatal("the peer has a client's port")
	}
	newest := uint32(0x3000)
	for range 3 {
		r.keyed(newest+0x10, 30000)
		r.unkeyed(newest)
		newest += 0x10
		for _, d := range []int64{0, tickPause, endpointRest, flowRest} {
			r.wait(d)
			if r.says(1701) || complains() {
				t.Errorf("after %d s the peer has the port of a client that lives", d/1e9)
			}
			if got := r.up(r.move(), protoUDP, 1701); got == 1701 || got == 0 {
				t.Errorf("after %d s another client has port %d", d/1e9, got)
			}
		}
	}
	if got, _ := r.arrives(r.gw.db.Receiver(sadb.ProtoESP, newest, natted.gateway.Addr()), 1701); got != 1701 {
		t.Errorf("its port became %d", got)
	}
	r.unkeyed(newest)
	r.wait(tickPause)
	r.wait(endpointRest)
	if !r.says(1701) {
		t.Error("the peer is not heard after the client's end")
	}
	sh := r.gw.e.nats.shard(slotAt(natted.outside.Addr(), 1).remote)
	for o := range sh.clients[natted.outside.Addr()] {
		if o.tag != 0 {
			t.Error("the client is kept after its end")
		}
	}
}

// TestReplacedWithAGap: the same, where the new SAs come a moment after the old ones have gone.
func TestReplacedWithAGap(t *testing.T) {
	r := newRouter(t)
	r.arrives(r.keyed(0x3000, 30000), 1701)
	r.unkeyed(0x3000)
	r.wait(tickPause) // it is found without any
	r.keyed(0x3010, 30000)
	r.wait(tickPause)
	r.wait(endpointRest)
	if r.says(1701) {
		t.Error("the peer has the port of a client that lives")
	}
}

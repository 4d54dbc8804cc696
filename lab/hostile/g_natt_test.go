// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section G: the NAT-T port and endpoints (T-069 to T-076, T-079).

package hostile

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/lab/bogus"
)

// endpointOf is where the daemon sends to the peer of that identity.
func endpointOf(w *World, id string) netip.AddrPort {
	for _, sa := range w.D.Status() {
		if sa.RemoteID.String() == id {
			return sa.Path.Remote
		}
	}
	return netip.AddrPort{}
}

// TestT069_Race: an attacker copies an authentic packet and delivers it first from its own address. The endpoint moves at most
// until the next authentic packet.
func TestT069_Race(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("raced.example") })
	attacker := w.Stranger("127.0.0.66")
	for i := range uint16(20) {
		c := p.Child()
		b := c.Seal(p.Packet(c, bogus.Echo(p.Address(), inner(), 1, i, nil)))
		attacker.Send(w.NATT, b)
		w.Settle()
		p.SendRaw(true, b) // the original comes second, and is a replay now
		// What answers the very packet that moves the endpoint back may still go the other way; what comes after does not.
		p.SendInner(bogus.Echo(p.Address(), inner(), 2, i, nil))
		w.Settle()
		if !p.EchoThrough(p.Address(), inner(), 1000+i, pingLimit) {
			t.Fatalf("round %d: the next authentic packet did not bring the endpoint back", i)
		}
		// The same with IKE: a request that the attacker delivers first.
		p.SetBugs(bogus.Bugs{Wire: func(_ bogus.Step, d [][]byte) [][]byte {
			attacker.WriteToUDPAddrPort(marked(d[0]), w.NATT)
			return d
		}})
		if _, err := p.Exchange(bogus.InfoRequest, bogus.Informational); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		p.SetBugs(bogus.Bugs{})
		if err := p.Ping(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	attacker.Answers()
	// Replays and what is not authentic never move anything.
	before := endpointOf(w, "raced.example")
	c := p.Child()
	old := c.Seal(p.Packet(c, bogus.Echo(p.Address(), inner(), 1, 5000, nil)))
	p.SendRaw(true, old)
	forged := bytes.Clone(c.Seal(p.Packet(c, bogus.Echo(p.Address(), inner(), 1, 5001, nil))))
	forged[len(forged)-1] ^= 1
	w.Settle()
	for _, b := range [][]byte{old, forged, {0xff}} {
		attacker.Send(w.NATT, b)
	}
	w.Settle()
	if got := endpointOf(w, "raced.example"); got != before || got.Addr() == netip.MustParseAddr("127.0.0.66") {
		t.Errorf("the endpoint is %s, expected %s", got, before)
	}
}

// TestT070_Demux: octets on the NAT-T port that look like the other kind, and on the port that has no ESP.
func TestT070_Demux(t *testing.T) {
	w := Open(t, Options{})
	s := w.Stranger("127.0.0.3")
	p := w.Peer(nil)
	request := initBytes(t, p)
	for n := range 28 {
		s.Send(w.NATT, make([]byte, 4+n))
		s.Send(w.NATT, marked(request[:n]))
	}
	for spi := range 256 {
		s.Send(w.NATT, append([]byte{0, 0, 0, byte(spi), 0, 0, 0, 1}, make([]byte, 16)...))
	}
	s.Send(w.NATT, append([]byte{0, 0, 0, 1}, request...))
	s.Send(w.NATT, request)                               // IKE without a marker is ESP of an SPI that nobody has
	s.Send(w.NATT, append(make([]byte, 8), request...))   // the drafts' marker, which was not negotiated
	s.Send(w.NATT, marked(marked(request)))               // two markers
	s.Send(w.IKE, marked(request))                        // a marker on the port that has none
	s.Send(w.IKE, append([]byte{9, 9, 9, 9}, request...)) // ESP on the port that has none
	s.Send(w.IKE, append(make([]byte, 8), make([]byte, 60)...))
	w.Settle()
	if got := s.Answers(); len(got) > 0 {
		t.Errorf("answered %d times: %x", len(got), got[0])
	}
	if half := w.D.Stats().HalfOpen; half > 0 {
		t.Errorf("%d IKE SAs of what is not IKE", half)
	}
	up := w.Connect(nil)
	c := up.Child()
	esp := c.Seal(up.Packet(c, bogus.Echo(up.Address(), inner(), 1, 1, nil)))
	before := w.D.Stats().Engine.Delivered
	up.SendRaw(false, esp)
	up.SendRaw(true, marked(esp))
	up.Drain()
	w.Settle()
	if _, ok := up.Inner(50 * time.Millisecond); ok {
		t.Errorf("ESP on IKE's port, or behind the marker of IKE, was delivered (%d before)", before)
	}
}

// TestT071_Keepalives: from the peer and from strangers, in every form: no state, no answer, and no sign of life.
func TestT071_Keepalives(t *testing.T) {
	const each = 3000
	w := Open(t, Options{Connection: "dpd_delay = 1s"})
	s := w.Stranger("127.0.0.4")
	p := w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("keepalives.example") })
	before := heap()
	for i := range each {
		for _, b := range [][]byte{{0xff}, {0xff, 0xff}, {0}, {0, 0, 0, 0, 0xff}} {
			s.Send(w.NATT, b)
			p.SendRaw(true, b)
		}
		if i%50 == 49 {
			w.Settle()
		}
	}
	w.Settle()
	if got := s.Answers(); len(got) > 0 {
		t.Errorf("keepalives were answered: %x", got)
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d keepalives keep %d KiB", 8*each, grown>>10)
	}
	// The peer answers nothing any more but goes on with its keepalives: it is dead.
	p.SetBugs(bogus.Bugs{Ignore: func(*bogus.Message) bool { return true }})
	p.Current().Up = false
	Eventually(t, 10*time.Second, "a peer that only sends keepalives is found dead", func() bool {
		p.SendRaw(true, []byte{0xff})
		return !endpointOf(w, "keepalives.example").IsValid()
	})
}

// TestT072_NATDetection: hashes that are missing, too many, of a wrong length, or say this or that.
func TestT072_NATDetection(t *testing.T) {
	w := Open(t, Options{})
	source := func(b []byte) bogus.Payload { return bogus.N(bogus.NATDetectionSource, b...) }
	destination := func(b []byte) bogus.Payload { return bogus.N(bogus.NATDetectionDestination, b...) }
	junk := bytes.Repeat([]byte{7}, 20)
	for name, f := range map[string]func(s, d []byte) []bogus.Payload{
		"none":              func(s, d []byte) []bogus.Payload { return nil },
		"source alone":      func(s, d []byte) []bogus.Payload { return []bogus.Payload{source(s)} },
		"destination alone": func(s, d []byte) []bogus.Payload { return []bogus.Payload{destination(d)} },
		"no NAT":            func(s, d []byte) []bogus.Payload { return []bogus.Payload{source(s), destination(d)} },
		"both":              func(s, d []byte) []bogus.Payload { return []bogus.Payload{source(junk), destination(junk)} },
		"20 sources, the true one last": func(s, d []byte) []bogus.Payload {
			var list []bogus.Payload
			for range 19 {
				list = append(list, source(junk))
			}
			return append(list, source(s), destination(d))
		},
		"20 destinations": func(s, d []byte) []bogus.Payload {
			list := []bogus.Payload{source(s)}
			for range 20 {
				list = append(list, destination(junk))
			}
			return list
		},
		"empty":     func(s, d []byte) []bogus.Payload { return []bogus.Payload{source(nil), destination(nil)} },
		"19 octets": func(s, d []byte) []bogus.Payload { return []bogus.Payload{source(s[:19]), destination(d[:19])} },
		"21 octets": func(s, d []byte) []bogus.Payload {
			return []bogus.Payload{source(append(bytes.Clone(s), 0)), destination(append(bytes.Clone(d), 0))}
		},
	} {
		p := w.Peer(func(c *bogus.Config) { c.Bugs.NATD = f })
		var refused *bogus.Refused
		switch err := p.Connect(); {
		case asRefused(err, &refused) && refused.Notify == bogus.InvalidSyntax, err == bogus.ErrNoAnswer:
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case !p.EchoThrough(p.Address(), inner(), 1, pingLimit):
			t.Errorf("%s: connected, but nothing gets through", name)
		}
		w.Leave(p)
	}
	// Forged on the path it is caught by AUTH: TestT017_OnPath.
}

// TestT074_Ports: peers that float, float again, stay where they were, or begin on the NAT-T port; a peer that is behind a
// NAT moves and is followed.
func TestT074_Ports(t *testing.T) {
	w := Open(t, Options{})
	stay := w.Peer(func(c *bogus.Config) { c.Bugs.NoFloat = true })
	if err := stay.Connect(); err != nil {
		t.Errorf("a peer that does not float: %v", err)
	}
	direct := w.Peer(func(c *bogus.Config) { c.Bugs.StartFloated = true })
	if err := direct.Connect(); err != nil {
		t.Errorf("a peer that begins on the NAT-T port: %v", err)
	} else if !direct.EchoThrough(direct.Address(), inner(), 1, pingLimit) {
		t.Error("a peer that begins on the NAT-T port: nothing gets through")
	}
	twice := w.Connect(nil)
	for i := range uint16(5) {
		if err := twice.Rebind(); err != nil {
			t.Fatal(err)
		}
		if err := twice.Ping(); err != nil {
			t.Errorf("rebinding %d: %v", i, err)
		}
		if !twice.EchoThrough(twice.Address(), inner(), i, pingLimit) {
			t.Errorf("rebinding %d: nothing gets through", i)
		}
	}
}

// TestT075_Unprotected: errors without protection for live IKE SAs and children: nothing is closed because of them.
func TestT075_Unprotected(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	o := w.Out(1, "", nil)
	if err := o.Initiate(); err != nil {
		t.Fatal(err)
	}
	spi := []byte{byte(p.Child().SPIOut >> 24), byte(p.Child().SPIOut >> 16), byte(p.Child().SPIOut >> 8), byte(p.Child().SPIOut)}
	before := w.D.Stats()
	for _, x := range []*bogus.Peer{p, o.Peer} {
		x.SetBugs(bogus.Bugs{Seal: func(_ bogus.Step, s *bogus.Sealing) { s.Clear = true }})
		for range 50 {
			for _, n := range []bogus.Notify{{Type: bogus.InvalidIKESPI}, {Type: bogus.InvalidSPI, Data: spi}, {Type: bogus.InvalidSPI, Proto: 3, SPI: spi},
				{Type: bogus.AuthenticationFailed}, {Type: bogus.NoProposalChosen}, {Type: bogus.InvalidMajorVersion}} {
				for _, response := range []bool{false, true} {
					for _, id := range []uint32{0, 1, 2, 3} {
						m := x.Header(bogus.Informational, id, response)
						m.Add(n.Payload())
						x.PostMessage(bogus.InfoRequest, m)
					}
				}
			}
			w.Settle()
		}
		x.SetBugs(bogus.Bugs{})
	}
	after := w.D.Stats()
	if after.IKESAs != before.IKESAs || after.Children != before.Children {
		t.Errorf("%d IKE SAs and %d children, expected %d and %d as before", after.IKESAs, after.Children, before.IKESAs, before.Children)
	}
	if n := after.IKEOut - before.IKEOut; n > 40 {
		t.Errorf("%d messages were sent because of them", n)
	}
	if err := p.Ping(); err != nil {
		t.Error(err)
	}
	if err := o.Ping(); err != nil {
		t.Error(err)
	}
	if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
		t.Error("nothing gets through any more")
	}
}

// TestT076_Sizes: messages that are larger than a path, with and without RFC 7383, and inner packets of every size.
func TestT076_Sizes(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	for _, size := range []int{1000, 1400, 3000, 20000} {
		for _, fragment := range []int{0, 500, 1200} {
			p.SetBugs(bogus.Bugs{FragmentSize: fragment})
			if _, err := p.Exchange(bogus.InfoRequest, bogus.Informational, bogus.N(40000, make([]byte, size)...)); err != nil {
				t.Errorf("%d octets in fragments of %d: %v", size, fragment, err)
			}
		}
	}
	p.SetBugs(bogus.Bugs{})
	for _, size := range []int{0, 1, 500, 1200, 1372} {
		p.Drain()
		if err := p.SendInner(bogus.Echo(p.Address(), inner(), 7, uint16(size), make([]byte, size))); err != nil {
			t.Fatal(err)
		}
		if b, ok := p.Inner(pingLimit); !ok || !bogus.IsEchoReply(b, inner(), 7, uint16(size)) {
			t.Errorf("an echo of %d octets did not come back", size)
		}
	}
}

// TestT079_PortShadow: a client inside sends from the gateway's own ports to another client's outer address. Its packets
// stay inside: none leaves from the gateway's IKE or NAT-T port.
func TestT079_PortShadow(t *testing.T) {
	w := Open(t, Options{})
	victim := w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("victim.example") })
	p := w.Connect(func(c *bogus.Config) { c.ID = bogus.FQDN("shadow.example") })
	victim.Drain()
	victim.Seen()
	stray := victim.Stray.Load() + victim.Garbage.Load() + victim.BadESP.Load()
	for _, port := range []uint16{500, 4500, w.IKE.Port(), w.NATT.Port()} {
		for _, to := range []netip.AddrPort{victim.NATTAddr(), victim.IKEAddr()} {
			for _, from := range []netip.Addr{p.Address(), inner(), loopback()} {
				p.SendInner(bogus.UDP(netip.AddrPortFrom(from, port), to, marked(make([]byte, 40))))
			}
		}
	}
	w.Settle()
	if n := victim.Stray.Load() + victim.Garbage.Load() + victim.BadESP.Load() - stray; n > 0 {
		t.Errorf("%d packets of another client came out of the gateway's ports", n)
	}
	if got := victim.Seen(); len(got) > 0 {
		t.Errorf("%v came out of the gateway's ports", got)
	}
	if n := victim.Drain(); n > 0 {
		t.Errorf("%d packets came through the victim's tunnel", n)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Hostile cases against the machine by a peer that is authenticated, or by the network. Each test has the number of its case.

package scripts

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// peerOf establishes and returns who speaks for b to a.
func peerOf() (*simnet.World, *simnet.Host, *simnet.Host, *simnet.Forger) {
	w, a, b := cast(true)
	return w, a, b, a.Forge(b, false)
}

func wantState(t *testing.T, what string, h *simnet.Host, state string) {
	t.Helper()
	if st := h.Status(); len(st) != 1 || st[0].State != state {
		t.Errorf("%s: the IKE SA is not %s", what, state)
	}
}

// Requests with an unknown payload: critical ones are refused by its type, others ignored; responses are never answered.
func TestT008UnknownPayloads(t *testing.T) {
	for _, kind := range []ikev2msg.PayloadType{1, 32, 49, 200, 255} {
		for _, critical := range []byte{0, 0x80} {
			w, a, _, f := peerOf()
			f.Deliver(f.Seal(f.Header(ikev2msg.Informational, 0, false), kind, []byte{0, critical, 0, 4}))
			want := "{ }"
			if critical != 0 {
				want = "{ N(UNSUPPORTED_CRITICAL_PAYLOAD) }"
			}
			list := f.Answers()
			if len(list) != 1 || !strings.Contains(list[0].Summary(), want) {
				t.Fatalf("type %d, critical %x: %d answers", kind, critical, len(list))
			}
			if n, ok := list[0].Payloads, critical != 0; ok && n[0].(*ikev2msg.Notify).Data[0] != byte(kind) {
				t.Errorf("type %d: the notify names %x", kind, n[0].(*ikev2msg.Notify).Data)
			}
			a.Do(ike.CheckLiveness{})
			f.Answers()
			f.Deliver(f.Seal(f.Header(ikev2msg.Informational, 2, true), kind, []byte{0, critical, 0, 4}))
			if len(w.Flight) != 0 {
				t.Errorf("type %d: a response is answered", kind)
			}
			wantState(t, "unknown payload", a, "ESTABLISHED")
		}
	}
}

// Selectors that make no sense are refused; the IKE SA stays.
func TestT013Selectors(t *testing.T) {
	any4, last4 := netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
	sel := func(from, to netip.Addr, p1, p2 uint16) []ikev2msg.Selector {
		return []ikev2msg.Selector{{AddrFrom: from, AddrUpTo: to, PortFrom: p1, PortTo: p2}}
	}
	cases := map[string][]ikev2msg.Selector{
		"none":            nil,
		"start after end": sel(last4, any4, 0, 65535),
		"ports reversed":  sel(any4, last4, 65535, 0),
		"other family":    sel(netip.IPv6Unspecified(), netip.MustParseAddr("ff::"), 0, 65535),
		"255 of them":     slices.Repeat(sel(netip.MustParseAddr("10.99.0.0"), netip.MustParseAddr("10.99.0.255"), 0, 65535), 255),
	}
	for name, list := range cases {
		_, a, _, f := peerOf()
		payloads := offer(2)
		for i, p := range payloads {
			if ts, ok := p.(*ikev2msg.TS); ok && ts.Initiator {
				payloads[i] = &ikev2msg.TS{Initiator: true, Selectors: list}
			}
		}
		f.Deliver(f.Message(ikev2msg.CreateChildSA, 0, false, payloads...))
		got := f.Answers()
		if len(got) != 1 || !strings.Contains(got[0].Summary(), "N(TS_UNACCEPTABLE)") && !strings.Contains(got[0].Summary(), "N(INVALID_SYNTAX)") {
			t.Errorf("%s: %d answers: %v", name, len(got), got)
		}
		wantState(t, name, a, "ESTABLISHED")
		if len(a.SAs()) != 1 || a.Reservations() != 0 {
			t.Errorf("%s: %d children, %d reservations", name, len(a.SAs()), a.Reservations())
		}
	}
	// A peer that offers everything gets what is configured and no more.
	_, a, _, f := peerOf()
	payloads := offer(2)
	for i, p := range payloads {
		if ts, ok := p.(*ikev2msg.TS); ok {
			payloads[i] = &ikev2msg.TS{Initiator: ts.Initiator, Selectors: sel(any4, last4, 0, 65535)}
		}
	}
	f.Deliver(f.Message(ikev2msg.CreateChildSA, 0, false, payloads...))
	for _, c := range a.SAs() {
		for _, s := range append(slices.Clone(c.TSLocal), c.TSRemote...) {
			if s.From.As4()[0] != 10 || s.To.As4()[0] != 10 {
				t.Errorf("selector %s-%s was accepted", s.From, s.To)
			}
		}
	}
}

// Message IDs outside of the window, twice, ahead, never asked for, the last one.
func TestT019MessageIDs(t *testing.T) {
	w, a, _, f := peerOf()
	f.Deliver(f.Message(ikev2msg.Informational, 0, false))
	first := f.Answers()
	f.Deliver(f.Message(ikev2msg.Informational, 0, false))
	again := f.Answers()
	if len(first) != 1 || len(again) != 1 {
		t.Fatalf("%d answers, then %d", len(first), len(again))
	}
	for _, id := range []uint32{2, 3, 1 << 31, 0xfffffffe, 0xffffffff} {
		f.Deliver(f.Message(ikev2msg.Informational, id, false))
		f.Deliver(f.Message(ikev2msg.Informational, id, true))
	}
	if len(w.Flight) != 0 {
		t.Error("a message outside of the window is answered")
	}
	wantState(t, "message IDs", a, "ESTABLISHED")
	f.Deliver(f.Message(ikev2msg.Informational, 1, false))
	if len(f.Answers()) != 1 {
		t.Error("the next request is not answered")
	}
}

// REKEY_SA and Delete with protocols, sizes and counts that do not fit.
func TestT024DeleteAndRekeyShapes(t *testing.T) {
	del := func(protocol, size byte, count uint16, spis ...byte) []byte {
		body := append([]byte{protocol, size}, binary.BigEndian.AppendUint16(nil, count)...)
		body = append(body, spis...)
		return append([]byte{0, 0, 0, byte(4 + len(body))}, body...)
	}
	shapes := map[string][]byte{
		"protocol 0":            del(0, 4, 1, 0, 0, 0, 1),
		"protocol 4":            del(4, 4, 1, 0, 0, 0, 1),
		"AH":                    del(2, 4, 1, 0xb0, 0, 0, 1),
		"ESP, SPI size 0":       del(3, 0, 1),
		"ESP, SPI size 8":       del(3, 8, 1, 0, 0, 0, 0, 0, 0, 0, 1),
		"ESP, SPI size 255":     del(3, 255, 1, 0, 0, 0, 1),
		"65535 SPIs, one there": del(3, 4, 65535, 0, 0, 0, 1),
		"IKE with an SPI":       del(1, 8, 1, 0, 0, 0, 0, 0, 0, 0, 1),
		"our own SPI":           del(3, 4, 1, 0xa0, 0, 0, 1),
	}
	for name, plain := range shapes {
		_, a, _, f := peerOf()
		f.Deliver(f.Seal(f.Header(ikev2msg.Informational, 0, false), ikev2msg.TypeDelete, plain))
		if n := len(f.Answers()); n != 1 {
			t.Errorf("%s: %d answers", name, n)
		}
		wantState(t, name, a, "ESTABLISHED")
		if len(a.SAs()) != 1 {
			t.Errorf("%s: the child is gone", name)
		}
	}
	for name, n := range map[string]*ikev2msg.Notify{
		"no SPI":          {Protocol: ikev2msg.ProtoESP, Notify: ikev2msg.RekeySA},
		"IKE":             {Protocol: ikev2msg.ProtoIKE, Notify: ikev2msg.RekeySA, SPI: []byte{0xb0, 0, 0, 1}},
		"SPI of 8 octets": {Protocol: ikev2msg.ProtoESP, Notify: ikev2msg.RekeySA, SPI: []byte{0, 0, 0, 0, 0xb0, 0, 0, 1}},
	} {
		_, a, _, f := peerOf()
		f.Deliver(f.Message(ikev2msg.CreateChildSA, 0, false, offer(1, n)...))
		list := f.Answers()
		if len(list) != 1 || strings.Contains(list[0].Summary(), "{ SA") {
			t.Errorf("REKEY_SA, %s: rekeyed", name)
		}
		wantState(t, name, a, "ESTABLISHED")
	}
}

// The question Admit, by which INITIAL_CONTACT closes other SAs, is asked only after the peer has proved its identity.
func TestT025InitialContact(t *testing.T) {
	asked := func(authenticated bool) []ike.Admit {
		w, a, b := cast(false)
		if !authenticated {
			b.Conns[0].Remote[0].ID = ike.ID{Type: ike.IDFQDN, Data: []byte("somebody.else.example")}
		}
		w.Settle()
		_ = a
		return b.Admits
	}
	if list := asked(false); len(list) != 0 {
		t.Errorf("asked before authentication: %v", list)
	}
	list := asked(true)
	if len(list) != 1 || !list[0].InitialContact || list[0].Remote.String() != "a.example" {
		t.Errorf("asked %v, expected one of a.example with INITIAL_CONTACT", list)
	}
}

// The IKE SA ends, by each way there is, while each question is outstanding: the answer comes to nothing.
func TestT027AnswersThatComeTooLate(t *testing.T) {
	questions := []string{"KeyExchange", "FindPSK", "Reserve", "Install", "Admit", "FindConnections", "Remove", "Query"}
	for _, side := range []string{"a", "b"} {
		for _, q := range questions {
			for _, end := range []string{"kill", "terminate", "lost", "peer", "time"} {
				for _, when := range []string{"first", "later"} {
					t.Run(side+" "+q+" "+end+" "+when, func(t *testing.T) { tooLate(t, side, q, end, when) })
				}
			}
		}
	}
}

func tooLate(t *testing.T, side, question, end, when string) {
	w, a, b := cast(when == "later")
	v := a
	if side == "b" {
		v = b
	}
	v.Slow = question
	w.Settle()
	if when == "later" {
		for _, h := range w.Hosts {
			h.Do(ike.Initiate{Child: h.Conns[0].Children[1]})
			h.Do(ike.Rekey{ChildID: h.SAs()[0].ChildID})
			h.Do(ike.Rekey{})
		}
		w.Settle()
	}
	switch end {
	case "kill":
		v.Do(ike.Terminate{Force: true})
	case "terminate":
		v.Do(ike.Terminate{})
	case "lost":
		v.Notice(ike.Lost{})
	case "peer":
		for _, h := range w.Hosts {
			if h != v {
				h.Do(ike.Terminate{})
			}
		}
	}
	w.Settle()
	w.Run(time.Minute)
	v.Release()
	w.Settle()
	w.Run(time.Hour)
	for _, h := range w.Hosts {
		if b := h.Broken(); len(b) > 0 {
			t.Errorf("%s: %s", h, strings.Join(b, "; "))
		}
		if len(h.Status()) == 0 && (len(h.SAs()) > 0 || h.Reservations() > 0 || h.Claims() > 0) {
			t.Errorf("%s has no IKE SA, but %d children, %d reservations, %d SPIs", h, len(h.SAs()), h.Reservations(), h.Claims())
		}
	}
}

// Many requests, one after the other: each is answered, in order, and nothing grows.
func TestT028ManyRequests(t *testing.T) {
	_, a, _, f := peerOf()
	for id := range uint32(10000) {
		var payloads []ikev2msg.Payload
		switch id % 3 {
		case 1:
			payloads = append(payloads, &ikev2msg.Delete{Protocol: ikev2msg.ProtoESP, SPIs: []uint32{id}})
		case 2:
			payloads = append(payloads, &ikev2msg.Notify{Notify: ikev2msg.NotifyType(id)})
			if ikev2msg.NotifyType(id) == ikev2msg.AuthenticationFailed {
				payloads = nil
			}
		}
		f.Deliver(f.Message(ikev2msg.Informational, id, false, payloads...))
		if list := f.Answers(); len(list) != 1 || list[0].MessageID != id {
			t.Fatalf("request %d: %d answers", id, len(list))
		}
	}
	wantState(t, "many requests", a, "ESTABLISHED")
}

// An error notify of every type in the response to every exchange: each ends in a defined state, and with a peer that goes
// on answering the IKE SA is usable or gone.
func TestT029EveryNotify(t *testing.T) {
	orders := map[string]func(a *simnet.Host){
		"create": func(a *simnet.Host) { a.Do(ike.Initiate{Request: 9, Child: a.Conns[0].Children[1]}) },
		"child":  func(a *simnet.Host) { a.Do(ike.Rekey{Request: 9, ChildID: a.SAs()[0].ChildID}) },
		"ike":    func(a *simnet.Host) { a.Do(ike.Rekey{Request: 9}) },
		"live":   func(a *simnet.Host) { a.Do(ike.CheckLiveness{}) },
		"delete": func(a *simnet.Host) { a.Do(ike.Terminate{Request: 9, ChildID: a.SAs()[0].ChildID}) },
	}
	for name, order := range orders {
		for kind := 1; kind < 65536; kind += 1 + kind/50*7 {
			_, a, _, f := peerOf()
			order(a)
			sent := f.Answers()
			if len(sent) != 1 {
				t.Fatalf("%s: %d requests", name, len(sent))
			}
			f.Deliver(f.Message(ikev2msg.Exchange(sent[0].Exchange), sent[0].MessageID, true, &ikev2msg.Notify{Notify: ikev2msg.NotifyType(kind)}))
			if st := a.Status(); len(st) == 1 && st[0].State == "REKEYING" {
				t.Errorf("%s, notify %d: still waiting", name, kind)
			}
			if a.Reservations() > 1 {
				t.Errorf("%s, notify %d: %d reservations", name, kind, a.Reservations())
			}
		}
	}
}

// Fragments with numbers that make no sense are dropped before anything is kept.
func TestT031Fragments(t *testing.T) {
	w, a, b, f := awaiting()
	whole := offer(1, idi(2, []byte("a.example")))
	_, plain := ikev2msg.AppendPayloads(nil, whole)
	h := f.Header(ikev2msg.IKEAuth, 1, false)
	part := append(append([]byte{}, plain[:40]...), 0)
	for _, n := range [][2]uint16{{0, 2}, {3, 2}, {1, 65535}, {65535, 65535}, {65, 65}} {
		f.Deliver(f.SealAs(h, &ikev2msg.Encrypted{First: ikev2msg.TypeIDi, Number: n[0], Total: n[1]}, part))
	}
	// The first is missing; one that is not the first names a payload.
	f.Deliver(f.SealAs(h, &ikev2msg.Encrypted{First: ikev2msg.TypeIDi, Number: 2, Total: 2}, part))
	if len(w.Flight) != 0 {
		t.Error("answered")
	}
	wantState(t, "fragments", b, "CONNECTING")
	w.Run(5 * time.Second)
	if a.Count(ike.EventIKEUp) != 1 {
		t.Error("the true initiator does not get in")
	}
}

// A message whose last fragment never comes goes away with its half-open IKE SA.
func TestT032NeverFinished(t *testing.T) {
	w, _, b, f := awaiting()
	h := f.Header(ikev2msg.IKEAuth, 1, false)
	for n := uint16(1); n < 64; n++ {
		f.Deliver(f.SealAs(h, &ikev2msg.Encrypted{First: 35, Number: n, Total: 64}, append(make([]byte, 1000), 0)))
	}
	wantState(t, "fragments", b, "CONNECTING")
	w.Net = silence{}
	w.Run(31 * time.Second)
	if len(b.Status()) != 0 || b.Mux.HalfOpen() != 0 {
		t.Error("the half-open IKE SA is still there")
	}
}

// silence loses everything.
type silence struct{}

func (silence) Carry(time.Time, *simnet.Packet) bool { return false }

// An initiator that rejects the responder says so; where that is lost, the responder asks and finds out.
func TestT064RejectedResponder(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w, a, b := cast(false)
		for range 3 {
			w.Deliver(0)
		}
		if b.Count(ike.EventIKEUp) != 1 {
			t.Fatal("the responder is not up")
		}
		a.PSK = secret.New([]byte("another")) // the response is not what a expects
		if lost {
			w.Net = silence{}
			w.Settle()
			w.Run(10 * time.Minute)
		} else {
			w.Settle()
			if len(a.Status()) != 0 {
				t.Error("the initiator has not ended")
			}
		}
		if len(b.Status()) != 0 || len(b.SAs()) != 0 {
			t.Errorf("lost %t: the responder still has an IKE SA", lost)
		}
	}
}

// A storm of an authenticated peer: children and rekeys have their limits, and the IKE SA lives.
func TestT065Storm(t *testing.T) {
	w, a, _, f := peerOf()
	summaries := map[string]int{}
	id := uint32(0)
	send := func(payloads ...ikev2msg.Payload) {
		f.Deliver(f.Message(ikev2msg.CreateChildSA, id, false, payloads...))
		id++
		for _, m := range f.Answers() {
			s := m.Summary()
			summaries[s[strings.Index(s, "{"):]]++
		}
	}
	for i := range 1000 {
		payloads := offer(2)
		payloads[0].(*ikev2msg.SA).Proposals[0].SPI = binary.BigEndian.AppendUint32(nil, 0x10000+uint32(i))
		send(payloads...)
	}
	if n := len(a.SAs()); n != 64 {
		t.Errorf("%d children, expected 64", n)
	}
	if summaries["{ N(NO_ADDITIONAL_SAS) }"] != 1000-63 {
		t.Errorf("answers: %v", summaries)
	}
	clear(summaries)
	for i := range 100 {
		payloads := offer(1, rekeySA(theirSPI(a)))
		payloads[1].(*ikev2msg.SA).Proposals[0].SPI = binary.BigEndian.AppendUint32(nil, 0x20000+uint32(i))
		send(payloads...)
	}
	for range 100 {
		send(offerIKE(a)...)
	}
	rekeyed := 0
	for s, n := range summaries {
		if strings.HasPrefix(s, "{ SA") {
			rekeyed += n
		}
	}
	if rekeyed > 10 || a.Claims() > 6 {
		t.Errorf("%d rekeys in one instant, %d IKE SPIs: %v", rekeyed, a.Claims(), summaries)
	}
	wantState(t, "storm", a, "ESTABLISHED")
	w.Run(10 * time.Second)
	if len(a.Broken()) > 0 {
		t.Error(a.Broken())
	}
}

// Somebody copies an authentic packet and is faster: the endpoint moves, and the next authentic packet brings it back.
func TestT069Race(t *testing.T) {
	w, a, b := cast(true)
	f := b.Forge(a, true)
	f.Deliver(f.Message(ikev2msg.Informational, 2, false)) // the true path
	w.Flight = nil
	attacker := *f
	attacker.From = netip.MustParseAddrPort("203.0.113.66:666")
	attacker.Deliver(f.Message(ikev2msg.Informational, 3, false))
	if got := b.Status()[0].Path.Remote; got != attacker.From {
		t.Fatalf("b sends to %s", got)
	}
	// A replay of it from elsewhere moves nothing.
	other := *f
	other.From = netip.MustParseAddrPort("203.0.113.77:777")
	other.Deliver(f.Message(ikev2msg.Informational, 3, false))
	if got := b.Status()[0].Path.Remote; got != attacker.From {
		t.Errorf("a repeated request moved the endpoint to %s", got)
	}
	w.Flight = nil
	a.Ping("")
	w.Settle()
	if got := b.Status()[0].Path.Remote; got != f.From {
		t.Errorf("after one authentic packet b sends to %s", got)
	}
}

// NAT detection payloads that are forged, missing, many or of a wrong length: in doubt ESP travels in UDP, and what was
// forged is caught by AUTH.
func TestT072NATDetection(t *testing.T) {
	change := func(f func(list []ikev2msg.Payload) []ikev2msg.Payload) (a, b *simnet.Host) {
		w, a, b := cast(false)
		m, err := ikev2msg.Parse(w.Flight[0].IKE)
		if err != nil {
			t.Fatal(err)
		}
		m.Payloads = f(m.Payloads)
		w.Flight[0].IKE = m.Append(nil)
		w.Settle()
		w.Run(time.Minute)
		return a, b
	}
	natd := func(p ikev2msg.Payload) bool {
		n, ok := p.(*ikev2msg.Notify)
		return ok && (n.Notify == ikev2msg.NATDetectionSourceIP || n.Notify == ikev2msg.NATDetectionDestinationIP)
	}
	forgeries := map[string]func(list []ikev2msg.Payload) []ikev2msg.Payload{
		"missing": func(list []ikev2msg.Payload) []ikev2msg.Payload { return slices.DeleteFunc(list, natd) },
		"twenty": func(list []ikev2msg.Payload) []ikev2msg.Payload {
			for range 20 {
				list = append(list, &ikev2msg.Notify{Notify: ikev2msg.NATDetectionSourceIP, Data: make([]byte, 20)})
			}
			return list
		},
		"short": func(list []ikev2msg.Payload) []ikev2msg.Payload {
			for _, p := range list {
				if natd(p) {
					p.(*ikev2msg.Notify).Data = []byte{1}
				}
			}
			return list
		},
	}
	for name, f := range forgeries {
		a, b := change(f)
		if a.Count(ike.EventIKEUp) > 0 || len(b.SAs()) > 0 {
			t.Errorf("%s: the forged message led to an IKE SA", name)
		}
	}
}

// Unprotected notifies and ICMP errors close nothing, and are asked about seldom.
func TestT075Unprotected(t *testing.T) {
	w, a, b := cast(true)
	a.Conns[0].DPDDelay = time.Minute
	f := a.Forge(b, false)
	for i := range 1000 {
		m := &ikev2msg.Message{Header: f.Header(ikev2msg.Informational, uint32(i), i%2 == 0), Payloads: []ikev2msg.Payload{
			&ikev2msg.Notify{Notify: ikev2msg.InvalidIKESPI}}}
		f.Deliver(m.Append(nil))
		m.Payloads = []ikev2msg.Payload{&ikev2msg.Notify{Notify: ikev2msg.InvalidSPI, Data: []byte{0xa0, 0, 0, 1}}}
		f.Deliver(m.Append(nil))
		a.Notice(ike.Unreachable{})
	}
	if n := len(w.Flight); n > 1 {
		t.Errorf("%d messages are sent because of forged errors", n)
	}
	wantState(t, "forged errors", a, "ESTABLISHED")
	w.Settle()
	if len(a.SAs()) != 1 {
		t.Error("the child is gone")
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package scripts

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// stage is one state of the machine of host v, whose peer the forger is.
type stage struct {
	name string
	// sealed: keys exist, so that the peer can send protected messages.
	sealed bool
	// next is the message ID of the peer's next request, ours that of our outstanding request.
	next, ours uint32
	exchange   ikev2msg.Exchange // of our outstanding request; 0: none
	make       func() (w *simnet.World, v, peer *simnet.Host, peerInitiated bool)
}

// cast makes two hosts, a who initiates and b, with KeyLog on.
func cast(established bool) (w *simnet.World, a, b *simnet.Host) {
	w = simnet.New()
	a, b = w.Host("a", "192.0.2.1", 1), w.Host("b", "198.51.100.2", 1)
	a.Env.KeyLog, b.Env.KeyLog = true, true
	a.Env.KeepaliveInterval, b.Env.KeepaliveInterval = 0, 0
	ca, cb := simnet.Pair(a, b, 2), simnet.Pair(b, a, 2)
	a.Conns, b.Conns = []*ike.Connection{ca}, []*ike.Connection{cb}
	a.Initiate(ca, b.Addrs[0])
	if established {
		w.Settle()
	}
	return w, a, b
}

// doing is established, with an order of a's operator whose request has left and will not arrive.
func doing(name string, exchange ikev2msg.Exchange, order func(a *simnet.Host)) stage {
	return stage{name: "established, " + name + " outstanding", sealed: true, next: 0, ours: 2, exchange: exchange,
		make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(true)
			order(a)
			w.Flight = nil
			return w, a, b, false
		}}
}

func stages() []stage {
	first := func(h *simnet.Host) uint64 { return h.SAs()[0].ChildID }
	return []stage{
		{name: "initiator, IKE_SA_INIT sent", make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(false)
			w.Flight = nil
			return w, a, b, false
		}},
		{name: "responder, IKE_SA_INIT being worked on", make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(false)
			b.Slow = "KeyExchange"
			w.Deliver(0)
			return w, b, a, true
		}},
		{name: "initiator, IKE_AUTH sent", sealed: true, next: 0, ours: 1, exchange: ikev2msg.IKEAuth,
			make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
				w, a, b := cast(false)
				w.Deliver(0)
				w.Deliver(0)
				w.Flight = nil
				return w, a, b, false
			}},
		{name: "responder, IKE_AUTH awaited", sealed: true, next: 1, make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(false)
			w.Deliver(0)
			w.Flight = nil
			return w, b, a, true
		}},
		{name: "responder, IKE_AUTH being worked on", sealed: true, next: 2, make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(false)
			w.Deliver(0)
			w.Deliver(0)
			b.Slow = "FindPSK"
			w.Deliver(0)
			return w, b, a, true
		}},
		{name: "established, idle", sealed: true, next: 0, make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
			w, a, b := cast(true)
			return w, a, b, false
		}},
		{name: "established, a request of the peer being worked on", sealed: true, next: 1,
			make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
				w, a, b := cast(true)
				a.Slow = "Reserve"
				b.Do(ike.Initiate{Child: b.Conns[0].Children[1]})
				w.Deliver(0)
				w.Flight = nil
				return w, a, b, false
			}},
		doing("liveness", ikev2msg.Informational, func(a *simnet.Host) { a.Do(ike.CheckLiveness{}) }),
		doing("create child", ikev2msg.CreateChildSA, func(a *simnet.Host) { a.Do(ike.Initiate{Child: a.Conns[0].Children[1]}) }),
		doing("rekey child", ikev2msg.CreateChildSA, func(a *simnet.Host) { a.Do(ike.Rekey{ChildID: first(a)}) }),
		doing("delete child", ikev2msg.Informational, func(a *simnet.Host) { a.Do(ike.Terminate{ChildID: first(a)}) }),
		doing("rekey IKE SA", ikev2msg.CreateChildSA, func(a *simnet.Host) { a.Do(ike.Rekey{}) }),
		doing("delete IKE SA", ikev2msg.Informational, func(a *simnet.Host) { a.Do(ike.Terminate{}) }),
		{name: "established, the old IKE SA after a rekey", sealed: true, next: 0, ours: 3, exchange: ikev2msg.Informational,
			make: func() (*simnet.World, *simnet.Host, *simnet.Host, bool) {
				w, a, b := cast(true)
				a.Do(ike.Rekey{})
				w.Deliver(0)
				w.Deliver(0)
				w.Flight = nil
				return w, a, b, false
			}},
	}
}

// message is one thing that the peer may send.
type message struct {
	name   string
	sealed bool // only where keys exist
	// answers: it is the response to our outstanding request.
	answers bool
	make    func(f *simnet.Forger, s stage, v *simnet.Host) []byte
}

func request(name string, exchange ikev2msg.Exchange, payloads func(v *simnet.Host) []ikev2msg.Payload) message {
	return message{name: name, sealed: true, make: func(f *simnet.Forger, s stage, v *simnet.Host) []byte {
		return f.Message(exchange, s.next, false, payloads(v)...)
	}}
}

func response(name string, payloads func(v *simnet.Host) []ikev2msg.Payload) message {
	return message{name: "response: " + name, sealed: true, answers: true, make: func(f *simnet.Forger, s stage, v *simnet.Host) []byte {
		return f.Message(s.exchange, s.ours, true, payloads(v)...)
	}}
}

func none(*simnet.Host) []ikev2msg.Payload { return nil }

func notify(kind ikev2msg.NotifyType) func(*simnet.Host) []ikev2msg.Payload {
	return func(*simnet.Host) []ikev2msg.Payload { return []ikev2msg.Payload{&ikev2msg.Notify{Notify: kind}} }
}

// offer is a request for child net2 (or a successor of net1).
func offer(child byte, more ...ikev2msg.Payload) []ikev2msg.Payload {
	spi := binary.BigEndian.AppendUint32(nil, 0xbad00001)
	ts := func(initiator bool, net byte) *ikev2msg.TS {
		return &ikev2msg.TS{Initiator: initiator, Selectors: []ikev2msg.Selector{{PortTo: 65535,
			AddrFrom: netip.AddrFrom4([4]byte{10, net, child, 0}), AddrUpTo: netip.AddrFrom4([4]byte{10, net, child, 255})}}}
	}
	return append(more, &ikev2msg.SA{Proposals: []ikev2msg.Proposal{{Number: 1, Protocol: ikev2msg.ProtoESP, SPI: spi,
		Transforms: []ikev2msg.Transform{{Type: ikev2msg.TransformEncr, ID: uint16(suite.EncrAESGCM16), KeyLen: 128},
			{Type: ikev2msg.TransformESN, KeyLen: -1}}}}},
		&ikev2msg.Nonce{Data: make([]byte, 32)}, ts(true, 198), ts(false, 192))
}

func rekeySA(spi uint32) *ikev2msg.Notify {
	return &ikev2msg.Notify{Protocol: ikev2msg.ProtoESP, Notify: ikev2msg.RekeySA, SPI: binary.BigEndian.AppendUint32(nil, spi)}
}

// theirSPI is what the peer calls its inbound SA.
func theirSPI(v *simnet.Host) uint32 {
	if sas := v.SAs(); len(sas) > 0 {
		return sas[0].SPIOut
	}
	return 0xb0000001
}

func offerIKE(*simnet.Host) []ikev2msg.Payload {
	return []ikev2msg.Payload{&ikev2msg.SA{Proposals: []ikev2msg.Proposal{{Number: 1, Protocol: ikev2msg.ProtoIKE,
		SPI: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Transforms: []ikev2msg.Transform{
			{Type: ikev2msg.TransformEncr, ID: uint16(suite.EncrAESGCM16), KeyLen: 128},
			{Type: ikev2msg.TransformPRF, ID: uint16(suite.PRFHMACSHA2256), KeyLen: -1},
			{Type: ikev2msg.TransformKE, ID: uint16(suite.KECurve25519), KeyLen: -1}}}}},
		&ikev2msg.Nonce{Data: make([]byte, 32)}, &ikev2msg.KE{Group: uint16(suite.KECurve25519), Data: append([]byte{9}, make([]byte, 31)...)}}
}

func messages() []message {
	plain := func(name string, exchange ikev2msg.Exchange, response bool, payloads ...ikev2msg.Payload) message {
		return message{name: name, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			id := s.next
			if exchange == ikev2msg.IKESAInit {
				id = 0
			}
			m := ikev2msg.Message{Header: f.Header(exchange, id, response), Payloads: payloads}
			return m.Append(nil)
		}}
	}
	list := []message{
		plain("IKE_SA_INIT request again, changed", ikev2msg.IKESAInit, false, &ikev2msg.Nonce{Data: make([]byte, 16)}),
		plain("IKE_SA_INIT response, incomplete", ikev2msg.IKESAInit, true, &ikev2msg.Nonce{Data: make([]byte, 16)}),
		plain("IKE_SA_INIT response, NO_PROPOSAL_CHOSEN", ikev2msg.IKESAInit, true, &ikev2msg.Notify{Notify: ikev2msg.NoProposalChosen}),
		plain("INFORMATIONAL request without protection", ikev2msg.Informational, false, &ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}),
		{name: "request with a wrong ICV", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			b := f.Message(ikev2msg.Informational, s.next, false)
			b[len(b)-1] ^= 1
			return b
		}},
		{name: "request with the ID after the next", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Message(ikev2msg.Informational, s.next+1, false)
		}},
		{name: "response that nobody waits for", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Message(ikev2msg.Informational, s.ours+5, true)
		}},
		{name: "request with our own role", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			h := f.Header(ikev2msg.Informational, s.next, false)
			h.Flags ^= 8
			return f.Seal(h, 0, nil)
		}},
		{name: "request with an unknown critical payload", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Seal(f.Header(ikev2msg.Informational, s.next, false), 200, []byte{0, 0x80, 0, 4})
		}},
		{name: "request that is not well formed inside", sealed: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Seal(f.Header(ikev2msg.Informational, s.next, false), ikev2msg.TypeNotify, []byte{0, 0, 0, 3})
		}},
		request("unknown exchange type 240", 240, none),
		request("IKE_AUTH without anything", ikev2msg.IKEAuth, none),
		request("IKE_AUTH with a wrong AUTH", ikev2msg.IKEAuth, func(*simnet.Host) []ikev2msg.Payload {
			return offer(1, &ikev2msg.ID{Initiator: true, IDType: 2, Data: []byte("a.example")}, &ikev2msg.Auth{Method: 2, Data: make([]byte, 32)})
		}),
	}
	return append(append(list, requests()...), responses()...)
}

func requests() []message {
	return []message{
		request("INFORMATIONAL { }", ikev2msg.Informational, none),
		request("INFORMATIONAL { D(child) }", ikev2msg.Informational, func(v *simnet.Host) []ikev2msg.Payload {
			return []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoESP, SPIs: []uint32{theirSPI(v)}}}
		}),
		request("INFORMATIONAL { D(unknown child) }", ikev2msg.Informational, func(*simnet.Host) []ikev2msg.Payload {
			return []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoESP, SPIs: []uint32{0xdead}}}
		}),
		request("INFORMATIONAL { D(IKE) }", ikev2msg.Informational, func(*simnet.Host) []ikev2msg.Payload {
			return []ikev2msg.Payload{&ikev2msg.Delete{Protocol: ikev2msg.ProtoIKE}}
		}),
		request("INFORMATIONAL { N(AUTHENTICATION_FAILED) }", ikev2msg.Informational, notify(ikev2msg.AuthenticationFailed)),
		request("INFORMATIONAL { N(INVALID_SPI) }", ikev2msg.Informational, notify(ikev2msg.InvalidSPI)),
		request("CREATE_CHILD_SA { }", ikev2msg.CreateChildSA, none),
		request("CREATE_CHILD_SA, further child", ikev2msg.CreateChildSA, func(*simnet.Host) []ikev2msg.Payload { return offer(2) }),
		request("CREATE_CHILD_SA, selectors nobody has", ikev2msg.CreateChildSA, func(*simnet.Host) []ikev2msg.Payload { return offer(99) }),
		request("CREATE_CHILD_SA, rekey child", ikev2msg.CreateChildSA, func(v *simnet.Host) []ikev2msg.Payload { return offer(1, rekeySA(theirSPI(v))) }),
		request("CREATE_CHILD_SA, rekey unknown child", ikev2msg.CreateChildSA, func(*simnet.Host) []ikev2msg.Payload { return offer(1, rekeySA(0xdead)) }),
		request("CREATE_CHILD_SA, rekey IKE SA", ikev2msg.CreateChildSA, offerIKE),
	}
}

func responses() []message {
	return []message{
		response("{ }", none),
		response("{ N(TEMPORARY_FAILURE) }", notify(ikev2msg.TemporaryFailure)),
		response("{ N(CHILD_SA_NOT_FOUND) }", notify(ikev2msg.ChildSANotFound)),
		response("{ N(NO_ADDITIONAL_SAS) }", notify(ikev2msg.NoAdditionalSAs)),
		response("{ N(AUTHENTICATION_FAILED) }", notify(ikev2msg.AuthenticationFailed)),
		response("{ N(error 9999) }", notify(9999)),
		response("{ N(status 40000) }", notify(40000)),
		response("{ SA Nr TSi TSr } beyond what was offered", func(*simnet.Host) []ikev2msg.Payload { return offer(1) }),
		{name: "response: not well formed inside", sealed: true, answers: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Seal(f.Header(s.exchange, s.ours, true), ikev2msg.TypeNotify, []byte{0, 0, 0, 3})
		}},
		{name: "response: unknown critical payload", sealed: true, answers: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Seal(f.Header(s.exchange, s.ours, true), 200, []byte{0, 0x80, 0, 4})
		}},
		{name: "response: of another exchange", sealed: true, answers: true, make: func(f *simnet.Forger, s stage, _ *simnet.Host) []byte {
			return f.Message(s.exchange^3, s.ours, true)
		}},
	}
}

// outcome is what the message did to the host.
func outcome(s stage, m message) string {
	w, v, peer, peerInitiated := s.make()
	f := v.Forge(peer, peerInitiated)
	if !s.sealed {
		f = unsealed(w, v, peer, peerInitiated)
	}
	if strings.Contains(s.name, "old IKE SA") {
		f = old(v, peer, peerInitiated)
	}
	from := len(v.Events)
	f.Deliver(m.make(f, s, v))
	w.Flight = nil
	var did []string
	for _, ev := range v.Events[from:] {
		if text := said(ev); text != "" {
			did = append(did, text)
		}
	}
	if len(did) == 0 {
		did = append(did, "nothing")
	}
	state := "gone"
	if st := v.Status(); len(st) > 0 {
		state = st[0].State
	}
	if b := v.Broken(); len(b) > 0 {
		did = append(did, "BROKEN: "+strings.Join(b, ", "))
	}
	return strings.Join(did, "; ") + " [" + state + "]"
}

// unsealed speaks by the SPIs that have been seen on the wire before there are keys.
func unsealed(_ *simnet.World, v, peer *simnet.Host, peerInitiated bool) *simnet.Forger {
	f := v.Forge(peer, peerInitiated)
	f.From, f.To = netip.AddrPortFrom(peer.Addrs[0], 500), netip.AddrPortFrom(v.Addrs[0], 500)
	st := v.Status()[0]
	f.SPIi, f.SPIr = st.SPIi, st.SPIr
	if f.SPIr == 0 {
		f.SPIr = 0x0123456789abcdef
	}
	return f
}

// old speaks by the IKE SA that was replaced.
func old(v, peer *simnet.Host, peerInitiated bool) *simnet.Forger {
	for i, ev := range v.Events {
		if ev.Kind == ike.EventIKERekeyed {
			events := v.Events
			// The last keys before the successor's.
			for j := i; j >= 0; j-- {
				if events[j].Kind == ike.EventKeys && events[j].Keys.IKE.PRF != 0 && events[j].SPIi != ev.SPIi {
					v.Events = events[:j+1]
					break
				}
			}
			f := v.Forge(peer, peerInitiated)
			v.Events = events
			return f
		}
	}
	return v.Forge(peer, peerInitiated)
}

func said(ev ike.Event) string {
	switch ev.Kind {
	case ike.EventMessage:
		if !ev.Sent {
			return ""
		}
		if ev.Retransmit {
			return "sends again " + ev.Summary
		}
		return "sends " + ev.Summary
	case ike.EventDropped:
		return "dropped: " + ev.Detail
	case ike.EventChildUp:
		return "child up"
	case ike.EventChildDown:
		return "child down"
	case ike.EventIKERekeyed:
		return "IKE SA replaced"
	case ike.EventFailed:
		return "fails: " + ev.Detail
	case ike.EventIKEDown:
		return fmt.Sprintf("closed (%d)", ev.Reason)
	}
	return ""
}

// TestMatrix: every state and every message. An auditor reads testdata/matrix.golden first.
func TestMatrix(t *testing.T) {
	var out strings.Builder
	out.WriteString("What the machine does with a message, by its state. In brackets: the state afterwards.\n")
	for _, s := range stages() {
		fmt.Fprintf(&out, "\n== %s\n", s.name)
		for _, m := range messages() {
			if m.sealed && !s.sealed || m.answers && s.exchange == 0 {
				continue
			}
			fmt.Fprintf(&out, "%s\n    %s\n", m.name, outcome(s, m))
		}
	}
	const file = "testdata/matrix.golden"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("the matrix has changed (-recorded +now); if that is right, run with -update:\n%s", diff)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Hostile cases against the machine, before the peer is authenticated. Each test has the number of its case.

package scripts

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/lab/simnet"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// alive: the hosts can still establish an IKE SA with a child, pass packets, and take all of it away.
func alive(t *testing.T, w *simnet.World, a, b *simnet.Host) {
	t.Helper()
	w.Flight = nil
	before := len(b.SAs())
	a.Initiate(a.Conns[0], b.Addrs[0])
	w.Settle()
	if len(b.SAs()) != before+1 || !a.Ping("") {
		t.Fatalf("a legitimate peer does not get in any more (%d children, %d before)", len(b.SAs()), before)
	}
	delivered := b.Delivered
	w.Settle()
	if b.Delivered != delivered+1 {
		t.Error("no packet passes")
	}
	a.Do(ike.Terminate{})
	w.Settle()
	w.Run(10 * time.Second) // what was replaced goes
	if len(b.SAs()) != before {
		t.Errorf("%d children are left, %d were before", len(b.SAs()), before)
	}
}

// initRequest is the first message of a, parsed.
func initRequest(t *testing.T) (*simnet.World, *simnet.Host, *simnet.Host, *ikev2msg.Message) {
	t.Helper()
	w, a, b := cast(false)
	m, err := ikev2msg.Parse(w.Flight[0].IKE)
	if err != nil {
		t.Fatal(err)
	}
	a.Do(ike.Terminate{Force: true, Reason: ike.ClosePeerDead}) // who sent it is not needed any more
	return w, a, b, m
}

// answerTo gives a first message to b and returns what b answers to it.
func answerTo(t *testing.T, w *simnet.World, a, b *simnet.Host, m *ikev2msg.Message) *ikev2msg.Message {
	t.Helper()
	path, _ := a.Path(b.Addrs[0])
	w.Flight = nil
	b.Receive(path.Local, path.Remote, m.Append(nil))
	if len(w.Flight) == 0 {
		return nil
	}
	if len(w.Flight) > 1 {
		t.Fatalf("%d answers to one message", len(w.Flight))
	}
	r, err := ikev2msg.Parse(w.Flight[0].IKE)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func replaceKE(m *ikev2msg.Message, group uint16, data []byte) *ikev2msg.Message {
	c := *m
	c.Payloads = slices.Clone(m.Payloads)
	for i, p := range c.Payloads {
		if _, ok := p.(*ikev2msg.KE); ok {
			c.Payloads[i] = &ikev2msg.KE{Group: group, Data: data}
		}
	}
	return &c
}

func kindsOf(m *ikev2msg.Message) string {
	if m == nil {
		return "nothing"
	}
	return m.Summary()
}

// A key exchange value that is not an element of its group makes no IKE SA and no key.
func TestT009KeyExchangeValues(t *testing.T) {
	w, a, b, m := initRequest(t)
	values := map[string]struct {
		group uint16
		data  []byte
	}{
		"empty":                      {31, nil},
		"one octet":                  {31, []byte{1}},
		"31 octets":                  {31, make([]byte, 31)},
		"33 octets":                  {31, make([]byte, 33)},
		"x25519 zero":                {31, make([]byte, 32)},
		"x25519 one":                 {31, append([]byte{1}, make([]byte, 31)...)},
		"P-256 point at infinity":    {19, make([]byte, 64)},
		"P-256 not on the curve":     {19, slices.Repeat([]byte{1}, 64)},
		"P-256 compressed":           {19, append([]byte{2}, make([]byte, 32)...)},
		"P-256 uncompressed, prefix": {19, append([]byte{4}, make([]byte, 64)...)},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			r := answerTo(t, w, a, b, replaceKE(m, v.group, v.data))
			if r != nil && !strings.Contains(r.Summary(), "N(INVALID_SYNTAX)") {
				t.Errorf("answered by %s", r.Summary())
			}
			if n := len(b.Status()); n != 0 {
				t.Errorf("%d IKE SAs are left", n)
			}
		})
	}
	alive(t, w, a, b)
}

// A group that is not offered, or not known, is answered by the one that is wanted, once a message.
func TestT010Groups(t *testing.T) {
	w, a, b, m := initRequest(t)
	for _, group := range []uint16{0, 1, 2, 14, 21, 1025, 65535} {
		r := answerTo(t, w, a, b, replaceKE(m, group, make([]byte, 32)))
		if !strings.Contains(kindsOf(r), "{ N(INVALID_KE_PAYLOAD) }") {
			t.Fatalf("group %d: answered by %s", group, kindsOf(r))
		}
		n := r.Payloads[0].(*ikev2msg.Notify)
		if got := suite.KE(binary.BigEndian.Uint16(n.Data)); got != suite.KECurve25519 {
			t.Errorf("group %d: asked for %s", group, got)
		}
		if len(b.Status()) != 0 {
			t.Errorf("group %d: an IKE SA is left", group)
		}
	}
	// The initiator follows a bounded number of such answers.
	w, a, b = cast(false)
	for round := range 20 {
		st := a.Status()
		if len(st) == 0 {
			break
		}
		if round > 8 {
			t.Fatal("the initiator follows INVALID_KE_PAYLOAD for ever")
		}
		group := suite.KEECP256
		if round%2 == 1 {
			group = suite.KECurve25519
		}
		f := unsealed(w, a, b, false)
		f.SPIr = 0
		w.Flight = nil
		reply := &ikev2msg.Message{Header: f.Header(ikev2msg.IKESAInit, 0, true), Payloads: []ikev2msg.Payload{
			&ikev2msg.Notify{Notify: ikev2msg.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}}}
		f.Deliver(reply.Append(nil))
	}
	alive(t, w, a, b)
}

// Whatever single octet of IKE_SA_INIT is changed on its way, no IKE SA comes of it.
func TestT017ChangedFirstMessages(t *testing.T) {
	_, _, _, m := initRequest(t)
	n := len(m.Append(nil))
	step := 7
	if testing.Short() {
		step = 41
	}
	for which := range 2 {
		for i := 0; i < n+20; i += step {
			w, a, b := cast(false)
			if which == 1 {
				w.Deliver(0)
			}
			octets := slices.Clone(w.Flight[0].IKE)
			if i >= len(octets) {
				continue
			}
			octets[i] ^= 0x55
			w.Flight[0].IKE = octets
			w.Settle()
			if a.Count(ike.EventIKEUp) > 0 {
				t.Errorf("message %d, octet %d: the initiator is up", which, i)
			}
			// What was only dropped is sent again and gets through; everything else has ended.
			w.Run(10 * time.Minute)
			if len(a.Status()) != len(b.Status()) || a.Reservations()+b.Reservations() > 0 {
				t.Errorf("message %d, octet %d: %d and %d IKE SAs are left", which, i, len(a.Status()), len(b.Status()))
			}
		}
	}
}

// awaiting is a responder that waits for IKE_AUTH, and who speaks for its initiator.
func awaiting() (*simnet.World, *simnet.Host, *simnet.Host, *simnet.Forger) {
	w, a, b := cast(false)
	w.Deliver(0)
	w.Flight = nil
	return w, a, b, b.Forge(a, true)
}

func idi(kind uint8, data []byte) *ikev2msg.ID {
	return &ikev2msg.ID{Initiator: true, IDType: kind, Data: data}
}

// Identities of every type and shape fail cleanly, and what is printed of them is one line of printable characters.
func TestT014Identities(t *testing.T) {
	datas := map[string][]byte{
		"NUL":           []byte("a\x00.example"),
		"newline":       []byte("a.example\nroot logged in"),
		"escape":        []byte("\x1b[2J"),
		"format":        []byte("%s%n%x"),
		"shell":         []byte("'; rm -rf / ;"),
		"UTF-8":         {0xff, 0xfe, 0x80},
		"long":          slices.Repeat([]byte("x"), ikev2msg.MaxIDData),
		"truncated DN":  {0x30, 0x82, 0xff, 0xff, 0x31},
		"nested DN":     slices.Repeat([]byte{0x30, 0x80}, 400),
		"one octet":     {0},
		"short address": {1, 2, 3},
	}
	for name, data := range datas {
		for kind := range 256 {
			if kind > 14 && kind != 200 && kind != 255 {
				continue
			}
			_, _, b, f := awaiting()
			f.Deliver(f.Message(ikev2msg.IKEAuth, 1, false, offer(1, idi(uint8(kind), data), &ikev2msg.Auth{Method: 2, Data: make([]byte, 32)})...))
			if len(b.Status()) != 0 || len(b.SAs()) != 0 {
				t.Errorf("%s, type %d: the IKE SA is still there", name, kind)
			}
			for _, ev := range b.Events {
				for _, text := range []string{ev.Detail, ev.Identity.String()} {
					if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) || len(text) > 2000 {
						t.Errorf("%s, type %d: %q is said", name, kind, text)
					}
				}
			}
		}
	}
}

// A sealed message that is wrong in any way before its ICV is verified is silence, always the same, and uses up nothing.
func TestT015Sealed(t *testing.T) {
	shapes := func(f *simnet.Forger) map[string][]byte {
		good := func() []byte { return f.Message(ikev2msg.IKEAuth, 1, false, idi(2, []byte("a.example"))) }
		flip := func(at int) []byte {
			b := good()
			b[(at+len(b))%len(b)] ^= 0x80
			return b
		}
		h := f.Header(ikev2msg.IKEAuth, 1, false)
		short := func(n int) []byte {
			return (&ikev2msg.Message{Header: h, Payloads: []ikev2msg.Payload{&ikev2msg.Encrypted{First: 35, Body: make([]byte, n)}}}).Append(nil)
		}
		return map[string][]byte{
			"ICV":                 flip(-1),
			"padding":             flip(-18),
			"first octet":         flip(40),
			"IV":                  flip(32),
			"no body":             short(0),
			"IV missing":          short(4),
			"ICV alone":           short(16),
			"pad length too long": f.SealAs(h, &ikev2msg.Encrypted{First: 35}, []byte{200}),
			"SK not last":         append(good(), 0, 0, 0, 4),
		}
	}
	_, _, _, f := awaiting()
	for name := range shapes(f) {
		w, a, b, f := awaiting()
		f.Deliver(shapes(f)[name])
		if len(w.Flight) != 0 {
			t.Errorf("%s: answered", name)
		}
		if st := b.Status(); len(st) != 1 || st[0].State != "CONNECTING" {
			t.Errorf("%s: the half-open IKE SA is gone", name)
		}
		// The message ID is not used up: the true request is taken.
		w.Run(5 * time.Second)
		if a.Count(ike.EventIKEUp) != 1 || b.Count(ike.EventIKEUp) != 1 {
			t.Errorf("%s: the true initiator does not get in", name)
		}
	}
	// SK in IKE_SA_INIT.
	w, a, b, m := initRequest(t)
	m.Payloads = append(m.Payloads, &ikev2msg.Encrypted{First: 35, Body: make([]byte, 64)})
	if r := answerTo(t, w, a, b, m); r != nil {
		t.Errorf("SK in IKE_SA_INIT: answered by %s", r.Summary())
	}
	alive(t, w, a, b)
}

// A mandatory payload of IKE_AUTH that is missing or there twice.
func TestT005MandatoryOfIKEAuth(t *testing.T) {
	whole := func() []ikev2msg.Payload {
		return offer(1, idi(2, []byte("a.example")), &ikev2msg.Auth{Method: 2, Data: make([]byte, 32)})
	}
	for i := range whole() {
		for _, twice := range []bool{false, true} {
			list := whole()
			name := fmt.Sprintf("%T, twice: %t", list[i], twice)
			if twice {
				list = append(list, list[i])
			} else {
				list = slices.Delete(list, i, i+1)
			}
			_, _, b, f := awaiting()
			f.Deliver(f.Message(ikev2msg.IKEAuth, 1, false, list...))
			if len(b.Status()) != 0 || b.Reservations() != 0 || len(b.SAs()) != 0 {
				t.Errorf("%s: half of an IKE SA is left", name)
			}
		}
	}
}

// A peer without a usable secret gets AUTHENTICATION_FAILED once; its repetitions find nothing.
func TestT026NoSecret(t *testing.T) {
	w, a, b := cast(false)
	a.PSK = secret.New([]byte("another"))
	w.Settle()
	refused := 0
	for _, ev := range b.Events {
		if ev.Kind == ike.EventRefused && ikev2msg.NotifyType(ev.Notify) == ikev2msg.AuthenticationFailed {
			refused++
		}
	}
	if refused != 1 || len(b.Status()) != 0 || b.Claims() != 0 {
		t.Errorf("refused %d times, %d IKE SAs and %d SPIs left", refused, len(b.Status()), b.Claims())
	}
	w.Run(3 * time.Minute)
	if b.Mux.HalfOpen() != 0 || len(b.Status()) != 0 {
		t.Error("something is left after three minutes")
	}
	a.PSK = secret.New([]byte("a shared secret"))
	alive(t, w, a, b)
}

// Junk for IKE_AUTH with the right SPIs, by the thousand: the half-open IKE SA neither dies nor stalls.
func TestT066Junk(t *testing.T) {
	w, a, b, f := awaiting()
	for i := range 2000 {
		junk := f.Message(ikev2msg.IKEAuth, 1, false, idi(2, []byte("a.example")))
		junk[30+i%(len(junk)-30)] ^= byte(1 + i%255)
		f.Deliver(junk)
	}
	if len(w.Flight) != 0 {
		t.Error("junk is answered")
	}
	w.Run(5 * time.Second)
	if a.Count(ike.EventIKEUp) != 1 || b.Count(ike.EventIKEUp) != 1 {
		t.Error("the honest initiator does not get in")
	}
}

// No sequence of messages without a right AUTH leads to an IKE SA or to data: every state before authentication, every
// message, and every message after it.
func TestT030NoWayAroundAUTH(t *testing.T) {
	for _, s := range stages() {
		if !s.sealed || strings.HasPrefix(s.name, "established") {
			continue
		}
		for _, first := range messages() {
			for _, second := range messages() {
				if s.exchange == 0 && (first.answers || second.answers) {
					continue
				}
				w, v, peer, initiated := s.make()
				f := v.Forge(peer, initiated)
				f.Deliver(first.make(f, s, v))
				next := s
				next.next++
				f.Deliver(second.make(f, next, v))
				w.Flight = nil
				if v.Count(ike.EventIKEUp) > 0 || len(v.SAs()) > 0 || v.Count(ike.EventAuthenticated) > 0 {
					t.Fatalf("%s: %s, then %s: established without AUTH", s.name, first.name, second.name)
				}
			}
		}
	}
}

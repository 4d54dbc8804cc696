// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section B: the responder as an automaton (T-030). The reference is the table below: for each state what each message
// of the alphabet leads to. Every pair of messages is tried from the half-open and the established state (from the dead one
// nothing comes back), the daemon's answers are compared with the table's, and at the end it is asked in which state it is.
// What must never be: a child, or a packet delivered, of a peer that has not proved itself.

package hostile

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

type state uint8

const (
	halfOpen state = iota
	upState
	dead
)

func (s state) String() string { return [...]string{"half-open", "established", "dead"}[s] }

// what an answer is.
const (
	silence  = 0
	success  = 1 << 16 // sealed, without an error notify
	repeated = 1 << 17 // the same IKE_SA_INIT response again
	refusal  = 1 << 18 // sealed, with any error notify
)

// effect is what a message leads to. An answer below 1<<16 is the sealed error notify.
type effect struct {
	answer uint32
	next   state
}

// symbol is one message of the alphabet with the reference.
type symbol struct {
	name string
	send func(*testing.T, *World, *walker)
	half effect
	up   effect
}

// walker is one peer on its way through the automaton.
type walker struct {
	*bogus.Peer
	auth  []bogus.Payload
	state state
	path  string
	bad   bool
	spi   byte // of the last child that was asked for
}

func (k *walker) post(t *testing.T, b bogus.Bugs, s bogus.Step, exchange uint8, list ...bogus.Payload) {
	t.Helper()
	k.SetBugs(b)
	if _, err := k.Post(s, exchange, list...); err != nil {
		t.Fatal(err)
	}
	k.SetBugs(bogus.Bugs{})
}

// sends makes a symbol's send.
func sends(b bogus.Bugs, exchange uint8, list func(*walker) []bogus.Payload) func(*testing.T, *World, *walker) {
	return func(t *testing.T, _ *World, k *walker) { k.post(t, b, bogus.AuthRequest, exchange, list(k)...) }
}

func none(*walker) []bogus.Payload { return nil }

func authList(k *walker) []bogus.Payload { return k.auth }

// with has the auth payloads changed.
func authWith(edit func(*bogus.Message)) func(*walker) []bogus.Payload {
	return func(k *walker) []bogus.Payload {
		m := &bogus.Message{Payloads: append([]bogus.Payload(nil), k.auth...)}
		edit(m)
		return m.Payloads
	}
}

func childList(k *walker) []bogus.Payload {
	k.spi++
	return []bogus.Payload{
		bogus.SAPayload(bogus.Proposal{Num: 1, Proto: 3, SPI: []byte{9, 9, 9, k.spi}, Transforms: []bogus.Transform{transform(1, bogus.EncrAESGCM16, 128), transform(5, 0, 0)}}),
		bogus.Nonce(bytes.Repeat([]byte{7}, 32)), bogus.TS(bogus.PayloadTSi, bogus.Net("0.0.0.0/0")), bogus.TS(bogus.PayloadTSr, bogus.Net("10.20.0.0/24")),
	}
}

// alphabet has the messages and the reference automaton.
func alphabet() []symbol {
	stays := effect{silence, halfOpen}
	quiet := effect{silence, upState}
	refused := effect{refusal, upState}
	fails := func(n uint32) effect { return effect{n, dead} }
	seal := func(o bogus.Sealing) bogus.Bugs { return bogus.Bugs{Seal: bogus.SealOn(bogus.AuthRequest, o)} }
	header := func(edit func(*bogus.Message)) bogus.Bugs { return bogus.Bugs{Edit: bogus.On(bogus.AuthRequest, edit)} }
	one := func(p bogus.Payload) func(*walker) []bogus.Payload {
		return func(*walker) []bogus.Payload { return []bogus.Payload{p} }
	}
	wrong := bogus.Payload{Type: bogus.PayloadAUTH, Body: append([]byte{2, 0, 0, 0}, make([]byte, 32)...)}
	return []symbol{
		{"AUTH", sends(bogus.Bugs{}, bogus.IKEAuth, authList), effect{success, upState}, refused},
		{"AUTH that is wrong", sends(bogus.Bugs{}, bogus.IKEAuth, authWith(func(m *bogus.Message) { *m.Find(bogus.PayloadAUTH) = wrong })), fails(bogus.AuthenticationFailed), refused},
		{"AUTH left out", sends(bogus.Bugs{}, bogus.IKEAuth, authWith(func(m *bogus.Message) { m.Omit(bogus.PayloadAUTH) })), fails(bogus.AuthenticationFailed), refused},
		{"EAP in place of AUTH", sends(bogus.Bugs{}, bogus.IKEAuth, authWith(func(m *bogus.Message) {
			m.Omit(bogus.PayloadAUTH)
			m.Add(bogus.Payload{Type: bogus.PayloadEAP, Body: []byte{3, 1, 0, 4}})
		})), fails(bogus.AuthenticationFailed), refused},
		{"AUTH without SA", sends(bogus.Bugs{}, bogus.IKEAuth, authWith(func(m *bogus.Message) { m.Omit(bogus.PayloadSA) })), fails(bogus.InvalidSyntax), refused},
		{"AUTH without IDi", sends(bogus.Bugs{}, bogus.IKEAuth, authWith(func(m *bogus.Message) { m.Omit(bogus.PayloadIDi) })), fails(bogus.InvalidSyntax), refused},
		{"empty IKE_AUTH", sends(bogus.Bugs{}, bogus.IKEAuth, none), fails(bogus.InvalidSyntax), refused},
		{"critical payload in IKE_AUTH", sends(bogus.Bugs{}, bogus.IKEAuth, one(bogus.Payload{Type: 200, Flags: 0x80})), fails(bogus.UnsupportedCriticalPayload), refused},
		{"AUTH in clear", sends(seal(bogus.Sealing{Clear: true}), bogus.IKEAuth, authList), stays, quiet},
		{"AUTH with a wrong ICV", sends(seal(bogus.Sealing{FlipICV: true}), bogus.IKEAuth, authList), stays, quiet},
		{"AUTH with the next ID", sends(header(func(m *bogus.Message) { m.ID++ }), bogus.IKEAuth, authList), stays, quiet},
		{"AUTH as a response", sends(header(func(m *bogus.Message) { m.Flags |= bogus.FlagResponse }), bogus.IKEAuth, authList), stays, quiet},
		{"new child", sends(bogus.Bugs{}, bogus.CreateChildSA, childList), stays, effect{success, upState}},
		{"new child in clear", sends(seal(bogus.Sealing{Clear: true}), bogus.CreateChildSA, childList), stays, quiet},
		{"empty CREATE_CHILD_SA", sends(bogus.Bugs{}, bogus.CreateChildSA, none), stays, refused},
		{"liveness", sends(bogus.Bugs{}, bogus.Informational, none), stays, effect{success, upState}},
		{"liveness in clear", sends(seal(bogus.Sealing{Clear: true}), bogus.Informational, one(bogus.Delete(bogus.ProtoIKE))), stays, quiet},
		{"delete", sends(bogus.Bugs{}, bogus.Informational, one(bogus.Delete(bogus.ProtoIKE))), stays, effect{success, dead}},
		{"unknown exchange", sends(bogus.Bugs{}, 99, none), stays, refused},
		{"IKE_SA_INIT again", resend, effect{repeated, halfOpen}, quiet},
		{"another IKE_SA_INIT of this SPI", sends(header(func(m *bogus.Message) { m.SPIr, m.ID = 0, 0 }), bogus.IKESAInit, one(bogus.Nonce(make([]byte, 32)))), stays, quiet},
		{"ESP", guess, stays, quiet},
	}
}

// resend sends the octets of the first message once more.
func resend(t *testing.T, _ *World, k *walker) {
	if err := k.SendRaw(false, k.Current().InitRequest); err != nil {
		t.Fatal(err)
	}
}

// guess sends ESP for an SPI that nobody gave, which is all that a peer without a child can do.
func guess(t *testing.T, _ *World, k *walker) {
	b := append([]byte{0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1}, make([]byte, 60)...)
	if err := k.SendRaw(true, b); err != nil {
		t.Fatal(err)
	}
}

// TestT030_Automaton compares.
func TestT030_Automaton(t *testing.T) {
	const crowd = 100 // peers at a time
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 20 * time.Second }, Drift: 24 << 20})
	defer w.Forget()
	all := alphabet()
	type walk struct {
		from state
		by   [2]int
	}
	var walks []walk
	for _, from := range []state{halfOpen, upState} {
		for i := range all {
			for j := range all {
				walks = append(walks, walk{from, [2]int{i, j}})
			}
		}
	}
	for len(walks) > 0 {
		n := min(crowd, len(walks))
		batch := walks[:n]
		walks = walks[n:]
		var list []*walker
		for _, b := range batch {
			list = append(list, begin(t, w, b.from))
		}
		for step := range 2 {
			for i, k := range list {
				k.Seen()
				k.path += ", " + all[batch[i].by[step]].name
				all[batch[i].by[step]].send(t, w, k)
			}
			w.Settle()
			for i, k := range list {
				compare(t, k, all[batch[i].by[step]])
			}
		}
		proved(t, w, list)
		for _, k := range list {
			end(t, k)
			w.Leave(k.Peer)
		}
	}
}

// begin brings a new peer to a state.
func begin(t *testing.T, w *World, from state) *walker {
	t.Helper()
	k := &walker{Peer: w.Peer(nil), path: from.String(), state: from}
	if _, err := k.Init(); err != nil {
		t.Fatal(err)
	}
	k.auth = k.AuthPayloads()
	if from == upState {
		if _, err := k.Auth(); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// compare holds the answer to the reference and goes to its next state.
func compare(t *testing.T, k *walker, s symbol) {
	t.Helper()
	if k.bad {
		return
	}
	want := s.half
	switch k.state {
	case upState:
		want = s.up
	case dead:
		want = effect{silence, dead}
		if s.name == "IKE_SA_INIT again" { // a first message like any other: it may make another IKE SA
			k.bad = true
			return
		}
	}
	got := uint32(silence)
	for _, m := range k.Seen() {
		e := uint32(m.Error())
		switch {
		case !m.Sealed && m.Exchange == bogus.IKESAInit && bytes.Equal(m.Raw, k.Current().InitResponse):
			got = repeated
		case !m.Sealed && e == bogus.InvalidIKESPI && k.state == dead, !m.Response():
		case m.Sealed && e == 0:
			got = success
		case m.Sealed && want.answer == refusal:
			got = refusal
		case m.Sealed:
			got = e
		default:
			got = 1 << 20
			t.Errorf("%s: answered without protection: %v", k.path, m)
		}
		if m.Sealed {
			k.Current().NextOut = m.ID + 1
		}
	}
	if got != want.answer {
		t.Errorf("%s: answer %s, the reference says %s", k.path, word(got), word(want.answer))
		k.bad = true
	}
	k.state = want.next
}

func word(answer uint32) string {
	switch answer {
	case silence:
		return "none"
	case success:
		return "success"
	case repeated:
		return "the first response again"
	case refusal:
		return "a refusal"
	}
	return fmt.Sprintf("notify %d", answer)
}

// proved: only those that are established have an established IKE SA or a child.
func proved(t *testing.T, w *World, list []*walker) {
	t.Helper()
	ups := 0
	for _, k := range list {
		if k.state == upState || k.bad {
			ups++
		}
	}
	st := w.D.Stats()
	if n := st.IKESAs - st.HalfOpen - w.base.ikeSAs; n > ups {
		t.Errorf("%d established IKE SAs, but %d peers have proved themselves", n, ups)
	}
	if n := st.Children - w.base.children; n > 3*ups {
		t.Errorf("%d children of %d peers that have proved themselves", n, ups)
	}
}

// end asks the daemon in which state it is.
func end(t *testing.T, k *walker) {
	t.Helper()
	if k.bad {
		k.Current().Up = false
		return
	}
	k.SetTimeout(3 * time.Second)
	switch k.state {
	case halfOpen:
		if _, err := k.Auth(); err != nil {
			t.Errorf("%s: an honest IKE_AUTH at the end: %v", k.path, err)
		}
	case upState:
		k.Current().Up = true
		if err := k.Ping(); err != nil {
			t.Errorf("%s: liveness at the end: %v", k.path, err)
		}
	case dead:
		k.Current().Up = false
		k.SetTimeout(time.Millisecond)
		if got, err := k.Exchange(bogus.InfoRequest, bogus.Informational); err == nil && got.Sealed {
			t.Errorf("%s: the dead IKE SA answered %v", k.path, got)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recording is a conversation of two hosts with all its keys, as one line a value and one line a message.
type recording struct {
	values   map[string]string
	messages []recorded
}

type recorded struct {
	byInitiator bool
	from        netip.AddrPort
	octets      []byte
}

func readRecording(t testing.TB, name string) recording {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded-" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	r := recording{values: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(f) == 3:
			r.messages = append(r.messages, recorded{f[0] == "i", netip.MustParseAddrPort(f[1]), unhex(t, f[2])})
		default:
			r.values[f[0]] = f[1]
		}
	}
	return r
}

func (r recording) secret(t testing.TB, name string) secret.Key {
	t.Helper()
	return secret.New(unhex(t, r.values[name]))
}

// reader takes a recording apart with our own code, message after message, and encrypts each again.
type reader struct {
	t         testing.TB
	r         recording
	suite     Suite
	keys      keys
	phase1    phase1
	chain     chain
	clear     []*ikev1msg.Message // of phase 1, before encryption
	next      int
	exchanges []string // what each message after phase 1 was
}

// read prepares a recording: what went in the clear, the keys of it, and the chain of phase 1. clear is how many messages of phase 1
// were not encrypted.
func read(t testing.TB, name string, clear int) *reader {
	t.Helper()
	x := &reader{t: t, r: readRecording(t, name), next: clear}
	x.r.messages = join(t, x.r.messages)
	for _, m := range x.r.messages[:clear] {
		parsed, err := ikev1msg.Parse(m.octets)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.Append(nil), m.octets) {
			t.Errorf("%s does not append to its own octets", parsed.Summary())
		}
		x.clear = append(x.clear, parsed)
	}
	x.negotiated()
	for i, m := range x.clear {
		for j, p := range m.Payloads {
			x.exchanged(x.r.messages[i].byInitiator, m, j, p)
		}
	}
	x.phase1.ckyI, x.phase1.ckyR = x.clear[1].SPIi, x.clear[1].SPIr
	var err error
	psk := x.r.secret(t, "psk") // empty with signatures
	if x.keys, err = deriveKeys(x.suite, psk, x.r.secret(t, "g_ir"), &x.phase1); err != nil {
		t.Fatal(err)
	}
	x.chain = newChain(x.suite, &x.keys, &x.phase1)
	return x
}

// join puts messages that were sent in fragments together.
func join(t testing.TB, list []recorded) []recorded {
	t.Helper()
	var whole []recorded
	var parts []byte
	for _, r := range list {
		m, err := ikev1msg.Parse(r.octets)
		if err != nil {
			t.Fatal(err)
		}
		fragments := ikev1msg.All[*ikev1msg.Fragment](m.Payloads)
		if len(fragments) == 0 {
			whole = append(whole, r)
			continue
		}
		if parts = append(parts, fragments[0].Data...); fragments[0].Last() {
			whole, parts = append(whole, recorded{r.byInitiator, r.from, parts}), nil
		}
	}
	return whole
}

// negotiated reads the suite from the responder's SA payload.
func (x *reader) negotiated() {
	sa := ikev1msg.All[*ikev1msg.SA](x.clear[1].Payloads)[0]
	p, err := sa.Proposals[0].Transforms[0].Phase1()
	if err != nil {
		x.t.Fatal(err)
	}
	if x.suite, err = suiteOf(p); err != nil {
		x.t.Fatal(err)
	}
	if x.suite.String() != x.r.values["proposal"] {
		x.t.Errorf("suite %s, recorded %s", x.suite, x.r.values["proposal"])
	}
}

// exchanged keeps what payload j of a message in the clear says.
func (x *reader) exchanged(byInitiator bool, m *ikev1msg.Message, j int, p ikev1msg.Payload) {
	body := m.Body(j)
	switch p.(type) {
	case *ikev1msg.SA:
		if byInitiator {
			x.phase1.saI = body
		}
	case *ikev1msg.KE:
		if byInitiator {
			x.phase1.gxi = body
		} else {
			x.phase1.gxr = body
		}
	case *ikev1msg.Nonce:
		if byInitiator {
			x.phase1.ni = body
		} else {
			x.phase1.nr = body
		}
	}
}

// wantKeys compares every key and the first IV with what the daemon wrote down.
func (x *reader) wantKeys() {
	x.t.Helper()
	for name, k := range map[string]secret.Key{"SKEYID": x.keys.skeyid, "SKEYID_d": x.keys.skeyidD, "SKEYID_a": x.keys.skeyidA,
		"SKEYID_e": x.keys.skeyidE, "Ka": x.keys.ka, "IV": secret.New(x.chain.last())} {
		if !k.Equal(x.r.secret(x.t, name)) || k.IsZero() {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
	if fmt.Sprintf("%016x", x.phase1.ckyI) != x.r.values["spi_i"] || fmt.Sprintf("%016x", x.phase1.ckyR) != x.r.values["spi_r"] {
		x.t.Error("the cookies differ from the recording")
	}
}

// again encrypts what a message contained from a copy of the chain before it: the payloads appended by the codec, and the padding
// as it was.
func (x *reader) again(before chain, m *ikev1msg.Message, c *ikev1msg.Chain, octets []byte) {
	x.t.Helper()
	first, plain := ikev1msg.AppendPayloads(nil, c.Payloads)
	if bytes.Equal(plain, nil) || !bytes.Equal(before.encrypt(m.Header, first, append(plain, c.Padding()...)), octets) {
		x.t.Errorf("%s is not encrypted to the same octets again", m.Summary())
	}
}

// sealedPhase1 reads the next message, an encrypted one of phase 1.
func (x *reader) sealedPhase1() (recorded, *ikev1msg.Chain) {
	x.t.Helper()
	r := x.r.messages[x.next]
	x.next++
	m, err := ikev1msg.Parse(r.octets)
	if err != nil {
		x.t.Fatal(err)
	}
	before := x.chain
	t, err := x.chain.decrypt(m, r.octets)
	if err != nil {
		x.t.Fatal(err)
	}
	if !unmoved(x.chain, before) {
		x.t.Error("the chain moved before the message was authenticated")
	}
	x.again(before, m, t.chain, r.octets)
	if err := x.chain.take(t); err != nil {
		x.t.Fatal(err)
	}
	return r, t.chain
}

// unmoved reports whether a chain is where it was.
func unmoved(a, b chain) bool {
	return a.iv == b.iv && a.moves == b.moves && a.known == b.known && a.taken == b.taken
}

// quick is what a Quick Mode negotiated.
type quick struct {
	ni, nr     []byte
	spiI, spiR uint32

	offer, answer *ikev1msg.SA
	ke            int // length of the initiator's public value
}

// phase2 reads all that follows phase 1, each message with the HASH that its place in its exchange has.
func (x *reader) phase2() quick {
	x.t.Helper()
	p := newProtection(x.suite, x.keys, x.chain)
	open := map[uint32]*exchange{}
	count := map[uint32]int{}
	var q quick
	for _, r := range x.r.messages[x.next:] {
		m, err := ikev1msg.Parse(r.octets)
		if err != nil {
			x.t.Fatal(err)
		}
		count[m.MessageID]++
		covers := first(m.MessageID)
		if ikev1msg.Exchange(m.Exchange) == ikev1msg.QuickMode {
			switch count[m.MessageID] {
			case 2:
				covers = second(m.MessageID, q.ni)
			case 3:
				covers = third(m.MessageID, q.ni, q.nr)
			}
		}
		before, _ := x.chain.exchange(m.MessageID)
		if e := open[m.MessageID]; e != nil {
			before = e.chain
		}
		o := x.openOne(p, open, m, r.octets, covers)
		x.wantSealed(before, m, covers, o, r.octets)
		x.exchanges = append(x.exchanges, ikev1msg.Exchange(m.Exchange).String()+" "+ikev1msg.SummaryOf(o.payloads))
		if ikev1msg.Exchange(m.Exchange) == ikev1msg.QuickMode && count[m.MessageID] < 3 {
			q.add(x.t, count[m.MessageID] == 1, o)
		}
	}
	return q
}

func (x *reader) openOne(p *protection, open map[uint32]*exchange, m *ikev1msg.Message, octets []byte, c covered) opened {
	x.t.Helper()
	var o opened
	var err error
	if e := open[m.MessageID]; e != nil {
		o, err = e.open(m, octets, c)
	} else {
		open[m.MessageID], o, err = p.open(m, octets)
	}
	if err != nil {
		x.t.Fatalf("%s: %v", m.Summary(), err)
	}
	return o
}

// wantSealed makes the message again from its payloads: its HASH computed, padded as it was.
func (x *reader) wantSealed(before chain, m *ikev1msg.Message, c covered, o opened, octets []byte) {
	x.t.Helper()
	copied := before
	t, err := copied.decrypt(m, octets)
	if err != nil {
		x.t.Fatal(err)
	}
	x.again(before, m, t.chain, octets)
	e := exchange{p: &protection{keys: x.keys}, chain: before}
	sealed := e.seal(m.Header, c, o.payloads)
	if n := len(t.chain.Padding()); n >= before.block() { // charon pads a whole block where none is needed; we do not
		if want := len(octets) - before.block(); len(sealed) != want || !bytes.Equal(sealed[28:], octets[28:want]) {
			x.t.Errorf("%s is not sealed to the same octets", m.Summary())
		}
	} else if zero := bytes.Equal(t.chain.Padding(), make([]byte, n)); zero && !bytes.Equal(sealed, octets) {
		x.t.Errorf("%s is not sealed to the same octets", m.Summary())
	}
}

func (q *quick) add(t testing.TB, byInitiator bool, o opened) {
	t.Helper()
	nonce, sa := ikev1msg.All[*ikev1msg.Nonce](o.payloads), ikev1msg.All[*ikev1msg.SA](o.payloads)
	if len(nonce) != 1 || len(sa) != 1 {
		t.Fatal("no SA and nonce in the Quick Mode")
	}
	spi, _ := strconv.ParseUint(hex.EncodeToString(sa[0].Proposals[0].SPI), 16, 32)
	if byInitiator {
		q.ni, q.spiI, q.offer = nonce[0].Data, uint32(spi), sa[0]
		for _, ke := range ikev1msg.All[*ikev1msg.KE](o.payloads) {
			q.ke = len(ke.Data)
		}
	} else {
		q.nr, q.spiR, q.answer = nonce[0].Data, uint32(spi), sa[0]
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

func suites() []Suite {
	var list []Suite
	for _, hash := range []suite.PRF{suite.PRFHMACMD5, suite.PRFHMACSHA1, suite.PRFHMACSHA2256, suite.PRFHMACSHA2384, suite.PRFHMACSHA2512} {
		for _, bits := range []int{0, 128, 192, 256} {
			s := Suite{Encr: suite.EncrAESCBC, EncrBits: bits, Hash: hash, KE: suite.KEMODP2048, Auth: ikev1msg.AuthPSK}
			if bits == 0 {
				s.Encr = suite.Encr3DESCBC
			}
			list = append(list, s)
		}
	}
	return list
}

func sampleSuite() Suite {
	return Suite{Encr: suite.EncrAESCBC, EncrBits: 128, Hash: suite.PRFHMACSHA2256, KE: suite.KEMODP2048, Auth: ikev1msg.AuthPSK}
}

// pair makes what both ends of an established phase 1 hold.
func pair(t testing.TB, s Suite) (i, r *protection) {
	t.Helper()
	x := samplePhase1()
	end := func() *protection {
		k, err := deriveKeys(s, secret.New([]byte("secret")), secret.New(bytes.Repeat([]byte{9}, 256)), x)
		if err != nil {
			t.Fatal(err)
		}
		return newProtection(s, k, newChain(s, &k, x))
	}
	return end(), end()
}

func header(e ikev1msg.Exchange) isakmp.Header {
	return isakmp.Header{SPIi: 0x0011223344556677, SPIr: 0x8899aabbccddeeff, Exchange: uint8(e)}
}

func parse(t testing.TB, b []byte) *ikev1msg.Message {
	t.Helper()
	m, err := ikev1msg.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func deletePayload(spi byte) []ikev1msg.Payload {
	return []ikev1msg.Payload{&ikev1msg.Delete{DOI: ikev1msg.DOIIPsec, Protocol: ikev1msg.ProtoESP, SPIs: [][]byte{{spi, 1, 2, 3}}}}
}

// source is randomness that counts.
type source struct{ n byte }

func (s *source) Read(b []byte) (int, error) {
	for i := range b {
		s.n++
		b[i] = s.n
	}
	return len(b), nil
}

// TestEverySuite: a phase 1 of each suite carries messages both ways, and both ends are where they began together.
func TestEverySuite(t *testing.T) {
	for _, s := range suites() {
		i, r := pair(t, s)
		ours, err := i.begin(&source{})
		if err != nil {
			t.Fatal(err)
		}
		id := ours.chain.messageID
		ni := []byte("the initiator's nonce")
		b := ours.seal(header(ikev1msg.QuickMode), first(id), deletePayload(1))
		theirs, o, err := r.open(parse(t, b), b)
		if err != nil || len(o.payloads) != 1 || o.header.MessageID != id {
			t.Fatalf("%s: %v", s, err)
		}
		for n := range 3 {
			from, to := theirs, ours
			if n%2 == 1 {
				from, to = ours, theirs
			}
			b := from.seal(header(ikev1msg.QuickMode), second(id, ni), deletePayload(byte(n)))
			if _, err := to.open(parse(t, b), b, second(id, []byte("another nonce"))); !errors.Is(err, errHash) {
				t.Fatalf("%s: another nonce: %v", s, err)
			}
			o, err := to.open(parse(t, b), b, second(id, ni))
			if err != nil || !bytes.Equal(o.payloads[0].(*ikev1msg.Delete).SPIs[0], []byte{byte(n), 1, 2, 3}) {
				t.Fatalf("%s, message %d: %v", s, n, err)
			}
			if ours.chain.iv != theirs.chain.iv || ours.chain.moves != theirs.chain.moves {
				t.Fatalf("%s, message %d: the ends are not in step", s, n)
			}
		}
	}
}

// TestHash3IsAlone: what stands behind HASH(3) is covered by nothing, and is not there for who opens it.
func TestHash3IsAlone(t *testing.T) {
	i, r := pair(t, sampleSuite())
	ours, _ := i.begin(&source{})
	id := ours.chain.messageID
	b := ours.seal(header(ikev1msg.QuickMode), first(id), deletePayload(1))
	theirs, _, err := r.open(parse(t, b), b)
	if err != nil {
		t.Fatal(err)
	}
	c := third(id, []byte("ni"), []byte("nr"))
	b = ours.seal(header(ikev1msg.QuickMode), c, deletePayload(2))
	if o, err := theirs.open(parse(t, b), b, c); err != nil || len(o.payloads) != 0 {
		t.Errorf("%v, %d payloads", err, len(o.payloads))
	}
}

// TestT038InformationalHash: T-038: an encrypted message with a wrong HASH, with none, or with one that is not the first payload, is
// refused, spends no message ID and moves no chain: the true message opens behind it.
func TestT038InformationalHash(t *testing.T) {
	i, r := pair(t, sampleSuite())
	ours, _ := i.begin(&source{})
	id, before := ours.chain.messageID, ours.chain
	h := header(ikev1msg.Informational)
	good := ours.seal(h, first(id), deletePayload(1))
	hash := func(n int) *ikev1msg.Hash { return &ikev1msg.Hash{Data: make([]byte, n)} }
	true1 := &ikev1msg.Hash{Data: i.keys.hashOver(i.suite.Hash, first(id), bodyOf(deletePayload(1)))}
	for name, payloads := range map[string][]ikev1msg.Payload{
		"wrong":        append([]ikev1msg.Payload{hash(32)}, deletePayload(1)...),
		"short":        append([]ikev1msg.Payload{&ikev1msg.Hash{Data: true1.Data[:31]}}, deletePayload(1)...),
		"one octet":    append([]ikev1msg.Payload{hash(1)}, deletePayload(1)...),
		"missing":      deletePayload(1),
		"last":         append(deletePayload(1), true1),
		"of another":   append([]ikev1msg.Payload{true1}, deletePayload(2)...),
		"only":         {true1},
		"with another": slices.Concat([]ikev1msg.Payload{true1}, deletePayload(1), deletePayload(2)),
	} {
		c := before
		b := c.seal(h, payloads)
		if _, _, err := r.open(parse(t, b), b); !errors.Is(err, errHash) && !errors.Is(err, errNoHash) {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.spent) != 0 {
			t.Fatalf("%s: a message ID was spent", name)
		}
	}
	if _, _, err := r.open(parse(t, good), good); err != nil {
		t.Errorf("the true message: %v", err)
	}
	if _, _, err := r.open(parse(t, good), good); !errors.Is(err, errSpent) {
		t.Errorf("the true message again: %v", err)
	}
}

func bodyOf(payloads []ikev1msg.Payload) []byte {
	_, b := ikev1msg.AppendPayloads(nil, payloads)
	return b
}

// TestEveryBit: no changed bit of what is encrypted gets through, nor of the message ID; no strict prefix does, however its length
// field says so; and the chain stands where it stood.
func TestEveryBit(t *testing.T) {
	for _, s := range []Suite{sampleSuite(), suites()[0]} {
		i, r := pair(t, s)
		ours, _ := i.begin(&source{})
		good := ours.seal(header(ikev1msg.Informational), first(ours.chain.messageID), deletePayload(1))
		refuse := func(b []byte, what string, n int) {
			m, err := ikev1msg.Parse(b)
			if err != nil {
				return
			}
			if _, _, err := r.open(m, b); err == nil {
				t.Fatalf("%s: %s %d was accepted", s, what, n)
			}
		}
		for bit := 20 * 8; bit < len(good)*8; bit++ {
			bad := bytes.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			refuse(bad, "bit", bit)
		}
		for n := range len(good) {
			bad := bytes.Clone(good[:n])
			if n >= isakmp.HeaderLen {
				bad[24], bad[25], bad[26], bad[27] = 0, 0, byte(n>>8), byte(n)
			}
			refuse(bad, "prefix", n)
		}
		if _, _, err := r.open(parse(t, good), good); err != nil {
			t.Fatalf("%s: the true message: %v", s, err)
		}
	}
}

// TestHeaderIsNotCovered states what an attacker can change (RFC 2409, Section 5.7): the exchange type and the commit bit. Who takes an
// opened must not believe them.
func TestHeaderIsNotCovered(t *testing.T) {
	i, r := pair(t, sampleSuite())
	ours, _ := i.begin(&source{})
	b := ours.seal(header(ikev1msg.Informational), first(ours.chain.messageID), deletePayload(1))
	b[18], b[19] = byte(ikev1msg.QuickMode), ikev1msg.FlagEncryption|ikev1msg.FlagCommit
	if _, o, err := r.open(parse(t, b), b); err != nil || len(o.payloads) != 1 {
		t.Error(err)
	}
}

// TestT038PhaseOneWaits: a message of phase 1 moves the chain when it is taken and not before; what was decrypted before a move is
// not taken behind it; and a message that was taken is known again.
func TestT038PhaseOneWaits(t *testing.T) {
	i, r := pair(t, sampleSuite())
	ours, theirs := i.root, r.root
	if err := theirs.remember([]byte("the message before, in the clear")); err != nil {
		t.Fatal(err)
	}
	h := header(ikev1msg.MainMode)
	at := ours
	b := ours.seal(h, []ikev1msg.Payload{&ikev1msg.Hash{Data: []byte("one")}})
	forged := at.seal(h, []ikev1msg.Payload{&ikev1msg.Hash{Data: []byte("two")}})
	f, err := theirs.decrypt(parse(t, forged), forged)
	if err != nil {
		t.Fatal(err)
	}
	g, err := theirs.decrypt(parse(t, b), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := theirs.repeated(b); ok || !unmoved(theirs, rememberOne(r.root)) {
		t.Fatal("the chain moved before anything was taken")
	}
	if err := theirs.take(g); err != nil {
		t.Fatal(err)
	}
	if err := theirs.take(f); !errors.Is(err, errMoved) {
		t.Errorf("the forged one behind it: %v", err)
	}
	if err := theirs.take(g); !errors.Is(err, errMoved) {
		t.Errorf("the same one twice: %v", err)
	}
	if err := theirs.take(tentative{}); !errors.Is(err, errMoved) {
		t.Errorf("nothing: %v", err)
	}
	if newest, ok := theirs.repeated(b); !newest || !ok {
		t.Error("the newest message is not known again")
	}
	if newest, ok := theirs.repeated([]byte("the message before, in the clear")); newest || !ok {
		t.Error("the message before is not known again, or is the newest")
	}
	if _, ok := theirs.repeated(forged); ok {
		t.Error("the forged message was taken")
	}
	answer := theirs.seal(h, []ikev1msg.Payload{&ikev1msg.Hash{Data: []byte("answer")}})
	if _, err := ours.decrypt(parse(t, answer), answer); err != nil || ours.iv == theirs.iv {
		t.Errorf("the answer: %v", err)
	}
}

func rememberOne(c chain) chain {
	_ = c.remember([]byte("the message before, in the clear"))
	return c
}

func TestChainRefuses(t *testing.T) {
	i, r := pair(t, sampleSuite())
	if _, err := i.root.exchange(0); err == nil {
		t.Error("an exchange with the message ID of phase 1")
	}
	e, _ := i.root.exchange(7)
	if _, err := e.exchange(8); err == nil {
		t.Error("an exchange from the chain of another")
	}
	h := header(ikev1msg.Informational)
	inClear := ikev1msg.Message{Header: isakmp.Header{SPIi: 1, SPIr: 2, Major: 1, Exchange: 5, MessageID: 7}, Chain: ikev1msg.Chain{Payloads: deletePayload(1)}}
	b := inClear.Append(nil)
	if _, _, err := r.open(parse(t, b), b); !errors.Is(err, errNotEncrypted) { // T-037
		t.Errorf("in the clear: %v", err)
	}
	whole := e.seal(h, deletePayload(1))
	odd := parse(t, whole)
	odd.Encrypted = odd.Encrypted[:len(odd.Encrypted)-1]
	if _, err := e.decrypt(odd, whole); err == nil {
		t.Error("a part of a block")
	}
	other, _ := i.root.exchange(9)
	if _, err := other.decrypt(parse(t, whole), whole); err == nil || !strings.Contains(err.Error(), "message ID 00000007") {
		t.Errorf("the message of another exchange: %v", err)
	}
	c := r.root
	for n := range maxTaken {
		if err := c.remember([]byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.remember([]byte("one more")); !errors.Is(err, errTaken) {
		t.Errorf("more messages than an exchange has: %v", err)
	}
}

func TestMessageIDs(t *testing.T) {
	p, _ := pair(t, sampleSuite())
	if _, err := p.begin(bytes.NewReader(nil)); err == nil {
		t.Error("a message ID without randomness")
	}
	e, err := p.begin(bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 0, 5}))
	if err != nil || e.chain.messageID != 5 {
		t.Fatal(err)
	}
	if e, err = p.begin(bytes.NewReader([]byte{0, 0, 0, 5, 0, 0, 0, 6})); err != nil || e.chain.messageID != 6 {
		t.Errorf("behind a used one: %v", err)
	}
	if _, err := p.begin(bytes.NewReader(make([]byte, 4*idTries))); err == nil {
		t.Error("zero, the message ID of phase 1")
	}
	for n := range uint32(mostSpent) {
		p.spent[n] = struct{}{}
	}
	if _, err := p.begin(bytes.NewReader([]byte{0xff, 0, 0, 0})); !errors.Is(err, errWorn) {
		t.Errorf("more exchanges than a phase 1 has: %v", err)
	}
	other, _ := pair(t, sampleSuite())
	x, _ := other.begin(bytes.NewReader([]byte{0xff, 0, 0, 0}))
	b := x.seal(header(ikev1msg.Informational), first(0xff000000), deletePayload(1))
	if _, _, err := p.open(parse(t, b), b); !errors.Is(err, errWorn) {
		t.Errorf("more exchanges than a phase 1 has, the peer's: %v", err)
	}
}

// TestChainsStayInStep: whatever a network does with the messages of an exchange (old ones again, changed ones, others of the same
// exchange made with a wrong key), the next true one opens, and is opened once.
func TestChainsStayInStep(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.SampledFrom(suites()).Draw(rt, "suite")
		i, r := pair(t, s)
		ours, _ := i.begin(&source{})
		id := ours.chain.messageID
		b := ours.seal(header(ikev1msg.Transaction), first(id), deletePayload(0))
		theirs, _, err := r.open(parse(t, b), b)
		if err != nil {
			rt.Fatal(err)
		}
		sent := [][]byte{b}
		foreign, _ := pair(t, s)
		foreign.keys.skeyidA = secret.New([]byte("not the key"))
		for n := range rapid.IntRange(1, maxTaken-1).Draw(rt, "messages") {
			from, to := theirs, ours
			if n%2 == 1 {
				from, to = ours, theirs
			}
			forger := exchange{p: foreign, chain: from.chain}
			forged := forger.seal(header(ikev1msg.Transaction), first(id), deletePayload(9))
			true1 := from.seal(header(ikev1msg.Transaction), first(id), deletePayload(byte(n)))
			before := to.chain
			for range rapid.IntRange(0, 4).Draw(rt, "noise") {
				noise := rapid.SampledFrom(append([][]byte{forged}, sent...)).Draw(rt, "which")
				noise = bytes.Clone(noise)
				if at := rapid.IntRange(0, 2*len(noise)).Draw(rt, "octet"); at >= isakmp.HeaderLen && at < len(noise) {
					noise[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "change"))
				}
				if _, err := to.open(parse(t, noise), noise, first(id)); err == nil {
					rt.Fatal("something else was opened")
				}
			}
			if !unmoved(to.chain, before) {
				rt.Fatal("the chain moved")
			}
			if _, err := to.open(parse(t, true1), true1, first(id)); err != nil {
				rt.Fatal(err)
			}
			if newest, ok := to.chain.repeated(true1); !newest || !ok {
				rt.Fatal("not known again")
			}
			sent = append(sent, true1)
		}
	})
}

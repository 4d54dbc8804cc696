// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: sealed messages, cookies, and somebody on the path (T-015 to T-017).

package hostile

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// asRefused is errors.As for refusals.
func asRefused(err error, to **bogus.Refused) bool { return errors.As(err, to) }

// TestT015_SealedPayload: everything that can be wrong with SK: silence, and the message ID is still to be used.
func TestT015_SealedPayload(t *testing.T) {
	w := Open(t, Options{})
	cut := func(n int) bogus.Sealing { return bogus.Sealing{Cut: &n} }
	long := uint8(255)
	cases := map[string]bogus.Sealing{
		"ICV":                        {FlipICV: true},
		"ICV and pad length":         {FlipICV: true, PadLen: &long},
		"ciphertext":                 {FlipText: true},
		"pad length above the body":  {PadLen: &long, Text: []byte{1}},
		"no IV":                      {OmitIV: true},
		"in clear":                   {Clear: true},
		"no body":                    cut(0),
		"1 octet":                    cut(1),
		"IV alone":                   cut(8),
		"ICV cut":                    cut(20),
		"payload behind SK":          {After: []bogus.Payload{bogus.N(40000)}},
		"payload before SK":          {Before: []bogus.Payload{bogus.N(40000)}},
		"a sealed payload before SK": {Before: []bogus.Payload{{Type: bogus.PayloadSK, Body: make([]byte, 40)}}},
	}
	for _, suite := range []bogus.Suite{bogus.GCM128(), bogus.CBC256()} {
		auth := w.Peer(func(c *bogus.Config) { c.IKE = suite })
		if _, err := auth.Init(); err != nil {
			t.Fatal(err)
		}
		auth.Seen()
		list := auth.AuthPayloads()
		for name, o := range cases {
			auth.SetBugs(bogus.Bugs{Seal: bogus.SealOn(bogus.AuthRequest, o)})
			auth.Post(bogus.AuthRequest, bogus.IKEAuth, list...)
			w.Silence(auth, "IKE_AUTH, "+name)
		}
		auth.SetBugs(bogus.Bugs{})
		if _, err := auth.Auth(); err != nil {
			t.Errorf("the honest IKE_AUTH afterwards: %v", err)
		}
		for name, o := range cases {
			auth.Seen()
			auth.SetBugs(bogus.Bugs{Seal: bogus.SealOn(bogus.InfoRequest, o)})
			auth.Post(bogus.InfoRequest, bogus.Informational, bogus.Delete(bogus.ProtoIKE))
			w.Silence(auth, "INFORMATIONAL, "+name)
		}
		auth.SetBugs(bogus.Bugs{})
		if err := auth.Ping(); err != nil {
			t.Errorf("the same message ID afterwards: %v", err)
		}
	}
	crowd := w.Crowd()
	p := w.Peer(nil)
	crowd.Send(0, w.IKE, initBytes(t, p, func(m *bogus.Message) { m.Add(bogus.Payload{Type: bogus.PayloadSK, Body: make([]byte, 60)}) }))
	crowd.Send(1, w.IKE, initBytes(t, p, func(m *bogus.Message) {
		m.Payloads = []bogus.Payload{{Type: bogus.PayloadSK, Body: make([]byte, 60)}}
	}))
	if got := crowd.Answers(); len(got) > 0 {
		t.Errorf("SK in IKE_SA_INIT was answered: %x", got)
	}
}

// TestT016_Cookies: what is not the cookie that was given for this message from here is answered with another or not at
// all, costs no key exchange and keeps nothing; the right one is taken.
func TestT016_Cookies(t *testing.T) {
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 10 * time.Second }})
	defer w.Forget()
	s, other := w.Stranger("127.0.0.5"), w.Stranger("127.0.0.5")
	far := w.Stranger("127.9.0.5")
	p := w.Peer(nil)
	for range 40 { // more half-open IKE SAs than a source may have without cookies, in every shard
		s.Send(w.IKE, initBytes(t, p))
	}
	w.Settle()
	s.Answers()
	before := w.D.Stats()
	m, err := p.InitMessage()
	if err != nil {
		t.Fatal(err)
	}
	plain := m.Append(nil)
	s.Send(w.IKE, plain)
	w.Settle()
	cookie := cookieOf(t, s.Answers())
	with := func(c []byte, change func(*bogus.Message)) []byte {
		n := *m
		n.Payloads = append([]bogus.Payload{bogus.N(bogus.CookieNotify, c...)}, m.Payloads...)
		if change != nil {
			change(&n)
		}
		return n.Append(nil)
	}
	flipped := bytes.Clone(cookie)
	flipped[len(flipped)-1] ^= 1
	nonce := bogus.Nonce(make([]byte, 32))
	for _, c := range []struct {
		name string
		from *Stranger
		b    []byte
	}{
		{"wrong", s, with(flipped, nil)}, {"empty", s, with(nil, nil)}, {"65 octets", s, with(make([]byte, 65), nil)},
		{"64 octets", s, with(make([]byte, 64), nil)}, {"cut", s, with(cookie[:len(cookie)-1], nil)},
		{"twice", s, with(append(bytes.Clone(cookie), cookie...), nil)}, {"from another port", other, with(cookie, nil)},
		{"from another address", far, with(cookie, nil)},
		{"another nonce", s, with(cookie, func(m *bogus.Message) { *m.Find(bogus.PayloadNonce) = nonce })},
		{"another SPI", s, with(cookie, func(m *bogus.Message) { m.SPIi++ })},
		{"another KE", s, with(cookie, func(m *bogus.Message) {
			*m.Find(bogus.PayloadKE) = bogus.KE(bogus.KEX25519, bytes.Repeat([]byte{9}, 32))
		})},
		{"one payload more", s, with(cookie, func(m *bogus.Message) { m.Add(bogus.N(40000)) })},
	} {
		c.from.Send(w.IKE, c.b)
		w.Settle()
		for _, b := range c.from.Answers() {
			got, err := answer(b)
			if err != nil || len(got.Payloads) != 1 {
				t.Errorf("%s: answered with %v", c.name, got)
			} else if _, ok := got.Notify(bogus.CookieNotify); !ok {
				t.Errorf("%s: answered with %v, expected COOKIE or nothing", c.name, got)
			}
		}
	}
	after := w.D.Stats()
	if after.KeyExchanges != before.KeyExchanges || after.HalfOpen > before.HalfOpen {
		t.Errorf("wrong cookies cost %d key exchanges and %d IKE SAs", after.KeyExchanges-before.KeyExchanges, after.HalfOpen-before.HalfOpen)
	}
	s.Send(w.IKE, with(cookie, nil))
	w.Settle()
	if got := s.Answers(); len(got) != 1 || len(got[0]) < 100 {
		t.Errorf("the right cookie: %d answers", len(got))
	}
}

// cookieOf is the cookie in the one answer there is.
func cookieOf(t *testing.T, list [][]byte) []byte {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d answers, expected one with a cookie", len(list))
	}
	m, err := answer(list[0])
	if err != nil {
		t.Fatal(err)
	}
	n, ok := m.Notify(bogus.CookieNotify)
	if !ok || m.SPIr != 0 || len(n.Data) == 0 || len(n.Data) > 64 {
		t.Fatalf("answered with %v, expected a cookie and SPIr zero", m)
	}
	return n.Data
}

// TestT017_OnPath: somebody on the path changes IKE_SA_INIT. Nobody is authenticated.
func TestT017_OnPath(t *testing.T) {
	w := Open(t, Options{})
	probe := w.Peer(nil)
	m, err := probe.InitMessage()
	if err != nil {
		t.Fatal(err)
	}
	w.Leave(probe)
	size := len(m.Append(nil))
	// A key or nonce that changed makes other keys, and IKE_AUTH is met with silence: that is slow, and few octets will do.
	slow := bogus.HeaderLen + 4 + len(m.Payloads[0].Body)
	fast := slow + 8 + len(m.Payloads[1].Body) + len(m.Payloads[2].Body)
	failed := 0
	for at := bogus.HeaderLen; at < size; at++ {
		if at > slow+8 && at < fast && at%6 != 0 {
			continue
		}
		p := w.Peer(func(c *bogus.Config) {
			c.Timeout, c.Repeat = 60*time.Millisecond, time.Second
			c.Bugs.Wire = onInit(func(b []byte) []byte {
				// Behind a cookie the same octet is further back.
				if at := at + len(b) - size; at >= bogus.HeaderLen && at < len(b) {
					b[at] ^= 1
				}
				return b
			})
		})
		if err := p.Connect(); err == nil {
			t.Errorf("octet %d changed on the path: connected", at)
		} else if r := (*bogus.Refused)(nil); asRefused(err, &r) && r.Notify == bogus.AuthenticationFailed {
			failed++
		}
		w.Leave(p)
	}
	if failed < 40 {
		t.Errorf("AUTH failed for %d octets, expected it at least for the hashes of NAT detection", failed)
	}
	onPathDrops(t, w)
	onPathResponses(t, w)
}

func onInit(change func([]byte) []byte) func(bogus.Step, [][]byte) [][]byte {
	return func(s bogus.Step, d [][]byte) [][]byte {
		if s == bogus.InitRequest || s == bogus.InitResponse {
			d[0] = change(d[0])
		}
		return d
	}
}

// downgrades are edits of a message that each leave a well-formed one.
func downgrades() map[string]func(*bogus.Message) {
	drop := func(kind uint16) func(*bogus.Message) {
		return func(m *bogus.Message) { bogus.OmitNotify(0, kind)(0, m) }
	}
	return map[string]func(*bogus.Message){
		"SIGNATURE_HASH_ALGORITHMS": drop(bogus.SignatureHashAlgorithms), "FRAGMENTATION": drop(bogus.FragmentationSupported),
		"NAT-D of the source": drop(bogus.NATDetectionSource), "NAT-D of the destination": drop(bogus.NATDetectionDestination),
		"a notify more":    func(m *bogus.Message) { m.Add(bogus.N(16435)) },
		"a vendor ID more": func(m *bogus.Message) { m.Add(bogus.Payload{Type: bogus.PayloadVendor, Body: []byte("x")}) },
	}
}

func edited(t testing.TB, edit func(*bogus.Message)) func([]byte) []byte {
	return func(b []byte) []byte {
		m, err := answer(b)
		if err != nil {
			t.Error(err)
			return b
		}
		edit(m)
		return m.Append(nil)
	}
}

func onPathDrops(t *testing.T, w *World) {
	edits := downgrades()
	edits["the second proposal"] = func(m *bogus.Message) {
		list, _ := bogus.ParseSA(m.Find(bogus.PayloadSA).Body)
		*m.Find(bogus.PayloadSA) = bogus.SAPayload(list[0])
	}
	for name, edit := range edits {
		p := w.Peer(func(c *bogus.Config) {
			c.Proposals = []bogus.Proposal{proposal(gcm()...), {Num: 2, Proto: 1, Transforms: bogus.CBC256().Transforms(true)}}
			c.Bugs.Wire = onInit(edited(t, edit))
		})
		err := p.Connect()
		if r := (*bogus.Refused)(nil); !asRefused(err, &r) || r.Notify != bogus.AuthenticationFailed {
			t.Errorf("%s dropped from the request: %v, expected AUTHENTICATION_FAILED", name, err)
		}
		w.Leave(p)
	}
}

func onPathResponses(t *testing.T, w *World) {
	n := 0
	for name, edit := range downgrades() {
		n++
		o := w.Out(n, "", func(c *bogus.Config) { c.Bugs.Wire = onInit(edited(t, edit)) })
		if err := o.Initiate(); err == nil {
			t.Errorf("%s changed in the response: the daemon connected", name)
		}
		o.close()
	}
}

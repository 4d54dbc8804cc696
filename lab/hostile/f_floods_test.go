// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section F: floods, amplification, what failed logins leave (T-059, T-061, T-062, T-066), counted.

package hostile

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// cookieTotal is the number of half-open IKE SAs from which cookies are asked for (G21), and what shards and messages under
// way may add to it.
const (
	cookieTotal = 100
	cookieSlack = 20
)

// TestT059_Flood: first messages of thousands of sources that never echo a cookie, with expensive groups among them. Once
// cookies are asked for no key exchange is done and no IKE SA made for any of them; honest peers get in.
func TestT059_Flood(t *testing.T) {
	const sources, messages = 4000, 8000
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 10 * time.Second }, Drift: 16 << 20})
	defer w.Forget()
	crowd := w.Crowd()
	templates := [][]byte{}
	for _, s := range []bogus.Suite{bogus.GCM128(), {Encr: bogus.EncrAESGCM16, Bits: 128, PRF: bogus.PRFSHA256, KE: bogus.KEP256},
		{Encr: bogus.EncrAESGCM16, Bits: 128, PRF: bogus.PRFSHA256, KE: bogus.KEMODP4096}} {
		p := w.Peer(func(c *bogus.Config) { c.IKE = s })
		templates = append(templates, initBytes(t, p))
		w.Leave(p)
	}
	before := w.D.Stats()
	random := rand.New(rand.NewPCG(5, 9))
	send := func(n int) {
		for i := range n {
			b := templates[i%len(templates)]
			binary.BigEndian.PutUint64(b, random.Uint64()|1)
			crowd.Send(random.IntN(sources), w.IKE, b)
			if i%64 == 63 {
				w.Settle()
			}
		}
	}
	send(400)
	switched := w.D.Stats()
	if half := switched.HalfOpen; half > cookieTotal+cookieSlack {
		t.Errorf("%d half-open IKE SAs of sources that proved nothing, expected at most %d", half, cookieTotal)
	}
	if switched.KeyExchanges == before.KeyExchanges {
		t.Error("no key exchange was counted before the switch: this case counts nothing")
	}
	send(messages)
	after := w.D.Stats()
	if n := after.KeyExchanges - switched.KeyExchanges; n != 0 {
		t.Errorf("%d key exchanges for sources that proved nothing, once cookies were asked for", n)
	}
	if n := after.HalfOpen - switched.HalfOpen; n > 0 {
		t.Errorf("%d IKE SAs for sources that proved nothing, once cookies were asked for", n)
	}
	t.Logf("%d key exchanges before the switch, %d half-open", switched.KeyExchanges-before.KeyExchanges, switched.HalfOpen)
	honest(t, w, 20)
	// A flood of garbage from one place is no better.
	s := w.Stranger("127.0.0.9")
	for i := range 2000 {
		b := make([]byte, 28+random.IntN(200))
		for k := range b {
			b[k] = byte(random.Uint32())
		}
		s.Send(w.NATT, b)
		if i%100 == 99 {
			w.Settle()
		}
	}
	honest(t, w, 3)
}

// honest has n peers log in, each within the time of the oracle.
func honest(t *testing.T, w *World, n int) {
	t.Helper()
	for i := range n {
		p := w.Peer(func(c *bogus.Config) {
			c.ID, c.Timeout, c.Repeat = bogus.FQDN(fmt.Sprintf("honest%d.example", i)), legitimateLimit, legitimateLimit/4
		})
		begin := time.Now()
		if err := p.Connect(); err != nil {
			t.Errorf("honest peer %d during the flood: %v", i, err)
		}
		if took := time.Since(begin); took > legitimateLimit {
			t.Errorf("honest peer %d needed %s", i, took)
		}
		w.Leave(p)
	}
}

// TestT061_Amplification: what a forged source can have sent to its victim, in datagrams and octets.
func TestT061_Amplification(t *testing.T) {
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 10 * time.Second }})
	defer w.Forget()
	p := w.Peer(nil)
	ratio := func(name string, limit float64, send func(*Crowd)) {
		t.Helper()
		c := w.Crowd()
		send(c)
		for from, list := range c.Answers() {
			if len(list) > 1 && c.Sent <= len(list) {
				t.Errorf("%s: %d answers to %s", name, len(list), from)
			}
		}
		r := float64(c.GotOctets) / float64(c.SentOctets)
		t.Logf("%s: %d datagrams, %d octets in; %d, %d out (%.2f)", name, c.Sent, c.SentOctets, c.Got, c.GotOctets, r)
		if c.Got > c.Sent {
			t.Errorf("%s: %d answers to %d datagrams", name, c.Got, c.Sent)
		}
		if r > limit {
			t.Errorf("%s: %.2f octets out for one in, expected at most %.2f", name, r, limit)
		}
	}
	ratio("IKE_SA_INIT", 1.5, func(c *Crowd) {
		for i := range 30 {
			c.Send(i, w.IKE, initBytes(t, p))
		}
	})
	ratio("INVALID_KE_PAYLOAD", 1, func(c *Crowd) {
		for i := range 20 {
			c.Send(i, w.IKE, initBytes(t, p, func(m *bogus.Message) { *m.Find(bogus.PayloadKE) = bogus.KE(bogus.KEP256, make([]byte, 64)) }))
		}
	})
	ratio("NO_PROPOSAL_CHOSEN", 1, func(c *Crowd) {
		for i := range 20 {
			c.Send(i, w.IKE, initBytes(t, p, func(m *bogus.Message) { *m.Find(bogus.PayloadSA) = bogus.SAPayload(many(1, 4)...) }))
		}
	})
	same := initBytes(t, p)
	ratio("the same IKE_SA_INIT again and again", 1.5, func(c *Crowd) {
		for range 100 {
			c.Send(40, w.IKE, same)
		}
	})
	for i := range 200 { // cookies are asked for from here on
		c := w.Crowd()
		c.Send(100+i, w.IKE, initBytes(t, p))
		c.conn.Close()
	}
	ratio("COOKIE", 0.6, func(c *Crowd) {
		for i := range 200 {
			c.Send(500+i, w.IKE, initBytes(t, p))
		}
	})
	unsolicited(t, w, ratio)
}

// unsolicited: notifies without protection are at most ten a second in total, whatever they answer.
func unsolicited(t *testing.T, w *World, ratio func(string, float64, func(*Crowd))) {
	const limit = 10
	t.Helper()
	p := w.Peer(nil)
	begin := time.Now()
	answers := 0
	sendAll := func(name string, make func(i int) []byte) {
		ratio(name, 0.6, func(c *Crowd) {
			for i := range 300 {
				c.Send(i, w.IKE, make(i))
			}
			c.Answers()
			answers += c.Got
		})
	}
	sendAll("INVALID_MAJOR_VERSION", func(int) []byte { return initBytes(t, p, func(m *bogus.Message) { m.Version = 0x30 }) })
	unknown := func(i int) []byte {
		return initBytes(t, p, func(m *bogus.Message) { m.SPIr, m.Exchange, m.ID = uint64(i+1), bogus.Informational, 3 })
	}
	sendAll("INVALID_IKE_SPI", unknown)
	c := w.Crowd()
	for i := range 300 {
		c.Send(i, w.NATT, append([]byte{0xde, 0xad, byte(i >> 8), byte(i)}, make([]byte, 60)...))
	}
	c.Answers()
	if c.Got > 0 {
		t.Errorf("ESP of an unknown SPI was answered %d times", c.Got)
	}
	if most := limit * (2 + int(time.Since(begin)/time.Second)); answers > most {
		t.Errorf("%d notifies without protection in %s, expected at most ten a second", answers, time.Since(begin))
	}
}

// reasons are ways in which a login fails.
func reasons() map[string]bogus.Bugs {
	auth := func(edit func(*bogus.Message)) bogus.Bugs { return bogus.Bugs{Edit: bogus.On(bogus.AuthRequest, edit)} }
	first := func(edit func(*bogus.Message)) bogus.Bugs { return bogus.Bugs{Edit: bogus.On(bogus.InitRequest, edit)} }
	return map[string]bogus.Bugs{
		"no SA":          first(without(bogus.PayloadSA)),
		"no KE":          first(without(bogus.PayloadKE)),
		"two nonces":     first(twice(bogus.PayloadNonce)),
		"no proposal":    first(func(m *bogus.Message) { *m.Find(bogus.PayloadSA) = bogus.SAPayload(many(1, 4)...) }),
		"a low point":    {KE: func(g uint16, _ []byte) (uint16, []byte) { return g, make([]byte, 32) }},
		"critical":       first(func(m *bogus.Message) { m.Add(bogus.Payload{Type: 200, Flags: 0x80}) }),
		"short nonce":    {Nonce: make([]byte, 15)},
		"long nonce":     {Nonce: make([]byte, 257)},
		"wrong AUTH":     {Auth: func(a *bogus.AuthInput) { a.Data = make([]byte, 32) }},
		"short AUTH":     {Auth: func(a *bogus.AuthInput) { a.Data = []byte{1} }},
		"AUTH method 1":  {Auth: func(a *bogus.AuthInput) { a.Method = 1 }},
		"AUTH method 13": {Auth: func(a *bogus.AuthInput) { a.Method = 13 }},
		"AUTH method 14": {Auth: func(a *bogus.AuthInput) { a.Method, a.Data = 14, make([]byte, 64) }},
		"no AUTH":        auth(without(bogus.PayloadAUTH)),
		"no IDi":         auth(without(bogus.PayloadIDi)),
		"no TSi":         auth(without(bogus.PayloadTSi)),
		"wrong IDr": auth(func(m *bogus.Message) {
			m.Add(bogus.Payload{Type: bogus.PayloadIDr, Body: bogus.FQDN("other.test").Body()})
		}),
		"critical inside": auth(func(m *bogus.Message) { m.Add(bogus.Payload{Type: 200, Flags: 0x80}) }),
		"garbage inside":  {Seal: bogus.SealOn(bogus.AuthRequest, bogus.Sealing{Text: []byte{1, 2, 3, 4, 5, 6, 7}})},
	}
}

// TestT062_FailedLogins: logins that fail for twenty reasons, and logins that succeed, leave nothing: the oracle counts
// IKE SAs, children, goroutines and memory, and leases are counted here. lab/soak does many more.
func TestT062_FailedLogins(t *testing.T) {
	const each = 8
	w := Open(t, Options{})
	leased := func() int {
		n := 0
		for _, p := range w.D.Pools(false) {
			n += p.Online
		}
		return n
	}
	before := leased()
	for name, b := range reasons() {
		for range each {
			p := w.Peer(func(c *bogus.Config) { c.Bugs, c.Timeout, c.Repeat = b, 30*time.Millisecond, time.Second })
			if err := p.Connect(); err == nil {
				t.Errorf("%s: logged in", name)
			}
			w.Leave(p)
		}
	}
	for range 40 {
		w.Leave(w.Connect(nil))
	}
	w.Settle()
	Eventually(t, halfOpenLife+2*time.Second, "all leases but the tunnel's returned", func() bool { return leased() == before })
}

// TestT066_JunkAuth: IKE_AUTH with right SPIs and nothing else right, for half-open IKE SAs: they neither die nor stall.
func TestT066_JunkAuth(t *testing.T) {
	const peers, junk = 40, 25
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 6 * time.Second }})
	var list []*bogus.Peer
	for range peers {
		p := w.Peer(nil)
		if _, err := p.Init(); err != nil {
			t.Fatal(err)
		}
		p.Seen()
		list = append(list, p)
	}
	exchanges := w.D.Stats().KeyExchanges
	random := rand.New(rand.NewPCG(3, 3))
	attacker := w.Stranger("127.0.0.77")
	for range junk {
		for _, p := range list {
			m := p.Header(bogus.IKEAuth, 1, false)
			body := make([]byte, 60+random.IntN(200))
			for i := range body {
				body[i] = byte(random.Uint32())
			}
			m.Payloads = []bogus.Payload{{Type: bogus.PayloadSK, Body: body}}
			attacker.Send(w.NATT, marked(m.Append(nil)))
		}
		w.Settle()
	}
	if got := attacker.Answers(); len(got) > 0 {
		t.Errorf("junk was answered %d times", len(got))
	}
	if n := w.D.Stats().KeyExchanges - exchanges; n > 0 {
		t.Errorf("junk cost %d key exchanges", n)
	}
	for _, p := range list {
		if _, err := p.Auth(); err != nil {
			t.Fatalf("the honest IKE_AUTH afterwards: %v", err)
		}
	}
}

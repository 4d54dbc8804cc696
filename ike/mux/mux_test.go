// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package mux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
	"github.com/natterjack/natterjack/wire/isakmp"
)

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	here  = netip.MustParseAddrPort("192.0.2.1:500")
)

func newMux(l Limits) *Mux { return New(rand.NewChaCha8([32]byte{1}), l) }

// request is an IKE_SA_INIT request, with a cookie in front unless it is nil.
func request(spi uint64, cookie []byte) []byte {
	var payloads []ikev2msg.Payload
	if cookie != nil {
		payloads = append(payloads, &ikev2msg.Notify{Notify: ikev2msg.Cookie, Data: cookie})
	}
	sa := &ikev2msg.SA{Proposals: []ikev2msg.Proposal{{Number: 1, Protocol: ikev2msg.ProtoIKE, Transforms: []ikev2msg.Transform{
		{Type: ikev2msg.TransformEncr, ID: 20, KeyLen: 256}, {Type: ikev2msg.TransformPRF, ID: 5, KeyLen: -1},
		{Type: ikev2msg.TransformKE, ID: 31, KeyLen: -1}}}}}
	nonce := bytes.Repeat([]byte{byte(spi)}, 16)
	payloads = append(payloads, sa, &ikev2msg.KE{Group: 31, Data: make([]byte, 32)}, &ikev2msg.Nonce{Data: nonce})
	m := &ikev2msg.Message{Header: isakmp.Header{SPIi: spi, Major: 2, Exchange: uint8(ikev2msg.IKESAInit), Flags: isakmp.FlagInitiator},
		Payloads: payloads}
	return m.Append(nil)
}

func from(addr string, b []byte) ike.Datagram {
	return ike.Datagram{Path: ike.Path{Local: here, Remote: netip.MustParseAddrPort(addr)}, Bytes: b}
}

// reply reads an answer of one notify and checks its header against the request (RFC 7296, Section 1.5).
func reply(t *testing.T, asked []byte, d Decision) *ikev2msg.Notify {
	t.Helper()
	if d.Verdict != Reply {
		t.Fatalf("verdict %d (%s), expected a reply", d.Verdict, d.Detail)
	}
	m, err := ikev2msg.Parse(d.Reply)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := isakmp.ParseHeader(asked)
	if m.SPIi != h.SPIi || m.SPIr != h.SPIr || m.MessageID != h.MessageID || m.Exchange != h.Exchange || !m.Response() ||
		m.Major != 2 || m.Initiator() == h.Initiator() {
		t.Errorf("header %+v does not answer %+v", m.Header, h)
	}
	if len(m.Payloads) != 1 {
		t.Fatalf("%d payloads, expected 1", len(m.Payloads))
	}
	return m.Payloads[0].(*ikev2msg.Notify)
}

func cookieOf(t *testing.T, asked []byte, d Decision) []byte {
	t.Helper()
	n := reply(t, asked, d)
	if n.Notify != ikev2msg.Cookie {
		t.Fatalf("answer %s, expected COOKIE", n.Notify)
	}
	return n.Data
}

func TestFirstIsAcceptedWithoutCookie(t *testing.T) {
	m := newMux(DefaultLimits())
	d := from("198.51.100.1:500", request(7, nil))
	if got := m.First(start, d); got.Verdict != Accept {
		t.Fatalf("verdict %d: %s", got.Verdict, got.Detail)
	}
	m.Accepted(d, 42)
	if got := m.First(start, d); got.Verdict != Deliver || got.Unique != 42 {
		t.Errorf("the retransmission: %+v, expected it delivered to 42", got)
	}
	if got := m.First(start, from("198.51.100.1:501", d.Bytes)); got.Verdict != Accept {
		t.Errorf("the same SPI from another port: %+v, expected another machine", got)
	}
	m.Observe(42, ike.EventIKEUp)
	if m.HalfOpen() != 0 {
		t.Errorf("%d half-open after the SA was established", m.HalfOpen())
	}
	m.Closed(42)
	m.Closed(42)
	if len(m.known)+len(m.machines)+len(m.sources)+m.half != 0 {
		t.Errorf("state is left of a closed machine: %+v", m)
	}
}

// TestT016CookieEcho is T-016.
func TestT016CookieEcho(t *testing.T) {
	m := newMux(DefaultLimits())
	m.Strict(true)
	const peer = "198.51.100.1:500"
	plain := request(7, nil)
	cookie := cookieOf(t, plain, m.First(start, from(peer, plain)))
	if len(cookie) < 1 || len(cookie) > 64 {
		t.Fatalf("cookie of %d octets, expected 1 to 64", len(cookie))
	}
	good := request(7, cookie)
	wrong := bytes.Clone(cookie)
	wrong[5] ^= 1
	otherVersion := bytes.Clone(cookie)
	otherVersion[0]++
	changed := bytes.Clone(good)
	changed[len(changed)-1] ^= 1 // of the nonce
	for name, d := range map[string]ike.Datagram{
		"wrong":              from(peer, request(7, wrong)),
		"other secret":       from(peer, request(7, otherVersion)),
		"empty":              from(peer, request(7, []byte{})),
		"65 octets":          from(peer, request(7, append(bytes.Clone(cookie), make([]byte, 65-len(cookie))...))),
		"truncated":          from(peer, request(7, cookie[:16])),
		"other address":      from("198.51.100.2:500", good),
		"other port":         from("198.51.100.1:501", good),
		"other SPI":          from(peer, request(8, cookie)),
		"other body":         from(peer, changed),
		"the cookie is last": from(peer, cookieLast(7, cookie)),
	} {
		got := m.First(start, d)
		if got.Verdict == Accept || got.Verdict == Deliver {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := m.First(start, from(peer, good)); got.Verdict != Accept {
		t.Fatalf("the right cookie: %+v", got)
	}
	// A wrong cookie gets one that is right for the message without it, also when none is needed.
	m.Strict(false)
	for _, bad := range [][]byte{wrong, {}} {
		asked := request(9, bad)
		again := cookieOf(t, asked, m.First(start, from(peer, asked)))
		m.Strict(true)
		if got := m.First(start, from(peer, request(9, again))); got.Verdict != Accept {
			t.Errorf("the cookie that replaced a wrong one: %+v", got)
		}
		m.Strict(false)
	}
	if m.HalfOpen() != 0 || len(m.known) != 0 {
		t.Error("state was kept for somebody who was not accepted")
	}
}

func cookieLast(spi uint64, cookie []byte) []byte {
	m, _ := ikev2msg.Parse(request(spi, cookie))
	m.Payloads = append(m.Payloads[1:], m.Payloads[0])
	return m.Append(nil)
}

// The secret before the present one still verifies, older ones do not (T-016).
func TestCookieSecretsChange(t *testing.T) {
	const peer = "198.51.100.1:500"
	for _, c := range []struct {
		later time.Duration
		want  Verdict
	}{
		{0, Accept}, {cookieLife - 1, Accept}, {cookieLife, Accept}, {2*cookieLife - 1, Accept},
		{2 * cookieLife, Reply}, {time.Hour, Reply},
	} {
		for _, ticked := range []bool{false, true} {
			m := newMux(DefaultLimits())
			m.Strict(true)
			plain := request(7, nil)
			cookie := cookieOf(t, plain, m.First(start, from(peer, plain)))
			for at := start; ticked && at.Before(start.Add(c.later)); at = at.Add(time.Second) {
				m.First(at, from("203.0.113.1:1", request(1, nil)))
				m.Tick(at)
			}
			if got := m.First(start.Add(c.later), from(peer, request(7, cookie))); got.Verdict != c.want {
				t.Errorf("%s later (others asked: %t): verdict %d, expected %d", c.later, ticked, got.Verdict, c.want)
			}
		}
	}
	m := newMux(DefaultLimits())
	if !m.Deadline().IsZero() {
		t.Error("a deadline before there is a secret")
	}
	m.First(start, from(peer, request(7, nil)))
	m.First(start.Add(cookieLife), from(peer, request(7, nil)))
	if at := m.Deadline(); !at.Equal(start.Add(2 * cookieLife)) {
		t.Errorf("deadline %s, expected the end of the first secret", at)
	}
	m.Tick(m.Deadline())
	if !m.Deadline().IsZero() || m.cookies.previous != [secretLen]byte{} {
		t.Error("the secret that is over was kept")
	}
}

// TestT059Flood is T-059 as a count of work: of 20,000 first messages of 10,000 sources that never echo a cookie, those
// before the switch make machines, and none after it does; a legitimate initiator gets in with its cookie.
func TestT059Flood(t *testing.T) {
	m := newMux(DefaultLimits())
	machines, octetsIn, octetsOut := 0, 0, 0
	for i := range 20000 {
		d := from(fmt.Sprintf("10.%d.%d.9:500", i%10000/250, i%250), request(uint64(i+1), nil))
		got := m.First(start.Add(time.Duration(i)*50*time.Microsecond), d)
		switch got.Verdict {
		case Accept:
			machines++
			m.Accepted(d, uint64(i+1))
		case Reply:
			octetsIn += len(d.Bytes)
			octetsOut += len(got.Reply)
		default:
			t.Fatalf("first message %d: %+v", i, got)
		}
	}
	if machines != DefaultLimits().CookieTotal {
		t.Errorf("%d machines of unproved sources, expected %d", machines, DefaultLimits().CookieTotal)
	}
	if len(m.known) != machines || len(m.sources) > machines {
		t.Errorf("state of %d first messages and %d sources, expected %d", len(m.known), len(m.sources), machines)
	}
	// T-061: in cookie mode at most 0.6 octets go out for one that comes in.
	if ratio := float64(octetsOut) / float64(octetsIn); ratio > 0.6 {
		t.Errorf("%.2f octets out for one in, expected at most 0.6", ratio)
	}
	plain := request(1<<40, nil)
	cookie := cookieOf(t, plain, m.First(start.Add(time.Second), from("203.0.113.9:4500", plain)))
	if got := m.First(start.Add(time.Second), from("203.0.113.9:4500", request(1<<40, cookie))); got.Verdict != Accept {
		t.Errorf("a legitimate initiator with its cookie: %+v", got)
	}
}

func TestCookiesAreAskedBySource(t *testing.T) {
	for _, addr := range []string{"198.51.100.1:%d", "[2001:db8:1:2:%x::1]:500"} {
		m := newMux(DefaultLimits())
		for i := range 10 {
			d := from(fmt.Sprintf(addr, i+1), request(uint64(i+1), nil))
			if got := m.First(start, d); got.Verdict != Accept {
				t.Fatalf("first message %d: %+v", i, got)
			}
			m.Accepted(d, uint64(i+1))
		}
		d := from(fmt.Sprintf(addr, 99), request(99, nil))
		cookieOf(t, d.Bytes, m.First(start, d))
		for _, other := range []string{"198.51.100.2:500", "[2001:db8:1:3::1]:500"} {
			if got := m.First(start, from(other, request(100, nil))); got.Verdict != Accept {
				t.Errorf("another source: %+v, expected that it is not asked for a cookie", got)
			}
		}
	}
}

func TestHalfOpenLimits(t *testing.T) {
	l := DefaultLimits()
	m := newMux(l)
	m.Strict(true)
	accepted := 0
	try := func(addr string, spi uint64) Decision {
		plain := request(spi, nil)
		cookie := cookieOf(t, plain, m.First(start, from(addr, plain)))
		d := from(addr, request(spi, cookie))
		got := m.First(start, d)
		if got.Verdict == Accept {
			accepted++
			m.Accepted(d, spi)
		}
		return got
	}
	for i := range l.HalfOpenSource + 5 {
		try("198.51.100.1:500", uint64(i+1))
	}
	if accepted != l.HalfOpenSource {
		t.Errorf("%d accepted of one source, expected %d", accepted, l.HalfOpenSource)
	}
	for i := range l.HalfOpen {
		try(fmt.Sprintf("10.0.%d.%d:500", i/250, i%250), uint64(1000+i))
	}
	if accepted != l.HalfOpen || m.HalfOpen() != l.HalfOpen {
		t.Errorf("%d half-open, expected %d", accepted, l.HalfOpen)
	}
	if got := try("203.0.113.1:500", 1<<33); got.Verdict != Drop || got.Drop != ike.DropLimit {
		t.Errorf("one more: %+v, expected it dropped", got)
	}
	m.Closed(1000)
	if got := try("203.0.113.1:500", 1<<33); got.Verdict != Accept {
		t.Errorf("after one was closed: %+v", got)
	}
}

// An IKE_SA_INIT is kept by its machine: what is larger than any offer makes none.
func TestFirstMessagesAreBounded(t *testing.T) {
	of := func(n int) []byte {
		m, _ := ikev2msg.Parse(request(7, nil))
		v := &ikev2msg.Vendor{}
		m.Payloads = append(m.Payloads, v)
		v.Data = make([]byte, n-len(m.Append(nil)))
		return m.Append(nil)
	}
	for n, want := range map[int]Verdict{3000: Accept, maxInit: Accept, maxInit + 1: Drop, 60000: Drop} {
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", of(n))); got.Verdict != want {
			t.Errorf("%d octets: verdict %d, expected %d", n, got.Verdict, want)
		}
	}
}

// TestHostileHeaders is T-001, T-003 and the parts of T-061 and T-008 that concern messages without an IKE SA.
func TestHostileHeaders(t *testing.T) {
	good := request(7, nil)
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	for n := range isakmp.HeaderLen {
		for _, fill := range []byte{0, 0xff, 0x5a} {
			d := from("198.51.100.1:500", bytes.Repeat([]byte{fill}, n))
			if got := newMux(DefaultLimits()).First(start, d); got.Verdict != Drop || got.Drop != ike.DropSyntax {
				t.Errorf("%d octets: %+v", n, got)
			}
		}
	}
	for _, length := range []uint32{0, 27, uint32(len(good) - 1), uint32(len(good) + 1), 1 << 31, 1<<32 - 1} {
		b := with(func(b []byte) { binary.BigEndian.PutUint32(b[24:], length) })
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b)); got.Verdict != Drop {
			t.Errorf("length %d: %+v", length, got)
		}
	}
	for major := range 16 {
		b := with(func(b []byte) { b[17] = byte(major << 4) })
		got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b))
		switch {
		case major == 2:
			if got.Verdict != Accept {
				t.Errorf("version 2: %+v", got)
			}
		case major > 2:
			if n := reply(t, b, got); n.Notify != ikev2msg.InvalidMajorVersion || !bytes.Equal(n.Data, []byte{0x20}) {
				t.Errorf("version %d: answered by %s %x", major, n.Notify, n.Data)
			}
			b[19] |= isakmp.FlagResponse
			if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b)); got.Verdict != Drop {
				t.Errorf("a response of version %d: %+v", major, got)
			}
		default:
			if got.Verdict != Drop {
				t.Errorf("version %d: %+v", major, got)
			}
		}
	}
	// RFC 7296, Section 2.5: the minor version is ignored.
	if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", with(func(b []byte) { b[17] |= 15 }))); got.Verdict != Accept {
		t.Errorf("minor version 15: %+v", got)
	}
	for name, change := range map[string]func(b []byte){
		"response":           func(b []byte) { b[19] = isakmp.FlagResponse },
		"not the initiator":  func(b []byte) { b[19] = 0 },
		"message ID 1":       func(b []byte) { b[23] = 1 },
		"SPIi zero":          func(b []byte) { clear(b[:8]) },
		"SPIr not zero":      func(b []byte) { b[15] = 1 },
		"SPIr zero, IKEAUTH": func(b []byte) { b[18] = byte(ikev2msg.IKEAuth) },
	} {
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", with(change))); got.Verdict != Drop {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestT008CriticalPayload(t *testing.T) {
	for _, kind := range []ikev2msg.PayloadType{1, 32, 49, 255} {
		for _, critical := range []bool{true, false} {
			msg, _ := ikev2msg.Parse(request(7, nil))
			msg.Payloads = append(msg.Payloads, &ikev2msg.Unknown{Num: kind, Critical: critical, Body: []byte{1}})
			b := msg.Append(nil)
			got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b))
			if !critical {
				if got.Verdict != Accept {
					t.Errorf("payload %d, not critical: %+v", kind, got)
				}
				continue
			}
			if n := reply(t, b, got); n.Notify != ikev2msg.UnsupportedCriticalPayload || !bytes.Equal(n.Data, []byte{byte(kind)}) {
				t.Errorf("payload %d: answered by %s %x", kind, n.Notify, n.Data)
			}
		}
	}
}

// Each payload that must be there removed in turn (T-005), and every truncation (T-004): nothing is accepted or answered.
func TestT005MalformedFirst(t *testing.T) {
	good := request(7, nil)
	for i := range 3 {
		msg, _ := ikev2msg.Parse(good)
		msg.Payloads = append(msg.Payloads[:i:i], msg.Payloads[i+1:]...)
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", msg.Append(nil))); got.Verdict != Drop {
			t.Errorf("without payload %d: %+v", i, got)
		}
	}
	for n := isakmp.HeaderLen; n < len(good); n++ {
		b := bytes.Clone(good[:n])
		binary.BigEndian.PutUint32(b[24:], uint32(n))
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b)); got.Verdict != Drop {
			t.Errorf("%d of %d octets: %+v", n, len(good), got)
		}
	}
}

// TestT061UnknownSPI is T-061 and T-075 for INVALID_IKE_SPI: at most ten a second, never for a response, and never
// more octets than came.
func TestT061UnknownSPI(t *testing.T) {
	m := newMux(DefaultLimits())
	h := isakmp.Header{SPIi: 5, SPIr: 6, Major: 2, Exchange: uint8(ikev2msg.Informational), Flags: isakmp.FlagInitiator, MessageID: 3,
		Length: 80, NextPayload: 46}
	asked := append(h.Append(nil), make([]byte, 52)...)
	if n := reply(t, asked, m.First(start, from("198.51.100.1:500", asked))); n.Notify != ikev2msg.InvalidIKESPI {
		t.Errorf("answered by %s", n.Notify)
	}
	replies, in, out := 0, 0, 0
	for i := range 60000 {
		got := m.First(start.Add(time.Duration(i)*time.Millisecond), from("198.51.100.1:500", asked))
		in += len(asked)
		if got.Verdict == Reply {
			replies++
			out += len(got.Reply)
		}
	}
	if replies > 61*10 || replies < 59*10 {
		t.Errorf("%d answers in 60 s, expected about 10 a second", replies)
	}
	if float64(out) > 0.6*float64(in) {
		t.Errorf("%d octets out for %d in", out, in)
	}
	h.Flags = isakmp.FlagResponse
	answer := append(h.Append(nil), make([]byte, 52)...)
	h.Flags, h.Length = isakmp.FlagInitiator, isakmp.HeaderLen
	for name, b := range map[string][]byte{"a response": answer, "a short request": h.Append(nil)} {
		if got := newMux(DefaultLimits()).First(start, from("198.51.100.1:500", b)); got.Verdict != Drop {
			t.Errorf("%s was answered: %+v", name, got)
		}
	}
}

func TestShare(t *testing.T) {
	got := DefaultLimits().Share(8)
	want := Limits{CookieTotal: 13, CookieSource: 2, HalfOpen: 125, HalfOpenSource: 25, Notifies: 1.25}
	if got != want {
		t.Errorf("an eighth is %+v, expected %+v", got, want)
	}
	if DefaultLimits().Share(1) != DefaultLimits() {
		t.Error("the only shard has not the whole")
	}
}

func FuzzFirst(f *testing.F) {
	f.Add(request(7, nil))
	f.Add(request(7, make([]byte, 17)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMux(DefaultLimits())
		m.Strict(true)
		d := from("198.51.100.1:500", b)
		got := m.First(start, d)
		if got.Verdict == Accept || got.Verdict == Deliver {
			t.Fatalf("accepted without a cookie: %+v", got)
		}
		if got.Verdict == Reply && len(got.Reply) > len(b) {
			t.Fatalf("%d octets out for %d in", len(got.Reply), len(b))
		}
	})
}

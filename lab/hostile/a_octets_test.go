// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: sizes, lengths, versions, bit flips (T-001 to T-004).

package hostile

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// initBytes is a new IKE_SA_INIT request, after edits.
func initBytes(t testing.TB, p *bogus.Peer, edits ...func(*bogus.Message)) []byte {
	t.Helper()
	m, err := p.InitMessage()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		e(m)
	}
	return m.Append(nil)
}

// marked puts the non-ESP marker in front.
func marked(b []byte) []byte { return append(make([]byte, 4), b...) }

// TestT001_Sizes: datagrams that are too short for anything, in every length and three fills, on both ports.
func TestT001_Sizes(t *testing.T) {
	w := Open(t, Options{})
	s := w.Stranger("127.0.0.2")
	random := rand.NewChaCha8([32]byte{1})
	for n := range 32 {
		junk := make([]byte, n)
		random.Read(junk)
		for _, b := range [][]byte{make([]byte, n), bytes.Repeat([]byte{0xff}, n), junk} {
			if n < 28 {
				s.Send(w.IKE, b)
			}
			s.Send(w.NATT, b)
		}
	}
	w.Settle()
	if got := s.Answers(); len(got) > 0 {
		t.Errorf("answered %d times: %x", len(got), got[0])
	}
}

// TestT002_PayloadLengths: a payload that says it is 0 to 3 octets long, at every place of a chain, in clear and sealed.
func TestT002_PayloadLengths(t *testing.T) {
	w := Open(t, Options{})
	p := w.Peer(nil)
	crowd := w.Crowd()
	n := 0
	for at := range 7 {
		for length := range uint16(4) {
			b := initBytes(t, p, func(m *bogus.Message) { m.Payloads[at].Lie, m.Payloads[at].Claim = true, length })
			crowd.Send(n, w.IKE, b)
			n++
		}
	}
	if got := crowd.Answers(); len(got) > 0 {
		t.Errorf("IKE_SA_INIT with such a payload was answered: %x", got)
	}
	if half := w.D.Stats().HalfOpen; half > 0 {
		t.Errorf("%d IKE SAs of malformed requests", half)
	}
	up := w.Connect(nil)
	for at := range 3 {
		for length := range uint16(4) {
			list := []bogus.Payload{bogus.N(40000, 1), bogus.N(40001, 2, 3), bogus.N(40002)}
			list[at].Lie, list[at].Claim = true, length
			refusedSyntax(t, up, bogus.InfoRequest, bogus.Informational, list...)
		}
	}
	if err := up.Ping(); err != nil {
		t.Errorf("the IKE SA of a peer that cannot spell: %v", err)
	}
}

// refusedSyntax sends a sealed request that must be answered INVALID_SYNTAX (RFC 7296, Section 2.21.3).
func refusedSyntax(t testing.TB, p *bogus.Peer, s bogus.Step, exchange uint8, list ...bogus.Payload) {
	t.Helper()
	got, err := p.Exchange(s, exchange, list...)
	switch {
	case err != nil:
		t.Errorf("exchange %d: %v, expected INVALID_SYNTAX", exchange, err)
	case !got.Sealed || got.Error() != bogus.InvalidSyntax:
		t.Errorf("exchange %d: %v, expected INVALID_SYNTAX under protection", exchange, got)
	}
}

// TestT003_HeaderLengthAndVersion: lengths that are not the datagram's, and every version.
func TestT003_HeaderLengthAndVersion(t *testing.T) {
	w := Open(t, Options{})
	p := w.Peer(nil)
	crowd := w.Crowd()
	n := 0
	for _, delta := range []func(int) uint32{
		func(int) uint32 { return 0 }, func(int) uint32 { return 27 }, func(l int) uint32 { return uint32(l - 1) },
		func(l int) uint32 { return uint32(l + 1) }, func(int) uint32 { return 1 << 31 }, func(int) uint32 { return 1<<32 - 1 },
	} {
		b := initBytes(t, p)
		binary.BigEndian.PutUint32(b[24:], delta(len(b)))
		for _, to := range []netip.AddrPort{w.IKE, w.NATT} {
			d := b
			if to == w.NATT {
				d = marked(b)
			}
			crowd.Send(n, to, d)
			n++
		}
	}
	if got := crowd.Answers(); len(got) > 0 {
		t.Errorf("a header that lies about its length was answered: %x", got)
	}
	for major := range byte(16) {
		for _, response := range []byte{0, bogus.FlagResponse} {
			if major == 2 && response == 0 {
				continue
			}
			crowd.Send(n, w.IKE, initBytes(t, p, func(m *bogus.Message) { m.Version, m.Flags = major<<4, m.Flags|response }))
			n++
		}
	}
	versions := 0
	for _, list := range crowd.Answers() {
		for _, b := range list {
			m, err := answer(b)
			if err != nil || m.Error() != bogus.InvalidMajorVersion || m.Version != 0x20 {
				t.Errorf("a wrong version was answered with %x", b)
			}
			versions++
		}
	}
	// 13 requests have a higher version; the limiter lets ten a second through.
	if versions == 0 || versions > 13 {
		t.Errorf("INVALID_MAJOR_VERSION %d times, expected 1 to 13", versions)
	}
	// RFC 7296, Section 2.5: the minor version is ignored.
	minor := w.Peer(func(c *bogus.Config) {
		c.Bugs.Edit = func(_ bogus.Step, m *bogus.Message) { m.Version = 0x2f }
	})
	if err := minor.Connect(); err != nil {
		t.Errorf("minor version 15: %v", err)
	}
}

// TestT004_SealedMutations: a sealed message with any bit changed or cut anywhere is met with silence, and the IKE SA does
// not notice.
func TestT004_SealedMutations(t *testing.T) {
	w := Open(t, Options{})
	for name, begin := range map[string]func() (*bogus.Peer, []byte){
		"IKE_AUTH": func() (*bogus.Peer, []byte) {
			p := w.Peer(nil)
			if _, err := p.Init(); err != nil {
				t.Fatal(err)
			}
			return p, sealed(t, p, bogus.AuthRequest, bogus.IKEAuth, p.AuthPayloads()...)
		},
		"INFORMATIONAL": func() (*bogus.Peer, []byte) {
			p := w.Connect(nil)
			return p, sealed(t, p, bogus.InfoRequest, bogus.Informational, bogus.Delete(bogus.ProtoIKE))
		},
		"CREATE_CHILD_SA": func() (*bogus.Peer, []byte) {
			p := w.Connect(nil)
			return p, sealed(t, p, bogus.ChildRequest, bogus.CreateChildSA, bogus.Nonce(make([]byte, 32)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, good := begin()
			p.Seen()
			for bit := 8 * 16; bit < 8*len(good); bit++ { // the SPIs are another message's when they change
				b := slices.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				p.SendRaw(true, marked(b))
			}
			for n := range good {
				p.SendRaw(true, marked(good[:n]))
				if n >= bogus.HeaderLen {
					b := slices.Clone(good[:n])
					binary.BigEndian.PutUint32(b[24:], uint32(n))
					p.SendRaw(true, marked(b))
				}
			}
			w.Settle()
			for _, m := range p.Seen() {
				// Another version, or an SPI that the initiator flag makes another one, may be answered without protection
				// (RFC 7296, Sections 1.5 and 2.5); nothing else may.
				if e := m.Error(); m.Sealed || e != bogus.InvalidMajorVersion && e != bogus.InvalidIKESPI {
					t.Errorf("a mutation was answered with %v", m)
				}
			}
			finish(t, p, name)
		})
	}
}

// sealed makes a sealed request of the current SA without sending it.
func sealed(t testing.TB, p *bogus.Peer, s bogus.Step, exchange uint8, list ...bogus.Payload) []byte {
	t.Helper()
	p.SetBugs(bogus.Bugs{Wire: func(bogus.Step, [][]byte) [][]byte { return nil }})
	defer p.SetBugs(bogus.Bugs{})
	var got []byte
	p.SetBugs(bogus.Bugs{Wire: func(_ bogus.Step, d [][]byte) [][]byte {
		got = d[0]
		return nil
	}})
	if _, err := p.Post(s, exchange, list...); err != nil {
		t.Fatal(err)
	}
	return got
}

// finish goes on where a mutation changed nothing.
func finish(t testing.TB, p *bogus.Peer, name string) {
	t.Helper()
	if name == "IKE_AUTH" {
		if _, err := p.Auth(); err != nil {
			t.Errorf("the honest IKE_AUTH afterwards: %v", err)
		}
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA afterwards: %v", err)
	}
}

// TestT004_FirstMessageMutations: every bit of an IKE_SA_INIT request flipped, every truncation, every 16-bit length set to
// 0, 1 and the maximum, and orders of payloads. What is answered is a whole response, a notify, or nothing; the length of
// an answer says nothing about memory.
func TestT004_FirstMessageMutations(t *testing.T) {
	const batch = 80 // below the number of half-open IKE SAs from which cookies are asked for
	w := Open(t, Options{Daemon: func(o *daemon.Options) { o.HalfOpenLife = 10 * time.Second }})
	p := w.Peer(nil)
	good := initBytes(t, p)
	crowd := w.Crowd()
	lengths := map[int]int{} // of whole responses
	check := func() {
		for _, list := range crowd.Answers() {
			if len(list) > 1 {
				t.Errorf("%d answers to one datagram", len(list))
			}
			m, err := answer(list[0])
			switch {
			case err != nil || !m.Response():
				t.Errorf("answered with %x", list[0])
			case m.Find(bogus.PayloadSA) != nil:
				lengths[len(list[0])]++
			case len(m.Payloads) != 1 || m.Payloads[0].Type != bogus.PayloadNotify || len(list[0]) > 100:
				t.Errorf("answered with %v", m)
			}
		}
		w.Forget()
		Eventually(t, 5*time.Second, "half-open IKE SAs gone", func() bool { return w.D.Stats().HalfOpen == 0 })
	}
	n := 0
	for _, b := range mutations(t, p, good) {
		crowd.Send(n, w.IKE, b)
		if n++; n%batch == 0 {
			check()
		}
	}
	check()
	// Without the fragmentation notify, or with fewer, a response may be shorter: what matters is that there are few lengths.
	if len(lengths) == 0 || len(lengths) > 4 {
		t.Errorf("whole responses have %d lengths: %v", len(lengths), lengths)
	}
	t.Logf("%d mutations, whole responses by length: %v", n, lengths)
}

// mutations are those of a first message.
func mutations(t testing.TB, p *bogus.Peer, good []byte) [][]byte {
	var list [][]byte
	add := func(change func(b []byte)) {
		b := slices.Clone(good)
		change(b)
		list = append(list, b)
	}
	for at := range good {
		add(func(b []byte) { b[at] ^= 1 << (at % 8) })
		if at >= bogus.HeaderLen+100 {
			continue // the rest is key, nonce and hashes, of which every octet is like the other
		}
		for bit := range 8 {
			add(func(b []byte) { b[at] ^= 1 << bit })
		}
	}
	for n := bogus.HeaderLen; n < len(good); n++ {
		b := slices.Clone(good[:n])
		binary.BigEndian.PutUint32(b[24:], uint32(n))
		list = append(list, b)
	}
	for at := bogus.HeaderLen + 2; at+2 <= len(good); at += 4 {
		for _, v := range []uint16{0, 1, 0xffff} {
			add(func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) })
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		list = append(list, initBytes(t, p, func(m *bogus.Message) {
			random.Shuffle(len(m.Payloads), func(i, j int) { m.Payloads[i], m.Payloads[j] = m.Payloads[j], m.Payloads[i] })
		}))
	}
	return list
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package bogus

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// pair is an initiator and a responder on loopback.
func pair(t *testing.T, change func(i, r *Config)) (i, r *Peer) {
	t.Helper()
	rc := Config{ID: FQDN("r"), PSK: []byte("swordfish"), Responder: true, TSi: []Selector{Net("10.1.0.0/24")}, TSr: []Selector{Net("10.2.0.0/24")},
		GiveAddress: netip.MustParseAddr("10.1.0.7")}
	ic := Config{ID: FQDN("i"), PSK: rc.PSK, TSi: rc.TSi, TSr: rc.TSr, AskAddress: true, Timeout: 2 * time.Second}
	if change != nil {
		change(&ic, &rc)
	}
	r, err := New(rc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	ic.Remote, ic.RemoteNATT = r.IKEAddr(), r.NATTAddr()
	if i, err = New(ic); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i, r
}

// through sends one inner packet each way.
func through(t *testing.T, i, r *Peer) {
	t.Helper()
	for n, ends := range [][2]*Peer{{i, r}, {r, i}} {
		text := fmt.Appendf(nil, "packet %d", n)
		inner := UDP(netip.MustParseAddrPort("10.1.0.7:1"), netip.MustParseAddrPort("10.2.0.1:2"), text)
		if err := ends[0].SendInner(inner); err != nil {
			t.Fatal(err)
		}
		got, ok := ends[1].Inner(2 * time.Second)
		if !ok || !bytes.Equal(got, inner) {
			t.Fatalf("direction %d: got %x, expected %x", n, got, inner)
		}
	}
}

func TestEverySuite(t *testing.T) {
	suites := map[string]Suite{"gcm128": GCM128(), "gcm256": GCM256(), "cbc256": CBC256(),
		"cbc128-sha1-modp2048": {EncrAESCBC, 128, IntegSHA1, PRFSHA1, KEMODP2048}, "chacha-p256": {EncrChaCha, 0, 0, PRFSHA384, KEP256},
		"cbc192-sha512-p384": {EncrAESCBC, 192, IntegSHA512, PRFSHA512, KEP384}, "cbc256-sha384-modp3072": {EncrAESCBC, 256, IntegSHA384, PRFSHA256, KEMODP3072},
		"gcm192-modp4096": {EncrAESGCM16, 192, 0, PRFSHA256, KEMODP4096},
	}
	for name, s := range suites {
		t.Run(name, func(t *testing.T) {
			i, r := pair(t, func(i, r *Config) {
				i.IKE, r.IKE = s, s
				i.ESP, r.ESP = s, s
			})
			if err := i.Connect(); err != nil {
				t.Fatal(err)
			}
			if i.Address() != netip.MustParseAddr("10.1.0.7") {
				t.Errorf("inner address %v", i.Address())
			}
			through(t, i, r)
			if _, err := i.RekeyChild(); err != nil {
				t.Fatal(err)
			}
			through(t, i, r)
			if err := i.RekeyIKE(); err != nil {
				t.Fatal(err)
			}
			if err := i.Ping(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.RekeyChild(); err != nil {
				t.Fatal(err)
			}
			through(t, i, r)
			if err := r.RekeyIKE(); err != nil {
				t.Fatal(err)
			}
			through(t, i, r)
			if err := i.DeleteIKE(); err != nil {
				t.Fatal(err)
			}
			if len(r.Children()) != 0 {
				t.Error("children outlived their IKE SA")
			}
		})
	}
}

func TestRetries(t *testing.T) {
	i, r := pair(t, func(i, r *Config) {
		i.IKE, r.IKE = GCM128(), GCM128()
		r.IKE.KE = KEP256
		s := i.IKE.Transforms(true)
		i.Proposals = []Proposal{{Num: 1, Proto: ProtoIKE, Transforms: append(s, Transform{Type: TransformKE, ID: KEP256})}}
		r.Bugs.ForceCookie = 2
		r.Bugs.FragmentSize, i.Bugs.FragmentSize = 50, 40
	})
	if err := i.Connect(); err != nil {
		t.Fatal(err)
	}
	through(t, i, r)
}

// Each bug is seen by a peer that has none.
func TestBugsAreSeen(t *testing.T) {
	for name, b := range map[string]Bugs{
		"wrong AUTH":       {Auth: func(a *AuthInput) { a.Data = make([]byte, 32) }},
		"wrong PSK":        {Auth: func(a *AuthInput) { a.PSK = []byte("x") }},
		"on-path edit":     {Wire: flip},
		"bad ICV":          {Seal: SealOn(AuthRequest, Sealing{FlipICV: true})},
		"bad text":         {Seal: SealOn(AuthRequest, Sealing{FlipText: true})},
		"pad length":       {Seal: SealOn(AuthRequest, Sealing{PadLen: new(byte(255)), Text: []byte{1}})},
		"no AUTH":          {Edit: Omit(AuthRequest, PayloadAUTH)},
		"no SA":            {Edit: Omit(InitRequest, PayloadSA)},
		"in clear":         {Seal: SealOn(AuthRequest, Sealing{Clear: true})},
		"not last":         {Seal: SealOn(AuthRequest, Sealing{After: []Payload{N(1)}})},
		"other secret":     {Shared: func(b []byte) []byte { return make([]byte, len(b)) }},
		"fragment 0 of 0":  {FragmentSize: 60, Seal: func(_ Step, o *Sealing) { o.Number = func(i, n int) (uint16, uint16, uint8) { return 0, 0, 35 } }},
		"wrong message ID": {Edit: On(AuthRequest, func(m *Message) { m.ID = 7 })},
	} {
		t.Run(name, func(t *testing.T) {
			i, _ := pair(t, func(i, r *Config) { i.Bugs, i.Timeout, i.Repeat = b, 150*time.Millisecond, time.Second })
			if err := i.Connect(); err == nil {
				t.Error("connected")
			}
		})
	}
}

// flip changes the last octet of IKE_SA_INIT on its way.
func flip(s Step, d [][]byte) [][]byte {
	if s == InitRequest {
		d[0][len(d[0])-1] ^= 1
	}
	return d
}

func TestESPBugs(t *testing.T) {
	i, r := pair(t, nil)
	if err := i.Connect(); err != nil {
		t.Fatal(err)
	}
	good := UDP(netip.MustParseAddrPort("10.1.0.7:1"), netip.MustParseAddrPort("10.2.0.1:2"), []byte("x"))
	for name, change := range map[string]func(*Packet){
		"flip": func(k *Packet) { k.FlipICV = true }, "zero": func(k *Packet) { k.ZeroICV = true }, "SPI": func(k *Packet) { k.SPI++ },
		"cut": func(k *Packet) { k.Cut = new(20) }, "pad length": func(k *Packet) { k.PadLen = new(byte(200)) }, "dummy": func(k *Packet) { k.Next = NextDummy },
	} {
		k := i.Packet(i.Child(), good)
		change(k)
		if _, err := i.SendPacket(i.Child(), k); err != nil {
			t.Fatal(err)
		}
		through(t, i, r)
		if n := r.Drain(); n != 0 {
			t.Errorf("%s: %d packets more than sent", name, n)
		}
	}
	if r.BadESP.Load() != 5 {
		t.Errorf("%d packets were bad, expected 5", r.BadESP.Load())
	}
}

func TestNoAnswer(t *testing.T) {
	i, _ := pair(t, func(i, r *Config) { r.Responder, i.Timeout = false, 50*time.Millisecond })
	if err := i.Connect(); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

// RFC 3526, Section 3: the first and last words of the 2048-bit prime; all are primes.
func TestPrimes(t *testing.T) {
	for group, bits := range map[uint16]int{KEMODP2048: 2048, KEMODP3072: 3072, KEMODP4096: 4096} {
		p := Prime(group)
		if p.BitLen() != bits || !p.ProbablyPrime(1) {
			t.Errorf("group %d: %d bits, or no prime", group, p.BitLen())
		}
		if h := hex.EncodeToString(p.Bytes()); !strings.HasPrefix(h, "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1") {
			t.Errorf("group %d begins with %s", group, h[:48])
		}
	}
	if h := hex.EncodeToString(Prime(KEMODP2048).Bytes()); !strings.HasSuffix(h, "15728e5a8aacaa68ffffffffffffffff") {
		t.Errorf("group 14 ends with %s", h[len(h)-32:])
	}
}

func TestCodec(t *testing.T) {
	m := &Message{SPIi: 1, SPIr: 2, Version: 0x20, Exchange: 37, Flags: 8, ID: 3}
	m.Add(N(16388, 1, 2, 3), SAPayload(Proposal{Num: 1, Proto: 1, Transforms: GCM128().Transforms(true)}), TS(PayloadTSi, Net("10.0.0.0/9"), Net("2001:db8::/33")))
	b := m.Append(nil)
	got, _, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := got.Append(nil); !bytes.Equal(again, b) {
		t.Errorf("written again: %x, expected %x", again, b)
	}
	ts, err := ParseTS(got.Find(PayloadTSi).Body)
	if err != nil || ts[0].To.String() != "10.127.255.255" || ts[1].To.String() != "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff" {
		t.Errorf("TS %v, %v", ts, err)
	}
	for n := range b {
		cut := bytes.Clone(b[:n])
		if n >= HeaderLen {
			binary.BigEndian.PutUint32(cut[24:], uint32(n))
		}
		if m, _, err := Parse(cut); err == nil && len(m.Payloads) == 3 {
			t.Errorf("%d octets of %d were a message", n, len(b))
		}
	}
}

// The peer must not share a mistake with the product.
func TestSharesNothing(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if strings.Contains(i.Path.Value, "natterjack") {
				t.Errorf("%s imports %s", f.Name(), i.Path.Value)
			}
		}
	}
}

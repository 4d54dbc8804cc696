// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

type nistCase struct {
	method, hash string
	values       map[string]string
}

func nistCases(t *testing.T) []nistCase {
	t.Helper()
	text, err := os.ReadFile("testdata/nist-ikev1.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []nistCase
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case f[0] == "psk" || f[0] == "dsa":
			list = append(list, nistCase{f[0], f[1], map[string]string{}})
		default:
			list[len(list)-1].values[f[0]] = f[1]
		}
	}
	return list
}

// TestNIST is NIST's vectors of the key derivation, of each hash with a pre-shared key and with signatures. (MD5 is not among what NIST
// approves: TestScheduleByHand has it.)
func TestNIST(t *testing.T) {
	seen := map[string]int{}
	for _, c := range nistCases(t) {
		s := Suite{Encr: suite.EncrAESCBC, EncrBits: 128, Auth: ikev1msg.AuthPSK}
		if c.method == "dsa" {
			s.Auth = ikev1msg.AuthRSA
		}
		for h := ikev1msg.HashMD5; h <= ikev1msg.HashSHA512; h++ {
			if h.String() == c.hash {
				s.Hash, _ = hashOf(h)
			}
		}
		at := func(name string) []byte { return unhex(t, c.values[name]) }
		x := phase1{ni: at("Ni"), nr: at("Nr"), ckyI: binary.BigEndian.Uint64(at("CKY-I")), ckyR: binary.BigEndian.Uint64(at("CKY-R"))}
		k, err := deriveKeys(s, secret.New(at("key")), secret.New(at("gxy")), &x)
		if err != nil {
			t.Fatal(c.method, c.hash, err)
		}
		for name, k := range map[string]secret.Key{"SKEYID": k.skeyid, "SKEYID_d": k.skeyidD, "SKEYID_a": k.skeyidA, "SKEYID_e": k.skeyidE} {
			if hex.EncodeToString(k.Bytes()) != c.values[name] || k.Len() != s.Hash.Size() {
				t.Errorf("%s %s: %s differs", c.method, c.hash, name)
			}
		}
		seen[c.method]++
	}
	if seen["psk"] != 4 || seen["dsa"] != 4 {
		t.Errorf("%v cases, expected SHA-1 and the three SHA-2 of each method", seen)
	}
}

// TestScheduleByHand writes RFC 2409, Section 5 and Appendix B, down as it stands, of HMAC-MD5 with 3DES: SKEYID_e is too short for
// the cipher's key.
func TestScheduleByHand(t *testing.T) {
	prf := func(key []byte, parts ...[]byte) []byte {
		m := hmac.New(md5.New, key)
		m.Write(slices.Concat(parts...))
		return m.Sum(nil)
	}
	s := Suite{Encr: suite.Encr3DESCBC, Hash: suite.PRFHMACMD5, KE: suite.KEMODP1024, Auth: ikev1msg.AuthXAUTHInitPSK}
	x := samplePhase1()
	psk, gxy := []byte("group secret"), bytes.Repeat([]byte{0xcd}, 128)
	cky := unhex(t, "00112233445566778899aabbccddeeff")
	skeyid := prf(psk, x.ni, x.nr)
	d := prf(skeyid, gxy, cky, []byte{0})
	a := prf(skeyid, d, gxy, cky, []byte{1})
	e := prf(skeyid, a, gxy, cky, []byte{2})
	k1 := prf(e, []byte{0})
	ka := slices.Concat(k1, prf(e, k1))[:24]
	k, err := deriveKeys(s, secret.New(psk), secret.New(gxy), x)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		got  secret.Key
		want []byte
	}{{k.skeyid, skeyid}, {k.skeyidD, d}, {k.skeyidA, a}, {k.skeyidE, e}, {k.ka, ka}} {
		if !bytes.Equal(c.got.Bytes(), c.want) {
			t.Errorf("secret %d differs", i)
		}
	}
	digest := md5.Sum(slices.Concat(x.gxi, x.gxr))
	c := newChain(s, &k, x)
	if !bytes.Equal(c.last(), digest[:8]) {
		t.Error("the first IV differs")
	}
	digest = md5.Sum(append(digest[:8:8], 0xde, 0xad, 0xbe, 0xef))
	if e, err := c.exchange(0xdeadbeef); err != nil || !bytes.Equal(e.last(), digest[:8]) {
		t.Error("the first IV of an exchange differs", err)
	}
	id := []byte{11, 0, 0, 0, 'n', 'a', 'm', 'e'}
	if got, want := k.hash(s, x, true, id), prf(skeyid, x.gxi, x.gxr, cky, x.saI, id); !bytes.Equal(got, want) {
		t.Error("HASH_I differs")
	}
	if got, want := k.hash(s, x, false, id), prf(skeyid, x.gxr, x.gxi, cky[8:], cky[:8], x.saI, id); !bytes.Equal(got, want) {
		t.Error("HASH_R differs")
	}
	mid, rest := []byte{1, 2, 3, 4}, []byte("payloads")
	for i, c := range []struct {
		got  covered
		want []byte
	}{
		{first(0x01020304), prf(a, mid, rest)},
		{second(0x01020304, x.ni), prf(a, mid, x.ni, rest)},
		{third(0x01020304, x.ni, x.nr), prf(a, []byte{0}, mid, x.ni, x.nr)},
	} {
		if !bytes.Equal(k.hashOver(s.Hash, c.got, rest), c.want) {
			t.Errorf("HASH(%d) differs", i+1)
		}
	}
	k.wipe()
	if !k.skeyid.Equal(secret.New(make([]byte, 16))) || !k.ka.Equal(secret.New(make([]byte, 24))) {
		t.Error("wiped keys have octets")
	}
}

func samplePhase1() *phase1 {
	return &phase1{
		ckyI: 0x0011223344556677, ckyR: 0x8899aabbccddeeff, ni: bytes.Repeat([]byte{1}, 20), nr: bytes.Repeat([]byte{2}, 32),
		gxi: bytes.Repeat([]byte{3}, 128), gxr: bytes.Repeat([]byte{4}, 128), saI: []byte("every proposal"),
	}
}

// TestKeymat writes RFC 2409, Section 5.5, down as it stands: each SA from the SPI that its receiver chose, as often expanded as the
// suite needs, with the shared secret of PFS in front of the protocol, and not there without it.
func TestKeymat(t *testing.T) {
	prf := func(parts ...[]byte) []byte {
		m := hmac.New(sha1.New, []byte("SKEYID_d"))
		m.Write(slices.Concat(parts...))
		return m.Sum(nil)
	}
	for _, c := range []struct {
		esp    suite.ESP
		proto  ikev1msg.Protocol
		shared []byte
	}{
		{suite.ESP{Encr: suite.Encr3DESCBC, Integ: suite.IntegHMACMD596}, ikev1msg.ProtoESP, nil},
		{suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegHMACSHA2512256}, ikev1msg.ProtoESP, bytes.Repeat([]byte{5}, 128)},
		{suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, ikev1msg.ProtoESP, bytes.Repeat([]byte{6}, 32)},
		{suite.ESP{Integ: suite.IntegHMACSHA196}, ikev1msg.ProtoAH, nil},
	} {
		x := child{protocol: c.proto, suite: c.esp, shared: secret.New(c.shared), spiI: 0x11111111, spiR: 0x22222222, ni: []byte("nonce of i"), nr: []byte("nonce of r")}
		k := deriveChild(suite.PRFHMACSHA1, secret.New([]byte("SKEYID_d")), &x)
		e, i := c.esp.KeyLens()
		for _, side := range []struct {
			spi         byte
			encr, integ secret.Key
		}{{0x22, k.encrI, k.integI}, {0x11, k.encrR, k.integR}} {
			spi := bytes.Repeat([]byte{side.spi}, 4)
			seed := slices.Concat(c.shared, []byte{byte(c.proto)}, spi, x.ni, x.nr)
			var all, last []byte
			for range 8 {
				last = prf(last, seed)
				all = append(all, last...)
			}
			if !bytes.Equal(side.encr.Bytes(), all[:e]) || !bytes.Equal(side.integ.Bytes(), all[e:e+i]) {
				t.Errorf("%s, SPI %x: keys differ", c.esp, spi)
			}
		}
	}
}

// TestT026NoKeysOfNothing: no PSK, nonces that RFC 2409 does not allow, no shared secret, and methods that are not there, make no keys.
func TestT026NoKeysOfNothing(t *testing.T) {
	good := Suite{Encr: suite.EncrAESCBC, EncrBits: 128, Hash: suite.PRFHMACSHA2256, KE: suite.KEMODP2048, Auth: ikev1msg.AuthPSK}
	psk, shared := secret.New([]byte("secret")), secret.New(make([]byte, 256))
	if _, err := deriveKeys(good, psk, shared, samplePhase1()); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(s *Suite, psk, shared *secret.Key, x *phase1){
		"no PSK":       func(_ *Suite, psk, _ *secret.Key, _ *phase1) { *psk = secret.Key{} },
		"empty PSK":    func(_ *Suite, psk, _ *secret.Key, _ *phase1) { *psk = secret.New(nil) },
		"no shared":    func(_ *Suite, _, shared *secret.Key, _ *phase1) { *shared = secret.Key{} },
		"no Ni":        func(_ *Suite, _, _ *secret.Key, x *phase1) { x.ni = nil },
		"short Nr":     func(_ *Suite, _, _ *secret.Key, x *phase1) { x.nr = make([]byte, 7) },
		"long Ni":      func(_ *Suite, _, _ *secret.Key, x *phase1) { x.ni = make([]byte, 257) },
		"RSA encr.":    func(s *Suite, _, _ *secret.Key, _ *phase1) { s.Auth = ikev1msg.AuthRSAEncryption },
		"no method":    func(s *Suite, _, _ *secret.Key, _ *phase1) { s.Auth = 0 },
		"DSS":          func(s *Suite, _, _ *secret.Key, _ *phase1) { s.Auth = ikev1msg.AuthDSS },
		"XAUTH no PSK": func(s *Suite, psk, _ *secret.Key, _ *phase1) { s.Auth, *psk = ikev1msg.AuthXAUTHRespPSK, secret.Key{} },
	} {
		s, p, g, x := good, psk, shared, samplePhase1()
		f(&s, &p, &g, x)
		if _, err := deriveKeys(s, p, g, x); err == nil {
			t.Errorf("%s: keys were made", name)
		}
	}
}

// TestChainedIsCleared: of the blocks that a key is cut from none is left, the first and those between as little as the last.
func TestChainedIsCleared(t *testing.T) {
	var blocks [][]byte
	room := make([]byte, 0, 64)
	got := chained(room, 33, []byte{7}, func(before []byte) []byte {
		if blocks = append(blocks, bytes.Repeat([]byte{before[0] + 1}, 16)); len(before) == 16 && before[0] == 0 {
			t.Error("cleared before the next was made of it")
		}
		return blocks[len(blocks)-1]
	})
	want := slices.Concat(bytes.Repeat([]byte{8}, 16), bytes.Repeat([]byte{9}, 16), bytes.Repeat([]byte{10}, 16))
	if !bytes.Equal(got, want) || &got[0] != &room[:1][0] {
		t.Errorf("%x", got)
	}
	for i, b := range blocks {
		if !bytes.Equal(b, make([]byte, 16)) {
			t.Errorf("block %d is left: %x", i, b)
		}
	}
}

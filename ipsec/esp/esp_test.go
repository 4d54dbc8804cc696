// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sealing and opening, against each other and against an oracle made of the standard library's primitives alone; the cases of
// HOSTILE T-080, T-082, T-084, T-089 that one direction of one SA can show.

package esp

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

const testSPI = 0xc0ffee01

func allSuites() []suite.ESP {
	integs := []suite.Integ{
		suite.IntegHMACSHA196, suite.IntegHMACSHA2256128, suite.IntegHMACSHA2384192, suite.IntegHMACSHA2512256,
		suite.IntegHMACMD596, suite.IntegHMACSHA225696, suite.IntegAESXCBC96, suite.IntegAESCMAC96,
	}
	var list []suite.ESP
	for _, esn := range []bool{false, true} {
		for _, bits := range []int{128, 192, 256} {
			for _, e := range []suite.Encr{
				suite.EncrAESGCM16, suite.EncrAESGCM12, suite.EncrAESCCM8, suite.EncrAESCCM12, suite.EncrAESCCM16, suite.EncrNullAESGMAC,
			} {
				list = append(list, suite.ESP{Encr: e, EncrBits: bits, ESN: esn})
			}
			for _, i := range integs {
				list = append(list, suite.ESP{Encr: suite.EncrAESCBC, EncrBits: bits, Integ: i, ESN: esn})
			}
			list = append(list, suite.ESP{Encr: suite.EncrAESCTR, EncrBits: bits, Integ: suite.IntegHMACSHA2256128, ESN: esn})
		}
		for _, i := range integs {
			list = append(list, suite.ESP{Encr: suite.EncrNULL, Integ: i, ESN: esn})
		}
		list = append(list, suite.ESP{Encr: suite.EncrChaCha20Poly1305, ESN: esn}, suite.ESP{Encr: suite.Encr3DESCBC, Integ: suite.IntegHMACSHA196, ESN: esn})
	}
	return list
}

// sa is both directions of one SA.
type sa struct {
	*Sealer
	*Opener
	keyE, keyA []byte
}

func newSA(t testing.TB, s suite.ESP) *sa {
	t.Helper()
	e, a := s.KeyLens()
	x := &sa{keyE: make([]byte, e), keyA: make([]byte, a)}
	rand.Read(x.keyE)
	rand.Read(x.keyA)
	ka := secret.Key{}
	if a > 0 {
		ka = secret.New(x.keyA)
	}
	var err error
	if x.Sealer, err = NewSealer(testSPI, s, secret.New(x.keyE), ka, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if x.Opener, err = NewOpener(testSPI, s, secret.New(x.keyE), ka, 64); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *sa) seal(t testing.TB, payload []byte, next uint8) []byte {
	t.Helper()
	buf := make([]byte, x.Size(len(payload)))
	copy(buf[x.Sealer.Head():], payload)
	n, err := x.Seal(buf, len(payload), next)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestT089Suites: what is on the wire is encrypted and authenticated as the suite's name says, and no bit of it can be changed.
func TestT089Suites(t *testing.T) {
	for _, s := range allSuites() {
		x := newSA(t, s)
		ivs := map[string]bool{}
		for n := range 50 {
			payload := bytes.Repeat([]byte{0x5a}, n)
			pkt := x.seal(t, payload, NextHeaderIPv4)
			if len(pkt) != x.Size(n) || len(pkt)%4 != 0 {
				t.Fatalf("%v: %d octets around %d", s, len(pkt), n)
			}
			if binary.BigEndian.Uint32(pkt) != testSPI || binary.BigEndian.Uint32(pkt[4:]) != uint32(n+1) {
				t.Fatalf("%v: header %x", s, pkt[:8])
			}
			iv := string(pkt[8:x.Sealer.Head()])
			if ivs[iv] && iv != "" {
				t.Fatalf("%v: IV %x twice", s, iv)
			}
			ivs[iv] = true
			plain := oracle(t, x, s, pkt, uint64(n+1))
			pad := int(plain[len(plain)-2])
			if !bytes.Equal(plain[:n], payload) || plain[len(plain)-1] != NextHeaderIPv4 || n+pad+2 != len(plain) {
				t.Fatalf("%v: plaintext %x", s, plain)
			}
			for i := range pad {
				if int(plain[n+i]) != i+1 {
					t.Fatalf("%v: padding %x", s, plain[n:])
				}
			}
			if n%16 == 3 { // every bit of a few packets
				for bit := range len(pkt) * 8 {
					bad := bytes.Clone(pkt)
					bad[bit/8] ^= 1 << (bit % 8)
					if _, err := x.Open(bad); err == nil {
						t.Fatalf("%v: bit %d can be changed", s, bit)
					}
				}
			}
			got, err := x.Open(pkt)
			if err != nil || !bytes.Equal(got.Payload, payload) || got.Next != NextHeaderIPv4 || !got.Newest {
				t.Fatalf("%v: %v, %x", s, err, got.Payload)
			}
		}
	}
}

// TestT080Shapes: every length, wrong padding, every next header; ICV zero. All refused without a panic; a packet that was
// authentic has moved the window.
func TestT080Shapes(t *testing.T) {
	for _, s := range allSuites() {
		x := newSA(t, s)
		for n := range x.Sealer.Head() + 40 {
			pkt := make([]byte, n)
			if n >= 8 {
				binary.BigEndian.PutUint32(pkt, testSPI)
				binary.BigEndian.PutUint32(pkt[4:], 1)
			}
			_, err := x.Open(pkt)
			least := x.Size(0)
			switch {
			case err == nil:
				t.Fatalf("%v: %d octets of zeros opened", s, n)
			case (n < least || n%4 != least%4) && err != ErrShort:
				t.Errorf("%v: %d octets: %v", s, n, err)
			}
		}
		for name, plain := range map[string][]byte{
			"pad longer than the packet": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 4},
			"pad of 255":                 {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255, 4},
			"pad octets of zero":         {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 4, 4},
			"pad octets off by one":      {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 1, 2, 3, 4, 4},
		} {
			// Seal's own padding is overruled by sealing the plaintext through the Box.
			top := x.Top()
			pkt := x.raw(t, s, plain)
			got, err := x.Open(pkt)
			if err != ErrPadding || !got.Newest || got.Payload != nil || x.Top() != top+1 {
				t.Errorf("%v: %s: %v, newest %v, window from %d to %d", s, name, err, got.Newest, top, x.Top())
			}
		}
		for _, next := range []uint8{0, NextHeaderNone, 255} {
			got, err := x.Open(x.seal(t, nil, next))
			if err != nil || got.Next != next || len(got.Payload) != 0 {
				t.Errorf("%v: next header %d: %v %+v", s, next, err, got)
			}
		}
	}
}

// raw seals exactly this plaintext, trailer included.
func (x *sa) raw(t *testing.T, s suite.ESP, plain []byte) []byte {
	t.Helper()
	ka := secret.Key{}
	if len(x.keyA) > 0 {
		ka = secret.New(x.keyA)
	}
	box, err := suite.NewBox(s.Encr, s.EncrBits, s.Integ, secret.New(x.keyE), ka)
	if err != nil {
		t.Fatal(err)
	}
	x.Sealer.seq++
	seq := x.Sealer.seq
	pkt := make([]byte, HeaderLen+box.IVLen()+len(plain)+box.ICVLen())
	binary.BigEndian.PutUint32(pkt, testSPI)
	binary.BigEndian.PutUint32(pkt[4:], uint32(seq))
	binary.BigEndian.PutUint64(pkt[8:], seq)
	copy(pkt[x.Sealer.Head():], plain)
	var aad, mac []byte
	if s.ESN {
		var b [12]byte
		binary.BigEndian.PutUint32(b[:], testSPI)
		aad, mac = extendSeq(&b, seq, box.AEAD())
	}
	box.Seal(pkt, HeaderLen, aad, mac)
	return pkt
}

// TestT082Replay: each packet once, whatever the order; a forgery does not move the window.
func TestT082Replay(t *testing.T) {
	x := newSA(t, suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128})
	var pkts [][]byte
	for range 200 {
		pkts = append(pkts, x.seal(t, []byte("packet"), NextHeaderIPv4))
	}
	forged := bytes.Clone(pkts[0])
	binary.BigEndian.PutUint32(forged[4:], 1<<31)
	if _, err := x.Open(forged); err != ErrICV || x.Top() != 0 {
		t.Errorf("forged: %v, window at %d", err, x.Top())
	}
	open := func(i int) error {
		_, err := x.Open(bytes.Clone(pkts[i]))
		return err
	}
	for i := 63; i >= 0; i-- { // reordered by W-1
		if err := open(i); err != nil {
			t.Errorf("packet %d: %v", i, err)
		}
	}
	for range 1000 {
		if err := open(0); err != ErrReplay {
			t.Fatalf("a replay: %v", err)
		}
	}
	if err := open(199); err != nil {
		t.Error(err)
	}
	if err := open(199 - 64); err != ErrReplay {
		t.Errorf("left of the window: %v", err)
	}
	if err := open(199 - 63); err != nil {
		t.Errorf("the window's left edge: %v", err)
	}
	copyOf := bytes.Clone(pkts[150])
	if err := open(150); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(copyOf, pkts[150]) {
		t.Error("the test's own packet was changed")
	}
	before := bytes.Clone(pkts[150])
	if _, err := x.Open(pkts[150]); err != ErrReplay || !bytes.Equal(before, pkts[150]) {
		t.Errorf("a replay: %v, and its buffer changed: %v", err, !bytes.Equal(before, pkts[150]))
	}
}

// TestT084Exhausted: without ESN nothing is ever sealed after 2^32-1, with ESN the high half counts on.
func TestT084Exhausted(t *testing.T) {
	x := newSA(t, suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128})
	x.Sealer.seq = 1<<32 - 3
	x.window.Commit(1<<32 - 3)
	for range 2 {
		if _, err := x.Open(x.seal(t, nil, NextHeaderNone)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	for range 10 {
		if _, err := x.Seal(buf, 0, NextHeaderNone); err != ErrExhausted || x.Seq() != 1<<32-1 {
			t.Fatalf("after the last number: %v, %d", err, x.Seq())
		}
	}
	if !bytes.Equal(buf, make([]byte, 100)) {
		t.Error("a refused packet was written")
	}

	for _, s := range allSuites() {
		if !s.ESN {
			continue
		}
		x := newSA(t, s)
		x.Sealer.seq = 1<<32 - 3
		x.window.Commit(1<<32 - 3)
		late := x.seal(t, []byte("late"), NextHeaderIPv4)
		for range 5 {
			pkt := x.seal(t, []byte("across"), NextHeaderIPv4)
			wrong := bytes.Clone(pkt)
			if _, err := x.Open(pkt); err != nil {
				t.Fatalf("%v at %#x: %v", s, x.Seq(), err)
			}
			if _, err := x.Open(wrong); err == nil {
				t.Fatalf("%v: twice", s)
			}
		}
		if got, err := x.Open(late); err != nil || got.Newest {
			t.Errorf("%v: late from the half before: %v", s, err)
		}
		x.Sealer.seq += 1 << 31 // a loss of 2^31
		if _, err := x.Open(x.seal(t, []byte("after"), NextHeaderIPv4)); err != nil {
			t.Errorf("%v after a loss of 2^31: %v", s, err)
		}
		// Wrong high bits: the same low half under the next high half is not authentic.
		x.Sealer.seq += 1 << 32
		if _, err := x.Open(x.seal(t, []byte("wrong"), NextHeaderIPv4)); err != ErrICV {
			t.Errorf("%v: wrong high bits: %v", s, err)
		}
		x.Sealer.seq = 1<<64 - 1
		if _, err := x.Seal(make([]byte, 200), 0, NextHeaderNone); err != ErrExhausted {
			t.Errorf("%v: the last extended number: %v", s, err)
		}
	}
}

func TestMaxPayload(t *testing.T) {
	for _, s := range allSuites() {
		x := newSA(t, s)
		for room := range 300 {
			n := x.MaxPayload(room)
			if n >= 0 && x.Size(n) > room || x.Size(n+1) <= room {
				t.Fatalf("%v: %d octets of payload in %d", s, n, room)
			}
		}
		if x.Size(1400)-1400 > MaxOverhead {
			t.Errorf("%v: overhead %d", s, x.Size(1400)-1400)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	gcm := suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}
	k := secret.New(make([]byte, 20))
	for spi := range uint32(256) {
		if _, err := NewSealer(spi, gcm, k, secret.Key{}, zeros{}); err == nil {
			t.Fatalf("sealer with SPI %d", spi)
		}
		if _, err := NewOpener(spi, gcm, k, secret.Key{}, 64); err == nil {
			t.Fatalf("opener with SPI %d", spi)
		}
	}
	// RFC 4303, Section 3.2: encryption without integrity is no suite.
	cbc := suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128}
	if _, err := NewSealer(testSPI, cbc, secret.New(make([]byte, 16)), secret.Key{}, zeros{}); err == nil {
		t.Error("CBC without integrity")
	}
	if _, err := NewOpener(testSPI, gcm, k, secret.Key{}, 16); err == nil {
		t.Error("a window of 16")
	}
}

func TestNoAllocation(t *testing.T) {
	for _, s := range allSuites() {
		x := newSA(t, s)
		buf := make([]byte, 2048)
		if n := testing.AllocsPerRun(50, func() {
			size, err := x.Seal(buf, 1400, NextHeaderIPv4)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Open(buf[:size]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", s, n)
		}
	}
}

// TestUnauthenticIsNotDecrypted: RFC 4303, Section 3.4.4.1: with separate algorithms the ICV comes first: nothing was decrypted.
func TestUnauthenticIsNotDecrypted(t *testing.T) {
	for _, s := range allSuites() {
		if s.Encr.AEAD() {
			continue
		}
		x := newSA(t, s)
		pkt := x.seal(t, []byte("sixteen octets.."), NextHeaderIPv4)
		pkt[len(pkt)-1] ^= 1
		before := bytes.Clone(pkt)
		if got, err := x.Open(pkt); err != ErrICV || got.Payload != nil || !bytes.Equal(before, pkt) {
			t.Errorf("%v: %v, changed %v", s, err, !bytes.Equal(before, pkt))
		}
	}
}

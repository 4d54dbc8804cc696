// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package suite

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

// TestRFC3526Primes derives the primes from the formula of RFC 3526 (and of RFC 2409, Section 6.2) with pi computed here, and checks that they are safe.
func TestRFC3526Primes(t *testing.T) {
	for _, g := range []struct {
		k    KE
		bits uint
		c    int64
	}{{KEMODP1024, 1024, 129093}, {KEMODP1536, 1536, 741804}, {KEMODP2048, 2048, 124476}, {KEMODP3072, 3072, 1690314}, {KEMODP4096, 4096, 240904}} {
		one := big.NewInt(1)
		p := new(big.Int).Lsh(one, g.bits)
		p.Sub(p, new(big.Int).Lsh(one, g.bits-64))
		p.Sub(p, one)
		x := piBits(g.bits - 130)
		x.Add(x, big.NewInt(g.c))
		p.Add(p, x.Lsh(x, 64))
		if !bytes.Equal(p.Bytes(), modpPrime(g.k)) {
			t.Errorf("%s: the prime is not RFC 3526's", g.k)
		}
		if q := new(big.Int).Rsh(p, 1); !p.ProbablyPrime(4) || !q.ProbablyPrime(4) {
			t.Errorf("%s: not a safe prime", g.k)
		}
	}
}

// piBits is floor(2^n * pi), by Machin's formula with 64 guard bits.
func piBits(n uint) *big.Int {
	unity := new(big.Int).Lsh(big.NewInt(1), n+64)
	arctan := func(x int64) *big.Int {
		sum := new(big.Int)
		term := new(big.Int).Div(unity, big.NewInt(x))
		for k := int64(1); term.Sign() != 0; k += 2 {
			part := new(big.Int).Div(term, big.NewInt(k))
			if k%4 == 1 {
				sum.Add(sum, part)
			} else {
				sum.Sub(sum, part)
			}
			term.Div(term, big.NewInt(x*x))
		}
		return sum
	}
	pi := arctan(5)
	pi.Mul(pi, big.NewInt(4)).Sub(pi, arctan(239)).Mul(pi, big.NewInt(4))
	return pi.Rsh(pi, 64)
}

func allKEs() []KE {
	return []KE{KEMODP1024, KEMODP1536, KEMODP2048, KEMODP3072, KEMODP4096, KEECP256, KEECP384, KEECP521, KECurve25519}
}

func TestKeyExchangeAgrees(t *testing.T) {
	for _, k := range allKEs() {
		a, err := k.NewPrivate(rand.Reader)
		if err != nil {
			t.Fatal(k, err)
		}
		b, _ := k.NewPrivate(rand.Reader)
		pa, err := k.Public(a)
		if err != nil || len(pa) != k.PublicLen() {
			t.Fatal(k, err, len(pa))
		}
		pb, _ := k.Public(b)
		sa, err := k.Shared(a, pb)
		if err != nil {
			t.Fatal(k, err)
		}
		sb, err := k.Shared(b, pa)
		if err != nil || !sa.Equal(sb) {
			t.Errorf("%s: the two shared secrets differ", k)
		}
	}
}

// TestT009 refuses key exchange values that no honest peer sends.
func TestT009HostileKeyExchange(t *testing.T) {
	for _, k := range allKEs() {
		private, _ := k.NewPrivate(rand.Reader)
		n := k.PublicLen()
		bad := [][]byte{nil, {}, {1}, make([]byte, n-1), make([]byte, n+1), make([]byte, n)}
		if k.exponentLen() > 0 {
			p := modpPrime(k)
			one := make([]byte, n)
			one[n-1] = 1
			last := append([]byte(nil), p...)
			last[n-1]--
			over := append([]byte(nil), p...)
			over[8]++ // the octets before and at the end are all ff
			bad = append(bad, one, p, last, over, bytes.Repeat([]byte{0xff}, n))
		} else {
			off := bytes.Repeat([]byte{0xff}, n)
			if k == KECurve25519 {
				off = append([]byte{1}, make([]byte, n-1)...) // order 1 on the twist's side: low order
			}
			compressed := append([]byte{2}, make([]byte, n/2)...)
			bad = append(bad, off, compressed)
		}
		for i, v := range bad {
			if s, err := k.Shared(private, v); err == nil {
				t.Errorf("%s: value %d (%d octets) was accepted, secret of %d octets", k, i, len(v), s.Len())
			}
		}
	}
}

func boxes() map[string]func(t testing.TB) (seal, open *Box) {
	m := map[string]func(t testing.TB) (*Box, *Box){}
	add := func(e Encr, bits int, i Integ) {
		m[(ESP{Encr: e, EncrBits: bits, Integ: i}).String()] = func(t testing.TB) (*Box, *Box) {
			ke := secret.New(bytes.Repeat([]byte{7}, e.KeyLen(bits)))
			ka := secret.New(bytes.Repeat([]byte{9}, i.KeyLen()))
			s, err := NewBox(e, bits, i, ke, ka)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := NewBox(e, bits, i, ke, ka)
			return s, o
		}
	}
	integs := []Integ{
		IntegHMACMD596, IntegHMACSHA196, IntegAESXCBC96, IntegAESCMAC96, IntegHMACSHA2256128, IntegHMACSHA2384192, IntegHMACSHA2512256, IntegHMACSHA225696,
	}
	for _, bits := range []int{128, 192, 256} {
		for _, e := range []Encr{EncrAESGCM16, EncrAESGCM12, EncrAESCCM8, EncrAESCCM12, EncrAESCCM16, EncrNullAESGMAC} {
			add(e, bits, IntegNone)
		}
		for _, i := range integs {
			add(EncrAESCBC, bits, i)
			add(EncrAESCTR, bits, i)
		}
	}
	for _, i := range integs {
		add(EncrNULL, 0, i)
	}
	add(Encr3DESCBC, 0, IntegHMACSHA196)
	add(EncrChaCha20Poly1305, 0, IntegNone)
	return m
}

// TestT089EverySuite: what is sealed opens, is not the plaintext, and no flipped bit gets through.
func TestT089EverySuite(t *testing.T) {
	for name, f := range boxes() {
		t.Run(name, func(t *testing.T) {
			seal, open := f(t)
			const hdr = 8
			plain := bytes.Repeat([]byte("0123456789abcdef"), 4)
			msg := make([]byte, hdr+seal.IVLen()+len(plain)+seal.ICVLen())
			for i := range hdr + seal.IVLen() {
				msg[i] = byte(i)
			}
			copy(msg[hdr+seal.IVLen():], plain)
			tail := []byte{0, 0, 0, 1}
			aad := append(append([]byte(nil), msg[:4]...), append(tail, msg[4:8]...)...)
			seal.Seal(msg, hdr, aad, tail)
			if bytes.Contains(msg, plain[:16]) != strings.HasPrefix(name, "NULL") {
				t.Fatal("plaintext on the wire, or not where there is no encryption")
			}
			for bit := range len(msg) * 8 {
				bad := append([]byte(nil), msg...)
				bad[bit/8] ^= 1 << (bit % 8)
				badAAD := aad
				if bit/8 < hdr { // the header of an AEAD is in aad here
					badAAD = append([]byte(nil), aad...)
					badAAD[bit/8] ^= 1 << (bit % 8)
				}
				if open.Open(bad, hdr, badAAD, tail) == nil {
					t.Fatalf("bit %d flipped and accepted", bit)
				}
			}
			for n := range len(msg) {
				if open.Open(append([]byte(nil), msg[:n]...), hdr, aad, tail) == nil {
					t.Fatalf("prefix of %d octets accepted", n)
				}
			}
			badTail := []byte{0, 0, 0, 2}
			badAAD := append([]byte(nil), aad...)
			badAAD[7] ^= 3
			if open.Open(append([]byte(nil), msg...), hdr, badAAD, badTail) == nil {
				t.Fatal("wrong high half of the sequence number accepted")
			}
			if err := open.Open(msg, hdr, aad, tail); err != nil {
				t.Fatal(err)
			}
			if got := msg[hdr+seal.IVLen() : len(msg)-seal.ICVLen()]; !bytes.Equal(got, plain) {
				t.Fatal("decrypted to something else")
			}
		})
	}
}

func TestBoxAllocatesNothing(t *testing.T) {
	for name, f := range boxes() {
		seal, open := f(t)
		msg := make([]byte, 8+seal.IVLen()+1408+seal.ICVLen())
		if n := testing.AllocsPerRun(100, func() {
			seal.Seal(msg, 8, nil, nil)
			if open.Open(msg, 8, nil, nil) != nil {
				t.Fatal("does not open")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestNewBoxRefuses(t *testing.T) {
	k := func(n int) secret.Key { return secret.New(make([]byte, n)) }
	for i, f := range []func() (*Box, error){
		func() (*Box, error) { return NewBox(EncrAESCBC, 128, IntegNone, k(16), k(0)) },
		func() (*Box, error) { return NewBox(EncrAESCBC, 0, IntegHMACSHA196, k(16), k(20)) },
		func() (*Box, error) { return NewBox(EncrAESCBC, 128, IntegHMACSHA196, k(16), k(19)) },
		func() (*Box, error) { return NewBox(EncrAESGCM16, 128, IntegNone, k(16), k(0)) },
		func() (*Box, error) { return NewBox(EncrAESGCM16, 128, IntegHMACSHA196, k(20), k(20)) },
		func() (*Box, error) { return NewBox(EncrChaCha20Poly1305, 256, IntegNone, k(36), k(0)) },
		func() (*Box, error) { return NewBox(2, 0, IntegHMACSHA196, k(8), k(20)) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("case %d was accepted", i)
		}
	}
}

func BenchmarkKE(b *testing.B) {
	for _, k := range allKEs() {
		b.Run(k.String(), func(b *testing.B) {
			private, _ := k.NewPrivate(rand.Reader)
			peer, _ := k.NewPrivate(rand.Reader)
			pub, _ := k.Public(peer)
			for b.Loop() {
				if _, err := k.Shared(private, pub); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

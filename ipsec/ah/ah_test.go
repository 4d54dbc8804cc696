// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sealing and opening against each other, and against an oracle that knows which octets of each header may change.

package ah

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
)

const testSPI = 0xc0ffee01

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func allIntegs() []suite.Integ {
	var list []suite.Integ
	for i := suite.Integ(0); i < 2000; i++ {
		if i.KnownAH() {
			list = append(list, i)
		}
	}
	return list
}

// header is an IP header in front of AH, its lengths zero, with x where an octet is not covered by the ICV and everything else in
// hexadecimal.
type header struct {
	name  string
	hex   string
	named int // where the protocol field is
}

// headers: what is x is what RFC 4302, Appendix A calls mutable.
func headers() []header {
	return []header{
		{"IPv4", "45 xx 0000 1234 xxxx xx 33 xxxx c0000201 c6336402", 9},
		{"IPv4 with options", "4a xx 0000 1234 xxxx xx 33 xxxx c0000201 c6336402" +
			"94040000" + // router alert: covered
			"01" + // no operation: covered
			"xxxxxxxxxxxxxx" + // record route (7, length 7): zeroed as a whole
			"82 04 ab cd" + // security: covered
			"00 11 22 33", 9}, // end, and what pads the header: covered
		{"IPv6", "6x xxxxxx 0000 33 xx 20010db8000000000000000000000001 20010db8000000000000000000000002", 6},
		{"IPv6 with headers", "6x xxxxxx 0000 00 xx 20010db8000000000000000000000001 20010db8000000000000000000000002" +
			"2b 01 0502 0000 3e04 xxxxxxxx 0102 0000" + // hop-by-hop: router alert; an option that may change; PadN
			"3c 02 02 00 00000000 20010db8000000000000000000000002" + // routing, type 2, no segments left
			"33 00 0104 aabbccdd", 80}, // destination options: PadN, covered
	}
}

// make builds the packet around payload with room for AH; covered says which octets of the header are.
func (h header) make(t testing.TB, room int, payload []byte) (pkt []byte, at int, covered []bool) {
	t.Helper()
	digits := strings.Join(strings.Fields(h.hex), "")
	for i := 0; i < len(digits); i += 2 {
		covered = append(covered, !strings.Contains(digits[i:i+2], "x"))
	}
	option := strings.Index(digits, "xxxxxxxxxxxxxx")
	b := unhex(t, strings.ReplaceAll(digits, "x", "0"))
	if option > 0 && b[0]>>4 == 4 {
		copy(b[option/2:], []byte{7, 7, 4, 1, 2, 3, 4})
	}
	at = len(b)
	pkt = append(append(b, make([]byte, room)...), payload...)
	if pkt[0]>>4 == 4 {
		pkt[8] = 64
		binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
		binary.BigEndian.PutUint16(pkt[10:], checksum(pkt[:at]))
	} else {
		pkt[7] = 64
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-ipv6Header))
	}
	return pkt, at, covered
}

type sa struct {
	*Sealer
	*Opener
	key   []byte
	integ suite.Integ
	esn   bool
}

func newSA(t testing.TB, i suite.Integ, esn, align8 bool) *sa {
	t.Helper()
	x := &sa{key: make([]byte, i.KeyLen()), integ: i, esn: esn}
	rand.Read(x.key)
	var err error
	if x.Sealer, err = NewSealer(testSPI, i, secret.New(x.key), esn, align8, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if x.Opener, err = NewOpener(testSPI, i, secret.New(x.key), esn, 64); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *sa) seal(t testing.TB, h header, payload []byte, next uint8) (pkt []byte, at int, covered []bool) {
	t.Helper()
	pkt, at, covered = h.make(t, x.Len(!strings.HasPrefix(h.name, "IPv4")), payload)
	if err := x.Seal(pkt, at, next); err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
	return pkt, at, covered
}

// oracle verifies the ICV with primitives alone.
func (x *sa) oracle(t *testing.T, h header, pkt []byte, at int, covered []bool, seq uint64) {
	t.Helper()
	msg := bytes.Clone(pkt)
	for i, c := range covered {
		if !c {
			msg[i] = 0
		}
	}
	if msg[0]>>4 == 0 {
		msg[0] = 6 << 4
	}
	icvAt := at + 12
	size := map[suite.Integ]int{suite.IntegHMACSHA2256128: 16, suite.IntegHMACSHA2384192: 24, suite.IntegHMACSHA2512256: 32}[x.integ]
	gmac := x.integ >= suite.IntegAES128GMAC && x.integ <= suite.IntegAES256GMAC
	switch {
	case gmac:
		icvAt, size = icvAt+8, 16
	case size == 0:
		size = 12
	}
	icv := bytes.Clone(msg[icvAt : icvAt+size])
	clear(msg[icvAt : icvAt+size])
	if x.esn {
		msg = binary.BigEndian.AppendUint32(msg, uint32(seq>>32))
	}
	if got := x.mac(t, msg, pkt[at+12:at+20])[:size]; !bytes.Equal(got, icv) {
		t.Fatalf("%v, %s: the oracle gets another ICV", x.integ, h.name)
	}
}

// mac is the primitive. XCBC and CMAC are crypt/suite's, which its own tests compare with the RFCs.
func (x *sa) mac(t *testing.T, msg, iv []byte) []byte {
	t.Helper()
	switch x.integ {
	case suite.IntegAES128GMAC, suite.IntegAES192GMAC, suite.IntegAES256GMAC:
		block, _ := aes.NewCipher(x.key[:len(x.key)-4])
		a, _ := cipher.NewGCM(block)
		return a.Seal(nil, append(bytes.Clone(x.key[len(x.key)-4:]), iv...), nil, msg)
	case suite.IntegAESXCBC96, suite.IntegAESCMAC96:
		m, err := suite.NewMAC(x.integ, secret.New(x.key))
		if err != nil {
			t.Fatal(err)
		}
		m.Reset()
		m.Cover(msg)
		return m.Sum(nil)
	}
	h := map[suite.Integ]func() hash.Hash{
		suite.IntegHMACMD596: md5.New, suite.IntegHMACSHA196: sha1.New, suite.IntegHMACSHA2256128: sha256.New,
		suite.IntegHMACSHA225696: sha256.New, suite.IntegHMACSHA2384192: sha512.New384, suite.IntegHMACSHA2512256: sha512.New,
	}[x.integ]
	m := hmac.New(h, x.key)
	m.Write(msg)
	return m.Sum(nil)
}

// TestT089Integs: each algorithm, with each header: the ICV is the oracle's, octets that routers change can be changed, and no bit of
// any other.
func TestT089Integs(t *testing.T) {
	payload := []byte("a payload of no particular length")
	for _, i := range allIntegs() {
		for n, esn := range []bool{false, true} {
			x := newSA(t, i, esn, n == 1)
			for _, h := range headers() {
				pkt, at, covered := x.seal(t, h, payload, 17)
				x.oracle(t, h, pkt, at, covered, x.Seq())
				ahLen := x.Len(pkt[0]>>4 == 6)
				if ahLen%4 != 0 || pkt[0]>>4 == 6 && ahLen%8 != 0 || int(pkt[at+1]+2)*4 != ahLen || ahLen > MaxOverhead {
					t.Fatalf("%v, %s: AH of %d octets", i, h.name, ahLen)
				}
				if spi, where, ok := SPI(pkt); !ok || spi != testSPI || where != at {
					t.Fatalf("%s: SPI %x at %d, %v", h.name, spi, where, ok)
				}
				for bit := range len(pkt) * 8 {
					bad := bytes.Clone(pkt)
					bad[bit/8] ^= 1 << (7 - bit%8)
					top := x.Top()
					if bit/8 < at && !covered[bit/8] {
						continue
					}
					if _, err := x.Open(bad); err == nil || x.Top() != top {
						t.Fatalf("%v, %s: bit %d of octet %d can be changed", i, h.name, bit%8, bit/8)
					}
				}
				travelled := travel(pkt)
				before := bytes.Clone(travelled)
				got, err := x.Open(travelled)
				if err != nil || !bytes.Equal(got.Payload, payload) || got.Next != 17 || !got.Newest || got.At != at || got.Len != ahLen {
					t.Fatalf("%v, %s: %v %+v", i, h.name, err, got)
				}
				if !bytes.Equal(before, travelled) {
					t.Fatal("Open changed the packet")
				}
				if _, err := x.Open(travelled); err != esp.ErrReplay {
					t.Fatalf("a replay: %v", err)
				}
			}
		}
	}
}

// travel is what routers do: everything mutable has other values, with a correct checksum.
func travel(pkt []byte) []byte {
	b := bytes.Clone(pkt)
	if b[0]>>4 == 6 {
		b[0], b[1], b[2], b[3], b[7] = 6<<4|0xb, 0xa5, 0x5a, 0x77, 3
		if b[6] == hopByHop {
			copy(b[48:], "\xde\xad\xbe\xef") // the data of the option that may change
		}
		return b
	}
	b[1], b[6], b[8] = 0xbb, 0x40, 3
	if n := int(b[0]&0xf) * 4; n > ipv4Header {
		copy(b[25:32], []byte{7, 7, 8, 192, 0, 2, 99})
	}
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], checksum(b[:int(b[0]&0xf)*4]))
	return b
}

// TestStrip: what Strip leaves is the packet as it would have been without AH.
func TestStrip(t *testing.T) {
	for _, h := range headers() {
		x := newSA(t, suite.IntegHMACSHA2256128, false, false)
		payload := []byte("payload")
		pkt, at, _ := x.seal(t, h, payload, 17)
		got, err := x.Open(pkt)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := h.make(t, 0, payload)
		want[h.named] = 17
		if want[0]>>4 == 4 {
			want[10], want[11] = 0, 0
			binary.BigEndian.PutUint16(want[10:], checksum(want[:at]))
			if checksum(want[:at]) != 0 {
				t.Fatal("the test's checksum is wrong")
			}
		}
		if out := Strip(pkt, got); !bytes.Equal(out, want) {
			t.Errorf("%s:\n%x\n%x", h.name, out, want)
		}
	}
}

// TestAlign: Linux' padding of IPv4 is taken from a peer and made on demand.
func TestAlign(t *testing.T) {
	for _, c := range []struct {
		i      suite.Integ
		v6     bool
		align8 bool
		want   int
	}{
		{suite.IntegHMACSHA196, false, false, 24}, {suite.IntegHMACSHA196, true, false, 24},
		{suite.IntegHMACSHA2256128, false, false, 28}, {suite.IntegHMACSHA2256128, false, true, 32}, {suite.IntegHMACSHA2256128, true, false, 32},
		{suite.IntegHMACSHA2512256, false, false, 44}, {suite.IntegHMACSHA2512256, true, false, 48},
		{suite.IntegAES128GMAC, false, false, 36}, {suite.IntegAES128GMAC, true, false, 40}, // RFC 4543, Section 4 with erratum 3643
	} {
		x := newSA(t, c.i, false, c.align8)
		if got := x.Len(c.v6); got != c.want {
			t.Errorf("%v: AH of %d octets, expected %d", c.i, got, c.want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, i := range allIntegs() {
		x := newSA(t, i, true, false)
		for _, h := range headers() {
			pkt, at, _ := h.make(t, x.Len(!strings.HasPrefix(h.name, "IPv4")), make([]byte, 1400))
			if n := testing.AllocsPerRun(50, func() {
				if err := x.Seal(pkt, at, 4); err != nil {
					t.Fatal(err)
				}
				if _, err := x.Open(pkt); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v, %s: %v allocations", i, h.name, n)
			}
		}
	}
}

func BenchmarkAH(b *testing.B) {
	for _, i := range []suite.Integ{suite.IntegHMACSHA2256128, suite.IntegAES128GMAC} {
		b.Run(i.String(), func(b *testing.B) {
			x := newSA(b, i, false, false)
			pkt, at, _ := headers()[0].make(b, x.Len(false), make([]byte, 1400))
			b.SetBytes(int64(len(pkt)))
			for b.Loop() {
				if err := x.Seal(pkt, at, 4); err != nil {
					b.Fatal(err)
				}
				if _, err := x.Open(pkt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

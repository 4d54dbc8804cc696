// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// scapy opens what we sealed and we open what scapy sealed: ESP with every suite that both know, AH with every algorithm and with
// options and extension headers, both in tunnel and transport mode and with extended sequence numbers where scapy has them; zlib
// judges IPComp.

package judge

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
)

const testSPI = 0xc0ffee01

// job and answer are judge.py's.
type job struct {
	Proto    string   `json:"proto"`
	Tunnel   string   `json:"tunnel"`
	Crypt    string   `json:"crypt"`
	CryptKey string   `json:"crypt_key"`
	ICV      int      `json:"icv"`
	Auth     string   `json:"auth"`
	AuthKey  string   `json:"auth_key"`
	SPI      uint32   `json:"spi"`
	ESN      int      `json:"esn"`
	Packets  []string `json:"packets"`
	Inner    []string `json:"inner"`
}

type answer struct {
	Opened, Sealed []string
	Error          string
}

func ask(t *testing.T, jobs []job) []answer {
	t.Helper()
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// Debian's own interpreter: another one on the path has no scapy.
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "judge.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scapy (package python3-scapy): %v\n%s", err, stderr.String())
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(jobs) {
		t.Fatalf("%d answers to %d jobs: %v", len(answers), len(jobs), err)
	}
	return answers
}

// cryptNames are scapy's; what is not here it does not have (GMAC, GCM with 12 octets, for which it has no parameter).
func cryptNames() map[suite.Encr]string {
	return map[suite.Encr]string{
		suite.EncrNULL: "NULL", suite.Encr3DESCBC: "3DES", suite.EncrAESCBC: "AES-CBC", suite.EncrAESCTR: "AES-CTR",
		suite.EncrAESCCM8: "AES-CCM", suite.EncrAESCCM12: "AES-CCM", suite.EncrAESCCM16: "AES-CCM",
		suite.EncrAESGCM16: "AES-GCM", suite.EncrChaCha20Poly1305: "CHACHA20-POLY1305",
	}
}

func authNames() map[suite.Integ]string {
	return map[suite.Integ]string{
		suite.IntegHMACMD596: "HMAC-MD5-96", suite.IntegHMACSHA196: "HMAC-SHA1-96", suite.IntegAESCMAC96: "AES-CMAC-96",
		suite.IntegHMACSHA2256128: "SHA2-256-128", suite.IntegHMACSHA2384192: "SHA2-384-192", suite.IntegHMACSHA2512256: "SHA2-512-256",
	}
}

// suites are all that both know. scapy has no ESN beside a MAC.
func suites() []suite.ESP {
	var list []suite.ESP
	for e := range cryptNames() {
		for _, bits := range []int{0, 128, 192, 256} {
			switch {
			case !e.ValidBits(bits):
			case e.AEAD():
				list = append(list, suite.ESP{Encr: e, EncrBits: bits}, suite.ESP{Encr: e, EncrBits: bits, ESN: true})
			default:
				for i := range authNames() {
					list = append(list, suite.ESP{Encr: e, EncrBits: bits, Integ: i})
				}
			}
		}
	}
	return list
}

// random is a key of that many octets.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func key(b []byte) secret.Key {
	if len(b) == 0 {
		return secret.Key{}
	}
	return secret.New(b)
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// udp is a whole packet with a datagram of n octets and right checksums. The octets are digits: tshark takes random ones for
// RTP and whatever else, now and then.
func udp(v6 bool, n int) []byte {
	body := append([]byte{0x9c, 0x40, 0x9c, 0x41, 0, 0, 0, 0}, hex.EncodeToString(random(n))[:n]...)
	binary.BigEndian.PutUint16(body[4:], uint16(len(body)))
	head := header(v6, 17, len(body))
	addresses := head[len(head)-8:]
	if v6 {
		addresses = head[8:]
	}
	pseudo := append(append(bytes.Clone(addresses), 0, 17, body[4], body[5]), body...)
	binary.BigEndian.PutUint16(body[6:], checksum(pseudo))
	return append(head, body...)
}

// header is an IP header without options in front of n octets.
func header(v6 bool, proto byte, n int) []byte {
	if v6 {
		b := append([]byte{0x60, 0, 0, 0, byte(n >> 8), byte(n), proto, 64}, unhexed("20010db800000000000000000000000120010db8000000000000000000000002")...)
		return b
	}
	b := append([]byte{0x45, 0, byte((n + 20) >> 8), byte(n + 20), 0x12, 0x34, 0, 0, 64, proto, 0, 0}, unhexed("c0000201c6336402")...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return b
}

func unhexed(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff // UDP has no checksum of zero
	}
	return ^uint16(sum)
}

// espCase is one SA of ours with its job.
type espCase struct {
	name   string
	s      suite.ESP
	tunnel bool
	v6     bool
	keyE   []byte
	keyA   []byte
	inner  [][]byte
}

func espCases() []*espCase {
	var list []*espCase
	for _, s := range suites() {
		for _, tunnel := range []bool{true, false} {
			for _, v6 := range []bool{false, true} {
				e, a := s.KeyLens()
				c := &espCase{s: s, tunnel: tunnel, v6: v6, keyE: random(e), keyA: random(a)}
				c.name = fmt.Sprintf("%v, tunnel %v, IPv6 %v", s, tunnel, v6)
				for n := range 5 {
					c.inner = append(c.inner, udp(v6, n*5))
				}
				list = append(list, c)
			}
		}
	}
	return list
}

// payload is what of an inner packet is encrypted, and its protocol.
func (c *espCase) payload(inner []byte) (payload []byte, next uint8) {
	switch {
	case c.tunnel && c.v6:
		return inner, esp.NextHeaderIPv6
	case c.tunnel:
		return inner, esp.NextHeaderIPv4
	case c.v6:
		return inner[40:], 17
	}
	return inner[20:], 17
}

func (c *espCase) job(t *testing.T) job {
	t.Helper()
	j := job{
		Proto: "esp", Crypt: cryptNames()[c.s.Encr], CryptKey: hex.EncodeToString(c.keyE), Auth: authNames()[c.s.Integ],
		AuthKey: hex.EncodeToString(c.keyA), SPI: testSPI, ESN: -1,
	}
	if c.s.Encr != suite.EncrAESGCM16 && c.s.Encr != suite.EncrChaCha20Poly1305 {
		j.ICV = c.s.Encr.ICVLen()
	}
	if c.s.ESN {
		j.ESN = 0
	}
	if c.tunnel {
		j.Tunnel = hex.EncodeToString(header(c.v6, 0, 0))
	}
	s, err := esp.NewSealer(testSPI, c.s, key(c.keyE), key(c.keyA), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, inner := range c.inner {
		j.Inner = append(j.Inner, hex.EncodeToString(inner))
		payload, next := c.payload(inner)
		buf := make([]byte, s.Size(len(payload)))
		copy(buf[s.Head():], payload)
		n, err := s.Seal(buf, len(payload), next)
		if err != nil {
			t.Fatal(err)
		}
		j.Packets = append(j.Packets, hex.EncodeToString(append(header(c.v6, 50, n), buf[:n]...)))
	}
	return j
}

// check compares what scapy opened, and opens what it sealed.
func (c *espCase) check(t *testing.T, a answer) {
	t.Helper()
	if a.Error != "" || len(a.Opened) != len(c.inner) || len(a.Sealed) != len(c.inner) {
		t.Errorf("%s: scapy opened %d and sealed %d of %d: %s", c.name, len(a.Opened), len(a.Sealed), len(c.inner), a.Error)
		return
	}
	o, err := esp.NewOpener(testSPI, c.s, key(c.keyE), key(c.keyA), 64)
	if err != nil {
		t.Fatal(err)
	}
	outer := len(header(c.v6, 0, 0))
	for i, inner := range c.inner {
		if a.Opened[i] != hex.EncodeToString(inner) {
			t.Errorf("%s: scapy opened\n%s, expected\n%x", c.name, a.Opened[i], inner)
		}
		payload, next := c.payload(inner)
		got, err := o.Open(unhex(t, a.Sealed[i])[outer:])
		if err != nil || got.Next != next || !bytes.Equal(got.Payload, payload) {
			t.Errorf("%s: scapy's packet %d: %v, next header %d, payload\n%x, expected\n%x", c.name, i, err, got.Next, got.Payload, payload)
		}
	}
}

func TestScapyESP(t *testing.T) {
	cases := espCases()
	jobs := make([]job, len(cases))
	for i, c := range cases {
		jobs[i] = c.job(t)
	}
	for i, a := range ask(t, jobs) {
		cases[i].check(t, a)
	}
	t.Logf("%d SAs of %d suites", len(cases), len(suites()))
}

// TestZlibIPComp: zlib reads our streams and we read its.
func TestZlibIPComp(t *testing.T) {
	codec := ipcomp.NewCodec(1)
	j := job{Proto: "ipcomp"}
	var plain [][]byte
	for n := 100; n < 40000; n += n / 3 {
		p := bytes.Repeat([]byte("compressible, but not all too much: "+hex.EncodeToString(random(20))), n/60+2)
		out := make([]byte, len(p))
		size, ok := codec.Compress(out, p, ipcomp.CPIDeflate, 4)
		if !ok {
			t.Fatalf("%d octets were not compressed", len(p))
		}
		plain = append(plain, p)
		j.Packets, j.Inner = append(j.Packets, hex.EncodeToString(out[:size])), append(j.Inner, hex.EncodeToString(p))
	}
	a := ask(t, []job{j})[0]
	if a.Error != "" || len(a.Opened) != len(plain) || len(a.Sealed) != len(plain) {
		t.Fatalf("zlib: %s", a.Error)
	}
	out := make([]byte, ipcomp.MaxOutput)
	for i, p := range plain {
		if a.Opened[i] != hex.EncodeToString(p) {
			t.Errorf("packet %d: zlib reads something else", i)
		}
		if n, next, err := codec.Decompress(out, unhex(t, a.Sealed[i])); err != nil || next != 4 || !bytes.Equal(out[:n], p) {
			t.Errorf("zlib's packet %d: %v", i, err)
		}
	}
}

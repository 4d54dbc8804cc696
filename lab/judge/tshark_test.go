// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// tshark decrypts what we sealed and verifies its ICVs, for every suite that it knows; it reads our AH and IPComp headers. It has no
// CCM, GMAC, CTR with salt or AES MACs in its list for ESP, and no extended sequence numbers.

package judge

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
)

// tshark reads packets, each a whole IP packet, and returns the fields of each.
func tshark(t *testing.T, packets [][]byte, options []string, fields ...string) [][]string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "judge.pcap")
	const magic, rawIP = 0xa1b2c3d4, 101
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = append(b, 2, 0, 4, 0)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, 1<<18)
	b = binary.LittleEndian.AppendUint32(b, rawIP)
	for i, p := range packets {
		for _, v := range []int{1700000000 + i, 0, len(p), len(p)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		b = append(b, p...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-r", path, "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
		"-T", "fields", "-E", "separator=|", "-E", "occurrence=a"}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tshark", args...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+dir, "HOME="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	var rows [][]string
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		rows = append(rows, strings.Split(line, "|"))
	}
	if len(rows) != len(packets) {
		t.Fatalf("tshark reads %d packets of %d\n%s", len(rows), len(packets), stderr.String())
	}
	return rows
}

// tsharkNames are those of the table esp_sa. Of an AEAD tshark checks the tag.
func tsharkNames(s suite.ESP) (encr, auth string, ok bool) {
	encr = map[suite.Encr]string{
		suite.EncrNULL: "NULL", suite.EncrAESCBC: "AES-CBC [RFC3602]", suite.Encr3DESCBC: "TripleDES-CBC [RFC2451]",
		suite.EncrAESCTR: "AES-CTR [RFC3686]", suite.EncrAESGCM12: "AES-GCM with 12 octet ICV [RFC4106]",
		suite.EncrAESGCM16: "AES-GCM with 16 octet ICV [RFC4106]",
	}[s.Encr]
	auth = map[suite.Integ]string{
		suite.IntegNone: "NULL", suite.IntegHMACMD596: "HMAC-MD5-96 [RFC2403]", suite.IntegHMACSHA196: "HMAC-SHA-1-96 [RFC2404]",
		suite.IntegHMACSHA225696:  "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
		suite.IntegHMACSHA2256128: "HMAC-SHA-256-128 [RFC4868]", suite.IntegHMACSHA2384192: "HMAC-SHA-384-192 [RFC4868]",
		suite.IntegHMACSHA2512256: "HMAC-SHA-512-256 [RFC4868]",
	}[s.Integ]
	return encr, auth, encr != "" && auth != ""
}

func tsharkSuites() []suite.ESP {
	var list []suite.ESP
	for e := suite.Encr(1); e < 64; e++ {
		for _, bits := range []int{0, 128, 192, 256} {
			if !e.KnownESP() || !e.ValidBits(bits) {
				continue
			}
			if _, _, ok := tsharkNames(suite.ESP{Encr: e}); ok && e.AEAD() {
				list = append(list, suite.ESP{Encr: e, EncrBits: bits})
			}
			for i := suite.Integ(1); i < 2000 && !e.AEAD(); i++ {
				s := suite.ESP{Encr: e, EncrBits: bits, Integ: i}
				if _, _, ok := tsharkNames(s); ok && i.KnownESP() {
					list = append(list, s)
				}
			}
		}
	}
	return list
}

func TestTsharkESP(t *testing.T) {
	var packets [][]byte
	var options, names, data []string
	for n, s := range tsharkSuites() {
		spi := uint32(testSPI + n)
		e, a := s.KeyLens()
		keyE, keyA := random(e), random(a)
		encr, auth, _ := tsharkNames(s)
		integ := ""
		if a > 0 {
			integ = "0x" + hex.EncodeToString(keyA)
		}
		options = append(options, fmt.Sprintf("uat:esp_sa:%q,%q,%q,\"0x%08x\",%q,\"0x%s\",%q,%q", "IPv4", "*", "*", spi, encr, hex.EncodeToString(keyE), auth, integ))
		sealer, err := esp.NewSealer(spi, s, key(keyE), key(keyA), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for k := range 6 {
			inner := udp(false, 20+k*5)
			buf := make([]byte, sealer.Size(len(inner)))
			copy(buf[sealer.Head():], inner)
			size, err := sealer.Seal(buf, len(inner), esp.NextHeaderIPv4)
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, append(header(false, 50, size), buf[:size]...))
			names, data = append(names, s.String()), append(data, hex.EncodeToString(inner[28:]))
		}
	}
	for i, row := range tshark(t, packets, options, "esp.spi", "esp.icv_good", "esp.protocol", "esp.pad_len", "data.data") {
		if row[1] != "1" || row[2] != "0x04" || row[4] != data[i] {
			t.Errorf("%s: SPI %s, ICV good %q, next header %s, padding %s, data %s, expected %s\n%q\n%x", names[i], row[0], row[1], row[2], row[3], row[4], data[i], options[i/6], packets[i])
		}
	}
	t.Logf("%d packets of %d suites", len(packets), len(tsharkSuites()))
}

// TestTsharkAH: tshark does not verify AH, but it reads its fields and what is behind it.
func TestTsharkAH(t *testing.T) {
	var packets [][]byte
	var cases []*ahCase
	for _, c := range ahCases() {
		s, err := ah.NewSealer(testSPI, c.integ, key(c.key), c.esn, false, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		packets, cases = append(packets, c.seal(t, s, c.inner[1])), append(cases, c)
	}
	for i, row := range tshark(t, packets, nil, "ah.spi", "ah.sequence", "ah.next_header", "data.data") {
		_, payload, next := cases[i].front(cases[i].inner[1])
		if row[0] != fmt.Sprintf("0x%08x", testSPI) || row[1] != "1" || row[2] != fmt.Sprint(next) ||
			row[3] == "" || !bytes.HasSuffix(payload, unhex(t, row[3])) {
			t.Errorf("%s: %q", cases[i].name, row)
		}
	}
}

// TestTsharkIPComp: tshark inflates what we compressed.
func TestTsharkIPComp(t *testing.T) {
	body := bytes.Repeat([]byte("compressible "), 40)
	inner := append(header(false, 17, 8+len(body)), 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(inner[24:], uint16(8+len(body)))
	inner = append(inner, body...)
	out := make([]byte, len(inner))
	n, ok := ipcomp.NewCodec(1).Compress(out, inner, ipcomp.CPIDeflate, 4)
	if !ok {
		t.Fatal("not compressed")
	}
	row := tshark(t, [][]byte{append(header(false, ipcomp.Proto, n), out[:n]...)}, nil, "ipcomp.cpi", "ipcomp.next_header", "data.data")[0]
	if row[0] != "0x0002" || row[1] != "0x04" || !strings.Contains(row[2], hex.EncodeToString(body)) {
		t.Errorf("%q", row)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package daemon

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
)

func octets(b byte, n int) secret.Key {
	return secret.New([]byte(strings.Repeat(string([]byte{b}), n)))
}

func TestKeyLogLines(t *testing.T) {
	ev := ike.Event{SPIi: 0x1122334455667788, SPIr: 0x99aabbccddeeff00, Path: ike.Path{Remote: netip.MustParseAddrPort("192.0.2.1:4500")}}
	k := &ike.Keys{IKE: suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128}, SKei: octets(1, 20), SKer: octets(2, 20),
		ESP: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, SPIIn: 0xc0000001, SPIOut: 0xc0000002, EncrIn: octets(3, 20), EncrOut: octets(4, 20)}
	// The two forms that ECOSYSTEM.md, section 7, found to decrypt with tshark 4.0.17.
	want := `uat:ikev2_decryption_table:1122334455667788,99aabbccddeeff00,` + strings.Repeat("01", 20) + `,` + strings.Repeat("02", 20) +
		`,"AES-GCM-128 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"` + "\n" +
		`uat:esp_sa:"IPv4","*","*","0xc0000001","AES-GCM with 16 octet ICV [RFC4106]","0x` + strings.Repeat("03", 20) + `","NULL",""` + "\n" +
		`uat:esp_sa:"IPv4","*","*","0xc0000002","AES-GCM with 16 octet ICV [RFC4106]","0x` + strings.Repeat("04", 20) + `","NULL",""` + "\n"
	if got := KeyLogLines(k, ev); got != want {
		t.Errorf("lines\n%s\nexpected\n%s", got, want)
	}
	k.ESP = suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegHMACSHA2256128}
	k.SKei, k.IntegIn, k.IntegOut = secret.Key{}, octets(5, 32), octets(6, 32)
	if got := KeyLogLines(k, ev); !strings.Contains(got, `"AES-CBC [RFC3602]"`) || !strings.Contains(got, `"HMAC-SHA-256-128 [RFC4868]","0x05`) {
		t.Errorf("lines %s", got)
	}
	k.ESP = suite.ESP{Encr: suite.EncrChaCha20Poly1305}
	if got := KeyLogLines(k, ev); strings.Contains(got, "0303") || !strings.HasPrefix(got, "#") {
		t.Errorf("a suite that tshark does not know: %s", got)
	}
}

func TestKeyLogIsForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	l, err := OpenKeyLog(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newKeyWriter(l, func(err error) { t.Error(err) })
	key := octets(1, 20)
	w.put(ike.Event{Kind: ike.EventKeys, Keys: &ike.Keys{IKE: suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128}, SKei: key, SKer: key}})
	key.Wipe() // the machine may wipe at once
	w.close()
	l.Close()
	text, _ := os.ReadFile(path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != keyLogMode {
		t.Errorf("mode %v, %v, expected %#o", info.Mode(), err, keyLogMode)
	}
	if !strings.Contains(string(text), strings.Repeat("01", 20)) {
		t.Errorf("log %q", text)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyLog(path); err == nil {
		t.Error("a key log that everybody can read was opened")
	}
}

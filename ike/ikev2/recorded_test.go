// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// recording is a handshake of two strongSwan hosts with all its keys.
type recording struct {
	values   map[string]string
	messages []recorded
}

type recorded struct {
	byInitiator bool
	from        netip.AddrPort
	octets      []byte
}

func readRecording(t *testing.T, name string) recording {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded-" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	r := recording{values: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case len(f) == 3:
			r.messages = append(r.messages, recorded{f[0] == "i", netip.MustParseAddrPort(f[1]), unhex(t, f[2])})
		default:
			r.values[f[0]] = f[1]
		}
	}
	return r
}

func (r recording) spi(t *testing.T, name string) uint64 {
	n, err := strconv.ParseUint(r.values[name], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// opener takes a recording apart with our own code: what one side sent, as the other side would open it.
type opener struct {
	t    *testing.T
	r    recording
	s    suite.IKE
	keys keys
	init [2]*ikev2msg.Message // request, response
	raw  [2][]byte
	sas  map[bool]*SA // by who sent
	all  []opened
}

func openRecording(t *testing.T, name string, s suite.IKE) *opener {
	x := &opener{t: t, r: readRecording(t, name), s: s, sas: map[bool]*SA{}}
	for i := range 2 {
		m, err := ikev2msg.Parse(x.r.messages[i].octets)
		if err != nil {
			t.Fatal(err)
		}
		x.init[i], x.raw[i] = m, x.r.messages[i].octets
	}
	spiI, spiR := x.r.spi(t, "spi_i"), x.r.spi(t, "spi_r")
	ni, nr := x.nonce(0), x.nonce(1)
	x.keys = deriveKeys(s, secret.New(unhex(t, x.r.values["g_ir"])), ni, nr, spiI, spiR)
	for _, byInitiator := range []bool{true, false} {
		sa := newSA(ike.Env{}, ike.Path{})
		sa.fragments = true
		sa.gens = []*generation{{spiI: spiI, spiR: spiR, initiator: !byInitiator, suite: s, keys: x.keys}}
		x.sas[byInitiator] = sa
	}
	for _, m := range x.r.messages[2:] {
		sa := x.sas[m.byInitiator]
		msg, err := ikev2msg.Parse(m.octets)
		if err != nil {
			t.Fatal(err)
		}
		o, err := sa.open(time.Time{}, sa.gens[0], msg, ike.Datagram{Bytes: m.octets})
		if err == errIncomplete {
			continue
		}
		if err != nil || o.bad != nil {
			t.Fatalf("message %d of %v: %v, %v", msg.MessageID, m.from, err, o.bad)
		}
		x.all = append(x.all, o)
	}
	return x
}

func (x *opener) nonce(i int) []byte {
	n, err := only[*ikev2msg.Nonce](x.init[i].Payloads, "nonce")
	if err != nil {
		x.t.Fatal(err)
	}
	return n.Data
}

// octets are what the AUTH of a side covers, and its identity.
func (x *opener) octets(initiator bool) ([]byte, ike.ID, *ikev2msg.Auth) {
	o, first, nonce, skP := x.all[0], x.raw[0], x.nonce(1), x.keys.skPi
	if !initiator {
		o, first, nonce, skP = x.all[1], x.raw[1], x.nonce(0), x.keys.skPr
	}
	id, err := idOf(o.payloads, initiator)
	if err != nil {
		x.t.Fatal(err)
	}
	auth, err := only[*ikev2msg.Auth](o.payloads, "AUTH")
	if err != nil {
		x.t.Fatal(err)
	}
	return authOctets(first, nonce, x.s.PRF, skP, idBody(id)), id, auth
}

func (x *opener) wantKeys() {
	x.t.Helper()
	for name, k := range map[string]secret.Key{"SK_d": x.keys.skD, "SK_ai": x.keys.skAi, "SK_ar": x.keys.skAr, "SK_ei": x.keys.skEi,
		"SK_er": x.keys.skEr, "SK_pi": x.keys.skPi, "SK_pr": x.keys.skPr} {
		if hex.EncodeToString(k.Bytes()) != x.r.values[name] {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
}

func (x *opener) wantChild(esp suite.ESP) {
	x.t.Helper()
	k := deriveChild(x.s.PRF, x.keys.skD, esp, secret.Key{}, x.nonce(0), x.nonce(1))
	for name, k := range map[string]secret.Key{"child_enc_i": k.encrI, "child_enc_r": k.encrR, "child_int_i": k.integI, "child_int_r": k.integR} {
		if hex.EncodeToString(k.Bytes()) != x.r.values[name] {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
}

// The gateway of the recordings is at 198.51.100.10, the NAT before the client at 198.51.100.1, the client at 192.168.77.2.
func (x *opener) wantNAT() {
	x.t.Helper()
	gw := ike.Path{Local: netip.MustParseAddrPort("198.51.100.10:500"), Remote: x.r.messages[0].from}
	if local, remote, ok := natDetect(x.init[0].Payloads, x.init[0].SPIi, 0, gw); local || !remote || !ok {
		x.t.Errorf("the gateway finds a NAT before itself: %t, before its client: %t (supported: %t)", local, remote, ok)
	}
	cl := ike.Path{Local: netip.MustParseAddrPort("192.168.77.2:500"), Remote: netip.MustParseAddrPort("198.51.100.10:500")}
	// The gateway's data plane was kernel-libipsec, for which charon makes its peer see a NAT that is not there.
	if local, remote, ok := natDetect(x.init[1].Payloads, x.init[1].SPIi, x.init[1].SPIr, cl); !local || !remote || !ok {
		x.t.Errorf("the client finds a NAT before itself: %t, before its gateway: %t (supported: %t)", local, remote, ok)
	}
}

func TestRecordedPSK(t *testing.T) {
	x := openRecording(t, "ikev2-psk", suite.IKE{Encr: suite.EncrAESGCM16, EncrBits: 128, PRF: suite.PRFHMACSHA2256, KE: suite.KEECP256})
	x.wantKeys()
	x.wantNAT()
	x.wantChild(suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128})
	for initiator, name := range map[bool]string{true: "client-psk.example.org", false: "gw-psk.example.org"} {
		octets, id, auth := x.octets(initiator)
		if id.String() != name {
			t.Errorf("identity %s, want %s", id, name)
		}
		if auth.Method != methodPSK || !bytes.Equal(auth.Data, pskAuth(x.s.PRF, secret.New([]byte("correct horse battery")), octets)) {
			t.Errorf("AUTH of %s is not what we compute", name)
		}
	}
	cp, ok := find[*ikev2msg.CP](x.all[1].payloads)
	if !ok {
		t.Fatal("no CP")
	}
	if vips, _ := readCP(cp, []netip.Addr{netip.IPv4Unspecified()}); len(vips) != 1 || vips[0] != netip.MustParseAddr("10.30.0.1") {
		t.Errorf("assigned %v", vips)
	}
	if len(x.all) != 4 || x.all[2].exchange() != ikev2msg.Informational {
		t.Errorf("%d messages behind IKE_SA_INIT", len(x.all))
	}
}

func TestRecordedCertificates(t *testing.T) {
	x := openRecording(t, "ikev2-cert", suite.IKE{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128,
		PRF: suite.PRFHMACSHA2256, KE: suite.KEMODP2048})
	x.wantKeys()
	x.wantNAT()
	x.wantChild(suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128})
	for _, initiator := range []bool{true, false} {
		octets, id, auth := x.octets(initiator)
		o := x.all[1]
		if initiator {
			o = x.all[0]
		}
		certs := certsOf(o.payloads)
		if len(certs) == 0 {
			t.Fatalf("%s sent no certificate", id)
		}
		c, err := x509.ParseCertificate(certs[0])
		if err != nil {
			t.Fatal(err)
		}
		// RFC 7427, Section 3: an octet of length, AlgorithmIdentifier, signature.
		if auth.Method != methodDigital {
			t.Fatalf("authentication method %d", auth.Method)
		}
		signature := auth.Data[1+int(auth.Data[0]):]
		digest := sha256.Sum256(octets)
		if err := rsa.VerifyPKCS1v15(c.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature); err != nil {
			t.Errorf("AUTH of %s: %v", id, err)
		}
	}
	if len(x.all) != 4 {
		t.Errorf("%d messages behind IKE_SA_INIT, expected 4 (two of them in fragments)", len(x.all))
	}
}

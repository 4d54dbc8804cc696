// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/sig"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// wantHash verifies the HASH of a side in c, whose ID payload is in ids, and makes it again.
func (x *reader) wantHash(initiator bool, ids, c *ikev1msg.Chain) {
	x.t.Helper()
	i, err := idIn(ids)
	if err != nil {
		x.t.Fatal(err)
	}
	data, err := proofIn(x.suite.Auth, initiator, c.Payloads)
	if err != nil {
		x.t.Fatal(err)
	}
	p := proof{suite: x.suite, keys: &x.keys, phase1: &x.phase1, initiator: initiator, id: ids.Body(i)}
	if err := p.verify(data, nil, nil); err != nil {
		x.t.Errorf("HASH (initiator: %t): %v", initiator, err)
	}
	ours, err := p.payload(nil, nil)
	if err != nil || !bytes.Equal(ours.(*ikev1msg.Hash).Data, data) {
		x.t.Errorf("HASH (initiator: %t) of ours: %v", initiator, err)
	}
	p.initiator, p.suite.Auth = !initiator, ikev1msg.AuthPSK
	if p.verify(data, nil, nil) == nil {
		x.t.Error("the HASH of one side is that of the other")
	}
}

// wantChild compares the keys of the child that Quick Mode made; esp is its suite.
func (x *reader) wantChild(q quick, esp suite.ESP) {
	x.t.Helper()
	if fmt.Sprintf("%08x", q.spiR) != x.r.values["child_spi_in"] || fmt.Sprintf("%08x", q.spiI) != x.r.values["child_spi_out"] {
		x.t.Error("the SPIs differ from the recording")
	}
	if esp.String() != x.r.values["child_proposal"] {
		x.t.Errorf("recorded %s", x.r.values["child_proposal"])
	}
	c := child{protocol: ikev1msg.ProtoESP, suite: esp, spiI: q.spiI, spiR: q.spiR, ni: q.ni, nr: q.nr, shared: x.r.secret(x.t, "child_g_ir")}
	if c.shared.IsZero() != (esp.KE == suite.KENone) {
		x.t.Error("PFS, and no secret recorded, or the other way round")
	}
	x.wantChoice(q, esp)
	k := deriveChild(x.suite.Hash, x.keys.skeyidD, &c)
	for name, k := range map[string]secret.Key{"child_enc_i": k.encrI, "child_enc_r": k.encrR, "child_int_i": k.integI, "child_int_r": k.integR} {
		if !k.Equal(x.r.secret(x.t, name)) {
			x.t.Errorf("%s differs from the recording", name)
		}
	}
}

// wantChoice chooses of the recorded offer what charon chose, and answers as it did, to the octet where charon kept the rule.
func (x *reader) wantChoice(q quick, esp suite.ESP) {
	x.t.Helper()
	p := ike.ESPProposal{Encrs: []ike.EncrSpec{{Encr: esp.Encr, Bits: esp.EncrBits}}, Integs: []suite.Integ{esp.Integ}, ESN: []bool{false}}
	if esp.KE != suite.KENone {
		p.KEs = []suite.KE{esp.KE}
	}
	w := wanted{proposals: []ike.ESPProposal{p}, encaps: []ikev1msg.EncapMode{ikev1msg.EncapUDPTunnel}, ke: q.ke}
	got, err := w.chooseChild(q.offer, q.spiR)
	rewritten := x.r.values["proposal"] == "AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024" // vpnc's attributes, by charon
	if same := bytes.Equal(got.answer.Body(), q.answer.Body()); err != nil || got.suite != esp || got.spi != q.spiI || same == rewritten {
		x.t.Errorf("chosen %s, %v", got.suite, err)
	}
	if got, err := w.acceptChild(q.answer); err != nil || got.suite != esp || got.spi != q.spiR {
		x.t.Errorf("accepted %s, %v", got.suite, err)
	}
}

// wantNAT: the gateway of the recordings is at 198.51.100.10, the NAT before the client at 198.51.100.1, the client at 192.168.77.2.
// The data planes were kernel-libipsec, for which charon makes its peer see a NAT that is not there. from is where the client's payloads
// came from, and port the gateway's that they hash.
func (x *reader) wantNAT(byInitiator, byResponder []ikev1msg.Payload, from netip.AddrPort, port uint16) {
	x.t.Helper()
	v, _ := ikev1msg.FindNATT(unhex(x.t, "4a131c81070358455c5728f20e95452f"))
	gw := ike.Path{Local: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.10"), port), Remote: from}
	floated := ike.Path{Local: netip.MustParseAddrPort("198.51.100.10:4500"), Remote: from}
	if local, remote, ok := natDetect(v, byInitiator, x.suite, &x.phase1, floated, gw); local || !remote || !ok {
		x.t.Errorf("the gateway finds a NAT before itself: %t, before its client: %t (supported: %t)", local, remote, ok)
	}
	cl := ike.Path{Local: netip.MustParseAddrPort("192.168.77.2:500"), Remote: netip.MustParseAddrPort("198.51.100.10:500")}
	if local, remote, ok := natDetect(v, byResponder, x.suite, &x.phase1, cl); !local || !remote || !ok {
		x.t.Errorf("the client finds a NAT before itself: %t, before its gateway: %t (supported: %t)", local, remote, ok)
	}
	cl.Remote = gw.Local
	theirs, ours := ikev1msg.All[*ikev1msg.NATD](byInitiator), natPayloads(v, x.suite, &x.phase1, cl, false)
	if theirs[0].Num != v.NATD || !bytes.Equal(theirs[0].Data, ours[0].(*ikev1msg.NATD).Data) {
		x.t.Error("the client's NAT-D payload of the gateway differs from ours")
	}
}

func (x *reader) wantExchanges(want ...string) {
	x.t.Helper()
	if !slices.Equal(x.exchanges, want) {
		x.t.Errorf("exchanges:\n%s\nexpected:\n%s", strings.Join(x.exchanges, "\n"), strings.Join(want, "\n"))
	}
}

func TestRecordedMainPSK(t *testing.T) {
	x := read(t, "ikev1-main-psk", 4)
	x.wantKeys()
	x.wantNAT(x.clear[2].Payloads, x.clear[3].Payloads, x.r.messages[2].from, 500)
	for _, initiator := range []bool{true, false} {
		r, c := x.sealedPhase1()
		if r.byInitiator != initiator {
			t.Fatal("the recording has another order")
		}
		x.wantHash(initiator, c, c)
	}
	x.wantChild(x.phase2(), suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196})
	x.wantExchanges(
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { D(ESP 6fcdc3d7) }", "INFORMATIONAL { D(ISAKMP 4591fe3a0a0426b2b05f68454fff5b47) }",
	)
}

// aggressive reads a phase 1 in aggressive mode: the responder proves itself in the clear, the initiator encrypted.
// It floated, and hashes port.
func (x *reader) aggressive(payloads string, port uint16) {
	x.t.Helper()
	x.wantKeys()
	x.wantHash(false, &x.clear[1].Chain, &x.clear[1].Chain)
	r, c := x.sealedPhase1()
	x.wantHash(true, &x.clear[0].Chain, c)
	x.wantNAT(c.Payloads, x.clear[1].Payloads, r.from, port)
	if got := ikev1msg.SummaryOf(c.Payloads); got != payloads {
		x.t.Errorf("the last message of phase 1 has %s", got)
	}
}

func TestRecordedAggressiveXAUTH(t *testing.T) {
	x := read(t, "ikev1-agg-xauth", 2)
	x.aggressive("{ HASH NAT-D NAT-D }", 4500)
	x.wantChild(x.phase2(), suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196})
	x.wantExchanges(
		"TRANSACTION { CONFIG(REQUEST XAUTH_USER_NAME XAUTH_USER_PASSWORD) }", "TRANSACTION { CONFIG(REPLY XAUTH_USER_NAME XAUTH_USER_PASSWORD) }",
		"TRANSACTION { CONFIG(SET XAUTH_STATUS) }", "TRANSACTION { CONFIG(ACK XAUTH_STATUS) }",
		"TRANSACTION { CONFIG(REQUEST INTERNAL_IP4_ADDRESS UNITY_SPLIT_INCLUDE UNITY_LOCAL_LAN) }",
		"TRANSACTION { CONFIG(REPLY INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS UNITY_SPLIT_INCLUDE) }",
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { D(ESP 47607ff9) }", "INFORMATIONAL { D(ISAKMP 673bded5cbbe2b1b7847b49c883c1cc7) }",
	)
}

// TestRecordedVpnc: 256 bits of AES from 160 of SHA-1 need the cipher's key expanded.
func TestRecordedVpnc(t *testing.T) {
	x := read(t, "vpnc-natt", 2)
	x.aggressive("{ HASH N(INITIAL_CONTACT) V V NAT-D NAT-D }", 500)
	x.wantChild(x.phase2(), suite.ESP{Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196})
	x.wantExchanges(
		"TRANSACTION { CONFIG(REQUEST XAUTH_USER_NAME XAUTH_USER_PASSWORD) }", "TRANSACTION { CONFIG(REPLY XAUTH_USER_NAME XAUTH_USER_PASSWORD) }",
		"TRANSACTION { CONFIG(SET XAUTH_STATUS) }", "TRANSACTION { CONFIG(ACK XAUTH_STATUS) }",
		"TRANSACTION { CONFIG(REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_NETMASK INTERNAL_IP4_DNS INTERNAL_IP4_NBNS UNITY_DEF_DOMAIN UNITY_FW_TYPE "+
			"UNITY_PFS UNITY_BANNER UNITY_SAVE_PASSWD UNITY_SPLIT_INCLUDE UNITY_SPLITDNS_NAME UNITY_DDNS_HOSTNAME APPLICATION_VERSION) }",
		"TRANSACTION { CONFIG(REPLY INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS UNITY_SPLIT_INCLUDE) }",
		"QUICK { SA NONCE ID ID }", "QUICK { SA NONCE ID ID }", "QUICK { }",
		"INFORMATIONAL { N(R_U_THERE) }", "INFORMATIONAL { N(R_U_THERE_ACK) }",
		"INFORMATIONAL { D(ESP 9f784126 0f50847c) }", "INFORMATIONAL { D(ISAKMP 3ef16ab66a998df42c3fb4b9d7233497) }",
	)
}

// wantSig verifies the signature of a side, whose certificate is in its message.
func (x *reader) wantSig(initiator bool, c *ikev1msg.Chain) {
	x.t.Helper()
	i, err := idIn(c)
	if err != nil {
		x.t.Fatal(err)
	}
	data, err := proofIn(x.suite.Auth, initiator, c.Payloads)
	if err != nil {
		x.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(ikev1msg.All[*ikev1msg.Cert](c.Payloads)[0].Data)
	if err != nil {
		x.t.Fatal(err)
	}
	p := proof{suite: x.suite, keys: &x.keys, phase1: &x.phase1, initiator: initiator, id: c.Body(i)}
	if name := map[bool]string{true: "HASH_I", false: "HASH_R"}[initiator]; hex.EncodeToString(p.hash()) != x.r.values[name] {
		x.t.Errorf("%s differs from the recording", name)
	}
	if err := p.verify(data, cert.PublicKey, nil); err != nil {
		x.t.Errorf("SIG (initiator: %t): %v", initiator, err)
	}
	p.id = append(bytes.Clone(p.id), '.')
	if err := p.verify(data, cert.PublicKey, nil); !errors.Is(err, sig.ErrSignature) {
		x.t.Errorf("SIG (initiator: %t) of another identity: %v", initiator, err)
	}
}

// TestRecordedSignatures: main mode with RSA, and with ECDSA of each curve beside another negotiated hash, which charon makes with the
// curve's own hash as RFC 4754 has it; with and without PFS. The RSA initiator's certificate came in two fragments.
func TestRecordedSignatures(t *testing.T) {
	for name, esp := range map[string]suite.ESP{
		"rsa":      {Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA2256128, KE: suite.KEMODP1536},
		"ecdsa256": {Encr: suite.Encr3DESCBC, Integ: suite.IntegHMACMD596},
		"ecdsa384": {Encr: suite.EncrAESGCM16, EncrBits: 256, KE: suite.KEECP256},
		"ecdsa521": {Encr: suite.EncrAESCBC, EncrBits: 128, Integ: suite.IntegHMACSHA196},
	} {
		t.Run(name, func(t *testing.T) {
			x := read(t, name, 4)
			x.wantKeys()
			for _, initiator := range []bool{true, false} {
				_, c := x.sealedPhase1()
				x.wantSig(initiator, c)
			}
			x.wantChild(x.phase2(), esp)
			if len(x.exchanges) != 5 || !strings.HasPrefix(x.exchanges[4], "INFORMATIONAL { D(ISAKMP") {
				t.Errorf("exchanges:\n%s", strings.Join(x.exchanges, "\n"))
			}
		})
	}
}

// TestRecordedHybrid: the gateway signs, and the client, who has no key, sends a HASH.
func TestRecordedHybrid(t *testing.T) {
	x := read(t, "hybrid", 4)
	x.wantKeys()
	_, c := x.sealedPhase1()
	x.wantHash(true, c, c)
	_, c = x.sealedPhase1()
	x.wantSig(false, c)
}

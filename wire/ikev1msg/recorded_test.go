// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Handshakes of peers that nobody here wrote (testdata, whose heads say where they come from): every message and every
// decrypted chain parses and appends to the same octets. What they contain was typed from tshark's decoding of them.

package ikev1msg

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded is one message and, if it is encrypted, what it contained.
type recorded struct {
	octets []byte
	msg    *Message
	inside *Chain
	plain  []byte
}

// chain is the payloads, in the clear or decrypted.
func (r recorded) chain() *Chain {
	if r.inside != nil {
		return r.inside
	}
	return &r.msg.Chain
}

func recording(t testing.TB, name string) []recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []recorded
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		kind, digits, _ := strings.Cut(line, " ")
		if kind == "#" {
			continue
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case "message":
			m, err := Parse(b)
			if err != nil {
				t.Fatalf("%s, message %d: %v", name, len(list), err)
			}
			list = append(list, recorded{octets: b, msg: m})
		case "decrypted":
			r := &list[len(list)-1]
			r.plain = b
			if r.inside, err = ParseDecrypted(PayloadType(r.msg.NextPayload), b); err != nil {
				t.Fatalf("%s, message %d: %v", name, len(list), err)
			}
		default:
			t.Fatalf("%s: %q", name, kind)
		}
	}
	return list
}

var recordings = [...]string{"ikev1-main-psk", "ikev1-agg-xauth", "vpnc-natt"}

func TestRecordingsComeBack(t *testing.T) {
	for _, name := range recordings {
		for i, r := range recording(t, name) {
			if again := r.msg.Append([]byte("before")); !bytes.Equal(again[6:], r.octets) {
				t.Errorf("%s, message %d: %x became %x", name, i, r.octets, again[6:])
			}
			if r.msg.Sealed() != (r.inside != nil) {
				t.Errorf("%s, message %d: sealed is %v", name, i, r.msg.Sealed())
			}
			c := r.chain()
			first, b := AppendPayloads(nil, c.Payloads)
			if b = append(b, c.Padding()...); r.inside != nil && (!bytes.Equal(b, r.plain) || uint8(first) != r.msg.NextPayload) {
				t.Errorf("%s, message %d: inside %x became %x", name, i, r.plain, b)
			}
			parts(t, name, c)
		}
	}
}

// parts: Body and After are the octets that one would write, where the peer wrote the same.
func parts(t *testing.T, name string, c *Chain) {
	t.Helper()
	for i, p := range c.Payloads {
		if !bytes.Equal(c.Body(i), p.append(nil)) {
			t.Errorf("%s: body of %s is %x", name, p.Type(), c.Body(i))
		}
		own := []byte(nil)
		switch p := p.(type) {
		case *SA:
			own = p.Body()
		case *ID:
			own = p.Body()
		}
		if own != nil && !bytes.Equal(own, c.Body(i)) {
			t.Errorf("%s: our own body of %s is %x", name, p.Type(), own)
		}
		if _, want := AppendPayloads(nil, c.Payloads[i+1:]); !bytes.Equal(c.After(i), want) {
			t.Errorf("%s: behind %s is %x, expected %x", name, p.Type(), c.After(i), want)
		}
	}
}

func TestRecordingsContain(t *testing.T) {
	for name, want := range map[string]string{
		"ikev1-main-psk": `
MAIN 00000000 { SA V V V V V V }
MAIN 00000000 { SA V V V V V }
MAIN 00000000 { KE NONCE NAT-D NAT-D }
MAIN 00000000 { KE NONCE NAT-D NAT-D }
MAIN 00000000 * { ID HASH N(INITIAL_CONTACT) }
MAIN 00000000 * { ID HASH }
QUICK 59172c3d * { HASH SA NONCE ID ID }
QUICK 59172c3d * { HASH SA NONCE ID ID }
QUICK 59172c3d * { HASH }
INFORMATIONAL a6b3b4be * { HASH D(ESP 6fcdc3d7) }
INFORMATIONAL 100ca99f * { HASH D(ISAKMP 4591fe3a0a0426b2b05f68454fff5b47) }
`,
		"vpnc-natt": `
AGGRESSIVE 00000000 { SA KE NONCE ID V V V V V V V V V }
AGGRESSIVE 00000000 { SA KE NONCE ID V V V V NAT-D NAT-D HASH }
AGGRESSIVE 00000000 * { HASH N(INITIAL_CONTACT) V V NAT-D NAT-D }
TRANSACTION 69d2afa5 * { HASH CONFIG(REQUEST XAUTH_USER_NAME XAUTH_USER_PASSWORD) }
TRANSACTION 69d2afa5 * { HASH CONFIG(REPLY XAUTH_USER_NAME XAUTH_USER_PASSWORD) }
TRANSACTION c1e25507 * { HASH CONFIG(SET XAUTH_STATUS) }
TRANSACTION c1e25507 * { HASH CONFIG(ACK XAUTH_STATUS) }
TRANSACTION 176730d8 * { HASH CONFIG(REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_NETMASK INTERNAL_IP4_DNS INTERNAL_IP4_NBNS UNITY_DEF_DOMAIN UNITY_FW_TYPE UNITY_PFS UNITY_BANNER UNITY_SAVE_PASSWD UNITY_SPLIT_INCLUDE UNITY_SPLITDNS_NAME UNITY_DDNS_HOSTNAME APPLICATION_VERSION) }
TRANSACTION 176730d8 * { HASH CONFIG(REPLY INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS UNITY_SPLIT_INCLUDE) }
QUICK 3c110678 * { HASH SA NONCE ID ID }
QUICK 3c110678 * { HASH SA NONCE ID ID }
QUICK 3c110678 * { HASH }
INFORMATIONAL 5c0435be * { HASH N(R_U_THERE) }
INFORMATIONAL 891cda44 * { HASH N(R_U_THERE_ACK) }
INFORMATIONAL 000000a7 * { HASH D(ESP 9f784126 0f50847c) }
INFORMATIONAL 00000094 * { HASH D(ISAKMP 3ef16ab66a998df42c3fb4b9d7233497) }
`,
	} {
		var got strings.Builder
		for _, r := range recording(t, name) {
			got.WriteString("\n" + r.msg.Summary())
			if r.inside != nil {
				got.WriteString(" " + r.inside.String())
			}
		}
		if d := cmp.Diff(want, got.String()+"\n"); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestRecordedOffers: what strongSwan and vpnc offer for phase 1 and for Quick Mode.
func TestRecordedOffers(t *testing.T) {
	main, vpnc := recording(t, "ikev1-main-psk"), recording(t, "vpnc-natt")
	for _, c := range []struct {
		name string
		in   recorded
		want Phase1
	}{
		{"strongSwan", main[0], Phase1{Encr: EncrAES, KeyLen: 128, Hash: HashSHA1, Auth: AuthPSK, Group: GroupMODP2048, Life: Lifetime{Seconds: 15840}}},
		{"vpnc", vpnc[0], Phase1{Encr: EncrAES, KeyLen: 256, Hash: HashSHA1, Auth: AuthXAUTHInitPSK, Group: GroupMODP1024, Life: Lifetime{Seconds: 2147483}}},
	} {
		got, err := All[*SA](c.in.msg.Payloads)[0].Proposals[0].Transforms[0].Phase1()
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", c.name, err, d)
		}
	}
	sa := All[*SA](vpnc[0].msg.Payloads)[0]
	if n := len(sa.Proposals[0].Transforms); len(sa.Proposals) != 1 || sa.Proposals[0].Number != 0 || n != 24 || sa.Proposals[0].Transforms[0].Number != 0 {
		t.Errorf("vpnc: %d proposals, the first %d with %d transforms, expected 24 from 0 on", len(sa.Proposals), sa.Proposals[0].Number, n)
	}
	child := All[*SA](vpnc[9].inside.Payloads)[0]
	if len(child.Proposals) != 12 || child.Proposals[11].Number != 11 {
		t.Errorf("vpnc: %d proposals in Quick Mode, expected 12 from 0 on", len(child.Proposals))
	}
	p := child.Proposals[0]
	got, err := p.Transforms[0].Phase2(ProtoESP)
	want := Phase2{Encap: EncapUDPTunnel, Auth: AuthHMACSHA1, KeyLen: 256, Life: Lifetime{Seconds: 2147483}}
	if d := cmp.Diff(want, got); d != "" || err != nil || ESPTransform(p.Transforms[0].ID) != ESPAESCBC || hex.EncodeToString(p.SPI) != "9f784126" {
		t.Errorf("vpnc: %v %s", err, d)
	}
}

// TestRecordedValues: Mode-Config, XAUTH, Unity and DPD as they came.
func TestRecordedValues(t *testing.T) {
	vpnc := recording(t, "vpnc-natt")
	reply := All[*Config](vpnc[8].inside.Payloads)[0]
	addr, _ := reply.Find(AttrIP4Address)
	if got, err := addr.Addr(); got != netip.MustParseAddr("10.30.0.1") || err != nil {
		t.Errorf("address %v, %v", got, err)
	}
	split, _ := reply.Find(AttrUnitySplitInclude)
	if got, err := split.Nets(); len(got) != 1 || got[0] != (UnityNet{Net: netip.MustParsePrefix("10.20.0.0/24")}) || err != nil {
		t.Errorf("split networks %v, %v", got, err)
	}
	user, _ := All[*Config](vpnc[4].inside.Payloads)[0].Find(AttrXAUTHUserName)
	if user.Text() != "xuser" {
		t.Errorf("user %q", user.Text())
	}
	status, _ := All[*Config](vpnc[5].inside.Payloads)[0].Find(AttrXAUTHStatus)
	if ok, err := status.Flag(); !ok || err != nil {
		t.Errorf("status %v, %v", ok, err)
	}
	for _, i := range []int{12, 13} {
		if n, err := All[*Notify](vpnc[i].inside.Payloads)[0].Sequence(); n != 1088242593 || err != nil {
			t.Errorf("sequence %d, %v", n, err)
		}
	}
	id := All[*ID](vpnc[0].msg.Payloads)[0]
	if id.IDType != IDKeyID || id.Proto != 17 || id.Port != 500 || string(id.Data) != "vpngroup" {
		t.Errorf("identity %+v", id)
	}
}

// TestRecordedVendors: the vendor IDs that vpnc offers beside XAUTH, Unity and DPD are versions of NAT-T, and RFC 3947 is
// what it and strongSwan have in common.
func TestRecordedVendors(t *testing.T) {
	vpnc := recording(t, "vpnc-natt")
	ids := func(m *Message) (list [][]byte) {
		for _, v := range All[*Vendor](m.Payloads) {
			list = append(list, v.Data)
		}
		return list
	}
	var names []string
	for _, id := range ids(vpnc[0].msg) {
		if n, ok := FindNATT(id); ok {
			names = append(names, n.Name)
		} else if v, tail, ok := Identify(id); ok {
			names = append(names, v.Name+" "+hex.EncodeToString(tail))
		} else {
			names = append(names, hex.EncodeToString(id))
		}
	}
	want := []string{"XAUTH ", "Cisco Unity 0100", "RFC 3947", "draft 03", "draft 02, newline", "draft 02", "draft 01", "draft 00", "DPD 0100"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if n, ok := ChooseNATT(ids(vpnc[0].msg), ids(vpnc[1].msg)); !ok || n.Name != "RFC 3947" {
		t.Errorf("in common: %q, %v", n.Name, ok)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package config

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/conf"
	"github.com/natterjack/natterjack/wire/vici"
)

func decodeText(text string) (*Config, error) {
	tree, err := conf.Parse("t.conf", []byte(text), nil)
	if err != nil {
		return nil, err
	}
	c, _, err := Decode(tree.Section(), tree.Templates())
	return c, err
}

var addrCmp = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// TestDefaults: an empty connection has the defaults of swanctl.conf(5), but for what is not built.
func TestDefaults(t *testing.T) {
	c, err := DecodeConnection("a", vici.New().SetSub("children", vici.New().SetSub("net", vici.New())))
	if err != nil {
		t.Fatal(err)
	}
	any := []ike.Selector{{Dynamic: true, PortTo: 65535}}
	want := &ike.Connection{
		Name: "a", Proposals: defaultIKE(), SendCertReq: true, KeyingTries: 1,
		RekeyTime: 4 * time.Hour, OverTime: 24 * time.Minute, RandTime: 24 * time.Minute,
		Local: []*ike.Auth{{Method: ike.AuthPubkey}}, Remote: []*ike.Auth{{Method: ike.AuthPubkey}},
		Children: []*ike.ChildConfig{{
			Name: "net", Proposals: defaultESP(), LocalTS: any, RemoteTS: any,
			RekeyTime: time.Hour, LifeTime: 66 * time.Minute, RandTime: 6 * time.Minute,
			ReplayWindow: 32, CopyDF: true, CopyECN: true,
		}},
	}
	if diff := cmp.Diff(want, c, addrCmp); diff != "" {
		t.Error(diff)
	}
}

// TestErrors: every error says where, which option, what was expected and what was found.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"connections {\n a {\n  rekey_tme = 1h\n }\n}", `t.conf:3: connections.a.rekey_tme: unknown option, did you mean "rekey_time"?`},
		{"connections {\n a {\n  colour = red\n }\n}", `t.conf:3: connections.a.colour: unknown option`},
		{"connections {\n a {\n  rekey_time = 1w\n }\n}", `t.conf:3: connections.a.rekey_time: expected a time of at most ten years ("90", "90s", "3m", "4h" or "1d"), found "1w"`},
		{"connections {\n a {\n  encap = perhaps\n }\n}", `t.conf:3: connections.a.encap: expected yes or no, found "perhaps"`},
		{"connections {\n a {\n  version = 1\n }\n}", `t.conf:3: connections.a.version: "1" is refused: IKEv1 is not built yet (leave it out, or 2)`},
		{"connections {\n a {\n  mobike = yes\n }\n}", `t.conf:3: connections.a.mobike: "yes" is refused: MOBIKE is not built yet; an endpoint behind a NAT is followed without it (leave it out, or no)`},
		{"connections {\n a {\n  unique = all\n }\n}", `t.conf:3: connections.a.unique: expected "no", "never", "keep" or "replace", found "all"`},
		{"connections {\n a {\n  children = x\n }\n}", `t.conf:3: connections.a.children: expected a section, found a value`},
		{"connections {\n a {\n  proposals {\n }\n }\n}", `t.conf:3: connections.a.proposals: expected a list, found a section`},
		{"connections {\n a = 1\n}", `t.conf:2: connections.a: expected a section, found a value`},
		{"connections {\n a {\n  pools = p\n }\n}", `t.conf:3: connections.a.pools: expected the name of a section in pools, found "p"`},
		{"connections {\n a {\n  local-1 {\n }\n  local-2 {\n }\n }\n}", `t.conf:5: connections.a.local-2: refused: a second authentication round (RFC 4739) is not built yet`},
		{"connections {\n a {\n  local {\n auth = eap\n }\n }\n}", `t.conf:4: connections.a.local.auth: "eap" is refused: EAP is not built yet`},
		{"connections {\n a {\n children {\n b {\n mode = beet\n}\n}\n }\n}", `t.conf:5: connections.a.children.b.mode: "beet" is refused: BEET is not standardized for IKEv2`},
		{"connections {\n a {\n children {\n b {\n mode = drop\n}\n}\n }\n}", `t.conf:5: connections.a.children.b.mode: a child of mode pass or drop needs local_ts and remote_ts without dynamic`},
		{"connections {\n a {\n children {\n b {\n life_time = 5m\n}\n}\n }\n}", `t.conf:5: connections.a.children.b.life_time: expected at least rekey_time (1h0m0s): else the child is closed before it is rekeyed, found 5m0s`},
		{"connection {\n}", `t.conf:1: connection: unknown option, did you mean "connections"?`},
		{"x = 1", `t.conf:1: x: unknown option`},
		{"pools {\n p {\n }\n}", `pools.p.addrs: expected a prefix or range of addresses, found nothing`},
		{"pools {\n p {\n addrs = 10.0.0.9-10.0.0.1\n }\n}", `t.conf:3: pools.p.addrs: expected a prefix or range of addresses, found "10.0.0.9-10.0.0.1"`},
		{"secrets {\n ike-1 {\n secret = 0xzz\n }\n}", `t.conf:3: secrets.ike-1.secret: expected octets in hexadecimal after 0x, or in Base64 after 0s, found other characters`},
		{"secrets {\n ike-1 {\n }\n}", `secrets.ike-1.secret: expected a secret, found nothing`},
		{"secrets {\n eap-bob {\n id = bob\n secret = hush\n }\n}", `t.conf:3: secrets.eap-bob.id: refused: EAP is not built yet`},
		{"secrets {\n foo {\n secret = hush\n }\n}", `secrets.foo: a secret's name begins with ike, private, rsa, ecdsa or pkcs8`},
		{"daemon {\n port = 4500\n}", `daemon.port_nat_t: expected another port than port (4500): markers are on one of them only`},
	} {
		_, err := decodeText(c.in)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.in, err, c.want)
		}
	}
}

func TestViciErrors(t *testing.T) {
	dup := vici.New()
	dup.Items = []vici.Item{{Key: "encap", Value: []byte("yes")}, {Key: "encap", Value: []byte("no")}}
	for want, s := range map[string]*vici.Section{
		"a.encap: given twice":                                          dup,
		"a.proposals: expected a list, found a value":                   vici.New().Set("proposals", "default"),
		"a.encap: expected text, found \"\\x01\"":                       vici.New().Set("encap", "\x01"),
		"a.local.certs: expected a certificate, found nothing (item 1)": vici.New().SetSub("local", vici.New().SetList("certs", "")),
	} {
		if _, err := DecodeConnection("a", s); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestParseID(t *testing.T) {
	for in, want := range map[string]ike.ID{
		"%any": {}, "*": {}, "0.0.0.0": {},
		"moon.example.org":    {Type: ike.IDFQDN, Data: []byte("moon.example.org")},
		"*.example.org":       {Type: ike.IDFQDN, Data: []byte("*.example.org")},
		"@moon":               {Type: ike.IDFQDN, Data: []byte("moon")},
		"fqdn:10.0.0.1":       {Type: ike.IDFQDN, Data: []byte("10.0.0.1")},
		"carol@example.org":   {Type: ike.IDRFC822, Data: []byte("carol@example.org")},
		"@@carol@example.org": {Type: ike.IDRFC822, Data: []byte("carol@example.org")},
		"email:*@example.org": {Type: ike.IDRFC822, Data: []byte("*@example.org")},
		"192.0.2.1":           {Type: ike.IDIPv4, Data: []byte{192, 0, 2, 1}},
		"ipv4:192.0.2.1":      {Type: ike.IDIPv4, Data: []byte{192, 0, 2, 1}},
		"ipv4:#c0000201":      {Type: ike.IDIPv4, Data: []byte{192, 0, 2, 1}},
		"::1":                 {Type: ike.IDIPv6, Data: []byte{15: 1}},
		"ipv6:::1":            {Type: ike.IDIPv6, Data: []byte{15: 1}},
		"@#0102ff":            {Type: ike.IDKeyID, Data: []byte{1, 2, 255}},
		"keyid:secret group":  {Type: ike.IDKeyID, Data: []byte("secret group")},
		"keyid:#01:02":        {Type: ike.IDKeyID, Data: []byte{1, 2}},
		"C=CH, CN=m":          {Type: ike.IDDERASN1DN, Data: unhex("3019310b3009060355040613024348310a300806035504030c016d")},
		"/C=CH/CN=m":          {Type: ike.IDDERASN1DN, Data: unhex("3019310b3009060355040613024348310a300806035504030c016d")},
		`asn1dn:C=CH, CN="m"`: {Type: ike.IDDERASN1DN, Data: unhex("3019310b3009060355040613024348310a300806035504030c016d")},
		"E=a@b":               {Type: ike.IDDERASN1DN, Data: unhex("30143112301006092a864886f70d0109011603614062")},
		"asn1dn:#3000":        {Type: ike.IDDERASN1DN, Data: []byte{0x30, 0}},
	} {
		got, ok := ParseID(in)
		if in == "C=CH, CN=m" || in == "/C=CH/CN=m" || strings.HasPrefix(in, "asn1dn:C") {
			// The string type is the encoder's choice; the pattern matches either.
			if !ok || got.Type != ike.IDDERASN1DN || got.String() != "C=CH, CN=m" || !got.Matches(want) {
				t.Errorf("%q: %v %x", in, ok, got.Data)
			}
			continue
		}
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%q: %v %s", in, ok, diff)
		}
	}
	for _, in := range []string{"", "a b", "C=CH, XX=m", "C=", "=m", "ipv4:::1", "ipv6:1.2.3.4", "ipv4:#00", "@#xy", "@", "@@", "http://x", "fqdn:", "keyid:#", "fe80::1%eth0"} {
		if id, ok := ParseID(in); ok {
			t.Errorf("%q became %v %x", in, id.Type, id.Data)
		}
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestProposals(t *testing.T) {
	gcm := ike.EncrSpec{Encr: suite.EncrAESGCM16, Bits: 128}
	cbc := ike.EncrSpec{Encr: suite.EncrAESCBC, Bits: 128}
	for in, want := range map[string]ike.IKEProposal{
		"aes128gcm16-prfsha256-ecp256": {Encrs: []ike.EncrSpec{gcm}, PRFs: []suite.PRF{suite.PRFHMACSHA2256}, KEs: []suite.KE{suite.KEECP256}},
		// The integrity algorithm beside an AEAD gives the PRF and goes.
		"aes128gcm-sha384-x25519": {Encrs: []ike.EncrSpec{gcm}, PRFs: []suite.PRF{suite.PRFHMACSHA2384}, KEs: []suite.KE{suite.KECurve25519}},
		"AES128-sha256-sha1-modp2048-modp2048": {Encrs: []ike.EncrSpec{cbc}, Integs: []suite.Integ{suite.IntegHMACSHA2256128, suite.IntegHMACSHA196},
			PRFs: []suite.PRF{suite.PRFHMACSHA2256, suite.PRFHMACSHA1}, KEs: []suite.KE{suite.KEMODP2048}},
		"aes-aes256-sha512-prfsha256-curve25519": {Encrs: []ike.EncrSpec{cbc, {Encr: suite.EncrAESCBC, Bits: 256}}, Integs: []suite.Integ{suite.IntegHMACSHA2512256},
			PRFs: []suite.PRF{suite.PRFHMACSHA2256}, KEs: []suite.KE{suite.KECurve25519}},
	} {
		c, err := DecodeConnection("a", vici.New().SetList("proposals", in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff([]ike.IKEProposal{want}, c.Proposals); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	for in, want := range map[string]string{
		"aes128gcm16-ecp256":               "a PRF is missing",
		"aes128gcm16-prfsha256":            "a key exchange method is missing",
		"aes128-modp2048-prfsha256":        "an integrity algorithm is missing",
		"sha256-modp2048":                  "an encryption algorithm is missing",
		"aes128-aes128gcm16-sha256-x25519": "cannot be mixed",
		"aes128-sha256-x25519-esn":         "belong to esp_proposals",
		"3des-sha1-modp2048":               `"3des" is not supported: it is too weak (RFC 8247)`,
		"aes128-sha256-modp1024":           `"modp1024" is not supported: it is too weak`,
		"aes128gcm8-prfsha256-ecp256":      `"aes128gcm8" is not supported; there are`,
		"aes128-sha256-mlkem768":           `"mlkem768" is not supported`,
		"aes128-sha257-modp2048":           `"sha257" is not supported`,
		"rot13":                            `"rot13" is not known`,
		"aes256ctr-sha256-x25519":          "is not for IKE SAs",
		"null-sha256-x25519":               "is not for IKE SAs",
		"aes256-aescmac-x25519":            "a PRF is missing",
		"":                                 "expected text",
		strings.Repeat("aes128-", 70):      "algorithms, at most 64",
	} {
		if _, err := DecodeConnection("a", vici.New().SetList("proposals", in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", in, err, want)
		}
	}
	child := func(in ...string) ([]ike.ESPProposal, error) {
		s := vici.New()
		s.Add("children").Add("b").SetList("esp_proposals", in...)
		c, err := DecodeConnection("a", s)
		if err != nil {
			return nil, err
		}
		return c.Children[0].Proposals, nil
	}
	got, err := child("aes128gcm16-x25519-esn-noesn", "aes128-sha1")
	want := []ike.ESPProposal{
		{Encrs: []ike.EncrSpec{gcm}, KEs: []suite.KE{suite.KECurve25519}, ESN: []bool{true, false}},
		{Encrs: []ike.EncrSpec{cbc}, Integs: []suite.Integ{suite.IntegHMACSHA196}, ESN: []bool{false}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := child("aes128gcm16-prfsha256"); err == nil || !strings.Contains(err.Error(), "a PRF belongs to") {
		t.Error(err)
	}
}

func TestSelectors(t *testing.T) {
	a := netip.MustParseAddr
	for in, want := range map[string]ike.Selector{
		"dynamic":                     {Dynamic: true, PortTo: 65535},
		"dynamic[udp/53]":             {Dynamic: true, Proto: 17, PortFrom: 53, PortTo: 53},
		"10.1.2.3/8":                  {From: a("10.0.0.0"), To: a("10.255.255.255"), PortTo: 65535},
		"10.1.2.3":                    {From: a("10.1.2.3"), To: a("10.1.2.3"), PortTo: 65535},
		"10.0.0.1 - 10.0.0.9[6]":      {From: a("10.0.0.1"), To: a("10.0.0.9"), Proto: 6, PortTo: 65535},
		"0.0.0.0/0[tcp/1000-2000]":    {From: a("0.0.0.0"), To: a("255.255.255.255"), Proto: 6, PortFrom: 1000, PortTo: 2000},
		"::/0[ipv6-icmp]":             {From: a("::"), To: a("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Proto: 58, PortTo: 65535},
		"2001:db8::/33[icmpv6/32768]": {From: a("2001:db8::"), To: a("2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"), Proto: 58, PortFrom: 32768, PortTo: 32768},
		"10.0.0.0/8[tcp/%any]":        {From: a("10.0.0.0"), To: a("10.255.255.255"), Proto: 6, PortTo: 65535},
		"10.0.0.0/8[tcp/http]":        {From: a("10.0.0.0"), To: a("10.255.255.255"), Proto: 6, PortFrom: 80, PortTo: 80},
	} {
		got, expected := parseSelector(in)
		if diff := cmp.Diff(want, got, addrCmp); expected != "" || diff != "" {
			t.Errorf("%q: %s %s", in, expected, diff)
		}
	}
	for _, in := range []string{"", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "dynamic[", "dynamic[tcp", "dynamic[zzz]", "dynamic[256]",
		"dynamic[gre/1]", "dynamic[/80]", "dynamic[tcp/90-80]", "dynamic[tcp/70000]", "dynamic[tcp/opaque]", "::ffff:1.2.3.4", "fe80::1%eth0"} {
		if _, expected := parseSelector(in); expected == "" {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestAddrs(t *testing.T) {
	a := netip.MustParseAddr
	for in, want := range map[string]ike.AddrSpec{
		"%any": {}, "192.0.2.1": {From: a("192.0.2.1"), To: a("192.0.2.1")}, "%any6": {From: a("::"), To: a("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
		"192.0.2.77/24": {From: a("192.0.2.0"), To: a("192.0.2.255")}, "gw.example.org": {Host: "gw.example.org"}, "a-b_c": {Host: "a-b_c"},
	} {
		if got, ok := parseAddrSpec(in); !ok || got != want {
			t.Errorf("%q: %v %v", in, ok, got)
		}
	}
	for _, in := range []string{"", "1.2.3", "1.2.3.4.5", "1.2.3.4/40", "a b", "-a", "a..b", "a/b", "%anyone", "::ffff:1.2.3.4", strings.Repeat("a", 64)} {
		if got, ok := parseAddrSpec(in); ok {
			t.Errorf("%q became %v", in, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "90": 90 * time.Second, "90s": 90 * time.Second, "3m": 3 * time.Minute, "4h": 4 * time.Hour, "1d": 24 * time.Hour} {
		if got, ok := parseDuration(in); !ok || got != want {
			t.Errorf("%q: %v %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "s", "-1", "1.5h", "1w", "99999999999", "4000d", "1 2"} {
		if got, ok := parseDuration(in); ok {
			t.Errorf("%q became %v", in, got)
		}
	}
}

func TestAuth(t *testing.T) {
	for in, want := range map[string][]string{
		"pubkey": nil, "rsa": {"rsa"}, "rsa/pss": {"rsa-pss"}, "ecdsa": {"ecdsa"}, "ed25519": {"ed25519"},
		"rsa-sha256": {"rsa-pkcs1-sha256", "rsa-pss-sha256"}, "ike:rsa/pss-sha512-sha256": {"rsa-pss-sha512", "rsa-pss-sha256"},
		"ecdsa-sha384": {"ecdsa-sha384"}, "pubkey-sha256": {"rsa-pkcs1-sha256", "rsa-pss-sha256", "ecdsa-sha256"},
	} {
		c, err := DecodeConnection("a", vici.New().SetSub("local", vici.New().Set("auth", in)))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if diff := cmp.Diff(&ike.Auth{Method: ike.AuthPubkey, Schemes: want}, c.Local[0]); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	for _, in := range []string{"", "md5", "rsa-sha1", "rsa-2048", "pubkey-md5", "ed25519-sha512", "xauth", "eap-tls", "rsa/pkcs"} {
		if _, err := DecodeConnection("a", vici.New().SetSub("local", vici.New().Set("auth", in))); err == nil {
			t.Errorf("auth = %q was accepted", in)
		}
	}
}

func TestPool(t *testing.T) {
	p, err := DecodePool("p", vici.New().Set("addrs", "10.9.0.0/16").SetList("dns", "10.0.0.53", "2001:db8::53").
		SetList("nbns", "10.0.0.54").SetList("subnet", "10.0.0.0/9", "2001:db8::/32").SetList("25", "example.org"))
	want := ike.Pool{
		Name: "p", From: netip.MustParseAddr("10.9.0.0"), To: netip.MustParseAddr("10.9.255.255"), Prefix: netip.MustParsePrefix("10.9.0.0/16"),
		DNS: []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("2001:db8::53")},
		Attrs: []ike.Attr{
			{Type: 4, Value: []byte{10, 0, 0, 54}}, {Type: 13, Value: []byte{10, 0, 0, 0, 255, 128, 0, 0}},
			{Type: 15, Value: []byte{0: 0x20, 1: 1, 2: 0x0d, 3: 0xb8, 16: 32}}, {Type: 25, Value: []byte("example.org")},
		},
	}
	if diff := cmp.Diff(want, p, addrCmp); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestShared(t *testing.T) {
	s, err := DecodeShared(vici.New().Set("id", "x").Set("type", "ike").Set("data", "0xnot decoded").SetList("owners", "a@b", "foo.example.org"))
	if err != nil || !s.Secret.Equal(secret.New([]byte("0xnot decoded"))) || len(s.Owners) != 2 || s.Owners[0].Type != ike.IDRFC822 {
		t.Errorf("%+v %v", s, err)
	}
	for in, want := range map[string]string{"0x0102": "\x01\x02", "0sYWJj": "abc", "0sYWJjZA==": "abcd", "abc": "abc", " a ": " a "} {
		if got, err := decodeSecret([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for want, s := range map[string]*vici.Section{
		`type: "eap" is refused: EAP is not built yet`: vici.New().Set("type", "eap").Set("data", "x"),
		"data: expected a secret, found nothing":       vici.New().Set("type", "ike"),
		"data: expected a private key":                 vici.New(),
	} {
		var err error
		if _, err = DecodeShared(s); strings.Contains(want, "private") {
			_, err = DecodeKey(s)
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, expected %s", err, want)
		}
	}
}

// FuzzDecode: no text makes the decoder panic, and no secret is in an error or in the normalised text.
func FuzzDecode(f *testing.F) {
	f.Add("connections {\n a {\n local_addrs = 1.2.3.4\n children {\n b {\n local_ts = 10.0.0.0/8[tcp/80]\n}\n}\n}\n}")
	f.Add("pools {\n a {\n addrs = 1.2.3.4\n 25 = a\n}\n}\nsecrets {\n ike {\n secret = 0xhushhush\n}\n}\ndaemon {\n fwmark = 5\n}")
	f.Fuzz(func(t *testing.T, in string) {
		tree, err := conf.Parse("t", []byte(in), nil)
		if err != nil {
			return
		}
		s := tree.Section()
		text := Normalise(s)
		again, err := conf.Parse("t", []byte(text), nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(text, Normalise(again.Section())); diff != "" {
			t.Fatal(diff)
		}
		c, _, err := Decode(s, tree.Templates())
		if (c == nil) != (err != nil) {
			t.Fatal("neither a configuration nor an error")
		}
	})
}

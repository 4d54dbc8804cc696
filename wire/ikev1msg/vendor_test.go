// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The tables of vendor IDs against what the documents say: the rows are typed from the field notes on NAT-T (section 1.1,
// order 2.1.14, section 1.7), in numbers and not in this package's constants, and hashes are computed from their texts.

package ikev1msg

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/wire/natt"
)

// row is one line of the table: vendor ID, payload numbers, encapsulation modes, NAT-OA payloads, whether IKE goes to port
// 4500, octets of marker before ESP and before IKE.
type row struct {
	hashed, id            string
	natD, natOA           uint8
	tunnel, transport     uint16
	addresses             int
	floats                bool
	beforeESP, beforeIKE  int
	sourceFirst, inactive bool
}

// inOrder has the rows from the best to the worst.
var inOrder = [...]row{
	{"RFC 3947", "4a131c81070358455c5728f20e95452f", 20, 21, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-09", "42ea5b6f898d9773a575df26e7dd19e1", 20, 21, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-08", "8f8d83826d246b6fc7a8a6a428c11de8", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-07", "439b59f8ba676c4c7737ae22eab8f582", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-06", "4d1e0e136deafa34c4f3ea9f02ec7285", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-05", "80d0bb3def54565ee84645d4c85ce3ee", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-04", "9909b64eed937c6573de52ace952fa6b", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"RFC XXXX", "810fa565f8ab14369105d706fbd57279", 15, 16, 3, 4, 2, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike", "4df37928e9fc4fd1b3262170d515c662", 15, 0, 3, 4, 0, true, 0, 4, true, false},
	{"draft-ietf-ipsec-nat-t-ike-03", "7d9419a65310ca6f2c179d9215529d56", 130, 131, 61443, 61444, 1, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-02\n", "90cb80913ebb696e086381b5ec427b1f", 130, 131, 61443, 61444, 1, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-02", "cd60464335df21f87cfdb2fc68b6a448", 130, 131, 61443, 61444, 1, true, 0, 4, false, false},
	{"draft-ietf-ipsec-nat-t-ike-01", "16f6ca16e4a4066d83821a0f0aeaa862", 130, 131, 61443, 61444, 1, false, 8, 0, false, false},
	{"draft-ietf-ipsec-nat-t-ike-00", "4485152d18b6bbcd0be8a8469579ddcc", 130, 131, 61443, 61444, 1, false, 8, 0, false, false},
	{hashed: "Testing NAT-T RFC", id: "c40fee00d5d39ddb1fc762e09b7cfea7", inactive: true},
	{hashed: "draft-stenberg-ipsec-nat-traversal-01", id: "27bab5dc01ea0760ea4e3190ac27c0d0", inactive: true},
	{hashed: "draft-stenberg-ipsec-nat-traversal-02", id: "6105c422e76847e43f9684801292aecd", inactive: true},
	{hashed: "draft-huttunen-ipsec-esp-in-udp-00.txt", id: "6a7434c19d7e36348090a02334c9c805", inactive: true},
	{hashed: "ESPThruNAT", id: "50760f624c63e5c53eea386c685ca083", inactive: true},
}

func TestNATTRows(t *testing.T) {
	if len(nattRows) != len(inOrder) {
		t.Errorf("%d rows, expected %d", len(nattRows), len(inOrder))
	}
	for i, want := range inOrder {
		sum := md5.Sum([]byte(want.hashed))
		if hex.EncodeToString(sum[:]) != want.id {
			t.Errorf("%q: MD5 is %x, typed was %s", want.hashed, sum, want.id)
		}
		n, ok := FindNATT(sum[:])
		if !ok || n.Hashed != want.hashed || !bytes.Equal(n.ID(), sum[:]) || n.Name == "" {
			t.Errorf("%q is not found: %+v", want.hashed, n)
			continue
		}
		got := row{n.Hashed, n.VendorID, uint8(n.NATD), uint8(n.NATOA), uint16(n.Tunnel), uint16(n.Transport), n.Addresses, n.Floats, 0, 0, n.SourceFirst, !n.Active}
		if n.Active {
			got.beforeESP = len(natt.AppendMarker(nil, n.Encap, natt.ESP))
			got.beforeIKE = len(natt.AppendMarker(nil, n.Encap, natt.IKE))
		}
		if got != want {
			t.Errorf("%+v, expected %+v", got, want)
		}
		if nattRows[i].VendorID != want.id {
			t.Errorf("place %d has %q, expected %q", i, nattRows[i].Hashed, want.hashed)
		}
	}
}

// TestNATTChoice: of every two versions in common the better is chosen, whatever the order they came in; nothing that one
// side alone has sent, and nothing that is only recognised.
func TestNATTChoice(t *testing.T) {
	var all [][]byte
	for _, r := range inOrder {
		all = append(all, unhex(r.id))
	}
	active := len(NATTs())
	if active != 14 {
		t.Fatalf("%d versions may be used, expected 14", active)
	}
	for i := range inOrder {
		for j := range inOrder {
			both := [][]byte{octets(16), all[j], all[i], nil}
			n, ok := ChooseNATT(all, both)
			if best := min(i, j); ok != (best < active) || ok && n.VendorID != inOrder[best].id {
				t.Errorf("of %q and %q: %q, %v", inOrder[i].hashed, inOrder[j].hashed, n.Hashed, ok)
			}
			if i == j {
				continue
			}
			if n, ok := ChooseNATT([][]byte{all[i]}, [][]byte{all[j]}); ok {
				t.Errorf("sent %q, received %q: chose %q", inOrder[i].hashed, inOrder[j].hashed, n.Hashed)
			}
		}
	}
	for i, n := range NATTs() {
		if n.VendorID != inOrder[i].id || !n.Active {
			t.Errorf("place %d may be used: %+v", i, n)
		}
	}
	for _, id := range [][]byte{nil, octets(16), all[0][:15], append(bytes.Clone(all[0]), 0)} {
		if n, ok := FindNATT(id); ok {
			t.Errorf("%x is %q", id, n.Name)
		}
	}
}

// typedVendors has one vendor ID of each kind, as a peer would send it.
var typedVendors = [...]struct {
	id    string // typed
	name  string
	maker Maker
	what  Feature
	tail  string
}{
	{"09002689dfd6b712", "XAUTH", MakerNone, FeatureXAUTH, ""},
	{"afcad71368a1f1c96b8696fc77570100", "DPD", MakerNone, FeatureDPD, "0100"},
	{"3b9031dce4fcf88b489a923963dd0c49", "DPD NG", MakerNone, FeatureNone, ""},
	{"12f5f28c457168a9702d9fe274cc0100", "Cisco Unity", MakerNone, FeatureUnity, "0100"},
	{"12f5f28c457168a9702d9fe274cc02d4", "Cisco Unity", MakerNone, FeatureUnity, "02d4"},
	{"4048b7d56ebce88525e7de7f00d6c2d3", "FRAGMENTATION", MakerNone, FeatureFragmentation, ""},
	{"4048b7d56ebce88525e7de7f00d6c2d380000000", "FRAGMENTATION", MakerNone, FeatureFragmentation, "80000000"},
	{"4048b7d56ebce88525e7de7f00d6c2d3c0000000", "FRAGMENTATION", MakerNone, FeatureFragmentation, "c0000000"},
	{"1f07f70eaa6514d3b0fa96542a500407", "Cisco VPN 3000", MakerCisco, FeatureNone, "0407"},
	{"3e984048aabbccddeeff", "Cisco IOS", MakerCisco, FeatureNone, "aabbccddeeff"},
	{"f6f7efc7f5aeb8cb158cb9d094ba69e7", "Cisco client", MakerCisco, FeatureNone, ""},
	{hex.EncodeToString([]byte("CISCO-DELETE-REASON")), "CISCO-DELETE-REASON", MakerCisco, FeatureNone, ""},
	{hex.EncodeToString([]byte("FLEXVPN-SUPPORTED")), "FLEXVPN-SUPPORTED", MakerCisco, FeatureNone, ""},
	{hex.EncodeToString([]byte("CISCO-DYNAMIC-ROUTE")), "CISCO-DYNAMIC-ROUTE", MakerCisco, FeatureNone, ""},
	{hex.EncodeToString([]byte("CISCOVPN-REV-02")), "CISCOVPN-REV-02", MakerCisco, FeatureNone, ""},
	{"1e2b516905991c7d7c96fcbfb587e46100000009", "MS NT5 ISAKMPOAKLEY", MakerMicrosoft, FeatureNone, "00000009"},
	{"214ca4faffa7f32d6748e5303395ae83", "MS-MamieExists", MakerMicrosoft, FeatureNone, ""},
	{"fb1de3cdf341b7ea16b7e5be0855f120", "MS-Negotiation Discovery", MakerMicrosoft, FeatureNone, ""},
	{"e3a5966a76379fe707228231e5ce8652", "IKE CGA version 1", MakerMicrosoft, FeatureNone, ""},
	{"26244d38eddb61b3172a36e3d0cfb819", "Vid-Initial-Contact", MakerMicrosoft, FeatureNone, ""},
	{"01528bbbc00696121849ab9a1c5b2a5100000002", "Windows", MakerMicrosoft, FeatureNone, "00000002"},
	{"621b04bb09882ac1e15935fefa24aeee", "GSSAPI", MakerNone, FeatureNone, ""},
	{"ad2c0dd0b9c32083ccba25b8861ec455", "GSSAPI", MakerNone, FeatureNone, ""},
	{"7003cbc1097dbe9c2600ba6983bc8b35", "KAME/racoon", MakerRacoon, FeatureNone, ""},
	{"20a3622c1cea7ce37bee3ca484425276", "ipsec-tools", MakerRacoon, FeatureNone, ""},
	{"882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", MakerStrongSwan, FeatureNone, ""},
	{"f14b94b7bff1fef02773b8c49feded26", "Shrew Soft", MakerShrew, FeatureNone, ""},
	{"f4ed19e0c114eb516faaac0ee37daf2807b4381f000000010000138d0000000000000000aabbccdd", "Check Point", MakerCheckPoint, FeatureNone, "000000010000138d0000000000000000aabbccdd"},
	{"defb99e69a9f1f6e06f15006b1f166ae", "Check Point", MakerCheckPoint, FeatureNone, ""},
	{"3cf187b2474029ea46ac7fd0eaf289f500000003", "Check Point EXT_WITH_FLAGS", MakerCheckPoint, FeatureNone, "00000003"},
	{"699369228741c6d4ca094c93e242c9de19e7b7c60000000c00000500", "NetScreen ScreenOS", MakerJuniper, FeatureNone, "0000000c00000500"},
	{"166f932d55eb64d8e4df4fd37e2313f0d0fd84510000000000000000", "NetScreen ScreenOS", MakerJuniper, FeatureNone, "0000000000000000"},
	{hex.EncodeToString([]byte("HeartBeat_Notify")) + "386b0100", "HeartBeat_Notify", MakerJuniper, FeatureNone, ""},
	{"fd808804df73b15150709d878044cde0ac1efcde", "Juniper SRX", MakerJuniper, FeatureNone, ""},
	{"b858d1addd08c1e8adafea150608aa4497aa6cc8", "ZyWALL", MakerZyxel, FeatureNone, ""},
	{"f758f22668750f03b08df6ebe1d0", "ZyWALL", MakerZyxel, FeatureNone, ""},
	{"625027749d5ab97f5616c1602765cf480a3b7d0b", "ZyWALL", MakerZyxel, FeatureNone, ""},
	{"5b362bc820f60001", "SonicWall", MakerSonicWall, FeatureNone, ""},
	{"5b362bc820f60003", "SonicWall", MakerSonicWall, FeatureNone, ""},
	{"5b362bc820f60008", "SonicWall", MakerSonicWall, FeatureNone, ""},
	{"5b362bc820f70001", "SonicWall", MakerSonicWall, FeatureNone, ""},
	{"404bf439522ca3f6", "SonicWall", MakerSonicWall, FeatureNone, ""},
	{"da8e937880010000", "SonicWall, WatchGuard or SafeNet", MakerSonicWall, FeatureNone, ""},
	{"1d6e178f6c2c0be284985465450fe9d4", "FortiGate", MakerFortinet, FeatureNone, ""},
	{"b4f01ca951e9da8d0bafbbd34ad3044e", "Fortinet Endpoint Control", MakerFortinet, FeatureNone, ""},
	{"4c53427b6d465d1b337bb755a37a7fef", "FortiClient", MakerFortinet, FeatureNone, ""},
	{"8404adf9cda05760b2ca292e4bff537b", "Sidewinder", MakerSidewinder, FeatureNone, ""},
	{"dbfb81eb5760b0788562067da102d755", "Netgear", MakerNetgear, FeatureNone, ""},
	{"101fb0b35c5a4f4c08b919f1cb9777b0", "NCP", MakerNCP, FeatureNone, ""},
	{"4bb2b3d31f9bfe5d3a5360b8eaa7c439", "anti-replay", MakerNone, FeatureNone, ""},
}

func TestVendors(t *testing.T) {
	for _, c := range typedVendors {
		id, err := hex.DecodeString(c.id)
		if err != nil {
			t.Fatal(err)
		}
		v, tail, ok := Identify(id)
		if !ok || v.Name != c.name || v.Maker != c.maker || v.Feature != c.what || hex.EncodeToString(tail) != c.tail {
			t.Errorf("%s: %v, %+v, tail %x", c.id, ok, v, tail)
		}
	}
}

// TestVendorTable: every entry is hex, begins no other, is the hash that it says, and is told with as many octets behind it
// as it may have, and no more.
func TestVendorTable(t *testing.T) {
	screenOS := 0
	for i, v := range vendors {
		id, err := hex.DecodeString(v.Prefix)
		if err != nil || len(id) == 0 || len(id) > maxTold {
			t.Errorf("%s: %q", v.Name, v.Prefix)
		}
		if sum := md5.Sum([]byte(v.Hashed)); v.Hashed != "" && !bytes.HasPrefix(sum[:], id) {
			t.Errorf("%s: %x is not of MD5(%q), %x", v.Name, id, v.Hashed, sum)
		}
		if v.Name == "NetScreen ScreenOS" {
			screenOS++
		}
		for j, other := range vendors {
			if i != j && strings.HasPrefix(other.Prefix, v.Prefix) {
				t.Errorf("%s begins %s", v.Name, other.Name)
			}
		}
		for n := range 50 {
			got, tail, ok := Identify(append(bytes.Clone(id), octets(n)...))
			if want := v.Tail < 0 || n <= v.Tail; ok != want || ok && (got != v || len(tail) != n) {
				t.Errorf("%s with %d octets behind it: %+v, %v", v.Name, n, got, ok)
			}
		}
		if _, _, ok := Identify(id[:len(id)-1]); ok {
			t.Errorf("%s is told without its last octet", v.Name)
		}
	}
	if screenOS != 17 {
		t.Errorf("%d vendor IDs of ScreenOS, expected 17", screenOS)
	}
	for _, n := range inOrder {
		if v, _, ok := Identify(unhex(n.id)); ok {
			t.Errorf("%q is also %s", n.hashed, v.Name)
		}
	}
	if _, _, ok := Identify(nil); ok {
		t.Error("nothing is told")
	}
}

// TestFeatureIDs: what we send is what we recognise.
func TestFeatureIDs(t *testing.T) {
	for f, want := range map[Feature]string{
		FeatureXAUTH: "09002689dfd6b712", FeatureDPD: "afcad71368a1f1c96b8696fc77570100", FeatureUnity: "12f5f28c457168a9702d9fe274cc0100",
		FeatureFragmentation: "4048b7d56ebce88525e7de7f00d6c2d380000000",
	} {
		id := FeatureID(f)
		if hex.EncodeToString(id) != want {
			t.Errorf("feature %d: %x", f, id)
		}
		if v, _, ok := Identify(id); !ok || v.Feature != f {
			t.Errorf("%x is %+v", id, v)
		}
	}
	if FeatureID(FeatureNone) != nil {
		t.Error("no feature has a vendor ID")
	}
}

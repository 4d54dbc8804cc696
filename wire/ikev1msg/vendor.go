// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The vendor IDs beside those of NAT-T: of extensions, and of products, which is how a peer with habits of its own is told.
// None is authenticated: what one says may loosen how a message is read, never who may do what.

package ikev1msg

import (
	"encoding/hex"
	"strings"
)

// Feature is an extension that a vendor ID announces.
type Feature uint8

// Features. FeatureNone is the vendor ID of a product, or of an extension that we do not have.
const (
	FeatureNone Feature = iota
	FeatureXAUTH
	FeatureDPD // RFC 3706
	FeatureUnity
	FeatureFragmentation
)

// Maker is who made a product.
type Maker uint8

// Makers. MakerNone is the vendor ID of an extension that several have.
const (
	MakerNone Maker = iota
	MakerCisco
	MakerMicrosoft
	MakerJuniper // NetScreen too
	MakerCheckPoint
	MakerFortinet
	MakerSonicWall
	MakerZyxel
	MakerSidewinder
	MakerNetgear
	MakerNCP
	MakerShrew
	MakerStrongSwan
	MakerRacoon
)

// String is the name of a maker.
func (m Maker) String() string { return nameOf(makerNames[:], "MAKER", uint16(m)) }

var makerNames = [...]string{
	"none", "Cisco", "Microsoft", "Juniper", "Check Point", "Fortinet", "SonicWall", "Zyxel", "Sidewinder", "Netgear", "NCP", "Shrew Soft",
	"strongSwan", "racoon",
}

// What the four octets behind the vendor ID of fragmentation say; without them it is FragmentMain.
const (
	FragmentMain = 0x80000000 // fragments in Main and Aggressive Mode
	FragmentBase = 0x40000000 // fragments in Base Mode
)

// VendorInfo is a known vendor ID.
type VendorInfo struct {
	Name    string
	Maker   Maker
	Feature Feature
	// Prefix are its constant octets, in hex, and Hashed the text whose MD5 they begin with, where that is known.
	Prefix, Hashed string
	// Tail is how many octets may follow: versions, capabilities, time stamps; -1 for any number.
	Tail int
}

// maxTold bounds the octets of a vendor ID that are looked at: the longest constant is shorter.
const maxTold = 32

// Identify tells a vendor ID, and what follows its constant octets.
func Identify(id []byte) (info VendorInfo, tail []byte, ok bool) {
	text := hex.EncodeToString(id[:min(len(id), maxTold)])
	for _, v := range vendors {
		n := len(v.Prefix) / 2
		if strings.HasPrefix(text, v.Prefix) && (v.Tail < 0 || len(id) <= n+v.Tail) {
			return v, id[n:], true
		}
	}
	return VendorInfo{}, nil, false
}

// FeatureID is the vendor ID that announces a feature; nil for FeatureNone.
func FeatureID(f Feature) []byte {
	switch f {
	case FeatureXAUTH:
		return unhex("09002689dfd6b712")
	case FeatureDPD:
		return unhex("afcad71368a1f1c96b8696fc77570100")
	case FeatureUnity:
		return unhex("12f5f28c457168a9702d9fe274cc0100")
	case FeatureFragmentation:
		return unhex("4048b7d56ebce88525e7de7f00d6c2d380000000")
	}
	return nil
}

func feature(f Feature, name, prefix, hashed string, tail int) VendorInfo {
	return VendorInfo{Name: name, Feature: f, Prefix: prefix, Hashed: hashed, Tail: tail}
}

func product(m Maker, name, prefix, hashed string, tail int) VendorInfo {
	return VendorInfo{Name: name, Maker: m, Prefix: prefix, Hashed: hashed, Tail: tail}
}

func screenOS(prefix string) VendorInfo {
	return product(MakerJuniper, "NetScreen ScreenOS", prefix, "", 8)
}

func sonicWall(prefix string) VendorInfo { return product(MakerSonicWall, "SonicWall", prefix, "", 0) }

var vendors = [...]VendorInfo{
	feature(FeatureXAUTH, "XAUTH", "09002689dfd6b712", "draft-ietf-ipsra-isakmp-xauth-06.txt", 0),
	// The last two octets of these two hashes were replaced by a version, 1.0.
	feature(FeatureDPD, "DPD", "afcad71368a1f1c96b8696fc7757", "CISCO-DEAD-PEER-DETECTION", 2),
	feature(FeatureUnity, "Cisco Unity", "12f5f28c457168a9702d9fe274cc", "CISCO-UNITY", 2),
	// Cisco announces both kinds, Windows none and means Main Mode.
	feature(FeatureFragmentation, "FRAGMENTATION", "4048b7d56ebce88525e7de7f00d6c2d3", "FRAGMENTATION", 4),
	feature(FeatureNone, "DPD NG", "3b9031dce4fcf88b489a923963dd0c49", "DPD", 0),
	feature(FeatureNone, "GSSAPI", "621b04bb09882ac1e15935fefa24aeee", "GSSAPI", 0),
	feature(FeatureNone, "GSSAPI", "ad2c0dd0b9c32083ccba25b8861ec455", "A GSS-API Authentication Method for IKE", 0),
	feature(FeatureNone, "anti-replay", "4bb2b3d31f9bfe5d3a5360b8eaa7c439", "", 0),

	product(MakerCisco, "Cisco VPN 3000", "1f07f70eaa6514d3b0fa96542a50", "", 2),
	product(MakerCisco, "Cisco IOS", "3e984048", "", -1),
	product(MakerCisco, "Cisco client", "f6f7efc7f5aeb8cb158cb9d094ba69e7", "", 0),
	product(MakerCisco, "CISCO-DELETE-REASON", "434953434f2d44454c4554452d524541534f4e", "", 0),
	product(MakerCisco, "FLEXVPN-SUPPORTED", "464c455856504e2d535550504f52544544", "", 0),
	product(MakerCisco, "CISCO-DYNAMIC-ROUTE", "434953434f2d44594e414d49432d524f555445", "", 0),
	product(MakerCisco, "CISCOVPN-REV-02", "434953434f56504e2d5245562d3032", "", 0),

	product(MakerMicrosoft, "MS NT5 ISAKMPOAKLEY", "1e2b516905991c7d7c96fcbfb587e461", "MS NT5 ISAKMPOAKLEY", 4),
	product(MakerMicrosoft, "MS-MamieExists", "214ca4faffa7f32d6748e5303395ae83", "MS-MamieExists", 0),
	product(MakerMicrosoft, "MS-Negotiation Discovery", "fb1de3cdf341b7ea16b7e5be0855f120", "MS-Negotiation Discovery Capable", 0),
	product(MakerMicrosoft, "IKE CGA version 1", "e3a5966a76379fe707228231e5ce8652", "IKE CGA version 1", 0),
	product(MakerMicrosoft, "Vid-Initial-Contact", "26244d38eddb61b3172a36e3d0cfb819", "Vid-Initial-Contact", 0),
	product(MakerMicrosoft, "Windows", "01528bbbc00696121849ab9a1c5b2a51", "", 4),

	screenOS("166f932d55eb64d8e4df4fd37e2313f0d0fd8451"),
	screenOS("299ee8289f40a8973bc78687e2e7226b532c3b76"),
	screenOS("2a2bcac19b8e91b426107807e02e7249569d6fd3"),
	screenOS("3a15e1f3cf2a63582e3ac82d1c64cbe3b6d779e7"),
	screenOS("47d2b126bfcd83489760e2cf8c5d4d5a03497c15"),
	screenOS("4a4340b543e02b84c88a8b96a8af9ebe77d9accc"),
	screenOS("64405f46f03b7660a23be116a1975058e69e8387"),
	screenOS("699369228741c6d4ca094c93e242c9de19e7b7c6"),
	screenOS("8c0dc6cf62a0ef1b5c6eabd1b67ba69866adf16a"),
	screenOS("92d27a9ecb31d99246986d3453d0c3d57a222a61"),
	screenOS("9436e8d67174ef9aed068d5ad5213f187a3f8ba6"),
	screenOS("9b096d9ac3275a7d6fe8b91c583111b09efed1a0"),
	screenOS("a35bfd05ca1ac0b3d2f24e9e82bfcbff9c9e52b5"),
	screenOS("bf03746108d746c904f1f3547de24f78479fed12"),
	screenOS("c2e80500f4cc5fbf5daaeed3bb59abaeee56c652"),
	screenOS("c8660a62b03b1b6130bf781608d32a6a8d0fb89f"),
	screenOS("f885da40b1e7a9abd17655ec5bbec0f21f0ed52e"),
	product(MakerJuniper, "HeartBeat_Notify", "4865617274426561745f4e6f74696679386b0100", "", 0),
	product(MakerJuniper, "Juniper SRX", "fd808804df73b15150709d878044cde0ac1efcde", "", 0),

	// Product, version, time stamp, reserved and features follow; the last vendor ID of its message.
	product(MakerCheckPoint, "Check Point", "f4ed19e0c114eb516faaac0ee37daf2807b4381f", "", 20),
	product(MakerCheckPoint, "Check Point", "defb99e69a9f1f6e06f15006b1f166ae", "", 0),
	product(MakerCheckPoint, "Check Point EXT_WITH_FLAGS", "3cf187b2474029ea46ac7fd0eaf289f5", "", 4),

	product(MakerFortinet, "FortiGate", "1d6e178f6c2c0be284985465450fe9d4", "", 0),
	product(MakerFortinet, "Fortinet Endpoint Control", "b4f01ca951e9da8d0bafbbd34ad3044e", "Fortinet Endpoint Control", 0),
	product(MakerFortinet, "FortiClient", "4c53427b6d465d1b337bb755a37a7fef", "forticlient connect license", 0),

	sonicWall("5b362bc820f60001"), sonicWall("5b362bc820f60002"), sonicWall("5b362bc820f60003"), sonicWall("5b362bc820f60005"),
	sonicWall("5b362bc820f60006"), sonicWall("5b362bc820f60007"), sonicWall("5b362bc820f60008"), sonicWall("5b362bc820f70001"),
	sonicWall("404bf439522ca3f6"),
	product(MakerSonicWall, "SonicWall, WatchGuard or SafeNet", "da8e937880010000", "", 0),

	product(MakerZyxel, "ZyWALL", "b858d1addd08c1e8adafea150608aa4497aa6cc8", "", 0),
	product(MakerZyxel, "ZyWALL", "f758f22668750f03b08df6ebe1d0", "", 0),
	product(MakerZyxel, "ZyWALL", "625027749d5ab97f5616c1602765cf480a3b7d0b", "", 0),

	product(MakerSidewinder, "Sidewinder", "8404adf9cda05760b2ca292e4bff537b", "", 0),
	product(MakerNetgear, "Netgear", "dbfb81eb5760b0788562067da102d755", "", 0),
	product(MakerNCP, "NCP", "101fb0b35c5a4f4c08b919f1cb9777b0", "", 0),
	product(MakerShrew, "Shrew Soft", "f14b94b7bff1fef02773b8c49feded26", "", 0),
	product(MakerStrongSwan, "strongSwan", "882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", 0),
	product(MakerRacoon, "KAME/racoon", "7003cbc1097dbe9c2600ba6983bc8b35", "KAME/racoon", 0),
	product(MakerRacoon, "ipsec-tools", "20a3622c1cea7ce37bee3ca484425276", "IPSec-Tools", 0),
}

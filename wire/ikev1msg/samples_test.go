// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1msg

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// octets is n octets that are not all alike.
func octets(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

// phase1 is an offer with durations in every form.
func phase1() *SA {
	return &SA{Proposals: []Proposal{{Number: 1, Protocol: ProtoISAKMP, SPI: []byte{}, Transforms: []Transform{
		{Number: 1, ID: KeyIKE, Attributes: Phase1{Encr: EncrAES, KeyLen: 256, Hash: HashSHA256, Auth: AuthRSA, Group: GroupMODP2048,
			Life: Lifetime{Seconds: 86400, Kilobytes: 1 << 20}}.Attributes()},
		{Number: 2, ID: KeyIKE, Attributes: Phase1{Encr: Encr3DES, Hash: HashMD5, Auth: AuthXAUTHInitPSK, Group: GroupMODP1024,
			Life: Lifetime{Seconds: 3600}}.Attributes()},
		{Number: 3, ID: KeyIKE, Attributes: []Attribute{
			Variable(AttrLifeDuration, []byte{0, 1, 0x51, 0x80}), Variable(99, []byte{}), Variable(AttrGSSIdentity, octets(20)), Basic(98, 0),
		}},
	}}}}
}

// phase2 is an offer of two protocols together, and of one alone.
func phase2() *SA {
	spi := []byte{0xc0, 0, 0, 1}
	esp := Phase2{Encap: EncapUDPTransportDraft, Auth: AuthHMACSHA1, KeyLen: 128, Group: GroupMODP1024, Life: Lifetime{Seconds: 3600}}
	return &SA{Proposals: []Proposal{
		{Number: 0, Protocol: ProtoESP, SPI: spi, Transforms: []Transform{{Number: 0, ID: uint8(ESPAESCBC), Attributes: esp.Attributes()}}},
		{Number: 0, Protocol: ProtoIPComp, SPI: []byte{0x12, 0x34}, Transforms: []Transform{{ID: uint8(IPCompDEFLATE), Attributes: []Attribute{Basic(AttrSAEncap, 2)}}}},
		{Number: 7, Protocol: ProtoAH, SPI: spi, Transforms: []Transform{{ID: uint8(AHSHA1)}, {Number: 255, ID: 255}}},
		{Number: 7, Protocol: ProtoIPComp, SPI: []byte{0, 0, 0x12, 0x34}, Transforms: []Transform{{ID: uint8(IPCompLZS)}}},
		{Number: 8, Protocol: 200, SPI: octets(16), Transforms: []Transform{{}}},
	}}
}

// chains are payload lists with every payload there is, in the messages where they belong.
func chains() map[string][]Payload {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	return map[string][]Payload{
		"main 1": {phase1(), &Vendor{Data: octets(16)}, &Vendor{Data: []byte{}}},
		"main 3": {&KE{Data: octets(256)}, &Nonce{Data: octets(MinNonce)}, &CertReq{Encoding: CertX509Signature, Authority: []byte{}},
			&NATD{Num: TypeNATD, Data: octets(20)}, &NATD{Num: TypeNATD15, Data: octets(16)}, &NATD{Num: TypeNATD130, Data: octets(64)}},
		"main 5": {&ID{IDType: IDDERASN1DN, Data: octets(60)}, &Cert{Encoding: CertX509Signature, Data: octets(700)},
			&Sig{Data: octets(256)}, &Notify{DOI: DOIIPsec, Protocol: ProtoISAKMP, SPI: octets(CookiePair), Notify: InitialContact, Data: []byte{}}},
		"aggressive": {phase1(), &KE{Data: octets(128)}, &Nonce{Data: octets(MaxNonce)}, &ID{IDType: IDKeyID, Proto: 17, Port: 500, Data: []byte("group")},
			&Hash{Data: octets(20)}},
		"quick": {&Hash{Data: octets(32)}, phase2(), &Nonce{Data: octets(20)}, &ID{IDType: IDIPv4, Proto: 17, Port: 1701, Data: octets(4)},
			&ID{IDType: IDIPv6Subnet, Data: octets(32)}, &NATOA{Num: TypeNATOA, Addr: v4}, &NATOA{Num: TypeNATOA, Addr: v6},
			&NATOA{Num: TypeNATOA131, Addr: v4}, &NATOA{Num: TypeNATOA16, Addr: v4}},
		"notifies": {&Hash{Data: octets(16)},
			&Notify{DOI: DOIISAKMP, Protocol: ProtoISAKMP, SPI: []byte{}, Notify: NoProposalChosen, Data: []byte{}},
			&Notify{DOI: DOIIPsec, Protocol: ProtoESP, SPI: octets(4), Notify: ReplayStatus, Data: []byte{0, 0, 0, 1}},
			&Notify{DOI: DOIIPsec, Protocol: ProtoESP, SPI: octets(4), Notify: ResponderLifetime, Data: LifetimeData(ProtoESP, Lifetime{Seconds: 70000, Kilobytes: 9})},
			&Notify{DOI: DOIIPsec, Protocol: ProtoISAKMP, SPI: octets(8), Notify: 12345, Data: octets(8)},
			&Notify{DOI: DOIIPsec, Protocol: ProtoISAKMP, SPI: octets(16), Notify: RUThere, Data: octets(4)}},
		"deletes": {&Hash{Data: octets(20)}, &Delete{DOI: DOIIPsec, Protocol: ProtoESP, SPIs: [][]byte{octets(4), {0xc0, 0, 0, 2}}},
			&Delete{DOI: DOIIPsec, Protocol: ProtoISAKMP, SPIs: [][]byte{octets(16)}}, &Delete{DOI: DOIISAKMP, Protocol: ProtoIPComp, SPIs: [][]byte{{1, 2}}}},
		"config": {&Hash{Data: octets(20)}, &Config{CfgType: CfgReply, ID: 0x1234, Attributes: []Attribute{
			Basic(AttrXAUTHStatus, XAUTHOK), Variable(AttrIP4Address, octets(4)), Variable(AttrXAUTHPassword, []byte("secret")),
			Variable(AttrUnityBanner, []byte{}), UnityNets(AttrUnitySplitInclude, []UnityNet{{Net: netip.MustParsePrefix("10.1.0.0/16"), Proto: 6, DstPort: 80}}),
		}}, &Config{CfgType: CfgAck}},
		"fragment": {&Fragment{ID: 7, Number: 2, Flags: FragmentLast, Data: octets(100)}},
		"unknown":  {&Unknown{Num: TypeKD, Body: octets(3)}, &Unknown{Num: TypeNATOA16, Body: octets(9)}, &Unknown{Num: TypeGSS, Body: []byte{}}, &Unknown{Num: 255, Body: octets(5)}},
	}
}

func header(exchange Exchange, flags uint8, id uint32) isakmp.Header {
	return isakmp.Header{SPIi: 0x0123456789abcdef, SPIr: 0xfedcba9876543210, Major: 1, Exchange: uint8(exchange), Flags: flags, MessageID: id}
}

// datagrams are whole messages in the clear, and one that is encrypted.
func datagrams() map[string][]byte {
	all := map[string][]byte{}
	for name, c := range chains() {
		m := Message{Header: header(QuickMode, 0, 0x01020304), Chain: Chain{Payloads: c}}
		all[name] = m.Append(nil)
	}
	m := Message{Header: header(QuickMode, FlagEncryption, 5), Encrypted: octets(64)}
	m.NextPayload = uint8(TypeHash)
	all["encrypted"] = m.Append(nil)
	return all
}

// parseExact reads payloads that fill b.
func parseExact(first PayloadType, b []byte) (*Chain, error) {
	c, err := parseChain(first, b)
	if err == nil && len(c.Padding()) > 0 {
		return nil, fmt.Errorf("%d octets of padding", len(c.Padding()))
	}
	return c, err
}

// withLength is b with the Length of its header made true.
func withLength(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= isakmp.HeaderLen {
		b[24], b[25], b[26], b[27] = byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b))
	}
	return b
}

// clear is b with its encryption flag cleared, so that what is behind the header is read.
func clear(b []byte) []byte {
	b = withLength(b)
	if len(b) >= isakmp.HeaderLen {
		b[19] &^= FlagEncryption
	}
	return b
}

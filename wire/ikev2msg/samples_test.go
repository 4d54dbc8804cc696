// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2msg

import (
	"bytes"
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

func offer(protocol Protocol, spi []byte) *SA {
	return &SA{Proposals: []Proposal{
		{Number: 1, Protocol: protocol, SPI: spi, Transforms: []Transform{
			{Type: TransformEncr, ID: 20, KeyLen: 256},
			{Type: TransformEncr, ID: 20, KeyLen: 128},
			{Type: TransformPRF, ID: 5, KeyLen: -1},
			{Type: TransformKE, ID: 31, KeyLen: -1},
		}},
		{Number: 2, Protocol: protocol, SPI: spi, Transforms: []Transform{
			{Type: TransformEncr, ID: 12, KeyLen: 256},
			{Type: TransformInteg, ID: 12, KeyLen: -1},
			{Type: TransformPRF, ID: 5, KeyLen: -1},
			{Type: TransformKE, ID: 14, KeyLen: -1},
		}},
	}}
}

func selectors(initiator bool) *TS {
	return &TS{Initiator: initiator, Selectors: []Selector{
		{Proto: 17, PortFrom: 53, PortTo: 53, AddrFrom: netip.MustParseAddr("10.0.0.0"), AddrUpTo: netip.MustParseAddr("10.0.0.255")},
		{PortTo: 65535, AddrFrom: netip.MustParseAddr("2001:db8::"), AddrUpTo: netip.MustParseAddr("2001:db8::ffff")},
		{Proto: 1, PortFrom: 65535, AddrFrom: netip.MustParseAddr("192.0.2.1"), AddrUpTo: netip.MustParseAddr("192.0.2.1")},
		{PortTo: 65535, AddrFrom: netip.MustParseAddr("::ffff:192.0.2.1"), AddrUpTo: netip.MustParseAddr("::ffff:192.0.2.9")},
	}}
}

// chains are payload lists with every payload there is, in the messages where they belong.
func chains() map[string][]Payload {
	spi := []byte{0xc0, 0, 0, 1}
	return map[string][]Payload{
		"IKE_SA_INIT": {
			&Notify{Protocol: ProtoNone, Notify: Cookie, Data: octets(24)},
			offer(ProtoIKE, nil), &KE{Group: 31, Data: octets(32)}, &Nonce{Data: octets(32)},
			&Notify{Notify: NATDetectionSourceIP, Data: octets(20)},
			&Notify{Notify: NATDetectionDestinationIP, Data: octets(20)},
			&Notify{Notify: IKEv2FragmentationSupport},
			&Notify{Notify: SignatureHashAlgorithms, Data: []byte{0, 2, 0, 3, 0, 4}},
			&Vendor{Data: octets(16)},
		},
		"IKE_AUTH request": {
			&ID{Initiator: true, IDType: 2, Data: []byte("client.example.org")},
			&Cert{Encoding: CertEncodingX509Signature, Data: octets(700)},
			&CertReq{Encoding: CertEncodingX509Signature, Authorities: octets(40)},
			&ID{IDType: 1, Data: []byte{192, 0, 2, 1}},
			&Auth{Method: 14, Data: octets(256)},
			&CP{CfgType: CFGRequest, Attributes: []Attribute{
				{Kind: AttrIP4Address, Value: []byte{}}, {Kind: AttrIP6Address, Value: octets(17)}, {Kind: AttrIP4DNS, Value: octets(4)},
				{Kind: AttrApplicationVersion, Value: []byte("x")}, {Kind: 28672, Value: octets(3)},
			}},
			offer(ProtoESP, spi), selectors(true), selectors(false), &Notify{Notify: InitialContact},
		},
		"EAP":             {&EAP{Data: []byte{1, 1, 0, 5, 1}}},
		"REKEY_SA":        {&Notify{Protocol: ProtoESP, SPI: spi, Notify: RekeySA}, offer(ProtoESP, spi), &Nonce{Data: octets(16)}},
		"IKE rekey":       {offer(ProtoIKE, octets(8)), &Nonce{Data: octets(256)}, &KE{Group: 14, Data: octets(256)}},
		"delete children": {&Delete{Protocol: ProtoESP, SPIs: []uint32{0xc0000001, 0xc0000002}}},
		"delete IKE":      {&Delete{Protocol: ProtoIKE}},
		"nothing":         {},
		"unknown":         {&Unknown{Num: 199, Body: octets(5)}, &Unknown{Num: 1, Body: []byte{}}},
		"odd transform": {&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtoESP, SPI: spi, Transforms: []Transform{
			{Type: TransformEncr, ID: 20, KeyLen: 256, Unknown: true, Attrs: []byte{0x80, 14, 1, 0, 0x80, 15, 0, 1, 0, 99, 0, 2, 7, 7}},
		}}}}},
		"answer": {&SA{Proposals: []Proposal{{Number: 2, Protocol: ProtoESP, SPI: spi, Transforms: []Transform{
			{Type: TransformESN, ID: 0, KeyLen: -1},
		}}}}},
	}
}

func header(exchange Exchange, flags uint8, id uint32) isakmp.Header {
	return isakmp.Header{SPIi: 0x0123456789abcdef, SPIr: 0xfedcba9876543210, Major: 2, Exchange: uint8(exchange), Flags: flags, MessageID: id}
}

// datagrams are whole messages, of clear and of encrypted kind.
func datagrams() map[string][]byte {
	all := map[string][]byte{}
	for name, c := range chains() {
		m := Message{Header: header(IKESAInit, isakmp.FlagInitiator, 0), Payloads: c}
		all[name] = m.Append(nil)
	}
	for name, c := range map[string][]Payload{
		"SK":       {&Encrypted{First: TypeIDi, Body: octets(80)}},
		"empty SK": {&Encrypted{Body: octets(28)}},
		"N SK":     {&Notify{Notify: InvalidSyntax}, &Encrypted{First: TypeIDi, Body: octets(80)}},
		"SKF 1/2":  {&Encrypted{First: TypeIDi, Number: 1, Total: 2, Body: octets(80)}},
		"SKF 2/2":  {&Encrypted{Number: 2, Total: 2, Body: octets(80)}},
	} {
		m := Message{Header: header(IKEAuth, isakmp.FlagInitiator, 1), Payloads: c}
		all[name] = m.Append(nil)
	}
	return all
}

// withLength is b with the Length of its header made true.
func withLength(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= isakmp.HeaderLen {
		b[24], b[25], b[26], b[27] = byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b))
	}
	return b
}

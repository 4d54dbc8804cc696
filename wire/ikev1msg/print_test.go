// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What messages print as in logs and transcripts, and what they do not.

package ikev1msg

import (
	"fmt"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	frag := func(p *Fragment) []Payload { return []Payload{p} }
	for want, m := range map[string]Message{
		"MAIN 00000000 { SA V NAT-D NAT-D(15) NAT-D(130) }": {Header: header(MainMode, 0, 0), Chain: Chain{Payloads: []Payload{
			&SA{}, &Vendor{}, &NATD{Num: TypeNATD}, &NATD{Num: TypeNATD15}, &NATD{Num: TypeNATD130}}}},
		"INFORMATIONAL 00000007 { N(NO_PROPOSAL_CHOSEN) N(REPLAY_STATUS c0000001) D(ESP c0000001) N(NOTIFY_9999) }": {
			Header: header(Informational, 0, 7), Chain: Chain{Payloads: []Payload{&Notify{Notify: NoProposalChosen},
				&Notify{Notify: ReplayStatus, SPI: []byte{0xc0, 0, 0, 1}}, &Delete{Protocol: ProtoESP, SPIs: [][]byte{{0xc0, 0, 0, 1}}}, &Notify{Notify: 9999}}}},
		"QUICK 1a2b3c4d *":                           {Header: header(QuickMode, FlagEncryption, 0x1a2b3c4d)},
		"EXCHANGE_99 00000000 { FRAGMENT(3, last) }": {Header: header(99, 0, 0), Chain: Chain{Payloads: frag(&Fragment{Number: 3, Flags: 0xff})}},
		"BASE 00000000 { FRAGMENT(1) }":              {Header: header(Base, 0, 0), Chain: Chain{Payloads: frag(&Fragment{Number: 1, Flags: 0xfe})}},
		"TRANSACTION 00000000 { CONFIG(SET XAUTH_STATUS ATTRIBUTE_1000) CONFIG(CFG_9) PAYLOAD_200 GSS }": {
			Header: header(Transaction, 0, 0), Chain: Chain{Payloads: []Payload{
				&Config{CfgType: CfgSet, Attributes: []Attribute{Basic(AttrXAUTHStatus, 1), Basic(1000, 1)}}, &Config{CfgType: 9}, &Unknown{Num: 200}, &Unknown{Num: TypeGSS}}}},
	} {
		if got := m.Summary(); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

// TestSecretsAreNotPrinted: XAUTH's password is an attribute, and decrypted octets are in a Chain.
func TestSecretsAreNotPrinted(t *testing.T) {
	first, b := AppendPayloads(nil, []Payload{&Config{CfgType: CfgReply, Attributes: []Attribute{Variable(AttrXAUTHPassword, []byte("hunter2hunter2"))}}})
	c, err := ParseDecrypted(first, b)
	if err != nil {
		t.Fatal(err)
	}
	m := Message{Chain: *c}
	config := c.Payloads[0].(*Config)
	text, _ := config.Attributes[0].MarshalText()
	for _, v := range []any{c, *c, m, &m, config, *config, config.Attributes, config.Attributes[0], string(text)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			s := fmt.Sprintf(verb, v)
			for _, secret := range []string{"hunter2", "68756e74657232", "104 117 110", "0x68, 0x75"} {
				if strings.Contains(s, secret) {
					t.Errorf("%T with %s is %s", v, verb, s)
				}
			}
		}
	}
}

// TestT103Summaries: however long the peer's list is, its summary is not.
func TestT103Summaries(t *testing.T) {
	d := &Delete{Protocol: ProtoISAKMP}
	for range MaxDeleted {
		d.SPIs = append(d.SPIs, octets(CookiePair))
	}
	c := &Config{CfgType: CfgSet}
	for n := range MaxAttributes {
		c.Attributes = append(c.Attributes, Basic(uint16(16000+n), 1))
	}
	for _, p := range []Payload{d, c} {
		s := p.summary()
		printable(t, "summary", s)
		if len(s) > 512 || !strings.Contains(s, "...") {
			t.Errorf("%d octets: %s", len(s), s)
		}
	}
	d.SPIs, c.Attributes = d.SPIs[:maxShown], c.Attributes[:maxNamed]
	for _, p := range []Payload{d, c} {
		if s := p.summary(); strings.Contains(s, "...") {
			t.Error("shortened, though it is short:", s)
		}
	}
}

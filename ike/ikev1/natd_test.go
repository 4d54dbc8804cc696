// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

// TestNATHash is NATT.md's vectors of each hash.
func TestNATHash(t *testing.T) {
	x := &phase1{ckyI: 0x0011223344556677, ckyR: 0x8899aabbccddeeff}
	for _, c := range []struct {
		hash suite.PRF
		at   string
		want string
	}{
		{suite.PRFHMACMD5, "192.0.2.1:500", "53cff4b7f483548df735006816696238"},
		{suite.PRFHMACMD5, "203.0.113.7:500", "d91ded1358042fa8b931fc7bda619624"},
		{suite.PRFHMACMD5, "192.0.2.1:4500", "d9e2d6749236bfdd3861da4b6b6c4540"},
		{suite.PRFHMACSHA1, "192.0.2.1:500", "f62ead21e6a756c429b205b272e506bec103e0ea"},
		{suite.PRFHMACSHA1, "203.0.113.7:500", "d3d11d80e9551f589934d5244cdb0f25d4372ca1"},
		{suite.PRFHMACSHA1, "192.0.2.1:4500", "7845d94f84a3e60616aa53aff1a2105e78375be8"},
		{suite.PRFHMACSHA1, "[2001:db8::1]:500", "a5f0b10bc3cdac38818d823463a9b9831c23a335"},
		{suite.PRFHMACSHA1, "[::ffff:192.0.2.1]:500", "f62ead21e6a756c429b205b272e506bec103e0ea"},
		{suite.PRFHMACSHA2256, "192.0.2.1:500", "97108e86b8963651f49c80341179d03c6c81bca83a810a6d9ce4cbff4c559587"},
		{suite.PRFHMACSHA2256, "192.0.2.1:4500", "dfdb9da042346e10b6af03d00eb51817e5756a31ad2e94e980ca8cabfa21c18a"},
	} {
		if got := hex.EncodeToString(natHash(Suite{Hash: c.hash}, x, netip.MustParseAddrPort(c.at))); got != c.want {
			t.Errorf("%s of %s: %s", c.hash, c.at, got)
		}
	}
}

// TestNATDetectEveryVersion: in each version of NAT-T that is used, a NAT before neither side, either and both is found by both sides,
// and a forced one too; the payloads have the version's number and order.
func TestNATDetectEveryVersion(t *testing.T) {
	initiator, responder := netip.MustParseAddrPort("10.0.0.2:500"), netip.MustParseAddrPort("192.168.1.2:500")
	outsideI, outsideR := netip.MustParseAddrPort("203.0.113.7:33000"), netip.MustParseAddrPort("198.51.100.9:500")
	s, x := sampleSuite(), samplePhase1()
	if len(ikev1msg.NATTs()) < 14 {
		t.Fatal("versions are missing")
	}
	for _, v := range ikev1msg.NATTs() {
		for _, c := range []struct{ natI, natR, forced bool }{{false, false, false}, {true, false, false}, {false, true, false}, {true, true, false}, {false, false, true}} {
			seenI, seenR := initiator, responder // as the other side knows them
			if c.natI {
				seenI = outsideI
			}
			if c.natR {
				seenR = outsideR
			}
			pathI, pathR := ike.Path{Local: initiator, Remote: seenR}, ike.Path{Local: responder, Remote: seenI}
			sent := natPayloads(v, s, x, pathI, c.forced)
			local, remote, ok := natDetect(v, sent, s, x, pathR)
			if !ok || local != c.natR || remote != (c.natI || c.forced) {
				t.Errorf("%s %+v: the responder finds local %t, remote %t, supported %t", v.Name, c, local, remote, ok)
			}
			if local, remote, ok = natDetect(v, natPayloads(v, s, x, pathR, false), s, x, pathI); !ok || local != c.natI || remote != c.natR {
				t.Errorf("%s %+v: the initiator finds local %t, remote %t, supported %t", v.Name, c, local, remote, ok)
			}
			of := func(i int) string { return hex.EncodeToString(sent[i].(*ikev1msg.NATD).Data) }
			first := seenR
			if v.VendorID == "4df37928e9fc4fd1b3262170d515c662" { // old Apple: its own address first
				first = initiator
			}
			if !c.forced && of(0) != hex.EncodeToString(natHash(s, x, first)) || sent[0].Type() != v.NATD || sent[1].Type() != v.NATD {
				t.Errorf("%s: order or number of the payloads", v.Name)
			}
		}
	}
}

// TestT036NATD: several sets in one message, each with its version's number; several sources; payloads of a wrong size or number.
func TestT036NATD(t *testing.T) {
	s, x := sampleSuite(), samplePhase1()
	path := ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("203.0.113.7:500")}
	their := ike.Path{Local: path.Remote, Remote: path.Local}
	rfc, _ := ikev1msg.FindNATT(unhex(t, "4a131c81070358455c5728f20e95452f"))
	early, _ := ikev1msg.FindNATT(unhex(t, "90cb80913ebb696e086381b5ec427b1f"))
	all := slices.Concat(natPayloads(early, s, x, their, true), natPayloads(rfc, s, x, their, false))
	if local, remote, ok := natDetect(rfc, all, s, x, path); local || remote || !ok {
		t.Error("the set of the RFC among others", local, remote, ok)
	}
	if _, remote, ok := natDetect(early, all, s, x, path); !remote || !ok {
		t.Error("the set of draft 02 among others", remote, ok)
	}
	d := func(b []byte) ikev1msg.Payload { return &ikev1msg.NATD{Num: rfc.NATD, Data: b} }
	us, them := natHash(s, x, path.Local), natHash(s, x, path.Remote)
	for name, c := range map[string]struct {
		payloads                 []ikev1msg.Payload
		local, remote, supported bool
	}{
		"none":            {nil, false, false, false},
		"of another kind": {[]ikev1msg.Payload{&ikev1msg.NATD{Num: early.NATD, Data: us}}, false, false, false},
		"one":             {[]ikev1msg.Payload{d(us)}, false, true, true},
		"one, not us":     {[]ikev1msg.Payload{d(them)}, true, true, true},
		"several sources": {[]ikev1msg.Payload{d(us), d(make([]byte, 32)), d(them)}, false, false, true},
		"none is it":      {[]ikev1msg.Payload{d(us), d(make([]byte, 32)), d(make([]byte, 32))}, false, true, true},
		"short":           {[]ikev1msg.Payload{d(us[:20]), d(them[:31])}, true, true, true},
		"empty":           {[]ikev1msg.Payload{d(nil), d(nil)}, true, true, true},
		"swapped":         {[]ikev1msg.Payload{d(them), d(us)}, true, true, true},
	} {
		local, remote, ok := natDetect(rfc, c.payloads, s, x, path)
		if local != c.local || remote != c.remote || ok != c.supported {
			t.Errorf("%s: local %t, remote %t, supported %t", name, local, remote, ok)
		}
	}
}

// TestT072OneNATD: a single payload is doubt, and in doubt there is a NAT, in every version; it is the destination also where the
// source comes first.
func TestT072OneNATD(t *testing.T) {
	s, x := sampleSuite(), samplePhase1()
	path := ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("203.0.113.7:500")}
	for _, v := range ikev1msg.NATTs() {
		for _, at := range []netip.AddrPort{path.Local, path.Remote} {
			one := []ikev1msg.Payload{&ikev1msg.NATD{Num: v.NATD, Data: natHash(s, x, at)}}
			if local, remote, ok := natDetect(v, one, s, x, path); local != (at != path.Local) || !remote || !ok {
				t.Errorf("%s, %s: local %t, remote %t, supported %t", v.Name, at, local, remote, ok)
			}
		}
	}
}

func TestNATOA(t *testing.T) {
	a := originals{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("198.51.100.10")}
	for _, v := range ikev1msg.NATTs() {
		for _, initiator := range []bool{true, false} {
			sent := natOAs(v, initiator, a)
			if len(sent) != v.Addresses {
				t.Errorf("%s: %d payloads, expected %d", v.Name, len(sent), v.Addresses)
			}
			want := a
			switch {
			case v.Addresses == 0:
				want = originals{}
			case v.Addresses == 1 && initiator:
				want.responder = netip.Addr{}
			case v.Addresses == 1:
				want.initiator = netip.Addr{}
			}
			if got, err := readNATOAs(v, sent, initiator); err != nil || got != want {
				t.Errorf("%s, initiator %t: %v, %v", v.Name, initiator, got, err)
			}
		}
	}
}

// TestT036NATOA: payloads of other numbers, too many, of two families; and two where the version has one, as some peers send.
func TestT036NATOA(t *testing.T) {
	rfc, _ := ikev1msg.FindNATT(unhex(t, "4a131c81070358455c5728f20e95452f"))
	early, _ := ikev1msg.FindNATT(unhex(t, "90cb80913ebb696e086381b5ec427b1f"))
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	oa := func(v ikev1msg.NATT, a netip.Addr) ikev1msg.Payload { return &ikev1msg.NATOA{Num: v.NATOA, Addr: a} }
	if got, err := readNATOAs(rfc, []ikev1msg.Payload{oa(early, v4)}, true); err != nil || got != (originals{}) {
		t.Error("another version's number", got, err)
	}
	if got, err := readNATOAs(early, []ikev1msg.Payload{oa(early, v4), oa(early, v4.Next())}, true); err != nil || got != (originals{v4, v4.Next()}) {
		t.Error("two where the version has one", got, err)
	}
	if got, err := readNATOAs(rfc, []ikev1msg.Payload{oa(rfc, v6)}, false); err != nil || got != (originals{responder: v6}) {
		t.Error("one where the version has two", got, err)
	}
	for _, bad := range [][]ikev1msg.Payload{{oa(rfc, v4), oa(rfc, v6)}, {oa(rfc, v4), oa(rfc, v4), oa(rfc, v4)}} {
		if _, err := readNATOAs(rfc, bad, true); err == nil {
			t.Errorf("%d payloads were taken", len(bad))
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the attributes of a transform may be, and what a transform then says.

package ikev1msg

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestT039Transforms: what the attributes of a transform may be.
func TestT039Transforms(t *testing.T) {
	good := Phase2{Encap: EncapTunnel, Auth: AuthHMACSHA1, KeyLen: 128}
	seconds, kilobytes := Basic(AttrSALifeType, 1), Basic(AttrSALifeType, 2)
	dur := func(b ...byte) Attribute { return Variable(AttrSALifeDuration, b) }
	for _, c := range []struct {
		name string
		more []Attribute
		want Lifetime
		ok   bool
	}{
		{"no lifetime", nil, Lifetime{}, true},
		{"basic", []Attribute{seconds, Basic(AttrSALifeDuration, 3600)}, Lifetime{Seconds: 3600}, true},
		{"of four octets", []Attribute{seconds, dur(0, 1, 0x51, 0x80)}, Lifetime{Seconds: 86400}, true},
		{"of two", []Attribute{seconds, dur(0x0e, 0x10)}, Lifetime{Seconds: 3600}, true},
		{"of one", []Attribute{seconds, dur(60)}, Lifetime{Seconds: 60}, true},
		{"of ten with zeros", []Attribute{seconds, dur(0, 0, 0, 0, 0, 0, 0, 0, 1, 0)}, Lifetime{Seconds: 256}, true},
		{"2^32-1", []Attribute{seconds, dur(255, 255, 255, 255)}, Lifetime{Seconds: math.MaxUint32}, true},
		{"2^63 kilobytes", []Attribute{kilobytes, dur(128, 0, 0, 0, 0, 0, 0, 0)}, Lifetime{Kilobytes: math.MaxUint32}, true},
		{"2^32", []Attribute{seconds, dur(1, 0, 0, 0, 0)}, Lifetime{Seconds: math.MaxUint32}, true},
		{"more than 64 bits", []Attribute{seconds, dur(octets(1000)...)}, Lifetime{Seconds: math.MaxUint32}, true},
		{"64 KiB", []Attribute{seconds, dur(bytes.Repeat([]byte{0xff}, 65000)...)}, Lifetime{Seconds: math.MaxUint32}, true},
		{"time and volume", []Attribute{seconds, Basic(AttrSALifeDuration, 9), kilobytes, dur(0, 0x46, 0x50, 0)}, Lifetime{Seconds: 9, Kilobytes: 4608000}, true},
		{"volume and time", []Attribute{kilobytes, Basic(AttrSALifeDuration, 9), seconds, Basic(AttrSALifeDuration, 8)}, Lifetime{Seconds: 8, Kilobytes: 9}, true},
		{"0", []Attribute{seconds, Basic(AttrSALifeDuration, 0)}, Lifetime{}, false},
		{"0 of four octets", []Attribute{seconds, dur(0, 0, 0, 0)}, Lifetime{}, false},
		{"no octets", []Attribute{seconds, dur()}, Lifetime{}, false},
		{"no type", []Attribute{Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"type behind it", []Attribute{Basic(AttrSALifeDuration, 9), seconds}, Lifetime{}, false},
		{"no duration", []Attribute{seconds}, Lifetime{}, false},
		{"two types", []Attribute{seconds, kilobytes, Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"type 0", []Attribute{Basic(AttrSALifeType, 0), Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"type 3", []Attribute{Basic(AttrSALifeType, 3), Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"type of four octets", []Attribute{Variable(AttrSALifeType, []byte{0, 0, 0, 1}), Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"twice in seconds", []Attribute{seconds, Basic(AttrSALifeDuration, 9), seconds, Basic(AttrSALifeDuration, 9)}, Lifetime{}, false},
		{"two key lengths", []Attribute{Basic(AttrSAKeyLength, 128)}, Lifetime{}, false},
		{"key length of four octets", []Attribute{Variable(AttrSAKeyLength, []byte{0, 0, 0, 128})}, Lifetime{}, false},
	} {
		tr := Transform{ID: uint8(ESPAESCBC), Attributes: append(good.Attributes(), c.more...)}
		got, err := tr.Phase2(ProtoESP)
		if (err == nil) != c.ok || c.ok && got.Life != c.want {
			t.Errorf("%s: %+v, %v", c.name, got.Life, err)
		}
	}
	for what, list := range map[string][]Attribute{"no mode": {Basic(AttrSAAuth, 2)}, "nothing": nil, "mode 0": {Basic(AttrSAEncap, 0)}} {
		for _, proto := range []Protocol{ProtoAH, ProtoESP, ProtoIPComp} {
			got, err := (Transform{Attributes: list}).Phase2(proto)
			if ok := proto == ProtoIPComp && what != "mode 0"; (err == nil) != ok || ok && got.Encap != EncapTransport {
				t.Errorf("%s, %s: %s, %v", proto, what, got.Encap, err)
			}
		}
	}
}

// TestT039KeyLengths: every number but 0 is told as it came; which fit a cipher is for whoever has the cipher. 0 is refused in both
// phases, as the attribute's absence is read as 0.
func TestT039KeyLengths(t *testing.T) {
	for _, n := range []int{0, 1, 128, 129, 65535} {
		tr := Transform{ID: uint8(ESP3DES), Attributes: []Attribute{Basic(AttrSAKeyLength, uint16(n)), Basic(AttrSAEncap, 1)}}
		if got, err := tr.Phase2(ProtoESP); (err != nil) != (n == 0) || got.KeyLen != n {
			t.Errorf("key length %d: %d, %v", n, got.KeyLen, err)
		}
		one := Phase1{Encr: EncrAES, Hash: HashSHA1, Auth: AuthPSK, Group: GroupMODP2048}
		tr = Transform{ID: KeyIKE, Attributes: append(one.Attributes(), Basic(AttrKeyLength, uint16(n)))}
		if got, err := tr.Phase1(); (err != nil) != (n == 0) || got.KeyLen != n {
			t.Errorf("phase 1, key length %d: %d, %v", n, got.KeyLen, err)
		}
	}
}

func TestPhase1(t *testing.T) {
	want := Phase1{Encr: EncrAES, KeyLen: 192, Hash: HashSHA512, Auth: AuthECDSA384, Group: GroupECP384, Life: Lifetime{Seconds: 70000, Kilobytes: 3}}
	tr := Transform{ID: KeyIKE, Attributes: want.Attributes()}
	got, err := tr.Phase1()
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	for i, a := range tr.Attributes[:5] {
		without := append(append([]Attribute{}, tr.Attributes[:i]...), tr.Attributes[i+1:]...)
		if _, err := (Transform{ID: KeyIKE, Attributes: without}).Phase1(); (err == nil) != (a.Kind == AttrKeyLength) {
			t.Errorf("without attribute %d: %v", a.Kind, err)
		}
		long := append([]Attribute{}, tr.Attributes...)
		long[i] = Variable(a.Kind, a.Value)
		if _, err := (Transform{ID: KeyIKE, Attributes: long}).Phase1(); err == nil || !strings.Contains(err.Error(), "expected basic") {
			t.Errorf("variable attribute %d: %v", a.Kind, err)
		}
		twice := append(append([]Attribute{}, tr.Attributes...), a)
		if _, err := (Transform{ID: KeyIKE, Attributes: twice}).Phase1(); err == nil {
			t.Errorf("attribute %d was accepted twice", a.Kind)
		}
	}
	if _, err := (Transform{ID: 2, Attributes: tr.Attributes}).Phase1(); err == nil {
		t.Error("transform ID 2 was accepted")
	}
	for _, a := range (Phase1{Encr: Encr3DES, Hash: HashMD5, Auth: AuthPSK, Group: GroupMODP1024}).Attributes() {
		if a.Kind == AttrKeyLength {
			t.Error("3DES has a key length")
		}
	}
	for v, want := range map[uint16]bool{0: false, 1: true, 2: false} {
		if p, err := (Transform{Attributes: []Attribute{Basic(AttrSAEncap, 1), Basic(AttrSAESN, v)}}).Phase2(ProtoESP); p.ESN != want || (err == nil) != want {
			t.Errorf("ESN %d: %v, %v", v, p.ESN, err)
		}
	}
	if list := (Phase2{Encap: EncapTransport, ESN: true}).Attributes(); cmp.Diff([]Attribute{Basic(4, 2), Basic(11, 1)}, list) != "" {
		t.Errorf("transport mode with ESN is %d attributes", len(list))
	}
	// A group of the peer's own, and GSS-API: told by number, so that they are not overlooked.
	tr.Attributes = append(tr.Attributes, Basic(AttrGroupType, 1), Variable(6, octets(128)), Variable(AttrGSSIdentity, octets(9)))
	if got, err = tr.Phase1(); err != nil || cmp.Diff([]uint16{5, 6, 16384}, got.Other) != "" {
		t.Errorf("other attributes %v, %v", got.Other, err)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1msg

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigAddresses(t *testing.T) {
	for _, kind := range []uint16{1, 2, 3, 4, 6, 23456} {
		for n := range 20 {
			if _, err := Variable(kind, octets(n)).Addr(); (err == nil) != (n == 4) {
				t.Errorf("%s of %d octets: %v", ConfigName(kind), n, err)
			}
		}
	}
	for _, kind := range []uint16{8, 9, 10, 11, 12, 23457} {
		for n := range 20 {
			if _, err := Variable(kind, octets(n)).Addr(); (err == nil) != (n == 16) {
				t.Errorf("%s of %d octets: %v", ConfigName(kind), n, err)
			}
		}
	}
}

func TestConfigSubnets(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::").AsSlice()
	for _, c := range []struct {
		kind  uint16
		value []byte
		want  string // empty: refused
	}{
		{13, []byte{10, 1, 2, 3, 255, 255, 0, 0}, "10.1.0.0/16"},
		{13, []byte{0, 0, 0, 0, 0, 0, 0, 0}, "0.0.0.0/0"},
		{13, []byte{10, 1, 2, 3, 255, 255, 255, 255}, "10.1.2.3/32"},
		{13, []byte{10, 1, 2, 3, 255, 0, 255, 0}, ""},
		{13, []byte{10, 1, 2, 3, 0, 0, 0, 1}, ""},
		{13, []byte{10, 1, 2, 3, 0x7f, 0xff, 0xff, 0xff}, ""},
		{13, []byte{10, 1, 2, 3, 16}, ""},
		{15, append(v6, 32), "2001:db8::/32"},
		{15, append(v6, 128), "2001:db8::/128"},
		{15, append(v6, 129), ""},
		{15, v6, ""},
		{1, []byte{10, 1, 2, 3, 255, 255, 0, 0}, ""},
	} {
		got, err := Variable(c.kind, c.value).Subnet()
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%s %x: %v, %v", ConfigName(c.kind), c.value, got, err)
		}
	}
}

// TestUnityNets: an entry is address 4, mask 4, protocol 2, source port 2, destination port 2: 14 octets.
func TestUnityNets(t *testing.T) {
	typed := []byte{10, 20, 0, 0, 255, 255, 255, 0, 0, 17, 0x00, 0x35, 0x1f, 0x90, 192, 0, 2, 1, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0}
	want := []UnityNet{
		{Net: netip.MustParsePrefix("10.20.0.0/24"), Proto: 17, SrcPort: 53, DstPort: 8080}, {Net: netip.MustParsePrefix("192.0.2.1/32")},
	}
	got, err := Variable(AttrUnitySplitInclude, typed).Nets()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	made := UnityNets(AttrUnitySplitInclude, append(want, UnityNet{Net: netip.MustParsePrefix("2001:db8::/32")}, UnityNet{}))
	if string(made.Value) != string(typed) || made.Basic || made.Kind != 28676 {
		t.Errorf("made %x", made.Value)
	}
	if all := UnityNets(1, []UnityNet{{Net: netip.MustParsePrefix("0.0.0.0/0")}}); string(all.Value) != string(make([]byte, 14)) {
		t.Errorf("everything is %x", all.Value)
	}
	for n := range 60 {
		a := Variable(AttrUnitySplitExclude, make([]byte, n))
		got, err := a.Nets()
		switch {
		case n%14 == 0 && (err != nil || len(got) != n/14):
			t.Errorf("%d octets: %d networks, %v", n, len(got), err)
		case n%14 != 0 && n%8 == 0 && (err != nil || len(got) != n/8):
			t.Errorf("%d octets: %d networks, %v", n, len(got), err)
		case n%14 != 0 && n%8 != 0 && err == nil:
			t.Errorf("%d octets were accepted", n)
		}
	}
	if _, err := Variable(AttrUnitySplitInclude, append(typed[:4:4], 0, 255, 0, 0, 0, 0, 0, 0, 0, 0)).Nets(); err == nil {
		t.Error("a mask with a hole was accepted")
	}
}

func TestConfigNumbers(t *testing.T) {
	for _, c := range []struct {
		a    Attribute
		want uint16
		ok   bool
	}{
		{Basic(AttrUnityNATTPort, 10000), 10000, true}, {Basic(AttrUnityNATTPort, 65535), 65535, true}, {Variable(AttrUnityNATTPort, []byte{0x27, 0x10}), 10000, true},
		{Variable(AttrUnityNATTPort, []byte{0, 0, 0x27, 0x10}), 10000, true}, {Variable(AttrUnityNATTPort, []byte{9}), 9, true},
		{Variable(AttrUnityNATTPort, []byte{1, 0, 0}), 0, false}, {Variable(AttrUnityNATTPort, nil), 0, false}, {Basic(AttrUnityNATTPort, 0), 0, false},
	} {
		if got, err := c.a.Port(); got != c.want || (err == nil) != c.ok {
			t.Errorf("%x: port %d, %v", c.a.Value, got, err)
		}
	}
	for v, want := range map[uint16]XAUTHType{0: XAUTHGeneric, 1: XAUTHRADIUSCHAP, 2: XAUTHOTP, 3: XAUTHSKey, 17: 17} {
		if got, err := Basic(AttrXAUTHType, v).XAUTHType(); got != want || err != nil {
			t.Errorf("type %d: %v, %v", v, got, err)
		}
	}
	for v := range uint16(4) {
		if got, err := Basic(AttrXAUTHStatus, v).Flag(); got != (v == 1) || (err == nil) != (v < 2) {
			t.Errorf("status %d: %v, %v", v, got, err)
		}
	}
	if _, err := Variable(AttrXAUTHStatus, nil).Flag(); err == nil {
		t.Error("a status of no octets was accepted")
	}
	if got, err := Variable(AttrSupported, []byte{0, 1, 0x70, 0}).Supported(); err != nil || len(got) != 2 || got[1] != AttrUnityBanner {
		t.Errorf("supported: %v, %v", got, err)
	}
	if _, err := Variable(AttrSupported, octets(3)).Supported(); err == nil {
		t.Error("supported attributes of three octets were accepted")
	}
	if got := Variable(AttrUnityBanner, []byte("hello\x00\x00")).Text(); got != "hello" {
		t.Errorf("text %q", got)
	}
	c := Config{Attributes: []Attribute{Basic(1, 1), Basic(2, 2), Basic(1, 3)}}
	if a, ok := c.Find(1); !ok || a.Value[1] != 1 {
		t.Error("not the first of a kind")
	}
	if _, ok := c.Find(9); ok {
		t.Error("what is not there is found")
	}
}

// TestNumberForms: a number is basic where it fits and has four octets elsewhere.
func TestNumberForms(t *testing.T) {
	for v, n := range map[uint32]int{0: 2, 1: 2, 0xffff: 2, 0x10000: 4, 0xffffffff: 4} {
		a := Number(AttrSALifeDuration, v)
		if got, ok := a.Uint(); !ok || got != uint64(v) || len(a.Value) != n || a.Basic != (n == 2) {
			t.Errorf("%d: %d in %d octets, basic %v", v, got, len(a.Value), a.Basic)
		}
	}
	for n, ok := range map[int]bool{0: false, 1: true, 8: true, 9: false, 100: false} {
		if _, got := Variable(1, octets(n)).Uint(); got != ok {
			t.Errorf("a number of %d octets: %v", n, got)
		}
	}
}

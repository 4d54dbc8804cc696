// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1msg

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/wire/isakmp"
)

var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestPayloadsRoundTrip(t *testing.T) {
	for name, payloads := range chains() {
		first, b := AppendPayloads(nil, payloads)
		got, err := parseExact(first, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, again := AppendPayloads(nil, got.Payloads); !bytes.Equal(again, b) {
			t.Errorf("%s: %x became %x", name, b, again)
		}
		if d := cmp.Diff(payloads, got.Payloads, sameAddr, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	for name, b := range datagrams() {
		m, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := m.Append([]byte("before")); !bytes.Equal(again[6:], b) || string(again[:6]) != "before" {
			t.Errorf("%s: %x became %x", name, b, again)
		}
		if again := m.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%s: %x became %x at the second time", name, b, again)
		}
	}
}

// TestT001T004Prefixes: no strict prefix of a message parses, whether or not the header tells its true length; of an
// encrypted one any part but nothing may be all there is, as only the key can tell.
func TestT001T004Prefixes(t *testing.T) {
	for name, b := range datagrams() {
		for n := range b {
			if _, err := Parse(b[:n]); err == nil {
				t.Errorf("%s: %d of %d octets were accepted", name, n, len(b))
			}
			if _, err := Parse(withLength(b[:n])); err == nil && (name != "encrypted" || n <= isakmp.HeaderLen) {
				t.Errorf("%s: %d of %d octets with their true length were accepted", name, n, len(b))
			}
		}
	}
}

// TestAligned: what follows the payloads in the clear is as many zeros as make the length a multiple of four, or nothing.
func TestAligned(t *testing.T) {
	for extra := range 4 {
		m := Message{Header: header(MainMode, 0, 0), Chain: Chain{Payloads: []Payload{&Vendor{Data: octets(8 + extra)}}}}
		b := m.Append(nil)
		for n := 1; n < 9; n++ {
			for _, last := range []byte{0, 1} {
				pad := append(make([]byte, n-1), last)
				long := withLength(append(bytes.Clone(b), pad...))
				got, err := Parse(long)
				if ok := len(long)%4 == 0 && n < 4 && last == 0; (err == nil) != ok {
					t.Errorf("%d octets and %x: %v", len(b), pad, err)
				}
				if err == nil && (got.Pad != n || !bytes.Equal(got.Append(nil), long)) {
					t.Errorf("%d octets and %x: padding of %d", len(b), pad, got.Pad)
				}
			}
		}
	}
}

// TestDecryptedPrefixes: likewise of what an encrypted message contained; and padding is taken and told.
func TestDecryptedPrefixes(t *testing.T) {
	for name, payloads := range chains() {
		if name == "fragment" {
			continue
		}
		first, b := AppendPayloads(nil, payloads)
		for n := range b {
			if _, err := ParseDecrypted(first, b[:n]); err == nil {
				t.Errorf("%s: %d of %d octets were accepted", name, n, len(b))
			}
		}
		for what, pad := range map[string][]byte{
			"none": {}, "zeros": make([]byte, 15), "a block of zeros": make([]byte, 16), "with its length": {0, 0, 0, 3},
			"any": octets(9), "much": octets(MaxPadding),
		} {
			c, err := ParseDecrypted(first, append(bytes.Clone(b), pad...))
			if err != nil || !bytes.Equal(c.Padding(), pad) || !bytes.Equal(c.After(0), b[len(c.Body(0))+4:]) {
				t.Errorf("%s, padding %s: %v", name, what, err)
			}
		}
		if _, err := ParseDecrypted(first, append(bytes.Clone(b), make([]byte, MaxPadding+1)...)); err == nil {
			t.Errorf("%s: %d octets of padding were accepted", name, MaxPadding+1)
		}
		if _, err := parseExact(first, append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("%s: padding was accepted in the clear", name)
		}
	}
	if c, err := parseExact(TypeNone, nil); err != nil || len(c.Payloads) != 0 || len(c.Padding()) != 0 {
		t.Errorf("an empty chain: %v", err)
	}
	if _, err := ParseDecrypted(TypeNone, make([]byte, 16)); err == nil {
		t.Error("padding alone was accepted")
	}
	first, b := AppendPayloads(nil, chains()["fragment"])
	if _, err := ParseDecrypted(first, b); err == nil {
		t.Error("a fragment was accepted inside of an encrypted message")
	}
}

func TestT003Header(t *testing.T) {
	good := datagrams()["main 1"]
	for _, n := range []uint32{0, 27, 28, uint32(len(good) - 1), uint32(len(good) + 1), 1 << 31, 1<<32 - 1} {
		bad := bytes.Clone(good)
		bad[24], bad[25], bad[26], bad[27] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		if _, err := Parse(bad); err == nil {
			t.Errorf("length %d for %d octets was accepted", n, len(good))
		}
	}
	for v := range 256 {
		bad := bytes.Clone(good)
		bad[17] = byte(v)
		if _, err := Parse(bad); (err == nil) != (v == 0x10) {
			t.Errorf("version octet %02x: %v", v, err)
		}
	}
	for f := range 256 {
		bad := bytes.Clone(good)
		bad[19] = byte(f)
		m, err := Parse(bad)
		if (err == nil) != (f < 8) {
			t.Errorf("flags %02x: %v", f, err)
		}
		if err == nil && (m.Encrypted != nil) != (f&1 != 0) {
			t.Errorf("flags %02x: %d octets are encrypted", f, len(m.Encrypted))
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"initiator cookie 0": func(b []byte) []byte { return append(make([]byte, 8), b[8:]...) },
		"no payload":         func(b []byte) []byte { b[16] = 0; return b },
		"nothing behind it":  func(b []byte) []byte { return b[:28] },
		"nothing encrypted":  func(b []byte) []byte { b[19] = 1; return b[:28] },
		"no type, encrypted": func(b []byte) []byte { b[16], b[19] = 0, 1; return b },
		"an octet too long":  func(b []byte) []byte { b[19] = 1; return append(b, make([]byte, isakmp.MaxMessage+1-len(b))...) },
	} {
		if _, err := Parse(withLength(change(bytes.Clone(good)))); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	longest := append(bytes.Clone(datagrams()["encrypted"]), make([]byte, isakmp.MaxMessage)...)[:isakmp.MaxMessage]
	if _, err := Parse(withLength(longest)); err != nil {
		t.Errorf("the longest message: %v", err)
	}
}

// TestT004Mutations: every single bit turned, and every 16-bit field at every place set to 0, 1 and the greatest value. What
// still parses appends to the same octets.
func TestT004Mutations(t *testing.T) {
	for name, b := range datagrams() {
		for bit := range len(b) * 8 {
			bad := bytes.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			stable(t, fmt.Sprintf("%s bit %d", name, bit), bad)
		}
		for at := range len(b) - 1 {
			for _, v := range []uint16{0, 1, 0xffff} {
				bad := bytes.Clone(b)
				bad[at], bad[at+1] = byte(v>>8), byte(v)
				stable(t, fmt.Sprintf("%s octets %d := %04x", name, at, v), bad)
			}
		}
	}
}

// stable is what holds for all octets whatever: they do not parse, or what they parse to appends to the same octets. The
// same is held of what follows the header, read as decrypted.
func stable(t interface {
	Helper()
	Fatalf(string, ...any)
}, name string, b []byte) {
	t.Helper()
	if m, err := Parse(b); err == nil {
		printable(t, name, m.Summary())
		if out := m.Append(nil); !bytes.Equal(out, b) {
			t.Fatalf("%s: %x became %x", name, b, out)
		}
	}
	if len(b) < isakmp.HeaderLen {
		return
	}
	body := b[isakmp.HeaderLen:]
	c, err := ParseDecrypted(PayloadType(b[16]), body)
	if err != nil {
		return
	}
	printable(t, name, c.String())
	_, out := AppendPayloads(nil, c.Payloads)
	if out = append(out, c.Padding()...); !bytes.Equal(out, body) {
		t.Fatalf("%s: %x became %x", name, body, out)
	}
	for i, p := range c.Payloads {
		look(p)
		if !bytes.Equal(c.Body(i), p.append(nil)) {
			t.Fatalf("%s: body %d is %x", name, i, c.Body(i))
		}
	}
}

func printable(t interface {
	Helper()
	Fatalf(string, ...any)
}, name, s string) {
	t.Helper()
	for _, c := range s {
		if c < 0x20 || c > 0x7e {
			t.Fatalf("%s: summary %q", name, s)
		}
	}
}

// look asks a payload everything that it can be asked: nothing may panic.
func look(p Payload) {
	switch p := p.(type) {
	case *SA:
		for _, o := range p.Proposals {
			for _, x := range o.Transforms {
				_, _ = x.Phase1()
				_, _ = x.Phase2(o.Protocol)
			}
		}
	case *Notify:
		_, _ = p.Sequence()
		_, _ = p.Lifetime()
		_, _ = p.Replay()
		_, _ = p.Gateway()
	case *Vendor:
		_, _, _ = Identify(p.Data)
		_, _ = FindNATT(p.Data)
	case *Config:
		for _, a := range p.Attributes {
			_, _ = a.Addr()
			_, _ = a.Subnet()
			_, _ = a.Nets()
			_, _ = a.Supported()
			_, _ = a.XAUTHType()
			_, _ = a.Port()
			_, _ = a.Flag()
			_ = a.Text()
		}
	}
}

// TestReservedOctets must be zero (RFC 2408, Section 5): those of generic headers, proposals, transforms, NAT-OA, Attributes.
func TestReservedOctets(t *testing.T) {
	h := isakmp.HeaderLen
	for name, at := range map[string][]int{
		"main 1": {h + 1, h + 4 + 8 + 1, h + 4 + 8 + 8 + 1, h + 4 + 8 + 8 + 6, h + 4 + 8 + 8 + 7},
		"config": {h + 1, h + 24 + 1, h + 24 + 5},
		"quick":  {h + 1},
	} {
		b := datagrams()[name]
		for _, i := range at {
			for _, v := range []byte{1, 0x80} {
				odd := bytes.Clone(b)
				odd[i] = v
				if odd[i] == b[i] {
					t.Fatalf("%s: octet %d is %d already", name, i, v)
				}
				if _, err := Parse(odd); err == nil || !strings.Contains(err.Error(), "not zero") {
					t.Errorf("%s: octet %d := %02x: %v", name, i, v, err)
				}
			}
		}
	}
}

// TestT005OrderAndNumberAreKept removes and doubles each payload: the codec takes what is well formed, whoever reads it must
// count. What it owes them is that nothing is lost, joined or reordered.
func TestT005OrderAndNumberAreKept(t *testing.T) {
	for name, payloads := range chains() {
		if name == "fragment" {
			continue
		}
		for i := range payloads {
			without := append(append([]Payload{}, payloads[:i]...), payloads[i+1:]...)
			doubled := append(append([]Payload{}, payloads...), payloads[i])
			for _, list := range [][]Payload{without, doubled} {
				first, b := AppendPayloads(nil, list)
				got, err := parseExact(first, b)
				if err != nil || len(got.Payloads) != len(list) {
					t.Fatalf("%s: %d payloads, %v", name, len(list), err)
				}
				for j, p := range got.Payloads {
					if p.Type() != list[j].Type() {
						t.Errorf("%s: payload %d is %s, expected %s", name, j, p.Type(), list[j].Type())
					}
				}
			}
		}
	}
}

// TestT036PayloadTypes: of GDOI and for private use they are kept and say nothing; all others that are not a message's are
// refused by their number, proposals and transforms among them.
func TestT036PayloadTypes(t *testing.T) {
	for n := 1; n < 256; n++ {
		num := PayloadType(n)
		_, known := map[PayloadType]bool{1: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true, 12: true,
			13: true, 14: true, 15: true, 20: true, 21: true, 130: true, 131: true, 132: true}[num]
		if known {
			continue
		}
		p, err := body(num, octets(3))
		kept := n >= 16 && n <= 22 || n >= 128
		var bad *TypeError
		switch {
		case kept && (err != nil || p.Type() != num):
			t.Errorf("payload %d: %v", n, err)
		case !kept && (!errors.As(err, &bad) || bad.Type != num):
			t.Errorf("payload %d: %v, expected it named", n, err)
		}
	}
}

// TestAnythingWellFormedRoundTrips makes chains of random payloads.
func TestAnythingWellFormedRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := func(name string, from, to int) []byte { return rapid.SliceOfN(rapid.Byte(), from, to).Draw(t, name) }
		attribute := rapid.Custom(func(t *rapid.T) Attribute {
			kind := uint16(rapid.IntRange(0, 0x7fff).Draw(t, "kind"))
			if rapid.Bool().Draw(t, "basic") {
				return Basic(kind, rapid.Uint16().Draw(t, "value"))
			}
			return Variable(kind, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value"))
		})
		one := rapid.Custom(func(t *rapid.T) Payload {
			list := rapid.SliceOfN(attribute, 0, 6).Draw(t, "attributes")
			switch rapid.IntRange(0, 6).Draw(t, "kind") {
			case 0:
				return &KE{Data: bytesOf("data", 1, 80)}
			case 1:
				return &SA{Proposals: []Proposal{{Number: rapid.Uint8().Draw(t, "n"), Protocol: ProtoESP, SPI: bytesOf("spi", 4, 4), Transforms: []Transform{{Attributes: list}}}}}
			case 2:
				return &Notify{DOI: 1, Protocol: ProtoESP, SPI: bytesOf("spi", 0, 16), Notify: NotifyType(rapid.Uint16().Draw(t, "notify")), Data: bytesOf("data", 0, 30)}
			case 3:
				return &ID{IDType: IDKeyID, Proto: 17, Port: rapid.Uint16().Draw(t, "port"), Data: bytesOf("id", 0, 60)}
			case 4:
				return &Config{CfgType: CfgSet, ID: rapid.Uint16().Draw(t, "id"), Attributes: list}
			case 5:
				return &NATD{Num: TypeNATD130, Data: bytesOf("hash", 0, 64)}
			}
			return &Unknown{Num: PayloadType(rapid.IntRange(133, 255).Draw(t, "num")), Body: bytesOf("body", 0, 30)}
		})
		list := rapid.SliceOfN(one, 1, isakmp.MaxPayloads).Draw(t, "payloads")
		first, b := AppendPayloads(nil, list)
		got, err := parseExact(first, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, again := AppendPayloads(nil, got.Payloads); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2msg

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
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
		got, err := ParsePayloads(first, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, again := AppendPayloads(nil, got)
		if !bytes.Equal(again, b) {
			t.Errorf("%s: %x became %x", name, b, again)
		}
		// The octets of the one attribute there may be come back beside its meaning.
		for _, p := range got {
			forgetAttrs(p)
		}
		for _, p := range payloads {
			forgetAttrs(p)
		}
		if d := cmp.Diff(payloads, got, sameAddr, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func forgetAttrs(p Payload) {
	sa, ok := p.(*SA)
	if !ok {
		return
	}
	for i := range sa.Proposals {
		for j := range sa.Proposals[i].Transforms {
			sa.Proposals[i].Transforms[j].Attrs = nil
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
		if again := m.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%s: %x became %x", name, b, again)
		}
		if again := m.Append([]byte("before")); !bytes.Equal(again[6:], b) || string(again[:6]) != "before" {
			t.Errorf("%s: appended wrongly to octets that were there", name)
		}
	}
}

// TestT001T004Prefixes: no strict prefix of a message parses, whether or not the header tells its true length.
func TestT001T004Prefixes(t *testing.T) {
	for name, b := range datagrams() {
		for n := range b {
			if _, err := Parse(b[:n]); err == nil {
				t.Errorf("%s: %d of %d octets were accepted", name, n, len(b))
			}
			if _, err := Parse(withLength(b[:n])); err == nil {
				t.Errorf("%s: %d of %d octets with their true length were accepted", name, n, len(b))
			}
		}
		if _, err := Parse(withLength(append(b, 0))); err == nil {
			t.Errorf("%s: an octet behind the last payload was accepted", name)
		}
	}
}

func TestT003HeaderLength(t *testing.T) {
	b := datagrams()["IKE_SA_INIT"]
	for _, n := range []uint32{0, 27, 28, uint32(len(b) - 1), uint32(len(b) + 1), 1 << 31, 1<<32 - 1} {
		bad := bytes.Clone(b)
		bad[24], bad[25], bad[26], bad[27] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		if _, err := Parse(bad); err == nil {
			t.Errorf("length %d for %d octets was accepted", n, len(b))
		}
	}
}

// TestT004Mutations: every single bit turned, and every 16-bit field at every place set to 0, 1 and the greatest value.
// Whatever still parses appends to something that parses to the same.
func TestT004Mutations(t *testing.T) {
	for name, b := range datagrams() {
		mutate(t, name, b)
	}
}

func mutate(t *testing.T, name string, b []byte) {
	t.Helper()
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

// stable is what holds for all octets whatever: they do not parse, or what they parse to is reached again from the
// octets it appends to. Those are equal to the first but for reserved bits, where no selector was skipped.
func stable(t interface {
	Helper()
	Fatalf(string, ...any)
}, name string, b []byte) {
	t.Helper()
	m, err := Parse(b)
	if err != nil {
		return
	}
	summary := m.Summary()
	for _, c := range summary {
		if c < 0x20 || c > 0x7e {
			t.Fatalf("%s: summary %q", name, summary)
		}
	}
	out := m.Append(nil)
	if skipped(m.Payloads) {
		return
	}
	if len(out) != len(b) {
		t.Fatalf("%s: %d octets became %d", name, len(b), len(out))
	}
	again, err := Parse(out)
	if err != nil {
		t.Fatalf("%s: %x was accepted, but its own octets %x are refused: %v", name, b, out, err)
	}
	if third := again.Append(nil); !bytes.Equal(third, out) {
		t.Fatalf("%s: %x became %x", name, out, third)
	}
}

func skipped(payloads []Payload) bool {
	for _, p := range payloads {
		if ts, ok := p.(*TS); ok && ts.Skipped > 0 {
			return true
		}
	}
	return false
}

// TestReservedOctets: written zero, ignored when read (RFC 7296, Section 2.5), with the critical bit of known payloads.
func TestReservedOctets(t *testing.T) {
	for name, at := range map[string][]int{
		"IKE_AUTH request": {isakmp.HeaderLen + 1, isakmp.HeaderLen + 5, isakmp.HeaderLen + 6, isakmp.HeaderLen + 7},
		"IKE rekey":        {isakmp.HeaderLen + 1, isakmp.HeaderLen + 5, isakmp.HeaderLen + 21, isakmp.HeaderLen + 25},
		"delete IKE":       {isakmp.HeaderLen + 1},
	} {
		b := datagrams()[name]
		for _, i := range at {
			odd := bytes.Clone(b)
			odd[i] = 0xff
			m, err := Parse(odd)
			if err != nil {
				t.Errorf("%s: reserved octet %d: %v", name, i, err)
				continue
			}
			if !bytes.Equal(m.Append(nil), b) {
				t.Errorf("%s: reserved octet %d was not written zero", name, i)
			}
		}
	}
}

// TestT005 removes and doubles each payload: the codec takes what is well formed, whoever reads it must count.
// What it owes them is that nothing is lost, joined or reordered.
func TestT005OrderAndNumberAreKept(t *testing.T) {
	for name, payloads := range chains() {
		for i := range payloads {
			without := append(append([]Payload{}, payloads[:i]...), payloads[i+1:]...)
			doubled := append(append([]Payload{}, payloads...), payloads[i])
			for _, list := range [][]Payload{without, doubled} {
				first, b := AppendPayloads(nil, list)
				got, err := ParsePayloads(first, b)
				if err != nil || len(got) != len(list) {
					t.Fatalf("%s: %d payloads became %d, %v", name, len(list), len(got), err)
				}
				for j := range got {
					if got[j].Type() != list[j].Type() {
						t.Errorf("%s: payload %d is %s, expected %s", name, j, got[j].Type(), list[j].Type())
					}
				}
			}
		}
	}
}

// TestT008UnknownPayloads: an unknown one with the critical bit is named in the error, without it is carried along.
func TestT008UnknownPayloads(t *testing.T) {
	for _, num := range []PayloadType{1, 32, 49, 52, 54, 255} {
		for _, critical := range []bool{false, true} {
			m := Message{Header: header(IKESAInit, 0, 0), Payloads: []Payload{
				&Nonce{Data: octets(16)}, &Unknown{Num: num, Critical: critical, Body: octets(3)}, &Vendor{Data: octets(3)},
			}}
			got, err := Parse(m.Append(nil))
			var unknown *CriticalError
			switch {
			case critical && (!errors.As(err, &unknown) || unknown.Type != num):
				t.Errorf("critical payload %d: %v", num, err)
			case !critical && (err != nil || len(got.Payloads) != 3):
				t.Errorf("payload %d: %v", num, err)
			}
		}
	}
}

func TestSummary(t *testing.T) {
	spi := []byte{0xc0, 0, 0, 1}
	for want, m := range map[string]Message{
		"CREATE_CHILD_SA req 2 { N(REKEY_SA c0000001) SA Ni TSi TSr }": {Header: header(CreateChildSA, 0, 2), Payloads: []Payload{
			&Notify{Protocol: ProtoESP, SPI: spi, Notify: RekeySA}, &SA{}, &Nonce{}, &TS{Initiator: true}, &TS{}}},
		"IKE_SA_INIT resp 0 { SA KEr Nr }":        {Header: header(IKESAInit, isakmp.FlagResponse, 0), Payloads: []Payload{&SA{}, &KE{}, &Nonce{}}},
		"INFORMATIONAL req 7 { D(ESP c0000001) }": {Header: header(Informational, 0, 7), Payloads: []Payload{&Delete{Protocol: ProtoESP, SPIs: []uint32{0xc0000001}}}},
		"INFORMATIONAL req 8 { D(IKE) }":          {Header: header(Informational, 0, 8), Payloads: []Payload{&Delete{Protocol: ProtoIKE}}},
		"INFORMATIONAL resp 9 { }":                {Header: header(Informational, isakmp.FlagResponse, 9)},
		"IKE_AUTH req 1 { SKF(2/3) }":             {Header: header(IKEAuth, 0, 1), Payloads: []Payload{&Encrypted{Number: 2, Total: 3}}},
		"IKE_AUTH req 1 { SK }":                   {Header: header(IKEAuth, 0, 1), Payloads: []Payload{&Encrypted{}}},
		"EXCHANGE_99 req 0 { PAYLOAD_200 N(NOTIFY_40959) CP(REPLY) }": {Header: header(99, 0, 0), Payloads: []Payload{
			&Unknown{Num: 200}, &Notify{Notify: 40959}, &CP{CfgType: CFGReply}}},
	} {
		if got := m.Summary(); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
	if got := SummaryOf([]Payload{&KE{}, &Nonce{}}); got != "{ KE No }" {
		t.Errorf("without a message: %q", got)
	}
}

// TestNumbersHaveNames: no two numbers of a registry share a name, and errors and status are told apart by range.
func TestNumbersHaveNames(t *testing.T) {
	seen := map[string]int{}
	for n := range 1 << 16 {
		s := NotifyType(n).String()
		if old, ok := seen[s]; ok {
			t.Errorf("notifies %d and %d are both %s", old, n, s)
		}
		seen[s] = n
		if NotifyType(n).Error() != (n < 16384) {
			t.Errorf("notify %d: error is %v", n, NotifyType(n).Error())
		}
	}
	for _, name := range []func(int) string{
		func(n int) string { return Exchange(n).String() },
		func(n int) string { return PayloadType(n).String() },
		func(n int) string { return Protocol(n).String() },
		func(n int) string { return TransformType(n).String() },
		func(n int) string { return AttributeName(uint16(n)) },
	} {
		seen := map[string]bool{}
		for n := range 256 {
			if s := name(n); seen[s] || s == "" {
				t.Errorf("%d: name %q is another's", n, s)
			}
			seen[name(n)] = true
		}
	}
}

// TestAnythingWellFormedRoundTrips makes chains of random payloads.
func TestAnythingWellFormedRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := func(name string, from, to int) []byte { return rapid.SliceOfN(rapid.Byte(), from, to).Draw(t, name) }
		one := rapid.Custom(func(t *rapid.T) Payload {
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0:
				return &KE{Group: rapid.Uint16().Draw(t, "group"), Data: bytesOf("data", 1, 80)}
			case 1:
				return &Nonce{Data: bytesOf("nonce", MinNonce, MaxNonce)}
			case 2:
				return &Notify{Protocol: ProtoESP, SPI: bytesOf("spi", 4, 4), Notify: NotifyType(rapid.Uint16().Draw(t, "notify")), Data: bytesOf("data", 0, 30)}
			case 3:
				return &Delete{Protocol: ProtoESP, SPIs: rapid.SliceOfN(rapid.Uint32(), 0, 20).Draw(t, "spis")}
			case 4:
				return &ID{Initiator: rapid.Bool().Draw(t, "i"), IDType: 11, Data: bytesOf("id", 0, 60)}
			case 5:
				return &Auth{Method: rapid.Uint8().Draw(t, "method"), Data: bytesOf("auth", 0, 60)}
			case 6:
				return &CP{CfgType: CFGReply, Attributes: []Attribute{{Kind: uint16(rapid.IntRange(30, 0x7fff).Draw(t, "kind")), Value: bytesOf("value", 0, 30)}}}
			}
			return &Unknown{Num: PayloadType(rapid.IntRange(54, 255).Draw(t, "num")), Body: bytesOf("body", 0, 30)}
		})
		list := rapid.SliceOfN(one, 0, isakmp.MaxPayloads).Draw(t, "payloads")
		first, b := AppendPayloads(nil, list)
		got, err := ParsePayloads(first, b)
		if err != nil {
			t.Fatal(err)
		}
		if _, again := AppendPayloads(nil, got); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

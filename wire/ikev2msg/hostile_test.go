// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a peer can send inside one payload: each case is a body, and whether it is taken.

package ikev2msg

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// body parses one payload of type t with the given body.
func body(t PayloadType, b []byte) (Payload, error) {
	list, err := ParsePayloads(t, append(isakmp.AppendGeneric(nil, 0, false, len(b)), b...))
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// check holds a table of bodies.
func check(t *testing.T, kind PayloadType, name string, b []byte, ok bool) {
	t.Helper()
	if _, err := body(kind, b); (err == nil) != ok {
		t.Errorf("%s %s: %v, expected taken to be %v", kind, name, err, ok)
	}
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// transform and proposal make substructures with every field at the caller's choice.
func transform(last byte, length int, kind byte, id int, attrs ...byte) []byte {
	return append([]byte{last, 0, byte(length >> 8), byte(length), kind, 0, byte(id >> 8), byte(id)}, attrs...)
}

func proposal(last byte, number, spi int, count byte, transforms ...[]byte) []byte {
	inner := cat(append([][]byte{{byte(number), 1, byte(spi), count}, octets(spi)}, transforms...)...)
	n := len(inner) + 4
	return append([]byte{last, 0, byte(n >> 8), byte(n)}, inner...)
}

func TestT011Proposals(t *testing.T) {
	one := transform(0, 8, 1, 20)
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"empty", nil, false},
		{"one", proposal(0, 1, 0, 1, one), true},
		{"an answer by number 7", proposal(0, 7, 0, 1, one), true},
		{"number 0", proposal(0, 0, 0, 1, one), false},
		{"1 and 2", cat(proposal(2, 1, 0, 1, one), proposal(0, 2, 0, 1, one)), true},
		{"1 and 1", cat(proposal(2, 1, 0, 1, one), proposal(0, 1, 0, 1, one)), false},
		{"1 and 3", cat(proposal(2, 1, 0, 1, one), proposal(0, 3, 0, 1, one)), false},
		{"2 and 3", cat(proposal(2, 2, 0, 1, one), proposal(0, 3, 0, 1, one)), false},
		{"more promised than there is", proposal(2, 1, 0, 1, one), false},
		{"more there than promised", cat(proposal(0, 1, 0, 1, one), proposal(0, 2, 0, 1, one)), false},
		{"last substruc 1", proposal(1, 1, 0, 1, one), false},
		{"last substruc 3", proposal(3, 1, 0, 1, one), false},
		{"no transforms", proposal(0, 1, 0, 0), true}, // chosen by nobody
		{"a transform that is not counted", proposal(0, 1, 0, 0, one), false},
		{"a transform too few", proposal(0, 1, 0, 2, transform(3, 8, 1, 20)), false},
		{"transform: last too early", proposal(0, 1, 0, 2, one, one), false},
		{"transform: last never", proposal(0, 1, 0, 1, transform(3, 8, 1, 20)), false},
		{"transform: last substruc 2", proposal(0, 1, 0, 2, transform(2, 8, 1, 20), one), false},
		{"transform: length 0", proposal(0, 1, 0, 1, transform(0, 0, 1, 20)), false},
		{"transform: length 7", proposal(0, 1, 0, 1, transform(0, 7, 1, 20)), false},
		{"transform: length 9", proposal(0, 1, 0, 1, transform(0, 9, 1, 20)), false},
		{"transform: length 65535", proposal(0, 1, 0, 1, transform(0, 65535, 1, 20)), false},
		{"SPI of 250 in 8 octets", []byte{0, 0, 0, 12, 1, 1, 250, 0, 1, 2, 3, 4}, false},
		{"key length", proposal(0, 1, 0, 1, transform(0, 12, 1, 20, 0x80, 14, 1, 0)), true},
		{"key length twice", proposal(0, 1, 0, 1, transform(0, 16, 1, 20, 0x80, 14, 1, 0, 0x80, 14, 0, 128)), false},
		{"attribute of 2 octets", proposal(0, 1, 0, 1, transform(0, 10, 1, 20, 0x80, 14)), false},
		{"long attribute cut", proposal(0, 1, 0, 1, transform(0, 13, 1, 20, 0, 99, 0, 2, 1)), false},
		{"long attribute", proposal(0, 1, 0, 1, transform(0, 14, 1, 20, 0, 99, 0, 2, 1, 1)), true},
	} {
		check(t, TypeSA, c.name, c.b, c.ok)
	}
	for spi := range 256 {
		check(t, TypeSA, fmt.Sprintf("SPI of %d octets", spi), proposal(0, 1, spi, 1, one), true)
	}
}

// TestT011UnknownAttributes: only a key length of the short form has a meaning; with any other attribute a transform
// can only be skipped (RFC 7296, Section 3.3.6).
func TestT011UnknownAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		attrs   []byte
		unknown bool
		bits    int
	}{
		"none":            {nil, false, -1},
		"key length":      {[]byte{0x80, 14, 0, 128}, false, 128},
		"key length 0":    {[]byte{0x80, 14, 0, 0}, false, 0},
		"another":         {[]byte{0x80, 13, 0, 128}, true, -1},
		"long key length": {[]byte{0, 14, 0, 2, 0, 128}, true, -1},
		"both":            {[]byte{0x80, 14, 0, 128, 0, 77, 0, 0}, true, 128},
	} {
		p, err := body(TypeSA, proposal(0, 1, 0, 1, transform(0, 8+len(c.attrs), 1, 20, c.attrs...)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := p.(*SA).Proposals[0].Transforms[0]; got.Unknown != c.unknown || got.KeyLen != c.bits {
			t.Errorf("%s: unknown %v with %d bits", name, got.Unknown, got.KeyLen)
		}
	}
}

// TestT011WorkIsBounded: as many proposals and transforms as a message can hold, and their number is limited.
func TestT011WorkIsBounded(t *testing.T) {
	many := func(n int) []byte {
		var b []byte
		for i := range n {
			last := byte(2)
			if i == n-1 {
				last = 0
			}
			b = append(b, proposal(last, i+1, 0, 1, transform(0, 8, 1, 20))...)
		}
		return b
	}
	check(t, TypeSA, "the most proposals", many(MaxProposals), true)
	check(t, TypeSA, "a proposal too many", many(MaxProposals+1), false)
	check(t, TypeSA, "255 proposals", many(255), false)

	var full [][]byte
	for range 254 {
		full = append(full, transform(3, 12, 1, 20, 0x80, 14, 1, 0))
	}
	full = append(full, transform(0, 12, 1, 20, 0x80, 14, 1, 0))
	var b []byte
	for i := range 21 {
		last := byte(2)
		if i == 20 {
			last = 0
		}
		b = append(b, proposal(last, i+1, 0, 255, full...)...)
	}
	check(t, TypeSA, "21 proposals of 255 transforms", b, true)
	// The work is that of 21 proposals: the growth of a few lists each, whatever the transforms say.
	const most = 21 * 20
	if n := testing.AllocsPerRun(5, func() { body(TypeSA, b) }); n > most {
		t.Errorf("%d octets took %.0f allocations, want at most %d", len(b), n, most)
	}
}

func selector(kind, proto byte, length int, ports [4]byte, addrs ...byte) []byte {
	return cat([]byte{kind, proto, byte(length >> 8), byte(length)}, ports[:], addrs)
}

func TestT013Selectors(t *testing.T) {
	all := [4]byte{0, 0, 0xff, 0xff}
	v4 := selector(TSIPv4, 0, 16, all, 10, 0, 0, 0, 10, 0, 0, 255)
	v6 := selector(TSIPv6, 0, 40, all, make([]byte, 32)...)
	ts := func(count byte, list ...[]byte) []byte { return cat(append([][]byte{{count, 0, 0, 0}}, list...)...) }
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"empty", nil, false},
		{"no selectors", ts(0), false},
		{"no selectors counted", ts(0, v4), false},
		{"IPv4", ts(1, v4), true},
		{"IPv6", ts(1, v6), true},
		{"mixed", ts(2, v4, v6), true},
		{"one too few", ts(2, v4), false},
		{"one too many", ts(1, v4, v6), false},
		{"255 in 255", ts(255, bytes.Repeat(v4, 255)), true},
		{"255 of 1", ts(255, v4), false},
		{"IPv4 length 0", ts(1, selector(TSIPv4, 0, 0, all, 10, 0, 0, 0, 10, 0, 0, 255)), false},
		{"IPv4 length 3", ts(1, selector(TSIPv4, 0, 3, all, 10, 0, 0, 0, 10, 0, 0, 255)), false},
		{"IPv4 length 15", ts(1, selector(TSIPv4, 0, 15, all, 10, 0, 0, 0, 10, 0, 0)), false},
		{"IPv4 length 17", ts(1, selector(TSIPv4, 0, 17, all, 10, 0, 0, 0, 10, 0, 0, 255, 0)), false},
		{"IPv4 length 40", ts(1, selector(TSIPv4, 0, 40, all, make([]byte, 32)...)), false},
		{"IPv6 length 16", ts(1, selector(TSIPv6, 0, 16, all, make([]byte, 8)...)), false},
		{"length 65535", ts(1, selector(TSIPv4, 0, 65535, all, 10, 0, 0, 0, 10, 0, 0, 255)), false},
		{"IPv4 descending", ts(1, selector(TSIPv4, 0, 16, all, 10, 0, 0, 2, 10, 0, 0, 1)), false},
		{"IPv6 descending", ts(1, selector(TSIPv6, 0, 40, all, append(append(make([]byte, 15), 1), make([]byte, 16)...)...)), false},
		{"ports descending", ts(1, selector(TSIPv4, 6, 16, [4]byte{0, 2, 0, 1}, 10, 0, 0, 0, 10, 0, 0, 255)), false},
		{"OPAQUE ports", ts(1, selector(TSIPv4, 6, 16, [4]byte{0xff, 0xff, 0, 0}, 10, 0, 0, 0, 10, 0, 0, 255)), true},
	} {
		check(t, TypeTSi, c.name, c.b, c.ok)
		check(t, TypeTSr, c.name, c.b, c.ok)
	}
	for kind := range 256 {
		if kind == TSIPv4 || kind == TSIPv6 {
			continue
		}
		p, err := body(TypeTSi, ts(2, selector(byte(kind), 0, 16, all, make([]byte, 8)...), v4))
		if err != nil || p.(*TS).Skipped != 1 || len(p.(*TS).Selectors) != 1 {
			t.Errorf("selector of type %d: %+v, %v", kind, p, err)
		}
	}
}

func TestT014Identities(t *testing.T) {
	for kind := range 256 {
		for _, n := range []int{0, 1, 3, 4, 5, 15, 16, 17, 255, MaxIDData, MaxIDData + 1, 65000} {
			ok := n <= MaxIDData && (kind != 1 || n == 4) && (kind != 5 || n == 16)
			b := append([]byte{byte(kind), 0, 0, 0}, octets(n)...)
			check(t, TypeIDi, fmt.Sprintf("type %d with %d octets", kind, n), b, ok)
			check(t, TypeIDr, fmt.Sprintf("type %d with %d octets", kind, n), b, ok)
		}
	}
	for _, s := range []string{"a\x00b", "a\nb", "\x1b[31m", "%s%n", "'; rm -rf /", "\xff\xfe", "é"} {
		p, err := body(TypeIDi, append([]byte{2, 0, 0, 0}, s...))
		if err != nil || string(p.(*ID).Data) != s {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if m := (&Message{Payloads: []Payload{p}}); m.Summary() != "EXCHANGE_0 req 0 { IDi }" {
			t.Errorf("%q reached the summary: %q", s, m.Summary())
		}
	}
	for n := range 4 {
		check(t, TypeIDi, "cut", make([]byte, n), false)
	}
}

func TestT014IDBody(t *testing.T) {
	id := &ID{Initiator: true, IDType: 3, Data: []byte("a@b")}
	if got := id.Body(); !bytes.Equal(got, []byte{3, 0, 0, 0, 'a', '@', 'b'}) {
		t.Errorf("%x", got)
	}
}

// TestT015Encrypted: SK must be the last payload and cannot be inside another.
func TestT015Encrypted(t *testing.T) {
	sk := &Encrypted{First: TypeIDi, Body: octets(60)}
	m := Message{Header: header(IKEAuth, 0, 1), Payloads: []Payload{sk}}
	b := m.Append(nil)
	if _, err := Parse(withLength(append(b, isakmp.AppendGeneric(nil, 0, false, 0)...))); err == nil {
		t.Error("a payload behind SK was accepted")
	}
	for _, p := range []*Encrypted{sk, {First: TypeIDi, Number: 1, Total: 1, Body: octets(60)}} {
		first, inner := AppendPayloads(nil, []Payload{p})
		if _, err := ParsePayloads(first, inner); err == nil {
			t.Errorf("%s inside an encrypted payload was accepted", first)
		}
	}
	m.Payloads = []Payload{&Notify{Notify: Cookie, Data: octets(9)}, sk}
	b = m.Append(nil)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Payloads[1].(*Encrypted); p.Offset != len(b)-60 || !bytes.Equal(b[p.Offset:], p.Body) || p.First != TypeIDi {
		t.Errorf("body at %d, first %s", p.Offset, p.First)
	}
}

func TestT031Fragments(t *testing.T) {
	for _, c := range []struct {
		number, total uint16
		next          PayloadType
		ok            bool
	}{
		{1, 1, TypeIDi, true}, {1, 2, TypeIDi, true}, {2, 2, 0, true}, {MaxFragments, MaxFragments, 0, true},
		{1, MaxFragments, 0, true}, // an empty message, in fragments
		{0, 0, 0, false}, {0, 2, TypeIDi, false}, {1, 0, TypeIDi, false}, {3, 2, 0, false}, {2, 2, TypeIDi, false},
		{1, MaxFragments + 1, TypeIDi, false}, {1, 65535, TypeIDi, false}, {65535, 65535, 0, false},
	} {
		b := append(isakmp.AppendGeneric(nil, uint8(c.next), false, 44), byte(c.number>>8), byte(c.number), byte(c.total>>8), byte(c.total))
		h := header(IKEAuth, 0, 1)
		h.NextPayload = uint8(TypeSKF)
		b = withLength(append(h.Append(nil), append(b, octets(40)...)...))
		m, err := Parse(b)
		if (err == nil) != c.ok {
			t.Errorf("fragment %d of %d with next %d: %v", c.number, c.total, c.next, err)
			continue
		}
		if err != nil {
			continue
		}
		if p := m.Payloads[0].(*Encrypted); p.Number != c.number || p.Total != c.total || !bytes.Equal(b[p.Offset:], p.Body) || len(p.Body) != 40 {
			t.Errorf("fragment %d of %d was read as %d of %d at %d", c.number, c.total, p.Number, p.Total, p.Offset)
		}
	}
}

func TestT024NotifyAndDelete(t *testing.T) {
	for size := range 256 {
		for _, proto := range []byte{0, 1, 2, 3, 4, 255} {
			ok := size == 0 || size == 4 || size == 8
			b := append([]byte{proto, byte(size), 0x40, 9}, octets(size)...)
			check(t, TypeNotify, fmt.Sprintf("protocol %d with SPI of %d", proto, size), b, ok)
			check(t, TypeNotify, fmt.Sprintf("protocol %d with SPI of %d, cut", proto, size), b[:len(b)-1], false)

			ok = proto == 1 && size == 0 || (proto == 2 || proto == 3) && size == 4
			n := byte(0)
			if size > 0 {
				n = 1
			}
			b = append([]byte{proto, byte(size), 0, n}, octets(size)...)
			check(t, TypeDelete, fmt.Sprintf("protocol %d with SPI of %d", proto, size), b, ok)
		}
	}
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"empty":            {nil, false},
		"65535 SPIs":       {append([]byte{3, 4, 0xff, 0xff}, octets(4)...), false},
		"65535 of IKE":     {[]byte{1, 0, 0xff, 0xff}, false},
		"the most":         {append([]byte{3, 4, MaxDeleted >> 8, MaxDeleted & 0xff}, octets(4*MaxDeleted)...), true},
		"one more":         {append([]byte{3, 4, (MaxDeleted + 1) >> 8, (MaxDeleted + 1) & 0xff}, octets(4*MaxDeleted+4)...), false},
		"none":             {[]byte{3, 4, 0, 0}, true},
		"fewer than there": {append([]byte{3, 4, 0, 1}, octets(8)...), false},
		"more than there":  {append([]byte{3, 4, 0, 2}, octets(4)...), false},
	} {
		check(t, TypeDelete, name, c.b, c.ok)
	}
}

func TestConfiguration(t *testing.T) {
	attr := func(kind int, n int) []byte {
		return append([]byte{byte(kind >> 8), byte(kind), 0, byte(n)}, octets(n)...)
	}
	valid := map[int][]int{
		AttrIP4Address: {0, 4}, AttrIP4Netmask: {0, 4}, AttrIP4DNS: {0, 4}, AttrIP4NBNS: {0, 4}, AttrIP4DHCP: {0, 4},
		AttrIP6Address: {0, 16, 17}, AttrIP6DNS: {0, 16}, AttrIP6DHCP: {0, 16}, AttrIP4Subnet: {0, 8}, AttrIP6Subnet: {0, 17},
	}
	for kind, lengths := range valid {
		for n := range 20 {
			ok := false
			for _, l := range lengths {
				ok = ok || l == n
			}
			check(t, TypeCP, fmt.Sprintf("%s of %d", AttributeName(uint16(kind)), n), cat([]byte{1, 0, 0, 0}, attr(kind, n)), ok)
		}
	}
	check(t, TypeCP, "odd list of attributes", cat([]byte{1, 0, 0, 0}, attr(AttrSupported, 3)), false)
	check(t, TypeCP, "unknown attribute", cat([]byte{1, 0, 0, 0}, attr(28672, 9)), true)
	check(t, TypeCP, "no attributes", []byte{2, 0, 0, 0}, true)
	check(t, TypeCP, "cut header", []byte{2, 0, 0}, false)
	check(t, TypeCP, "cut attribute", []byte{2, 0, 0, 0, 0, 1, 0}, false)
	check(t, TypeCP, "attribute longer than there is", []byte{2, 0, 0, 0, 0x70, 0, 0xff, 0xff, 1}, false)
	check(t, TypeCP, "the most attributes", append([]byte{1, 0, 0, 0}, bytes.Repeat(attr(1, 0), MaxAttributes)...), true)
	check(t, TypeCP, "one more", append([]byte{1, 0, 0, 0}, bytes.Repeat(attr(1, 0), MaxAttributes+1)...), false)
	p, err := body(TypeCP, cat([]byte{1, 0, 0, 0}, []byte{0x80, 1, 0, 0})) // the reserved bit of the attribute type
	if err != nil || p.(*CP).Attributes[0].Kind != AttrIP4Address {
		t.Errorf("reserved bit: %+v, %v", p, err)
	}
}

func TestSmallPayloads(t *testing.T) {
	for _, c := range []struct {
		kind PayloadType
		name string
		b    []byte
		ok   bool
	}{
		{TypeKE, "empty", nil, false}, {TypeKE, "group alone", make([]byte, 4), false}, {TypeKE, "one octet", make([]byte, 5), true},
		{TypeNonce, "15", make([]byte, 15), false}, {TypeNonce, "16", make([]byte, 16), true},
		{TypeNonce, "256", make([]byte, 256), true}, {TypeNonce, "257", make([]byte, 257), false},
		{TypeAuth, "3", make([]byte, 3), false}, {TypeAuth, "4", make([]byte, 4), true},
		{TypeCert, "empty", nil, false}, {TypeCert, "the most", make([]byte, MaxCertData+1), true}, {TypeCert, "one more", make([]byte, MaxCertData+2), false},
		{TypeCertReq, "empty", nil, false}, {TypeCertReq, "any", []byte{4}, true},
		{TypeCertReq, "19", append([]byte{4}, make([]byte, 19)...), false}, {TypeCertReq, "40", append([]byte{4}, make([]byte, 40)...), true},
		{TypeCertReq, "another encoding", append([]byte{7}, make([]byte, 19)...), true},
		{TypeVendor, "empty", nil, true}, {TypeEAP, "empty", nil, true},
	} {
		check(t, c.kind, c.name, c.b, c.ok)
	}
}

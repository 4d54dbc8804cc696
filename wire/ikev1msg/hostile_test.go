// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a peer can send inside one payload: each case is a body, and whether it is taken.

package ikev1msg

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// body parses one payload of type t with the given body.
func body(t PayloadType, b []byte) (Payload, error) {
	c, err := parseExact(t, append(isakmp.AppendGeneric(nil, 0, false, len(b)), b...))
	if err != nil {
		return nil, err
	}
	return c.Payloads[0], nil
}

// check holds whether a body is taken.
func check(t *testing.T, kind PayloadType, name string, b []byte, ok bool) {
	t.Helper()
	if _, err := body(kind, b); (err == nil) != ok {
		t.Errorf("%s %s: %v, expected taken to be %v", kind, name, err, ok)
	}
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// transform, proposal and sa make the parts of an SA payload with every field at the caller's choice.
func transform(next byte, length int, id byte, attrs ...byte) []byte {
	return append([]byte{next, 0, byte(length >> 8), byte(length), 1, id, 0, 0}, attrs...)
}

func proposal(next, number, protocol byte, spi int, count byte, transforms ...[]byte) []byte {
	inner := cat(append([][]byte{{number, protocol, byte(spi), count}, octets(spi)}, transforms...)...)
	n := len(inner) + 4
	return append([]byte{next, 0, byte(n >> 8), byte(n)}, inner...)
}

func sa(doi, situation byte, proposals ...[]byte) []byte {
	return append([]byte{0, 0, 0, doi, 0, 0, 0, situation}, cat(proposals...)...)
}

// TestT036DOIAndSituation: another DOI is not ours, and the bits of a situation announce labels, or nobody assigned them.
func TestT036DOIAndSituation(t *testing.T) {
	p := proposal(0, 1, 1, 0, 1, transform(0, 8, 1))
	for v := range 256 {
		check(t, TypeSA, fmt.Sprintf("DOI %d", v), sa(byte(v), 1, p), v == 1)
		check(t, TypeSA, fmt.Sprintf("situation %d", v), sa(1, byte(v), p), v == 1)
	}
	check(t, TypeSA, "DOI 0x01000001", append([]byte{1, 0, 0, 1, 0, 0, 0, 1}, p...), false)
	check(t, TypeSA, "situation 0x80000001", append([]byte{0, 0, 0, 1, 0x80, 0, 0, 1}, p...), false)
	check(t, TypeSA, "situation with labels", sa(1, 3, make([]byte, 16), p), false)
	for _, kind := range []PayloadType{TypeNotify, TypeDelete} {
		rest := []byte{3, 4, 0, 1, 1, 2, 3, 4}
		check(t, kind, "DOI 0", cat([]byte{0, 0, 0, 0}, rest), true)
		check(t, kind, "DOI 1", cat([]byte{0, 0, 0, 1}, rest), true)
		check(t, kind, "DOI 2", cat([]byte{0, 0, 0, 2}, rest), false)
	}
}

func TestT011Proposals(t *testing.T) {
	one := transform(0, 8, 1)
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"no proposal", sa(1, 1), false},
		{"nothing", nil, false},
		{"one", sa(1, 1, proposal(0, 1, 1, 0, 1, one)), true},
		{"number 0", sa(1, 1, proposal(0, 0, 1, 0, 1, one)), true},
		{"1 and 1", sa(1, 1, proposal(2, 1, 3, 4, 1, one), proposal(0, 1, 2, 4, 1, one)), true},
		{"1 and 9", sa(1, 1, proposal(2, 1, 3, 4, 1, one), proposal(0, 9, 3, 4, 1, one)), true},
		{"2 and 1", sa(1, 1, proposal(2, 2, 3, 4, 1, one), proposal(0, 1, 3, 4, 1, one)), false},
		{"more promised than there is", sa(1, 1, proposal(2, 1, 1, 0, 1, one)), false},
		{"more there than promised", sa(1, 1, proposal(0, 1, 1, 0, 1, one), proposal(0, 2, 1, 0, 1, one)), false},
		{"next payload 3", sa(1, 1, proposal(3, 1, 1, 0, 1, one), proposal(0, 2, 1, 0, 1, one)), false},
		{"no transforms", sa(1, 1, proposal(0, 1, 1, 0, 0)), false},
		{"a transform that is not counted", sa(1, 1, proposal(0, 1, 1, 0, 1, one, one)), false},
		{"a transform too few", sa(1, 1, proposal(0, 1, 1, 0, 2, transform(3, 8, 1))), false},
		{"transform: last too early", sa(1, 1, proposal(0, 1, 1, 0, 2, one, one)), false},
		{"transform: last never", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(3, 8, 1))), false},
		{"transform: next payload 2", sa(1, 1, proposal(0, 1, 1, 0, 2, transform(2, 8, 1), one)), false},
		{"transform: length 0", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 0, 1))), false},
		{"transform: length 7", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 7, 1))), false},
		{"transform: length 9", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 9, 1))), false},
		{"transform: length 65535", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 65535, 1))), false},
		{"SPI of 250 in 8 octets", sa(1, 1, []byte{0, 0, 0, 12, 1, 1, 250, 1, 1, 2, 3, 4}), false},
		{"attribute", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 12, 1, 0x80, 14, 1, 0))), true},
		{"attribute of 2 octets", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 10, 1, 0x80, 14))), false},
		{"attribute of 1 octet", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 9, 1, 0x80))), false},
		{"long attribute cut", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 13, 1, 0, 99, 0, 2, 1))), false},
		{"long attribute", sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 14, 1, 0, 99, 0, 2, 1, 1))), true},
	} {
		check(t, TypeSA, c.name, c.b, c.ok)
	}
	for spi := range 256 {
		for protocol, ok := range map[byte]bool{1: spi <= 16, 2: spi == 4, 3: spi == 4, 4: spi == 2 || spi == 4, 9: spi <= 16} {
			check(t, TypeSA, fmt.Sprintf("protocol %d, SPI of %d", protocol, spi), sa(1, 1, proposal(0, 1, protocol, spi, 1, one)), ok)
		}
	}
}

// TestT011WorkIsBounded: as many proposals, transforms and attributes as a message can hold; their number is limited, and
// what is allocated for them stays in proportion to the octets that came.
func TestT011WorkIsBounded(t *testing.T) {
	many := func(n int, b ...byte) []byte { return bytes.Repeat(b, n) }
	proposals := func(n int) []byte {
		var list [][]byte
		for i := range n {
			next := byte(2)
			if i == n-1 {
				next = 0
			}
			list = append(list, proposal(next, 1, 1, 0, 1, transform(0, 8, 1)))
		}
		return sa(1, 1, list...)
	}
	check(t, TypeSA, "the most proposals", proposals(MaxProposals), true)
	check(t, TypeSA, "a proposal too many", proposals(MaxProposals+1), false)
	attrs := func(n int) []byte {
		return sa(1, 1, proposal(0, 1, 1, 0, 1, transform(0, 8+4*n, 1, many(n, 0x80, 99, 0, 1)...)))
	}
	check(t, TypeSA, "the most attributes", attrs(MaxAttributes), true)
	check(t, TypeSA, "an attribute too many", attrs(MaxAttributes+1), false)
	check(t, TypeConfig, "the most attributes", append([]byte{1, 0, 0, 0}, many(MaxAttributes, 0x80, 99, 0, 1)...), true)
	check(t, TypeConfig, "an attribute too many", append([]byte{1, 0, 0, 0}, many(MaxAttributes+1, 0x80, 99, 0, 1)...), false)

	full := cat(bytes.Repeat(transform(3, 8, 1), MaxTransforms-1), transform(0, 8, 1))
	most := sa(1, 1, proposal(2, 1, 1, 0, MaxTransforms, full), proposal(2, 1, 1, 0, MaxTransforms, full),
		proposal(0, 1, 1, 0, 2, transform(3, 8, 1), transform(0, 8, 1)))
	if n := allocated(func() { check(t, TypeSA, "the most transforms", most, true) }); n > 20*uint64(len(most)) {
		t.Errorf("%d octets allocated for %d that came", n, len(most))
	}
	check(t, TypeSA, "a transform too many", sa(1, 1, proposal(2, 1, 1, 0, MaxTransforms, full), proposal(2, 1, 1, 0, MaxTransforms, full),
		proposal(0, 1, 1, 0, 3, transform(3, 8, 1), transform(3, 8, 1), transform(0, 8, 1))), false)
	// What fills a datagram is refused before more than that is read.
	big := sa(1, 1, cat(bytes.Repeat(proposal(2, 1, 1, 0, MaxTransforms, full), 30), proposal(0, 1, 1, 0, MaxTransforms, full)))
	if n := allocated(func() { check(t, TypeSA, "a datagram of transforms", big, false) }); n > 4*uint64(len(big)) {
		t.Errorf("%d octets allocated for %d that came", n, len(big))
	}
}

// allocated is how many octets f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHeadersAllocateLittle: a length that is only claimed allocates nothing that is not there.
func TestHeadersAllocateLittle(t *testing.T) {
	for name, b := range map[string][]byte{
		"count of SPIs":       {0, 0, 0, 1, 3, 4, 1, 0, 1, 2, 3, 4},
		"count of transforms": sa(1, 1, []byte{0, 0, 0, 8, 1, 1, 0, 255}),
		"attribute":           {1, 0, 0, 0, 0, 1, 0xff, 0xff},
	} {
		kind := map[string]PayloadType{"count of SPIs": TypeDelete, "count of transforms": TypeSA, "attribute": TypeConfig}[name]
		chain := append(isakmp.AppendGeneric(nil, 0, false, len(b)), b...)
		n := allocated(func() {
			if _, err := parseExact(kind, chain); err == nil {
				t.Errorf("%s was accepted", name)
			}
		})
		if n > 4096 {
			t.Errorf("%s: %d octets allocated", name, n)
		}
	}
}

// TestT036ManyVendors: five hundred vendor IDs are refused, not read.
func TestT036ManyVendors(t *testing.T) {
	for n, ok := range map[int]bool{isakmp.MaxPayloads: true, isakmp.MaxPayloads + 1: false, 500: false} {
		list := make([]Payload, n)
		for i := range list {
			list[i] = &Vendor{Data: octets(16)}
		}
		m := Message{Header: header(MainMode, 0, 0), Chain: Chain{Payloads: list}}
		if _, err := Parse(m.Append(nil)); (err == nil) != ok {
			t.Errorf("%d vendor IDs: %v", n, err)
		}
	}
}

// TestT036Fragments: without data, without number, beside another payload, sealed by a flag.
func TestT036Fragments(t *testing.T) {
	check(t, TypeFragment, "whole", []byte{0, 1, 1, 1, 9}, true)
	check(t, TypeFragment, "other flags", []byte{0, 1, 1, 0xff, 9}, true)
	check(t, TypeFragment, "without data", []byte{0, 1, 1, 1}, false)
	check(t, TypeFragment, "without flags", []byte{0, 1, 1}, false)
	check(t, TypeFragment, "number 0", []byte{0, 1, 0, 1, 9}, false)
	frag := &Fragment{ID: 1, Number: 1, Data: octets(9)}
	for name, list := range map[string][]Payload{"two": {frag, frag}, "V behind it": {frag, &Vendor{}}, "V before it": {&Vendor{}, frag}} {
		m := Message{Header: header(MainMode, 0, 0), Chain: Chain{Payloads: list}}
		if _, err := Parse(m.Append(nil)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	m := Message{Header: header(MainMode, FlagEncryption, 0), Chain: Chain{Payloads: []Payload{frag}}}
	got, err := Parse(m.Append(nil))
	if err != nil || got.Sealed() || len(got.Payloads) != 1 || got.Payloads[0].Type() != TypeFragment {
		t.Errorf("with the flag of the message that was cut: %v", err)
	}
}

// TestT036NATPayloads: NAT-D of any size is read, as its number and size are judged by whoever knows the version; NAT-OA
// must be an address, but for number 16, which is GDOI's too.
func TestT036NATPayloads(t *testing.T) {
	for _, n := range []int{0, 1, 16, 20, 64, 65, 2000} {
		for _, kind := range []PayloadType{15, 20, 130} {
			p, err := body(kind, octets(n))
			if d, ok := p.(*NATD); err != nil || !ok || d.Num != kind || len(d.Data) != n {
				t.Errorf("NAT-D %d of %d octets: %v", kind, n, err)
			}
		}
	}
	v4, v6 := append([]byte{1, 0, 0, 0}, octets(4)...), append([]byte{5, 0, 0, 0}, octets(16)...)
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"IPv4", v4, true}, {"IPv6", v6, true}, {"IPv4 of 3", v4[:7], false}, {"IPv4 of 16", append([]byte{1, 0, 0, 0}, octets(16)...), false},
		{"IPv6 of 4", append([]byte{5, 0, 0, 0}, octets(4)...), false}, {"IPv6 of 17", append(bytes.Clone(v6), 0), false},
		{"subnet", append([]byte{4, 0, 0, 0}, octets(8)...), false}, {"name", append([]byte{2, 0, 0, 0}, octets(4)...), false},
		{"type 0", append([]byte{0, 0, 0, 0}, octets(4)...), false}, {"reserved", append([]byte{1, 0, 0, 1}, octets(4)...), false},
		{"protocol", append([]byte{1, 17, 0, 0}, octets(4)...), false}, {"empty", nil, false},
	} {
		check(t, TypeNATOA, c.name, c.b, c.ok)
		check(t, TypeNATOA131, c.name, c.b, c.ok)
		p, err := body(TypeNATOA16, c.b)
		if _, ok := p.(*NATOA); err != nil || ok != c.ok {
			t.Errorf("16, %s: %T, %v", c.name, p, err)
		}
	}
}

// TestT039Identities: types and lengths of addresses in IDs; what else a type says is for whoever knows the exchange.
func TestT039Identities(t *testing.T) {
	lengths := map[int]int{1: 4, 4: 8, 5: 16, 6: 32, 7: 8, 8: 32}
	for kind := range 256 {
		for _, n := range []int{0, 1, 4, 5, 8, 16, 17, 32, 33, MaxIDData, MaxIDData + 1} {
			want, fixed := lengths[kind]
			ok := n <= MaxIDData
			if fixed {
				ok = n == want
			}
			check(t, TypeID, fmt.Sprintf("type %d of %d", kind, n), append([]byte{byte(kind), 17, 0x01, 0xf4}, octets(n)...), ok)
		}
	}
	check(t, TypeID, "three octets", []byte{2, 0, 0}, false)
}

func TestLengths(t *testing.T) {
	for _, c := range []struct {
		kind PayloadType
		n    int
		ok   bool
	}{
		{TypeKE, 0, false}, {TypeKE, 1, true}, {TypeKE, MaxKE, true}, {TypeKE, MaxKE + 1, false},
		{TypeHash, 0, false}, {TypeHash, 16, true}, {TypeHash, 64, true}, {TypeHash, 65, false},
		{TypeSig, 0, false}, {TypeSig, 64, true}, {TypeSig, MaxSig, true}, {TypeSig, MaxSig + 1, false},
		{TypeNonce, 7, false}, {TypeNonce, 8, true}, {TypeNonce, 256, true}, {TypeNonce, 257, false},
		{TypeCert, 0, false}, {TypeCert, 1, true}, {TypeCert, MaxCertData + 1, true}, {TypeCert, MaxCertData + 2, false},
		{TypeCertReq, 0, false}, {TypeCertReq, 1, true}, {TypeCertReq, MaxCertData + 2, false},
		{TypeVendor, 0, true}, {TypeVendor, 5000, true},
		{TypeConfig, 3, false},
	} {
		check(t, c.kind, fmt.Sprintf("%d octets", c.n), octets(c.n), c.ok)
	}
}

func TestT037Notifies(t *testing.T) {
	for spi := range 256 {
		b := append([]byte{0, 0, 0, 1, 1, byte(spi), 0x8d, 0x28}, octets(spi)...)
		check(t, TypeNotify, fmt.Sprintf("SPI of %d", spi), b, spi <= 16)
		if spi > 0 {
			check(t, TypeNotify, fmt.Sprintf("SPI of %d cut", spi), b[:len(b)-1], false)
		}
	}
	check(t, TypeNotify, "seven octets", octets(7), false)
	for _, c := range []struct {
		name     string
		protocol Protocol
		spi      int
		data     []byte
		ok       bool
	}{
		{"R-U-THERE", ProtoISAKMP, 16, octets(4), true}, {"without SPI", ProtoISAKMP, 0, octets(4), false}, {"one cookie", ProtoISAKMP, 8, octets(4), false},
		{"no number", ProtoISAKMP, 16, nil, false}, {"long number", ProtoISAKMP, 16, octets(8), false}, {"of ESP", ProtoESP, 16, octets(4), false},
	} {
		n := Notify{Protocol: c.protocol, SPI: octets(c.spi), Notify: RUThere, Data: c.data}
		if _, err := n.Sequence(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestNotifyData(t *testing.T) {
	for name, c := range map[string]struct {
		data   []byte
		replay bool
		ok     bool
	}{"on": {[]byte{0, 0, 0, 1}, true, true}, "off": {[]byte{0, 0, 0, 0}, false, true}, "2": {[]byte{0, 0, 0, 2}, false, false}, "short": {[]byte{1}, false, false}} {
		if got, err := (&Notify{Data: c.data}).Replay(); got != c.replay || (err == nil) != c.ok {
			t.Errorf("replay status %s: %v, %v", name, got, err)
		}
	}
	if got, err := (&Notify{Data: []byte{192, 0, 2, 7}}).Gateway(); err != nil || got.String() != "192.0.2.7" {
		t.Errorf("gateway %v, %v", got, err)
	}
	for _, n := range []int{0, 3, 5, 16} {
		if _, err := (&Notify{Data: octets(n)}).Gateway(); err == nil {
			t.Errorf("a gateway of %d octets was accepted", n)
		}
	}
	for p, other := range map[Protocol]Protocol{ProtoISAKMP: ProtoESP, ProtoESP: ProtoISAKMP} {
		want := Lifetime{Seconds: 86400, Kilobytes: 4608000}
		n := Notify{Protocol: p, Data: LifetimeData(p, want)}
		if got, err := n.Lifetime(); got != want || err != nil {
			t.Errorf("%s: %+v, %v", p, got, err)
		}
		for what, bad := range map[string][]byte{
			"nothing": nil, "half": n.Data[:len(n.Data)-1], "of the other": LifetimeData(other, want),
			"an algorithm": appendAttributes(nil, []Attribute{Basic(AttrSAEncap, 1)}), "cut": {0x80},
		} {
			if got, err := (&Notify{Protocol: p, Data: bad}).Lifetime(); err == nil {
				t.Errorf("%s, %s: %+v", p, what, got)
			}
		}
	}
}

func TestT037Deletes(t *testing.T) {
	del := func(protocol, size byte, count int, n int) []byte {
		return append([]byte{0, 0, 0, 1, protocol, size, byte(count >> 8), byte(count)}, octets(n)...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"ESP", del(3, 4, 1, 4), true}, {"AH", del(2, 4, 2, 8), true}, {"ISAKMP", del(1, 16, 1, 16), true}, {"IPComp", del(4, 2, 1, 2), true},
		{"ISAKMP without SPI", del(1, 0, 0, 0), false}, {"ISAKMP with one cookie", del(1, 8, 1, 8), false}, {"ESP of 8", del(3, 8, 1, 8), false},
		{"protocol 0", del(0, 4, 1, 4), false}, {"protocol 5", del(5, 4, 1, 4), false}, {"none", del(3, 4, 0, 0), false},
		{"none, but octets", del(3, 4, 0, 4), false}, {"too few", del(3, 4, 2, 4), false}, {"too many", del(3, 4, 1, 8), false},
		{"the most", del(3, 4, MaxDeleted, 4*MaxDeleted), true}, {"one more", del(3, 4, MaxDeleted+1, 4*(MaxDeleted+1)), false},
		{"65535", del(3, 4, 65535, 4), false}, {"size 0", del(3, 0, 1, 0), false}, {"size 255", del(3, 255, 1, 255), false},
	} {
		check(t, TypeDelete, c.name, c.b, c.ok)
	}
	check(t, TypeDelete, "made without SPIs", (&Delete{DOI: DOIIPsec, Protocol: ProtoESP}).append(nil), false)
}

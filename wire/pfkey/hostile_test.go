// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
)

// TestT096 has messages that a client could bring a kernel down with (CVE-2019-15666, CVE-2024-50142): each is an error that names the
// field, with the errno to answer.
func TestT096(t *testing.T) {
	for _, c := range codecs() {
		for _, h := range hostile(c) {
			b := h.make()
			m, err := c.Parse(b)
			if err == nil {
				t.Errorf("%v: %s was accepted: %v", c, h.name, m)
				continue
			}
			if got := ErrnoOf(err); got != h.errno && !(h.errno == EMSGSIZE && c.Dialect != Linux && got == EINVAL) {
				t.Errorf("%v: %s: %v, expected %v", c, h.name, got, h.errno)
			}
			if !strings.Contains(err.Error(), h.field) {
				t.Errorf("%v: %s: %q does not name %q", c, h.name, err, h.field)
			}
			if m != nil && (m.SA != nil || m.KeyAuth != nil || m.Src != nil) {
				t.Errorf("%v: %s: extensions of a refused message were kept", c, h.name)
			}
		}
	}
}

type hostileCase struct {
	name, field string
	errno       Errno
	make        func() []byte
}

// hostile makes the cases from good messages of the codec, by changing one thing.
func hostile(c Codec) []hostileCase {
	with := func(m *Message, f func(b []byte, at func(ExtType) int)) func() []byte {
		return func() []byte {
			b, err := c.Append(nil, m)
			if err != nil {
				panic(err)
			}
			f(b, func(t ExtType) int { return find(c, b, t) })
			return b
		}
	}
	add := func() *Message {
		return &Message{Header: Header{Type: TypeAdd, SAType: SATypeESP}, SA: &SA{SPI: 1, Auth: 3, Encrypt: 12}, Src: addr("1.1.1.1", 32, 0), Dst: addr("2.2.2.2", 32, 0), KeyAuth: key(20), KeyEncrypt: key(16)}
	}
	policy := func() *Message {
		return &Message{Header: Header{Type: TypeSPDAdd}, Src: addr("1.1.1.1", 32, 0), Dst: addr("2.2.2.2", 32, 0), Policy: &Policy{Type: PolicyIPsec, Dir: DirOut,
			Requests: []Request{{Proto: 50, Mode: ModeTunnel, Level: LevelRequire, Src: sock("1.1.1.1", 0), Dst: sock("2.2.2.2", 0)}}}}
	}
	o := c.order()
	big := func(b []byte, at func(ExtType) int) { b[at(ExtAddressSrc)+5] = 33 }
	cases := []hostileCase{
		{"no octets", "message", EMSGSIZE, func() []byte { return nil }},
		{"15 octets", "message", EMSGSIZE, func() []byte { return make([]byte, 15) }},
		{"too large", "message", EMSGSIZE, func() []byte { return make([]byte, MaxMessage+8) }},
		{"length 0", "length", EMSGSIZE, with(add(), func(b []byte, _ func(ExtType) int) { o.PutUint16(b[4:], 0) })},
		{"length of more", "length", EMSGSIZE, with(add(), func(b []byte, _ func(ExtType) int) { o.PutUint16(b[4:], uint16(len(b)/8+1)) })},
		{"length of less", "length", EMSGSIZE, with(add(), func(b []byte, _ func(ExtType) int) { o.PutUint16(b[4:], uint16(len(b)/8-1)) })},
		{"version 1", "version", EINVAL, with(add(), func(b []byte, _ func(ExtType) int) { b[0] = 1 })},
		{"type 0", "type", EINVAL, with(add(), func(b []byte, _ func(ExtType) int) { b[1] = 0 })},
		{"type 255", "type", EINVAL, with(add(), func(b []byte, _ func(ExtType) int) { b[1] = 255 })},
		{"extension of length 0", "SADB_EXT_ADDRESS_SRC length", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtAddressSrc):], 0) })},
		{"extension beyond the message", "SADB_EXT_ADDRESS_SRC length", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtAddressSrc):], 0xffff) })},
		{"extension too short", "SADB_EXT_SA", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtSA):], 1) })},
		{"extension twice", "SADB_EXT_ADDRESS_SRC: is there twice", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtAddressDst)+2:], 5) })},
		{"extension type 0", "extension type", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtAddressDst)+2:], 0) })},
		{"key of no bits", "SADB_EXT_KEY_AUTH", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtKeyAuth)+4:], 0) })},
		{"key of 65535 bits", "SADB_EXT_KEY_AUTH: bits", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtKeyAuth)+4:], 0xffff) })},
		{"key of other bits", "SADB_EXT_KEY_AUTH: bits", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtKeyAuth)+4:], 256) })},
		{"key of broken octets", "SADB_EXT_KEY_AUTH: bits", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtKeyAuth)+4:], 159) })},
		{"prefix of 33", "SADB_EXT_ADDRESS_SRC: prefix length", EINVAL, with(add(), big)},
		{"prefix of 255", "SADB_EXT_ADDRESS_SRC: prefix length", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { b[at(ExtAddressSrc)+5] = 255 })},
		{"direction 0", "SADB_X_EXT_POLICY: direction", EINVAL, with(policy(), func(b []byte, at func(ExtType) int) { b[at(ExtPolicy)+6] = 0 })},
		{"direction 255", "SADB_X_EXT_POLICY: direction", EINVAL, with(policy(), func(b []byte, at func(ExtType) int) { b[at(ExtPolicy)+6] = 255 })},
		{"request of length 0", "request length", EINVAL, with(policy(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtPolicy)+16:], 0) })},
		{"request of its header", "SADB_X_EXT_POLICY", EINVAL, with(policy(), func(b []byte, at func(ExtType) int) {
			o.PutUint16(b[at(ExtPolicy)+16:], uint16(c.Dialect.requestHeader()))
		})},
		{"request beyond the policy", "request length", EINVAL, with(policy(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtPolicy)+16:], 0xffff) })},
		{"family unknown", "SADB_EXT_ADDRESS_SRC: family", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { b[at(ExtAddressSrc)+8], b[at(ExtAddressSrc)+9] = 99, 99 })},
		{"SPI range upside down", "SADB_EXT_SPIRANGE: minimum", EINVAL, with(&Message{Header: Header{Type: TypeGetSPI}, SPIRange: &SPIRange{5, 5}}, func(b []byte, at func(ExtType) int) { o.PutUint32(b[at(ExtSPIRange)+4:], 6) })},
		{"families mixed", "SADB_EXT_ADDRESS_DST", EINVAL, func() []byte {
			m := add()
			a, _ := c.Append(nil, &Message{Header: Header{Type: TypeAdd}, Src: m.Src})
			b, _ := c.Append(nil, &Message{Header: Header{Type: TypeAdd}, Dst: addr("::1", 128, 0)})
			a = append(a, b[HeaderLen:]...)
			o.PutUint16(a[4:], uint16(len(a)/8))
			return a
		}},
	}
	if c.Dialect != Linux {
		cases = append(cases,
			hostileCase{"extension unknown", "extension type: 99", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { o.PutUint16(b[at(ExtAddressDst)+2:], 99) })},
			hostileCase{"sa_len of 255", "sa_len", EINVAL, with(add(), func(b []byte, at func(ExtType) int) { b[at(ExtAddressSrc)+8] = 255 })})
	}
	return cases
}

// find is where an extension begins.
func find(c Codec, b []byte, t ExtType) int {
	for at := HeaderLen; at < len(b); at += int(c.order().Uint16(b[at:])) * 8 {
		if c.order().Uint16(b[at+2:]) == c.Dialect.Number(t) {
			return at
		}
	}
	panic(t.String() + " is not there")
}

// TestLinuxSkipsUnknownExtensions: as its kernel does, and they are gone afterwards.
func TestLinuxSkipsUnknownExtensions(t *testing.T) {
	c := Codec{Dialect: Linux}
	b, _ := c.Append(nil, &Message{Header: Header{Type: TypeGet}, NATType: ptr(NATTNonESP)})
	c.order().PutUint16(b[HeaderLen+2:], 99)
	m, err := c.Parse(b)
	if err != nil || m.NATType != nil || len(m.Order) != 0 {
		t.Errorf("%v %v", m, err)
	}
}

// TestAppendRefuses: what Parse would refuse is never sent.
func TestAppendRefuses(t *testing.T) {
	for name, m := range map[string]*Message{
		"reqid":     {Header: Header{Type: TypeSPDAdd}, Policy: &Policy{Dir: DirIn, Requests: []Request{{Reqid: 0x10000}}}},
		"address":   {Header: Header{Type: TypeGet}, Src: &Address{}},
		"zone":      {Header: Header{Type: TypeGet}, Src: addr("fe80::1%eth0", 0, 0)},
		"prefix":    {Header: Header{Type: TypeGet}, Src: addr("1.1.1.1", 33, 0)},
		"direction": {Header: Header{Type: TypeSPDAdd}, Policy: &Policy{}},
		"request":   {Header: Header{Type: TypeSPDAdd}, Policy: &Policy{Dir: DirIn, Requests: []Request{{Src: sock("1.1.1.1", 0)}}}},
		"requests":  {Header: Header{Type: TypeSPDAdd}, Policy: &Policy{Dir: DirIn, Requests: make([]Request, MaxRequests+1)}},
		"key":       {Header: Header{Type: TypeAdd}, KeyAuth: ptr(secret.New(nil))},
		"linux's":   {Header: Header{Type: TypeDump}, Filter: &Filter{}},
		"type":      {},
		"opaque":    {Header: Header{Type: TypeGet}, KMPrivate: &Opaque{make([]byte, 7)}},
		"inner":     {Header: Header{Type: TypeGet}, Inner: make([]byte, 16)},
	} {
		dst := []byte("before")
		if b, err := (Codec{Dialect: FreeBSD}).Append(dst, m); err == nil {
			t.Errorf("%s: %x", name, b)
		}
	}
	if _, err := (Codec{Dialect: FreeBSD}).Append(nil, &Message{Header: Header{Type: TypeMigrate}}); err == nil {
		t.Error("FreeBSD has no MIGRATE")
	}
}

// TestT096Limits: a policy of more requests than are taken, a filter with prefixes that no address has, and a private extension with
// something in its reserved octets.
func TestT096Limits(t *testing.T) {
	for _, c := range codecs() {
		m := &Message{Header: Header{Type: TypeSPDAdd}, Policy: &Policy{Dir: DirIn, Requests: make([]Request, MaxRequests)}}
		b, err := c.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		at := find(c, b, ExtPolicy)
		b = append(b, b[len(b)-c.Dialect.requestHeader():]...)
		c.order().PutUint16(b[at:], uint16((len(b)-at)/8))
		c.order().PutUint16(b[4:], uint16(len(b)/8))
		if m, err := c.Parse(b); err == nil || !strings.Contains(err.Error(), "more than 16") {
			t.Errorf("%v: 17 requests: %v %v", c, m, err)
		}
		o := c.Private(PrivateMoves)
		o.Data[0], o.Data[3] = 0xff, 0xff
		b, err = c.Append(nil, &Message{Header: Header{Type: TypeRegister}, KMPrivate: o})
		if err != nil || c.order().Uint32(b[find(c, b, ExtKMPrivate)+4:]) != 0 {
			t.Errorf("%v: %x %v", c, b, err)
		}
		if c.Dialect != Linux {
			continue
		}
		for _, f := range []Filter{{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.2.3/32")}, {netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0")}} {
			b, err := c.Append(nil, &Message{Header: Header{Type: TypeDump}, Filter: &f})
			if err != nil {
				t.Fatal(err)
			}
			for _, off := range []int{38, 39} { // the two prefix lengths
				for _, bits := range []byte{uint8(f.Src.Addr().BitLen()) + 1, 255} {
					bad := slices.Clone(b)
					bad[find(c, b, ExtFilter)+off] = bits
					if m, err := c.Parse(bad); err == nil {
						t.Errorf("%v: prefix length %d: %v", c, bits, m.Filter)
					}
				}
			}
		}
	}
}

// TestDirections: each message that names a policy by its selectors needs a direction that the dialect has.
func TestDirections(t *testing.T) {
	for _, d := range []Dialect{FreeBSD, NetBSD, Linux} {
		for _, typ := range []Type{TypeSPDAdd, TypeSPDUpdate, TypeSPDDelete, TypeSPDSetIdx, TypeMigrate, TypeSPDGet, TypeSPDDelete2} {
			for dir := range Dir(5) {
				byID := typ == TypeSPDGet || typ == TypeSPDDelete2
				want := (dir > 0 || byID) && (dir <= DirOut || dir == DirFwd && d == Linux) && (typ != TypeMigrate || d == Linux)
				if _, err := (Codec{Dialect: d}).Append(nil, &Message{Header: Header{Type: typ}, Policy: &Policy{Dir: dir}}); (err == nil) != want {
					t.Errorf("%v %v direction %d: %v", d, typ, dir, err)
				}
			}
		}
	}
}

// TestT097: what is appended has zeros wherever it has no value (CVE-2013-2234): nothing of the buffer that it is written into, nothing of
// the message that it was parsed from. Each octet of each message is either a value, or reserved: then it is zero, and stays so
// whatever was received.
func TestT097(t *testing.T) {
	for _, c := range codecs() {
		for _, b := range octets(c) {
			m, err := c.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			dirty := bytes.Repeat([]byte{0xff}, 2*len(b))
			if got, err := c.Append(dirty[:0], m); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%v %v: what was in the buffer shows: %x (%v)", c, m.Type, got, err)
			}
			if m.Inner != nil {
				continue // another's message is copied as it is
			}
			reserved := 0
			for at := range b {
				for _, v := range []byte{1, 0x80, 0xff} {
					changed := slices.Clone(b)
					changed[at] ^= v
					m, err := c.Parse(changed)
					if err != nil {
						continue
					}
					got, err := c.Append(nil, m)
					switch {
					case err != nil:
						t.Errorf("%v %v: octet %d: parsed and not appended: %v", c, m.Type, at, err)
					case bytes.Equal(got, b):
						if reserved++; b[at] != 0 {
							t.Errorf("%v %v: octet %d is reserved and not zero", c, m.Type, at)
						}
					case !bytes.Equal(got, changed) && !fewer(c, got, changed):
						t.Errorf("%v %v: octet %d: %x became %x", c, m.Type, at, changed, got)
					}
				}
			}
			if reserved == 0 {
				t.Errorf("%v %v: no reserved octet was found, expected at least the header's", c, m.Type)
			}
		}
	}
}

// fewer reports whether got lacks an extension that became unknown, or has zeros in the place of reserved octets.
func fewer(c Codec, got, changed []byte) bool {
	m, err := c.Parse(got)
	if err != nil {
		return false
	}
	again, err := c.Append(nil, m)
	return err == nil && bytes.Equal(again, got) && len(got) <= len(changed)
}

// TestCheck: what a kernel's write fails with. Linux refuses a request with something in its reserved octets, and sends such messages.
func TestCheck(t *testing.T) {
	for _, c := range codecs() {
		good := octets(c)[0]
		if e := c.Check(good); e != OK {
			t.Errorf("%v: %v", c, e)
		}
		for _, bad := range [][]byte{nil, good[:8], good[:len(good)-8], append(slices.Clone(good), 0)} {
			if e := c.Check(bad); e != c.Dialect.wrongLength() {
				t.Errorf("%v: %d octets: %v", c, len(bad), e)
			}
		}
		counted := slices.Clone(good)
		counted[6] = 3
		if e := c.Check(counted); (e == EINVAL) != (c.Dialect == Linux) {
			t.Errorf("%v: a count in the reserved octets: %v", c, e)
		}
		if _, err := c.Parse(counted); err != nil {
			t.Errorf("%v: a count in the reserved octets: %v", c, err)
		}
	}
}

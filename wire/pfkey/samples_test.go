// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"encoding/binary"
	"net/netip"

	"github.com/natterjack/natterjack/crypt/secret"
)

// Every extension of every dialect, in messages that are valid.

func ptr[T any](v T) *T { return &v }

func key(n int) *secret.Key {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return ptr(secret.New(b))
}

func addr(text string, bits uint8, port uint16) *Address {
	return &Address{PrefixLen: bits, Sockaddr: sock(text, port)}
}

func sock(text string, port uint16) Sockaddr {
	return Sockaddr{Addr: netip.MustParseAddr(text), Port: port}
}

func codecs() []Codec {
	var all []Codec
	for _, d := range []Dialect{FreeBSD, NetBSD, Linux} {
		all = append(all, Codec{Dialect: d}, Codec{Dialect: d, Order: binary.BigEndian})
	}
	return all
}

// samples are messages of the dialect that together have all its extensions.
func samples(d Dialect) []*Message {
	common := &Message{
		Header: Header{Type: TypeAdd, SAType: SATypeESP, Seq: 7, PID: 4242},
		SA:     &SA{SPI: 0xdeadbeef, Replay: 32, State: StateMature, Auth: 3, Encrypt: 12, Flags: SAFlagCycSeq},
		SA2:    &SA2{Mode: ModeTunnel, Seq: 9, Reqid: 0x10002},
		Src:    addr("1.1.1.1", 32, 0), Dst: addr("2.2.2.2", 32, 500), Proxy: &Address{Proto: 255, Sockaddr: sock("0.0.0.0", 0)},
		LifetimeCurrent: &Lifetime{1, 2, 3, 4}, LifetimeHard: &Lifetime{5, 6, 7, 8}, LifetimeSoft: &Lifetime{9, 10, 11, 12},
		KeyAuth: key(20), KeyEncrypt: key(16),
		IdentitySrc: &Identity{Type: 2, ID: 5, Data: []byte("gw.example\x00\x00\x00\x00\x00\x00")}, IdentityDst: &Identity{Type: 4, ID: 6},
		Sensitivity: &Opaque{[]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		KMPrivate:   Codec{Dialect: d}.Private(PrivateMoves),
		NATType:     ptr(NATTNonESP), NATSrcPort: ptr(uint16(4500)), NATDstPort: ptr(uint16(0x1194)), NATOAi: addr("10.0.0.1", 32, 0),
	}
	v6 := &Message{Header: Header{Type: TypeGetSPI, SAType: SATypeAH, Seq: 1},
		Src: &Address{PrefixLen: 128, Sockaddr: Sockaddr{netip.MustParseAddr("fe80::1"), 0, 0xabcde, 3}}, Dst: addr("2001:db8::1", 128, 0),
		SPIRange: &SPIRange{0x100, 0xffffffff}}
	ask := &Message{Header: Header{Type: TypeAcquire, SAType: SATypeESP, Seq: 3, Errno: ENOBUFS}, Src: addr("10.9.0.1", 32, 0), Dst: addr("10.9.0.2", 32, 0),
		Policy: &Policy{Type: PolicyIPsec, Dir: DirOut, ID: 8}, Proposal: &Proposal{32, []Comb{{3, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {Auth: 7}}}}
	register := &Message{Header: Header{Type: TypeRegister, SAType: SATypeESP}, SupportedAuth: []Supported{{3, 0, 160, 160}, {5, 1, 2, 3}}, SupportedEncrypt: []Supported{}}
	policy := &Message{Header: Header{Type: TypeSPDAdd}, Src: &Address{Proto: 255, PrefixLen: 24, Sockaddr: sock("10.0.0.0", 0)}, Dst: addr("10.1.0.0", 16, 80),
		Policy: &Policy{Type: PolicyIPsec, Dir: DirIn, ID: 5, Priority: 0x80000000, Requests: []Request{
			{50, ModeTransport, LevelUse, 0, Sockaddr{}, Sockaddr{}}, {51, ModeTunnel, LevelUnique, 0x4001, sock("1.1.1.1", 4500), sock("2.2.2.2", 26711)},
			{108, ModeTunnel, LevelRequire, 3, sock("2001:db8::1", 0), sock("2001:db8::2", 1)}}}}
	all := []*Message{common, v6, ask, register, policy, {Header: Header{Type: TypeFlush, Errno: EINVAL}}}
	mapping := &Message{Header: Header{Type: TypeNewMapping, SAType: SATypeESP}, SA: &SA{SPI: 0x777}, Src: addr("10.7.0.2", 32, 0), NATSrcPort: ptr(uint16(4500)),
		Dst: addr("10.7.0.3", 32, 0), NATDstPort: ptr(uint16(0x1194))}
	all = append(all, mapping)
	if d == Linux {
		common.SecCtx = &SecCtx{1, 1, []byte("system_u:object_r")}
		policy.Policy.Requests[1].Reqid = 0x12345678
		policy.Policy.Dir = DirFwd
		migrate := &Message{Header: Header{Type: TypeMigrate}, Src: policy.Src, Dst: policy.Dst, Policy: &Policy{Type: PolicyIPsec, Dir: DirIn, Requests: []Request{
			{50, ModeTunnel, LevelRequire, 1, sock("1.1.1.1", 0), sock("2.2.2.2", 0)}, {50, ModeTunnel, LevelRequire, 1, sock("1.1.1.3", 0), sock("2.2.2.2", 0)}}},
			KMAddr: &KMAddress{sock("fe80::1", 500), sock("fe80::2", 500)}}
		dump := &Message{Header: Header{Type: TypeDump}, Filter: &Filter{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.2.3/32")}}
		return append(all, migrate, dump, &Message{Header: Header{Type: TypeDump}, Filter: &Filter{}},
			&Message{Header: Header{Type: TypeDump}, Filter: &Filter{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("::/0")}})
	}
	common.NATOAr, common.NATFrag = addr("10.0.0.2", 32, 0), ptr(uint16(552))
	policy.Policy.Scope = 0x80
	if d == FreeBSD {
		common.SAReplay, common.NewSrc, common.NewDst = ptr(uint32(4096)), addr("1.1.1.9", 32, 0), addr("2.2.2.9", 32, 4501)
		common.LifetimeSW, common.LifetimeHW, common.IfOffload = &Lifetime{1, 2, 3, 4}, &Lifetime{}, &Opaque{make([]byte, 20)}
	}
	inner, err := Codec{Dialect: d}.Append(nil, mapping)
	if err != nil {
		panic(err)
	}
	return append(all, &Message{Header: Header{Type: TypePromisc}, Inner: inner})
}

// octets are the samples of a codec.
func octets(c Codec) [][]byte {
	var all [][]byte
	for _, m := range samples(c.Dialect) {
		if m.Inner != nil && c.Order != nil {
			continue // the inner message was made in the other order
		}
		b, err := c.Append(nil, m)
		if err != nil {
			panic(m.Type.String() + ": " + err.Error())
		}
		all = append(all, b)
	}
	return all
}

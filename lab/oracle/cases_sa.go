// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cases about what an SA is made of: algorithms and keys, addresses, the ports of NAT traversal.

package oracle

import "fmt"

func algorithmCases() []Case {
	var list []Case
	with := func(auth uint8, authBits int, enc uint8, encBits int) message {
		m := msg(add, esp).sa(saExt{spi: 0x1000, replay: 32, state: mature, auth: auth, encrypt: enc}).ends(addr1, addr2)
		if authBits >= 0 {
			m = m.key(extKeyAuth, authBits)
		}
		if encBits >= 0 {
			m = m.key(extKeyEncrypt, encBits)
		}
		return m
	}
	for _, a := range []struct {
		id   uint8
		bits []int
	}{{0, []int{-1, 128}}, {1, []int{128}}, {authMD5, []int{0, 64, 120, 128, 136, 256}}, {authSHA1, []int{0, 96, 128, 152, 160, 168, 320}}, {4, []int{128}},
		{authSHA256, []int{128, 256, 264}}, {6, []int{256, 384, 512}}, {7, []int{256, 512, 1024}}, {8, []int{160}}, {9, []int{120, 128, 160}},
		{10, []int{128}}, {250, []int{128}}, {authNull, []int{-1, 0, 128}}, {252, []int{128}}, {255, []int{128}}} {
		for _, bits := range a.bits {
			list = append(list, one(fmt.Sprintf("ESP auth %d with %d bits", a.id, bits), with(a.id, bits, encAES, 128)),
				one(fmt.Sprintf("AH auth %d with %d bits", a.id, bits), ahWith(a.id, bits)))
		}
	}
	for _, e := range []struct {
		id   uint8
		bits []int
	}{{0, []int{-1, 128}}, {1, []int{64}}, {2, []int{56, 64, 72}}, {3, []int{128, 168, 192}}, {6, []int{32, 40, 80, 128, 256}}, {7, []int{32, 128, 448, 456}}, {8, []int{128}},
		{encNull, []int{-1, 0, 8}}, {encAES, []int{0, 64, 120, 128, 160, 192, 256, 264, 512}}, {13, []int{128, 160, 224, 288}}, {14, []int{152}}, {15, []int{152}}, {16, []int{152, 280}},
		{18, []int{160}}, {19, []int{160}}, {encGCM16, []int{160, 288}}, {22, []int{128, 192, 256}}, {23, []int{160}}, {249, []int{128}}, {252, []int{128}}, {253, []int{128}}, {255, []int{128}}} {
		for _, bits := range e.bits {
			list = append(list, one(fmt.Sprintf("encryption %d with %d bits", e.id, bits), with(authSHA1, 160, e.id, bits)),
				one(fmt.Sprintf("encryption %d with %d bits, no authentication", e.id, bits), with(0, -1, e.id, bits)))
		}
	}
	for _, bits := range []int{1, 127, 129} {
		list = append(list, one(fmt.Sprintf("an encryption key of %d bits", bits), with(authSHA1, 160, encAES, bits)))
	}
	lying := func(bits uint16, octets int) message {
		b := native.AppendUint16(nil, bits)
		return msg(add, esp).sa(plain(0x1000)).ends(addr1, addr2).key(extKeyAuth, 160).ext(extKeyEncrypt, append(b, make([]byte, 2+octets)...))
	}
	return append(list,
		one("a key that claims more than it has", lying(256, 16)),
		one("a key that claims less than it has", lying(128, 32)),
		one("a key of 65535 bits", lying(65535, 16)),
		one("a weak DES key", msg(add, esp).sa(saExt{spi: 0x1000, state: mature, auth: authSHA1, encrypt: 2}).ends(addr1, addr2).key(extKeyAuth, 160).
			ext(extKeyEncrypt, []byte{64, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1})),
	)
}

func ahWith(auth uint8, bits int) message {
	m := msg(add, ah).sa(saExt{spi: 0x1000, replay: 32, state: mature, auth: auth}).ends(addr1, addr2)
	if bits >= 0 {
		m = m.key(extKeyAuth, bits)
	}
	return m
}

func addressCases() []Case {
	with := func(src, dst message) message {
		return msg(add, esp).sa(plain(0x1000)).raw(src.b[headerLen:]...).raw(dst.b[headerLen:]...).keys()
	}
	a := func(typ uint16, s string, proto, prefix uint8) message {
		return msg(0, 0).address(typ, s, proto, prefix)
	}
	src, dst := a(extSrc, addr1, 0, 32), a(extDst, addr2, 0, 32)
	list := []Case{
		one("ports in both", with(a(extSrc, addr1+":500", 0, 32), a(extDst, addr2+":4500", 0, 32))),
		one("protocol in both", with(a(extSrc, addr1, 17, 32), a(extDst, addr2, 17, 32))),
		one("protocol 255", with(a(extSrc, addr1, 255, 32), a(extDst, addr2, 255, 32))),
		one("protocols differ", with(a(extSrc, addr1, 17, 32), a(extDst, addr2, 6, 32))),
		one("unspecified source", with(a(extSrc, "0.0.0.0", 0, 32), dst)),
		one("unspecified destination", with(src, a(extDst, "0.0.0.0", 0, 32))),
		one("multicast destination", with(src, a(extDst, "224.0.0.5", 0, 32))),
		one("broadcast destination", with(src, a(extDst, "255.255.255.255", 0, 32))),
		one("loopback", with(a(extSrc, "127.0.0.1", 0, 32), a(extDst, "127.0.0.1", 0, 32))),
		one("both ends equal", with(src, a(extDst, addr1, 0, 32))),
		one("IPv6 unspecified destination", with(a(extSrc, six1, 0, 128), a(extDst, "::", 0, 128))),
		one("IPv6 link-local", with(a(extSrc, "fe80::1", 0, 128), a(extDst, "fe80::2", 0, 128))),
		one("IPv6 mapped", with(a(extSrc, "::ffff:192.0.2.1", 0, 128), a(extDst, "::ffff:192.0.2.2", 0, 128))),
		one("IPv6 multicast", with(a(extSrc, six1, 0, 128), a(extDst, "ff02::5", 0, 128))),
		one("octets in sin_zero", with(src.at(headerLen+16, 7), dst)),
		one("reserved in an address", with(src.at(headerLen+6, 7), dst)),
		one("flow and scope in sockaddr_in6", with(a(extSrc, six1, 0, 128).at(headerLen+12, 7).at(headerLen+32, 3), a(extDst, six2, 0, 128))),
	}
	for _, prefix := range []uint8{0, 1, 24, 31, 33, 64, 128, 255} {
		list = append(list, one(fmt.Sprintf("prefix length %d", prefix), with(a(extSrc, addr1, 0, prefix), a(extDst, addr2, 0, prefix))))
	}
	for _, prefix := range []uint8{0, 64, 127, 129, 255} {
		list = append(list, one(fmt.Sprintf("IPv6 prefix length %d", prefix), with(a(extSrc, six1, 0, prefix), a(extDst, six2, 0, prefix))))
	}
	return list
}

func nattCases() []Case {
	list := []Case{
		watched("ports", espSA(add, 0x1000).natt(2, 4500, 4500)),
		watched("ports of other numbers", espSA(add, 0x1000).natt(2, 4500, 26711)),
		one("type alone", espSA(add, 0x1000).nattType(2)),
		one("type and source port", espSA(add, 0x1000).nattType(2).nattPort(extNATTSPort, 4500)),
		one("type and destination port", espSA(add, 0x1000).nattType(2).nattPort(extNATTDPort, 4500)),
		one("ports without a type", espSA(add, 0x1000).nattPort(extNATTSPort, 4500).nattPort(extNATTDPort, 4500)),
		one("ports zero", espSA(add, 0x1000).natt(2, 0, 0)),
		one("original address", espSA(add, 0x1000).natt(2, 4500, 4500).address(extNATTOA, "10.0.0.5", 0, 32)),
		one("original address alone", espSA(add, 0x1000).address(extNATTOA, "10.0.0.5", 0, 32)),
		one("original address with a port", espSA(add, 0x1000).natt(2, 4500, 4500).address(extNATTOA, "10.0.0.5:77", 17, 8)),
		one("original address of the other family", espSA(add, 0x1000).natt(2, 4500, 4500).address(extNATTOA, six1, 0, 128)),
		one("two original addresses", espSA(add, 0x1000).natt(2, 4500, 4500).address(extNATTOA, "10.0.0.5", 0, 32).address(extNATTOA, "10.0.0.6", 0, 32)),
		one("AH", ahSA(add, 0x1000).natt(2, 4500, 4500)),
		one("IPComp", compSA(add, 0x1000).natt(2, 4500, 4500)),
		one("IPv6", msg(add, esp).sa(plain(0x1000)).sa2(modeTunnel, 0).ends(six1, six2).keys().natt(2, 4500, 4500)),
		one("transport mode", msg(add, esp).sa(plain(0x1000)).sa2(modeTransport, 0).ends(addr1, addr2).keys().natt(2, 4500, 4500)),
		one("ports in the addresses", msg(add, esp).sa(plain(0x1000)).sa2(modeTunnel, 0).ends(addr1+":4500", addr2+":4501").keys().natt(2, 4500, 4501)),
		Case{"GET and DUMP show the ports", func(s *Session) {
			s.send(espSA(add, 0x1000).natt(2, 4500, 4501))
			s.send(named(get, esp, 0x1000))
			s.send(msg(dump, esp))
		}},
		Case{"UPDATE of a larval SA brings the ports", func(s *Session) {
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x1000, 0x1000))
			s.send(espSA(update, 0x1000).natt(2, 4500, 4501))
			s.send(named(get, esp, 0x1000))
		}},
		Case{"UPDATE of a mature SA changes the ports", func(s *Session) {
			s.send(espSA(add, 0x1000).natt(2, 4500, 4501))
			s.send(espSA(update, 0x1000).natt(2, 4500, 4502))
			s.send(named(get, esp, 0x1000))
		}},
		Case{"UPDATE of a mature SA adds the encapsulation", func(s *Session) {
			s.send(espSA(add, 0x1000))
			s.send(espSA(update, 0x1000).natt(2, 4500, 4502))
			s.send(named(get, esp, 0x1000))
		}},
		Case{"UPDATE of a mature SA without the encapsulation", func(s *Session) {
			s.send(espSA(add, 0x1000).natt(2, 4500, 4501))
			s.send(espSA(update, 0x1000))
			s.send(named(get, esp, 0x1000))
		}},
	}
	for _, typ := range []uint8{0, 1, 3, 4, 255} {
		list = append(list, one(fmt.Sprintf("type %d", typ), espSA(add, 0x1000).natt(typ, 4500, 4500)))
	}
	return list
}

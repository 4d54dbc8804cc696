// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cases that take packets: ACQUIRE, and what it is answered (RFC 2367, Section 3.1.6), EXPIRE by octets and packets (Section 3.1.8),
// and Linux's NEW_MAPPING.

package oracle

// acquireCases are about packets that meet a policy without an SA.
func acquireCases() []Case {
	out := func(r request) message { return spd(spdAdd).policy(ipsec, dirOut, 0, 0, r) }
	require := tunnelRequest(levelRequire, 0)
	met := func(name string, m message, more func(*Session)) Case {
		return Case{name, func(s *Session) {
			s.watch("b", esp)
			s.open("c")
			s.send(m)
			s.emit(inner1, inner2, 20, 1)
			if more != nil {
				more(s)
			}
		}}
	}
	failed := func(s *Session) { s.sendTo("b", msg(acquire, esp).at(2, 111).seq(s.acquired("b"))) }
	ends := func(typ uint8, src, dst string) message {
		return msg(typ, unspec).sa2(modeAny, 0).address(extSrc, src, 255, 32).address(extDst, dst, 255, 32)
	}
	return []Case{
		met("tunnel", out(require), func(s *Session) { s.send(msg(dump, unspec)) }),
		met("tunnel, unique", out(tunnelRequest(levelUnique, 77)), nil),
		met("tunnel, unique without a number", out(tunnelRequest(levelUnique, 0)), nil),
		met("tunnel, default", out(tunnelRequest(levelDefault, 0)), nil),
		met("tunnel of AH", out(request{proto: 51, mode: modeTunnel, level: levelRequire, src: addr1, dst: addr2}), nil),
		met("discarded", spd(spdAdd).policy(discard, dirOut, 0, 0), nil),
		met("let out", spd(spdAdd).policy(none, dirOut, 0, 0), nil),
		met("no policy for it", spd(spdAdd).policy(ipsec, dirIn, 0, 0, require), nil),
		met("policy with a priority", spd(spdAdd).policy(ipsec, dirOut, 0, 1234, require), nil),
		met("policy of one protocol", msg(spdAdd, unspec).address(extSrc, inner1, 17, 32).address(extDst, inner2, 17, 32).policy(ipsec, dirOut, 0, 0, require), nil),
		met("policy of one port", msg(spdAdd, unspec).address(extSrc, inner1, 17, 32).address(extDst, inner2+":9", 17, 32).policy(ipsec, dirOut, 0, 0, require), nil),
		met("policy of networks", msg(spdAdd, unspec).address(extSrc, "10.1.0.0", 255, 16).address(extDst, "10.2.0.0", 255, 16).policy(ipsec, dirOut, 0, 0, require), nil),
		met("two packets, one question", out(require), func(s *Session) { s.emit(inner1, inner2, 20, 3) }),
		met("failed, and asked again", out(require), func(s *Session) {
			failed(s)
			s.send(msg(dump, unspec))
			s.emit(inner1, inner2, 20, 1)
		}),
		met("failed with another number", out(require), func(s *Session) {
			s.sendTo("b", msg(acquire, esp).at(2, 111).seq(0x70000001))
			s.emit(inner1, inner2, 20, 1)
		}),
		met("answered by ADD of its number", out(require), func(s *Session) {
			s.sendTo("b", espSA(add, 0x5000).seq(s.acquired("b")))
			s.emit(inner1, inner2, 20, 2)
			s.send(msg(dump, unspec))
		}),
		met("answered by ADD without its number", out(require), func(s *Session) {
			s.sendTo("b", espSA(add, 0x5000))
			s.emit(inner1, inner2, 20, 1)
		}),
		met("answered by GETSPI of its number", out(require), func(s *Session) {
			s.sendTo("b", msg(getSPI, esp).sa2(modeTunnel, 0).ends(addr2, addr1).spiRange(0x5000, 0x5000).seq(s.acquired("b")))
			s.send(msg(dump, unspec))
		}),
		met("policy deleted, asked again by another", out(require), func(s *Session) {
			s.send(spd(spdDelete).policy(ipsec, dirOut, 0, 0))
			s.send(out(require))
			s.emit(inner1, inner2, 20, 1)
		}),
		{"nobody registered", func(s *Session) {
			s.open("b")
			s.send(out(require))
			s.emit(inner1, inner2, 20, 1)
			s.watch("b", esp)
			s.emit(inner1, inner2, 20, 1)
		}},
		{"registered for AH alone", func(s *Session) {
			s.watch("b", ah)
			s.send(out(require))
			s.emit(inner1, inner2, 20, 1)
		}},
		{"nobody answers", func(s *Session) {
			s.larval(2)
			s.watch("b", esp)
			s.send(out(require))
			s.emit(inner1, inner2, 20, 1)
			s.outlive()
			s.send(msg(dump, unspec))
			s.emit(inner1, inner2, 20, 1)
		}},
		{"transport", func(s *Session) {
			s.watch("b", esp)
			s.send(ends(spdAdd, addr1, addr2).policy(ipsec, dirOut, 0, 0, request{proto: 50, mode: modeTransport, level: levelRequire}))
			s.emit(addr1, addr2, 20, 1)
		}},
		{"transport, optional", func(s *Session) {
			s.watch("b", esp)
			s.send(ends(spdAdd, addr1, addr2).policy(ipsec, dirOut, 0, 0, request{proto: 50, mode: modeTransport, level: levelUse}))
			s.emit(addr1, addr2, 20, 1)
		}},
		{"a bundle", func(s *Session) {
			s.watch("b", esp)
			s.watch("c", ah)
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, require, request{proto: 51, mode: modeTransport, level: levelRequire}))
			s.emit(inner1, inner2, 20, 1)
		}},
	}
}

// usageCases are about lifetimes that traffic uses up.
func usageCases() []Case {
	used := func(name string, m message, octets int, counts ...int) Case {
		return Case{name, func(s *Session) {
			s.watch("b", esp)
			s.open("c")
			s.send(m)
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 0)))
			for _, n := range counts {
				s.emit(inner1, inner2, octets, n)
			}
			s.send(named(get, esp, 0x5000))
		}}
	}
	sa := espSA(add, 0x5000)
	return []Case{
		used("packets", sa.lifetime(extHard, 4, 0, 0, 0).lifetime(extSoft, 2, 0, 0, 0), 20, 1, 1, 1, 1, 1),
		used("octets", sa.lifetime(extHard, 0, 2000, 0, 0).lifetime(extSoft, 0, 1000, 0, 0), 572, 1, 1, 1, 1),
		used("octets, hard alone", sa.lifetime(extHard, 0, 1000, 0, 0).lifetime(extSoft, 0, 0, 0, 0), 572, 1, 1, 1),
		used("packets, hard alone", sa.lifetime(extHard, 2, 0, 0, 0).lifetime(extSoft, 0, 0, 0, 0), 20, 2, 1),
		used("soft alone, and another SA comes", sa.lifetime(extHard, 0, 0, 0, 0).lifetime(extSoft, 1, 0, 0, 0), 20, 1, 1, 1),
		used("use is noted", sa, 20, 2),
		{"time since first use", func(s *Session) {
			s.watch("b", esp)
			s.send(sa.lifetime(extHard, 0, 0, 0, 3).lifetime(extSoft, 0, 0, 0, 1))
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 0)))
			s.wait(seconds(2.5))
			s.emit(inner1, inner2, 20, 1)
			s.wait(seconds(4.5))
			s.send(named(get, esp, 0x5000))
		}},
	}
}

// mappingCases are about packets from where the SA does not expect them.
func mappingCases() []Case {
	mapped := func(name string, talk func(*Session, *peer)) Case {
		return Case{name, func(s *Session) {
			s.watch("b", esp)
			s.open("c")
			s.send(msg(add, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends(addr2, addr1).keys().natt(2, 4500, 4500))
			s.send(espSA(add, 0x6000).natt(2, 4500, 4500))
			s.send(msg(spdAdd, unspec).sa2(modeAny, 0).address(extSrc, inner2, 255, 32).address(extDst, inner1, 255, 32).policy(ipsec, dirIn, 0, 0,
				request{proto: 50, mode: modeTunnel, level: levelRequire, src: addr2, dst: addr1}))
			talk(s, s.peer(0x5000))
			s.send(msg(get, esp).sa(saExt{spi: 0x5000}).ends(addr2, addr1))
			s.send(named(get, esp, 0x6000))
		}}
	}
	return []Case{
		mapped("from where it is expected", func(s *Session, p *peer) { s.arrive(p, addr2+":4500", false) }),
		mapped("from another port", func(s *Session, p *peer) { s.arrive(p, addr2+":26711", false) }),
		mapped("from another port, forged", func(s *Session, p *peer) { s.arrive(p, addr2+":26711", true) }),
		mapped("from another port, three times", func(s *Session, p *peer) {
			for range 3 {
				s.arrive(p, addr2+":26711", false)
			}
		}),
		mapped("from another address", func(s *Session, p *peer) { s.arrive(p, "192.0.2.3:1024", false) }),
		mapped("there and back", func(s *Session, p *peer) {
			s.arrive(p, addr2+":26711", false)
			s.arrive(p, addr2+":4500", false)
		}),
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cases about SAs that are there already: UPDATE, GET, DELETE, DUMP, FLUSH, EXPIRE; and what is left.

package oracle

import "fmt"

func updateCases() []Case {
	larval := func(s *Session) { s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000).seq(0x70000001)) }
	after := func(name string, messages ...message) Case {
		return Case{name, func(s *Session) {
			s.open("b")
			larval(s)
			for _, m := range messages {
				s.send(m)
			}
			s.send(msg(dump, esp))
		}}
	}
	mature := func(name string, messages ...message) Case {
		return Case{name, func(s *Session) {
			s.open("b")
			s.send(espSA(add, 0x5000))
			for _, m := range messages {
				s.send(m)
			}
			s.send(named(get, esp, 0x5000))
		}}
	}
	return []Case{
		watched("unknown", espSA(update, 0x5000)),
		after("larval", espSA(update, 0x5000).seq(0x70000001)),
		after("larval, another sequence number", espSA(update, 0x5000)),
		after("larval, state LARVAL as racoon says", msg(update, esp).sa(saExt{spi: 0x5000, replay: 4, auth: authSHA1, encrypt: encAES}).sa2(modeTunnel, 3).ends(addr1, addr2).keys().seq(0x70000001)),
		after("larval, twice", espSA(update, 0x5000).seq(0x70000001), espSA(update, 0x5000).seq(0x70000001)),
		after("larval, other mode and reqid", msg(update, esp).sa(plain(0x5000)).sa2(modeTransport, 42).ends(addr1, addr2).keys()),
		after("larval, another source", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends("192.0.2.3", addr2).keys()),
		after("larval, another destination", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends(addr1, "192.0.2.3").keys()),
		after("larval, another SPI", espSA(update, 0x5001)),
		after("larval, without keys", msg(update, esp).sa(plain(0x5000)).ends(addr1, addr2)),
		after("larval, unknown algorithm", msg(update, esp).sa(saExt{spi: 0x5000, state: 1, auth: 99, encrypt: encAES}).ends(addr1, addr2).keys()),
		after("larval, after a failure", msg(update, esp).sa(plain(0x5000)).ends(addr1, addr2), espSA(update, 0x5000)),
		after("larval, lifetimes", espSA(update, 0x5000).lifetime(extHard, 0, 5000, 60, 0).lifetime(extSoft, 0, 4000, 50, 0)),
		Case{"larval, by another socket", func(s *Session) {
			larval(s)
			s.sendTo("b", espSA(update, 0x5000))
			s.send(msg(dump, esp))
		}},
		Case{"larval, after its socket closed", func(s *Session) {
			larval(s)
			s.close("a")
			s.sendTo("b", espSA(update, 0x5000))
		}},
		mature("mature, the same again", espSA(update, 0x5000)),
		mature("mature, twice", espSA(update, 0x5000), espSA(update, 0x5000)),
		mature("mature, other keys", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends(addr1, addr2).key(extKeyAuth, 160).key(extKeyEncrypt, 256)),
		mature("mature, another algorithm", msg(update, esp).sa(saExt{spi: 0x5000, replay: 32, state: 1, auth: authMD5, encrypt: encAES}).sa2(modeTunnel, 0).ends(addr1, addr2).key(extKeyAuth, 128).key(extKeyEncrypt, 128)),
		mature("mature, without keys", msg(update, esp).sa(plain(0x5000)).ends(addr1, addr2)),
		mature("mature, other mode", msg(update, esp).sa(plain(0x5000)).sa2(modeTransport, 0).ends(addr1, addr2).keys()),
		mature("mature, other reqid", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 9).ends(addr1, addr2).keys()),
		mature("mature, other replay window", msg(update, esp).sa(saExt{spi: 0x5000, replay: 8, state: 1, auth: authSHA1, encrypt: encAES}).sa2(modeTunnel, 0).ends(addr1, addr2).keys()),
		mature("mature, another source", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends("192.0.2.3", addr2).keys()),
		mature("mature, another destination", msg(update, esp).sa(plain(0x5000)).sa2(modeTunnel, 0).ends(addr1, "192.0.2.3").keys()),
		mature("mature, lifetimes", espSA(update, 0x5000).lifetime(extHard, 0, 5000, 60, 0).lifetime(extSoft, 0, 4000, 50, 0)),
		mature("mature, proxy", espSA(update, 0x5000).address(extProxy, inner1, 0, 24)),
		mature("mature, deleted, updated", named(del, esp, 0x5000), espSA(update, 0x5000)),
		mature("mature, without SA", msg(update, esp).ends(addr1, addr2).keys()),
		mature("mature, without SRC", msg(update, esp).sa(plain(0x5000)).address(extDst, addr2, 0, 32).keys()),
		mature("mature, as AH", ahSA(update, 0x5000)),
		mature("mature, satype unspecified", espSA(update, 0x5000).at(3, unspec)),
	}
}

func getDeleteCases() []Case {
	var list []Case
	for _, verb := range []struct {
		name string
		typ  uint8
	}{{"GET", get}, {"DELETE", del}} {
		with := func(name string, m message) Case {
			return Case{verb.name + " " + name, func(s *Session) {
				s.open("b")
				s.send(espSA(add, 0x5000))
				s.send(m)
				s.send(m)
			}}
		}
		sa := func(spi uint32) message { return msg(verb.typ, esp).sa(saExt{spi: spi}) }
		list = append(list,
			with("known", named(verb.typ, esp, 0x5000)),
			with("unknown", named(verb.typ, esp, 0x5001)),
			with("of SPI 0", named(verb.typ, esp, 0)),
			with("another destination", sa(0x5000).ends(addr1, "192.0.2.3")),
			with("another source", sa(0x5000).ends("192.0.2.3", addr2)),
			with("source of the other family", sa(0x5000).address(extSrc, six1, 0, 128).address(extDst, addr2, 0, 32)),
			with("ends of the other family", sa(0x5000).ends(six1, six2)),
			with("unspecified source", sa(0x5000).ends("0.0.0.0", addr2)),
			with("without source", sa(0x5000).address(extDst, addr2, 0, 32)),
			with("without destination", sa(0x5000).address(extSrc, addr1, 0, 32)),
			with("without addresses", sa(0x5000)),
			with("without SA", msg(verb.typ, esp).ends(addr1, addr2)),
			with("of AH", named(verb.typ, ah, 0x5000)),
			with("satype unspecified", named(verb.typ, unspec, 0x5000)),
			with("satype 10", named(verb.typ, badType, 0x5000)),
			with("prefixes and ports do not matter", sa(0x5000).address(extSrc, addr1+":7", 6, 8).address(extDst, addr2+":8", 17, 0)),
			with("with keys", named(verb.typ, esp, 0x5000).keys()),
			with("with a wrong algorithm", msg(verb.typ, esp).sa(saExt{spi: 0x5000, auth: 9, encrypt: 9}).ends(addr1, addr2)),
		)
	}
	return append(list,
		Case{"GET does not show the SA to others", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.open("b")
			s.sendTo("c", named(get, esp, 0x5000))
		}},
		Case{"GET of AH and of IPComp", func(s *Session) {
			s.send(ahSA(add, 0x5000))
			s.send(compSA(add, 0x6000))
			s.send(named(get, ah, 0x5000))
			s.send(named(get, ipcomp, 0x6000))
			s.send(named(del, ipcomp, 0x6000))
			s.send(msg(dump, ipcomp))
		}},
		Case{"DELETE by another socket", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.sendTo("b", named(del, esp, 0x5000))
		}},
		Case{"ADD after DELETE", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.send(named(del, esp, 0x5000))
			s.send(espSA(add, 0x5000))
		}},
	)
}

func dumpFlushCases() []Case {
	fill := func(s *Session) {
		s.send(espSA(add, 0x5001))
		s.send(espSA(add, 0x5002))
		s.send(ahSA(add, 0x5003))
		s.send(compSA(add, 0x5004))
		s.send(msg(add, esp).sa(plain(0x5005)).ends(six1, six2).keys())
	}
	filled := func(name string, messages ...message) Case {
		return Case{name, func(s *Session) {
			fill(s)
			s.open("b")
			for _, m := range messages {
				s.send(m)
			}
		}}
	}
	list := []Case{
		watched("FLUSH of nothing", msg(flush, unspec)),
		watched("FLUSH of nothing, ESP", msg(flush, esp)),
		filled("DUMP, then again", msg(dump, unspec), msg(dump, unspec)),
		filled("DUMP with a sequence number of its own", msg(dump, unspec).seq(0x70000000).pid(7)),
		filled("FLUSH all", msg(flush, unspec), msg(dump, unspec), msg(flush, unspec)),
		filled("FLUSH with extensions", msg(flush, esp).sa(plain(0x5001))),
		filled("DUMP with extensions", msg(dump, esp).sa(plain(0x5001))),
		filled("DUMP with a filter that is too short", msg(dump, esp).ext(extFilter, make([]byte, 12))),
		filled("DUMP with a filter of nothing", msg(dump, esp).ext(extFilter, make([]byte, 36))),
		filled("DUMP with a filter by destination", msg(dump, unspec).ext(extFilter, filter(addr1, addr2))),
		filled("DUMP with a filter for another destination", msg(dump, unspec).ext(extFilter, filter(addr1, "198.51.100.1"))),
		Case{"DUMP by a second socket is its own", func(s *Session) {
			fill(s)
			s.sendTo("b", msg(dump, esp))
		}},
		Case{"DUMP of larval and mature", func(s *Session) {
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000))
			s.send(espSA(add, 0x5001))
			s.send(msg(dump, esp))
			s.send(msg(flush, esp))
			s.send(msg(dump, esp))
		}},
		Case{"SAs outlive their socket", func(s *Session) {
			s.send(espSA(add, 0x5001))
			s.close("a")
			s.sendTo("b", msg(dump, unspec))
		}},
	}
	for _, satype := range []uint8{1, ah, esp, ospf, ipcomp, badType, 255} {
		list = append(list, filled(fmt.Sprintf("DUMP of satype %d", satype), msg(dump, satype)),
			filled(fmt.Sprintf("FLUSH of satype %d", satype), msg(flush, satype), msg(dump, unspec)))
	}
	return list
}

// filter is a sadb_x_filter for two hosts.
func filter(src, dst string) []byte {
	b := make([]byte, 36)
	copy(b, sockaddr(src)[4:8])
	copy(b[16:], sockaddr(dst)[4:8])
	native.PutUint16(b[32:], afInet)
	b[34], b[35] = 32, 32
	return b
}

func expireCases() []Case {
	life := func(m message, hard, soft uint64) message {
		return m.lifetime(extHard, 0, 0, hard, 0).lifetime(extSoft, 0, 0, soft, 0)
	}
	return []Case{
		{"soft and hard", func(s *Session) {
			s.watch("b", esp)
			s.watch("c", ah)
			s.open("d")
			s.send(life(espSA(add, 0x5000), 3, 1).natt(2, 4500, 4501))
			s.wait(seconds(4.5))
			s.send(named(get, esp, 0x5000))
			s.send(msg(dump, unspec))
		}},
		{"AH, IPComp and IPv6", func(s *Session) {
			s.watch("b", esp)
			s.watch("c", ah)
			s.watch("d", ipcomp)
			s.send(life(ahSA(add, 0x5000), 2, 0))
			s.send(life(compSA(add, 0x5001), 3, 0))
			s.send(life(msg(add, esp).sa(plain(0x5002)).sa2(modeTunnel, 6).ends(six1, six2).keys(), 4, 0).address(extProxy, six1, 0, 64))
			s.wait(seconds(5.5))
		}},
		{"soft, then UPDATE brings new lifetimes", func(s *Session) {
			s.watch("b", esp)
			s.send(life(espSA(add, 0x5000), 60, 1))
			s.wait(seconds(2.5))
			s.send(named(get, esp, 0x5000))
			s.send(life(espSA(update, 0x5000), 90, 80))
			s.send(named(get, esp, 0x5000))
		}},
		{"larval", func(s *Session) {
			s.larval(2)
			s.watch("b", esp)
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000).seq(0x70000009))
			s.outlive()
			s.send(named(get, esp, 0x5000))
			s.send(espSA(update, 0x5000))
		}},
		{"larval that became mature does not die as larval", func(s *Session) {
			s.larval(2)
			s.watch("b", esp)
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000))
			s.send(espSA(update, 0x5000))
			s.outlive()
			s.send(named(get, esp, 0x5000))
		}},
		{"policy with a hard lifetime", func(s *Session) {
			s.watch("b", esp)
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 0)).lifetime(extHard, 0, 0, 1, 0))
			s.wait(seconds(2.5))
			s.send(msg(spdDump, unspec))
		}},
	}
}

func otherCases() []Case {
	return []Case{
		{"PROMISC on, seen and off", func(s *Session) {
			s.sendTo("b", msg(promisc, 1))
			s.send(espSA(add, 0x5000))
			s.send(named(get, esp, 0x5000))
			s.send(espSA(add, 0x5000))
			s.send(msg(flush, esp))
			s.sendTo("b", msg(promisc, 0))
			s.send(espSA(add, 0x5000))
			s.send(named(get, esp, 0x5000))
		}},
		one("PROMISC of 2", msg(promisc, 2)),
		one("PROMISC of 0 first", msg(promisc, 0)),
		one("PROMISC with an extension", msg(promisc, 1).sa2(0, 0)),
		{"PROMISC for oneself", func(s *Session) {
			s.send(msg(promisc, 1))
			s.send(msg(flush, esp))
			s.send(named(get, esp, 0x5000))
		}},
		watched("ACQUIRE with an error and no such number", msg(acquire, esp).at(2, 111).seq(0x70000001)),
		watched("ACQUIRE without an error", msg(acquire, esp).ends(addr1, addr2).seq(0x70000001)),
		watched("ACQUIRE bare", msg(acquire, esp)),
		watched("ACQUIRE of satype 0", msg(acquire, unspec).at(2, 111)),
		{"ACQUIRE with an error ends the larval SA of its number", func(s *Session) {
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000).seq(0x70000001))
			s.send(msg(acquire, esp).at(2, 111).seq(0x70000001))
			s.send(msg(dump, esp))
		}},
		watched("EXPIRE from a client", msg(expire, esp).sa(plain(0x5000)).ends(addr1, addr2)),
		watched("NEW_MAPPING from a client", msg(newMapping, esp).sa(plain(0x5000)).ends(addr1, addr2).nattPort(extNATTSPort, 1).nattPort(extNATTDPort, 2)),
		watched("MIGRATE bare", msg(migrate, unspec)),
		watched("MIGRATE without such a policy", msg(migrate, unspec).selectors().policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 1),
			request{proto: 50, mode: modeTunnel, level: levelRequire, reqid: 1, src: "192.0.2.3", dst: addr2})),
		{"MIGRATE", func(s *Session) {
			s.watch("b", esp)
			s.send(msg(add, esp).sa(plain(0x5000)).sa2(modeTunnel, 1).ends(addr1, addr2).keys())
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelUnique, 1)))
			s.send(msg(migrate, unspec).selectors().policy(ipsec, dirOut, 0, 0, tunnelRequest(levelUnique, 1),
				request{proto: 50, mode: modeTunnel, level: levelUnique, reqid: 1, src: "192.0.2.3", dst: addr2}))
			s.send(msg(spdDump, unspec))
			s.send(msg(dump, unspec))
		}},
		{"MIGRATE of templates that the policy has not", func(s *Session) {
			s.send(spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 1)))
			s.send(msg(migrate, unspec).selectors().policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 1),
				request{proto: 50, mode: modeTunnel, level: levelRequire, reqid: 1, src: "192.0.2.3", dst: addr2}))
			s.send(msg(spdDump, unspec))
		}},
		watched("SPDSETIDX", spd(spdSetIdx).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelRequire, 0))),
		watched("SPDACQUIRE from a client", spd(spdAcquire).policy(ipsec, dirOut, 0, 0)),
		watched("SPDEXPIRE from a client", spd(spdExpire).policy(ipsec, dirOut, 0, 0)),
		watched("PCHANGE from a client", msg(pchange, esp).ends(addr1, addr2)),
		{"a socket opened late sees what comes after it", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.open("b")
			s.send(named(del, esp, 0x5000))
		}},
		{"four watchers", func(s *Session) {
			s.watch("b", esp)
			s.watch("c", ipcomp)
			s.open("d")
			s.send(espSA(add, 0x5000))
			s.send(msg(flush, ah))
			s.send(msg(flush, esp))
			s.send(spd(spdAdd).policy(discard, dirOut, 0, 0))
			s.send(msg(spdFlush, unspec))
		}},
	}
}

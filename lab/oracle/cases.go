// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The cases, in groups; each group's transcript is a file of testdata.

package oracle

import (
	"fmt"
	"time"
)

// Group is cases about one thing.
type Group struct {
	Name  string
	Cases []Case
}

// Groups are all cases.
//
// From acquire on there are addresses and a port for ESP in UDP, whose policies of its own the kernel counts in the numbers of a dump
// of policies and does not show: a group that dumps those comes before.
func Groups() []Group {
	return []Group{
		{"header", headerCases()}, {"extensions", extensionCases()}, {"register", registerCases()}, {"getspi", getSPICases()},
		{"add", addCases()}, {"algorithms", algorithmCases()}, {"addresses", addressCases()}, {"natt", nattCases()},
		{"update", updateCases()}, {"get-delete", getDeleteCases()}, {"dump-flush", dumpFlushCases()},
		{"policies", policyCases()}, {"templates", templateCases()}, {"selectors", selectorCases()}, {"expire", expireCases()},
		{"others", otherCases()}, {"compression", compressionCases()}, {"layers", layersCases()},
		{"acquire", acquireCases()}, {"usage", usageCases()}, {"mapping", mappingCases()}, {"partly", partlyCases()},
	}
}

const (
	addr1, addr2 = "192.0.2.1", "192.0.2.2"
	six1, six2   = "2001:db8::1", "2001:db8::2"
	// inner hosts, for policies
	inner1, inner2 = "10.1.0.1", "10.2.0.1"

	authMD5, authSHA1, authSHA256, authNull = 2, 3, 5, 251
	encNull, encAES, encGCM16, encDeflate   = 11, 12, 20, 2

	modeAny, modeTransport, modeTunnel  = 0, 1, 2
	discard, none, ipsec, entrust, pass = 0, 1, 2, 3, 4
	dirIn, dirOut, dirForward           = 1, 2, 3
	levelDefault, levelUse              = 0, 1
	levelRequire, levelUnique           = 2, 3

	larvalState, mature, dying, dead = 0, 1, 2, 3
)

// plain is the SA extension of most cases: AES-CBC with HMAC-SHA-1.
func plain(spi uint32) saExt {
	return saExt{spi: spi, replay: 32, state: mature, auth: authSHA1, encrypt: encAES}
}

// keys are what plain needs.
func (m message) keys() message { return m.key(extKeyAuth, 160).key(extKeyEncrypt, 128) }

// espSA is a good ADD or UPDATE of an ESP SA in tunnel mode.
func espSA(typ uint8, spi uint32) message {
	return msg(typ, esp).sa(plain(spi)).sa2(modeTunnel, 0).ends(addr1, addr2).keys()
}

// ahSA is a good ADD of an AH SA.
func ahSA(typ uint8, spi uint32) message {
	return msg(typ, ah).sa(saExt{spi: spi, replay: 32, state: mature, auth: authSHA1}).sa2(modeTransport, 0).ends(addr1, addr2).key(extKeyAuth, 160)
}

// compSA is a good ADD of an IPComp SA.
func compSA(typ uint8, cpi uint32) message {
	return msg(typ, ipcomp).sa(saExt{spi: cpi, state: mature, encrypt: encDeflate}).sa2(modeTransport, 0).ends(addr1, addr2)
}

// named names an SA to GET or DELETE.
func named(typ, satype uint8, spi uint32) message {
	return msg(typ, satype).sa(saExt{spi: spi}).ends(addr1, addr2)
}

// spd is a message about the policy of the inner hosts.
func spd(typ uint8) message { return msg(typ, unspec).sa2(modeAny, 0).selectors() }

// selectors are the inner hosts, every protocol.
func (m message) selectors() message {
	return m.address(extSrc, inner1, 255, 32).address(extDst, inner2, 255, 32)
}

// tunnelRequest is a template that both peers' daemons write.
func tunnelRequest(level uint8, reqid uint32) request {
	return request{proto: 50, mode: modeTunnel, level: level, reqid: reqid, src: addr1, dst: addr2}
}

// one is a case of one message to a system without state.
func one(name string, m message) Case { return Case{name, func(s *Session) { s.send(m) }} }

// watched is a case whose messages a second socket sees too. It is not registered, for a kernel that is asked to register looks for every
// algorithm that it has no module of.
func watched(name string, messages ...message) Case {
	return Case{name, func(s *Session) {
		s.open("b")
		for _, m := range messages {
			s.send(m)
		}
	}}
}

// headerCases are about the sixteen octets in front (RFC 2367, Section 2.1).
func headerCases() []Case {
	var list []Case
	for _, v := range []byte{0, 1, 3, 255} {
		list = append(list, one(fmt.Sprintf("version %d", v), msg(flush, esp).at(0, v)))
	}
	for _, typ := range []uint8{0, pchange, spdAcquire, spdExpire, newMapping, expire, 25, 26, 127, 255} {
		list = append(list, watched(fmt.Sprintf("type %d without extensions", typ), msg(typ, esp)))
	}
	for _, satype := range []uint8{unspec, 1, ah, esp, 4, 5, ospf, 7, 8, ipcomp, badType, 255} {
		for _, typ := range []uint8{getSPI, add, get, del, dump, flush} {
			list = append(list, one(fmt.Sprintf("type %d with satype %d, bare", typ, satype), msg(typ, satype)))
		}
		list = append(list, one(fmt.Sprintf("ADD with satype %d", satype), espSA(add, 0x1000).at(3, satype)))
	}
	list = append(list,
		one("length one less than sent", msg(flush, esp).words(1)),
		one("length one more than sent", msg(flush, esp).words(3)),
		one("length zero", msg(flush, esp).words(0)),
		one("length 65535", msg(flush, esp).words(65535)),
		one("errno in a request", msg(flush, esp).at(2, 5)),
		one("errno in ADD", espSA(add, 0x1000).at(2, 5)),
		one("reserved in the header", msg(flush, esp).at(6, 1)),
		one("trailing word", msg(flush, esp).raw(0, 0, 0, 0, 0, 0, 0, 0)),
		one("trailing word, not counted", msg(flush, esp).raw(0, 0, 0, 0, 0, 0, 0, 0).words(2)),
		one("seven octets more", msg(flush, esp).raw(1, 2, 3, 4, 5, 6, 7)),
		one("seq and pid are echoed", msg(flush, esp).seq(0xfedcba98).pid(0)),
	)
	for _, n := range []int{1, 2, 8, 15} {
		list = append(list, Case{fmt.Sprintf("%d octets", n), func(s *Session) { s.write("a", msg(flush, esp).octets(1)[:n]) }})
	}
	return list
}

// extensionCases are about how extensions are framed (Section 2.3), with GET for most.
func extensionCases() []Case {
	good := named(get, esp, 0x1000)
	list := []Case{
		one("length zero", good.raw(0, 0, 1, 0, 0, 0, 0, 0)),
		one("longer than the message", good.raw(2, 0, 25, 0, 0, 0, 0, 0)),
		one("type zero", good.raw(1, 0, 0, 0, 0, 0, 0, 0)),
		one("type zero, first", msg(get, esp).raw(1, 0, 0, 0, 0, 0, 0, 0).sa(plain(0x1000)).ends(addr1, addr2)),
		one("four octets left", good.raw(1, 0, 25, 0)),
		one("SA twice", good.sa(saExt{spi: 0x1001})),
		one("SRC twice", good.address(extSrc, addr1, 0, 32)),
		one("unknown extension twice", good.raw(1, 0, 100, 0, 0, 0, 0, 0).raw(1, 0, 100, 0, 0, 0, 0, 0)),
		one("address without sockaddr", msg(get, esp).sa(plain(0x1000)).ext(extSrc, []byte{0, 32, 0, 0}).address(extDst, addr2, 0, 32)),
		one("address of family 0", msg(get, esp).sa(plain(0x1000)).ext(extSrc, make([]byte, 20)).address(extDst, addr2, 0, 32)),
		one("address of family 1", msg(get, esp).sa(plain(0x1000)).ext(extSrc, append([]byte{0, 32, 0, 0, 1, 0}, make([]byte, 14)...)).address(extDst, addr2, 0, 32)),
		one("IPv6 family in sixteen octets", msg(get, esp).sa(plain(0x1000)).ext(extSrc, append([]byte{0, 32, 0, 0, afInet6, 0}, make([]byte, 14)...)).address(extDst, addr2, 0, 32)),
		one("IPv4 address with a word behind", msg(get, esp).sa(plain(0x1000)).ext(extSrc, append([]byte{0, 32, 0, 0}, append(sockaddr(addr1), make([]byte, 8)...)...)).address(extDst, addr2, 0, 32)),
		one("SA of one word", msg(get, esp).ext(extSA, []byte{0, 0, 0x10, 0}).ends(addr1, addr2)),
		one("SA of three words", msg(get, esp).ext(extSA, append([]byte{0, 0, 0x10, 0}, make([]byte, 16)...)).ends(addr1, addr2)),
		one("unknown extension in ADD", espSA(add, 0x1000).ext(100, []byte{1, 2, 3, 4})),
		one("known extensions that ADD has no use for", espSA(add, 0x1000).spiRange(1, 2).identity(extIDDst, 2, "x.example").policy(ipsec, dirOut, 0, 0)),
	}
	for typ := extSA; typ <= extFilter+2; typ++ {
		list = append(list, one(fmt.Sprintf("one word of type %d behind a GET", typ), msg(get, esp).ext(typ, []byte{0, 0, 0, 0})))
	}
	return list
}

func registerCases() []Case {
	var list []Case
	for _, satype := range []uint8{unspec, 1, ah, esp, 5, ospf, 7, 8, ipcomp, badType, 255} {
		list = append(list, one(fmt.Sprintf("satype %d", satype), msg(register, satype)))
	}
	return append(list,
		Case{"twice on one socket", func(s *Session) {
			s.send(msg(register, esp))
			s.send(msg(register, esp))
		}},
		Case{"unspecified twice", func(s *Session) {
			s.send(msg(register, unspec))
			s.send(msg(register, unspec))
		}},
		Case{"ESP, AH and IPComp on one socket", func(s *Session) {
			s.send(msg(register, esp))
			s.send(msg(register, ah))
			s.send(msg(register, ipcomp))
		}},
		Case{"on three sockets", func(s *Session) {
			s.send(msg(register, esp))
			s.sendTo("b", msg(register, esp))
			s.sendTo("c", msg(register, ah))
		}},
		Case{"closed and opened again", func(s *Session) {
			s.send(msg(register, esp))
			s.close("a")
			s.send(msg(register, esp))
		}},
		one("with extensions", msg(register, esp).sa2(0, 0)),
		Case{"a watcher that is not registered sees ADD and errors are the sender's", func(s *Session) {
			s.open("b")
			s.send(espSA(add, 0x1000))
			s.send(espSA(add, 0x1000))
			s.send(named(del, esp, 0x1000))
		}},
		Case{"a watcher registered for AH sees ESP too", func(s *Session) {
			s.sendTo("b", msg(register, ah))
			s.send(espSA(add, 0x1000))
			s.send(named(del, esp, 0x1000))
		}},
	)
}

func getSPICases() []Case {
	ranged := func(satype uint8, lo, hi uint32) message {
		return msg(getSPI, satype).ends(addr1, addr2).spiRange(lo, hi)
	}
	return []Case{
		watched("without a range", msg(getSPI, esp).ends(addr1, addr2)),
		watched("with a range", ranged(esp, 0x100, 0xffffffff)),
		watched("AH", ranged(ah, 0x100000, 0x1fffff)),
		watched("IPComp", ranged(ipcomp, 0x100, 0xffff)),
		watched("IPComp without a range", msg(getSPI, ipcomp).ends(addr1, addr2)),
		watched("IPComp beyond 16 bits", ranged(ipcomp, 0x100, 0x1ffff)),
		watched("a range of one", ranged(esp, 0x5000, 0x5000)),
		one("a range of one that is reserved", ranged(esp, 0x50, 0x50)),
		one("from zero", ranged(esp, 0, 0)),
		one("backwards", ranged(esp, 0x200, 0x100)),
		Case{"used up", func(s *Session) {
			// Of a range the kernel tries as many numbers as it has, drawn at random: it may miss a free one.
			s.send(ranged(esp, 0x5000, 0x5000))
			s.send(ranged(esp, 0x5000, 0x5000))
			s.send(ranged(esp, 0x5000, 0x5000).sa2(modeTunnel, 1))
		}},
		Case{"one that a mature SA has", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.send(ranged(esp, 0x5000, 0x5000))
		}},
		Case{"one that a mature SA to another destination has", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.send(msg(getSPI, esp).ends(addr2, addr1).spiRange(0x5000, 0x5000))
		}},
		Case{"one that a mature SA of another protocol has", func(s *Session) {
			s.send(espSA(add, 0x5000))
			s.send(ranged(ah, 0x5000, 0x5000))
		}},
		Case{"twice with one sequence number", func(s *Session) {
			s.send(ranged(esp, 0x5000, 0x5000).seq(0x70000001))
			s.send(ranged(esp, 0x5001, 0x5001).seq(0x70000001))
			s.send(msg(dump, esp))
		}},
		Case{"sequence number zero", func(s *Session) {
			s.send(ranged(esp, 0x5000, 0x5000).seq(0))
			s.send(ranged(esp, 0x5001, 0x5001).seq(0))
			s.send(msg(dump, esp))
		}},
		watched("mode and reqid", ranged(esp, 0x5000, 0x5000).sa2(modeTunnel, 77)),
		watched("mode any", ranged(esp, 0x5000, 0x5000).sa2(modeAny, 77)),
		watched("NAT-T", ranged(esp, 0x5000, 0x5000).natt(2, 4500, 4501)),
		watched("IPv6", msg(getSPI, esp).ends(six1, six2).spiRange(0x5000, 0x5000)),
		one("families mixed", msg(getSPI, esp).ends(addr1, six2).spiRange(0x5000, 0x5000)),
		one("without SRC", msg(getSPI, esp).address(extDst, addr2, 0, 32).spiRange(0x5000, 0x5000)),
		one("without DST", msg(getSPI, esp).address(extSrc, addr1, 0, 32).spiRange(0x5000, 0x5000)),
		watched("ports, protocols and prefixes of addresses", msg(getSPI, esp).address(extSrc, addr1+":500", 17, 24).address(extDst, addr2+":501", 6, 0).spiRange(0x5000, 0x5000)),
		watched("proxy", ranged(esp, 0x5000, 0x5000).address(extProxy, inner1, 255, 24)),
		one("to the unspecified address", msg(getSPI, esp).ends(addr1, "0.0.0.0").spiRange(0x5000, 0x5000)),
		watched("SA and keys in GETSPI", ranged(esp, 0x5000, 0x5000).sa(plain(0x6000)).keys()),
		Case{"larval SAs to GET, DELETE and DUMP", func(s *Session) {
			s.send(ranged(esp, 0x5000, 0x5000))
			s.send(named(get, esp, 0x5000))
			s.send(msg(dump, esp))
			s.send(named(del, esp, 0x5000))
			s.send(named(get, esp, 0x5000))
		}},
		Case{"drawn, then the SA of its number", func(s *Session) {
			s.send(ranged(esp, 0x10000, 0xfffffff))
			s.send(named(get, esp, s.spi("a")))
		}},
	}
}

func addCases() []Case {
	bare := func(e saExt) message { return msg(add, esp).sa(e).ends(addr1, addr2).keys() }
	list := []Case{
		watched("ESP tunnel", espSA(add, 0x1000)),
		watched("AH transport", ahSA(add, 0x1000)),
		watched("IPComp", compSA(add, 0x1000)),
		watched("IPComp, CPI beyond 16 bits", compSA(add, 0x12345)),
		watched("without X_SA2", bare(plain(0x1000))),
		watched("IPv6", msg(add, esp).sa(plain(0x1000)).sa2(modeTunnel, 9).ends(six1, six2).keys()),
		watched("AH IPv6", msg(add, ah).sa(saExt{spi: 0x1000, replay: 32, state: mature, auth: authSHA1}).ends(six1, six2).key(extKeyAuth, 160)),
		Case{"twice", func(s *Session) {
			s.open("b")
			s.send(espSA(add, 0x1000))
			s.send(espSA(add, 0x1000))
		}},
		Case{"one SPI, two destinations", func(s *Session) {
			s.send(espSA(add, 0x1000))
			s.send(msg(add, esp).sa(plain(0x1000)).sa2(modeTunnel, 0).ends(addr2, addr1).keys())
			s.send(msg(dump, esp))
		}},
		Case{"one SPI, two sources", func(s *Session) {
			s.send(espSA(add, 0x1000))
			s.send(msg(add, esp).sa(plain(0x1000)).sa2(modeTunnel, 0).ends("192.0.2.3", addr2).keys())
		}},
		Case{"one SPI, ESP and AH", func(s *Session) {
			s.send(espSA(add, 0x1000))
			s.send(ahSA(add, 0x1000))
			s.send(msg(dump, unspec))
		}},
		Case{"over a larval SA", func(s *Session) {
			s.send(msg(getSPI, esp).ends(addr1, addr2).spiRange(0x5000, 0x5000))
			s.send(espSA(add, 0x5000))
			s.send(msg(dump, esp))
		}},
		one("without SA", msg(add, esp).ends(addr1, addr2).keys()),
		one("without SRC", msg(add, esp).sa(plain(0x1000)).address(extDst, addr2, 0, 32).keys()),
		one("without DST", msg(add, esp).sa(plain(0x1000)).address(extSrc, addr1, 0, 32).keys()),
		one("without keys", msg(add, esp).sa(plain(0x1000)).ends(addr1, addr2)),
		one("without the encryption key", msg(add, esp).sa(plain(0x1000)).ends(addr1, addr2).key(extKeyAuth, 160)),
		one("without the authentication key", msg(add, esp).sa(plain(0x1000)).ends(addr1, addr2).key(extKeyEncrypt, 128)),
		one("families mixed", msg(add, esp).sa(plain(0x1000)).ends(addr1, six2).keys()),
		one("AH with an encryption key", ahSA(add, 0x1000).key(extKeyEncrypt, 128)),
		one("AH without a key", msg(add, ah).sa(saExt{spi: 0x1000, auth: authSHA1, state: mature}).ends(addr1, addr2)),
		one("AH with an encryption algorithm", msg(add, ah).sa(plain(0x1000)).ends(addr1, addr2).keys()),
		one("AH without an algorithm", msg(add, ah).sa(saExt{spi: 0x1000, state: mature}).ends(addr1, addr2)),
		one("IPComp with an authentication key", compSA(add, 0x1000).key(extKeyAuth, 160)),
		one("IPComp with algorithm 3", msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature, encrypt: 3}).ends(addr1, addr2)),
		one("IPComp with algorithm 0", msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature}).ends(addr1, addr2)),
		one("IPComp with authentication", msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature, encrypt: encDeflate, auth: authSHA1}).ends(addr1, addr2)),
		watched("extensions in another order", msg(add, esp).keys().ends(addr1, addr2).sa2(modeTunnel, 5).sa(plain(0x1000))),
		watched("lifetimes", espSA(add, 0x1000).lifetime(extHard, 0, 1000000, 3600, 0).lifetime(extSoft, 0, 900000, 3000, 0)),
		watched("lifetimes with allocations and use", espSA(add, 0x1000).lifetime(extHard, 100, 1, 3600, 1800).lifetime(extSoft, 90, 1<<40, 3000, 1700)),
		watched("soft behind hard", espSA(add, 0x1000).lifetime(extHard, 0, 100, 100, 0).lifetime(extSoft, 0, 200, 200, 0)),
		watched("soft alone", espSA(add, 0x1000).lifetime(extSoft, 0, 0, 100, 0)),
		watched("CURRENT is ours to say", espSA(add, 0x1000).lifetime(extCurrent, 1, 2, 3, 4)),
		watched("proxy", espSA(add, 0x1000).address(extProxy, inner1, 0, 24)),
		watched("proxy with port and protocol", espSA(add, 0x1000).address(extProxy, inner1+":80", 6, 32)),
		watched("proxy of the other family", espSA(add, 0x1000).address(extProxy, six1, 0, 64)),
		watched("identities", espSA(add, 0x1000).identity(extIDSrc, 2, "a.example").identity(extIDDst, 3, "user@b.example")),
		watched("sensitivity", espSA(add, 0x1000).ext(extSensitivity, make([]byte, 12))),
		watched("sequence number of no ACQUIRE", espSA(add, 0x1000).seq(0x70000005)),
	}
	for _, spi := range []uint32{0, 1, 0xff, 0x100, 0xffffffff} {
		list = append(list, one(fmt.Sprintf("SPI %#x", spi), espSA(add, spi)))
	}
	for _, replay := range []uint8{0, 1, 31, 32, 33, 64, 255} {
		list = append(list, one(fmt.Sprintf("replay window %d", replay), bare(saExt{spi: 0x1000, replay: replay, state: mature, auth: authSHA1, encrypt: encAES})))
	}
	for state := range uint8(6) {
		list = append(list, one(fmt.Sprintf("state %d", state), bare(saExt{spi: 0x1000, replay: 32, state: state, auth: authSHA1, encrypt: encAES})))
	}
	for bit := range 32 {
		list = append(list, one(fmt.Sprintf("flag %#x", uint32(1)<<bit), bare(saExt{spi: 0x1000, state: mature, auth: authSHA1, encrypt: encAES, flags: 1 << bit})))
	}
	for mode := range uint8(6) {
		list = append(list, one(fmt.Sprintf("mode %d", mode), bare(plain(0x1000)).sa2(mode, 1)))
	}
	for _, reqid := range []uint32{1, 0x3fff, 0x70000000, 0xffffffff} {
		list = append(list, one(fmt.Sprintf("reqid %d", reqid), bare(plain(0x1000)).sa2(modeTransport, reqid)))
	}
	return list
}

// seconds is a number of them.
func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

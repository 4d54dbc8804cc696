// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cases about SAs in SAs and about what is around none: IPComp and its CPIs (RFC 3173), policies of tunnels in tunnels and of AH in ESP (RFC
// 4301, Section 4.4.1.1), and what is asked for where one of their SAs is there and another is not.

package oracle

import "fmt"

// compSA6 is the same in tunnel mode between the IPv6 hosts.
func compSA6(typ uint8, cpi uint32) message {
	return msg(typ, ipcomp).sa(saExt{spi: cpi, state: mature, encrypt: encDeflate}).sa2(modeTunnel, 3).ends(six1, six2)
}

func compressionCases() []Case {
	comp := func(mode uint8) message {
		return msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature, encrypt: encDeflate}).sa2(mode, 0).ends(addr1, addr2)
	}
	life := func(m message) message {
		return m.lifetime(extHard, 0, 1000000, 3600, 1800).lifetime(extSoft, 0, 900000, 3000, 1700)
	}
	list := []Case{
		watched("IPComp tunnel", comp(modeTunnel)),
		watched("IPComp of any mode", comp(modeAny)),
		watched("IPComp without X_SA2", msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature, encrypt: encDeflate}).ends(addr1, addr2)),
		watched("IPComp over IPv6", compSA6(add, 0x1000)),
		watched("IPComp with a replay window", msg(add, ipcomp).sa(saExt{spi: 0x1000, replay: 32, state: mature, encrypt: encDeflate}).sa2(modeTransport, 0).ends(addr1, addr2)),
		watched("IPComp with lifetimes", life(compSA(add, 0x1000))),
		watched("IPComp with an encryption key", compSA(add, 0x1000).key(extKeyEncrypt, 128)),
		watched("IPComp with an original address", compSA(add, 0x1000).address(extNATTOA, "10.0.0.5", 0, 32)),
		{"IPComp twice, and to another destination", func(s *Session) {
			s.open("b")
			s.send(compSA(add, 0x1000))
			s.send(compSA(add, 0x1000))
			s.send(msg(add, ipcomp).sa(saExt{spi: 0x1000, state: mature, encrypt: encDeflate}).sa2(modeTransport, 0).ends(addr2, addr1))
			s.send(msg(dump, ipcomp))
		}},
		{"IPComp, ESP and AH of one number", func(s *Session) {
			s.send(compSA(add, 0x1000))
			s.send(espSA(add, 0x1000))
			s.send(ahSA(add, 0x1000))
			s.send(msg(dump, unspec))
			s.send(named(del, ipcomp, 0x1000))
			s.send(msg(dump, unspec))
		}},
		{"IPComp from GETSPI to DELETE", func(s *Session) {
			s.open("b")
			s.send(msg(getSPI, ipcomp).sa2(modeTransport, 4).ends(addr1, addr2).spiRange(0x1000, 0x1000))
			s.send(compSA(update, 0x1000))
			s.send(named(get, ipcomp, 0x1000))
			s.send(life(compSA(update, 0x1000)))
			s.send(named(get, ipcomp, 0x1000))
			s.send(named(del, ipcomp, 0x1000))
			s.send(named(get, ipcomp, 0x1000))
		}},
		{"FLUSH of IPComp alone", func(s *Session) {
			s.open("b")
			s.send(compSA(add, 0x1000))
			s.send(compSA6(add, 0x1001))
			s.send(espSA(add, 0x1000))
			s.send(msg(flush, ipcomp))
			s.send(msg(dump, unspec))
		}},
	}
	for _, cpi := range []uint32{1, 2, 63, 64, 255, 256, 0xefff, 0xf000, 0xffff} { // RFC 3173, Section 3.3
		list = append(list, one(fmt.Sprintf("CPI %d", cpi), compSA(add, cpi)))
	}
	return list
}

// layersCases are policies of several SAs.
func layersCases() []Case {
	inTunnel := func(proto uint16, level uint8, src, dst string) request {
		return request{proto: proto, mode: modeTunnel, level: level, src: src, dst: dst}
	}
	over := func(proto uint16, level uint8) request {
		return request{proto: proto, mode: modeTransport, level: level}
	}
	unique := func(r request, reqid uint32) request {
		r.level, r.reqid = levelUnique, reqid
		return r
	}
	inside, outside := inTunnel(50, levelRequire, "192.0.2.33", "192.0.2.34"), inTunnel(50, levelRequire, addr1, addr2)
	both := func(name string, requests ...request) Case {
		return Case{name, func(s *Session) {
			s.open("b")
			for _, dir := range []uint8{dirOut, dirIn, dirForward} {
				s.send(spd(spdAdd).policy(ipsec, dir, 0, 0, requests...))
			}
			s.send(msg(spdDump, unspec))
		}}
	}
	return []Case{
		both("tunnel in a tunnel", inside, outside),
		both("tunnel in a tunnel of IPv6", inside, inTunnel(50, levelRequire, six1, six2)),
		both("tunnel in a tunnel with the same ends", unique(outside, 7), unique(outside, 8)),
		both("the same SA twice", unique(outside, 7), unique(outside, 7)),
		both("tunnel in AH", inside, over(51, levelRequire)),
		both("AH in ESP", over(51, levelRequire), over(50, levelRequire)),
		both("AH in an ESP tunnel", over(51, levelRequire), outside),
		both("AH tunnel in ESP", inTunnel(51, levelRequire, addr1, addr2), over(50, levelRequire)),
		both("transport in a tunnel in transport", over(50, levelRequire), inside, over(51, levelRequire)),
		both("IPComp alone, optional", over(108, levelUse)),
		both("IPComp alone, required", over(108, levelRequire)),
		both("IPComp in an ESP tunnel", over(108, levelUse), outside),
		both("IPComp tunnel in ESP", inTunnel(108, levelRequire, addr1, addr2), over(50, levelRequire)),
		both("IPComp tunnel in an ESP tunnel", inTunnel(108, levelRequire, "192.0.2.33", "192.0.2.34"), outside),
		both("six tunnels", inside, outside, inside, outside, inside, outside),
	}
}

// partlyCases are packets that meet a policy of several SAs.
func partlyCases() []Case {
	tunnelTo := func(proto uint16, reqid uint32, src, dst string) request {
		return request{proto: proto, mode: modeTunnel, level: levelUnique, reqid: reqid, src: src, dst: dst}
	}
	over := func(proto uint16, level uint8) request {
		return request{proto: proto, mode: modeTransport, level: level}
	}
	hosts := func() message {
		return msg(spdAdd, unspec).sa2(modeAny, 0).address(extSrc, addr1, 255, 32).address(extDst, addr2, 255, 32)
	}
	met := func(name string, policy message, from, to string, there ...message) Case {
		return Case{name, func(s *Session) {
			s.watch("b", esp)
			s.watch("c", ah)
			s.watch("d", ipcomp)
			for _, m := range there {
				s.send(m)
			}
			s.send(policy)
			s.emit(from, to, 200, 1)
		}}
	}
	nested := spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelTo(50, 7, addr1, "192.0.2.3"), tunnelTo(50, 8, addr1, addr2))
	inner := msg(add, esp).sa(plain(0x5000)).sa2(modeTunnel, 7).ends(addr1, "192.0.2.3").keys()
	outer := msg(add, esp).sa(plain(0x5001)).sa2(modeTunnel, 8).ends(addr1, addr2).keys()
	transportESP := msg(add, esp).sa(plain(0x5000)).sa2(modeTransport, 0).ends(addr1, addr2).keys()
	return []Case{
		met("tunnel in a tunnel, neither there", nested, inner1, inner2),
		met("tunnel in a tunnel, the inner there", nested, inner1, inner2, inner),
		met("tunnel in a tunnel, the outer there", nested, inner1, inner2, outer),
		met("tunnel in a tunnel, both there", nested, inner1, inner2, inner, outer),
		met("IPComp required", hosts().policy(ipsec, dirOut, 0, 0, over(108, levelRequire)), addr1, addr2),
		met("IPComp optional", hosts().policy(ipsec, dirOut, 0, 0, over(108, levelUse)), addr1, addr2),
		met("IPComp required, in ESP that is there", hosts().policy(ipsec, dirOut, 0, 0, over(108, levelRequire), over(50, levelRequire)), addr1, addr2, transportESP),
		met("IPComp there, ESP around it not", hosts().policy(ipsec, dirOut, 0, 0, over(108, levelUse), over(50, levelRequire)), addr1, addr2, compSA(add, 0x1000)),
		met("AH in ESP, AH there", hosts().policy(ipsec, dirOut, 0, 0, over(51, levelRequire), over(50, levelRequire)), addr1, addr2, ahSA(add, 0x5000)),
		met("AH in ESP, ESP there", hosts().policy(ipsec, dirOut, 0, 0, over(51, levelRequire), over(50, levelRequire)), addr1, addr2, transportESP),
	}
}

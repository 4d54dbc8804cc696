// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Cases about policies: the KAME messages X_SPD* as Linux has them.

package oracle

import "fmt"

func policyCases() []Case {
	require := tunnelRequest(levelRequire, 0)
	out := func(typ uint8) message { return spd(typ).policy(ipsec, dirOut, 0, 0, require) }
	added := func(name string, messages ...message) Case {
		return Case{name, func(s *Session) {
			s.open("b")
			s.send(out(spdAdd))
			for _, m := range messages {
				s.send(m)
			}
			s.send(msg(spdDump, unspec))
		}}
	}
	byID := func(name string, typ uint8, dir uint8) Case {
		return Case{name, func(s *Session) {
			s.open("b")
			s.send(out(spdAdd))
			id := s.policyID("a")
			s.send(msg(typ, unspec).policy(ipsec, dir, id, 0))
			s.send(msg(typ, unspec).policy(ipsec, dir, id, 0))
			s.send(msg(spdDump, unspec))
		}}
	}
	list := []Case{
		one("SPDDUMP of nothing", msg(spdDump, unspec)),
		watched("SPDFLUSH of nothing", msg(spdFlush, unspec)),
		one("SPDDUMP of satype ESP", msg(spdDump, esp)),
		added("SPDADD"),
		added("SPDADD twice", out(spdAdd)),
		added("SPDADD, other direction", spd(spdAdd).policy(ipsec, dirIn, 0, 0, require), spd(spdAdd).policy(ipsec, dirForward, 0, 0, require)),
		added("SPDADD, other priority", spd(spdAdd).policy(ipsec, dirOut, 0, 100, require)),
		added("SPDADD, other template", spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelUse, 4))),
		added("SPDADD, other action", spd(spdAdd).policy(discard, dirOut, 0, 0)),
		added("SPDADD, other protocol", msg(spdAdd, unspec).address(extSrc, inner1, 6, 32).address(extDst, inner2, 6, 32).policy(ipsec, dirOut, 0, 0, require)),
		added("SPDUPDATE", spd(spdUpdate).policy(ipsec, dirOut, 0, 7, tunnelRequest(levelUse, 4))),
		watched("SPDUPDATE of nothing adds", out(spdUpdate), msg(spdDump, unspec)),
		added("SPDDELETE", out(spdDelete)),
		added("SPDDELETE without templates", spd(spdDelete).policy(ipsec, dirOut, 0, 0)),
		added("SPDDELETE, other direction", spd(spdDelete).policy(ipsec, dirIn, 0, 0)),
		added("SPDDELETE, other action", spd(spdDelete).policy(discard, dirOut, 0, 0)),
		added("SPDDELETE, other priority", spd(spdDelete).policy(ipsec, dirOut, 0, 77)),
		added("SPDDELETE, other prefix", msg(spdDelete, unspec).address(extSrc, inner1, 255, 24).address(extDst, inner2, 255, 32).policy(ipsec, dirOut, 0, 0)),
		added("SPDDELETE, other protocol", msg(spdDelete, unspec).address(extSrc, inner1, 17, 32).address(extDst, inner2, 17, 32).policy(ipsec, dirOut, 0, 0)),
		added("SPDDELETE, direction 0", spd(spdDelete).policy(ipsec, 0, 0, 0)),
		added("SPDDELETE, direction 4", spd(spdDelete).policy(ipsec, 4, 0, 0)),
		added("SPDDELETE without a policy", spd(spdDelete)),
		added("SPDDELETE without SRC", msg(spdDelete, unspec).address(extDst, inner2, 255, 32).policy(ipsec, dirOut, 0, 0)),
		watched("SPDDELETE of nothing", out(spdDelete)),
		byID("SPDGET", spdGet, dirOut),
		byID("SPDGET, other direction", spdGet, dirIn),
		byID("SPDGET, direction 0", spdGet, 0),
		byID("SPDDELETE2", spdDelete2, dirOut),
		byID("SPDDELETE2, other direction", spdDelete2, dirIn),
		added("SPDGET, unknown id", msg(spdGet, unspec).policy(ipsec, dirOut, unknownPolicy, 0)),
		added("SPDGET, id 0", msg(spdGet, unspec).policy(ipsec, dirOut, 0, 0)),
		added("SPDGET without a policy", msg(spdGet, unspec)),
		added("SPDGET by selectors", spd(spdGet)),
		added("SPDDELETE2, unknown id", msg(spdDelete2, unspec).policy(ipsec, dirOut, unknownPolicy+2, 0)),
		added("SPDDELETE2 without a policy", msg(spdDelete2, unspec)),
		added("SPDSETIDX over it", out(spdSetIdx)),
		added("SPDFLUSH", msg(spdFlush, unspec), msg(spdFlush, unspec)),
		added("SPDFLUSH of satype ESP", msg(spdFlush, esp)),
		added("FLUSH leaves policies", msg(flush, unspec)),
		added("id in SPDADD", spd(spdAdd).policy(ipsec, dirIn, 0x1234, 0, require)),
		watched("lifetimes", out(spdAdd).lifetime(extHard, 7, 1000, 3600, 1800).lifetime(extSoft, 6, 900, 3000, 1500)),
		watched("CURRENT", out(spdAdd).lifetime(extCurrent, 7, 1000, 3600, 1800)),
		watched("satype ESP in SPDADD", out(spdAdd).at(3, esp)),
		watched("with an SA of a policy", out(spdAdd).sa(plain(0x5000))),
		one("SPDADD without a policy", spd(spdAdd)),
		one("SPDADD without SRC", msg(spdAdd, unspec).address(extDst, inner2, 255, 32).policy(discard, dirOut, 0, 0)),
		one("SPDADD without DST", msg(spdAdd, unspec).address(extSrc, inner1, 255, 32).policy(discard, dirOut, 0, 0)),
		{"many, in the order of their priorities or not", func(s *Session) {
			for i, priority := range []uint32{50, 10, 30, 0, 0x80000000} {
				a := fmt.Sprintf("10.1.%d.0", i)
				s.send(msg(spdAdd, unspec).address(extSrc, a, 255, 24).address(extDst, inner2, 255, 32).policy(discard, dirOut, 0, priority))
			}
			s.send(msg(spdAdd, unspec).selectors().policy(discard, dirIn, 0, 0))
			s.send(msg(spdDump, unspec))
		}},
		{"policies outlive their socket", func(s *Session) {
			s.send(out(spdAdd))
			s.close("a")
			s.sendTo("b", msg(spdDump, unspec))
		}},
		{"by another socket", func(s *Session) {
			s.send(out(spdAdd))
			s.sendTo("b", out(spdDelete))
		}},
	}
	for typ := range uint16(7) {
		list = append(list, watched(fmt.Sprintf("type %d without templates", typ), spd(spdAdd).policy(typ, dirOut, 0, 0)),
			watched(fmt.Sprintf("type %d with a template", typ), spd(spdAdd).policy(typ, dirOut, 0, 0, require)))
	}
	for dir := range uint8(6) {
		list = append(list, watched(fmt.Sprintf("direction %d", dir), spd(spdAdd).policy(discard, dir, 0, 0)))
	}
	for _, priority := range []uint32{1, 0x7fffffff, 0x80000000, 0xffffffff} {
		list = append(list, watched(fmt.Sprintf("priority %#x", priority), spd(spdAdd).policy(discard, dirOut, 0, priority)))
	}
	return list
}

func templateCases() []Case {
	with := func(requests ...request) message { return spd(spdAdd).policy(ipsec, dirOut, 0, 0, requests...) }
	good := tunnelRequest(levelRequire, 0)
	transport := request{proto: 50, mode: modeTransport, level: levelRequire}
	truncated := func(cut int) message {
		b := good.octets()
		p := native.AppendUint16(nil, ipsec)
		p = append(p, dirOut, 0)
		p = append(append(p, make([]byte, 8)...), b[:len(b)-cut]...)
		return spd(spdAdd).ext(extPolicy, p)
	}
	list := []Case{
		watched("transport without addresses", with(transport)),
		watched("transport with addresses", with(request{proto: 50, mode: modeTransport, level: levelRequire, src: addr1, dst: addr2})),
		watched("tunnel without addresses", with(request{proto: 50, mode: modeTunnel, level: levelRequire})),
		watched("tunnel with ports", with(request{proto: 50, mode: modeTunnel, level: levelRequire, src: addr1 + ":4500", dst: addr2 + ":4501"})),
		watched("tunnel IPv6 over IPv4 selectors", with(request{proto: 50, mode: modeTunnel, level: levelRequire, src: six1, dst: six2})),
		watched("families of a template mixed", with(request{proto: 50, mode: modeTunnel, level: levelRequire, src: addr1, dst: six2})),
		watched("AH and ESP", with(transport, request{proto: 51, mode: modeTransport, level: levelRequire})),
		watched("IPComp, ESP, AH", with(request{proto: 108, mode: modeTransport, level: levelUse}, transport, request{proto: 51, mode: modeTransport, level: levelUse})),
		watched("two tunnels", with(good, request{proto: 50, mode: modeTunnel, level: levelRequire, src: "192.0.2.3", dst: "192.0.2.4"})),
		watched("six templates", with(transport, transport, transport, transport, transport, transport)),
		watched("seven templates", with(transport, transport, transport, transport, transport, transport, transport)),
		watched("a request of length 0", with(request{proto: 50, mode: modeTransport, level: levelRequire, length: 65535})),
		watched("a request that is longer than the extension", with(request{proto: 50, mode: modeTransport, level: levelRequire, length: 64})),
		watched("a request that is shorter than itself", with(request{proto: 50, mode: modeTransport, level: levelRequire, length: 8})),
		watched("eight octets cut off", truncated(8)),
		watched("sixteen octets cut off", truncated(16)),
		watched("all but eight octets cut off", truncated(40)),
		watched("IPsec without templates", with()),
		watched("unique with a reqid of ours", with(tunnelRequest(levelUnique, 77))),
		watched("unique without a reqid", with(tunnelRequest(levelUnique, 0))),
		watched("unique with a reqid beyond ours", with(tunnelRequest(levelUnique, 0x70000000))),
		{"unique without a reqid, twice", func(s *Session) {
			s.send(with(tunnelRequest(levelUnique, 0)))
			s.send(spd(spdAdd).policy(ipsec, dirIn, 0, 0, tunnelRequest(levelUnique, 0)))
			s.send(msg(spdDump, unspec))
		}},
		watched("incoming tunnel, optional", spd(spdAdd).policy(ipsec, dirIn, 0, 0, tunnelRequest(levelUse, 0))),
		watched("outgoing tunnel, optional", spd(spdAdd).policy(ipsec, dirOut, 0, 0, tunnelRequest(levelUse, 0))),
		watched("a port in one end only", with(request{proto: 50, mode: modeTunnel, level: levelRequire, src: addr1 + ":4500", dst: addr2})),
	}
	for _, proto := range []uint16{0, 1, 4, 6, 41, 50, 51, 108, 255, 256} {
		list = append(list, watched(fmt.Sprintf("protocol %d", proto), with(request{proto: proto, mode: modeTransport, level: levelRequire})))
	}
	for mode := range uint8(6) {
		list = append(list, watched(fmt.Sprintf("mode %d", mode), with(request{proto: 50, mode: mode, level: levelRequire, src: addr1, dst: addr2})))
	}
	for level := range uint8(6) {
		list = append(list, watched(fmt.Sprintf("level %d", level), with(tunnelRequest(level, 5))))
	}
	return list
}

func selectorCases() []Case {
	with := func(src string, sproto, sprefix uint8, dst string, dproto, dprefix uint8) message {
		return msg(spdAdd, unspec).address(extSrc, src, sproto, sprefix).address(extDst, dst, dproto, dprefix).policy(discard, dirOut, 0, 0)
	}
	list := []Case{
		watched("networks", with("10.1.0.0", 255, 16, "10.2.0.0", 255, 24)),
		watched("bits of hosts", with("10.1.2.3", 255, 16, "10.2.3.4", 255, 8)),
		watched("everything", with("0.0.0.0", 255, 0, "0.0.0.0", 255, 0)),
		watched("everything IPv6", with("::", 255, 0, "::", 255, 0)),
		watched("IPv6 networks", with("2001:db8:1::", 255, 48, "2001:db8:2::", 255, 64)),
		watched("families mixed", with(inner1, 255, 32, six2, 255, 128)),
		watched("ports", with(inner1+":1701", 17, 32, inner2+":80", 17, 32)),
		watched("a port without a protocol", with(inner1+":1701", 255, 32, inner2, 255, 32)),
		watched("a port of protocol 0", with(inner1+":1701", 0, 32, inner2, 0, 32)),
		watched("protocol of the source only", with(inner1, 6, 32, inner2, 0, 32)),
		watched("protocol of the destination only", with(inner1, 0, 32, inner2, 6, 32)),
		watched("protocols differ", with(inner1, 6, 32, inner2, 17, 32)),
		watched("ICMP type and code", with(inner1+":8", 1, 32, inner2+":0", 1, 32)),
		watched("ICMPv6 type and code", with("[2001:db8:1::1]:128", 58, 128, "2001:db8:2::1", 58, 128)),
		watched("ESP", with(inner1, 50, 32, inner2, 50, 32)),
		watched("multicast", with(inner1, 255, 32, "224.0.0.0", 255, 4)),
		{"the same network written otherwise", func(s *Session) {
			s.send(with("10.1.0.0", 255, 16, "10.2.0.0", 255, 24))
			s.send(with("10.1.2.3", 255, 16, "10.2.0.9", 255, 24))
			s.send(with("10.1.0.0", 0, 16, "10.2.0.0", 0, 24))
			s.send(msg(spdDump, unspec))
		}},
		{"SPDDELETE of bits of hosts", func(s *Session) {
			s.send(with("10.1.2.3", 255, 16, "10.2.3.4", 255, 8))
			s.send(msg(spdDelete, unspec).address(extSrc, "10.1.0.0", 255, 16).address(extDst, "10.0.0.0", 255, 8).policy(discard, dirOut, 0, 0))
			s.send(msg(spdDelete, unspec).address(extSrc, "10.1.2.3", 255, 16).address(extDst, "10.2.3.4", 255, 8).policy(discard, dirOut, 0, 0))
		}},
		{"SPDDELETE of a port", func(s *Session) {
			s.send(with(inner1+":1701", 17, 32, inner2, 17, 32))
			s.send(msg(spdDelete, unspec).address(extSrc, inner1, 17, 32).address(extDst, inner2, 17, 32).policy(discard, dirOut, 0, 0))
			s.send(msg(spdDelete, unspec).address(extSrc, inner1+":1701", 17, 32).address(extDst, inner2, 17, 32).policy(discard, dirOut, 0, 0))
		}},
	}
	for _, prefix := range []uint8{1, 31, 33, 64, 128, 255} {
		list = append(list, watched(fmt.Sprintf("prefix length %d", prefix), with(inner1, 255, prefix, inner2, 255, prefix)))
	}
	for _, prefix := range []uint8{1, 127, 129, 255} {
		list = append(list, watched(fmt.Sprintf("IPv6 prefix length %d", prefix), with(six1, 255, prefix, six2, 255, prefix)))
	}
	return list
}

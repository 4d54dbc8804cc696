// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Sockaddrs and what has them: addresses, and the requests of a policy. The two of a pair have one family and stand one behind the
// other without padding between them.

package pfkey

import "net/netip"

// family is the number of the address's family.
func (d Dialect) family(a netip.Addr) uint16 {
	if a.Is4() {
		return afInet
	}
	return d.afInet6()
}

// sockaddr parses one sockaddr. With sa_len that must be its true length, as FreeBSD has it.
func (r *reader) sockaddr() Sockaddr {
	var family uint16
	length := 0
	if r.c.Dialect.saLen() {
		length, family = int(r.U8("sa_len")), uint16(r.U8("family"))
	} else {
		family = r.U16("family")
	}
	s := Sockaddr{Port: r.port("port")}
	want := sockaddrIn
	switch family {
	case afInet:
		s.Addr = addrFrom(r.Bytes("address", 4))
		r.skip(8)
	case r.c.Dialect.afInet6():
		want = sockaddrIn6
		s.Flow = r.spi("flow information") // network order
		s.Addr = addrFrom(r.Bytes("address", 16))
		s.Scope = r.U32("scope")
	default:
		r.Fail("family: %d, expected %d or %d", family, afInet, r.c.Dialect.afInet6())
	}
	if r.c.Dialect.saLen() && length != want {
		r.Fail("sa_len: %d, expected %d", length, want)
	}
	return s
}

func addrFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (w *writer) sockaddr(s Sockaddr) {
	if !s.Addr.IsValid() || s.Addr.Zone() != "" {
		w.fail("address: %v, expected one without a zone", s.Addr)
		return
	}
	length := sockaddrIn6
	if s.Addr.Is4() {
		length = sockaddrIn
	}
	if w.c.Dialect.saLen() {
		w.u8(uint8(length))
		w.u8(uint8(w.c.Dialect.family(s.Addr)))
	} else {
		w.u16(w.c.Dialect.family(s.Addr))
	}
	w.port(s.Port)
	if s.Addr.Is4() {
		w.bytes(s.Addr.AsSlice())
		w.zero(8)
		return
	}
	w.spi(s.Flow)
	w.bytes(s.Addr.AsSlice())
	w.u32(s.Scope)
}

// sameFamily reports whether both are of one family.
func sameFamily(a, b netip.Addr) bool { return a.Is4() == b.Is4() }

// pair parses two sockaddrs and the padding behind them.
func (r *reader) pair() (src, dst Sockaddr) {
	before := r.Len()
	src, dst = r.sockaddr(), r.sockaddr()
	if r.Err() == nil && !sameFamily(src.Addr, dst.Addr) {
		r.Fail("addresses: %v and %v, expected one family", src.Addr, dst.Addr)
	}
	r.skip(padding(before - r.Len()))
	return src, dst
}

func (w *writer) pair(src, dst Sockaddr) {
	start := len(w.b)
	w.sockaddr(src)
	w.sockaddr(dst)
	w.pad(start)
}

// pairLen is how long the pair is in octets.
func pairLen(a netip.Addr) int {
	n := 2 * sockaddrIn6
	if a.Is4() {
		n = 2 * sockaddrIn
	}
	return n + padding(n)
}

// address parses what is behind the header of sadb_address.
func (r *reader) address() *Address {
	a := &Address{Proto: r.U8("protocol"), PrefixLen: r.U8("prefix length")}
	r.skip(2)
	before := r.Len()
	a.Sockaddr = r.sockaddr()
	r.skip(padding(before - r.Len()))
	if r.Err() == nil && int(a.PrefixLen) > a.Addr.BitLen() {
		r.Fail("prefix length: %d, expected at most %d", a.PrefixLen, a.Addr.BitLen())
	}
	return a
}

func (w *writer) address(a *Address) {
	if a.Addr.IsValid() && int(a.PrefixLen) > a.Addr.BitLen() {
		w.fail("prefix length: %d, expected at most %d", a.PrefixLen, a.Addr.BitLen())
	}
	w.u8(a.Proto)
	w.u8(a.PrefixLen)
	w.zero(2)
	w.sockaddr(a.Sockaddr)
}

// requestHeader is sadb_x_ipsecrequest without addresses.
func (d Dialect) requestHeader() int {
	if d == Linux {
		return 16
	}
	return 8
}

// policy parses sadb_x_policy and its requests.
func (r *reader) policy() *Policy {
	p := &Policy{Type: PolicyType(r.U16("policy type")), Dir: Dir(r.U8("direction")), Scope: r.U8("scope"), ID: r.U32("id"), Priority: r.U32("priority")}
	if r.c.Dialect == Linux {
		p.Scope = 0 // reserved
	}
	if r.c.Dialect == OpenBSD {
		return p
	}
	for r.Err() == nil && r.Len() > 0 {
		if len(p.Requests) == MaxRequests {
			r.Fail("requests: more than %d", MaxRequests)
			break
		}
		p.Requests = append(p.Requests, r.request())
	}
	return p
}

// request parses sadb_x_ipsecrequest. Its length is in octets.
func (r *reader) request() Request {
	header := r.c.Dialect.requestHeader()
	n := int(r.U16("request length"))
	q := Request{Proto: r.U16("protocol"), Mode: Mode(r.U8("mode")), Level: Level(r.U8("level"))}
	if r.c.Dialect == Linux {
		r.skip(2)
		q.Reqid = r.U32("reqid")
		r.skip(4)
	} else {
		q.Reqid = uint32(r.U16("reqid"))
	}
	if r.Err() != nil || n == header {
		return q
	}
	before := r.Len()
	q.Src, q.Dst = r.pair()
	if r.Err() == nil && n != header+before-r.Len() {
		r.Fail("request length: %d octets, expected %d or %d", n, header, header+before-r.Len())
	}
	return q
}

func (w *writer) policy(p *Policy) {
	if len(p.Requests) > MaxRequests {
		w.fail("requests: %d, expected at most %d", len(p.Requests), MaxRequests)
		return
	}
	w.u16(uint16(p.Type))
	w.u8(uint8(p.Dir))
	if w.c.Dialect == Linux {
		w.zero(1)
	} else {
		w.u8(p.Scope)
	}
	w.u32(p.ID)
	w.u32(p.Priority)
	for i := range p.Requests {
		w.request(&p.Requests[i])
	}
}

func (w *writer) request(q *Request) {
	n := w.c.Dialect.requestHeader()
	addressed := q.Src.Addr.IsValid() || q.Dst.Addr.IsValid()
	if addressed && !(q.Src.Addr.IsValid() && q.Dst.Addr.IsValid() && sameFamily(q.Src.Addr, q.Dst.Addr)) {
		w.fail("request: addresses %v and %v, expected two of one family or none", q.Src.Addr, q.Dst.Addr)
		return
	}
	if addressed {
		n += pairLen(q.Src.Addr)
	}
	w.u16(uint16(n))
	w.u16(q.Proto)
	w.u8(uint8(q.Mode))
	w.u8(uint8(q.Level))
	switch {
	case w.c.Dialect == Linux:
		w.zero(2)
		w.u32(q.Reqid)
		w.zero(4)
	case q.Reqid > 0xffff:
		w.fail("reqid: %d, expected at most 65535 in %s", q.Reqid, w.c.Dialect)
		return
	default:
		w.u16(uint16(q.Reqid))
	}
	if addressed {
		w.pair(q.Src, q.Dst)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Keys, identities, proposals, lists of algorithms, security contexts and filters.

package pfkey

import (
	"net/netip"

	"github.com/natterjack/natterjack/crypt/secret"
)

const (
	keyHeader   = 8 // octets of sadb_key before the key
	combLen     = 72
	algLen      = 8
	maxKeyBits  = 4096 // the longest key of any algorithm, HMAC-SHA2-512's, has 512 by RFC 4868; Blowfish's 448
	bitsInOctet = 8
)

// key parses sadb_key: the number of bits, and the octets padded to a word. A key of no bits is check's affair.
func (r *reader) key() *secret.Key {
	bits := int(r.U16("bits"))
	r.skip(2)
	if bits%bitsInOctet != 0 || bits > maxKeyBits {
		r.Fail("bits: %d, expected a multiple of 8 up to %d", bits, maxKeyBits)
	}
	n := bits / bitsInOctet
	if r.Len() != n+padding(n) {
		r.Fail("bits: %d, which is not the length of the %d octets that follow", bits, r.Len())
	}
	k := secret.New(r.Bytes("key", n))
	r.skip(padding(n))
	return &k
}

func (w *writer) key(k *secret.Key) {
	if k.Len()*bitsInOctet > maxKeyBits {
		w.fail("key: %d bits, expected at most %d", k.Len()*bitsInOctet, maxKeyBits)
		return
	}
	w.u16(uint16(k.Len() * bitsInOctet))
	w.zero(2)
	w.bytes(k.Bytes())
}

// identity parses sadb_ident.
func (r *reader) identity() *Identity {
	i := &Identity{Type: r.U16("type")}
	r.skip(2)
	i.ID = r.U64("id")
	i.Data = r.limited("data", r.Len())
	return i
}

func (w *writer) identity(i *Identity) {
	if len(i.Data) > maxOpaque {
		w.fail("identity: %d octets, expected at most %d", len(i.Data), maxOpaque)
	}
	w.u16(i.Type)
	w.zero(2)
	w.u64(i.ID)
	w.bytes(i.Data)
}

// proposal parses sadb_prop and its combinations.
func (r *reader) proposal() *Proposal {
	p := &Proposal{Replay: r.U8("replay")}
	r.skip(3)
	for r.Err() == nil && r.Len() > 0 {
		c := Comb{Auth: AuthAlg(r.U8("auth")), Encrypt: EncryptAlg(r.U8("encrypt")), Flags: r.U16("flags"),
			AuthMinBits: r.U16("auth bits"), AuthMaxBits: r.U16("auth bits"), EncryptMinBits: r.U16("encrypt bits"), EncryptMaxBits: r.U16("encrypt bits")}
		r.skip(4)
		c.SoftAllocations, c.HardAllocations = r.U32("allocations"), r.U32("allocations")
		c.SoftBytes, c.HardBytes = r.U64("bytes"), r.U64("bytes")
		c.SoftAddTime, c.HardAddTime = r.U64("addtime"), r.U64("addtime")
		c.SoftUseTime, c.HardUseTime = r.U64("usetime"), r.U64("usetime")
		p.Combs = append(p.Combs, c)
	}
	return p
}

func (w *writer) proposal(p *Proposal) {
	w.u8(p.Replay)
	w.zero(3)
	for i := range p.Combs {
		c := &p.Combs[i]
		w.u8(uint8(c.Auth))
		w.u8(uint8(c.Encrypt))
		for _, v := range [...]uint16{c.Flags, c.AuthMinBits, c.AuthMaxBits, c.EncryptMinBits, c.EncryptMaxBits} {
			w.u16(v)
		}
		w.zero(4)
		w.u32(c.SoftAllocations)
		w.u32(c.HardAllocations)
		for _, v := range [...]uint64{c.SoftBytes, c.HardBytes, c.SoftAddTime, c.HardAddTime, c.SoftUseTime, c.HardUseTime} {
			w.u64(v)
		}
	}
}

// supported parses sadb_supported and its algorithms.
func (r *reader) supported() []Supported {
	r.skip(4)
	list := []Supported{}
	for r.Err() == nil && r.Len() > 0 {
		list = append(list, Supported{r.U8("id"), r.U8("ivlen"), r.U16("minbits"), r.U16("maxbits")})
		r.skip(2)
	}
	return list
}

func (w *writer) supported(list []Supported) {
	w.zero(4)
	for _, a := range list {
		w.u8(a.ID)
		w.u8(a.IVLen)
		w.u16(a.MinBits)
		w.u16(a.MaxBits)
		w.zero(2)
	}
}

// secCtx parses sadb_x_sec_ctx. Its content is a label for a security module, which there is none of here.
func (r *reader) secCtx() *SecCtx {
	s := &SecCtx{Alg: r.U8("alg"), DOI: r.U8("doi")}
	n := int(r.U16("context length"))
	if r.Len() != n+padding(n) {
		r.Fail("context length: %d, which is not the length of the %d octets that follow", n, r.Len())
	}
	s.Context = r.limited("context", n)
	r.skip(padding(n))
	return s
}

func (w *writer) secCtx(s *SecCtx) {
	if len(s.Context) > maxOpaque {
		w.fail("context: %d octets, expected at most %d", len(s.Context), maxOpaque)
		return
	}
	w.u8(s.Alg)
	w.u8(s.DOI)
	w.u16(uint16(len(s.Context)))
	w.bytes(s.Context)
}

// filter parses sadb_x_filter.
func (r *reader) filter() *Filter {
	src, dst := r.Bytes("source", 16), r.Bytes("destination", 16)
	family, srcLen, dstLen := r.U16("family"), int(r.U8("source prefix length")), int(r.U8("destination prefix length"))
	if r.Err() != nil || family == 0 && srcLen == 0 && dstLen == 0 {
		return &Filter{}
	}
	n, bits := 4, bitsInet
	switch family {
	case afInet:
	case r.c.Dialect.afInet6():
		n, bits = 16, bitsInet6
	default:
		r.Fail("family: %d, expected %d or %d", family, afInet, r.c.Dialect.afInet6())
		return nil
	}
	if srcLen > bits || dstLen > bits {
		r.Fail("prefix length: %d and %d, expected at most %d", srcLen, dstLen, bits)
		return nil
	}
	return &Filter{prefix(src[:n], srcLen), prefix(dst[:n], dstLen)}
}

func prefix(b []byte, bits int) netip.Prefix {
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, bits)
}

func (w *writer) filter(f *Filter) {
	family, one := uint16(0), f.Src
	if !one.IsValid() {
		one = f.Dst
	}
	if one.IsValid() {
		family = w.c.Dialect.family(one.Addr())
	}
	for _, p := range [...]netip.Prefix{f.Src, f.Dst} {
		if p.IsValid() && w.c.Dialect.family(p.Addr()) != family {
			w.fail("filter: addresses of two families")
		}
		b := make([]byte, 16)
		copy(b, p.Addr().AsSlice())
		w.bytes(b)
	}
	w.u16(family)
	w.u8(uint8(max(0, f.Src.Bits())))
	w.u8(uint8(max(0, f.Dst.Bits())))
}

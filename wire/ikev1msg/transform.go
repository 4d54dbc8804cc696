// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the attributes of a transform say (RFC 2409, Appendix A; RFC 2407, Section 4.5). An error is about one transform:
// it is not chosen, and the others of its offer stand.

package ikev1msg

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Lifetime is how long an SA may be used; 0 where the peer does not say.
type Lifetime struct {
	Seconds   uint64
	Kilobytes uint64
}

// Phase1 is a transform of phase 1. Numbers are 0 where the attribute is missing.
type Phase1 struct {
	Encr   EncrAlg
	KeyLen int // in bits
	Hash   HashAlg
	PRF    uint16
	Auth   AuthMethod
	Group  Group
	Life   Lifetime
	// Other are attributes that have no field: parameters of a group of the peer's own, GSS-API, private ones. A transform
	// that has any cannot be chosen without knowing them.
	Other []uint16
}

// Phase2 is a transform of Quick Mode; its cipher is the transform's ID.
type Phase2 struct {
	Encap     EncapMode
	Auth      AuthAlg
	KeyLen    int // in bits
	KeyRounds int
	Group     Group
	ESN       bool
	Life      Lifetime
	Other     []uint16 // as of Phase1
}

// reading collects the attributes of one transform: each kind but the two of lifetimes at most once.
type reading struct {
	seen  [17]bool
	life  LifeType
	err   error
	Life  Lifetime
	Other []uint16
}

// fail sets the error, unless there is one already.
func (r *reading) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// once reads an attribute that may be there once and must be basic (RFC 2409, Appendix A).
func (r *reading) once(a Attribute) uint16 {
	switch {
	case !a.Basic:
		r.fail("attribute %d: variable, expected basic", a.Kind)
		return 0
	case r.seen[a.Kind]:
		r.fail("attribute %d: twice", a.Kind)
	}
	r.seen[a.Kind] = true
	return binary.BigEndian.Uint16(a.Value)
}

// lifeType reads a life type, which a duration has to follow.
func (r *reading) lifeType(a Attribute) {
	if r.life != 0 {
		r.fail("life type: %s without a duration", r.life)
	}
	t := LifeType(0)
	if a.Basic {
		t = LifeType(binary.BigEndian.Uint16(a.Value))
	}
	if t != LifeSeconds && t != LifeKilobytes {
		r.fail("life type %d, expected %d or %d, basic", uint16(t), LifeSeconds, LifeKilobytes)
	}
	r.life = t
}

// keyLength reads a key length, which is none where it says 0: only a missing attribute may be read as what it is of old.
func (r *reading) keyLength(a Attribute) int {
	n := int(r.once(a))
	if n == 0 {
		r.fail("key length 0, expected bits or no such attribute")
	}
	return n
}

// duration reads the duration that follows a life type, in either form. Longer than 32 bits, 136 years, is that: what a peer
// says is shortened to what we want, never lengthened, and in nanoseconds or octets it does not overflow.
func (r *reading) duration(a Attribute) {
	v, ok := a.Uint()
	switch {
	case r.life == 0:
		r.fail("life duration: no life type before it")
		return
	case len(a.Value) == 0:
		r.fail("life duration: no octets")
	case !ok:
		v = math.MaxUint32
	case v == 0:
		r.fail("life duration 0 %s, expected more", r.life)
	}
	v = min(v, math.MaxUint32)
	field := &r.Life.Seconds
	if r.life == LifeKilobytes {
		field = &r.Life.Kilobytes
	}
	if *field != 0 {
		r.fail("life duration: two in %s", r.life)
	}
	*field, r.life = v, 0
}

func (r *reading) finish() error {
	if r.life != 0 {
		r.fail("life type: %s without a duration", r.life)
	}
	return r.err
}

// Phase1 reads the attributes of a transform of phase 1. Cipher, hash, method and group must be there
// (RFC 2409, Section 4); whether we have them is for the caller to see.
func (t Transform) Phase1() (Phase1, error) {
	if t.ID != KeyIKE {
		return Phase1{}, fmt.Errorf("transform ID %d, expected %d (KEY_IKE)", t.ID, KeyIKE)
	}
	var p Phase1
	var r reading
	for _, a := range t.Attributes {
		switch a.Kind {
		case AttrEncr:
			p.Encr = EncrAlg(r.once(a))
		case AttrHash:
			p.Hash = HashAlg(r.once(a))
		case AttrAuth:
			p.Auth = AuthMethod(r.once(a))
		case AttrGroup:
			p.Group = Group(r.once(a))
		case AttrPRF:
			p.PRF = r.once(a)
		case AttrKeyLength:
			p.KeyLen = r.keyLength(a)
		case AttrLifeType:
			r.lifeType(a)
		case AttrLifeDuration:
			r.duration(a)
		default:
			r.Other = append(r.Other, a.Kind)
		}
	}
	if p.Encr == 0 || p.Hash == 0 || p.Auth == 0 || p.Group == 0 {
		r.fail("encryption %d, hash %d, authentication %d, group %d, expected all four", p.Encr, p.Hash, p.Auth, p.Group)
	}
	p.Life, p.Other = r.Life, r.Other
	return p, r.finish()
}

// Phase2 reads the attributes of a transform of Quick Mode in a proposal of protocol proto. The encapsulation mode must be
// there, as RFC 2407 leaves what its absence means to each host; of IPComp its absence is transport mode (RFC 3173,
// Section 4.1).
//
// Deviation: a Basic attribute has to be basic and is refused otherwise, but not its neighbours: RFC 2407, Section 4.5, would
// have the whole offer refused.
func (t Transform) Phase2(proto Protocol) (Phase2, error) {
	var p Phase2
	var r reading
	for _, a := range t.Attributes {
		switch a.Kind {
		case AttrSALifeType:
			r.lifeType(a)
		case AttrSALifeDuration:
			r.duration(a)
		case AttrSAGroup:
			p.Group = Group(r.once(a))
		case AttrSAEncap:
			p.Encap = EncapMode(r.once(a))
		case AttrSAAuth:
			p.Auth = AuthAlg(r.once(a))
		case AttrSAKeyLength:
			p.KeyLen = r.keyLength(a)
		case AttrSAKeyRounds:
			p.KeyRounds = int(r.once(a))
		case AttrSAECN:
			r.once(a) // of RFC 3168; RFC 6040 needs no negotiation
		case AttrSAESN:
			if p.ESN = r.once(a) == 1; !p.ESN { // RFC 4304 assigns no other value
				r.fail("extended sequence numbers: expected 1 or no such attribute")
			}
		default:
			r.Other = append(r.Other, a.Kind)
		}
	}
	switch {
	case p.Encap != 0:
	case proto == ProtoIPComp && !r.seen[AttrSAEncap]:
		p.Encap = EncapTransport
	default:
		r.fail("no encapsulation mode")
	}
	p.Life, p.Other = r.Life, r.Other
	return p, r.finish()
}

// Attributes writes a transform of phase 1: cipher, key length, hash, group, method, lifetimes; key length and lifetimes only
// where they are not 0. The order means nothing (RFC 2408, Section 3.6), and is that of most peers.
func (p Phase1) Attributes() []Attribute {
	list := []Attribute{Basic(AttrEncr, uint16(p.Encr))}
	if p.KeyLen > 0 {
		list = append(list, Basic(AttrKeyLength, uint16(p.KeyLen)))
	}
	list = append(list, Basic(AttrHash, uint16(p.Hash)), Basic(AttrGroup, uint16(p.Group)), Basic(AttrAuth, uint16(p.Auth)))
	return p.Life.append(list, AttrLifeType, AttrLifeDuration)
}

// Attributes writes a transform of Quick Mode, each attribute only where it is not 0.
func (p Phase2) Attributes() []Attribute {
	var list []Attribute
	add := func(kind, v uint16) {
		if v != 0 {
			list = append(list, Basic(kind, v))
		}
	}
	add(AttrSAKeyLength, uint16(p.KeyLen))
	add(AttrSAAuth, uint16(p.Auth))
	add(AttrSAEncap, uint16(p.Encap))
	add(AttrSAGroup, uint16(p.Group))
	if p.ESN {
		add(AttrSAESN, 1)
	}
	return p.Life.append(list, AttrSALifeType, AttrSALifeDuration)
}

func (l Lifetime) append(list []Attribute, kind, duration uint16) []Attribute {
	if l.Seconds > 0 {
		list = append(list, Basic(kind, uint16(LifeSeconds)), Number(duration, uint32(min(l.Seconds, math.MaxUint32))))
	}
	if l.Kilobytes > 0 {
		list = append(list, Basic(kind, uint16(LifeKilobytes)), Number(duration, uint32(min(l.Kilobytes, math.MaxUint32))))
	}
	return list
}

// parseLifetime reads the attributes of RESPONDER-LIFETIME, which are those of the SA that it is about (RFC 2407,
// Section 4.6.3.1): of phase 1 or of Quick Mode.
func parseLifetime(list []Attribute, kind, duration uint16) (Lifetime, error) {
	var r reading
	for _, a := range list {
		switch a.Kind {
		case kind:
			r.lifeType(a)
		case duration:
			r.duration(a)
		default:
			r.fail("attribute %d, expected life types and durations", a.Kind)
		}
	}
	if r.Life == (Lifetime{}) {
		r.fail("no lifetime")
	}
	return r.Life, r.finish()
}

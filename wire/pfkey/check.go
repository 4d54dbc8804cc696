// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What must be true of a message as a whole, of one that is parsed and of one that is appended: HOSTILE T-096. Which extensions a
// request must have is the server's affair.

package pfkey

import "github.com/natterjack/natterjack/crypt/secret"

// check returns the first thing that is wrong.
func (c Codec) check(m *Message) error {
	if err := checkKeys(m); err != nil {
		return err
	}
	if err := checkFamilies(m); err != nil {
		return err
	}
	if r := m.SPIRange; r != nil && r.Min > r.Max {
		return invalid("%s: minimum %#x is above the maximum %#x", ExtSPIRange, r.Min, r.Max)
	}
	if m.Policy != nil {
		return c.checkPolicy(m)
	}
	return nil
}

// checkKeys: a key has bits, but for the algorithms that have none.
func checkKeys(m *Message) error {
	none := func(k *secret.Key, keyless bool) bool { return k != nil && k.Len() == 0 && !keyless }
	if none(m.KeyAuth, m.SA != nil && m.SA.Auth == AuthNull) {
		return invalid("%s: bits: 0, expected a key", ExtKeyAuth)
	}
	if none(m.KeyEncrypt, m.SA != nil && m.SA.Encrypt == EncryptNull) {
		return invalid("%s: bits: 0, expected a key", ExtKeyEncrypt)
	}
	return nil
}

// checkFamilies: source and destination are of one family, each pair for itself.
func checkFamilies(m *Message) error {
	for _, p := range [...]struct {
		t    ExtType
		a, b *Address
	}{{ExtAddressDst, m.Src, m.Dst}, {ExtNATOAr, m.NATOAi, m.NATOAr}, {ExtNewAddressDst, m.NewSrc, m.NewDst}} {
		if p.a != nil && p.b != nil && !sameFamily(p.a.Addr, p.b.Addr) {
			return invalid("%s: %v, expected the family of %v", p.t, p.b.Addr, p.a.Addr)
		}
	}
	return nil
}

// checkPolicy: policies have a direction; only what names one by its id needs none.
func (c Codec) checkPolicy(m *Message) error {
	p := m.Policy
	last := DirOut
	if c.Dialect == Linux {
		last = DirFwd
	}
	first := DirAny
	switch m.Type {
	case TypeSPDAdd, TypeSPDUpdate, TypeSPDDelete, TypeSPDSetIdx, TypeMigrate:
		first = DirIn
	}
	if c.Dialect != OpenBSD && (p.Dir < first || p.Dir > last) {
		return invalid("%s: direction: %d, expected %d to %d", ExtPolicy, p.Dir, first, last)
	}
	return nil
}

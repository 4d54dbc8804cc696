// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: key exchange values and groups (T-009, T-010).

package hostile

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"net/netip"
	"testing"

	"github.com/natterjack/natterjack/lab/bogus"
)

// badValues are public values of a group that no key may come from.
func badValues(group uint16) map[string][]byte {
	fill := func(n int, v byte) []byte { return bytes.Repeat([]byte{v}, n) }
	switch group {
	case bogus.KEX25519:
		// The low-order points of RFC 7748, Section 6.1.
		one := append([]byte{1}, fill(31, 0)...)
		eight := []byte{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
			0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}
		minusOne := append(append([]byte{0xec}, fill(30, 0xff)...), 0x7f)
		p := append(append([]byte{0xed}, fill(30, 0xff)...), 0x7f)
		return map[string][]byte{"empty": {}, "1 octet": {1}, "31 octets": fill(31, 9), "33 octets": fill(33, 9), "0": fill(32, 0),
			"1": one, "order 8": eight, "-1": minusOne, "p": p}
	case bogus.KEP256:
		compressed := append([]byte{2}, fill(32, 5)...)
		return map[string][]byte{"empty": {}, "1 octet": {4}, "63 octets": fill(63, 1), "65 octets": append([]byte{4}, fill(64, 1)...),
			"infinity": fill(64, 0), "off the curve": fill(64, 1), "above p": fill(64, 0xff), "compressed": compressed}
	}
	p := bogus.Prime(group)
	n := p.BitLen() / 8
	num := func(v *big.Int) []byte { return v.FillBytes(make([]byte, n)) }
	one := big.NewInt(1)
	return map[string][]byte{"empty": {}, "1 octet": {2}, "an octet less": fill(n-1, 7), "an octet more": append(fill(n, 7), 7), "0": fill(n, 0), "1": num(one),
		"p-1": num(new(big.Int).Sub(p, one)), "p": num(p), "p+1": num(new(big.Int).Add(p, one)), "above p": fill(n, 0xff)}
}

// TestT009_KeyExchangeValues: no answer with a key, no machine, and later no child, from a value that is none.
func TestT009_KeyExchangeValues(t *testing.T) {
	w := Open(t, Options{})
	crowd := w.Crowd()
	n := 0
	names := map[netip.Addr]string{}
	for _, group := range []uint16{bogus.KEX25519, bogus.KEP256, bogus.KEMODP2048} {
		p := w.Peer(func(c *bogus.Config) {
			c.IKE.Encr, c.IKE.Bits, c.IKE.PRF, c.IKE.KE = bogus.EncrAESGCM16, 128, bogus.PRFSHA256, group
		})
		for name, value := range badValues(group) {
			b := initBytes(t, p, func(m *bogus.Message) { *m.Find(bogus.PayloadKE) = bogus.KE(group, value) })
			names[Source(n)] = name
			crowd.Send(n, w.IKE, b)
			n++
		}
	}
	for from, list := range crowd.Answers() {
		for _, b := range list {
			if m, err := answer(b); err != nil || m.Find(bogus.PayloadKE) != nil || m.Error() != bogus.InvalidSyntax {
				t.Errorf("%s: answered with %v", names[from], m)
			}
		}
	}
	if half := w.D.Stats().HalfOpen; half > 0 {
		t.Errorf("%d IKE SAs have keys that everybody knows", half)
	}
	t.Run("PFS", func(t *testing.T) { badPFS(t, w) })
	t.Run("rekey", func(t *testing.T) { badRekey(t, w) })
	t.Run("responses", func(t *testing.T) { badResponse(t, w) })
}

func badPFS(t *testing.T, w *World) {
	p := w.Connect(func(c *bogus.Config) { c.ESP = bogus.GCM128() })
	for name, value := range badValues(bogus.KEX25519) {
		p.SetBugs(bogus.Bugs{KE: func(group uint16, _ []byte) (uint16, []byte) { return group, value }})
		if c, err := p.NewChild(); err == nil {
			t.Errorf("%s: child %+v", name, c)
		}
		p.SetBugs(bogus.Bugs{})
		if err := p.Ping(); err != nil {
			t.Fatalf("%s: the IKE SA afterwards: %v", name, err)
		}
	}
}

func badRekey(t *testing.T, w *World) {
	p := w.Connect(nil)
	for name, value := range badValues(bogus.KEX25519) {
		p.SetBugs(bogus.Bugs{Edit: bogus.Replace(bogus.RekeyRequest, bogus.KE(bogus.KEX25519, value))})
		if err := p.RekeyIKE(); err == nil {
			t.Errorf("%s: the IKE SA was rekeyed", name)
		}
		p.SetBugs(bogus.Bugs{})
		if err := p.Ping(); err != nil {
			t.Fatalf("%s: the IKE SA afterwards: %v", name, err)
		}
	}
}

// badResponse: as initiator the daemon must refuse them too.
func badResponse(t *testing.T, w *World) {
	n := 0
	for name, value := range badValues(bogus.KEX25519) {
		n++
		o := w.Out(n, "", func(c *bogus.Config) {
			c.Bugs.KE = func(group uint16, _ []byte) (uint16, []byte) { return group, value }
			c.Bugs.Shared = func(b []byte) []byte { return make([]byte, len(b)) }
		})
		if err := o.Initiate(); err == nil {
			t.Errorf("%s: the daemon has an IKE SA with it", name)
		}
		for _, m := range o.Seen() {
			if m.Sealed {
				t.Errorf("%s: the daemon sent %v under keys that everybody knows", name, m)
			}
		}
		o.close()
	}
}

// TestT010_Groups: KE of a group that is not the proposal's.
func TestT010_Groups(t *testing.T) {
	w := Open(t, Options{})
	crowd := w.Crowd()
	p := w.Peer(nil)
	exchanges := w.D.Stats().KeyExchanges
	groups := []uint16{0, 1025, 65535, bogus.KEP256, bogus.KEMODP2048}
	for i, group := range groups {
		crowd.Send(i, w.IKE, initBytes(t, p, func(m *bogus.Message) { *m.Find(bogus.PayloadKE) = bogus.KE(group, make([]byte, 32)) }))
	}
	got := crowd.Answers()
	for i, group := range groups {
		list := got[Source(i)]
		if len(list) != 1 {
			t.Errorf("group %d: %d answers, expected one", group, len(list))
			continue
		}
		m, err := answer(list[0])
		if err != nil {
			t.Fatal(err)
		}
		n, ok := m.Notify(bogus.InvalidKEPayload)
		if !ok || len(n.Data) != 2 || binary.BigEndian.Uint16(n.Data) != bogus.KEX25519 {
			t.Errorf("group %d: %v %x, expected INVALID_KE_PAYLOAD 31", group, m, n.Data)
		}
	}
	st := w.D.Stats()
	if st.HalfOpen > 0 || st.KeyExchanges != exchanges {
		t.Errorf("%d half-open IKE SAs and %d key exchanges for groups that were refused", st.HalfOpen, st.KeyExchanges-exchanges)
	}
	t.Run("responder that is never content", func(t *testing.T) { neverContent(t, w) })
}

// neverContent: a responder that refuses every group, or names one that was not offered, is given up.
func neverContent(t *testing.T, w *World) {
	names := map[string]func(asked uint16) uint16{
		"the other one": func(asked uint16) uint16 {
			if asked == bogus.KEX25519 {
				return bogus.KEP256
			}
			return bogus.KEX25519
		},
		"the same":    func(asked uint16) uint16 { return asked },
		"not offered": func(uint16) uint16 { return bogus.KEMODP4096 },
		"nonsense":    func(uint16) uint16 { return 0 },
	}
	i := 0
	for name, next := range names {
		i++
		o := w.Out(i, "", func(c *bogus.Config) {
			asked := uint16(bogus.KEX25519)
			c.IKE = bogus.GCM128()
			c.Bugs.Edit = bogus.On(bogus.InitResponse, func(m *bogus.Message) {
				asked = next(asked)
				m.SPIr = 0
				m.Payloads = []bogus.Payload{bogus.N(bogus.InvalidKEPayload, byte(asked>>8), byte(asked))}
			})
		})
		if err := o.Initiate(); err == nil {
			t.Errorf("%s: the daemon believes that it is connected", name)
		}
		groups := map[string]bool{}
		for _, m := range o.Seen() {
			groups[string(m.Find(bogus.PayloadKE).Body)] = true
		}
		if len(groups) > 3 {
			t.Errorf("%s: %d rounds, expected at most 3", name, len(groups))
		}
		o.close()
	}
}

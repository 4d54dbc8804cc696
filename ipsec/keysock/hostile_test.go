// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// HOSTILE T-096, T-097 and T-098 at the server.

package keysock_test

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// field overwrites octets of an extension, found by its number; -1 in off counts from the extension's own start.
func field(b []byte, ext uint16, off int, v ...byte) []byte {
	b = bytes.Clone(b)
	for at := 16; at+8 <= len(b); {
		if binary.LittleEndian.Uint16(b[at+2:]) == ext {
			copy(b[at+off:], v)
			return b
		}
		at += int(binary.LittleEndian.Uint16(b[at:])) * 8
	}
	panic("no such extension")
}

func put(b []byte, off int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[off:], v)
	return b
}

// twice appends an extension of the message again.
func twice(b []byte, ext uint16) []byte {
	var again []byte
	extensions(b, func(t uint16, e []byte) {
		if t == ext {
			again = bytes.Clone(e)
		}
	})
	b = append(bytes.Clone(b), again...)
	binary.LittleEndian.PutUint16(b[4:], uint16(len(b)/8))
	return b
}

// TestT096MalformedMessages: each is refused with an errno, to its sender alone, and changes nothing.
func TestT096MalformedMessages(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		others := []keysock.ClientID{w.client(d, true), w.client(pfkey.Linux, true)}
		family6 := [...]byte{28, 24, 10}[d]
		sa := w.octets(d, natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500))
		policy := w.octets(d, protect(pfkey.LevelRequire, 0))
		getspi := header(pfkey.TypeGetSPI, pfkey.SATypeESP)
		getspi.Src, getspi.Dst, getspi.SPIRange = addr("192.0.2.1"), addr("192.0.2.2"), &pfkey.SPIRange{Min: 0x5000, Max: 0x6000}
		spi := w.octets(d, getspi)
		rows := map[string][]byte{
			"length 0": put(sa, 4, 0, 0), "length too large": put(sa, 4, 255, 255), "length too small": put(sa, 4, 3, 0),
			"empty": {}, "fifteen octets": sa[:15], "header cut": sa[:16], "version 1": put(sa, 0, 1), "type 0": put(sa, 1, 0), "type 99": put(sa, 1, 99),
			"satype 77": put(sa, 3, 77), "satype RSVP": put(sa, 3, 5),
			"extension of length 0": field(sa, 5, 0, 0, 0), "extension longer than the message": field(sa, 5, 0, 255, 0),
			"SA twice": twice(sa, 1), "key twice": twice(sa, 9), "extension type 0": field(sa, 5, 2, 0, 0),
			"key bits 0": field(sa, 8, 4, 0, 0), "key bits 65535": field(sa, 8, 4, 255, 255), "key bits 161": field(sa, 8, 4, 161, 0), "key bits 8": field(sa, 9, 4, 8, 0),
			"prefix 33": field(policy, 5, 5, 33), "prefix 255": field(policy, 6, 5, 255), "family of the other": field(sa, 5, map[bool]int{true: 8, false: 9}[d == pfkey.Linux], family6),
			"direction 0": field(policy, 18, 6, 0), "direction 255": field(policy, 18, 6, 255), "direction 4": field(policy, 18, 6, 4),
			"SPI range reversed": field(spi, 16, 4, 0, 0x70, 0, 0), "NAT-T type 0": field(sa, 20, 4, 0), "NAT-T type 255": field(sa, 20, 4, 255),
			"SPI 0": field(sa, 1, 4, 0, 0, 0, 0), "SPI 255": field(sa, 1, 4, 0, 0, 0, 255), "mode 9": field(sa, 19, 4, 9),
			"request longer than its policy": field(policy, 18, 16, 255, 255), "request of length 0": field(policy, 18, 16, 0, 0),
			"policy type 9": field(policy, 18, 4, 9, 0), "request mode 9": field(policy, 18, 20, 9), "request level 9": field(policy, 18, 21, 9),
		}
		if d != pfkey.Linux {
			rows["extension 200"] = field(sa, 20, 2, 200, 0)
			rows["port 0"] = field(sa, 21, 4, 0, 0)
		}
		for name, b := range rows {
			clear(w.got)
			err := w.raw(c, b)
			got := w.got[c]
			if len(got) != 1 || len(got[0]) != 16 || got[0][2] == 0 || got[0][0] != 2 || binary.LittleEndian.Uint16(got[0][4:]) != 2 {
				t.Errorf("%s: %d answers %x, %v", name, len(got), got, err)
			}
			for _, o := range others {
				if len(w.got[o]) != 0 {
					t.Errorf("%s: others hear of it", name)
				}
			}
		}
		if len(w.db.SAs(0, true)) != 0 || len(w.db.SPDList()) != 0 {
			t.Error("a refused message left something behind")
		}
		clear(w.got)
		if err := w.raw(c, sa); err != nil || w.got[c][0][2] != 0 {
			t.Error("the good message is refused")
		}
	})
}

// FuzzOctets: octets of any kind from clients of all dialects. Nothing panics, every delivery is a message of its recipient's dialect with
// zeros wherever there is no value, and clients without privileges see no key.
func FuzzOctets(f *testing.F) {
	w := newWorld(f, keysock.Config{})
	for i, d := range dialects {
		for _, m := range []*pfkey.Message{
			natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500), protect(pfkey.LevelUnique, 0), header(pfkey.TypeDump, 0), header(pfkey.TypeFlush, 0),
			about(pfkey.TypeGet, add(0x1001, "192.0.2.1", "192.0.2.2")), header(pfkey.TypeRegister, pfkey.SATypeESP), header(pfkey.TypePromisc, 1),
		} {
			f.Add(byte(i), w.octets(d, m))
		}
	}
	f.Fuzz(func(t *testing.T, who byte, b []byte) {
		w := newWorld(t, keysock.Config{})
		var clients []keysock.ClientID
		for _, d := range dialects {
			clients = append(clients, w.client(d, true))
		}
		user := w.client(pfkey.Linux, false)
		c := clients[int(who)%len(clients)]
		d := w.d[c]
		w.send(clients[2], header(pfkey.TypePromisc, 1))
		for _, m := range [][]byte{b, w.octets(d, add(0x1001, "192.0.2.1", "192.0.2.2")), b, b} {
			_ = w.raw(c, m)
			_ = w.raw(user, m)
			w.clean(t)
		}
	})
}

// clean checks all that was delivered.
func (w *world) clean(t testing.TB) {
	t.Helper()
	for id, all := range w.got {
		codec := pfkey.Codec{Dialect: w.d[id]}
		for _, b := range all {
			m, err := codec.Parse(b)
			if err != nil {
				if len(b) == 16 && b[2] != 0 {
					continue // the refusal of a type that does not exist
				}
				t.Fatalf("%v: %v\n%x", w.d[id], err, b)
			}
			again, err := codec.Append(nil, m)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%v: octets that are no value are not zero, or the order is not its own: %v\n%x\n%x", w.d[id], err, b, again)
			}
		}
	}
	clear(w.got)
}

// TestT097ReservedAndKeys: every kind of answer and notice has zeros in its padding and reserved octets, whatever was in the request's;
// who is not privileged may look, and sees no keys.
func TestT097ReservedAndKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world, c keysock.ClientID, d pfkey.Dialect) {
		user := w.client(d, false)
		for _, o := range dialects {
			ear := w.client(o, true)
			w.last(ear, header(pfkey.TypePromisc, 1), pfkey.OK)
		}
		w.send(c, header(pfkey.TypeRegister, pfkey.SATypeESP))
		m := natted(add(0x1001, "192.0.2.1", "192.0.2.2"), 4500, 4500)
		m.LifetimeSoft, m.LifetimeHard = &pfkey.Lifetime{AddTime: 1}, &pfkey.Lifetime{AddTime: 2}
		if d != pfkey.Linux {
			m.IdentitySrc, m.IdentityDst = &pfkey.Identity{Type: 2, Data: []byte("a.test\x00\x00")}, &pfkey.Identity{Type: 2, Data: []byte("b.test\x00\x00")}
			m.SA2.Mode, m.NATOAi = pfkey.ModeTransport, addr("10.0.0.1")
		}
		dirty := field(w.octets(d, m), 5, 16, 0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef) // sin_zero
		dirty = field(dirty, 5, 6, 0xff, 0xff)                                                // sadb_address_reserved
		dirty = field(dirty, 20, 5, 0xff, 0xff, 0xff)                                         // sadb_x_nat_t_type_reserved
		dirty = field(dirty, 21, 6, 0xff, 0xff)
		dirty = field(dirty, 19, 5, 0xff, 0xff, 0xff)
		dirty = field(dirty, 8, 28, 0xff, 0xff, 0xff, 0xff) // behind a key of 160 bits
		if err := w.raw(c, dirty); err != nil || w.got[c][0][2] != 0 {
			t.Fatalf("%v %x", err, w.got[c])
		}
		w.clean(t)
		policy := field(w.octets(d, protect(pfkey.LevelUnique, 0)), 5, 6, 0xff, 0xff)
		_ = w.raw(c, policy)
		w.clean(t)
		w.packet()
		for _, q := range []*pfkey.Message{
			about(pfkey.TypeGet, m), header(pfkey.TypeDump, 0), header(pfkey.TypeSPDDump, 0), header(pfkey.TypeRegister, pfkey.SATypeAH), byID(pfkey.TypeSPDGet, 1),
			about(pfkey.TypeGet, add(0x9999, "192.0.2.1", "192.0.2.2")),
		} {
			_ = w.raw(c, w.octets(d, q))
			w.clean(t)
		}
		for _, q := range []*pfkey.Message{about(pfkey.TypeGet, m), header(pfkey.TypeDump, 0)} {
			a := w.want2(user, q)
			if a.SA.SPI != 0x1001 || a.KeyAuth != nil || a.KeyEncrypt != nil {
				t.Error("a client without privileges sees a key, or nothing")
			}
			if full := w.want2(c, q); full.KeyAuth == nil || full.KeyEncrypt == nil {
				t.Error("a privileged client sees no key")
			}
		}
		for _, q := range []*pfkey.Message{m, about(pfkey.TypeDelete, m), header(pfkey.TypeFlush, 0), header(pfkey.TypeRegister, pfkey.SATypeESP), protect(0, 0), header(pfkey.TypeSPDFlush, 0)} {
			w.want(user, q, pfkey.EPERM)
		}
		clear(w.got)
		w.want(c, add(0x1002, "192.0.2.1", "192.0.2.2"), pfkey.OK)
		for _, b := range w.got[user] {
			extensions(b, func(e uint16, _ []byte) {
				if e == 8 || e == 9 {
					t.Error("a broadcast shows a key to a client without privileges")
				}
			})
		}
		w.advance(3 * time.Second)
		w.clean(t)
	})
}

// want2 is the one message that is about an SA.
func (w *world) want2(c keysock.ClientID, m *pfkey.Message) *pfkey.Message {
	w.t.Helper()
	for _, a := range w.send(c, m) {
		if a.SA != nil && a.Errno == 0 {
			return a
		}
	}
	w.t.Fatalf("%v: no SA in the answer", m.Type)
	return nil
}

// TestT098DeafClients: a hundred clients that start dumps of many SAs and do not read, while all are flushed, clients come and go and
// register: what is kept of them is bounded, and everybody else is served at once.
func TestT098DeafClients(t *testing.T) {
	n := 100000
	if testing.Short() {
		n = 5000
	}
	w := newWorld(t, keysock.Config{Clients: 120})
	c := w.client(pfkey.Linux, true)
	m := add(0, "192.0.2.1", "192.0.2.2")
	for i := range n {
		m.SA.SPI = uint32(0x1000 + i)
		m.Dst = addr(netip.AddrFrom4([4]byte{198, byte(18 + i>>16), byte(i >> 8), byte(i)}).String())
		if err := w.raw(c, w.octets(pfkey.Linux, m)); err != nil {
			t.Fatal(err)
		}
		clear(w.got)
	}
	dump := w.octets(pfkey.Linux, header(pfkey.TypeDump, 0))
	running := 0
	var deaf []keysock.ClientID
	for range 100 {
		id := w.client(pfkey.Linux, true)
		deaf = append(deaf, id)
		out, err := w.s.Handle(w.now, id, dump)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 {
			running++
		} else if out[0].Msg[2] != byte(pfkey.EBUSY) {
			t.Errorf("errno %d", out[0].Msg[2])
		}
	}
	if running == 0 || running > 32 {
		t.Errorf("%d dumps run, expected some and at most 32", running)
	}
	w.want(c, about(pfkey.TypeGet, m), pfkey.OK)
	b, more := w.s.Next(w.now, deaf[0])
	if b == nil || !more {
		t.Fatal("the first dump has no messages")
	}
	out, err := w.s.Handle(w.now, c, w.octets(pfkey.Linux, header(pfkey.TypeFlush, 0)))
	if err != nil || len(out) != 102 {
		t.Errorf("%d deliveries of a FLUSH to 101 clients, %v", len(out), err)
	}
	if b, more = w.s.Next(w.now, deaf[0]); b == nil || more || binary.LittleEndian.Uint32(b[8:]) != 0 {
		t.Error("after the flush a dump has one message more, the last")
	}
	for i, id := range deaf {
		if i%2 == 0 {
			w.s.Detach(w.now, id)
			if b, _ := w.s.Next(w.now, id); b != nil {
				t.Error("a client that left is served")
			}
		}
	}
	w.comeAndGo(t)
	for range 200 {
		if _, err = w.s.Attach(w.now, keysock.ClientInfo{Privileged: true}); err != nil {
			break
		}
	}
	if err != keysock.ErrClients {
		t.Errorf("%v, expected a bound of clients", err)
	}
}

// comeAndGo has clients come, register and go.
func (w *world) comeAndGo(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	reg := w.octets(pfkey.Linux, header(pfkey.TypeRegister, pfkey.SATypeESP))
	var here []keysock.ClientID
	for range 2000 {
		if len(here) > 0 && r.Intn(2) == 0 {
			w.s.Detach(w.now, here[0])
			here = here[1:]
			continue
		}
		id, err := w.s.Attach(w.now, keysock.ClientInfo{Dialect: pfkey.Linux, Privileged: true})
		if err == keysock.ErrClients {
			continue
		}
		if out, err := w.s.Handle(w.now, id, reg); err != nil || len(out) == 0 || out[len(out)-1].Msg[2] != 0 {
			t.Fatal("a new client is not registered")
		}
		here = append(here, id)
	}
}

// A DUMP that shows nothing costs as much as any: clients without privileges begin one a second, and are in nobody's way meanwhile.
func TestUserDumps(t *testing.T) {
	w := newWorld(t, keysock.Config{})
	key, one, two := w.client(pfkey.Linux, true), w.client(pfkey.Linux, false), w.client(pfkey.Linux, false)
	dump := header(pfkey.TypeDump, 0)
	w.want(one, dump, pfkey.ENOENT)
	w.want(one, dump, pfkey.EBUSY)
	w.want(two, dump, pfkey.EBUSY)
	w.want(key, dump, pfkey.ENOENT)
	w.now = w.now.Add(time.Second)
	w.want(two, dump, pfkey.ENOENT)
}

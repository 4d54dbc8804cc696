// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The world of the tests: a database, a server, clients of each dialect, and messages read by eye: what is sent and received is written
// out by a decoder of the tests' own, which shares nothing with package pfkey.

package keysock_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/pfkey"
)

var start = time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)

type world struct {
	t   testing.TB
	db  *sadb.DB
	s   *keysock.Server
	now time.Time
	got map[keysock.ClientID][][]byte
	// dialects of the clients
	d map[keysock.ClientID]pfkey.Dialect
}

func newWorld(t testing.TB, c keysock.Config) *world {
	t.Helper()
	db, err := sadb.New(start, sadb.Config{Rand: rand.New(rand.NewSource(1))})
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, db: db, s: keysock.New(db, c), now: start, got: map[keysock.ClientID][][]byte{}, d: map[keysock.ClientID]pfkey.Dialect{},
	}
}

func (w *world) client(d pfkey.Dialect, privileged bool) keysock.ClientID {
	w.t.Helper()
	id, err := w.s.Attach(w.now, keysock.ClientInfo{Dialect: d, Privileged: privileged})
	if err != nil {
		w.t.Fatal(err)
	}
	w.d[id] = d
	return id
}

// raw sends octets and fetches what a DUMP has.
func (w *world) raw(id keysock.ClientID, msg []byte) error {
	out, err := w.s.Handle(w.now, id, msg)
	w.deliver(out)
	for more := true; more; {
		var b []byte
		if b, more = w.s.Next(w.now, id); b != nil {
			w.got[id] = append(w.got[id], b)
		}
	}
	return err
}

func (w *world) deliver(out []keysock.Delivery) {
	for _, d := range out {
		w.got[d.To] = append(w.got[d.To], d.Msg)
	}
}

// send sends a message in the client's dialect and returns the client's answers.
func (w *world) send(id keysock.ClientID, m *pfkey.Message) []*pfkey.Message {
	w.t.Helper()
	w.take(id)
	b, err := pfkey.Codec{Dialect: w.d[id]}.Append(nil, m)
	if err != nil {
		w.t.Fatal(err)
	}
	if err = w.raw(id, b); err != nil {
		w.t.Fatal(err)
	}
	return w.take(id)
}

// one is send with one answer expected.
func (w *world) one(id keysock.ClientID, m *pfkey.Message) *pfkey.Message {
	w.t.Helper()
	got := w.send(id, m)
	if len(got) == 0 {
		w.t.Fatalf("%v: no answer", m.Type)
	}
	return got[0]
}

// take parses what a client has received.
func (w *world) take(id keysock.ClientID) (all []*pfkey.Message) {
	w.t.Helper()
	for _, b := range w.got[id] {
		m, err := pfkey.Codec{Dialect: w.d[id]}.Parse(b)
		if err != nil {
			w.t.Fatalf("received what cannot be parsed: %v\n%x", err, b)
		}
		all = append(all, m)
	}
	delete(w.got, id)
	return all
}

// advance lets time pass and delivers what the database has to say.
func (w *world) advance(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(100*time.Millisecond, end.Sub(w.now)))
		w.db.Tick(w.now)
		w.notices()
	}
}

func (w *world) notices() {
	for w.db.Pending() {
		var n [16]sadb.Notice
		k := w.db.Notices(n[:])
		for _, x := range n[:k] {
			w.deliver(w.s.Notice(w.now, x))
		}
		if k == 0 {
			return
		}
	}
}

func addr(s string) *pfkey.Address {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a := netip.MustParseAddr(s)
		return &pfkey.Address{PrefixLen: uint8(a.BitLen()), Sockaddr: pfkey.Sockaddr{Addr: a}}
	}
	return &pfkey.Address{PrefixLen: uint8(p.Bits()), Sockaddr: pfkey.Sockaddr{Addr: p.Addr()}}
}

func key(n int, fill byte) *secret.Key {
	b := make([]byte, n)
	for i := range b {
		b[i] = fill + byte(i)
	}
	k := secret.New(b)
	return &k
}

func ptr[T any](v T) *T { return &v }

// add is an ADD of AES-CBC with HMAC-SHA1 in tunnel mode.
func add(spi uint32, src, dst string) *pfkey.Message {
	return &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: pfkey.SATypeESP, Seq: 7, PID: 4242},
		SA:     &pfkey.SA{SPI: spi, Replay: 4, State: pfkey.StateMature, Auth: 3, Encrypt: 12},
		SA2:    &pfkey.SA2{Mode: pfkey.ModeTunnel, Reqid: 5},
		Src:    addr(src), Dst: addr(dst), KeyEncrypt: key(16, 1), KeyAuth: key(20, 50),
	}
}

// natted gives it the NAT-T extensions.
func natted(m *pfkey.Message, sport, dport uint16) *pfkey.Message {
	m.NATType, m.NATSrcPort, m.NATDstPort = ptr(pfkey.NATTNonESP), &sport, &dport
	return m
}

func header(t pfkey.Type, s pfkey.SAType) *pfkey.Message {
	return &pfkey.Message{Header: pfkey.Header{Type: t, SAType: s, Seq: 9, PID: 4242}}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describe writes a message out, a line for each part: little endian, in Linux's numbers.
func describe(b []byte) (lines []string) {
	le := binary.LittleEndian
	if len(b) < 16 {
		return []string{fmt.Sprintf("short %x", b)}
	}
	lines = []string{fmt.Sprintf("type=%d errno=%d satype=%d seq=%d pid=%d reserved=%d", b[1], b[2], b[3], le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint16(b[6:]))}
	for b = b[16:]; len(b) >= 8; {
		n, t := int(le.Uint16(b))*8, le.Uint16(b[2:])
		if n == 0 || n > len(b) {
			return append(lines, fmt.Sprintf("malformed %x", b))
		}
		lines = append(lines, describeExt(t, b[:n]))
		b = b[n:]
	}
	return lines
}

func describeExt(t uint16, b []byte) string {
	le := binary.LittleEndian
	switch t {
	case 1:
		return fmt.Sprintf("SA spi=%#x replay=%d state=%d auth=%d encrypt=%d flags=%#x", binary.BigEndian.Uint32(b[4:]), b[8], b[9], b[10], b[11], le.Uint32(b[12:]))
	case 2:
		return fmt.Sprintf("CURRENT alloc=%d bytes=%d used=%v", le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[24:]) != 0)
	case 3, 4:
		return fmt.Sprintf("%s alloc=%d bytes=%d add=%d use=%d", [...]string{"HARD", "SOFT"}[t-3], le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:]))
	case 5, 6, 7:
		return fmt.Sprintf("%s proto=%d prefix=%d reserved=%d %x", [...]string{"SRC", "DST", "PROXY"}[t-5], b[4], b[5], le.Uint16(b[6:]), b[8:])
	case 8, 9:
		return fmt.Sprintf("KEY%d bits=%d reserved=%d %x", t, le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:])
	case 18:
		return fmt.Sprintf("POLICY type=%d dir=%d reserved=%d id=%d prio=%d %x", le.Uint16(b[4:]), b[6], b[7], le.Uint32(b[8:]), le.Uint32(b[12:]), b[16:])
	}
	return fmt.Sprintf("EXT%d %x", t, b[4:])
}

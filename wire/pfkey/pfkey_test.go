// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

var sameKeys = cmp.Comparer(func(a, b secret.Key) bool { return a.Equal(b) })

// TestRoundTrip: a message is the same after it was appended and parsed, in each dialect and byte order, and so are its octets; every
// strict prefix is refused.
func TestRoundTrip(t *testing.T) {
	for _, c := range codecs() {
		for _, m := range samples(c.Dialect) {
			if m.Inner != nil && c.Order != nil {
				continue
			}
			b, err := c.Append(nil, m)
			if err != nil {
				t.Fatalf("%v %v: %v", c, m.Type, err)
			}
			got, err := c.Parse(b)
			if err != nil {
				t.Fatalf("%v %v: %v", c, m.Type, err)
			}
			again, err := c.Append(nil, got)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%v %v: appended again %x, first %x (%v)", c, m.Type, again, b, err)
			}
			got.Order = nil
			if m.Inner == nil {
				if diff := cmp.Diff(m, got, sameKeys, cmp.Comparer(func(a, b Sockaddr) bool { return a == b }), cmp.Comparer(sameFilter), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%v %v: %s", c, m.Type, diff)
				}
			}
			prefixes(t, c, b)
		}
	}
}

func sameFilter(a, b Filter) bool { return a == b }

func prefixes(t *testing.T, c Codec, b []byte) {
	t.Helper()
	for n := range b {
		if _, err := c.Parse(b[:n]); err == nil {
			t.Errorf("%v: %d of %d octets were accepted", c, n, len(b))
		}
		// With its length made true, what is cut is an extension or all that follows one.
		if n >= HeaderLen && n%8 == 0 {
			cut := slices.Clone(b[:n])
			c.order().PutUint16(cut[4:], uint16(n/8))
			if m, err := c.Parse(cut); err == nil {
				if again, err := c.Append(nil, m); err != nil || !bytes.Equal(again, cut) {
					t.Errorf("%v: cut at %d: %x became %x (%v)", c, n, cut, again, err)
				}
			}
		}
	}
}

// TestDialects: the numbers and structures that differ, octet by octet.
func TestDialects(t *testing.T) {
	m := &Message{Header: Header{Type: TypeSPDAdd}, Src: addr("::1", 128, 0), Policy: &Policy{Type: PolicyIPsec, Dir: DirOut, Requests: []Request{{Proto: 50, Mode: ModeTransport, Level: LevelUnique, Reqid: 0x4001}}}}
	for _, want := range []struct {
		c    Codec
		text string
	}{
		{Codec{Dialect: FreeBSD}, "020e0000" + "0a00" + "0000" + "0000000000000000" + "05000500" + "00800000" + "1c1c0000" + "00000000" + "00000000000000000000000000000001" + "00000000" + "00000000" +
			"03001200" + "02000200" + "00000000" + "00000000" + "08003200" + "01030140"},
		{Codec{Dialect: NetBSD}, "020e0000" + "0a00" + "0000" + "0000000000000000" + "05000500" + "00800000" + "1c180000" + "00000000" + "00000000000000000000000000000001" + "00000000" + "00000000" +
			"03001200" + "02000200" + "00000000" + "00000000" + "08003200" + "01030140"},
		{Codec{Dialect: Linux}, "020e0000" + "0b00" + "0000" + "0000000000000000" + "05000500" + "00800000" + "0a000000" + "00000000" + "00000000000000000000000000000001" + "00000000" + "00000000" +
			"04001200" + "02000200" + "00000000" + "00000000" + "10003200" + "01030000" + "01400000" + "00000000"},
		{Codec{Linux, binary.BigEndian}, "020e0000" + "000b" + "0000" + "0000000000000000" + "00050005" + "00800000" + "000a0000" + "00000000" + "00000000000000000000000000000001" + "00000000" + "00000000" +
			"00040012" + "00020200" + "00000000" + "00000000" + "00100032" + "01030000" + "00004001" + "00000000"},
	} {
		b, err := want.c.Append(nil, m)
		if err != nil || hex.EncodeToString(b) != want.text {
			t.Errorf("%v: %x, expected %s (%v)", want.c, b, want.text, err)
		}
	}
}

// TestExtensionNumbers: NATT.md, Section 1.5.
func TestExtensionNumbers(t *testing.T) {
	for _, e := range []struct {
		t          ExtType
		fb, nb, lx uint16
	}{
		{ExtSA, 1, 1, 1}, {ExtNATOAi, 23, 23, 23}, {ExtNATOAr, 24, 24, 0}, {ExtNATFrag, 25, 25, 0}, {ExtSAReplay, 26, 0, 0}, {ExtNewAddressSrc, 27, 0, 0},
		{ExtNewAddressDst, 28, 0, 0}, {ExtIfHWOffload, 31, 0, 0}, {ExtSecCtx, 0, 0, 24}, {ExtKMAddress, 0, 0, 25}, {ExtFilter, 0, 0, 26}, {ExtUDPEncap, 0, 0, 0},
	} {
		for d, want := range map[Dialect]uint16{FreeBSD: e.fb, NetBSD: e.nb, Linux: e.lx} {
			if got := d.Number(e.t); got != want {
				t.Errorf("%v in %v: %d, expected %d", e.t, d, got, want)
			}
			if back, ok := d.ext(want); want != 0 && (!ok || back != e.t) {
				t.Errorf("%d in %v: %v, expected %v", want, d, back, e.t)
			}
		}
	}
}

// TestErrnoOnTheWire: the same failure has the number of the client's system.
func TestErrnoOnTheWire(t *testing.T) {
	for e, want := range map[Errno][2]byte{EINVAL: {22, 22}, ENOBUFS: {105, 55}, ENOSYS: {38, 78}, EMSGSIZE: {90, 40}, EEXIST: {17, 17}} {
		for i, d := range []Dialect{Linux, FreeBSD} {
			b, err := Codec{Dialect: d}.Append(nil, &Message{Header: Header{Type: TypeGet, Errno: e}})
			if err != nil || b[2] != want[i] {
				t.Errorf("%v in %v: %d, expected %d (%v)", e, d, b[2], want[i], err)
			}
		}
	}
	for _, d := range []Dialect{FreeBSD, NetBSD, Linux} {
		for n := range 256 {
			if got := d.number(d.errno(uint8(n))); int(got) != n {
				t.Errorf("%v: %d came back as %d", d, n, got)
			}
		}
	}
}

// lines reads hex lines of a file that begin with one of the marks.
func lines(t testing.TB, name string, marks ...string) (all [][]byte) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		for _, mark := range marks {
			text, ok := strings.CutPrefix(s.Text(), mark)
			if b, err := hex.DecodeString(text); ok && err == nil && len(b) > 0 {
				if len(b) >= HeaderLen {
					b[6], b[7] = 0, 0 // reserved; the kernel shows how often an SA or a policy is referred to
				}
				all = append(all, b)
			}
		}
	}
	return all
}

// TestRecorded: whatever Linux 6.1 answered, and OpenIKED and a test sent, comes out as it went in; but for what is wrong by intention.
func TestRecorded(t *testing.T) {
	c := Codec{Dialect: Linux}
	answers := lines(t, "linux-kernel.hex", "< ", "b ")
	sent := append(lines(t, "iked.hex", ""), lines(t, "linux-kernel.hex", "> ")...)
	if len(answers) < 50 || len(sent) < 40 {
		t.Fatalf("%d answers and %d requests were read", len(answers), len(sent))
	}
	refused := 0
	for i, b := range append(answers, sent...) {
		m, err := c.Parse(b)
		if err != nil {
			refused++
			if i < len(answers) {
				t.Errorf("%x: %v", b, err)
			}
			continue
		}
		if again, err := c.Append(nil, m); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x became\n%x (%v)", b, again, err)
		}
		if m.Text(Linux) == "" {
			t.Error("no text")
		}
		prefixes(t, c, b)
	}
	// Version 3, two wrong lengths, an unknown type, and a policy without direction.
	if refused != 5 {
		t.Errorf("%d messages were refused, expected 5", refused)
	}
}

// TestKernelOrder: without an order of its own a message is written as the kernel writes it.
func TestKernelOrder(t *testing.T) {
	c := Codec{Dialect: Linux}
	for _, b := range lines(t, "linux-kernel.hex", "< ") {
		m, err := c.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		m.Order = nil
		if again, err := c.Append(nil, m); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v: the kernel wrote\n%x, not\n%x (%v)", m.Type, b, again, err)
		}
	}
}

func TestOpenBSDIsNamed(t *testing.T) {
	b, err := hex.DecodeString("020c000208000000" + "0100000002000000" + "02000100000010000001000000000000" + "01001f0011940000" +
		"0300150000000000" + "10020000010101010000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	c := Codec{Dialect: OpenBSD}
	m, err := c.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	text := m.Text(OpenBSD)
	for _, want := range []string{"SADB_X_ADDFLOW satype=ESP", "spi=4096", "UDPENCAP port=4500", "SRC_FLOW"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if _, err := c.Append(nil, m); ErrnoOf(err) != EOPNOTSUPP {
		t.Errorf("append: %v", err)
	}
}

// TestAlgorithms: numbers are translated in both directions, and one number is not the same everywhere.
func TestAlgorithms(t *testing.T) {
	if e, _, ok := FreeBSD.Encr(15, 288); !ok || e != suite.EncrChaCha20Poly1305 {
		t.Errorf("15 in FreeBSD: %v %v", e, ok)
	}
	if e, bits, ok := Linux.Encr(15, 152); !ok || e != suite.EncrAESCCM12 || bits != 128 {
		t.Errorf("15 in Linux: %v %d %v", e, bits, ok)
	}
	if e, bits, ok := Linux.Encr(20, 160); !ok || e != suite.EncrAESGCM16 || bits != 128 {
		t.Errorf("AES-GCM: %v %d %v", e, bits, ok)
	}
	if e, bits, ok := NetBSD.Encr(12, 256); !ok || e != suite.EncrAESCBC || bits != 256 {
		t.Errorf("AES-CBC: %v %d %v", e, bits, ok)
	}
	for _, bits := range []int{0, 8, 120, 130, 512} {
		if _, _, ok := Linux.Encr(12, bits); ok {
			t.Errorf("AES-CBC with %d bits", bits)
		}
	}
	if i, ok := Linux.Integ(5, 256); !ok || i != suite.IntegHMACSHA2256128 {
		t.Errorf("SHA2-256: %v %v", i, ok)
	}
	for _, d := range []Dialect{FreeBSD, NetBSD, Linux} {
		for i := range authAlgs {
			if k := &authAlgs[i]; k.integ != suite.IntegNone && k.on.has(d) {
				integ, ok := d.Integ(k.n, k.bits)
				back, ok2 := d.Auth(integ)
				if !ok || !ok2 || back != k.n || integ.KeyLen()*8 != k.bits {
					t.Errorf("%v in %v: %v %v %v", k.name, d, integ, back, integ.KeyLen())
				}
			}
		}
		for i := range encryptAlgs {
			k := &encryptAlgs[i]
			if back, ok := d.Encrypt(k.encr); k.encr != 0 && k.on.has(d) && (!ok || back != k.n) {
				t.Errorf("%v in %v: %v", k.name, d, back)
			}
			if n, ok := d.EncryptNamed(k.name); k.on.has(d) && (!ok || n != k.n || n.Name(d) != k.name) {
				t.Errorf("%q in %v: %v %q", k.name, d, n, n.Name(d))
			}
		}
	}
}

func TestWindow(t *testing.T) {
	for _, w := range []struct {
		d             Dialect
		packets, want int
	}{{Linux, 32, 32}, {Linux, 4096, 255}, {FreeBSD, 32, 32}, {FreeBSD, 4096, 4096}, {NetBSD, 4096, 2040}, {NetBSD, 64, 64}, {FreeBSD, 0, 0}} {
		m := &Message{SA: &SA{}}
		w.d.SetWindow(m, w.packets)
		if got := w.d.Window(m); got != w.want {
			t.Errorf("%v: %d became %d, expected %d", w.d, w.packets, got, w.want)
		}
	}
}

// TestNoKeyIsPrinted: whatever prints a message prints no key.
func TestNoKeyIsPrinted(t *testing.T) {
	m := samples(FreeBSD)[0]
	if text := m.Text(FreeBSD); !strings.Contains(text, "bits=160 [key]") || strings.Contains(text, "0d0e0f10") {
		t.Error(text)
	}
}

// TestNothingLeftBehind: where a message outgrows its buffer, no octet of its keys stays in the smaller one.
func TestNothingLeftBehind(t *testing.T) {
	for _, c := range codecs() {
		m := samples(c.Dialect)[0]
		m.Order = []ExtType{ExtKeyAuth, ExtKeyEncrypt}
		for room := range 400 {
			small := make([]byte, 8, 8+room)
			b, err := c.Append(small, m)
			if err != nil || len(b) <= cap(small) {
				t.Fatalf("%v: %d octets, %v", c, len(b), err)
			}
			if left := small[:cap(small)]; !bytes.Equal(left, make([]byte, len(left))) {
				t.Fatalf("%v: %d octets of room: left behind %x", c, room, left)
			}
		}
	}
}

// TestNothingLeftOfAFailure: of a message that cannot be appended no octet stays in the buffer.
func TestNothingLeftOfAFailure(t *testing.T) {
	for _, c := range codecs() {
		m := samples(c.Dialect)[0]
		m.Order = []ExtType{ExtKeyAuth, ExtKeyEncrypt}
		m.Sensitivity = &Opaque{make([]byte, 5)}
		dst := make([]byte, 8, 4096)
		if b, err := c.Append(dst, m); err == nil || b != nil {
			t.Fatalf("%v: %x %v", c, b, err)
		}
		if left := dst[:cap(dst)]; !bytes.Equal(left, make([]byte, len(left))) {
			t.Errorf("%v: left behind %x", c, left)
		}
	}
}

// TestParseCopies: a message stays what it is when its octets are cleared.
func TestParseCopies(t *testing.T) {
	for _, c := range codecs() {
		for _, b := range octets(c) {
			cleared := slices.Clone(b)
			m, err := c.Parse(cleared)
			clear(cleared)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := c.Append(nil, m); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%v %v: %x became %x (%v)", c, m.Type, b, again, err)
			}
		}
	}
}

// TestPrivate: what an extension of ours says, and that others' say nothing.
func TestPrivate(t *testing.T) {
	c := Codec{Dialect: FreeBSD}
	for _, idle := range []time.Duration{0, 1500 * time.Millisecond, 40 * 24 * time.Hour} {
		if got, ok := c.IdleSince(c.PrivateSince(idle)); !ok || got != idle {
			t.Errorf("%v, %v, expected %v", got, ok, idle)
		}
	}
	if got, ok := c.IdleSince(c.PrivateSince(-time.Second)); !ok || got != 0 {
		t.Errorf("of a clock that was put back: %v, %v", got, ok)
	}
	foreign := c.PrivateSince(time.Second)
	foreign.Data[4] ^= 1
	for _, o := range []*Opaque{nil, {}, foreign, c.Private(PrivateMoves)} {
		if got, ok := c.IdleSince(o); ok {
			t.Errorf("%v says %v", o, got)
		}
	}
}

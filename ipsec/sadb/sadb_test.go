// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Reservations, pairs, lifetimes and notices: what the seam relies on.

package sadb

import (
	"bytes"
	"crypto/rand"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/wire/natt"
)

var (
	start = time.Unix(1_800_000_000, 0)
	local = netip.MustParseAddrPort("192.0.2.1:4500")
	peer  = netip.MustParseAddrPort("198.51.100.2:31337")
	thief = netip.MustParseAddrPort("203.0.113.66:666")
)

func newDB(t testing.TB, bits int) *DB {
	t.Helper()
	db, err := New(start, Config{Rand: rand.Reader, SlotBits: bits})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func sel(prefix string) Selector {
	p := netip.MustParsePrefix(prefix)
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	to, _ := netip.AddrFromSlice(b)
	return Selector{From: p.Addr(), To: to, PortTo: 65535}
}

func child(spiIn, reqid uint32) Child {
	key := func() secret.Key { return secret.New([]byte("0123456789abcdefsalt")) }
	return Child{
		Reqid: reqid, SPIIn: spiIn, SPIOut: 0xabcdef01, Endpoint: Endpoint{Local: local, Remote: peer, Encap: natt.NonESP},
		Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, KeyIn: key(), KeyOut: key(), Window: 64,
		TSLocal: []Selector{sel("10.1.0.0/16")}, TSRemote: []Selector{sel("10.2.0.0/16")},
	}
}

// install reserves and installs; change may be nil.
func install(t testing.TB, db *DB, now time.Time, reqid uint32, change func(*Child)) (uint32, uint32) {
	t.Helper()
	spi, reqid, err := db.Reserve(now, reqid)
	if err != nil {
		t.Fatal(err)
	}
	c := child(spi, reqid)
	if change != nil {
		change(&c)
	}
	if err := db.Install(now, c); err != nil {
		t.Fatal(err)
	}
	return spi, reqid
}

func notices(db *DB) []Notice {
	var list [16]Notice
	return append([]Notice(nil), list[:db.Notices(list[:])]...)
}

// arrive has a packet that the peer sealed with the inbound keys come from somewhere.
func arrive(t testing.TB, db *DB, now time.Time, spi uint32, seq int, from netip.AddrPort) error {
	t.Helper()
	k := secret.New([]byte("0123456789abcdefsalt"))
	s, err := esp.NewSealer(spi, suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, k, secret.Key{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n := 0
	for range seq {
		if n, err = s.Seal(buf, 20, esp.NextHeaderIPv4); err != nil {
			t.Fatal(err)
		}
	}
	p := db.Inbound(spi)
	p.BeginOpen(db.Clock(now))
	defer p.EndOpen()
	_, err = p.Open(buf[:n], &Arrival{From: from, To: local})
	return err
}

func seal(db *DB, now time.Time, spi uint32, n int) error {
	p := db.Inbound(spi)
	p.BeginSeal(db.Clock(now))
	defer p.EndSeal()
	_, err := p.Seal(make([]byte, 2048), n, esp.NextHeaderIPv4)
	return err
}

// TestT081SPIs: SPIs are random, never 0 to 255, never used twice at once or within 120 s, and bounded in number.
// RFC 4303, Section 2.1; RFC 3948, Section 2.1: whatever is drawn, an SPI is never 0, nor one of those that are reserved.
func TestT081ReservedSPIs(t *testing.T) {
	db := newDB(t, 8)
	db.rand = bytes.NewReader([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 1, 0, 9, 9, 9, 9})
	spi, _, err := db.Reserve(start, 0)
	if err != nil || spi != 256 {
		t.Errorf("SPI %d (%v), want the first that is not reserved", spi, err)
	}
}

func TestT081SPIs(t *testing.T) {
	db := newDB(t, 8)
	seen := map[uint32]bool{}
	var spis []uint32
	for {
		spi, _, err := db.Reserve(start, 0)
		if err != nil {
			break
		}
		if spi < 256 || seen[spi] {
			t.Fatalf("SPI %d", spi)
		}
		seen[spi] = true
		spis = append(spis, spi)
	}
	if len(spis) != 256*3/4 {
		t.Errorf("%d reservations", len(spis))
	}
	for _, spi := range spis {
		db.Remove(start, spi, false)
	}
	if len(db.retired) != len(spis) {
		t.Errorf("%d SPIs in quarantine", len(db.retired))
	}
	// A source of randomness that draws the same SPI again and again: refused until 120 s have passed.
	db = newDB(t, 8)
	db.rand = stuck{}
	spi, _, err := db.Reserve(start, 0)
	if err != nil {
		t.Fatal(err)
	}
	db.Remove(start, spi, false)
	if _, _, err := db.Reserve(start.Add(119*time.Second), 0); err != ErrNoSPI {
		t.Errorf("after 119 s: %v", err)
	}
	if again, _, err := db.Reserve(start.Add(121*time.Second), 0); err != nil || again != spi {
		t.Errorf("after 121 s: %v", err)
	}
	// Unknown SPIs, those of reservations and those of outbound SAs meet nothing.
	db = newDB(t, 8)
	spi, _ = install(t, db, start, 0, nil)
	larval, _, _ := db.Reserve(start, 0)
	for _, bad := range []uint32{0, 1, 255, spi + 1<<20, 0xabcdef01, larval} {
		if db.Inbound(bad) != nil {
			t.Errorf("SPI %#x found something", bad)
		}
	}
	if p := db.Inbound(spi); p == nil || p.SPIIn() != spi {
		t.Error("the SA is not found")
	}
}

type stuck struct{}

func (stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

func TestReservationExpires(t *testing.T) {
	db := newDB(t, 0)
	spi, reqid, err := db.Reserve(start, 0)
	if err != nil || reqid == 0 {
		t.Fatal(err)
	}
	if d := db.Deadline(); !d.Equal(start.Add(30 * time.Second)) {
		t.Errorf("deadline %v", d)
	}
	db.Tick(start.Add(29 * time.Second))
	if db.Pending() {
		t.Error("too early")
	}
	db.Tick(start.Add(30 * time.Second))
	got := notices(db)
	if len(got) != 1 || got[0].Kind != Larval || got[0].SPIIn != spi || got[0].Reqid != reqid {
		t.Errorf("notices %+v", got)
	}
	if err := db.Install(start.Add(31*time.Second), child(spi, reqid)); err != ErrReservation {
		t.Errorf("installed: %v", err)
	}
	if len(db.bundles) != 0 || db.Pending() || !db.Deadline().IsZero() {
		t.Error("something is left")
	}
}

// TestInstallRefuses: after a failure nothing is left, and the reservation is released.
func TestInstallRefuses(t *testing.T) {
	for name, change := range map[string]func(*Child){
		"reqid":             func(c *Child) { c.Reqid++ },
		"no local selector": func(c *Child) { c.TSLocal = nil },
		"reversed":          func(c *Child) { c.TSRemote[0].From, c.TSRemote[0].To = c.TSRemote[0].To, c.TSRemote[0].From },
		"mixed families":    func(c *Child) { c.TSRemote = []Selector{sel("2001:db8::/32")} },
		"IPv4 in IPv6": func(c *Child) {
			c.TSRemote = []Selector{{From: netip.MustParseAddr("::ffff:10.0.0.0"), To: netip.MustParseAddr("::ffff:10.255.255.255"), PortTo: 65535}}
		},
		"ports":        func(c *Child) { c.TSLocal[0].PortFrom, c.TSLocal[0].PortTo = 9, 8 },
		"protocols":    func(c *Child) { c.TSLocal[0].Proto, c.TSRemote[0].Proto = 6, 17 },
		"key":          func(c *Child) { c.KeyOut = secret.New([]byte("short")) },
		"window":       func(c *Child) { c.Window = 16 },
		"outbound SPI": func(c *Child) { c.SPIOut = 255 },
		"endpoint":     func(c *Child) { c.Endpoint.Remote = netip.AddrPort{} },
		"families":     func(c *Child) { c.Endpoint.Local = netip.MustParseAddrPort("[2001:db8::1]:4500") },
		"port":         func(c *Child) { c.Endpoint.Remote = netip.AddrPortFrom(peer.Addr(), 0) },
	} {
		db := newDB(t, 0)
		spi, reqid, _ := db.Reserve(start, 0)
		c := child(spi, reqid)
		change(&c)
		if err := db.Install(start, c); err == nil {
			t.Errorf("%s: installed", name)
		}
		if db.live != 0 || len(db.larval) != 0 || len(db.out) != 0 || len(db.bundles) != 0 || len(db.policies) != 0 || len(db.paths) != 0 || len(db.timers) != 0 {
			t.Errorf("%s: something is left", name)
		}
	}
}

// TestRekey: RFC 7296, Section 2.8: the standby pair sends after its first packet; both old halves go on receiving until removed.
func TestRekey(t *testing.T) {
	db := newDB(t, 0)
	old, reqid := install(t, db, start, 0, nil)
	young, _ := install(t, db, start, reqid, func(c *Child) { c.Standby = true })
	f := flow("10.1.0.1", "10.2.0.1", 17, 1, 2)
	sending := func() uint32 {
		m, _ := db.Match(&f)
		if p := m.Sending(); p != nil {
			return p.SPIIn()
		}
		return 0
	}
	if sending() != old {
		t.Error("a standby SA sends")
	}
	if len(db.policies) != 1 {
		t.Errorf("%d policies for one reqid", len(db.policies))
	}
	if err := arrive(t, db, start, old, 1, peer); err != nil {
		t.Error(err)
	}
	if err := arrive(t, db, start, young, 1, peer); err != nil {
		t.Error(err)
	}
	if sending() != young {
		t.Error("the new SA does not send after its first packet")
	}
	got := notices(db)
	if len(got) != 2 || got[0].Kind != FirstUse || got[1].SPIIn != young {
		t.Errorf("notices %+v", got)
	}
	if err := arrive(t, db, start, old, 2, peer); err != nil {
		t.Error("the old SA does not receive:", err)
	}
	db.Remove(start, old, true)
	if err := seal(db, start, old, 10); err != ErrEnded {
		t.Error("sealed on a removed outbound SA:", err)
	}
	if err := arrive(t, db, start, old, 3, peer); err != nil {
		t.Error("onlyOut stopped the inbound SA:", err)
	}
	u := db.Remove(start, old, false)
	if u.PacketsIn != 3 || u.BytesIn != 60 {
		t.Errorf("final usage %+v", u)
	}
	if db.Inbound(old) != nil || sending() != young {
		t.Error("not removed, or the successor does not send")
	}
	if db.Remove(start, old, false) != (Usage{}) {
		t.Error("Remove is not idempotent")
	}
	db.Remove(start, young, false)
	if sending() != 0 || len(db.policies) != 0 || len(db.bundles) != 0 || len(db.out) != 0 || len(db.paths) != 0 {
		t.Error("something is left")
	}
}

func TestPromoteAndFallBack(t *testing.T) {
	db := newDB(t, 0)
	old, reqid := install(t, db, start, 0, nil)
	young, _ := install(t, db, start, reqid, func(c *Child) { c.Standby = true })
	b := db.bundles[reqid]
	if err := db.Promote(start, young); err != nil || b.sending.Load().SPIIn() != young {
		t.Error("not promoted:", err)
	}
	if err := db.Promote(start, 12345); err != ErrUnknown {
		t.Error(err)
	}
	third, _ := install(t, db, start, reqid, func(c *Child) { c.Standby = true })
	db.Remove(start, young, false)
	if got := b.sending.Load().SPIIn(); got != third {
		t.Errorf("%#x sends after its predecessor was removed, expected the newest", got)
	}
	db.Remove(start, third, false)
	if b.sending.Load().SPIIn() != old {
		t.Error("the one that is left does not send")
	}
}

// TestT090Lifetimes: soft once, hard at the packet that reaches it, in either direction; nothing passes afterwards.
func TestT090Lifetimes(t *testing.T) {
	expire := func(db *DB) (soft, hard int) {
		for _, n := range notices(db) {
			if n.Kind == Expire && n.Hard {
				hard++
			} else if n.Kind == Expire {
				soft++
			}
		}
		return soft, hard
	}
	t.Run("packets out", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, func(c *Child) { c.Limits = Limits{SoftPackets: 3, HardPackets: 5} })
		for i := range 5 {
			if err := seal(db, start, spi, 10); err != nil {
				t.Fatal(i, err)
			}
			if soft, hard := expire(db); soft != map[bool]int{i == 2: 1}[true] || hard != 0 {
				t.Errorf("packet %d: %d soft, %d hard", i, soft, hard)
			}
		}
		for range 3 {
			if err := seal(db, start, spi, 10); err != ErrEnded {
				t.Error("beyond the hard limit:", err)
			}
		}
		if err := arrive(t, db, start, spi, 1, peer); err != ErrEnded {
			t.Error("the dead pair receives:", err)
		}
		if _, hard := expire(db); hard != 1 {
			t.Error("told", hard, "times")
		}
	})
	t.Run("octets out", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, func(c *Child) { c.Limits = Limits{SoftBytes: 150, HardBytes: 250} })
		for i, want := range []error{nil, nil, ErrEnded} {
			if err := seal(db, start, spi, 100); err != want {
				t.Errorf("packet %d: %v", i, err)
			}
		}
		if soft, hard := expire(db); soft != 1 || hard != 1 {
			t.Errorf("%d soft, %d hard", soft, hard)
		}
	})
	t.Run("packets in", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, func(c *Child) { c.Limits = Limits{SoftPackets: 1, HardPackets: 2} })
		for i, want := range []error{nil, nil, ErrEnded} {
			if err := arrive(t, db, start, spi, i+1, peer); err != want {
				t.Errorf("packet %d: %v", i, err)
			}
		}
		if soft, hard := expire(db); soft != 1 || hard != 1 {
			t.Errorf("%d soft, %d hard", soft, hard)
		}
	})
	t.Run("time", func(t *testing.T) {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, func(c *Child) { c.Limits = Limits{SoftTime: time.Minute, HardTime: time.Hour} })
		db.Tick(db.Deadline())
		if soft, hard := expire(db); soft != 1 || hard != 0 {
			t.Errorf("%d soft, %d hard after a minute", soft, hard)
		}
		if d := db.Deadline(); d.Sub(start) != time.Hour {
			t.Errorf("deadline %v", d)
		}
		// Also if nobody ticks.
		if err := seal(db, start.Add(time.Hour+time.Millisecond), spi, 10); err != ErrEnded {
			t.Error("after its hard lifetime:", err)
		}
		if _, hard := expire(db); hard != 1 {
			t.Error("not told")
		}
		var dead bool
		db.List(func(i Info) bool { dead = i.Dead; return true })
		if !dead {
			t.Error("not listed as dead")
		}
	})
	t.Run("a successor takes over", func(t *testing.T) {
		db := newDB(t, 0)
		spi, reqid := install(t, db, start, 0, func(c *Child) { c.Limits = Limits{HardPackets: 1} })
		next, _ := install(t, db, start, reqid, func(c *Child) { c.Standby = true })
		_, _ = seal(db, start, spi, 1), seal(db, start, spi, 1)
		if db.bundles[reqid].sending.Load().SPIIn() != next {
			t.Error("the dead pair still sends")
		}
	})
}

// TestT084Rekeyed: without ESN, and with AES-GCM, the rekey is asked for at half of the numbers.
func TestT084Rekeyed(t *testing.T) {
	for _, c := range []struct {
		s    suite.ESP
		want uint64
	}{
		{suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, 1 << 31},
		{suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128, ESN: true}, 1 << 31},
		{suite.ESP{Encr: suite.EncrChaCha20Poly1305}, 1 << 31},
		{suite.ESP{Encr: suite.EncrChaCha20Poly1305, ESN: true}, math.MaxUint64},
	} {
		db := newDB(t, 0)
		spi, _ := install(t, db, start, 0, func(ch *Child) {
			ch.Suite = c.s
			e, _ := c.s.KeyLens()
			ch.KeyIn, ch.KeyOut = secret.New(make([]byte, e)), secret.New(make([]byte, e))
		})
		p := db.Inbound(spi)
		if p.core.seqSoft != c.want {
			t.Errorf("%v: soft at %d", c.s, p.core.seqSoft)
		}
		if gcm := c.s.Encr == suite.EncrAESGCM16; gcm && p.seqHard != 1<<32 {
			t.Errorf("%v: hard at %d", c.s, p.seqHard)
		}
		if p.core.seqSoft > 1<<32/10*9 && !c.s.ESN {
			t.Error("soft limit above nine tenths")
		}
		p.core.seqSoft = 2 // the same path with a number that a test can reach
		_, _ = seal(db, start, spi, 1), seal(db, start, spi, 1)
		if n := notices(db); len(n) != 1 || n[0].Kind != Expire || n[0].Hard {
			t.Errorf("%v: notices %+v", c.s, n)
		}
	}
}

// TestCounterDiesWithSA: RFC 4303, Section 3.3.3: keys and counter are installed together, once; nothing brings a pair back.
func TestCounterDiesWithSA(t *testing.T) {
	db := newDB(t, 0)
	spi, reqid := install(t, db, start, 0, nil)
	if err := seal(db, start, spi, 10); err != nil {
		t.Fatal(err)
	}
	if err := db.Install(start, child(spi, reqid)); err != ErrReservation {
		t.Errorf("installed over a living pair: %v", err)
	}
	if seq := db.Inbound(spi).sealer.Seq(); seq != 1 {
		t.Errorf("the counter is %d after one packet", seq)
	}
	db.Remove(start, spi, false)
	if err := db.Install(start, child(spi, reqid)); err != ErrReservation {
		t.Errorf("a removed pair was brought back: %v", err)
	}
}

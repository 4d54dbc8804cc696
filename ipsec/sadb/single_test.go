// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Single SAs: names, states, changes in place, and who opens what.

package sadb

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/wire/natt"
)

const gcmKey = "0123456789abcdefsalt"

var gcm128 = suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}

// outSA sends from here to the peer, inSA the other way round.
func outSA(spi uint32) SA {
	return SA{
		Proto: ProtoESP, SPI: spi, Src: local.Addr(), Dst: peer.Addr(), Encap: natt.NonESP, SrcPort: local.Port(), DstPort: peer.Port(),
		Mode: Tunnel, Suite: gcm128, Key: secret.New([]byte(gcmKey)), Owner: 1,
	}
}

func inSA(spi uint32) SA {
	s := outSA(spi)
	s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
	return s
}

func addSA(t testing.TB, db *DB, s SA) *Single {
	t.Helper()
	if err := db.AddSA(start, s); err != nil {
		t.Fatalf("SA %#x: %v", s.SPI, err)
	}
	x, ok := db.LookupSA(s.ID())
	if !ok {
		t.Fatalf("SA %#x is not found", s.SPI)
	}
	return x
}

// packet is the seq-th packet that a peer seals with spi.
func packet(t testing.TB, spi uint32, seq int) []byte {
	t.Helper()
	s, err := esp.NewSealer(spi, gcm128, secret.New([]byte(gcmKey)), secret.Key{}, stuck{})
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
	return buf[:n]
}

// opens has a packet arrive at an address, from somewhere.
func opens(db *DB, now time.Time, pkt []byte, from, to netip.AddrPort) error {
	r := db.Receiver(ProtoESP, uint32(pkt[0])<<24|uint32(pkt[1])<<16|uint32(pkt[2])<<8|uint32(pkt[3]), to.Addr())
	if r == nil {
		return ErrUnknown
	}
	r.BeginOpen(db.Clock(now))
	defer r.EndOpen()
	_, err := r.Open(bytes.Clone(pkt), &Arrival{From: from, To: to})
	return err
}

// seals seals n packets of 20 octets.
func seals(s *Single, now time.Time, n int) ([]byte, error) {
	x := s.asSender()
	if x == nil {
		return nil, ErrEnded
	}
	buf := make([]byte, 200)
	x.BeginSeal(s.db.Clock(now))
	defer x.EndSeal()
	size := 0
	for range n {
		var err error
		if size, err = x.Seal(buf, 20, esp.NextHeaderIPv4); err != nil {
			return nil, err
		}
	}
	return buf[:size], nil
}

func TestSingleAddAndFind(t *testing.T) {
	db := newDB(t, 0)
	s := addSA(t, db, inSA(0x1000))
	if err := db.AddSA(start, inSA(0x1000)); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if err := db.AddSA(start, outSA(0x1000)); !errors.Is(err, ErrExists) {
		t.Errorf("the same SPI to another destination, unique SPIs: %v", err)
	}
	if err := opens(db, start, packet(t, 0x1000, 1), peer, local); err != nil {
		t.Error(err)
	}
	if got := s.Info(); got.State != StateMature || got.Packets != 1 || got.Bytes != 20 || got.Last != 1 || !got.Key.Equal(secret.New([]byte(gcmKey))) ||
		!got.Added.Equal(start.Add(0)) || got.FirstUsed.IsZero() || got.Src != peer.Addr() {
		t.Errorf("%+v", got)
	}
	if _, ok := db.LookupSA(SAID{ProtoESP, 0x1000, netip.Addr{}}); !ok {
		t.Error("not found without a destination")
	}
	for _, id := range []SAID{{ProtoAH, 0x1000, local.Addr()}, {ProtoESP, 0x1001, local.Addr()}, {ProtoESP, 0x1000, peer.Addr()}} {
		if _, ok := db.LookupSA(id); ok {
			t.Errorf("%v found", id)
		}
		if _, err := db.DeleteSA(start, id); err != ErrUnknown {
			t.Errorf("%v deleted: %v", id, err)
		}
	}
	gone, err := db.DeleteSA(start, s.id())
	if err != nil || gone.Packets != 1 || !gone.Key.Equal(secret.New([]byte(gcmKey))) {
		t.Errorf("deleted: %+v, %v", gone, err)
	}
	if !bytes.Equal(s.sa.Load().key.Bytes(), make([]byte, len(gcmKey))) {
		t.Error("the key was not wiped")
	}
	if err := opens(db, start, packet(t, 0x1000, 2), peer, local); err != ErrUnknown {
		t.Errorf("opens after its end: %v", err)
	}
	empty(t, db)
}

// empty expects that nothing is left of anything.
func empty(t *testing.T, db *DB) {
	t.Helper()
	n := 0
	db.sad.each(func(*Single) { n++ })
	for i := range db.sets {
		n += len(db.sets[i].sets)
	}
	if n != 0 || db.singles.Load() != 0 || len(db.remotes) != 0 || len(db.paths) != 0 || len(db.timers) != 0 || len(db.traps) != 0 || db.queue.members != 0 {
		t.Errorf("left: %d in maps, %d SAs, %d remotes, %d paths, %d timers, %d traps, %d notifiers", n, db.singles.Load(), len(db.remotes), len(db.paths),
			len(db.timers), len(db.traps), db.queue.members)
	}
}

func TestSPIPerDestination(t *testing.T) {
	db, err := New(start, Config{Rand: stuck{}, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	a, b := addSA(t, db, inSA(0x1000)), addSA(t, db, outSA(0x1000))
	if a == b {
		t.Fatal("one SA for two destinations")
	}
	if err := db.AddSA(start, outSA(0x1000)); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if x, err := db.DeleteSA(start, b.id()); err != nil || x.Dst != peer.Addr() {
		t.Errorf("deleted %v: %v", x.Dst, err)
	}
	if x, ok := db.LookupSA(SAID{ProtoESP, 0x1000, netip.Addr{}}); !ok || x != a {
		t.Error("the other one is gone")
	}
}

// TestReflection: what this host sealed and somebody sends back finds nothing, whatever way it comes; and an SA that seals does
// not open.
func TestReflection(t *testing.T) {
	for _, perDst := range []bool{false, true} {
		db, err := New(start, Config{Rand: stuck{}, SPIPerDestination: perDst})
		if err != nil {
			t.Fatal(err)
		}
		out := addSA(t, db, outSA(0x2000))
		pkt, err := seals(out, start, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := opens(db, start, pkt, peer, local); err != ErrUnknown {
			t.Errorf("our own packet opened: %v", err)
		}
		if err := opens(db, start, pkt, local, peer); err != ErrUnknown { // as if the peer's address were ours
			t.Errorf("an SA that seals opened: %v", err)
		}
		in := addSA(t, db, inSA(0x2001))
		if err := opens(db, start, packet(t, 0x2001, 1), peer, local); err != nil {
			t.Error(err)
		}
		if in.asSender() != nil {
			t.Error("an SA that opens seals")
		}
	}
}

func TestSingleRefuses(t *testing.T) {
	db := newDB(t, 0)
	for name, change := range map[string]func(*SA){
		"protocol": func(s *SA) { s.Proto = 17 },
		"SPI":      func(s *SA) { s.SPI = 255 },
		"CPI": func(s *SA) {
			s.Proto, s.SPI, s.Encap, s.Key, s.Suite = ProtoIPComp, 1<<16, natt.Raw, secret.Key{}, suite.ESP{}
		},
		"IPComp with key": func(s *SA) { s.Proto, s.Encap = ProtoIPComp, natt.Raw },
		"mode":            func(s *SA) { s.Mode = 3 },
		"no destination":  func(s *SA) { s.Dst = netip.IPv4Unspecified() },
		"families":        func(s *SA) { s.Src = netip.MustParseAddr("2001:db8::1") },
		"4in6":            func(s *SA) { s.Dst = netip.MustParseAddr("::ffff:1.2.3.4") },
		"port":            func(s *SA) { s.DstPort = 0 },
		"encapsulation":   func(s *SA) { s.Encap = natt.Stream },
		"NAT-OA":          func(s *SA) { s.OrigSrc = netip.MustParseAddr("2001:db8::1") },
		"key":             func(s *SA) { s.Key = secret.New([]byte("short")) },
		"no key":          func(s *SA) { s.Key = secret.Key{} },
		"window":          func(s *SA) { s.Window = 4097 },
		"suite":           func(s *SA) { s.Suite = suite.ESP{} },
	} {
		s := outSA(0x3000)
		change(&s)
		if err := db.AddSA(start, s); err == nil {
			t.Errorf("%s: added", name)
		}
		empty(t, db)
	}
}

func TestReserveSA(t *testing.T) {
	db := newDB(t, 0)
	r := Reservation{Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Min: 0x100, Max: 0x10f, Owner: 7, Reqid: 5}
	seen := map[uint32]bool{}
	for range 16 {
		spi, err := db.ReserveSA(start, r)
		if err != nil || spi < 0x100 || spi > 0x10f || seen[spi] {
			t.Fatalf("SPI %#x, %v", spi, err)
		}
		seen[spi] = true
	}
	if _, err := db.ReserveSA(start, r); err != ErrNoSPI {
		t.Errorf("a range that is used up: %v", err)
	}
	for name, bad := range map[string]Reservation{
		"reversed": {Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Min: 0x200, Max: 0x1ff},
		"reserved": {Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Max: 255},
		"CPI":      {Proto: ProtoIPComp, Src: peer.Addr(), Dst: local.Addr(), Min: 1 << 16, Max: 1 << 17},
		"protocol": {Proto: 6, Src: peer.Addr(), Dst: local.Addr(), Min: 256, Max: 512},
		"address":  {Proto: ProtoESP, Src: peer.Addr(), Min: 256, Max: 512},
	} {
		if spi, err := db.ReserveSA(start, bad); err == nil {
			t.Errorf("%s: SPI %#x", name, spi)
		}
	}
	id := SAID{ProtoESP, 0x100, local.Addr()}
	s, _ := db.LookupSA(id)
	if i := s.Info(); i.State != StateLarval || i.Owner != 7 || i.Reqid != 5 {
		t.Errorf("%+v", i)
	}
	if err := db.UpdateSA(start, id, Change{}); err != ErrLarval {
		t.Errorf("a larval SA was changed: %v", err)
	}
	if err := opens(db, start, packet(t, 0x100, 1), peer, local); err != ErrUnknown {
		t.Errorf("a larval SA opens: %v", err)
	}
	if db.DeleteWide(start, ProtoESP, peer.Addr(), local.Addr()) != 0 {
		t.Error("DELETE without an SPI removed a larval SA")
	}
	full := inSA(0x100)
	full.Owner = 0
	if err := db.CompleteSA(start.Add(time.Second), full); err != nil {
		t.Fatal(err)
	}
	if i := s.Info(); i.State != StateMature || i.Owner != 7 || i.Reqid != 5 || !i.Added.Equal(start.Add(time.Second)) {
		t.Errorf("completed: %+v", i)
	}
	if err := db.CompleteSA(start, full); err != ErrKeysKept {
		t.Errorf("keys twice: %v", err)
	}
	if err := db.CompleteSA(start, inSA(0x999)); err != ErrUnknown {
		t.Errorf("nothing was reserved: %v", err)
	}
	if err := opens(db, start, packet(t, 0x100, 1), peer, local); err != nil {
		t.Error(err)
	}
	if _, err := db.DeleteSA(start, SAID{ProtoESP, 0x101, local.Addr()}); err != nil {
		t.Error(err)
	}
	if spi, err := db.ReserveSA(start, r); err == nil {
		t.Errorf("%#x came again within 120 s", spi)
	}
	db.Tick(start.Add(30 * time.Second))
	var gone []uint32
	for db.Pending() {
		for _, n := range notices(db) {
			if n.Kind != Larval || n.SA == nil || n.SPIIn != 0 || n.SA.Owner != 7 || n.SA.State != StateLarval {
				t.Errorf("%+v", n)
			}
			gone = append(gone, n.SA.SPI)
		}
	}
	if len(gone) != 14 || slices.Contains(gone, 0x100) {
		t.Errorf("expired: %x", gone)
	}
	if spi, err := db.ReserveSA(start.Add(151*time.Second), r); err != nil {
		t.Errorf("after the quarantine: %#x, %v", spi, err)
	}
}

// TestSPIsOfBothKinds: pairs and single SAs never have one SPI.
func TestSPIsOfBothKinds(t *testing.T) {
	db := newDB(t, 0)
	spi, _ := install(t, db, start, 0, nil)
	larval, _, _ := db.Reserve(start, 0)
	for _, taken := range []uint32{spi, larval} {
		if err := db.AddSA(start, inSA(taken)); err != ErrExists {
			t.Errorf("an SA with the SPI of a pair: %v", err)
		}
		if _, err := db.ReserveSA(start, Reservation{Proto: ProtoESP, Src: peer.Addr(), Dst: local.Addr(), Min: taken, Max: taken}); err != ErrNoSPI {
			t.Errorf("reserved the SPI of a pair: %v", err)
		}
	}
	db = newDB(t, 0)
	addSA(t, db, inSA(0x07070707))
	db.rand = stuck{}
	if spi, _, err := db.Reserve(start, 0); err == nil {
		t.Errorf("a pair got SPI %#x of a single SA", spi)
	}
}

func TestUpdateSA(t *testing.T) {
	db := newDB(t, 0)
	s := addSA(t, db, outSA(0x4000))
	if _, err := seals(s, start, 3); err != nil {
		t.Fatal(err)
	}
	id, to := s.id(), netip.MustParseAddr("198.51.100.77")
	e := s.spot()
	e.Dst, e.DstPort = to, 7
	if err := db.UpdateSA(start, id, Change{Endpoint: &e, Limits: &Limits{HardPackets: 5}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := db.LookupSA(id); ok {
		t.Error("still found by its old name")
	}
	id.Dst = to
	if x, _ := db.LookupSA(id); x != s || s.Endpoint().Remote != netip.AddrPortFrom(to, 7) {
		t.Error("not the same SA, or not moved")
	}
	pkt, err := seals(s, start, 2)
	if err != nil || pkt[7] != 5 {
		t.Errorf("the counter did not go on: % x, %v", pkt[:8], err)
	}
	if _, err := seals(s, start, 1); err != ErrEnded {
		t.Errorf("beyond the new limit: %v", err)
	}
	bad := e
	bad.Dst = netip.MustParseAddr("2001:db8::9")
	if err := db.UpdateSA(start, SAID{ProtoESP, 1, to}, Change{}); err != ErrUnknown {
		t.Error(err)
	}
	x := addSA(t, db, outSA(0x4001))
	if err := db.UpdateSA(start, x.id(), Change{Endpoint: &bad}); err == nil {
		t.Error("moved to another family")
	}
	n := notices(db)
	if len(n) != 1 || n[0].Kind != Expire || !n[0].Hard || n[0].SA.SPI != 0x4000 || n[0].SA.State != StateDead || n[0].SA.Packets != 5 {
		t.Errorf("%+v", n)
	}
	if _, ok := db.LookupSA(id); ok {
		t.Error("a dead SA is listed after its notice")
	}
}

func TestDeleteWideFlushDump(t *testing.T) {
	db := newDB(t, 0)
	for i := range uint32(300) {
		s := outSA(0x5000 + i)
		if i%3 == 0 {
			s.Dst = netip.MustParseAddr("198.51.100.9")
		}
		if i%7 == 0 {
			s.Reqid = i
		}
		addSA(t, db, s)
	}
	spi, _ := install(t, db, start, 0, nil)
	list := db.SAs(0, true)
	if len(list) != 302 || len(db.SAs(ProtoAH, true)) != 0 || len(db.SAs(ProtoESP, false)) != 300 {
		t.Errorf("%d SAs", len(list))
	}
	for i, r := range list[:300] {
		if x, ok := r.Info(); !ok || x.SPI != 0x5000+uint32(i) || x.Managed {
			t.Fatalf("%d: %#x, %v", i, x.SPI, ok)
		}
	}
	for _, r := range list[300:] {
		if x, ok := r.Info(); !ok || !x.Managed || !x.Key.IsZero() || x.Dst != local.Addr() && x.SPI == spi {
			t.Errorf("%+v", x)
		}
	}
	if n := db.DeleteWide(start, ProtoESP, local.Addr(), peer.Addr()); n != 200 {
		t.Errorf("%d deleted", n)
	}
	if _, ok := list[1].Info(); ok {
		t.Error("a listing shows what is gone")
	}
	if n := db.FlushSAs(start, ProtoAH); n != 0 {
		t.Errorf("%d of AH flushed", n)
	}
	if n := db.FlushSAs(start, 0); n != 100 || db.FlushSAs(start, 0) != 0 {
		t.Errorf("%d flushed", n)
	}
	if db.Inbound(spi) == nil {
		t.Error("the pair of IKE went with them")
	}
	db.Remove(start, spi, false)
	empty(t, db)
}

// TestT090Single: soft and hard limits of single SAs, by each measure.
func TestT090Single(t *testing.T) {
	for name, c := range map[string]struct {
		l          Limits
		soft, hard int           // after so many packets of 20 octets
		idle       time.Duration // or at this time after the first
	}{
		"packets":    {l: Limits{SoftPackets: 2, HardPackets: 4}, soft: 2, hard: 4},
		"octets":     {l: Limits{SoftBytes: 40, HardBytes: 80}, soft: 2, hard: 4},
		"since add":  {l: Limits{SoftTime: 10 * time.Second, HardTime: 20 * time.Second}, soft: 100, hard: 100, idle: 10 * time.Second},
		"since used": {l: Limits{SoftUse: 10 * time.Second, HardUse: 20 * time.Second}, soft: 100, hard: 100, idle: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			db := newDB(t, 0)
			sa := outSA(0x6000)
			sa.Limits = c.l
			s := addSA(t, db, sa)
			told := func() (soft, hard int) {
				for _, n := range notices(db) {
					if n.Kind == Expire && n.Hard {
						hard++
					} else if n.Kind == Expire {
						soft++
					}
				}
				return soft, hard
			}
			for i := range min(c.hard, 5) {
				if _, err := seals(s, start, 1); err != nil {
					t.Fatal(err)
				}
				if soft, hard := told(); soft != map[bool]int{i+1 == c.soft: 1}[true] || hard != 0 {
					t.Errorf("packet %d: %d soft, %d hard", i+1, soft, hard)
				}
			}
			if c.idle == 0 {
				if _, err := seals(s, start, 1); err != ErrEnded {
					t.Error(err)
				}
			} else {
				if d := db.Deadline(); !d.Equal(start.Add(c.idle)) {
					t.Errorf("deadline after %v", d.Sub(start))
				}
				db.Tick(start.Add(c.idle))
				if soft, hard := told(); soft != 1 || hard != 0 || s.Info().State != StateDying {
					t.Errorf("%d soft, %d hard, %v", soft, hard, s.Info().State)
				}
				db.Tick(start.Add(2 * c.idle))
				if _, err := seals(s, start.Add(2*c.idle), 1); err != ErrEnded {
					t.Error(err)
				}
			}
			if soft, hard := told(); soft != 0 || hard != 1 {
				t.Errorf("%d soft, %d hard", soft, hard)
			}
			empty(t, db)
		})
	}
}

// TestSoftTakenBack: an owner who has raised a limit hears no more of the one before it.
func TestSoftTakenBack(t *testing.T) {
	db := newDB(t, 0)
	sa := outSA(0x6000)
	sa.Limits = Limits{SoftPackets: 1}
	s := addSA(t, db, sa)
	if _, err := seals(s, start, 1); err != nil {
		t.Fatal(err)
	}
	if err := db.UpdateSA(start, sa.ID(), Change{Limits: &Limits{SoftPackets: 3}}); err != nil {
		t.Fatal(err)
	}
	if n := notices(db); len(n) != 0 {
		t.Errorf("told of the first: %+v", n)
	}
	if _, err := seals(s, start, 2); err != nil {
		t.Fatal(err)
	}
	if n := notices(db); len(n) != 1 || n[0].Kind != Expire || n[0].Hard {
		t.Errorf("the second: %+v", n)
	}
}

// TestT084Single: without ESN an SA ends for good at its last number, and was told soft long before.
func TestT084Single(t *testing.T) {
	db := newDB(t, 0)
	s := addSA(t, db, outSA(0x6100))
	x := s.asSender()
	if s.seqSoft != 1<<31 || s.seqHard != 1<<32 {
		t.Errorf("limits %d, %d", s.seqSoft, s.seqHard)
	}
	s.seqHard = 3 // the same path with a number that a test can reach
	if _, err := seals(s, start, 3); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := seals(s, start, 1); err != ErrEnded {
			t.Error("sealed beyond the last number:", err)
		}
	}
	if x.seq() != 3 || s.asSender() != x {
		t.Error("another counter")
	}
	if err := db.UpdateSA(start, s.id(), Change{Limits: &Limits{}}); err != ErrUnknown {
		t.Errorf("brought back: %v", err)
	}
}

// TestT082Single: each packet once, within windows of any size; a forgery moves nothing.
func TestT082Single(t *testing.T) {
	for _, window := range []int{0, 32, 64, 1000, 4096} {
		db := newDB(t, 0)
		sa := inSA(0x7000)
		sa.Window = window
		addSA(t, db, sa)
		w := max(64, (window+63)/64*64)
		all := make([][]byte, w+70)
		s, err := esp.NewSealer(0x7000, gcm128, secret.New([]byte(gcmKey)), secret.Key{}, stuck{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			buf := make([]byte, 100)
			n, _ := s.Seal(buf, 20, esp.NextHeaderIPv4)
			all[i] = buf[:n]
		}
		top := len(all) - 1
		forged := bytes.Clone(all[top])
		forged[len(forged)-1] ^= 1
		if err := opens(db, start, forged, peer, local); err != esp.ErrICV {
			t.Errorf("window %d: a forgery: %v", window, err)
		}
		for _, step := range []struct {
			at   int
			want error
		}{{0, nil}, {0, esp.ErrReplay}, {top, nil}, {top, esp.ErrReplay}, {top - w, esp.ErrReplay}, {top - w + 1, nil}, {top - w + 1, esp.ErrReplay}, {top - 1, nil}, {0, esp.ErrReplay}} {
			if err := opens(db, start, all[step.at], peer, local); err != step.want {
				t.Errorf("window %d, packet %d of %d: %v, want %v", w, step.at, top, err, step.want)
			}
		}
	}
}

// TestT081Single: RFC 4303, Section 2.1: nobody opens 0 to 255, what nobody has, or another protocol's.
func TestT081Single(t *testing.T) {
	db := newDB(t, 0)
	addSA(t, db, inSA(0x1000))
	for _, spi := range []uint32{0, 1, 255, 256, 0x0fff, 0x1001, 0xffffffff} {
		if db.Receiver(ProtoESP, spi, local.Addr()) != nil {
			t.Errorf("SPI %#x found something", spi)
		}
	}
	if db.Receiver(ProtoAH, 0x1000, local.Addr()) != nil || db.Receiver(ProtoESP, 0x1000, thief.Addr()) != nil || db.Receiver(ProtoESP, 0x1000, netip.Addr{}) != nil {
		t.Error("found for another protocol or destination")
	}
}

// id and spot are an SA's name and place, as its owner knows them.
func (s *Single) id() SAID { return SAID{s.proto, s.spi, s.sa.Load().at.Remote.Addr()} }

func (s *Single) spot() SAEndpoint {
	sa := s.whole(s.sa.Load())
	return sa.place()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The SAD of single SAs against a slow model: a list that is looked through for everything.

package sadb

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/crypt/secret"
)

// modelSA is an SA of the model; the list is in order of age.
type modelSA struct {
	id     SAID
	src    netip.Addr
	reqid  uint32
	mode   Mode
	larval bool
	until  time.Duration // of a reservation
	dying  bool
	softAt time.Duration // zero: never
	hardAt time.Duration
}

type model struct {
	perDst bool
	now    time.Duration
	sas    []*modelSA
}

func (m *model) find(id SAID) *modelSA {
	for _, s := range m.sas {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (m *model) exists(id SAID) bool {
	return slices.ContainsFunc(m.sas, func(s *modelSA) bool {
		return s.id.Proto == id.Proto && s.id.SPI == id.SPI && (!m.perDst || s.id.Dst == id.Dst)
	})
}

func (m *model) drop(f func(*modelSA) bool) int {
	n := len(m.sas)
	m.sas = slices.DeleteFunc(m.sas, f)
	return n - len(m.sas)
}

// sends is the SPI that seals for a template.
func (m *model) sends(proto uint8, src, dst netip.Addr, reqid uint32) uint32 {
	var best *modelSA
	for _, s := range m.sas {
		if s.larval || s.id.Proto != proto || s.src != src || s.id.Dst != dst || reqid != 0 && s.reqid != reqid || s.mode == Transport {
			continue
		}
		if best == nil || !s.dying || best.dying {
			best = s
		}
	}
	if best == nil {
		return 0
	}
	return best.id.SPI
}

var modelHosts = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("203.0.113.3")}

func TestSADAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perDst := rapid.Bool().Draw(t, "per destination")
		db, err := New(start, Config{Rand: stuck{}, SPIPerDestination: perDst})
		if err != nil {
			t.Fatal(err)
		}
		m := &model{perDst: perDst}
		host := rapid.SampledFrom(modelHosts)
		drawID := func() SAID {
			return SAID{ProtoESP, uint32(rapid.IntRange(256, 262).Draw(t, "SPI")), host.Draw(t, "dst")}
		}
		drawSA := func() SA {
			id := drawID()
			return SA{Proto: id.Proto, SPI: id.SPI, Dst: id.Dst, Src: host.Draw(t, "src"), Mode: Mode(rapid.IntRange(0, 2).Draw(t, "mode")),
				Reqid: uint32(rapid.IntRange(0, 2).Draw(t, "reqid")), Suite: gcm128, Key: secret.New([]byte(gcmKey)),
				Limits: Limits{SoftTime: time.Duration(rapid.IntRange(0, 3).Draw(t, "soft")) * 10 * time.Second,
					HardTime: time.Duration(rapid.IntRange(0, 3).Draw(t, "hard")) * 15 * time.Second}}
		}
		put := func(s *modelSA, sa SA) {
			s.src, s.reqid, s.mode, s.larval, s.dying, s.softAt, s.hardAt = sa.Src, sa.Reqid, sa.Mode, false, false, 0, 0
			if sa.Limits.SoftTime > 0 {
				s.softAt = m.now + sa.Limits.SoftTime
			}
			if sa.Limits.HardTime > 0 {
				s.hardAt = m.now + sa.Limits.HardTime
			}
		}
		want := func(what string, got, want error) {
			t.Helper()
			if !errors.Is(got, want) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
		now := func() time.Time { return start.Add(m.now) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				sa := drawSA()
				if m.exists(sa.ID()) {
					want("add", db.AddSA(now(), sa), ErrExists)
					return
				}
				want("add", db.AddSA(now(), sa), nil)
				s := &modelSA{id: sa.ID()}
				put(s, sa)
				m.sas = append(m.sas, s)
			},
			"reserve": func(t *rapid.T) {
				id := drawID()
				src := host.Draw(t, "src")
				spi, err := db.ReserveSA(now(), Reservation{Proto: id.Proto, Src: src, Dst: id.Dst, Min: id.SPI, Max: id.SPI})
				if m.exists(id) {
					want("reserve", err, ErrNoSPI)
					return
				}
				want("reserve", err, nil)
				if spi != id.SPI {
					t.Fatalf("SPI %d", spi)
				}
				m.sas = append(m.sas, &modelSA{id: id, src: src, larval: true, until: m.now + 30*time.Second})
			},
			"complete": func(t *rapid.T) {
				sa := drawSA()
				err := db.CompleteSA(now(), sa)
				switch s := m.find(sa.ID()); {
				case s == nil:
					want("complete", err, ErrUnknown)
				case !s.larval:
					want("complete", err, ErrKeysKept)
				default:
					want("complete", err, nil)
					put(s, sa)
				}
			},
			"update": func(t *rapid.T) {
				id, to := drawID(), drawSA()
				e := to.place()
				err := db.UpdateSA(now(), id, Change{Endpoint: &e, Reqid: &to.Reqid})
				next := SAID{id.Proto, id.SPI, to.Dst}
				switch s := m.find(id); {
				case s == nil:
					want("update", err, ErrUnknown)
				case s.larval:
					want("update", err, ErrLarval)
				case next != id && perDst && m.find(next) != nil:
					want("update", err, ErrExists)
				default:
					want("update", err, nil)
					s.id, s.src, s.reqid = next, to.Src, to.Reqid
				}
			},
			"delete": func(t *rapid.T) {
				id := drawID()
				_, err := db.DeleteSA(now(), id)
				if m.drop(func(s *modelSA) bool { return s.id == id }) == 0 {
					want("delete", err, ErrUnknown)
				} else {
					want("delete", err, nil)
				}
			},
			"delete wide": func(t *rapid.T) {
				src, dst := host.Draw(t, "src"), host.Draw(t, "dst")
				got := db.DeleteWide(now(), ProtoESP, src, dst)
				if n := m.drop(func(s *modelSA) bool { return !s.larval && s.src == src && s.id.Dst == dst }); n != got {
					t.Fatalf("%d deleted, want %d", got, n)
				}
			},
			"flush": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "really") > 0 {
					return
				}
				if got, n := db.FlushSAs(now(), 0), len(m.sas); got != n {
					t.Fatalf("%d flushed, want %d", got, n)
				}
				m.sas = nil
			},
			"time": func(t *rapid.T) {
				m.now += time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second
				db.Tick(now())
				for db.Pending() {
					notices(db)
				}
				m.drop(func(s *modelSA) bool { return s.larval && m.now >= s.until || s.hardAt != 0 && m.now >= s.hardAt })
				for _, s := range m.sas {
					s.dying = s.dying || s.softAt != 0 && m.now >= s.softAt
				}
			},
			"": func(t *rapid.T) { m.compare(t, db) },
		})
	})
}

// compare looks at everything that can be asked.
func (m *model) compare(t *rapid.T, db *DB) {
	list := db.SAs(0, false)
	if len(list) != len(m.sas) {
		t.Fatalf("%d SAs, want %d", len(list), len(m.sas))
	}
	for i, r := range list {
		got, ok := r.Info()
		want := m.sas[i]
		state := StateMature
		switch {
		case want.larval:
			state = StateLarval
		case want.dying:
			state = StateDying
		}
		if !ok || got.ID() != want.id || got.Src != want.src || got.State != state || got.Key.IsZero() != want.larval {
			t.Fatalf("%d: %v from %v, %v; want %v from %v, %v", i, got.ID(), got.Src, got.State, want.id, want.src, state)
		}
		if s, ok := db.LookupSA(want.id); !ok || s != r.single {
			t.Fatalf("%v is not found", want.id)
		}
	}
	for _, src := range modelHosts {
		for _, dst := range modelHosts {
			for reqid := range uint32(3) {
				var spi uint32
				if st := db.findSet(keyOf(ProtoESP, src, dst, reqid)); st != nil {
					if s := st.pick(Tunnel); s != nil {
						spi = s.spi
					}
				}
				if want := m.sends(ProtoESP, src, dst, reqid); spi != want {
					t.Fatalf("%v to %v, reqid %d: SPI %d sends, want %d", src, dst, reqid, spi, want)
				}
			}
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// A child that is taken over while this host is still being set up for it.

package daemon

import (
	"context"
	"crypto/rand"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// sealing are the SAs that a packet between the test's networks may leave by: inbound SPIs of IKE's pairs, outbound ones of single SAs.
func sealing(db *sadb.DB) (list []uint32) {
	f := sadb.Flow{Local: sadb.IP{Lo: 10<<24 | 1<<16 | 1}, Remote: sadb.IP{Lo: 10<<24 | 2<<16 | 1}, Proto: 17}
	if m, _ := db.Match(&f); m.Sending() != nil {
		list = append(list, m.Sending().SPIIn())
	}
	for _, ref := range db.SAs(0, false) {
		if i, ok := ref.Info(); ok && i.Src == netip.MustParseAddr("127.0.0.1") {
			list = append(list, i.SPI)
		}
	}
	return list
}

// TestTakeOverBeforeInstalled: the older child of an identity is installed after the newer one, and is not sent on; its SPI was its own all
// the time.
func TestTakeOverBeforeInstalled(t *testing.T) {
	for _, kind := range []string{"engine", "pfkey"} {
		t.Run(kind, func(t *testing.T) {
			o := Options{Device: newStill(), AnyPort: true, Listen: netip.MustParseAddr("127.0.0.1"), NoRawESP: true}
			var db *sadb.DB
			if kind == "pfkey" {
				path := filepath.Join(t.TempDir(), "pfkey")
				s := serve(t, path)
				defer s.hub.Close()
				db = s.db
				o.Keyed = &KeyedOptions{Bind: func(netip.AddrPort) error { return nil },
					Dial: func(ctx context.Context) (*port.Conn, error) { return port.Dial(ctx, path, pfkey.FreeBSD) }}
			}
			d, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if db == nil {
				db = d.plane.db
			}
			s, old, a, _ := installing(t, d)
			_, young, b, answers := installing(t, d)
			b.SPIOut, b.ChildID = a.SPIOut+1, a.ChildID+1
			if _, err := d.holders.hold(time.Now(), &a, true); err != nil { // its host is being set up
				t.Fatal(err)
			}
			ask(s, young, ike.Install{Child: b})
			if got := <-answers; got != (ike.Installed{}) {
				t.Fatalf("the newer one: %+v", got)
			}
			want, late := b.SPIIn, ike.Answer(nil)
			if kind == "pfkey" {
				want = b.SPIOut
			}
			onShard(s, func(s *shard) bool { late = s.installed(s.byUnique[old], ike.Install{Child: a}, nil); return true })
			if got := sealing(db); late != (ike.Installed{}) || !slices.Equal(got, []uint32{want}) {
				t.Errorf("the older one: %+v; sent on %x, expected the newer one's %x", late, got, want)
			}
			for _, p := range db.SPDList() {
				if got := p.Templates[0].Reqid; got != b.Reqid {
					t.Errorf("policy %v is for reqid %d, expected the newer one's %d", p.Dir, got, b.Reqid)
				}
			}
		})
	}
}

// TestTakenOverLate: a child that is installed long after a newer one took over is deleted all the same, once; one that is there already is
// deleted in its time.
func TestTakenOverLate(t *testing.T) {
	for name, late := range map[string]time.Duration{"installed before": 0, "a moment later": takeoverPause / 2, "long after": 3 * takeoverPause} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := bare(t)
				db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader, SPIPerDestination: true})
				if err != nil {
					t.Fatal(err)
				}
				d.kernel = newSeam(db, func() {}, d.holders.release)
				_, old, a, _ := installing(t, d)
				_, young, b, _ := installing(t, d)
				b.SPIOut, b.ChildID = a.SPIOut+1, a.ChildID+1
				there, deleted := false, []time.Time(nil)
				onShard(s, func(s *shard) bool {
					s.byUnique[old].m = &script{do: func(c ike.Command) []ike.Action {
						// As a machine does: "there is no such child SA".
						if c == (ike.Terminate{ChildID: a.ChildID, Reason: ike.CloseReplaced}) && there {
							deleted = append(deleted, time.Now())
						}
						return nil
					}}
					return true
				})
				if _, err := d.holders.hold(time.Now(), &a, true); err != nil {
					t.Fatal(err)
				}
				install := func(unique uint64, c ike.ChildSA, older []*holder) {
					onShard(s, func(s *shard) bool {
						if got := s.installed(s.byUnique[unique], ike.Install{Child: c}, older); got != (ike.Installed{}) {
							t.Errorf("install: %+v", got)
						}
						there = there || unique == old
						return true
					})
				}
				if late == 0 {
					install(old, a, nil)
				}
				older, err := d.holders.hold(time.Now(), &b, true)
				if err != nil || len(older) != 1 {
					t.Fatalf("the newer one takes over from %d children: %v", len(older), err)
				}
				install(young, b, older)
				if late > 0 {
					time.Sleep(late)
					install(old, a, nil)
				}
				both := time.Now()
				time.Sleep(10 * takeoverPause)
				got := onShard(s, func(*shard) []time.Time { return deleted })
				if len(got) != 1 || got[0].Sub(both) != takeoverPause {
					t.Errorf("deleted at %v, expected once, %s after %s", got, takeoverPause, both)
				}
			})
		})
	}
}

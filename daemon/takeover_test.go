// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// A child that is taken over while this host is still being set up for it.

package daemon

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
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

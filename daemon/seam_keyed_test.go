// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// service is a PF_KEY server with a database of its own.
type service struct {
	db   *sadb.DB
	keys *keysock.Server
	hub  *port.Hub
}

func serve(t *testing.T, path string) *service {
	t.Helper()
	return serveWith(t, path, keysock.Config{})
}

func serveWith(t *testing.T, path string, c keysock.Config) *service {
	t.Helper()
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := port.Listen(path, port.Config{Dialect: pfkey.FreeBSD})
	if err != nil {
		t.Fatal(err)
	}
	c.Order = binary.NativeEndian
	s := &service{db: db, keys: keysock.New(db, c)}
	s.hub = port.NewHub(s.keys, slog.New(slog.DiscardHandler))
	go s.hub.Serve(l)
	return s
}

// sas are how many SAs the service has, policies how many policies.
func (s *service) counts() (sas, policies int) {
	for range s.db.SAs(0, false) {
		sas++
	}
	return sas, len(s.db.SPDList())
}

type told struct {
	unique uint64
	n      ike.Notice
}

func keyedTo(t *testing.T, path string) (*keyed, chan told) {
	t.Helper()
	notices := make(chan told, 16)
	k, err := newKeyed(KeyedOptions{Log: slog.New(slog.DiscardHandler), Dial: func(ctx context.Context) (*port.Conn, error) {
		return port.Dial(ctx, path, pfkey.FreeBSD)
	}}, func(u uint64, n ike.Notice) { notices <- told{u, n} }, func(uint32) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k, notices
}

func keyedPath(remote string) ike.Path {
	return ike.Path{Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort(remote), Encap: natt.NonESP}
}

// keyedChild reserves an SPI and makes a child for it.
func keyedChild(t *testing.T, k *keyed, unique uint64, reqid, spiOut uint32) ike.ChildSA {
	t.Helper()
	path := keyedPath("198.51.100.1:4500")
	r, ok := k.Ask(time.Now(), unique, ike.Reserve{Local: path.Local.Addr(), Remote: path.Remote.Addr(), Reqid: reqid, Initiated: true}).(ike.Reserved)
	if !ok {
		t.Fatal("no reservation")
	}
	key := make([]byte, 20)
	_, _ = rand.Read(key)
	return ike.ChildSA{Name: "net", Unique: unique, ChildID: r.ChildID, Reqid: r.Reqid, SPIIn: r.SPI, SPIOut: spiOut, Path: path, Encap: true,
		Suite: suite.ESP{Encr: suite.EncrAESGCM16, EncrBits: 128}, KeyIn: secret.New(key), KeyOut: secret.New(key),
		TSLocal: prefix("10.1.0.0/16"), TSRemote: prefix("10.2.0.0/16"), Config: &ike.ChildConfig{Name: "net", CopyDF: true, CopyECN: true}}
}

// keyedPut reserves and installs a child.
func keyedPut(t *testing.T, k *keyed, unique uint64, reqid, spiOut uint32, change func(*ike.ChildSA)) ike.ChildSA {
	t.Helper()
	c := keyedChild(t, k, unique, reqid, spiOut)
	if change != nil {
		change(&c)
	}
	if a := k.Ask(time.Now(), unique, ike.Install{Child: c}); a != (ike.Installed{}) {
		t.Fatalf("install: %+v", a)
	}
	return c
}

// TestKeyedSeam: the questions of a machine over PF_KEY, and nothing left of it at the end.
func TestKeyedSeam(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	expect := func(when string, sas, policies int) {
		t.Helper()
		if a, b := s.counts(); a != sas || b != policies {
			t.Errorf("%s: %d SAs and %d policies, expected %d and %d", when, a, b, sas, policies)
		}
	}
	old := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	expect("installed", 2, 2)
	// The responder of a rekey goes on sending on the old SA until it goes.
	fresh := keyedPut(t, k, 7, old.Reqid, 0xc0000002, func(c *ike.ChildSA) { c.Standby, c.Replaces = true, old.SPIIn })
	expect("standby", 3, 2)
	if k.owner(fresh.SPIIn) != 7 || k.inbound(7, 0xc0000002) != fresh.SPIIn || k.children() != 2 {
		t.Error("the seam does not know its pairs")
	}
	if a := k.Ask(time.Now(), 7, ike.Move{SPIIn: fresh.SPIIn, Path: keyedPath("203.0.113.9:31000")}); a != (ike.Installed{}) {
		t.Fatalf("move: %+v", a)
	}
	k.Ask(time.Now(), 7, ike.Remove{SPIIn: old.SPIIn, SPIOut: old.SPIOut, OnlyOut: true})
	expect("the old one stops", 3, 2)
	for _, sa := range s.db.SAs(0, false) {
		if i, ok := sa.Info(); ok && i.SPI == 0xc0000002 && (i.Endpoint.Remote.Addr() != netip.MustParseAddr("203.0.113.9") || i.Endpoint.Remote.Port() != 31000) {
			t.Errorf("the outbound SA goes to %s %d", i.Endpoint.Remote, i.Endpoint.Encap)
		}
	}
	k.Ask(time.Now(), 7, ike.Remove{SPIIn: old.SPIIn, SPIOut: old.SPIOut})
	expect("the old one is gone", 2, 2)
	if _, ok := k.Ask(time.Now(), 7, ike.Query{SPIIn: fresh.SPIIn}).(ike.Usage); !ok {
		t.Error("no counts")
	}
	// Another IKE SA with the same selectors has the policies; when it goes they are the first one's again.
	other := keyedPut(t, k, 8, 0, 0xc0000003, nil)
	expect("another machine", 4, 2)
	k.RemoveAll(8)
	expect("without it", 2, 2)
	for _, p := range s.db.SPDList() {
		if p.Templates[0].Reqid != fresh.Reqid {
			t.Errorf("policy %d is for reqid %d, expected %d", p.ID, p.Templates[0].Reqid, fresh.Reqid)
		}
	}
	if a, ok := k.Ask(time.Now(), 9, ike.Install{Child: other}).(ike.Failed); !ok || a.Refusal != ike.RefusalTemporary {
		t.Errorf("an install without a reservation: %+v", a)
	}
	k.RemoveAll(7)
	expect("at the end", 0, 0)
	if k.children() != 0 {
		t.Error("children are there still")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.reqids)+len(k.policies)+len(k.pairs.in)+len(k.pairs.owned) != 0 {
		t.Error("the seam keeps something")
	}
}

// TestKeyedLost: when the service restarts all SAs are gone; machines are told when it is back, and it serves again.
func TestKeyedLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	k, notices := keyedTo(t, path)
	keyedPut(t, k, 7, 0, 0xc0000001, nil)
	s.hub.Close()
	s = serve(t, path)
	defer s.hub.Close()
	select {
	case n := <-notices:
		if n != (told{0, ike.Lost{}}) {
			t.Errorf("told %+v", n)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told")
	}
	if k.children() != 0 {
		t.Error("children are there still")
	}
	keyedPut(t, k, 7, 0, 0xc0000001, nil)
}

// TestKeyedRefusals: what PF_KEY cannot say is refused by the option's name, and nothing of the child is left.
func TestKeyedRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	for option, change := range map[string]func(*ike.ChildSA){
		"copy_df":   func(c *ike.ChildSA) { c.Config.CopyDF = false },
		"copy_ecn":  func(c *ike.ChildSA) { c.Config.CopyECN = false },
		"copy_dscp": func(c *ike.ChildSA) { c.Config.CopyDSCP = ike.CopyDSCPNo },
	} {
		t.Run(option, func(t *testing.T) {
			c := keyedChild(t, k, 7, 0, 0xc0000001)
			change(&c)
			a, ok := k.Ask(time.Now(), 7, ike.Install{Child: c}).(ike.Failed)
			if !ok || !strings.Contains(a.Err.Error(), option) {
				t.Errorf("install: %+v, expected a refusal that names %s", a, option)
			}
			if sas, policies := s.counts(); sas != 0 || policies != 0 || k.children() != 0 {
				t.Errorf("%d SAs, %d policies, %d children are left", sas, policies, k.children())
			}
		})
	}
}

// TestKeyedCrash: what a daemon that crashed has left protects on, and is gone when it is back; what others made stays.
func TestKeyedCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	keyedPut(t, k, 7, 0, 0xc0000001, nil)
	other, err := port.Dial(t.Context(), path, pfkey.FreeBSD)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Request(t.Context(), &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeGetSPI, SAType: pfkey.SATypeESP},
		Src: addressOf(netip.MustParseAddr("192.0.2.7")), Dst: addressOf(netip.MustParseAddr("192.0.2.1")),
		SPIRange: &pfkey.SPIRange{Min: 0x1000, Max: 0x2000}, SA2: &pfkey.SA2{Mode: pfkey.ModeTunnel}}); err != nil {
		t.Fatal(err)
	}
	k.close()
	if _, err := other.Request(t.Context(), &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}); err != nil {
		t.Fatal(err)
	}
	if sas, policies := s.counts(); sas != 3 || policies != 2 {
		t.Errorf("after the end: %d SAs and %d policies, expected 3 and 2", sas, policies)
	}
	for end := time.Now().Add(5 * time.Second); ; {
		next, _ := keyedTo(t, path) // the service may hear of the end later than of this
		sas, policies := s.counts()
		if sas == 1 && policies == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("with the next run: %d SAs and %d policies, expected 1 and 0", sas, policies)
		}
		next.close()
	}
}

// TestKeyedTransportStays: a child in transport mode is not moved to another address.
func TestKeyedTransportStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	c := keyedPut(t, k, 7, 0, 0xc0000001, func(c *ike.ChildSA) {
		r, _ := k.Ask(time.Now(), 7, ike.Reserve{Local: c.Path.Local.Addr(), Remote: c.Path.Remote.Addr(), Mode: ike.ModeTransport}).(ike.Reserved)
		c.SPIIn, c.Mode, c.TSLocal, c.TSRemote = r.SPI, ike.ModeTransport, prefix("192.0.2.1/32"), prefix("198.51.100.1/32")
		c.OrigRemote = netip.MustParseAddr("10.0.0.5")
	})
	if a, ok := k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: keyedPath("203.0.113.9:4500")}).(ike.Failed); !ok || a.Refusal != ike.RefusalUnsupported {
		t.Errorf("another address: %+v", a)
	}
	if a := k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: keyedPath("198.51.100.1:31000")}); a != (ike.Installed{}) {
		t.Errorf("another port: %+v", a)
	}
	// What checksums are repaired by is still known.
	for _, ref := range s.db.SAs(0, false) {
		info, _ := ref.Info()
		if got := info.OrigSrc; info.SPI == c.SPIIn && got != c.OrigRemote {
			t.Errorf("inbound: original address %s, expected %s", got, c.OrigRemote)
		}
		if got := info.OrigDst; info.SPI == c.SPIOut && got != c.OrigRemote {
			t.Errorf("outbound: original address %s, expected %s", got, c.OrigRemote)
		}
	}
}

// TestKeyedUnsayable: a peer whose address PF_KEY cannot say is refused, and nobody else notices.
func TestKeyedUnsayable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, notices := keyedTo(t, path)
	c := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	local, remote := netip.MustParseAddr("fe80::1%2"), netip.MustParseAddr("fe80::2%2")
	if a, ok := k.Ask(time.Now(), 8, ike.Reserve{Local: local, Remote: remote}).(ike.Failed); !ok || !errors.Is(a.Err, errNotSaid) {
		t.Errorf("Reserve: %+v", a)
	}
	if a, ok := k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: keyedPath("[fe80::2%2]:4500")}).(ike.Failed); !ok || !errors.Is(a.Err, errNotSaid) {
		t.Errorf("Move: %+v", a)
	}
	keyedPut(t, k, 9, 0, 0xc0000009, func(c *ike.ChildSA) { c.TSRemote = prefix("10.9.0.0/16") })
	if sas, _ := s.counts(); sas != 4 {
		t.Errorf("%d SAs, expected 4", sas)
	}
	select {
	case n := <-notices:
		t.Errorf("a machine was told %+v", n)
	default:
	}
}

// TestKeyedReleased: a child whose reservation went with the service is held by nobody any more.
func TestKeyedReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	var released []uint32
	k.released = func(spi uint32) { released = append(released, spi) }
	gone := ike.ChildSA{SPIIn: 0x12345678}
	if a, ok := k.Ask(time.Now(), 7, ike.Install{Child: gone}).(ike.Failed); !ok || len(released) != 1 || released[0] != gone.SPIIn {
		t.Errorf("%+v; released %x", a, released)
	}
}

// TestKeyedNull: no encryption has a key of no octets, which is there.
func TestKeyedNull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	for i, su := range []suite.ESP{
		{Encr: suite.EncrNULL, Integ: suite.IntegHMACSHA2256128}, {Encr: suite.EncrNULL, Integ: suite.IntegHMACSHA225696},
		{Encr: suite.EncrAESCBC, EncrBits: 256, Integ: suite.IntegAESCMAC96}, {Encr: suite.EncrAESCCM8, EncrBits: 128},
		{Encr: suite.EncrAESCCM12, EncrBits: 192}, {Encr: suite.EncrAESCCM16, EncrBits: 256},
	} {
		keyedPut(t, k, 7, 0, 0xc0000001+uint32(i), func(c *ike.ChildSA) {
			key := func(n int) secret.Key { return secret.New(make([]byte, n)) }
			c.Suite, c.KeyIn, c.KeyOut = su, key(su.Encr.KeyLen(su.EncrBits)), key(su.Encr.KeyLen(su.EncrBits))
			c.IntegIn, c.IntegOut = key(su.Integ.KeyLen()), key(su.Integ.KeyLen())
		})
		for _, ref := range s.db.SAs(0, false) {
			info, _ := ref.Info()
			if info.Suite != su {
				t.Errorf("the service has %v, expected %v", info.Suite, su)
			}
		}
		k.RemoveAll(7)
	}
}

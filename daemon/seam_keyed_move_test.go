// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// Moves whose UPDATE has no answer in time: the pair is where its peer is in the end, or gone, and no other pair notices.

package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// fault is what a service does with a request.
type fault int

const (
	unheard fault = iota // it is not carried out, and not answered
	unsaid               // it is carried out, and not answered
	tooLate              // it is carried out, and answered, after a while in which nothing else is
	stopped              // the same, after a long while
)

// testLimit is keyedLimit in these tests.
const testLimit = 200 * time.Millisecond

// faltering is a PF_KEY server that does not answer the next requests that are so.
type faltering struct {
	*keysock.Server
	fault fault
	left  atomic.Int32 // how many of them
	when  func(*pfkey.Message) bool
}

func (s *faltering) Handle(now time.Time, id pfkey.ClientID, msg []byte) ([]pfkey.Delivery, error) {
	codec := pfkey.Codec{Dialect: pfkey.FreeBSD, Order: binary.NativeEndian}
	if m, err := codec.Parse(msg); err != nil || !s.when(m) || s.left.Add(-1) < 0 {
		return s.Server.Handle(now, id, msg)
	}
	switch s.fault {
	case unheard:
		return nil, nil
	case tooLate:
		time.Sleep(testLimit * 3 / 2)
	case stopped:
		time.Sleep(testLimit * 5)
	}
	out, err := s.Server.Handle(now, id, msg)
	if s.fault == unsaid {
		out = nil
	}
	return out, err
}

// falter serves on such a server, which falters once its left is set, and has a client of it with the child of a machine that nothing befalls.
func falter(t *testing.T, f fault, when func(*pfkey.Message) bool) (*faltering, *service, *keyed, chan told) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pfkey")
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader, SPIPerDestination: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := port.Listen(path, port.Config{Dialect: pfkey.FreeBSD})
	if err != nil {
		t.Fatal(err)
	}
	ill := &faltering{Server: keysock.New(db, keysock.Config{Order: binary.NativeEndian}), fault: f, when: when}
	s := &service{db: db, keys: ill.Server}
	s.hub = port.NewHub(ill, slog.New(slog.DiscardHandler))
	go s.hub.Serve(l)
	notices := make(chan told, 16)
	k, err := newKeyed(KeyedOptions{Log: slog.New(slog.DiscardHandler), limit: testLimit, Dial: func(ctx context.Context) (*port.Conn, error) {
		return port.Dial(ctx, path, pfkey.FreeBSD)
	}}, func(u uint64, n ike.Notice) { notices <- told{u, n} }, func(uint32) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.close()
		s.hub.Close()
	})
	return ill, s, k, notices
}

// ofReqid are the service's SAs and the addresses of its policies that are of a reqid, in words.
func (s *service) ofReqid(reqid uint32) (list []string) {
	for _, ref := range s.db.SAs(0, false) {
		i, ok := ref.Info()
		if !ok || i.Reqid != reqid {
			continue
		}
		port := i.DstPort
		if i.Dst == netip.MustParseAddr("192.0.2.1") {
			port = i.SrcPort
		}
		list = append(list, fmt.Sprintf("%d %#x %s %s %d", i.Proto, i.SPI, i.Src, i.Dst, port))
	}
	for _, p := range s.db.SPDList() {
		if p.Templates[len(p.Templates)-1].Reqid == reqid {
			list = append(list, fmt.Sprintf("%s %s %s", map[sadb.Dir]string{sadb.In: "in", sadb.Out: "out"}[p.Dir], p.Templates[0].Src, p.Templates[0].Dst))
		}
	}
	slices.Sort(list)
	return list
}

// eventually waits until what is got is what is wanted.
func eventually(t *testing.T, when string, want []string, got func() []string) {
	t.Helper()
	for end := time.Now().Add(20 * testLimit); ; time.Sleep(testLimit / 5) {
		have := got()
		if slices.Equal(have, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %q, expected %q", when, have, want)
		}
	}
}

// TestKeyedMoveUnanswered: whichever UPDATE of a Move has no answer, and whatever has become of it, the SAs, those of IPComp too, and the
// policies are where the peer is soon, can be moved again, and are all gone when the child goes, also where it goes while nobody knows
// where they are.
func TestKeyedMoveUnanswered(t *testing.T) {
	of := func(kind pfkey.SAType, remote string) func(*pfkey.Message) bool {
		a := netip.MustParseAddr(remote)
		return func(m *pfkey.Message) bool {
			return m.Type == pfkey.TypeUpdate && m.NewDst != nil && m.SAType == kind && (m.NewDst.Addr == a || m.NewSrc.Addr == a)
		}
	}
	const to, esp, comp = "203.0.113.9", pfkey.SATypeESP, pfkey.SATypeIPComp
	inbound := func(is func(*pfkey.Message) bool) func(*pfkey.Message) bool {
		return func(m *pfkey.Message) bool { return is(m) && m.NewDst.Addr == netip.MustParseAddr("192.0.2.1") }
	}
	outbound := func(is func(*pfkey.Message) bool) func(*pfkey.Message) bool {
		return func(m *pfkey.Message) bool { return is(m) && m.NewSrc.Addr == netip.MustParseAddr("192.0.2.1") }
	}
	for name, c := range map[string]struct {
		when   func(*pfkey.Message) bool
		remote string
	}{
		"outbound":             {outbound(of(esp, to)), to + ":31000"},
		"outbound, compressed": {outbound(of(comp, to)), to + ":31000"},
		"inbound":              {inbound(of(esp, to)), to + ":31000"},
		"inbound, compressed":  {inbound(of(comp, to)), to + ":31000"},
		"a port":               {outbound(of(esp, "198.51.100.1")), "198.51.100.1:31000"},
		"policies":             {func(m *pfkey.Message) bool { return m.Type == pfkey.TypeSPDUpdate }, to + ":31000"},
	} {
		for f, what := range map[fault]string{unheard: "not carried out", unsaid: "answer lost", tooLate: "late", stopped: "very late"} {
			if f >= tooLate && name != "outbound" && name != "policies" {
				continue // it is the same
			}
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				moveUnanswered(t, f, c.when, c.remote)
			})
		}
	}
}

func moveUnanswered(t *testing.T, f fault, when func(*pfkey.Message) bool, remote string) {
	ill, s, k, notices := falter(t, f, when)
	keyedPut(t, k, 8, 0, 0xc0000008, func(c *ike.ChildSA) { c.TSRemote = prefix("10.8.0.0/16") })
	c := keyedPut(t, k, 7, 0, 0xc0000007, func(c *ike.ChildSA) { c.CPIIn, c.CPIOut, c.Config.IPComp = 0x4000, 0x5000, true })
	at := func(path ike.Path) (want []string) {
		const here = "192.0.2.1"
		a := path.Remote
		want = []string{
			fmt.Sprintf("50 %#x %s %s %d", c.SPIIn, a.Addr(), here, a.Port()), fmt.Sprintf("50 %#x %s %s %d", c.SPIOut, here, a.Addr(), a.Port()),
			fmt.Sprintf("108 %#x %s %s 0", c.CPIIn, a.Addr(), here), fmt.Sprintf("108 %#x %s %s 0", c.CPIOut, here, a.Addr()),
			fmt.Sprintf("in %s %s", a.Addr(), here), fmt.Sprintf("out %s %s", here, a.Addr()),
		}
		slices.Sort(want)
		return want
	}
	there := func() []string { return s.ofReqid(c.Reqid) }
	move := func(path ike.Path, times int32) ike.Answer {
		ill.left.Store(times)
		return k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: path})
	}
	away := keyedPath(remote)
	if a, ok := move(away, 1).(ike.Failed); !ok || a.Refusal == ike.RefusalUnsupported {
		t.Errorf("a move without an answer: %+v", a)
	}
	eventually(t, "moved", at(away), there)
	eventually(t, "and again", []string{"<nil>"}, func() []string { // a service that stopped may do so still
		if a, failed := move(c.Path, 0).(ike.Failed); failed {
			return []string{a.Err.Error()}
		}
		return []string{"<nil>"}
	})
	eventually(t, "back", at(c.Path), there)
	move(away, 1)
	k.RemoveAll(7)
	eventually(t, "removed while nobody knows where it is", nil, there)
	eventually(t, "the other one", []string{"2 2 0"}, func() []string {
		k.mu.Lock()
		defer k.mu.Unlock()
		sas, policies := s.counts()
		return []string{fmt.Sprintf("%d %d %d", sas, policies, k.reqids[c.Reqid])}
	})
	select {
	case n := <-notices:
		t.Errorf("a machine was told %+v", n)
	default:
	}
}

// TestKeyedMoveRefusedLate: where the name of an SA is another's at the peer's new address, and that is known only after the Move was given up,
// the machine is told to make another in its place; what is another's stays.
func TestKeyedMoveRefusedLate(t *testing.T) {
	ill, s, k, notices := falter(t, unheard, func(m *pfkey.Message) bool { return m.Type == pfkey.TypeUpdate && m.NewDst != nil })
	away := keyedPath("203.0.113.9:4500")
	other := keyedPut(t, k, 8, 0, 0xc0000007, func(c *ike.ChildSA) {
		r, _ := k.Ask(time.Now(), 8, ike.Reserve{Local: away.Local.Addr(), Remote: away.Remote.Addr(), Reqid: c.Reqid}).(ike.Reserved)
		k.Ask(time.Now(), 8, ike.Remove{SPIIn: c.SPIIn})
		c.SPIIn, c.Path, c.TSRemote = r.SPI, away, prefix("10.8.0.0/16")
		c.CPIIn, c.CPIOut, c.Config.IPComp = 0x4001, 0x5001, true
	})
	was := s.ofReqid(other.Reqid)
	c := keyedPut(t, k, 7, 0, 0xc0000007, nil)
	ill.left.Store(1)
	if a, ok := k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: away}).(ike.Failed); !ok || a.Refusal == ike.RefusalUnsupported {
		t.Errorf("a move without an answer: %+v", a)
	}
	select {
	case n := <-notices:
		if n != (told{7, ike.Expire{SPIIn: c.SPIIn}}) {
			t.Errorf("told %+v", n)
		}
	case <-time.After(20 * testLimit):
		t.Fatal("nobody was told")
	}
	k.RemoveAll(7)
	// A CPI that is another's there: the SA around it has moved, and each goes where it is.
	c = keyedPut(t, k, 7, 0, 0xc0000009, func(c *ike.ChildSA) { c.CPIIn, c.CPIOut, c.Config.IPComp = 0x4000, 0x5001, true })
	if a, ok := k.Ask(time.Now(), 7, ike.Move{SPIIn: c.SPIIn, Path: away}).(ike.Failed); !ok || a.Refusal != ike.RefusalUnsupported {
		t.Errorf("a move to where the CPI is another's: %+v", a)
	}
	k.RemoveAll(7)
	if got, left := s.ofReqid(other.Reqid), s.ofReqid(c.Reqid); !slices.Equal(got, was) || len(left) != 0 {
		t.Errorf("the other's: %q, expected %q; left %q", got, was, left)
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

// What the seam over PF_KEY takes for its own among what everybody hears: answers, notices and names that others have chosen.

package daemon

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// TestKeyedAnswers: an answer has the request's number, process, type and SA or selectors. In containers all daemons are one process.
func TestKeyedAnswers(t *testing.T) {
	end := func(a string) *pfkey.Address { return addressOf(netip.MustParseAddr(a)) }
	about := func(change func(*pfkey.Message)) *pfkey.Message {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeUpdate, SAType: pfkey.SATypeESP, Seq: 1<<31 | 7, PID: 1},
			SA: &pfkey.SA{SPI: 0x1001}, Src: end("192.0.2.1"), Dst: end("198.51.100.1")}
		change(m)
		return m
	}
	request := about(func(m *pfkey.Message) { m.NewSrc, m.NewDst = end("192.0.2.1"), end("203.0.113.9") })
	for name, c := range map[string]struct {
		change func(*pfkey.Message)
		want   bool
	}{
		"the same":          {func(*pfkey.Message) {}, true},
		"its new address":   {func(m *pfkey.Message) { m.Dst = end("203.0.113.9") }, true},
		"an error":          {func(m *pfkey.Message) { m.Errno, m.SA, m.Src, m.Dst = pfkey.EINVAL, nil, nil, nil }, true},
		"another type":      {func(m *pfkey.Message) { m.Type = pfkey.TypeAdd }, false},
		"an error of a GET": {func(m *pfkey.Message) { m.Type, m.Errno = pfkey.TypeGet, pfkey.ESRCH }, false},
		"AH":                {func(m *pfkey.Message) { m.SAType = pfkey.SATypeAH }, false},
		"another number":    {func(m *pfkey.Message) { m.Seq++ }, false},
		"another process":   {func(m *pfkey.Message) { m.PID++ }, false},
		"another SPI":       {func(m *pfkey.Message) { m.SA.SPI++ }, false},
		"no SA":             {func(m *pfkey.Message) { m.SA = nil }, false},
		"another address":   {func(m *pfkey.Message) { m.Dst = end("198.51.100.2") }, false},
		"no address":        {func(m *pfkey.Message) { m.Src = nil }, false},
		"a longer prefix":   {func(m *pfkey.Message) { m.Src.PrefixLen = 24 }, true}, // the request's counts
	} {
		if got := answers(request, about(c.change)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestKeyedPrefixes: the selectors of a policy are compared without the bits that the prefix leaves open, which somebody else may have set.
func TestKeyedPrefixes(t *testing.T) {
	of := func(a string) *pfkey.Address {
		p := netip.MustParsePrefix(a)
		return &pfkey.Address{PrefixLen: uint8(p.Bits()), Sockaddr: pfkey.Addressed(netip.AddrPortFrom(p.Addr(), 0))}
	}
	for got, want := range map[string]bool{"10.1.0.0/16": true, "10.1.0.1/16": true, "10.2.0.0/16": false} {
		if same := sameAddress(of("10.1.0.0/16"), nil, of(got)); same != want {
			t.Errorf("%s: %t", got, same)
		}
	}
}

// TestKeyedKeysGo: the keys in what the other side says are wiped when it is heard, whether it is waited for, late, or another's.
func TestKeyedKeysGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, _ := keyedTo(t, path)
	w := waiter{answer: make(chan *pfkey.Message, 1), request: &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeGet, SAType: pfkey.SATypeESP, Seq: 77, PID: uint32(os.Getpid())}}}
	k.mu.Lock()
	k.waiting[77] = w
	k.mu.Unlock()
	for _, when := range []string{"waited for", "late"} {
		octets := []byte{1, 2, 3, 4}
		integ, key := secret.New(octets), secret.New(octets)
		k.take(&pfkey.Message{Header: w.request.Header, SA: &pfkey.SA{SPI: 0x1001}, KeyAuth: &integ, KeyEncrypt: &key})
		if none := secret.New(make([]byte, len(octets))); !integ.Equal(none) || !key.Equal(none) {
			t.Errorf("%s: keys are left", when)
		}
	}
	if len(w.answer) != 1 {
		t.Errorf("%d answers, expected the one that was waited for", len(w.answer))
	}
}

// TestKeyedNames: a peer that chooses the outbound SPI of another (it stands in the clear in every packet) takes nothing from it. At another
// address both are served (RFC 4301, Section 4.1). At the same one the second is told to choose again, and where an SA cannot move to an
// address because its name is another's there, its child is replaced.
func TestKeyedNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pfkey")
	s := serve(t, path)
	defer s.hub.Close()
	k, notices := keyedTo(t, path)
	first := keyedPut(t, k, 7, 0, 0xc0000001, nil)
	second := keyedChild(t, k, 8, 0, first.SPIOut)
	second.TSRemote = prefix("10.3.0.0/16")
	if a, ok := k.Ask(time.Now(), 8, ike.Install{Child: second}).(ike.Failed); !ok || !errors.Is(a.Err, pfkey.EEXIST) || a.Refusal != ike.RefusalTemporary {
		t.Errorf("the second: %+v, expected EEXIST for now", a)
	}
	thief := keyedPath("203.0.113.9:4500")
	r, _ := k.Ask(time.Now(), 9, ike.Reserve{Local: thief.Local.Addr(), Remote: thief.Remote.Addr()}).(ike.Reserved)
	third := second
	third.SPIIn, third.Path = r.SPI, thief
	third.KeyIn, third.KeyOut = secret.New(make([]byte, 20)), secret.New(make([]byte, 20))
	if a := k.Ask(time.Now(), 9, ike.Install{Child: third}); a != (ike.Installed{}) {
		t.Fatalf("the same at another address: %+v", a)
	}
	if a, ok := k.Ask(time.Now(), 7, ike.Move{SPIIn: first.SPIIn, Path: thief}).(ike.Failed); !ok || a.Refusal != ike.RefusalUnsupported {
		t.Errorf("a move to where the name is another's: %+v", a)
	}
	for _, ref := range s.db.SAs(0, false) { // the policy of what comes in is where it was
		if i, ok := ref.Info(); ok && i.SPI == first.SPIIn && i.Src != netip.MustParseAddr("198.51.100.1") {
			t.Errorf("the inbound SA is of %v after the move was refused", i.Src)
		}
	}
	if a := k.Ask(time.Now(), 7, ike.Move{SPIIn: first.SPIIn, Path: first.Path}); a != (ike.Installed{}) {
		t.Fatalf("and back: %+v", a)
	}
	k.RemoveAll(9)
	if sas, policies := s.counts(); sas != 2 || policies != 2 {
		t.Errorf("%d SAs and %d policies, expected the first one's 2 and 2", sas, policies)
	}
	// An SPI of another's SA names nothing of ours.
	address := func(a string) *pfkey.Address { return addressOf(netip.MustParseAddr(a)) }
	port := uint16(4500)
	for _, m := range []*pfkey.Message{
		{Header: pfkey.Header{Type: pfkey.TypeExpire, SAType: pfkey.SATypeESP}, Src: address("192.0.2.1"), Dst: address("198.51.100.9")},
		{Header: pfkey.Header{Type: pfkey.TypeExpire, SAType: pfkey.SATypeAH}, Src: address("198.51.100.1"), Dst: address("192.0.2.1")},
		{Header: pfkey.Header{Type: pfkey.TypeNewMapping, SAType: pfkey.SATypeESP}, Src: address("198.51.100.9"), Dst: address("203.0.113.1"), NATSrcPort: &port, NATDstPort: &port},
	} {
		m.SA, m.LifetimeHard = &pfkey.SA{SPI: first.SPIIn}, &pfkey.Lifetime{}
		k.take(m)
	}
	select {
	case n := <-notices:
		t.Errorf("a machine was told %+v", n)
	default:
	}
	k.take(&pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeExpire, SAType: pfkey.SATypeESP}, SA: &pfkey.SA{SPI: first.SPIOut},
		LifetimeHard: &pfkey.Lifetime{}, Src: address("192.0.2.1"), Dst: address("198.51.100.1")})
	if n := <-notices; n != (told{7, ike.Expire{SPIIn: first.SPIIn, Hard: true}}) {
		t.Errorf("of the outbound SA: %+v", n)
	}
}

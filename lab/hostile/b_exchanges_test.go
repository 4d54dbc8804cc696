// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section B: message IDs, deletes and rekeys with wrong SPIs, INITIAL_CONTACT, peers without the key (T-019, T-024 to T-028).

package hostile

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/lab/bogus"
)

// TestT019_MessageIDs: outside of the window, and what nobody asked for: silence.
func TestT019_MessageIDs(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	for range 3 {
		if err := p.Ping(); err != nil {
			t.Fatal(err)
		}
	}
	next := p.Current().NextOut
	p.Seen()
	post := func(exchange uint8, id uint32, response bool, list ...bogus.Payload) {
		m := p.Header(exchange, id, response)
		m.Payloads = list
		if _, err := p.PostMessage(bogus.InfoRequest, m); err != nil {
			t.Fatal(err)
		}
	}
	del := bogus.Delete(bogus.ProtoIKE)
	for _, id := range []uint32{0, 1, next - 2, next + 1, next + 2, next + 63, next + 1<<31, 1<<32 - 1} {
		post(bogus.Informational, id, false, del)
		post(bogus.CreateChildSA, id, false, del)
	}
	for _, id := range []uint32{0, 1, next, 1<<32 - 1} {
		post(bogus.Informational, id, true, del)
		post(bogus.IKEAuth, id, true)
	}
	w.Silence(p, "a message outside of the window")
	// The last request again, with another content: the same answer, or none; never a second execution.
	post(bogus.Informational, next-1, false, del)
	w.Settle()
	for _, m := range p.Seen() {
		if len(m.Payloads) > 0 || m.ID != next-1 {
			t.Errorf("a repeated message ID was answered with %v", m)
		}
	}
	// Exchanges that do not belong there are refused under protection, one message ID each.
	for _, exchange := range []uint8{bogus.IKEAuth, 38, 43, 240} {
		got, err := p.Exchange(bogus.InfoRequest, exchange, bogus.N(40000))
		if err != nil || got.Error() == 0 {
			t.Errorf("exchange %d on an established IKE SA: %v, %v", exchange, got, err)
		}
	}
	if err := p.Ping(); err != nil {
		t.Errorf("the IKE SA afterwards: %v", err)
	}
}

// TestT024_DeleteAndRekey: REKEY_SA and Delete with protocols, SPI sizes and numbers that are not so.
func TestT024_DeleteAndRekey(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	children := w.D.Stats().Children
	spi := binary.BigEndian.AppendUint32(nil, p.Child().SPIIn)
	raw := func(proto, size byte, n uint16, spis ...byte) bogus.Payload {
		return bogus.Payload{Type: bogus.PayloadDelete, Body: append([]byte{proto, size, byte(n >> 8), byte(n)}, spis...)}
	}
	for name, d := range map[string]bogus.Payload{
		"empty": {Type: bogus.PayloadDelete}, "3 octets": {Type: bogus.PayloadDelete, Body: []byte{3, 4, 0}},
		"protocol 0": raw(0, 4, 1, spi...), "protocol 4": raw(4, 4, 1, spi...), "AH": raw(2, 4, 1, spi...), "IKE with an SPI": raw(1, 8, 1, make([]byte, 8)...),
		"size 0": raw(3, 0, 1), "size 8": raw(3, 8, 1, make([]byte, 8)...), "size 255": raw(3, 255, 1, make([]byte, 255)...), "size 3": raw(3, 3, 1, spi[:3]...),
		"65535 SPIs of one": raw(3, 4, 65535, spi...), "no SPI": raw(3, 4, 0), "more octets": raw(3, 4, 1, append(spi, 0)...),
		"an SPI of nobody": raw(3, 4, 1, 1, 2, 3, 4), "SPI 0": raw(3, 4, 1, 0, 0, 0, 0),
	} {
		got, err := p.Exchange(bogus.InfoRequest, bogus.Informational, d)
		if err != nil || !got.Sealed {
			t.Fatalf("Delete, %s: %v, %v, expected an answer", name, got, err)
		}
		if e := got.Error(); e != 0 && e != bogus.InvalidSyntax {
			t.Errorf("Delete, %s: %v, expected INVALID_SYNTAX or to be ignored", name, got)
		}
	}
	for name, n := range map[string]bogus.Notify{
		"protocol 0": {Proto: 0, SPI: spi}, "protocol 1": {Proto: 1, SPI: spi}, "AH": {Proto: 2, SPI: spi}, "protocol 4": {Proto: 4, SPI: spi},
		"no SPI": {Proto: 3}, "8 octets": {Proto: 3, SPI: make([]byte, 8)}, "255 octets": {Proto: 3, SPI: make([]byte, 255)},
		"an SPI of nobody": {Proto: 3, SPI: []byte{1, 2, 3, 4}}, "SPI 0": {Proto: 3, SPI: make([]byte, 4)},
	} {
		n.Type = bogus.RekeySA
		p.SetBugs(bogus.Bugs{Edit: bogus.Prepend(bogus.ChildRequest, n.Payload())})
		if c, err := p.NewChild(); err == nil {
			// Taken as a new child, which is what the request says but for the notify.
			p.SetBugs(bogus.Bugs{})
			if err := p.DeleteChild(c); err != nil {
				t.Error(err)
			}
			t.Errorf("REKEY_SA, %s: a child was made", name)
		}
		p.SetBugs(bogus.Bugs{})
	}
	if n := w.D.Stats().Children; n != children {
		t.Errorf("%d children, expected %d as before", n, children)
	}
	if !p.EchoThrough(p.Address(), inner(), 1, pingLimit) {
		t.Error("the child carries nothing any more")
	}
	bothInOne(t, w, p)
}

// bothInOne: a Delete of the IKE SA with more behind it ends it once.
func bothInOne(t *testing.T, w *World, p *bogus.Peer) {
	before := w.D.Stats().IKESAs
	spi := binary.BigEndian.AppendUint32(nil, p.Child().SPIIn)
	del := bogus.Delete(bogus.ProtoIKE)
	if _, err := p.Exchange(bogus.InfoRequest, bogus.Informational, del, del, bogus.Delete(bogus.ProtoESP, spi, spi), bogus.N(40000)); err != nil {
		t.Error(err)
	}
	Eventually(t, time.Second, "the deleted IKE SA is gone", func() bool { return w.D.Stats().IKESAs == before-1 })
	p.Current().Up = false
}

// TestT025_InitialContact: it closes the other IKE SAs of the identity that has just proved to be that identity, no others.
func TestT025_InitialContact(t *testing.T) {
	w := Open(t, Options{})
	as := func(name, key string, contact bool) *bogus.Peer {
		return w.Peer(func(c *bogus.Config) {
			c.ID, c.PSK = bogus.FQDN(name), []byte(key)
			if contact {
				c.Bugs.Edit = bogus.Prepend(bogus.AuthRequest, bogus.N(bogus.InitialContact))
			}
		})
	}
	victim := as("victim.example", psk, false)
	if err := victim.Connect(); err != nil {
		t.Fatal(err)
	}
	alive := func(why string) {
		t.Helper()
		w.Settle()
		if err := victim.Ping(); err != nil {
			t.Fatalf("%s closed the victim's IKE SA: %v", why, err)
		}
	}
	thief := as("victim.example", "a guess at the key, which is wrong", true)
	if err := thief.Connect(); err == nil {
		t.Fatal("the wrong key was accepted")
	}
	alive("INITIAL_CONTACT without the key")
	half := as("victim.example", psk, true)
	if _, err := half.Init(); err != nil {
		t.Fatal(err)
	}
	half.SetBugs(bogus.Bugs{Seal: bogus.SealOn(bogus.AuthRequest, bogus.Sealing{FlipICV: true}), Edit: bogus.Prepend(bogus.AuthRequest, bogus.N(bogus.InitialContact))})
	half.Post(bogus.AuthRequest, bogus.IKEAuth, half.AuthPayloads()...)
	alive("INITIAL_CONTACT with a wrong ICV")
	other := as("other.example", psk, true)
	if err := other.Connect(); err != nil {
		t.Fatal(err)
	}
	alive("INITIAL_CONTACT of another identity")
	if _, err := other.Exchange(bogus.InfoRequest, bogus.Informational, bogus.N(bogus.InitialContact)); err != nil {
		t.Error(err)
	}
	alive("INITIAL_CONTACT outside of IKE_AUTH")
	again := as("victim.example", psk, true)
	if err := again.Connect(); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	if st := w.D.Stats(); st.IKESAs-st.HalfOpen != w.base.ikeSAs+2 {
		t.Errorf("%d IKE SAs, expected that of the other and the victim's new one beside the tunnel", st.IKESAs-st.HalfOpen-w.base.ikeSAs)
	}
	if err := again.Ping(); err != nil {
		t.Errorf("the new IKE SA: %v", err)
	}
	victim.Current().Up = false
}

// TestT026_NoUsableKey: AUTHENTICATION_FAILED once, then nothing is left, however often the request comes again.
func TestT026_NoUsableKey(t *testing.T) {
	w := Open(t, Options{})
	var sent [][]byte
	p := w.Peer(func(c *bogus.Config) {
		c.PSK = []byte("not the key of this gateway")
		c.Bugs.Wire = func(s bogus.Step, d [][]byte) [][]byte {
			if s == bogus.AuthRequest {
				sent = d
			}
			return d
		}
	})
	var refused *bogus.Refused
	if err := p.Connect(); !asRefused(err, &refused) || refused.Notify != bogus.AuthenticationFailed || !refused.Sealed {
		t.Fatalf("%v, expected AUTHENTICATION_FAILED under protection", err)
	}
	w.Settle()
	if st := w.D.Stats(); st.IKESAs != w.base.ikeSAs || st.HalfOpen > 0 {
		t.Errorf("%d IKE SAs and %d half-open after the refusal", st.IKESAs-w.base.ikeSAs, st.HalfOpen)
	}
	p.Seen()
	for range 50 {
		p.SendRaw(true, marked(sent[0]))
	}
	w.Settle()
	for _, m := range p.Seen() {
		if m.Sealed || m.Error() != bogus.InvalidIKESPI {
			t.Errorf("a retransmission after the refusal was answered with %v", m)
		}
	}
}

// TestT027_ClosedWhileWorking: IKE SAs end, by command, while a key exchange for them is under way. The result goes nowhere.
func TestT027_ClosedWhileWorking(t *testing.T) {
	w := Open(t, Options{Child: "rekey_time = 0"})
	for range 8 {
		slow := bogus.Suite{Encr: bogus.EncrAESGCM16, Bits: 128, PRF: bogus.PRFSHA256, KE: bogus.KEMODP2048}
		p := w.Connect(func(c *bogus.Config) { c.IKE = slow })
		p.SetTimeout(200 * time.Millisecond)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.RekeyIKE()
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		for _, sa := range w.D.Status() {
			if sa.RemoteID.String() == "peer.example" {
				w.D.Terminate(ctx, daemon.Target{IKEID: sa.Unique}, daemon.Command{Force: true})
			}
		}
		cancel()
		p.Close()
		<-done
		p.Current().Up = false
	}
	// Half-open ones: the peer goes on with IKE_AUTH before the answer to IKE_SA_INIT is there, or never.
	crowd, p := w.Crowd(), w.Peer(nil)
	for i := range 60 {
		crowd.Send(i, w.IKE, initBytes(t, p))
	}
	for _, sa := range w.D.Status() {
		if sa.HalfOpen {
			w.D.Terminate(context.Background(), daemon.Target{IKEID: sa.Unique}, daemon.Command{Force: true, NoWait: true})
		}
	}
}

// TestT028_ManyInformationals: many requests with different contents, one after the other: each is answered once, in order.
func TestT028_ManyInformationals(t *testing.T) {
	const requests = 1500
	w := Open(t, Options{})
	p := w.Connect(nil)
	p.Seen()
	first := p.Current().NextOut
	for i := range uint32(requests) {
		var list []bogus.Payload
		for k := range i % 5 {
			list = append(list, bogus.N(uint16(40000+k), byte(i)))
		}
		if i%7 == 0 {
			list = append(list, bogus.CP(1, bogus.Attribute{Type: 99}))
		}
		got, err := p.Exchange(bogus.InfoRequest, bogus.Informational, list...)
		if err != nil || !got.Sealed || got.ID != first+i {
			t.Fatalf("request %d: %v, %v", i, got, err)
		}
	}
	// And all at once, of which only one is in the window.
	p.Seen()
	for i := range uint32(200) {
		if _, err := p.PostMessage(bogus.InfoRequest, p.Header(bogus.Informational, first+requests+1+i, false)); err != nil {
			t.Fatal(err)
		}
	}
	w.Silence(p, "a request beyond the window")
}

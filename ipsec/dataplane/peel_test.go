// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A peer that has keys for six SAs and puts them around packets as it likes, against a policy: what is delivered is what a slow model says, which
// compares lists. The peer's side is made by hand, header by header.

package dataplane

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/ah"
	"github.com/natterjack/natterjack/ipsec/esp"
	"github.com/natterjack/natterjack/ipsec/ipcomp"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

// forge is the peer's side of one SA.
type forge struct {
	sa    sadb.SA
	esp   *esp.Sealer
	ah    *ah.Sealer
	codec *ipcomp.Codec
}

// forged adds an SA to a host and returns the peer's side of it.
func forged(h *end, d *duo, proto uint8, mode sadb.Mode, spi, reqid uint32, src, dst netip.Addr) *forge {
	h.t.Helper()
	f := &forge{sa: sadb.SA{Proto: proto, SPI: spi, Src: src, Dst: dst, Mode: mode, Reqid: reqid, Window: 1024}}
	var err error
	switch proto {
	case sadb.ProtoESP:
		f.sa.Suite, f.sa.Key = gcm, key(20)
		f.esp, err = esp.NewSealer(spi, gcm, f.sa.Key, secret.Key{}, rand.Reader)
	case sadb.ProtoAH:
		f.sa.Suite, f.sa.Integ = hmac256, key(32)
		f.ah, err = ah.NewSealer(spi, hmac256.Integ, f.sa.Integ, false, false, rand.Reader)
	case sadb.ProtoIPComp:
		f.codec = ipcomp.NewCodec(1)
	}
	if err == nil {
		err = h.db.AddSA(d.now, f.sa)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

// wrap puts the SA around a whole IPv4 packet. applied is false where compression wins nothing.
func (f *forge) wrap(p []byte) (out []byte, applied bool) {
	head, payload, next := p[:20], p[20:], p[9]
	if f.sa.Mode == sadb.Tunnel {
		head, payload, next = ipv4(f.sa.Src.String(), f.sa.Dst.String(), 0, nil), p, 4
	}
	out = bytes.Clone(head)
	applied = true
	switch {
	case f.esp != nil:
		out = append(out, make([]byte, f.esp.Size(len(payload)))...)
		copy(out[20+f.esp.Head():], payload)
		if _, err := f.esp.Seal(out[20:], len(payload), next); err != nil {
			panic(err)
		}
	case f.ah != nil:
		out = append(append(out, make([]byte, f.ah.Len(false))...), payload...)
	default:
		b := make([]byte, len(payload)+ipcomp.HeaderLen)
		n, ok := f.codec.Compress(b, payload, uint16(f.sa.SPI), next)
		if applied = ok; !ok {
			n = copy(b, payload)
		}
		out = append(out, b[:n]...)
	}
	proto := f.sa.Proto
	if !applied {
		proto = next
	}
	retell(out, 20, proto)
	if f.ah != nil {
		if err := f.ah.Seal(out, 20, next); err != nil {
			panic(err)
		}
	}
	return out, applied
}

// arrives is an IPv4 packet as the raw socket of its protocol delivers it.
func arrives(p []byte) Datagram {
	d := Datagram{Buf: bytes.Clone(p), N: len(p), Proto: p[9], Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[12:16])), 0),
		Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[16:20])), 0)}
	if p[9] != protoAH {
		d.Ident = binary.BigEndian.Uint16(p[4:])
		d.Buf, d.N = d.Buf[20:], d.N-20
	}
	return d
}

// arena is a host with six SAs, each with its index plus one for reqid.
type arena struct {
	*duo
	sas []*forge
}

func newArena(t testing.TB) *arena {
	a := &arena{duo: newDuo(t, plain)}
	for i, k := range kinds() {
		a.sas = append(a.sas, forged(a.b, a.duo, k.Proto, k.Mode, uint32(0x1000+i), uint32(i+1), plain.client.Addr(), plain.gateway.Addr()))
	}
	return a
}

// failing is what the tests of testing and of rapid have in common.
type failing interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// bareLayer stands in the model's lists for IP in IP.
const bareLayer = -1

// try gives the host a policy (indices of SAs, the innermost first; above 8: it need not be there), sends a packet with layers (the innermost
// first), and compares. It reports whether the packet was delivered.
func (a *arena) try(t failing, policy, layers []int, payload []byte) bool {
	t.Helper()
	a.b.db.SPDFlush()
	src, dst := plain.client.Addr(), plain.gateway.Addr()
	e := sadb.SPDEntry{Dir: sadb.In, Action: sadb.Protect, Local: host(dst), Remote: host(src)}
	if len(layers) > 0 && a.sas[layers[0]].sa.Mode == sadb.Tunnel {
		src, dst = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.2.0.7")
		e.Local, e.Remote = host(dst), host(src)
	}
	e.Local.Proto, e.Remote.Proto = 17, 17 // not for what lies in between
	for _, i := range policy {
		k := kinds()[i%8]
		k.Reqid = uint32(i%8 + 1)
		if i >= 8 {
			k.Level = sadb.Use
		}
		if k.Mode == sadb.Tunnel {
			k.Src, k.Dst = plain.client.Addr(), plain.gateway.Addr()
		}
		e.Templates = append(e.Templates, k)
	}
	if _, err := a.b.db.SPDAdd(a.now, e); err != nil {
		t.Fatal(err)
	}
	p := relength(packet(src, dst, 17, append(udpOf(5000, 1701, 0), payload...)), len(payload))
	q := p
	var came []int
	for _, i := range layers {
		next, applied := a.sas[i].wrap(q)
		switch q = next; {
		case applied:
			came = append(came, i)
		case a.sas[i].sa.Mode == sadb.Tunnel:
			came = append(came, bareLayer)
		}
	}
	if !protected(q[9]) {
		return false // nothing that a socket of the engine's delivers
	}
	got := a.b.open(a.now, []Datagram{arrives(q)})
	want := distinct(came) && len(came) <= maxLayers && wanted(policy, came)
	if (len(got) == 1) != want {
		t.Fatalf("policy %v, layers %v, as they came %v: %d packets, expected %v; %v", policy, layers, came, len(got), want, a.b.e.Counters())
	}
	if want && !sameInner(got[0], p) {
		t.Fatalf("policy %v, layers %v:\ngot  %x\nwant %x", policy, layers, got[0], p)
	}
	return want
}

func distinct(list []int) bool {
	seen := map[int]bool{}
	for _, i := range list {
		if i != bareLayer && seen[i] {
			return false
		}
		seen[i] = true
	}
	return true
}

// wanted is the model: some way of leaving out what may be left out gives the list.
func wanted(policy, came []int) bool {
	if len(policy) == 0 {
		return len(came) == 0
	}
	k := kinds()[policy[0]%8]
	compresses := k.Proto == sadb.ProtoIPComp
	if len(came) > 0 && (came[0] == policy[0]%8 || came[0] == bareLayer && compresses && k.Mode == tn) && wanted(policy[1:], came[1:]) {
		return true
	}
	return (policy[0] >= 8 || compresses && k.Mode == tr) && wanted(policy[1:], came)
}

var squeezable = bytes.Repeat([]byte("compressible "), 60)

// TestPeelModel: random policies and packets, half of which have the layers of the policy, more or less.
func TestPeelModel(t *testing.T) {
	a := newArena(t)
	delivered := 0
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13}), 1, 5).Draw(t, "policy")
		var layers []int
		if rapid.Bool().Draw(t, "by it") {
			for _, i := range policy {
				if i < 8 || rapid.Bool().Draw(t, "used") {
					layers = append(layers, i%8)
				}
			}
		} else {
			layers = rapid.SliceOfN(rapid.IntRange(0, 5), 1, 7).Draw(t, "layers")
		}
		payload := squeezable
		if rapid.Bool().Draw(t, "random") {
			payload = random(rapid.IntRange(1, 900).Draw(t, "octets"))
		}
		if len(layers) > 0 && a.try(t, policy, layers, payload) {
			delivered++
		}
	})
	if delivered < 5 {
		t.Errorf("%d packets were delivered: the test shows little", delivered)
	}
}

// FuzzPeel is the same with the fuzzer's choices.
func FuzzPeel(f *testing.F) {
	f.Add([]byte{0, 2}, []byte{0, 2}, squeezable)
	f.Add([]byte{4, 1, 3}, []byte{4, 1, 3}, squeezable)
	f.Add([]byte{5, 1}, []byte{5, 1}, []byte("short"))
	f.Add([]byte{12, 9, 3}, []byte{3}, []byte("x"))
	f.Add([]byte{1}, []byte{1, 1, 1, 1, 1, 1, 1, 1}, []byte("x"))
	a := newArena(f)
	f.Fuzz(func(t *testing.T, policy, layers, payload []byte) {
		if len(policy) == 0 || len(policy) > sadb.MaxTemplates || len(layers) == 0 || len(layers) > maxLayers+2 || len(payload) > 1200 {
			return
		}
		var p, l []int
		for _, b := range policy {
			p = append(p, int(b)%6+int(b)/6%2*8)
		}
		for _, b := range layers {
			l = append(l, int(b)%6)
		}
		a.b.t = t
		a.try(t, p, l, payload)
	})
}

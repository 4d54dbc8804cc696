// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/ikev2msg"
)

// A pattern is what is configured; a peer that claims to be one is nobody.
func TestPatternIsNoIdentity(t *testing.T) {
	for text, ok := range map[string]bool{"a.example": true, "*": false, "*.example": false, "a*.example": false} {
		for _, kind := range []ike.IDType{ike.IDFQDN, ike.IDRFC822} {
			_, err := idOf([]ikev2msg.Payload{&ikev2msg.ID{IDType: uint8(kind), Data: []byte(text)}}, false)
			if (err == nil) != ok {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

// A responder that is not configured who it is answers as whom its certificate is of, not as whoever is asked for.
func TestIdentityThatIsAskedFor(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gw"}, DNSNames: []string{"gw.example"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	fqdn := func(s string) ike.ID { return ike.ID{Type: ike.IDFQDN, Data: []byte(s)} }
	certified := &ike.Auth{Method: ike.AuthPubkey, Certs: [][]byte{der}}
	for _, c := range []struct {
		auth *ike.Auth
		id   ike.ID
		want bool
	}{
		{certified, fqdn("gw.example"), true},
		{certified, fqdn("other.example"), false},
		{certified, fqdn("*"), false},
		{certified, ike.IDFromAddr(netip.MustParseAddr("192.0.2.1")), false},
		{certified, ike.ID{}, false},
		{&ike.Auth{Method: ike.AuthPubkey}, fqdn("gw.example"), true},
		{&ike.Auth{Method: ike.AuthPSK}, fqdn("gw.example"), true},
		{&ike.Auth{Method: ike.AuthPSK}, fqdn("*.example"), false},
	} {
		if got := mayBe(c.auth, c.id); got != c.want {
			t.Errorf("method %d, %s: %t", c.auth.Method, c.id, got)
		}
	}
}

// The smallest sizes of datagrams, in which no fragment has room: the message is sent whole.
func TestNoRoomForFragments(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for size := range 200 {
		sa := up(start, ike.Env{}, &ike.Connection{})
		sa.peerFragments, sa.env.FragmentSize = true, size
		m := &ikev2msg.Message{Header: sa.cur.header(ikev2msg.Informational, 0, false), Payloads: []ikev2msg.Payload{&ikev2msg.Vendor{Data: make([]byte, 500)}}}
		if n := len(sa.seal(sa.cur, m)); n < 1 || n > ikev2msg.MaxFragments {
			t.Errorf("datagrams of %d octets: %d fragments", size, n)
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package credentials

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
)

func offered() []uint16 { return []uint16{2, 3, 4, 5} }

// failed returns the error of an answer that must be a refusal of authentication.
func failed(t *testing.T, a ike.Answer) string {
	t.Helper()
	f, ok := a.(ike.Failed)
	if !ok {
		t.Errorf("answer %T, expected a failure", a)
		return ""
	}
	if f.Refusal != ike.RefusalAuthentication || f.Err == nil {
		t.Errorf("refusal %d, %v", f.Refusal, f.Err)
		return ""
	}
	return f.Err.Error()
}

// TestSignVerifyBothEnds: a client and a gateway with different CAs below one root, with every kind of key and both ages of
// methods, believe each other.
func TestSignVerifyBothEnds(t *testing.T) {
	root := ca(t, nil, "root")
	inter := ca(t, root, "inter")
	octets := []byte("octets")
	for _, kind := range []string{"rsa", "p256", "p384", "p521", "ed25519"} {
		gw := host(t, inter, kind, "gw.example.com")
		own := storeOf(t, &config.Config{Certs: []config.Cert{plain(gw), plain(inter), anchor(root)}, Keys: []config.PrivateKey{gw.private()}})
		peer := storeOf(t, &config.Config{Certs: []config.Cert{anchor(root)}})
		for name, c := range map[string]struct {
			auth   ike.Auth
			hashes []uint16
			method uint8
		}{
			"by identity":     {ike.Auth{ID: fqdn("gw.example.com")}, offered(), 14},
			"by certificate":  {ike.Auth{Certs: [][]byte{gw.der()}}, offered(), 14},
			"the only one":    {ike.Auth{}, offered(), 14},
			"older methods":   {ike.Auth{ID: fqdn("gw.example.com")}, nil, map[string]uint8{"rsa": 1, "p256": 9, "p384": 10, "p521": 11}[kind]},
			"only SHA2-512":   {ike.Auth{ID: fqdn("gw.example.com"), Schemes: []string{"rsa-pss-sha512", "ecdsa-sha512", "ed25519"}}, offered(), 14},
			"key identifier":  {ike.Auth{ID: ike.ID{Type: ike.IDKeyID, Data: []byte("group")}, Certs: [][]byte{gw.der()}}, offered(), 14},
			"both identities": {ike.Auth{ID: fqdn("gw.example.com"), Certs: [][]byte{gw.der()}}, offered(), 14},
		} {
			c.auth.Method = ike.AuthPubkey
			a := own.Sign(now, ike.Sign{Auth: &c.auth, PeerHashes: c.hashes, Octets: octets, CertReq: root.authorityHash()})
			if c.method == 0 {
				if text := failed(t, a); !strings.Contains(text, "Ed25519") {
					t.Error(text)
				}
				continue
			}
			signed, ok := a.(ike.Signed)
			if !ok {
				t.Errorf("%s, %s: %v", kind, name, a)
				continue
			}
			if signed.Method != c.method || signed.Scheme == "" {
				t.Errorf("%s, %s: method %d, %s", kind, name, signed.Method, signed.Scheme)
			}
			if len(signed.Certs) != 2 || !bytes.Equal(signed.Certs[0], gw.der()) || !bytes.Equal(signed.Certs[1], inter.der()) {
				t.Errorf("%s, %s: %d certificates", kind, name, len(signed.Certs))
			}
			remote := &ike.Auth{Method: ike.AuthPubkey, ID: fqdn("*.example.com")}
			v := peer.Verify(now, ike.Verify{Auth: remote, ID: fqdn("gw.example.com"), Certs: signed.Certs, Method: signed.Method,
				Data: signed.Data, Octets: octets, Allowed: offered()})
			if got, ok := v.(ike.Verified); !ok || got.Scheme != signed.Scheme {
				t.Errorf("%s, %s: %v", kind, name, v)
			}
		}
	}
}

func TestSignRefuses(t *testing.T) {
	root := ca(t, nil, "root")
	gw, two := host(t, root, "p256", "gw.example.com"), host(t, root, "p256", "two.example.com")
	old := host(t, root, "p256", "old.example.com", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	bare := host(t, root, "p256", "bare.example.com")
	s := storeOf(t, &config.Config{
		Certs: []config.Cert{plain(gw), plain(two), plain(old), plain(bare), anchor(root)},
		Keys:  []config.PrivateKey{gw.private(), two.private(), old.private()},
	})
	for name, c := range map[string]struct {
		auth *ike.Auth
		says string
	}{
		"no round":               {nil, "not by certificate"},
		"PSK":                    {&ike.Auth{Method: ike.AuthPSK}, "not by certificate"},
		"ambiguous":              {&ike.Auth{Method: ike.AuthPubkey}, "local.certs or local.id"},
		"unknown identity":       {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("x.example.com")}, "name one in local.certs"},
		"key missing":            {&ike.Auth{Method: ike.AuthPubkey, Certs: [][]byte{bare.der()}}, "private key of the certificate"},
		"no key for identity":    {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("bare.example.com")}, "private key"},
		"expired":                {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("old.example.com")}, "valid from"},
		"identity not in it":     {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("two.example.com"), Certs: [][]byte{gw.der()}}, "gw.example.com"},
		"no certificate":         {&ike.Auth{Method: ike.AuthPubkey, Certs: [][]byte{[]byte("x")}}, "local.certs"},
		"scheme of another key":  {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("gw.example.com"), Schemes: []string{"rsa"}}, "auth allows [rsa]"},
		"second without own ID":  {&ike.Auth{Method: ike.AuthPubkey, Certs: [][]byte{bare.der(), gw.der()}}, "private key"},
		"wildcard is no own ID":  {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("*.example.com")}, "local.certs"},
		"CN is no identity here": {&ike.Auth{Method: ike.AuthPubkey, ID: fqdn("root")}, "local.certs"},
	} {
		if text := failed(t, s.Sign(now, ike.Sign{Auth: c.auth, PeerHashes: offered(), Octets: []byte("x")})); !strings.Contains(text, c.says) {
			t.Errorf("%s: %q does not say %q", name, text, c.says)
		}
	}
	text := failed(t, New().Sign(now, ike.Sign{Auth: &ike.Auth{Method: ike.AuthPubkey}}))
	if !strings.Contains(text, "local.certs") {
		t.Error(text)
	}
}

// TestSignChoosesByCertReq: of several certificates the one that the peer asks for; without one the first.
func TestSignChoosesByCertReq(t *testing.T) {
	a, b := ca(t, nil, "a"), ca(t, nil, "b")
	ga, gb := host(t, a, "p256", "gw"), host(t, b, "ed25519", "gw")
	s := storeOf(t, &config.Config{
		Certs: []config.Cert{anchor(a), anchor(b), plain(ga), plain(gb)}, Keys: []config.PrivateKey{ga.private(), gb.private()},
	})
	for name, c := range map[string]struct {
		request []byte
		hashes  []uint16
		want    *node
	}{
		"no request":              {nil, offered(), ga},
		"b":                       {b.authorityHash(), offered(), gb},
		"both":                    {slices.Concat(b.authorityHash(), a.authorityHash()), offered(), ga},
		"another":                 {make([]byte, 20), offered(), ga},
		"b, but no Ed25519 there": {b.authorityHash(), []uint16{2}, ga},
	} {
		for _, auth := range []*ike.Auth{{ID: fqdn("gw")}, {ID: fqdn("gw"), Certs: [][]byte{ga.der(), gb.der()}}} {
			auth.Method = ike.AuthPubkey
			signed, ok := s.Sign(now, ike.Sign{Auth: auth, CertReq: c.request, PeerHashes: c.hashes, Octets: []byte("x")}).(ike.Signed)
			if !ok || !bytes.Equal(signed.Certs[0], c.want.der()) {
				t.Errorf("%s: another certificate", name)
			}
		}
	}
}

// login is one attempt of a peer, in its honest form.
type login struct {
	auth  ike.Auth
	q     ike.Verify
	store *Store
}

// TestT042Login: from an honest login, one thing changed at a time.
func TestT042Login(t *testing.T) {
	root, foreign := ca(t, nil, "root"), ca(t, nil, "foreign")
	alice, bob := host(t, root, "ed25519", "alice"), host(t, root, "ed25519", "bob")
	mallory := host(t, foreign, "ed25519", "alice")
	self := host(t, nil, "ed25519", "alice")
	roadEmail := host(t, root, "ed25519", "mail", func(c *x509.Certificate) {
		c.EmailAddresses, c.IPAddresses = []string{"carol@example.com"}, []net.IP{net.IPv4(192, 0, 2, 9)}
	})
	octets := []byte("octets")
	by := func(n *node) []byte {
		return append([]byte{7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70}, ed25519.Sign(n.key.(ed25519.PrivateKey), octets)...)
	}
	signedBy := func(l *login, n *node, certs ...*node) {
		l.q.Data, l.q.Certs = by(n), nil
		for _, c := range certs {
			l.q.Certs = append(l.q.Certs, c.der())
		}
	}
	for name, c := range map[string]struct {
		change func(*login)
		says   string // empty: accepted
	}{
		"honest":               {func(*login) {}, ""},
		"any identity":         {func(l *login) { l.auth.ID = ike.ID{} }, ""},
		"identity of any case": {func(l *login) { l.q.ID = fqdn("ALICE") }, ""},
		"e-mail": {func(l *login) {
			signedBy(l, roadEmail, roadEmail)
			l.auth.ID = ike.ID{}
			l.q.ID = ike.ID{Type: ike.IDRFC822, Data: []byte("carol@example.com")}
		}, ""},
		"address": {func(l *login) {
			signedBy(l, roadEmail, roadEmail)
			l.auth.ID = ike.ID{}
			l.q.ID = ike.ID{Type: ike.IDIPv4, Data: []byte{192, 0, 2, 9}}
		}, ""},
		"subject": {func(l *login) {
			l.auth.ID = ike.ID{}
			l.q.ID = ike.ID{Type: ike.IDDERASN1DN, Data: alice.cert.RawSubject}
		}, ""},
		"CA of the connection": {func(l *login) { l.auth.CACerts = [][]byte{root.der()}; l.store = New() }, ""},
		"pinned":               {func(l *login) { l.auth.Certs = [][]byte{bob.der(), alice.der()} }, ""},
		"pinned, self-signed":  {func(l *login) { signedBy(l, self, self); l.auth.Certs = [][]byte{self.der()} }, ""},
		"pinned, none sent":    {func(l *login) { l.q.Certs = nil; l.auth.Certs = [][]byte{bob.der(), alice.der()} }, ""},
		"loaded, none sent":    {func(l *login) { l.q.Certs = nil; _ = l.store.AddCert(plain(alice)) }, ""},
		"loaded twice, none sent": {func(l *login) {
			l.q.Certs = nil
			_ = l.store.AddCert(plain(mallory))
			_ = l.store.AddCert(plain(alice))
		}, ""},
		"none sent, none loaded":         {func(l *login) { l.q.Certs = nil }, "send_cert"},
		"self-signed in the store only":  {func(l *login) { signedBy(l, self, self); _ = l.store.AddCert(plain(self)) }, "does not lead"},
		"no round":                       {func(l *login) { l.auth.Method = ike.AuthPSK }, "not by certificate"},
		"PSK where a certificate is due": {func(l *login) { l.q.Method = 2 }, "expects a certificate"},
		"NULL":                           {func(l *login) { l.q.Method = 13 }, "authentication method 13"},
		"NULL, none sent":                {func(l *login) { l.q.Method = 13; l.q.Certs, l.q.Data = nil, nil }, "send_cert"},
		"DSS":                            {func(l *login) { l.q.Method = 3 }, "authentication method 3"},
		"no identity":                    {func(l *login) { l.q.ID = ike.ID{} }, "no identity"},
		"identity not expected":          {func(l *login) { signedBy(l, bob, bob); l.q.ID = fqdn("bob") }, "expects alice"},
		"key that is merely offered":     {func(l *login) { signedBy(l, bob, alice, bob) }, "signature of alice"},
		"own cert first, alice behind":   {func(l *login) { signedBy(l, bob, bob, alice) }, "not in the certificate"},
		"alice's cert, mallory's key":    {func(l *login) { signedBy(l, mallory, alice) }, "signature of alice"},
		"foreign CA":                     {func(l *login) { signedBy(l, mallory, mallory) }, "does not lead"},
		"foreign CA sent along":          {func(l *login) { signedBy(l, mallory, mallory, foreign) }, "does not lead"},
		"self-signed":                    {func(l *login) { signedBy(l, self, self) }, "does not lead"},
		"other CA of the connection":     {func(l *login) { l.auth.CACerts = [][]byte{foreign.der()} }, "does not lead"},
		"CA of the connection broken":    {func(l *login) { l.auth.CACerts = [][]byte{[]byte("x")} }, "remote.cacerts"},
		"pinned another":                 {func(l *login) { l.auth.Certs = [][]byte{bob.der()} }, "remote.certs"},
		"pinned another, none sent":      {func(l *login) { l.q.Certs = nil; l.auth.Certs = [][]byte{bob.der()} }, "send_cert"},
		"pinned broken, none sent":       {func(l *login) { l.q.Certs = nil; l.auth.Certs = [][]byte{[]byte("x")} }, "remote.certs"},
		"pinned, but another CA":         {func(l *login) { l.auth.Certs, l.auth.CACerts = [][]byte{alice.der()}, [][]byte{foreign.der()} }, "does not lead"},
		"no CA loaded":                   {func(l *login) { l.store = New() }, "no CA certificate is loaded"},
		"no CA loaded, none sent":        {func(l *login) { l.store = New(); l.q.Certs = nil }, "x509ca"},
		"CA loaded as a plain one":       {func(l *login) { l.store = New(); _ = l.store.AddCert(plain(root)) }, "no CA certificate is loaded"},
		"octets of another exchange":     {func(l *login) { l.q.Octets = []byte("others") }, "signature of alice"},
		"hash not offered":               {func(l *login) { l.q.Allowed = []uint16{2, 3, 4} }, "not offered"},
		"scheme not allowed":             {func(l *login) { l.auth.Schemes = []string{"ecdsa", "rsa"} }, "auth allows only"},
		"wildcard identity":              {func(l *login) { l.auth.ID = ike.ID{}; l.q.ID = fqdn("*") }, "not in the certificate"},
		"key ID that is no key":          {func(l *login) { l.auth.ID = ike.ID{}; l.q.ID = ike.ID{Type: ike.IDKeyID, Data: []byte("alice")} }, "key ID"},
		"nine certificates":              {func(l *login) { signedBy(l, alice, alice, root, root, root, root, root, root, root, root) }, "at most 8"},
		"no DER":                         {func(l *login) { l.q.Certs = [][]byte{[]byte("x")} }, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &login{auth: ike.Auth{Method: ike.AuthPubkey, ID: fqdn("alice")}, store: storeOf(t, &config.Config{Certs: []config.Cert{anchor(root)}})}
			l.q = ike.Verify{ID: fqdn("alice"), Method: 14, Octets: octets, Allowed: offered()}
			signedBy(l, alice, alice)
			c.change(l)
			l.q.Auth = &l.auth
			a := l.store.Verify(now, l.q)
			if c.says == "" {
				if v, ok := a.(ike.Verified); !ok || v.Scheme != "ED25519" {
					t.Errorf("%v", a)
				}
				return
			}
			if text := failed(t, a); !strings.Contains(text, c.says) {
				t.Errorf("%q does not say %q", text, c.says)
			}
		})
	}
	failed(t, New().Verify(now, ike.Verify{}))
}

func TestFindPSK(t *testing.T) {
	s := storeOf(t, &config.Config{Shared: []config.Shared{sharedKey("a", "for alice", "alice", "gw"), sharedKey("b", "for bob", "bob")}})
	ask := func(remote string) ike.Answer {
		return s.FindPSK(ike.FindPSK{Local: fqdn("gw"), Remote: fqdn(remote)})
	}
	for range 2 { // the machine wipes what it got; the second time it must still be there
		p, ok := ask("alice").(ike.PSK)
		if !ok || string(p.Key.Bytes()) != "for alice" {
			t.Fatalf("%v", p)
		}
		p.Key.Wipe()
	}
	pattern := &ike.Connection{Remote: []*ike.Auth{{ID: fqdn("*")}}}
	if _, ok := s.FindPSK(ike.FindPSK{Connection: pattern, Local: fqdn("gw"), Remote: fqdn("*")}).(ike.PSK); !ok {
		t.Error("an initiator whose connection accepts a pattern has no key")
	}
	if text := failed(t, ask("*")); !strings.Contains(text, "pattern") {
		t.Error(text)
	}
	text := failed(t, ask("carol"))
	if !strings.Contains(text, "gw") || !strings.Contains(text, "carol") || !strings.Contains(text, "secrets") {
		t.Error(text)
	}
}

func TestAuthorities(t *testing.T) {
	a, b := ca(t, nil, "a"), ca(t, nil, "b")
	self := host(t, nil, "ed25519", "self")
	plainHost := host(t, a, "ed25519", "plain")
	s := storeOf(t, &config.Config{Certs: []config.Cert{anchor(a), plain(plainHost)}, Authorities: []config.Authority{{Name: "b", Cert: config.Cert{DER: b.der(), CA: true, Source: "c"}}}})
	conn := func(send bool, auth ...*ike.Auth) *ike.Connection {
		return &ike.Connection{SendCertReq: send, Remote: auth}
	}
	anyCA := &ike.Auth{Method: ike.AuthPubkey}
	onlyB := &ike.Auth{Method: ike.AuthPubkey, CACerts: [][]byte{b.der(), []byte("x")}}
	pinned := &ike.Auth{Method: ike.AuthPubkey, CACerts: [][]byte{b.der()}, Certs: [][]byte{self.der(), plainHost.der(), []byte("x")}}
	for name, c := range map[string]struct {
		conns []*ike.Connection
		want  [][]byte
	}{
		"none":        {nil, nil},
		"PSK":         {[]*ike.Connection{conn(true, &ike.Auth{Method: ike.AuthPSK})}, nil},
		"switched":    {[]*ike.Connection{conn(false, anyCA)}, nil},
		"all loaded":  {[]*ike.Connection{conn(true, anyCA)}, [][]byte{a.authorityHash(), b.authorityHash()}},
		"one":         {[]*ike.Connection{conn(true, onlyB), conn(true, onlyB)}, [][]byte{b.authorityHash()}},
		"both":        {[]*ike.Connection{conn(true, onlyB), conn(true, anyCA)}, [][]byte{b.authorityHash(), a.authorityHash()}},
		"self-signed": {[]*ike.Connection{conn(true, pinned)}, [][]byte{b.authorityHash(), self.authorityHash()}},
	} {
		got, ok := s.Authorities(ike.CertRequests{Connections: c.conns}).(ike.CertAuthorities)
		if !ok || !bytes.Equal(got.Hashes, slices.Concat(c.want...)) {
			t.Errorf("%s: %x", name, got.Hashes)
		}
	}
	for i := range maxRequested {
		must(t, s.AddCert(anchor(ca(t, nil, string(rune('c'+i))))))
	}
	got := s.Authorities(ike.CertRequests{Connections: []*ike.Connection{conn(true, anyCA)}}).(ike.CertAuthorities)
	if len(got.Hashes) != 20*maxRequested {
		t.Errorf("%d octets", len(got.Hashes))
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/ike"
)

func TestAddListRemove(t *testing.T) {
	root := ca(t, nil, "root")
	gw := host(t, root, "ed25519", "gw.example.com")
	s := New()
	must(t, s.AddCert(anchor(root)))
	must(t, s.AddCert(anchor(root))) // again: no second entry
	must(t, s.AddCert(plain(gw)))
	id, err := s.AddKey(gw.private())
	must(t, err)
	if id != config.KeyID(gw.key.Public()) {
		t.Errorf("key is called %s", id)
	}
	_, err = s.AddKey(gw.private())
	must(t, err)
	must(t, s.AddShared(sharedKey("one", "first")))
	must(t, s.AddShared(sharedKey("one", "second")))
	must(t, s.AddShared(sharedKey("two", "third")))
	must(t, s.AddAuthority(config.Authority{Name: "a", Cert: anchor(root), CRLURIs: []string{"http://x"}}))
	must(t, s.AddAuthority(config.Authority{Name: "a", Cert: anchor(root)}))

	want := []Cert{{DER: root.der(), CA: true}, {DER: gw.der(), HasKey: true}}
	if d := cmp.Diff(want, s.Certs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{id}, s.KeyIDs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"one", "two"}, s.SharedIDs()); d != "" {
		t.Error(d)
	}
	if a := s.AuthorityList(); len(a) != 1 || a[0].Name != "a" || len(a[0].CRLURIs) != 0 {
		t.Errorf("%v", a)
	}
	for what, got := range map[string]bool{
		"key": s.RemoveKey("x"), "shared": s.RemoveShared("x"), "authority": s.RemoveAuthority("x"),
	} {
		if got {
			t.Errorf("removed a %s that was not there", what)
		}
	}
	if !s.RemoveShared("one") || !s.RemoveKey(id) {
		t.Error("not removed")
	}
	if d := cmp.Diff([]string{"two"}, s.SharedIDs()); d != "" || len(s.KeyIDs()) != 0 {
		t.Error(d, s.KeyIDs())
	}
	s.Clear()
	if len(s.SharedIDs()) != 0 || len(s.Certs()) != 1 || len(s.AuthorityList()) != 1 {
		t.Error("clear-creds takes certificates, keys and secrets, and leaves authorities")
	}
	if !s.RemoveAuthority("a") || len(s.Certs()) != 0 {
		t.Error("an authority goes with its certificate")
	}
}

// TestReplace: a reload takes what came from files and nothing else.
func TestReplace(t *testing.T) {
	root, other := ca(t, nil, "root"), ca(t, nil, "other")
	gw, own := host(t, root, "ed25519", "gw"), host(t, root, "ed25519", "own")
	a := config.Authority{Name: "a", Cert: config.Cert{DER: other.der(), CA: true, Source: "conf:1"}}
	s := storeOf(t, &config.Config{
		Certs: []config.Cert{anchor(root), plain(gw), a.Cert}, Keys: []config.PrivateKey{gw.private()},
		Shared: []config.Shared{sharedKey("f", "x")}, Authorities: []config.Authority{a},
	})
	if len(s.Certs()) != 3 {
		t.Errorf("%d certificates", len(s.Certs()))
	}
	// An authority's certificate goes with it, although the configuration lists it among all certificates too.
	if !s.RemoveAuthority("a") || len(s.Certs()) != 2 {
		t.Errorf("%d certificates", len(s.Certs()))
	}
	_, err := s.AddKey(own.private())
	must(t, err)
	must(t, s.AddCert(plain(own)))
	must(t, s.AddShared(sharedKey("v", "x")))
	if _, err := s.Replace(&config.Config{Shared: []config.Shared{sharedKey("g", "x")}}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"v", "g"}, s.SharedIDs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Cert{{DER: own.der(), HasKey: true}}, s.Certs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{config.KeyID(own.key.Public())}, s.KeyIDs()); d != "" {
		t.Error(d)
	}
}

// TestT043WeakAreRefused: what cannot be used is refused by the control socket, and named in a warning when it is in a file.
func TestT043WeakAreRefused(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := issue(t, nil, k, "weak")
	s := New()
	if s.AddCert(anchor(weak)) == nil || s.AddCert(config.Cert{DER: []byte("x")}) == nil {
		t.Error("certificate accepted")
	}
	if s.AddAuthority(config.Authority{Name: "weak", Cert: anchor(weak)}) == nil {
		t.Error("authority accepted")
	}
	if _, err := s.AddKey(weak.private()); err == nil {
		t.Error("key accepted")
	}
	warnings, err := s.Replace(&config.Config{
		Certs: []config.Cert{anchor(weak)}, Keys: []config.PrivateKey{weak.private()},
		Authorities: []config.Authority{{Name: "weak", Cert: config.Cert{DER: weak.der(), CA: true, Source: "conf:3"}}},
		Shared:      []config.Shared{sharedKey("good", "x")},
	})
	if err != nil || len(warnings) != 3 || len(s.SharedIDs()) != 1 || len(s.Certs())+len(s.KeyIDs())+len(s.AuthorityList()) != 0 {
		t.Errorf("%q, %v", warnings, err)
	}
	for i, name := range []string{"authority weak", "x509ca/x", "private/weak"} {
		if !strings.HasPrefix(warnings[i], name+" is not used: ") {
			t.Errorf("%q", warnings[i])
		}
	}
}

func TestBound(t *testing.T) {
	s := New()
	s.current.Store(&set{shared: make([]sharedEntry, maxEntries)})
	if s.AddShared(sharedKey("one more", "x")) == nil {
		t.Error("no bound")
	}
	if len(s.SharedIDs()) != maxEntries {
		t.Error("a refused change changed something")
	}
}

// TestConcurrent has readers and writers at once; the race detector is its judge.
func TestConcurrent(t *testing.T) {
	root := ca(t, nil, "root")
	gw := host(t, root, "ed25519", "gw.example.com")
	s := storeOf(t, &config.Config{Certs: []config.Cert{anchor(root), plain(gw)}, Keys: []config.PrivateKey{gw.private()}})
	auth := &ike.Auth{Method: ike.AuthPubkey, ID: fqdn("gw.example.com")}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				switch w {
				case 0:
					_, _ = s.Replace(&config.Config{Certs: []config.Cert{anchor(root), plain(gw)}, Keys: []config.PrivateKey{gw.private()}})
				case 1:
					_ = s.AddShared(sharedKey(fmt.Sprint(i), "secret"))
					s.RemoveShared(fmt.Sprint(i - 1))
				default:
					signed, ok := s.Sign(now, ike.Sign{Auth: auth, PeerHashes: []uint16{5}, Octets: []byte("x")}).(ike.Signed)
					if !ok {
						t.Error("a reader saw half a replacement")
						return
					}
					q := ike.Verify{Auth: auth, ID: auth.ID, Certs: signed.Certs, Method: signed.Method, Data: signed.Data, Octets: []byte("x"), Allowed: []uint16{5}}
					if f, bad := s.Verify(now, q).(ike.Failed); bad {
						t.Error(f.Err)
					}
					if p, ok := s.FindPSK(ike.FindPSK{Local: auth.ID, Remote: auth.ID}).(ike.PSK); ok {
						p.Key.Wipe()
					}
				}
			}
		})
	}
	wg.Wait()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoSecretIsPrinted: what fmt makes of the store, its answers and errors has no octet of a secret.
func TestNoSecretIsPrinted(t *testing.T) {
	const word = "sesame-open"
	s := New()
	must(t, s.AddShared(sharedKey("s", word, "alice")))
	for _, v := range []any{
		s, *s.current.Load(), s.SharedIDs(),
		s.FindPSK(ike.FindPSK{Local: fqdn("gw"), Remote: fqdn("alice")}),
		s.FindPSK(ike.FindPSK{Local: fqdn("gw"), Remote: fqdn("mallory")}),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, word) || strings.Contains(out, fmt.Sprintf("%x", word)) {
				t.Errorf("%T with %s", v, verb)
			}
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ikev1

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/wire/ikev1msg"
)

func testKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	m := map[string]crypto.Signer{}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m["rsa"] = k
	for name, c := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		if m[name], err = ecdsa.GenerateKey(c, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// proofs are the same proof at both ends of one phase 1.
func proofs(t *testing.T, s Suite) (ours, theirs proof) {
	t.Helper()
	x := samplePhase1()
	k, err := deriveKeys(s, secret.New([]byte("secret")), secret.New(bytes.Repeat([]byte{9}, 256)), x)
	if err != nil {
		t.Fatal(err)
	}
	p := proof{suite: s, keys: &k, phase1: x, initiator: true, id: []byte{1, 0, 0, 0, 192, 0, 2, 1}}
	return p, p
}

// TestProofs: each method, both sides, each hash: what one side makes the other verifies, and nothing of it with another identity, offer,
// public value, cookie, nonce or role; the payload is the one that the method has.
func TestProofs(t *testing.T) {
	keys := testKeys(t)
	for m, key := range map[ikev1msg.AuthMethod]string{
		ikev1msg.AuthPSK: "", ikev1msg.AuthXAUTHInitPSK: "", ikev1msg.AuthXAUTHRespPSK: "", ikev1msg.AuthRSA: "rsa", ikev1msg.AuthXAUTHInitRSA: "rsa",
		ikev1msg.AuthXAUTHRespRSA: "rsa", ikev1msg.AuthHybridInitRSA: "rsa", ikev1msg.AuthHybridRespRSA: "rsa",
		ikev1msg.AuthECDSA256: "p256", ikev1msg.AuthECDSA384: "p384", ikev1msg.AuthECDSA521: "p521",
	} {
		for _, hash := range []suite.PRF{suite.PRFHMACMD5, suite.PRFHMACSHA1, suite.PRFHMACSHA2512} {
			for _, initiator := range []bool{true, false} {
				s := sampleSuite()
				s.Auth, s.Hash = m, hash
				ours, theirs := proofs(t, s)
				ours.initiator, theirs.initiator = initiator, initiator
				signed := key != "" && (m != ikev1msg.AuthHybridInitRSA || !initiator) && (m != ikev1msg.AuthHybridRespRSA || initiator)
				var pub crypto.PublicKey
				var private crypto.Signer
				if signed {
					private, pub = keys[key], keys[key].Public()
				}
				p, err := ours.payload(rand.Reader, private)
				if err != nil {
					t.Fatal(m, err)
				}
				if _, isSig := p.(*ikev1msg.Sig); isSig != signed {
					t.Fatalf("%s, initiator %t: %T", m, initiator, p)
				}
				data, err := proofIn(m, initiator, []ikev1msg.Payload{&ikev1msg.Vendor{}, p})
				if err != nil {
					t.Fatal(m, err)
				}
				if err := theirs.verify(data, pub, nil); err != nil {
					t.Fatalf("%s, %s, initiator %t: %v", m, hash, initiator, err)
				}
				wantNoOther(t, theirs, data, pub)
			}
		}
	}
}

// wantNoOther changes what a HASH covers, one thing at a time.
func wantNoOther(t *testing.T, p proof, data []byte, pub crypto.PublicKey) {
	t.Helper()
	for name, f := range map[string]func(p *proof, x *phase1){
		"identity": func(p *proof, _ *phase1) { p.id = []byte{1, 0, 0, 0, 192, 0, 2, 2} },
		"offer":    func(_ *proof, x *phase1) { x.saI = []byte("fewer proposals") },
		"g^xi":     func(_ *proof, x *phase1) { x.gxi = bytes.Repeat([]byte{8}, 128) },
		"g^xr":     func(_ *proof, x *phase1) { x.gxr = bytes.Repeat([]byte{8}, 128) },
		"CKY-I":    func(_ *proof, x *phase1) { x.ckyI++ },
		"CKY-R":    func(_ *proof, x *phase1) { x.ckyR++ },
		"role":     func(p *proof, _ *phase1) { p.initiator, p.suite.Auth = !p.initiator, otherRole(p.suite.Auth) },
		"SKEYID":   func(p *proof, _ *phase1) { p.keys = &keys{skeyid: secret.New([]byte("another"))} },
	} {
		bad, x := p, *p.phase1
		bad.phase1 = &x
		f(&bad, &x)
		if bad.verify(data, pub, nil) == nil {
			t.Errorf("%s: verifies with another %s", p.suite.Auth, name)
		}
	}
}

// otherRole keeps that a hybrid proof is of the same kind in the other role.
func otherRole(m ikev1msg.AuthMethod) ikev1msg.AuthMethod {
	switch m {
	case ikev1msg.AuthHybridInitRSA:
		return ikev1msg.AuthHybridRespRSA
	case ikev1msg.AuthHybridRespRSA:
		return ikev1msg.AuthHybridInitRSA
	}
	return m
}

// TestProofIn: the method alone says what proves a side. A HASH where a signature has to be, or both, or two, is refused: who knows the
// group's secret is not therefore the gateway.
func TestProofIn(t *testing.T) {
	hash, sig := &ikev1msg.Hash{Data: []byte("hash")}, &ikev1msg.Sig{Data: []byte("sig")}
	for _, c := range []struct {
		m         ikev1msg.AuthMethod
		initiator bool
		payloads  []ikev1msg.Payload
		want      string
	}{
		{ikev1msg.AuthPSK, true, []ikev1msg.Payload{hash}, "hash"},
		{ikev1msg.AuthPSK, true, []ikev1msg.Payload{sig}, ""},
		{ikev1msg.AuthPSK, true, nil, ""},
		{ikev1msg.AuthPSK, false, []ikev1msg.Payload{hash, hash}, ""},
		{ikev1msg.AuthPSK, false, []ikev1msg.Payload{hash, sig}, ""},
		{ikev1msg.AuthRSA, false, []ikev1msg.Payload{sig}, "sig"},
		{ikev1msg.AuthRSA, false, []ikev1msg.Payload{hash}, ""},
		{ikev1msg.AuthRSA, true, []ikev1msg.Payload{sig, hash}, ""},
		{ikev1msg.AuthRSA, true, []ikev1msg.Payload{sig, sig}, ""},
		{ikev1msg.AuthHybridInitRSA, true, []ikev1msg.Payload{hash}, "hash"},
		{ikev1msg.AuthHybridInitRSA, false, []ikev1msg.Payload{hash}, ""},
		{ikev1msg.AuthHybridInitRSA, false, []ikev1msg.Payload{sig}, "sig"},
		{ikev1msg.AuthHybridRespRSA, true, []ikev1msg.Payload{hash}, ""},
		{ikev1msg.AuthECDSA256, true, []ikev1msg.Payload{hash}, ""},
	} {
		if got, err := proofIn(c.m, c.initiator, c.payloads); string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s, initiator %t, %s: %q, %v", c.m, c.initiator, ikev1msg.SummaryOf(c.payloads), got, err)
		}
	}
	id := &ikev1msg.ID{IDType: ikev1msg.IDFQDN, Data: []byte("name")}
	for n, payloads := range [][]ikev1msg.Payload{{hash, sig}, {hash, id}, {id, id}} {
		if i, err := idIn(&ikev1msg.Chain{Payloads: payloads}); (err == nil) != (n == 1) || n == 1 && i != 1 {
			t.Errorf("%d ID payloads: %d, %v", n, i, err)
		}
	}
}

// TestKeysOfMethods: a key of another algorithm or curve than the method's, and no key, prove nothing.
func TestKeysOfMethods(t *testing.T) {
	keys := testKeys(t)
	for m, fits := range map[ikev1msg.AuthMethod]string{ikev1msg.AuthRSA: "rsa", ikev1msg.AuthHybridRespRSA: "rsa", ikev1msg.AuthECDSA256: "p256",
		ikev1msg.AuthECDSA384: "p384", ikev1msg.AuthECDSA521: "p521"} {
		s := sampleSuite()
		s.Auth = m
		ours, theirs := proofs(t, s)
		p, err := ours.payload(rand.Reader, keys[fits])
		if err != nil {
			t.Fatal(m, err)
		}
		for name, k := range keys {
			if _, err := ours.payload(rand.Reader, k); (err == nil) != (name == fits) {
				t.Errorf("%s with the key %s: %v", m, name, err)
			}
			if err := theirs.verify(p.(*ikev1msg.Sig).Data, k.Public(), nil); (err == nil) != (name == fits) {
				t.Errorf("%s verified with the key %s: %v", m, name, err)
			}
		}
		if _, err := ours.payload(rand.Reader, nil); err == nil {
			t.Errorf("%s without a key", m)
		}
		if theirs.verify(p.(*ikev1msg.Sig).Data, nil, nil) == nil {
			t.Errorf("%s verified without a key", m)
		}
		if theirs.verify(p.(*ikev1msg.Sig).Data, keys[fits].Public(), []string{"ed25519"}) == nil {
			t.Errorf("%s: a constraint of another scheme allows it", m)
		}
	}
	_, theirs := proofs(t, sampleSuite())
	for _, bad := range [][]byte{nil, {}, {0}, make([]byte, 32), theirs.hash()[:31]} {
		if err := theirs.verify(bad, nil, nil); !errors.Is(err, errHash) {
			t.Errorf("a HASH of %d octets: %v", len(bad), err)
		}
	}
}

// TestT037Aside: beside a proof in the clear no notify is believed, INITIAL_CONTACT least of all; beside one that was encrypted it is; a
// Delete and what nobody knows are in neither, nor is what the proof covers.
func TestT037Aside(t *testing.T) {
	contact := &ikev1msg.Notify{DOI: ikev1msg.DOIIPsec, Protocol: ikev1msg.ProtoISAKMP, Notify: ikev1msg.InitialContact}
	cert, request, vendor, natd := &ikev1msg.Cert{}, &ikev1msg.CertReq{}, &ikev1msg.Vendor{}, &ikev1msg.NATD{Num: ikev1msg.TypeNATD}
	all := []ikev1msg.Payload{&ikev1msg.SA{}, &ikev1msg.KE{}, &ikev1msg.Nonce{}, &ikev1msg.ID{}, cert, request, &ikev1msg.Sig{}, &ikev1msg.Hash{}, contact, vendor, natd,
		&ikev1msg.Delete{}, &ikev1msg.Config{}, &ikev1msg.NATOA{Num: ikev1msg.TypeNATOA}, &ikev1msg.Fragment{}, &ikev1msg.Unknown{Num: 200}}
	for encrypted, want := range map[bool][]ikev1msg.Payload{false: {cert, request, vendor, natd}, true: {cert, request, contact, vendor, natd}} {
		if got := aside(encrypted, all); !slices.Equal(got, want) {
			t.Errorf("encrypted %t: %d payloads, expected %d", encrypted, len(got), len(want))
		}
	}
}

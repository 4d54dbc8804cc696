// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Preshared keys, private keys and certificates, as the section secrets or the VICI commands load-shared, load-key and
// load-cert give them. No error contains a secret.

package config

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// Shared is a preshared key and the identities it is for; no Owners: for all.
type Shared struct {
	ID     string // unique name: of the section, or given by the VICI client
	Secret secret.Key
	Owners []ike.ID
}

// PrivateKey is a private key with the name VICI knows it by.
type PrivateKey struct {
	ID     string // KeyID of its public key
	Signer crypto.Signer
	Source string // file, or empty
}

// Cert is a certificate.
type Cert struct {
	DER    []byte
	CA     bool // a trust anchor: loaded as a CA certificate
	Source string
}

// KeyFile is a private key that the configuration names: a file and the passphrase it is encrypted with.
type KeyFile struct {
	Kind       string // private, rsa, ecdsa or pkcs8: the folder
	File       string
	Passphrase secret.Key
	Pos        string
	Key        string // name of the option, for errors
}

// secret decodes one section of secrets by the beginning of its name.
func (d *decoder) secret(name string) (*Shared, *KeyFile) {
	for _, kind := range []string{"private", "rsa", "ecdsa", "pkcs8"} {
		if strings.HasPrefix(name, kind) {
			return nil, d.keyFile(kind)
		}
	}
	for _, r := range []struct{ prefix, why string }{
		{"eap", noEAP}, {"xauth", noIKEv1}, {"ntlm", noEAP}, {"ppk", noPPK}, {"token", noToken},
		{"pkcs12", "PKCS#12 containers are not built yet; use PEM files"},
	} {
		if strings.HasPrefix(name, r.prefix) {
			d.refuseSecret(r.why)
			return nil, nil
		}
	}
	if !strings.HasPrefix(name, "ike") {
		d.set(&Error{Key: d.path, Reason: "a secret's name begins with ike, private, rsa, ecdsa or pkcs8"}, "")
		return nil, nil
	}
	s := &Shared{ID: name}
	s.Secret = d.secretValue("secret")
	for _, key := range d.numbered("id", vici.KindValue) {
		s.Owners = append(s.Owners, d.identity(key))
	}
	return s, nil
}

// refuseSecret refuses a section by its first option.
func (d *decoder) refuseSecret(why string) {
	for i, it := range d.s.Items {
		d.taken[it.Key] = true
		if i == 0 {
			d.refuse(it.Key, "refused: %s", why)
		}
	}
}

// secretValue is a required secret: text, or octets after 0x (hexadecimal) or 0s (Base64).
func (d *decoder) secretValue(key string) secret.Key {
	it := d.take(key, vici.KindValue)
	if it == nil {
		d.fail(key, "a secret", "nothing")
		return secret.Key{}
	}
	b, err := decodeSecret(it.Value)
	switch {
	case err != nil:
		d.fail(key, "octets in hexadecimal after 0x, or in Base64 after 0s", "other characters")
	case len(b) == 0:
		d.fail(key, "a secret", "nothing")
	}
	k := secret.New(b)
	clear(b)
	return k
}

func decodeSecret(v []byte) ([]byte, error) {
	if h, ok := bytes.CutPrefix(v, []byte("0x")); ok {
		out := make([]byte, hex.DecodedLen(len(h)))
		_, err := hex.Decode(out, h)
		return out, err
	}
	if e, ok := bytes.CutPrefix(v, []byte("0s")); ok {
		enc := base64.RawStdEncoding.Strict()
		e = bytes.TrimRight(e, "=")
		out := make([]byte, enc.DecodedLen(len(e)))
		n, err := enc.Decode(out, e)
		return out[:n], err
	}
	return bytes.Clone(v), nil
}

// keyFile decodes a section private, rsa, ecdsa or pkcs8.
func (d *decoder) keyFile(kind string) *KeyFile {
	f := &KeyFile{Kind: kind, Key: d.name("file")}
	f.File, _ = d.text("file")
	if f.File == "" {
		d.fail("file", "the name of a file in the folder "+kind, "nothing")
		return f
	}
	f.Pos = d.s.Find("file").Pos
	if it := d.take("secret", vici.KindValue); it != nil {
		f.Passphrase = secret.New(it.Value)
	}
	return f
}

// loadShared decodes load-shared {id type data owners[]}.
func (d *decoder) loadShared() Shared {
	var s Shared
	s.ID, _ = d.text("id")
	d.keyword("type", 0, []string{"ike", "IKE"}, map[string]string{
		"eap": noEAP, "EAP": noEAP, "xauth": noIKEv1, "XAUTH": noIKEv1, "ntlm": noEAP, "NTLM": noEAP, "ppk": noPPK, "PPK": noPPK,
	})
	it := d.take("data", vici.KindValue)
	if it == nil || len(it.Value) == 0 {
		d.fail("data", "a secret", "nothing")
		return s
	}
	s.Secret = secret.New(it.Value)
	for _, v := range d.texts("owners") {
		id, ok := ParseID(v)
		if !ok {
			d.fail("owners", expectedID, quote(v))
		}
		s.Owners = append(s.Owners, id)
	}
	if s.ID == "" {
		// charon makes a name of the owners too, so that loading the same secret twice replaces it.
		s.ID = "ike:" + strings.Join(d.s.List("owners"), ",")
	}
	return s
}

// loadKey decodes load-key {type data}.
func (d *decoder) loadKey() PrivateKey {
	kind, _ := d.text("type")
	it := d.take("data", vici.KindValue)
	if it == nil {
		d.fail("data", "a private key", "nothing")
		return PrivateKey{}
	}
	k, err := parseKey(it.Value, secret.Key{})
	if err != nil {
		d.fail("data", "a private key", err.Error())
		return k
	}
	switch kind = strings.ToLower(kind); {
	case kind == "any" || kind == "", kind == keyKind(k.Signer):
	case kind == "bliss":
		d.refuse("type", `"bliss" is refused: there is no such key here`)
	default:
		d.fail("type", `"any" or the type of the key ("`+keyKind(k.Signer)+`")`, quote(kind))
	}
	return k
}

// loadCert decodes load-cert {type flag data}.
func (d *decoder) loadCert() Cert {
	d.keyword("type", 0, []string{"X509", "x509"}, map[string]string{
		"X509_CRL": "revocation lists are not built yet", "X509_AC": "attribute certificates are not built yet",
		"x509_crl": "revocation lists are not built yet", "x509_ac": "attribute certificates are not built yet",
	})
	flag := d.keyword("flag", 0, []string{"NONE", "CA", "none", "ca"}, map[string]string{
		"OCSP": "OCSP is not built yet", "AA": "attribute certificates are not built yet",
		"ocsp": "OCSP is not built yet", "aa": "attribute certificates are not built yet",
	})
	it := d.take("data", vici.KindValue)
	if it == nil {
		d.fail("data", "a certificate", "nothing")
		return Cert{}
	}
	der, err := parseCert(it.Value)
	if err != nil {
		d.fail("data", "a certificate", err.Error())
	}
	return Cert{DER: der, CA: flag%2 == 1}
}

// certificates decodes a list of certificates.
func (d *decoder) certificates(key string) [][]byte {
	var list [][]byte
	for i, b := range d.blobs(key) {
		der, err := parseCert(b)
		if err != nil {
			d.fail(key, "a certificate", fmt.Sprintf("%v (item %d)", err, i+1))
			return nil
		}
		list = append(list, der)
	}
	return list
}

// FindShared returns the preshared key between two identities: the one that names them best, as charon chooses. Keys
// without owners are for everybody, and come last. The zero remote identity is one that is not known yet.
//
// Deviation: charon is content when either identity is an owner. Then whoever knows the key of alice and this gateway could
// call himself carol, who has no key, and be let in; here the remote identity must be an owner, unless all owners are the
// local one: a key of this host for everybody.
func FindShared(list []Shared, local, remote ike.ID) (secret.Key, bool) {
	best, found := -1, secret.Key{}
	for _, s := range list {
		rank := 0
		if len(s.Owners) > 0 {
			rank = 4*rankOwner(s.Owners, remote) + rankOwner(s.Owners, local)
			if rank == 0 || rank < 4 && !remote.IsZero() && !allOwners(s.Owners, local) {
				continue
			}
		}
		if rank > best {
			best, found = rank, s.Secret
		}
	}
	return found, best >= 0
}

// allOwners reports whether every owner is the identity itself.
func allOwners(owners []ike.ID, id ike.ID) bool {
	return !slices.ContainsFunc(owners, func(o ike.ID) bool { return id.IsZero() || !o.Equal(id) })
}

// rankOwner is 3 for the identity itself, 2 for a pattern, 1 for %any, 0 for none.
func rankOwner(owners []ike.ID, id ike.ID) int {
	best := 0
	for _, o := range owners {
		switch {
		case o.IsZero():
			best = max(best, 1)
		case !id.IsZero() && o.Equal(id):
			best = 3
		case !id.IsZero() && o.Matches(id):
			best = max(best, 2)
		}
	}
	return best
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The option auth: how a side proves its identity, with the signature schemes that are allowed.

package config

import (
	"strings"

	"github.com/natterjack/natterjack/ike"
)

const expectedAuth = `psk, pubkey, rsa, rsa/pss, ecdsa or ed25519, the keys perhaps with hashes ("rsa/pss-sha256-sha384")`

// authMethod decodes auth. Schemes gets names of crypt/sig, or the beginning of one that ends before a "-": "rsa" stands for
// every RSA scheme.
func (d *decoder) authMethod(a *ike.Auth) {
	v, found := d.text("auth")
	if !found {
		a.Method = ike.AuthPubkey
		return
	}
	switch {
	case v == "psk":
		a.Method = ike.AuthPSK
		return
	case v == "eap" || strings.HasPrefix(v, "eap-"):
		d.refuse("auth", "%s is refused: %s", quote(v), noEAP)
		return
	case v == "xauth" || strings.HasPrefix(v, "xauth-"):
		d.refuse("auth", "%s is refused: %s", quote(v), noIKEv1)
		return
	}
	a.Method = ike.AuthPubkey
	// ike: limits the signature of IKE_AUTH, which is all that a scheme limits here; bits and hashes of the chain are not
	// constrained by it.
	words := strings.Split(strings.TrimPrefix(v, "ike:"), "-")
	schemes, ok := schemes(words[0], words[1:])
	if !ok {
		d.fail("auth", expectedAuth, quote(v))
		return
	}
	a.Schemes = schemes
}

// schemes expands a key type and hashes to names of signature schemes; both empty: any.
func schemes(key string, hashes []string) (list []string, ok bool) {
	for _, h := range hashes {
		switch h {
		case "sha256", "sha384", "sha512":
		default:
			return nil, false
		}
	}
	var kinds []string
	switch key {
	case "pubkey":
		if len(hashes) == 0 {
			return nil, true
		}
		kinds = []string{"rsa-pkcs1", "rsa-pss", "ecdsa"}
	case "rsa":
		if len(hashes) == 0 {
			return []string{"rsa"}, true
		}
		kinds = []string{"rsa-pkcs1", "rsa-pss"}
	case "rsa/pss":
		kinds = []string{"rsa-pss"}
	case "ecdsa":
		kinds = []string{"ecdsa"}
	case "ed25519":
		return []string{"ed25519"}, len(hashes) == 0
	default:
		return nil, false
	}
	if len(hashes) == 0 {
		return kinds, true
	}
	for _, h := range hashes {
		for _, k := range kinds {
			list = append(list, k+"-"+h)
		}
	}
	return list, true
}

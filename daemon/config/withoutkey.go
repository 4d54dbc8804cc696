// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What a loaded configuration lacks, though every line of it is right. Its input is the operator's own files. It warns and refuses
// nothing: the control socket can load the rest later.

package config

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/natterjack/natterjack/ike"
)

// withoutKey warns of connections that name certificates of this host of which no private key was found: without one, each
// login fails, and only the gateway's log says why.
func (c *Config) withoutKey() (warnings []string) {
	for _, conn := range c.Connections {
		for _, a := range conn.Local {
			if a.Method == ike.AuthPubkey && len(a.Certs) > 0 && !slices.ContainsFunc(a.Certs, c.hasKey) {
				warnings = append(warnings, fmt.Sprintf("connections.%s: no private key of its local.certs was found; put it into the folder private, "+
					"or name its file in secrets", conn.Name))
			}
		}
	}
	return warnings
}

// hasKey reports whether the private key of a certificate was read. One that does not parse is another's to refuse.
func (c *Config) hasKey(der []byte) bool {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return true
	}
	id := KeyID(cert.PublicKey)
	return slices.ContainsFunc(c.Keys, func(k PrivateKey) bool { return k.ID == id })
}

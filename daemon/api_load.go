// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Loading and unloading one thing at a time, as the VICI commands load-conn, load-pool, load-cert and so on do. What is
// loaded here is the same as what Apply loads from a file; a running SA keeps what it was born with.

package daemon

import (
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/credentials"
	"github.com/natterjack/natterjack/ike"
)

// LoadConnection adds or replaces a connection. Policies of mode pass and drop are in force when it returns; children with
// start_action = start are initiated if they are new or changed. After an error nothing has changed.
func (d *Daemon) LoadConnection(c *ike.Connection) error {
	d.loadMu.Lock()
	defer d.loadMu.Unlock()
	delete(d.fromFile, c.Name)
	return d.put(c)
}

// UnloadConnection takes a connection out. Its SAs stay, as charon's do; what start_action still tries to start is given up.
func (d *Daemon) UnloadConnection(name string) error {
	d.loadMu.Lock()
	defer d.loadMu.Unlock()
	if d.connections.byName(name) == nil {
		return &NotFoundError{Kind: "connection", Name: name}
	}
	delete(d.fromFile, name)
	d.takeOut(name)
	return nil
}

// LoadPool adds a pool or replaces the one of its name; leases stay where the range does.
func (d *Daemon) LoadPool(p ike.Pool) error { return d.pools.load(p) }

// UnloadPool removes a pool that nobody uses.
func (d *Daemon) UnloadPool(name string) error { return d.pools.unload(name) }

// LoadCert adds a certificate, as a trust anchor if it says so.
func (d *Daemon) LoadCert(c config.Cert) error { return d.creds.AddCert(c) }

// LoadKey adds a private key and returns the identifier by which it is unloaded.
func (d *Daemon) LoadKey(k config.PrivateKey) (string, error) { return d.creds.AddKey(k) }

// UnloadKey forgets a private key.
func (d *Daemon) UnloadKey(id string) error { return found("private key", id, d.creds.RemoveKey(id)) }

// Keys are the identifiers of the loaded private keys.
func (d *Daemon) Keys() []string { return d.creds.KeyIDs() }

// LoadShared adds a preshared key or replaces the one of its name.
func (d *Daemon) LoadShared(s config.Shared) error { return d.creds.AddShared(s) }

// UnloadShared forgets a preshared key.
func (d *Daemon) UnloadShared(id string) error {
	return found("shared secret", id, d.creds.RemoveShared(id))
}

// SharedKeys are the names of the loaded preshared keys.
func (d *Daemon) SharedKeys() []string { return d.creds.SharedIDs() }

// LoadAuthority adds a certificate authority or replaces the one of its name. Its URIs are stored.
func (d *Daemon) LoadAuthority(a config.Authority) error { return d.creds.AddAuthority(a) }

// UnloadAuthority takes an authority and its trust anchor out.
func (d *Daemon) UnloadAuthority(name string) error {
	return found("authority", name, d.creds.RemoveAuthority(name))
}

// Authorities are the loaded authorities.
func (d *Daemon) Authorities() []config.Authority { return d.creds.AuthorityList() }

// Certs are the loaded certificates.
func (d *Daemon) Certs() []credentials.Cert { return d.creds.Certs() }

// ClearCredentials forgets all keys, secrets and certificates, but not the authorities, as charon's clear-creds does.
func (d *Daemon) ClearCredentials() { d.creds.Clear() }

func found(kind, name string, ok bool) error {
	if ok {
		return nil
	}
	return &NotFoundError{Kind: kind, Name: name}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Loading and unloading: the same decoder as for files (daemon/config) and the same methods of the daemon, so that a daemon
// that was started bare and loaded by a control client is the same as one started from a file. Errors name the key, what was
// expected and what was found; a part that fails leaves what was in force before.

package control

import (
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/wire/vici"
)

func (c *Control) loadConn(k *call) *vici.Section {
	name, body, err := k.named()
	if err != nil {
		return result(err)
	}
	conn, err := config.DecodeConnection(name, body)
	if err == nil {
		err = c.d.LoadConnection(conn)
	}
	return result(err)
}

func (c *Control) unloadConn(k *call) *vici.Section { return k.unload("name", c.d.UnloadConnection) }

func (c *Control) loadPool(k *call) *vici.Section {
	name, body, err := k.named()
	if err != nil {
		return result(err)
	}
	pool, err := config.DecodePool(name, body)
	if err == nil {
		err = c.d.LoadPool(pool)
	}
	return result(err)
}

func (c *Control) unloadPool(k *call) *vici.Section { return k.unload("name", c.d.UnloadPool) }

func (c *Control) loadAuthority(k *call) *vici.Section {
	name, body, err := k.named()
	if err != nil {
		return result(err)
	}
	a, err := config.DecodeAuthority(name, body)
	if err == nil {
		err = c.d.LoadAuthority(a)
	}
	return result(err)
}

func (c *Control) unloadAuthority(k *call) *vici.Section {
	return k.unload("name", c.d.UnloadAuthority)
}

func (c *Control) loadCert(k *call) *vici.Section {
	cert, err := config.DecodeCert(k.args)
	if err == nil {
		err = c.d.LoadCert(cert)
	}
	return result(err)
}

// loadKey replies the key's identifier, by which unload-key finds it.
func (c *Control) loadKey(k *call) *vici.Section {
	key, err := config.DecodeKey(k.args)
	if err != nil {
		return result(err)
	}
	id, err := c.d.LoadKey(key)
	if err != nil {
		return result(err)
	}
	return result(nil).Set("id", id)
}

func (c *Control) unloadKey(k *call) *vici.Section { return k.unload("id", c.d.UnloadKey) }

func (c *Control) loadShared(k *call) *vici.Section {
	s, err := config.DecodeShared(k.args)
	if err == nil {
		err = c.d.LoadShared(s)
	}
	return result(err)
}

func (c *Control) unloadShared(k *call) *vici.Section { return k.unload("id", c.d.UnloadShared) }

// unload takes one thing out by the argument that names it.
func (k *call) unload(key string, f func(string) error) *vici.Section {
	if err := k.only(key); err != nil {
		return result(err)
	}
	name := k.args.Get(key)
	if name == "" {
		return result(fmt.Errorf("%s: expected what to unload, found nothing", key))
	}
	return result(f(name))
}

func (c *Control) getKeys(*call) *vici.Section { return vici.New().SetList("keys", c.d.Keys()...) }

func (c *Control) getShared(*call) *vici.Section {
	return vici.New().SetList("keys", c.d.SharedKeys()...)
}

func (c *Control) getAuthorities(*call) *vici.Section {
	var names []string
	for _, a := range c.d.Authorities() {
		names = append(names, a.Name)
	}
	return vici.New().SetList("authorities", names...)
}

// listAuthorities is list-authorities {name}: one event list-authority an authority.
func (c *Control) listAuthorities(k *call) *vici.Section {
	if err := k.only("name"); err != nil {
		return result(err)
	}
	for _, a := range c.d.Authorities() {
		if !asked(k.args.Get("name"), a.Name) {
			continue
		}
		s := vici.New()
		if a.Cert.DER != nil {
			s.Set("cacert", subjectOf(a.Cert.DER))
		}
		s.SetList("crl_uris", a.CRLURIs...).SetList("ocsp_uris", a.OCSPURIs...)
		if a.CertURIBase != "" {
			s.Set("cert_uri_base", a.CertURIBase)
		}
		if k.emit("list-authority", vici.New().SetSub(a.Name, s)) != nil {
			break
		}
	}
	return vici.New()
}

// listCerts is list-certs {type flag subject}: one event list-cert a certificate, its octets as they are.
func (c *Control) listCerts(k *call) *vici.Section {
	if err := k.only("type", "flag", "subject"); err != nil {
		return result(err)
	}
	kind, flag := k.args.Get("type"), k.args.Get("flag")
	if kind != "" && !strings.EqualFold(kind, "ANY") && !strings.EqualFold(kind, "X509") {
		return vici.New() // there are no others
	}
	for _, cert := range c.d.Certs() {
		is := "NONE"
		if cert.CA {
			is = "CA"
		}
		if flag != "" && !strings.EqualFold(flag, "ANY") && !strings.EqualFold(flag, is) || !asked(k.args.Get("subject"), subjectOf(cert.DER)) {
			continue
		}
		s := vici.New().Set("type", "X509").Set("flag", is).SetBool("has_privkey", cert.HasKey).SetBytes("data", cert.DER)
		if k.emit("list-cert", s) != nil {
			break
		}
	}
	return vici.New()
}

func (c *Control) clearCreds(k *call) *vici.Section {
	if err := k.only(); err != nil {
		return result(err)
	}
	c.d.ClearCredentials()
	return result(nil)
}

// flushCerts: certificates that peers sent are not kept, so there is nothing to flush.
func (c *Control) flushCerts(k *call) *vici.Section { return result(k.only("type")) }

// reloadSettings reads the configuration files again: what charon has in strongswan.conf is in their section daemon. A
// daemon without files has nothing to read.
func (c *Control) reloadSettings(k *call) *vici.Section {
	if err := k.only(); err != nil {
		return result(err)
	}
	if c.opts.Reload == nil {
		return result(nil)
	}
	if err := c.opts.Reload(); err != nil {
		return result(fmt.Errorf("%w; the configuration in force stays", err))
	}
	return result(nil)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package config makes typed values from configuration: one decoder for the tree of a swanctl.conf and for what comes
// through VICI. Its input is written by an administrator or a local control client. An option that is not known, or known
// and not built, is refused by its name; every error says which key, what was expected, what was found, and file and line
// where there is one. What it returns is complete, with strongSwan's defaults filled in, and is never changed afterwards.
package config

import (
	"slices"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// Config is a whole configuration.
type Config struct {
	Connections []*ike.Connection
	Pools       []ike.Pool
	Authorities []Authority
	Shared      []Shared
	Keys        []PrivateKey
	Certs       []Cert // end entities and CAs, from folders and authorities
	Daemon      DaemonOptions
	// Tree is what was read, with inheritance resolved and file names not yet replaced by contents. It holds secrets: print
	// it with Normalise.
	Tree *vici.Section
	// Files are all files that were read, the configuration's own first.
	Files []string
	// Warnings are sentences for the start-up log.
	Warnings []string
}

// maxEntries bounds connections, pools, authorities and secrets of one configuration.
const maxEntries = 10000

// Decode decodes the tree of a swanctl.conf in which certificates are contents, not file names (Load replaces them). Keys
// in files are not read here: the second result lists them. templates are the sections of the top level that others
// inherit from.
func Decode(tree *vici.Section, templates []string) (*Config, []KeyFile, error) {
	c := &Config{Tree: tree, Daemon: defaultOptions()}
	d := newDecoder(tree, "")
	d.each("connections", func(name string, s *decoder) {
		c.Connections = append(c.Connections, s.connection(name))
	})
	d.each("pools", func(name string, s *decoder) { c.Pools = append(c.Pools, s.pool(name)) })
	d.each("authorities", func(name string, s *decoder) { c.Authorities = append(c.Authorities, s.authority(name)) })
	var files []KeyFile
	d.each("secrets", func(name string, s *decoder) {
		shared, file := s.secret(name)
		if shared != nil {
			c.Shared = append(c.Shared, *shared)
		}
		if file != nil {
			files = append(files, *file)
		}
	})
	if s := d.sub("daemon"); s != nil {
		c.Daemon = s.daemon()
	}
	d.templates(templates)
	if err := d.end(); err != nil {
		return nil, nil, err
	}
	for _, a := range c.Authorities {
		if a.Cert.DER != nil {
			c.Certs = append(c.Certs, a.Cert)
		}
	}
	if err := c.checkReferences(tree); err != nil {
		return nil, nil, err
	}
	return c, files, nil
}

// checkReferences refuses a connection that names a pool nobody defined: it would fail at the first login only.
func (c *Config) checkReferences(tree *vici.Section) error {
	for _, conn := range c.Connections {
		for _, name := range conn.Pools {
			if !slices.ContainsFunc(c.Pools, func(p ike.Pool) bool { return p.Name == name }) {
				it := tree.Sub("connections").Sub(conn.Name).Find("pools")
				return &Error{Pos: it.Pos, Key: "connections." + conn.Name + ".pools", Expected: "the name of a section in pools", Found: quote(name)}
			}
		}
	}
	return nil
}

// DecodeConnection decodes the body of one connection, as load-conn has it.
func DecodeConnection(name string, s *vici.Section) (*ike.Connection, error) {
	d := newDecoder(s, name)
	c := d.connection(name)
	return c, d.end()
}

// DecodePool decodes the body of one pool, as load-pool has it.
func DecodePool(name string, s *vici.Section) (ike.Pool, error) {
	d := newDecoder(s, name)
	p := d.pool(name)
	return p, d.end()
}

// DecodeAuthority decodes the body of one authority, as load-authority has it.
func DecodeAuthority(name string, s *vici.Section) (Authority, error) {
	d := newDecoder(s, name)
	a := d.authority(name)
	return a, d.end()
}

// DecodeShared decodes the arguments of load-shared.
func DecodeShared(s *vici.Section) (Shared, error) {
	d := newDecoder(s, "")
	v := d.loadShared()
	return v, d.end()
}

// DecodeKey decodes the arguments of load-key.
func DecodeKey(s *vici.Section) (PrivateKey, error) {
	d := newDecoder(s, "")
	k := d.loadKey()
	return k, d.end()
}

// DecodeCert decodes the arguments of load-cert.
func DecodeCert(s *vici.Section) (Cert, error) {
	d := newDecoder(s, "")
	c := d.loadCert()
	return c, d.end()
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The configuration of an end, in the one language that both implementations read.

package netlab

import (
	"fmt"
	"slices"
	"strings"
)

// Config is one connection. What is empty is not written.
type Config struct {
	Remote                string // remote_addrs
	LocalID, RemoteID     string
	LocalAuth, RemoteAuth string // psk, or what pubkey is to be
	Cert                  *Credential
	VIPs                  string
	Pools                 map[string]string // name to addrs; all are the connection's
	Proposals, ESP        string
	Options               []string // further lines of the connection
	Children              []Child
	Secret                string   // of every end
	Daemon                []string // lines of the section daemon, for Natterjack only
	Charon                []string // lines of strongswan.conf, for strongSwan only
	Bare                  bool     // the daemon starts without a file and is loaded by swanctl
}

// Child is one child of the connection.
type Child struct {
	Name              string
	LocalTS, RemoteTS string
	Options           []string
}

// String is swanctl.conf.
func (c *Config) String() string {
	var b strings.Builder
	line := func(indent int, key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s%s = %s\n", strings.Repeat("  ", indent), key, value)
		}
	}
	b.WriteString("connections {\n  lab {\n    version = 2\n    mobike = no\n")
	line(2, "remote_addrs", c.Remote)
	line(2, "vips", c.VIPs)
	line(2, "proposals", c.Proposals)
	names := make([]string, 0, len(c.Pools))
	for name := range c.Pools {
		names = append(names, name)
	}
	slices.Sort(names)
	line(2, "pools", strings.Join(names, ", "))
	for _, o := range c.Options {
		fmt.Fprintf(&b, "    %s\n", o)
	}
	b.WriteString("    local {\n")
	line(3, "auth", c.LocalAuth)
	line(3, "id", c.LocalID)
	if c.Cert != nil {
		line(3, "certs", c.Cert.Name+".pem")
	}
	b.WriteString("    }\n    remote {\n")
	line(3, "auth", c.RemoteAuth)
	line(3, "id", c.RemoteID)
	b.WriteString("    }\n    children {\n")
	for _, child := range c.Children {
		fmt.Fprintf(&b, "      %s {\n", child.Name)
		line(4, "local_ts", child.LocalTS)
		line(4, "remote_ts", child.RemoteTS)
		line(4, "esp_proposals", c.ESP)
		for _, o := range child.Options {
			fmt.Fprintf(&b, "        %s\n", o)
		}
		b.WriteString("      }\n")
	}
	b.WriteString("    }\n  }\n}\n")
	if c.Secret != "" {
		fmt.Fprintf(&b, "secrets {\n  ike-lab {\n    secret = %q\n  }\n}\n", c.Secret)
	}
	b.WriteString("pools {\n")
	for _, name := range names {
		fmt.Fprintf(&b, "  %s {\n    addrs = %s\n  }\n", name, c.Pools[name])
	}
	b.WriteString("}\n")
	return b.String()
}

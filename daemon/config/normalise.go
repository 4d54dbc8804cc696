// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The canonical text of a configuration, for `natterjack config check`, and what changed between two. Both are pure. Secrets
// are never printed.

package config

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

// Normalise prints a tree in the language of swanctl.conf: inheritance resolved, one option a line, secrets as "[key]",
// other octets by length and hash. What it prints parses to the same tree, secrets and octets aside.
func Normalise(tree *vici.Section) string {
	var b strings.Builder
	normalise(&b, tree, 0, "")
	return b.String()
}

func normalise(b *strings.Builder, s *vici.Section, depth int, top string) {
	if s == nil {
		return
	}
	indent := strings.Repeat("    ", depth)
	for _, it := range s.Items {
		switch it.Kind {
		case vici.KindSection:
			name := top
			if depth == 0 {
				name = it.Key
			}
			fmt.Fprintf(b, "%s%s {\n", indent, it.Key)
			normalise(b, it.Sub, depth+1, name)
			fmt.Fprintf(b, "%s}\n", indent)
		case vici.KindList:
			items := make([]string, len(it.List))
			for i, v := range it.List {
				items[i] = plainValue(v)
			}
			fmt.Fprintf(b, "%s%s = %s\n", indent, it.Key, quoteValue(strings.Join(items, ", ")))
		default:
			v := plainValue(it.Value)
			if hidden(top, it.Key) {
				v = "[key]"
			}
			fmt.Fprintf(b, "%s%s = %s\n", indent, it.Key, quoteValue(v))
		}
	}
}

// hidden reports whether an option is a secret.
func hidden(top, key string) bool {
	return strings.HasPrefix(key, "secret") || key == "pin" || key == "data" || top == "secrets" && !strings.HasPrefix(key, "id") && key != "file"
}

// plainValue shows octets that are not text as what they are.
func plainValue(v []byte) string {
	if len(v) > 1024 || bytes.Contains(v, []byte("-----BEGIN")) || !printableText(v) {
		sum := sha256.Sum256(v)
		return fmt.Sprintf("[%d octets, SHA-256 %x]", len(v), sum[:8])
	}
	return string(v)
}

func printableText(v []byte) bool { return plainText(strings.ReplaceAll(string(v), "\n", "")) }

// quoteValue quotes what the parser would otherwise read differently.
func quoteValue(v string) string {
	if v != "" && !strings.ContainsAny(v, "#}\"\\\t\r\n") && v == strings.Join(strings.Fields(v), " ") {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(v) + `"`
}

// Changes are the names of what differs between two configurations.
type Changes struct {
	Added, Removed, Changed []string // connections
	Pools                   []string // added, removed or changed
	Credentials             bool     // secrets, keys or certificates differ
	Daemon                  bool     // options of the section daemon differ: they need a restart
}

// None reports whether there are no changes.
func (c Changes) None() bool {
	return len(c.Added)+len(c.Removed)+len(c.Changed)+len(c.Pools) == 0 && !c.Credentials && !c.Daemon
}

// Diff compares what is in force with what is to be.
func Diff(from, to *Config) Changes {
	var c Changes
	was := map[string]*ike.Connection{}
	for _, conn := range from.Connections {
		was[conn.Name] = conn
	}
	for _, conn := range to.Connections {
		switch old := was[conn.Name]; {
		case old == nil:
			c.Added = append(c.Added, conn.Name)
		case !reflect.DeepEqual(old, conn):
			c.Changed = append(c.Changed, conn.Name)
		}
		delete(was, conn.Name)
	}
	for _, conn := range from.Connections {
		if was[conn.Name] != nil {
			c.Removed = append(c.Removed, conn.Name)
		}
	}
	c.Pools = diffPools(from.Pools, to.Pools)
	c.Credentials = !sameShared(from.Shared, to.Shared) || !sameKeys(from.Keys, to.Keys) || !sameCerts(from.Certs, to.Certs)
	c.Daemon = from.Daemon != to.Daemon
	return c
}

func diffPools(from, to []ike.Pool) []string {
	var names []string
	was := map[string]ike.Pool{}
	for _, p := range from {
		was[p.Name] = p
	}
	for _, p := range to {
		if old, ok := was[p.Name]; !ok || !reflect.DeepEqual(old, p) {
			names = append(names, p.Name)
		}
		delete(was, p.Name)
	}
	for _, p := range from {
		if _, gone := was[p.Name]; gone {
			names = append(names, p.Name)
		}
	}
	return names
}

func sameShared(a, b []Shared) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || !a[i].Secret.Equal(b[i].Secret) || !reflect.DeepEqual(a[i].Owners, b[i].Owners) {
			return false
		}
	}
	return true
}

func sameKeys(a, b []PrivateKey) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}

func sameCerts(a, b []Cert) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].CA != b[i].CA || !bytes.Equal(a[i].DER, b[i].DER) {
			return false
		}
	}
	return true
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/wire/conf"
	"github.com/natterjack/natterjack/wire/vici"
)

const gatewayText = `include conf.d/*.conf
connections {
    gw {
        local_addrs = 192.0.2.1
        pools = p
        local {
            certs = a.pem
            id = "C=CH, O=Test, CN=moon"
        }
        remote {
            auth = psk
            id = *.example.org
        }
        children {
            net {
                local_ts = 10.0.0.0/8, 2001:db8::/32
                updown = "/bin/echo \"a  b\""
            }
        }
    }
}
pools {
    p {
        addrs = 10.9.0.0/16
    }
}
secrets {
    ike-all {
        secret = "hush  hush"
    }
    private-enc {
        file = enc.pem
        secret = passphrase
    }
    rsa {
        file = enc.pem
        secret = passphrase
    }
    ecdsa {
        file = enc.pem
        secret = passphrase
    }
    pkcs8 {
        file = enc.pem
        secret = passphrase
    }
}
`

func TestLoadDir(t *testing.T) {
	dir := makeFolder(t)
	write(t, filepath.Join(dir, "swanctl.conf"), gatewayText)
	write(t, filepath.Join(dir, "conf.d/b.conf"), "daemon {\n keepalive = 2s\n}\n")
	write(t, filepath.Join(dir, "conf.d/a.conf"), "daemon {\n keepalive = 9s\n}\n")
	write(t, filepath.Join(dir, "x509crl/x.crl"), "x")
	c, err := LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Connections) != 1 || len(c.Keys) != 8 || len(c.Certs) != 2 || !c.Certs[1].CA || len(c.Shared) != 1 {
		t.Errorf("%d connections, %d keys, %d certificates, %d secrets", len(c.Connections), len(c.Keys), len(c.Certs), len(c.Shared))
	}
	if c.Daemon.Keepalive.Seconds() != 2 {
		t.Errorf("the last of the included files does not count: keepalive %v", c.Daemon.Keepalive)
	}
	gw := c.Connections[0]
	if id := gw.Local[0].ID; !cmp.Equal(id.Data, rawSubject(gw.Local[0].Certs[0])) {
		t.Error("the identity does not have the octets of the certificate's subject")
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "x509crl") {
		t.Errorf("%q", c.Warnings)
	}
	if _, err := LoadDir(filepath.Join(dir, "nope")); err == nil {
		t.Error("a folder that is not there was loaded")
	}
	if c, err := LoadDir(t.TempDir()); err != nil || len(c.Connections) != 0 || c.Daemon != defaultOptions() {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := LoadFile(filepath.Join(dir, "nope.conf")); err == nil {
		t.Error("a file that is not there was loaded")
	}
}

// TestWithoutKey: a certificate to authenticate with, and no private key of it.
func TestWithoutKey(t *testing.T) {
	dir := makeFolder(t)
	text, _, _ := strings.Cut(gatewayText, "    private-enc {")
	write(t, filepath.Join(dir, "swanctl.conf"), text+"}\n")
	for _, folder := range []string{"private", "rsa", "ecdsa", "pkcs8"} {
		if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadDir(dir)
	if err != nil || len(c.Keys) != 0 {
		t.Fatalf("%v, %d keys", err, len(c.Keys))
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "connections.gw: no private key of its local.certs") {
		t.Errorf("%q", c.Warnings)
	}
}

// TestRefusedFiles: HOSTILE T-102 and T-104.
func TestRefusedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    string
	}{
		"secret for everybody": {func(dir string) error { return os.Chmod(filepath.Join(dir, "swanctl.conf"), 0o644) },
			"swanctl.conf:29: secrets.ike-all.secret: everybody can read this file"},
		"key for everybody": {func(dir string) error { return os.Chmod(filepath.Join(dir, "private/k.pem"), 0o604) },
			"which everybody can read; chmod 0600 it"},
		"written by everybody": {func(dir string) error { return os.Chmod(filepath.Join(dir, "x509/a.pem"), 0o666) },
			"everybody can write it"},
		"cycle": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "conf.d/x.conf"), []byte("\ninclude ../swanctl.conf\n"), 0o600)
		}, "conf.d/x.conf:2: include \"../swanctl.conf\": "},
		"FIFO": {func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "private/fifo"), 0o600) },
			"expected a regular file, found a FIFO"},
		"FIFO as configuration": {func(dir string) error {
			_ = os.Remove(filepath.Join(dir, "swanctl.conf"))
			return syscall.Mkfifo(filepath.Join(dir, "swanctl.conf"), 0o600)
		}, "expected a regular file, found a FIFO"},
		"directory as certificate": {func(dir string) error {
			_ = os.Remove(filepath.Join(dir, "x509/a.pem"))
			return os.Mkdir(filepath.Join(dir, "x509/a.pem"), 0o700)
		}, "swanctl.conf:7: connections.gw.local.certs: expected certificate files, found"},
		"large key": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "private/big"), make([]byte, maxKey+1), 0o600)
		}, "more than 32768 octets"},
		"not a key": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "private/x"), []byte("x"), 0o600) },
			"private/x: expected a private key, found what is not a private key"},
		"encrypted key without a secret": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "private/enc2.pem"), []byte(encryptedPEM), 0o600)
		}, "private/enc2.pem: expected secrets.private.file = enc2.pem with its secret, found none for an encrypted key"},
		"not a certificate": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "x509ca/x"), []byte("x"), 0o600)
		}, "x509ca/x: expected a certificate, found what is not a certificate"},
		"not UTF-8": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "conf.d/x.conf"), []byte("# x\n# \xff\n"), 0o600)
		}, "conf.d/x.conf:2: expected UTF-8 text, found octet 0xff"},
	} {
		dir := makeFolder(t)
		write(t, filepath.Join(dir, "swanctl.conf"), gatewayText)
		write(t, filepath.Join(dir, "conf.d/ok.conf"), "")
		if err := c.prepare(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadDir(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nexpected %s", name, err, c.want)
		}
	}
}

func TestNormalise(t *testing.T) {
	dir := makeFolder(t)
	write(t, filepath.Join(dir, "swanctl.conf"), gatewayText)
	c, err := LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := Normalise(c.Tree)
	want := strings.NewReplacer("include conf.d/*.conf\n", "", `"hush  hush"`, "[key]", "secret = passphrase", "secret = [key]").Replace(gatewayText)
	want = strings.Replace(want, `id = "C=CH, O=Test, CN=moon"`, "id = C=CH, O=Test, CN=moon", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	blob := vici.New().SetSub("connections", vici.New().SetSub("a", vici.New().SetList("certs", "\x00\x01")))
	blob.Add("secrets").Add("eap").Set("pin", "hush").Set("token", "hush")
	if got := Normalise(blob); strings.Contains(got, "hush") || !strings.Contains(got, "certs = [2 octets, SHA-256 b413f47d13ee2fe6]") {
		t.Error(got)
	}
}

func TestDiff(t *testing.T) {
	dir := makeFolder(t)
	loadText := func(text string) *Config {
		t.Helper()
		write(t, filepath.Join(dir, "swanctl.conf"), text)
		c, err := LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := loadText(gatewayText + "connections {\n b {\n}\n c {\n}\n}\n")
	if ch := Diff(old, loadText(gatewayText+"# a comment\nconnections {\n b {\n}\n c {\n}\n}\n")); !ch.None() {
		t.Errorf("nothing changed: %+v", ch)
	}
	ch := Diff(old, loadText(strings.NewReplacer("hush  hush", "other", "10.9.0.0", "10.8.0.0").Replace(gatewayText)+
		"connections {\n c {\n encap = yes\n}\n d {\n}\n}\ndaemon {\n gso = off\n}\n"))
	want := Changes{Added: []string{"d"}, Removed: []string{"b"}, Changed: []string{"c"}, Pools: []string{"p"}, Credentials: true, Daemon: true}
	if diff := cmp.Diff(want, ch); diff != "" {
		t.Error(diff)
	}
}

// TestRecorded: the connections that swanctl sends decode to the same values as the file itself.
func TestRecorded(t *testing.T) {
	text, err := os.ReadFile("../../wire/conf/testdata/gateway.conf")
	if err != nil {
		t.Fatal(err)
	}
	// What this program refuses by name.
	in := strings.NewReplacer("groups = sales, \"r and d\"", "", "version = 0", "").Replace(string(text))
	tree, err := conf.Parse("t.conf", []byte(in), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Decode(tree.Section(), tree.Templates())
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range c.Connections {
		b, err := tree.Section().Sub("connections").Sub(conn.Name).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := vici.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeConnection(conn.Name, s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(conn, got, addrCmp); diff != "" {
			t.Error(diff)
		}
	}
	if len(c.Connections) != 2 || len(c.Connections[0].Children) != 2 {
		t.Error("not everything was decoded")
	}
}

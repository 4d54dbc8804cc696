// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// makeFolder makes a swanctl folder with the certificates and keys that the options name.
func makeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Test"}, CommonName: "moon"},
		NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, ec.Public(), ec)
	if err != nil {
		t.Fatal(err)
	}
	p8, _ := x509.MarshalPKCS8PrivateKey(ec)
	sec1, _ := x509.MarshalECPrivateKey(ec)
	put := func(name, kind string, der []byte) {
		write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	put("x509/a.pem", "CERTIFICATE", cert)
	put("x509ca/ca.pem", "CERTIFICATE", cert)
	put("private/k.pem", "PRIVATE KEY", p8)
	put("pkcs8/k.pem", "PRIVATE KEY", p8)
	put("ecdsa/k.pem", "EC PRIVATE KEY", sec1)
	put("rsa/k.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	for _, kind := range []string{"private", "rsa", "ecdsa", "pkcs8"} {
		write(t, filepath.Join(dir, kind, "enc.pem"), encryptedPEM)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// option is one line of the golden file.
type option struct{ name, verdict, value, refused, remark string }

func readOptions(t *testing.T) []option {
	t.Helper()
	text, err := os.ReadFile("testdata/options.golden")
	if err != nil {
		t.Fatal(err)
	}
	var list []option
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 5 {
			t.Fatalf("options.golden:%d: %d columns", i+1, len(f))
		}
		for j := range f {
			f[j] = strings.TrimSpace(f[j])
		}
		list = append(list, option{f[0], f[1], f[2], f[3], f[4]})
	}
	return list
}

// path is the option's full name in a configuration.
func (o option) path() string {
	r := strings.NewReplacer("<conn>", "c", "<child>", "ch", "local<suffix>", "local-1", "remote<suffix>", "remote-1", "<name>", "p", "<suffix>", "-1")
	return r.Replace(o.name)
}

// text is a configuration with the option set to value; without value, the same configuration without the option.
func (o option) text(value string) string {
	set := map[string]string{"pools.p.addrs": "10.9.0.0/16"}
	keys := strings.Split(o.path(), ".")
	section := strings.Join(keys[:len(keys)-1], ".")
	switch {
	case strings.HasPrefix(section, "authorities") && keys[len(keys)-1] != "cacert":
		set[section+".cacert"] = "ca.pem"
	case strings.HasPrefix(section, "secrets.ike"):
		set[section+".secret"] = "x"
	case strings.HasSuffix(section, "-1") && strings.HasSuffix(o.path(), ".secret"):
		set[section+".file"] = "enc.pem"
	case o.value == "pass":
		set["connections.c.children.ch.local_ts"], set["connections.c.children.ch.remote_ts"] = "10.0.0.0/8", "10.0.0.0/8"
	case strings.HasSuffix(o.name, "rand_bytes"):
		set[section+".rekey_bytes"] = "100m"
	case strings.HasSuffix(o.name, "rand_packets"):
		set[section+".rekey_packets"] = "1000000"
	}
	if value != "" {
		set[o.path()] = value
	}
	var b strings.Builder
	for path, v := range set {
		keys := strings.Split(path, ".")
		for _, k := range keys[:len(keys)-1] {
			fmt.Fprintf(&b, "%s {\n", k)
		}
		fmt.Fprintf(&b, "%s = %s\n%s", keys[len(keys)-1], v, strings.Repeat("}\n", len(keys)-1))
	}
	fmt.Fprintf(&b, "connections {\n c {\n children {\n ch {\n }\n }\n }\n}\n")
	return b.String()
}

// TestOptions loads every known option through the real decoder and checks that its verdict is true.
func TestOptions(t *testing.T) {
	dir := makeFolder(t)
	file := filepath.Join(dir, "swanctl.conf")
	loadText := func(text string) (*Config, error) {
		write(t, file, text)
		c, err := LoadFile(file)
		if c != nil {
			c.Tree, c.Files = nil, nil
		}
		return c, err
	}
	for _, o := range readOptions(t) {
		key := o.path()[strings.LastIndexByte(o.path(), '.')+1:]
		before, _ := loadText(o.text(""))
		refused := func(value string) {
			_, err := loadText(o.text(value))
			if err == nil {
				t.Errorf("%s = %s was accepted", o.name, value)
				return
			}
			where := strings.TrimSuffix(o.path(), key)
			if !strings.Contains(err.Error(), where+key+":") || !strings.HasPrefix(err.Error(), file+":") {
				// A wrong passphrase is found when the file is opened.
				if key != "secret" || !strings.Contains(err.Error(), where+"file:") {
					t.Errorf("%s = %s: the error names neither option nor place: %v", o.name, value, err)
				}
			}
		}
		var after *Config
		if o.value != "-" {
			var err error
			if after, err = loadText(o.text(o.value)); err != nil {
				t.Errorf("%s = %s: %v", o.name, o.value, err)
				continue
			}
		}
		same := after != nil && before != nil && reflect.DeepEqual(before, after)
		switch o.verdict {
		case "works":
			if same {
				t.Errorf("%s = %s changes nothing", o.name, o.value)
			}
		case "stored":
			if o.remark == "" {
				t.Errorf("%s: say why it is only stored", o.name)
			}
		case "refused":
			if o.refused == "" || o.remark == "" {
				t.Errorf("%s: say which value is refused, and why", o.name)
			}
			if o.value != "-" && !same {
				t.Errorf("%s = %s is said to be what is done anyway, but changes something", o.name, o.value)
			}
		default:
			t.Errorf("%s: unknown verdict %q", o.name, o.verdict)
		}
		if o.refused != "" {
			refused(o.refused)
		}
	}
}

// TestOptionsComplete: the decoder takes no option that the golden file does not list.
func TestOptionsComplete(t *testing.T) {
	known := map[string]bool{}
	for _, o := range readOptions(t) {
		known[o.path()] = true
	}
	check := func(d *decoder) {
		for key := range d.taken {
			if it := d.s.Find(key); (it == nil || it.Sub == nil) && !known[d.path+"."+key] && key != "children" && d.path != "" {
				t.Errorf("%s.%s is decoded and not in options.golden", d.path, key)
			}
		}
	}
	d := newDecoder(nil, "connections.c")
	d.connection("c")
	check(d)
	for _, local := range []bool{true, false} {
		d = newDecoder(nil, map[bool]string{true: "connections.c.local-1", false: "connections.c.remote-1"}[local])
		d.auth(local)
		check(d)
	}
	d = newDecoder(nil, "connections.c.children.ch")
	d.child("ch")
	check(d)
	d = newDecoder(nil, "pools.p")
	d.pool("p")
	check(d)
	d = newDecoder(nil, "authorities.p")
	d.authority("p")
	check(d)
	d = newDecoder(nil, "daemon")
	d.daemon()
	check(d)
}

// encryptedPEM is a P-256 key, encrypted by OpenSSL 3 (AES-256-CBC, PBKDF2 with HMAC-SHA256) with "passphrase".
const encryptedPEM = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhcItmL4oHj1QICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDc25r5IkN3UuNwmN6YoYWUEgZDL
tTZ5Eh0omYZCQ+q5Fh9nE85XF5CTieUzBsnDOLSRsYr67v9HHMo6OWZ05zggl4IX
T3gwYQ4svAQYGw2CVqgRg+3xmt9Vab74hSPKkUCrjp8/fVC60tbiwvY8J8mQWIKF
73CWZL6OZ7HShMKG6uOgakrwtZxOeOaxz8quvm98N004psTVnuzwglwVcWu9LOY=
-----END ENCRYPTED PRIVATE KEY-----
`

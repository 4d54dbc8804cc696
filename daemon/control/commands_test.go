// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package control

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/port/netstack"
	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// logBuffer is what was logged.
type logBuffer struct {
	mu sync.Mutex // protects b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bare is a daemon without configuration, its control socket and a client of it.
type bare struct {
	t    *testing.T
	d    *daemon.Daemon
	path string
	log  *logBuffer
	c    *port.Client
}

func start(t *testing.T, reload func() error) *bare {
	t.Helper()
	stack, err := netstack.New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(daemon.Options{
		Device: stack, DataPlane: "netstack", AnyPort: true, Listen: netip.MustParseAddr("127.0.0.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bare{t: t, d: d, path: filepath.Join(t.TempDir(), "s"), log: &logBuffer{}}
	c := New(Options{Daemon: d, Log: slog.New(slog.NewTextHandler(b.log, nil)), Version: "test", Reload: reload})
	server := port.NewServer(c, slog.New(slog.DiscardHandler))
	l, err := port.Listen(b.path, "")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	sub := d.Events()
	go c.Follow(sub, server)
	if b.c, err = port.Dial(t.Context(), b.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.c.Close()
		server.Close()
		d.Close()
	})
	return b
}

// call fails the test unless the command succeeds.
func (b *bare) call(command string, args *vici.Section) *vici.Section {
	b.t.Helper()
	reply, err := b.c.Call(b.t.Context(), command, args)
	if err == nil {
		err = port.Failure(reply)
	}
	if err != nil {
		b.t.Fatalf("%s: %v", command, err)
	}
	return reply
}

// refused fails the test unless the command fails with a sentence that has these words.
func (b *bare) refused(command string, args *vici.Section, words ...string) {
	b.t.Helper()
	reply, err := b.c.Call(b.t.Context(), command, args)
	if err != nil {
		b.t.Fatalf("%s: %v", command, err)
	}
	err = port.Failure(reply)
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			b.t.Errorf("%s: %v, want %q in it", command, err, w)
		}
	}
}

func (b *bare) stream(command, event string, args *vici.Section) []string {
	b.t.Helper()
	var got []string
	if _, err := b.c.CallStreaming(b.t.Context(), command, event, args, func(m *vici.Section) error {
		got = append(got, raw(m))
		return nil
	}); err != nil {
		b.t.Fatalf("%s: %v", command, err)
	}
	return got
}

func parse(t *testing.T, text string) *vici.Section {
	t.Helper()
	s := vici.New()
	for _, field := range strings.Fields(text) {
		k, v, _ := strings.Cut(field, "=")
		s.Set(k, v)
	}
	return s
}

func conn(name string) *vici.Section {
	s := vici.New().Set("version", "2").SetList("remote_addrs", "192.0.2.1").SetList("pools", "p")
	s.Add("local").Set("auth", "psk").Set("id", "a.example.org")
	s.Add("remote").Set("auth", "psk").Set("id", "b.example.org")
	s.Add("children").Add("net").SetList("remote_ts", "10.1.0.0/16")
	s.Sub("children").Add("keep").Set("mode", "pass").SetList("local_ts", "10.7.0.0/16").SetList("remote_ts", "10.7.0.0/16")
	return vici.New().SetSub(name, s)
}

func TestConnections(t *testing.T) {
	b := start(t, nil)
	b.call("load-conn", conn("office"))
	b.call("load-conn", conn("office")) // replaces itself
	bad := conn("bad")
	bad.Sub("bad").Set("proposal", "aes128-sha256-x25519")
	b.refused("load-conn", bad, "bad.proposal", "unknown option", "did you mean")
	b.refused("load-conn", vici.New().Set("office", "x"), "expected one section")
	if got := b.call("get-conns", nil).List("conns"); !cmp.Equal(got, []string{"office"}) {
		t.Errorf("conns %v", got)
	}
	list := b.stream("list-conns", "list-conn", nil)
	if len(list) != 1 || !strings.HasPrefix(list[0], "office {local_addrs=[%any] remote_addrs=[192.0.2.1] version=IKEv2") {
		t.Errorf("%v", list)
	}
	if got := b.stream("list-conns", "list-conn", parse(t, "ike=other")); got != nil {
		t.Errorf("another: %v", got)
	}
	want := []string{"office/keep {child=keep ike=office mode=PASS local-ts=[10.7.0.0/16] remote-ts=[10.7.0.0/16]}"}
	if diff := cmp.Diff(want, b.stream("list-policies", "list-policy", parse(t, "trap=yes drop=yes pass=yes"))); diff != "" {
		t.Error(diff)
	}
	if got := b.stream("list-policies", "list-policy", nil); got != nil {
		t.Errorf("no kind was asked for: %v", got)
	}
	b.refused("initiate", parse(t, "child=nope"), "nope")
	b.refused("initiate", parse(t, "ike=nope"), "nope")
	b.refused("initiate", parse(t, "ike=office child=keep"), "there is nothing to initiate")
	b.refused("initiate", nil, "missing configuration name")
	b.refused("initiate", parse(t, "child=net timeout=x"), "timeout: expected milliseconds")
	b.refused("initiate", parse(t, "child=net loglevel=9"), "loglevel")
	b.refused("initiate", parse(t, "child=net init-limits=yes"), "init-limits: refused")
	b.refused("initiate", parse(t, "chidl=net"), "chidl: unknown argument")
	b.call("unload-conn", parse(t, "name=office"))
	b.refused("unload-conn", parse(t, "name=office"), "office")
	b.refused("unload-conn", nil, "name")
}

func TestNothingMatches(t *testing.T) {
	b := start(t, nil)
	for command, want := range map[string]string{
		"terminate": "success=no matches=0 terminated=0 errmsg=no matching SAs to terminate found",
		"rekey":     "success=no matches=0 errmsg=no matching SAs to rekey found",
	} {
		reply, err := b.c.Call(t.Context(), command, parse(t, "child=nope"))
		if err != nil || raw(reply) != want {
			t.Errorf("%s: %s %v", command, raw(reply), err)
		}
	}
	b.refused("terminate", nil, "missing terminate selector")
	b.refused("terminate", parse(t, "force=yes"), "missing terminate selector")
	b.refused("terminate", parse(t, "ike-di=1"), "ike-di: unknown argument")
	b.refused("terminate", parse(t, "ike-id=x"), "ike-id: expected a number")
	b.refused("rekey", parse(t, "ike-id=1 reauth=yes"), "reauth: refused")
	b.refused("rekey", nil, "missing rekey selector")
}

func TestPools(t *testing.T) {
	b := start(t, nil)
	b.call("load-pool", vici.New().SetSub("p", vici.New().Set("addrs", "10.30.0.0/24").SetList("dns", "10.20.0.1")))
	b.refused("load-pool", vici.New().SetSub("x", vici.New().Set("addrs", "10.66.0.0/30").SetList("bogus", "1")), "x.bogus", "unknown option")
	if got := raw(b.call("get-pools", nil)); got != "p {base=10.30.0.0 size=254 online=0 offline=0}" {
		t.Error(got)
	}
	if got := raw(b.call("get-pools", parse(t, "leases=yes name=p"))); got != "p {base=10.30.0.0 size=254 online=0 offline=0 leases {}}" {
		t.Error(got)
	}
	if got := raw(b.call("get-pools", parse(t, "name=q"))); got != "" {
		t.Error(got)
	}
	b.call("unload-pool", parse(t, "name=p"))
	b.refused("unload-pool", parse(t, "name=p"), "p")
}

// certificate makes a self-signed certificate and its key, in DER.
func certificate(t *testing.T, name string, ca bool) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"CH"}, CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if cert, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k); err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestCredentials(t *testing.T) {
	b := start(t, nil)
	cert, key := certificate(t, "gw", false)
	ca, _ := certificate(t, "ca", true)
	b.call("load-cert", vici.New().Set("type", "X509").Set("flag", "NONE").SetBytes("data", cert))
	b.call("load-cert", vici.New().Set("type", "X509").Set("flag", "CA").SetBytes("data", ca))
	id := b.call("load-key", vici.New().Set("type", "any").SetBytes("data", key)).Get("id")
	if got := b.call("get-keys", nil).List("keys"); id == "" || !cmp.Equal(got, []string{id}) {
		t.Errorf("keys %v, loaded %q", got, id)
	}
	list := b.stream("list-certs", "list-cert", parse(t, "type=ANY flag=ANY"))
	if len(list) != 2 || !strings.HasPrefix(list[0], "type=X509 flag=NONE has_privkey=yes data=0") || !strings.HasPrefix(list[1], "type=X509 flag=CA data=0") {
		t.Errorf("%.80q", list)
	}
	if got := b.stream("list-certs", "list-cert", vici.New().Set("flag", "CA").Set("subject", "C=CH, CN=ca")); len(got) != 1 {
		t.Errorf("one CA: %d", len(got))
	}
	b.refused("load-cert", vici.New().Set("type", "X509_CRL").SetBytes("data", cert), "type", "revocation lists")
	b.refused("load-key", vici.New().Set("type", "rsa").SetBytes("data", key), "type", "ecdsa")
	b.call("load-shared", vici.New().Set("id", "one").Set("type", "IKE").Set("data", "a very secret word").SetList("owners", "a@example.org"))
	b.refused("load-shared", vici.New().Set("type", "EAP").Set("data", "a very secret word"), "type", "EAP is not built")
	if got := b.call("get-shared", nil).List("keys"); !cmp.Equal(got, []string{"one"}) {
		t.Errorf("shared %v", got)
	}
	b.call("unload-shared", parse(t, "id=one"))
	b.refused("unload-shared", parse(t, "id=one"), "one")
	b.call("unload-key", parse(t, "id="+id))
	b.call("flush-certs", nil)
	b.call("clear-creds", nil)
	if got := b.stream("list-certs", "list-cert", nil); got != nil {
		t.Errorf("after clear-creds: %d", len(got))
	}
	for _, secret := range []string{"a very secret word", string(key)} {
		if strings.Contains(b.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	if !strings.Contains(b.log.String(), "command=load-shared uid=") {
		t.Errorf("the log does not say who loaded a secret: %s", b.log)
	}
}

func TestAuthorities(t *testing.T) {
	b := start(t, nil)
	ca, _ := certificate(t, "ca", true)
	a := vici.New().SetBytes("cacert", ca).SetList("crl_uris", "http://crl.example.org/x.crl", "http://crl.example.org/y.crl")
	b.call("load-authority", vici.New().SetSub("ca1", a))
	want := []string{"ca1 {cacert=C=CH, CN=ca crl_uris=[http://crl.example.org/x.crl http://crl.example.org/y.crl] ocsp_uris=[]}"}
	if diff := cmp.Diff(want, b.stream("list-authorities", "list-authority", nil)); diff != "" {
		t.Error(diff)
	}
	if got := b.call("get-authorities", nil).List("authorities"); !cmp.Equal(got, []string{"ca1"}) {
		t.Errorf("%v", got)
	}
	b.call("unload-authority", parse(t, "name=ca1"))
	b.refused("unload-authority", parse(t, "name=ca1"), "ca1")
}

func TestRefused(t *testing.T) {
	b := start(t, nil)
	for _, name := range []string{"redirect", "load-token"} {
		b.refused(name, nil, name+" is refused")
	}
	if _, err := b.c.Call(t.Context(), "nope", nil); !errors.Is(err, port.ErrUnknown) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"log", "control-log", "list-sa", "list-conn", "list-cert", "list-policy", "list-authority", "ike-updown", "child-updown", "ike-rekey", "child-rekey"} {
		if err := b.c.Subscribe(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.c.Subscribe(t.Context(), "nope"); !errors.Is(err, port.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// keysOf lists the keys of a section.
func keysOf(s *vici.Section) []string {
	var keys []string
	for _, it := range s.Items {
		keys = append(keys, it.Key)
	}
	return keys
}

func TestStats(t *testing.T) {
	b := start(t, nil)
	s := b.call("stats", nil)
	if diff := cmp.Diff([]string{"uptime", "workers", "queues", "scheduled", "ikesas", "plugins", "mallinfo", "natterjack"}, keysOf(s)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"running", "since"}, keysOf(s.Sub("uptime"))); diff != "" {
		t.Error(diff)
	}
	if raw(s.Sub("ikesas")) != "total=0 half-open=0" || s.Sub("natterjack").Get("data-plane") != "netstack" {
		t.Error(raw(s))
	}
	v := b.call("version", nil)
	if v.Get("daemon") != "natterjack" || v.Get("version") != "test" || v.Get("sysname") == "" {
		t.Error(raw(v))
	}
	algs := b.call("get-algorithms", nil)
	if diff := cmp.Diff([]string{"encryption", "integrity", "aead", "hasher", "prf", "xof", "kdf", "drbg", "dh", "rng", "nonce-gen"}, keysOf(algs)); diff != "" {
		t.Error(diff)
	}
	want := "AES_GCM_16=natterjack AES_GCM_12=natterjack AES_CCM_16=natterjack AES_CCM_12=natterjack AES_CCM_8=natterjack " +
		"CHACHA20_POLY1305=natterjack NULL_AES_GMAC=natterjack"
	if raw(algs.Sub("aead")) != want {
		t.Error(raw(algs.Sub("aead")))
	}
	n := b.call("get-counters", nil).Sub("counters").Sub(totalName)
	if len(n.Items) != len(counterNames) {
		t.Error(raw(n))
	}
	b.refused("get-counters", parse(t, "name=nope"), "no counters found")
	b.call("reset-counters", nil)
}

func TestReload(t *testing.T) {
	var err error
	b := start(t, func() error { return err })
	b.call("reload-settings", nil)
	err = &config.Error{Pos: "swanctl.conf:3", Key: "connections.a.x", Reason: "unknown option"}
	b.refused("reload-settings", nil, "swanctl.conf:3", "the configuration in force stays")
	start(t, nil).call("reload-settings", nil)
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// servePFKey serves PF_KEY in front of an engine that carries nothing.
func servePFKey(path string, config port.Config) (*port.Hub, error) {
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader})
	if err != nil {
		return nil, err
	}
	l, err := port.Listen(path, config)
	if err != nil {
		return nil, err
	}
	h := port.NewHub(keysock.New(db, keysock.Config{Order: binary.NativeEndian}), slog.New(slog.DiscardHandler))
	go h.Serve(l)
	return h, nil
}

// pfkeyd SOCKET DIALECT [stream] serves PF_KEY until the script ends.
func pfkeyd(ts *testscript.TestScript, _ bool, args []string) {
	d, err := pfkey.ParseDialect(args[1])
	ts.Check(err)
	h, err := servePFKey(ts.MkAbs(args[0]), port.Config{Dialect: d, Stream: len(args) > 2 && args[2] == "stream"})
	ts.Check(err)
	ts.Defer(h.Close)
}

// printed is what a command that does not end has printed.
type printed struct {
	mu sync.Mutex // protects b
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// TestPFKeyMonitor: a person sees what others ask for and what is answered, without keys, and why it ends.
func TestPFKeyMonitor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	h, err := servePFKey(path, port.Config{Dialect: pfkey.Linux})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	where := []string{"--socket", path, "--dialect", "linux"}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("E 0x00112233445566778899aabbccddeeff\nA \"twenty octets o key.\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, failed printed
	code := make(chan int, 1)
	go func() { code <- natterjack(append([]string{"pfkey", "monitor", "--all"}, where...), &out, &failed) }()
	for i := 0x1000; !strings.Contains(out.String(), "[key]"); i++ {
		var stderr printed
		args := append([]string{"pfkey", "add", "192.0.2.1", "192.0.2.2", "esp", strconv.Itoa(i), "-E", "aes-cbc", "-A", "hmac-sha1", "--key-file", keys}, where...)
		if code := natterjack(args, &stderr, &stderr); code != 0 {
			t.Fatal(stderr.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	h.Close()
	if c := <-code; c != exitFailed || !strings.Contains(failed.String(), "ended the connection") {
		t.Errorf("exit code %d: %s", c, failed.String())
	}
	for _, want := range []string{" SADB_ADD satype=ESP seq=", "\n\tSA spi=", "\n\tKEY_AUTH bits=160 [key]\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "001122") {
		t.Error("a key was printed")
	}
}

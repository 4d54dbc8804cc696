// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The keys of `natterjack pfkey add`: from a file that others cannot read, or from standard input. What is wrong with a line is said by the
// line's number, never with what is in it.

package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// maxKeyFile bounds a file of keys: two lines of the longest.
const maxKeyFile = 8 * 1024

// readKeys reads the keys that the SA's algorithms need into the message.
func readKeys(name string, stdin io.Reader, m *pfkey.Message) error {
	needE := m.SA.Encrypt != pfkey.EncryptNone && m.SA.Encrypt != pfkey.EncryptNull
	needA := m.SA.Auth != pfkey.AuthNone && m.SA.Auth != pfkey.AuthNull
	if !needE && !needA {
		return nil
	}
	b, err := keyFile(name, stdin)
	defer clear(b)
	if err != nil {
		return err
	}
	for i, line := range bytes.Split(b, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		to := &m.KeyEncrypt
		switch {
		case bytes.HasPrefix(line, []byte("E ")):
		case bytes.HasPrefix(line, []byte("A ")):
			to = &m.KeyAuth
		default:
			return fmt.Errorf("keys, line %d: expected E or A, a space, and the key as 0x… or in quotes", i+1)
		}
		if *to != nil {
			return fmt.Errorf("keys, line %d: a second key %c", i+1, line[0])
		}
		k, err := oneKey(bytes.TrimSpace(line[2:]))
		if err != nil {
			return fmt.Errorf("keys, line %d: %w", i+1, err)
		}
		*to = k
	}
	switch {
	case needE != (m.KeyEncrypt != nil):
		return wrongKey("E", needE, name)
	case needA != (m.KeyAuth != nil):
		return wrongKey("A", needA, name)
	}
	if m.SA.Encrypt == pfkey.EncryptNull {
		// NULL's key is one of no octets, but it has to be there: servers ask every ESP SA for one.
		k := secret.New(nil)
		m.KeyEncrypt = &k
	}
	return nil
}

func wrongKey(letter string, need bool, name string) error {
	if name == "-" {
		name = "standard input"
	}
	if need {
		return fmt.Errorf("keys: -%s needs a key: expected a line `%s 0x…` from %s", letter, letter, name)
	}
	return fmt.Errorf("keys: there is a key %s from %s, and no algorithm -%s", letter, name, letter)
}

// oneKey parses a key as setkey writes one.
func oneKey(text []byte) (*secret.Key, error) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		k := secret.New(text[1 : n-1])
		return &k, nil
	}
	digits, ok := bytes.CutPrefix(text, []byte("0x"))
	b := make([]byte, hex.DecodedLen(len(digits)))
	defer clear(b)
	if _, err := hex.Decode(b, digits); err != nil || !ok {
		return nil, errors.New("expected 0x and an even number of hexadecimal digits, or text in quotes")
	}
	k := secret.New(b)
	return &k, nil
}

// keyFile reads the file, which must be private.
func keyFile(name string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("keys: %s can be read by others (mode %#o): chmod 600 it, and make other keys if others have been here", name, info.Mode().Perm())
		}
		r = f
	} else if f, ok := stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(os.Stderr, "Keys, a line each (E 0x… and A 0x…), and end of file:")
	}
	b, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err != nil {
		return b, fmt.Errorf("keys: %w", err)
	}
	if len(b) > maxKeyFile {
		return b, fmt.Errorf("keys: more than %d octets", maxKeyFile)
	}
	return b, nil
}

// wipeKeys forgets the keys of a message that was sent.
func wipeKeys(m *pfkey.Message) {
	for _, k := range [...]*secret.Key{m.KeyEncrypt, m.KeyAuth} {
		if k != nil {
			k.Wipe()
		}
	}
}

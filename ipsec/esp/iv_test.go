// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package esp

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/crypt/suite"
)

// TestKeyUsedAgain: an SA that gets the key of an earlier one, as a person with setkey may do it, repeats none of its IVs: with a counter
// mode that would give the plaintext away, and with GCM the authentication key.
func TestKeyUsedAgain(t *testing.T) {
	for _, s := range allSuites() {
		first := newSA(t, s)
		ivs := map[string]bool{}
		ka := secret.Key{}
		if len(first.keyA) > 0 {
			ka = secret.New(first.keyA)
		}
		for range 3 {
			sealer, err := NewSealer(testSPI, s, secret.New(first.keyE), ka, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				buf := make([]byte, sealer.Size(0))
				if _, err := sealer.Seal(buf, 0, NextHeaderNone); err != nil {
					t.Fatal(err)
				}
				iv := string(buf[HeaderLen:sealer.Head()])
				if ivs[iv] && iv != "" {
					t.Fatalf("%v: IV %x twice", s, iv)
				}
				ivs[iv] = true
			}
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// TestNoSeed: without randomness there is no SA that needs it.
func TestNoSeed(t *testing.T) {
	for _, s := range allSuites() {
		e, a := s.KeyLens()
		ka := secret.Key{}
		if a > 0 {
			ka = secret.New(make([]byte, a))
		}
		_, err := NewSealer(testSPI, s, secret.New(make([]byte, e)), ka, broken{})
		if needed := s.Encr != suite.EncrNULL; (err != nil) != needed || err != nil && !strings.Contains(err.Error(), "seed of the IVs") {
			t.Errorf("%v: %v", s, err)
		}
	}
}

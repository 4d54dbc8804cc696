// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package ahead

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/natterjack/natterjack/crypt/suite"
)

// TestView holds this release of Go to what suite.Box.Touch reads: where it is otherwise nothing breaks, but what is read ahead is not
// what is needed.
func TestView(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the layout is that of processors with instructions for AES-GCM")
	}
	key := make([]byte, 16)
	for i := range key {
		key[i] = byte(i)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	l := View(a)
	if l == nil {
		t.Fatal("no view of an AES-GCM")
	}
	if l[1] != binary.NativeEndian.Uint64(key) {
		t.Errorf("its first round key is not in word 1")
	}
	if l[61] != uint64(a.NonceSize()) || l[62] != uint64(a.Overhead()) {
		t.Errorf("words 61 and 62: %d and %d, expected its lengths", l[61], l[62])
	}
	if l[94] == 0 {
		t.Errorf("its last word, expected of the hash key's table, is zero")
	}
}

func TestNoView(t *testing.T) {
	c, err := chacha20poly1305.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []cipher.AEAD{c, nil, (*nothing)(nil), nothing{}} {
		if View(a) != nil {
			t.Errorf("a view of %T", a)
		}
	}
}

// nothing is a cipher that is not there.
type nothing struct{ cipher.AEAD }

var _ suite.View = View

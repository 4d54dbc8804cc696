// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ahead finds the memory of a cipher, so that it can be read before it is needed (sadb.Config.View). crypto/cipher has no such
// question, and the rooms below have no package unsafe: here it is one conversion, of a pointer that Go made to a view that is read and
// never written. Nothing of it is attacker controlled. It guarantees that a view lies within the object that it is of, and keeps it alive.
package ahead

import (
	"crypto/cipher"
	"reflect"
	"unsafe"

	"github.com/natterjack/natterjack/crypt/suite"
)

// View is a suite.View: the memory of an AES-GCM as crypto/cipher makes it for a processor that has instructions for it; nil for what is
// smaller.
func View(a cipher.AEAD) *suite.Lines {
	v := reflect.ValueOf(a)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil
	}
	if t := v.Type().Elem(); t.Size() < unsafe.Sizeof(suite.Lines{}) {
		return nil
	}
	return (*suite.Lines)(v.UnsafePointer())
}

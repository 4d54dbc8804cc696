// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package secret holds the one type of secret octets. Whatever prints, formats, logs or marshals a Key gets "[key]",
// == on Keys does not compile, and Equal takes the same time for all contents of one length.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[key]"

// Key is a secret. The zero value is a Key without octets. Copies of a Key share its octets: Wipe on one wipes all.
type Key struct {
	_ [0]func() // == must not compile: it is not constant time
	p *[]byte   // behind a pointer: fmt asks no method for %p and would print a slice
}

// New copies b into a Key.
func New(b []byte) Key {
	c := append([]byte(nil), b...)
	return Key{p: &c}
}

// Bytes returns the octets themselves, not a copy. It exists for the constructors of crypto primitives only.
func (k Key) Bytes() []byte {
	if k.p == nil {
		return nil
	}
	return *k.p
}

// Len is the length in octets.
func (k Key) Len() int { return len(k.Bytes()) }

// IsZero reports whether the Key has no octets.
func (k Key) IsZero() bool { return k.Len() == 0 }

// Equal compares in constant time; Keys of different lengths differ.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.Bytes(), o.Bytes()) == 1 }

// Wipe overwrites the octets with zeros.
func (k Key) Wipe() { clear(k.Bytes()) }

// Clone returns a Key with octets of its own.
func (k Key) Clone() Key { return New(k.Bytes()) }

// String implements fmt.Stringer.
func (k Key) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (k Key) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints octets.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

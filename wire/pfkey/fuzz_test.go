// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package pfkey

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// stable: what is accepted is appended to a message that is accepted and appended to the same octets, and kept no more than it brought.
func stable(t *testing.T, c Codec, b []byte) {
	m, err := c.Parse(b)
	if err != nil {
		return
	}
	if p := m.Policy; p != nil && len(p.Requests) > MaxRequests || len(m.SupportedAuth)*algLen > len(b) || m.Proposal != nil && len(m.Proposal.Combs)*combLen > len(b) || len(m.Order)*8 > len(b) {
		t.Fatalf("%v: more was allocated than %d octets bring: %v", c, len(b), m)
	}
	_ = m.Text(c.Dialect)
	if c.Dialect == OpenBSD {
		return
	}
	first, err := c.Append(nil, m)
	if err != nil {
		t.Fatalf("%v: %x: parsed and not appended: %v", c, b, err)
	}
	m, err = c.Parse(first)
	if err != nil {
		t.Fatalf("%v: %x: appended and not parsed: %v", c, first, err)
	}
	second, err := c.Append(nil, m)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%v: %x became %x (%v)", c, first, second, err)
	}
}

// fuzz takes whole messages. The length is made true, or nothing behind it would be reached.
func fuzz(f *testing.F, d Dialect) {
	for _, big := range []bool{false, true} {
		c := Codec{Dialect: d}
		if big {
			c.Order = binary.BigEndian
		}
		if d == OpenBSD {
			c.Dialect = NetBSD
		}
		for _, b := range octets(c) {
			f.Add(big, b)
		}
	}
	if d == Linux {
		for _, b := range append(lines(f, "iked.hex", ""), lines(f, "linux-kernel.hex", "> ", "< ")...) {
			f.Add(false, b)
		}
	}
	f.Fuzz(func(t *testing.T, big bool, b []byte) {
		c := Codec{Dialect: d}
		if big {
			c.Order = binary.BigEndian
		}
		stable(t, c, b)
		if n := len(b) &^ 7; n >= HeaderLen && n <= MaxMessage {
			b = bytes.Clone(b[:n])
			b[0] = Version
			c.order().PutUint16(b[4:], uint16(n/8))
			stable(t, c, b)
		}
	})
}

func FuzzFreeBSD(f *testing.F) { fuzz(f, FreeBSD) }
func FuzzNetBSD(f *testing.F)  { fuzz(f, NetBSD) }
func FuzzLinux(f *testing.F)   { fuzz(f, Linux) }
func FuzzOpenBSD(f *testing.F) { fuzz(f, OpenBSD) }

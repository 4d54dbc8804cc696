// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Section A: traffic selectors and identities (T-013, T-014), and what of identities reaches the log (T-103, T-099).

package hostile

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/natterjack/natterjack/lab/bogus"
)

// selector is one raw selector.
func selector(kind, proto byte, length, from, to uint16, addrs ...byte) []byte {
	b := []byte{kind, proto}
	for _, v := range []uint16{length, from, to} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return append(b, addrs...)
}

// TestT013_Selectors: selectors that are none, in a new child: refused, and the IKE SA stays.
func TestT013_Selectors(t *testing.T) {
	w := Open(t, Options{})
	p := w.Connect(nil)
	any4 := []byte{0, 0, 0, 0, 255, 255, 255, 255}
	any6 := append(make([]byte, 16), bytes.Repeat([]byte{255}, 16)...)
	good := selector(7, 0, 16, 0, 65535, any4...)
	body := func(count byte, list ...[]byte) []byte {
		return append([]byte{count, 0, 0, 0}, bytes.Join(list, nil)...)
	}
	for name, b := range map[string][]byte{
		"empty payload":            {},
		"3 octets":                 {1, 0, 0},
		"no selector":              body(0),
		"count 0 of 1":             body(0, good),
		"count 2 of 1":             body(2, good),
		"count 255 of 1":           body(255, good),
		"count 1 of 2":             body(1, good, good),
		"length 0":                 body(1, selector(7, 0, 0, 0, 65535, any4...)),
		"length 8":                 body(1, selector(7, 0, 8, 0, 65535, any4...)),
		"length 15":                body(1, selector(7, 0, 15, 0, 65535, any4[:7]...)),
		"length 17":                body(1, selector(7, 0, 17, 0, 65535, append(bytes.Clone(any4), 0)...)),
		"length 40 with IPv4":      body(1, selector(7, 0, 40, 0, 65535, any6...)),
		"length 16 with IPv6":      body(1, selector(8, 0, 16, 0, 65535, any4...)),
		"length 65535":             body(1, selector(7, 0, 65535, 0, 65535, any4...)),
		"unknown type alone":       body(1, selector(9, 0, 16, 0, 65535, any4...)),
		"type 0 alone":             body(1, selector(0, 0, 16, 0, 65535, any4...)),
		"from above to":            body(1, selector(7, 0, 16, 0, 65535, 10, 20, 0, 9, 10, 20, 0, 1)),
		"ports from above to":      body(1, selector(7, 6, 16, 9, 1, any4...)),
		"another network":          body(1, selector(7, 0, 16, 0, 65535, 192, 0, 2, 0, 192, 0, 2, 255)),
		"IPv6 where there is none": body(1, selector(8, 0, 40, 0, 65535, any6...)),
	} {
		p.SetBugs(bogus.Bugs{Edit: bogus.Replace(bogus.ChildRequest, bogus.Payload{Type: bogus.PayloadTSr, Body: b})})
		_, err := p.NewChild()
		refused, ok := err.(*bogus.Refused)
		if !ok || !refused.Sealed || refused.Notify != bogus.TSUnacceptable && refused.Notify != bogus.InvalidSyntax {
			t.Errorf("%s: %v, expected TS_UNACCEPTABLE or INVALID_SYNTAX", name, err)
		}
		p.SetBugs(bogus.Bugs{})
		if err := p.Ping(); err != nil {
			t.Fatalf("%s: the IKE SA afterwards: %v", name, err)
		}
	}
	selectorsThatFit(t, p, good, any6)
}

// selectorsThatFit: what is odd but right is narrowed: many selectors, both families, and one of an unknown type among them.
func selectorsThatFit(t *testing.T, p *bogus.Peer, good, any6 []byte) {
	t.Helper()
	for name, b := range map[string][]byte{
		"255 selectors": append([]byte{255, 0, 0, 0}, bytes.Repeat(good, 255)...),
		"both families": append([]byte{2, 0, 0, 0}, append(selector(8, 0, 40, 0, 65535, any6...), good...)...),
	} {
		p.SetBugs(bogus.Bugs{Edit: bogus.Replace(bogus.ChildRequest, bogus.Payload{Type: bogus.PayloadTSr, Body: b})})
		c, err := p.NewChild()
		p.SetBugs(bogus.Bugs{})
		if refused, ok := err.(*bogus.Refused); ok && refused.Notify == bogus.TSUnacceptable {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.TSr {
			if !netip.MustParsePrefix("10.20.0.0/24").Contains(s.From) || !netip.MustParsePrefix("10.20.0.0/24").Contains(s.To) {
				t.Errorf("%s: narrowed to %v, which is not ours", name, s)
			}
		}
		if err := p.DeleteChild(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hostileIDs are identities that have hurt others.
func hostileIDs() map[string]bogus.ID {
	nested := []byte{}
	for range 100 {
		nested = append([]byte{0x30, byte(min(len(nested), 127))}, nested...)
	}
	evil := pkix.Name{CommonName: "a\nlevel=ERROR\x1b[2J\u202e\u2028%s$(reboot)", Organization: []string{strings.Repeat("O", 2000)}}
	dn, err := asn1.Marshal(evil.ToRDNSequence())
	if err != nil {
		panic(err)
	}
	ids := map[string]bogus.ID{
		"DN of a terminal": {Type: bogus.IDDN, Data: dn},
		"empty name":       bogus.FQDN(""),
		"60,000 octets":    bogus.FQDN(strings.Repeat("a", 60000)),
		"NUL":              bogus.FQDN("gw\x00.example"),
		"newline":          bogus.FQDN("a\nlevel=ERROR msg=forged"),
		"CR":               bogus.FQDN("a\r\rb"),
		"escape":           bogus.FQDN("\x1b[2J\x1b]0;title\x07"),
		"format":           bogus.FQDN("%s%s%n%p%!d(MISSING)"),
		"shell":            bogus.FQDN("'; rm -rf / #$(reboot)`reboot`"),
		"path":             bogus.FQDN("../../../etc/passwd"),
		"invalid UTF-8":    bogus.FQDN("\xff\xfe\xc0\x80\xed\xa0\x80"),
		"right to left":    bogus.FQDN("a\u202egpj.exe\u2028\u2029\u200f\ufeff"),
		"quotes":           bogus.FQDN(`"},{"level":"ERROR"`),
		"mail":             {Type: bogus.IDRFC822, Data: []byte("a@b\n@c")},
		"DN empty":         {Type: bogus.IDDN},
		"DN cut":           {Type: bogus.IDDN, Data: []byte{0x30, 0x82, 0xff, 0xff, 0x31}},
		"DN nested":        {Type: bogus.IDDN, Data: nested},
		"DN huge":          {Type: bogus.IDDN, Data: append([]byte{0x30, 0x83, 0x00, 0xc0, 0x00}, make([]byte, 0xc000)...)},
		"DN indefinite":    {Type: bogus.IDDN, Data: append([]byte{0x30, 0x80}, make([]byte, 200)...)},
		"IPv4 of 3":        {Type: bogus.IDIPv4, Data: []byte{1, 2, 3}},
		"IPv4 of 16":       {Type: bogus.IDIPv4, Data: make([]byte, 16)},
		"IPv6 of 4":        {Type: bogus.IDIPv6, Data: make([]byte, 4)},
		"key ID of 1024":   {Type: bogus.IDKeyID, Data: bytes.Repeat([]byte{0, '\n', 0x80}, 341)},
	}
	return ids
}

// TestT014_Identities: every type of identity, and hostile ones, without the key: refused the same way, nothing kept, and
// harmless lines of log, which the oracle reads.
func TestT014_Identities(t *testing.T) {
	w := Open(t, Options{})
	before := w.D.Stats().IKESAs
	for name, id := range hostileIDs() {
		wrongKey(t, w, name, id)
	}
	for kind := range 256 {
		wrongKey(t, w, fmt.Sprintf("type %d", kind), bogus.ID{Type: uint8(kind), Data: []byte("some.example")})
	}
	w.Settle()
	if n := w.D.Stats().IKESAs; n != before {
		t.Errorf("%d IKE SAs more", n-before)
	}
}

func wrongKey(t *testing.T, w *World, name string, id bogus.ID) {
	t.Helper()
	p := w.Peer(func(c *bogus.Config) { c.ID, c.PSK = id, []byte("another key than the right one") })
	defer w.Leave(p)
	err := p.Connect()
	var refused *bogus.Refused
	if !asRefused(err, &refused) || refused.Notify != bogus.AuthenticationFailed && refused.Notify != bogus.InvalidSyntax {
		t.Errorf("%s: %v, expected AUTHENTICATION_FAILED", name, err)
	}
}

// TestT103_IdentitiesInTheLog: the same identities with the right key, so that they get as far into the log as anything
// does. What they say must not look like a line of its own; the oracle reads the form of every line.
func TestT103_IdentitiesInTheLog(t *testing.T) {
	w := Open(t, Options{})
	up := 0
	for name, id := range hostileIDs() {
		p := w.Peer(func(c *bogus.Config) { c.ID = id })
		err := p.Connect()
		var refused *bogus.Refused
		switch {
		case err == nil:
			up++
			if err := p.Ping(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !asRefused(err, &refused):
			t.Errorf("%s: %v", name, err)
		}
		for _, list := range []string{statusText(w)} {
			if strings.ContainsAny(list, "\n\r\x1b\x00") {
				t.Errorf("%s: the status has it as it is: %q", name, list)
			}
		}
		w.Leave(p)
	}
	if up < 5 {
		t.Errorf("%d identities authenticated, expected at least the printable ones", up)
	}
	for _, l := range w.Log.Lines() {
		if strings.Contains(l, "level=ERROR") && !strings.Contains(l, `level=ERROR msg=forged`) {
			t.Errorf("an error was logged: %s", l)
		}
		if strings.HasPrefix(l, "level=ERROR") || strings.Contains(l, "\nlevel=") {
			t.Errorf("a forged line: %q", l)
		}
	}
}

// statusText is what of the peers' identities the status shows.
func statusText(w *World) string {
	var b strings.Builder
	for _, sa := range w.D.Status() {
		b.WriteString(sa.RemoteID.String())
	}
	return b.String()
}

// TestT099_NotifyText: notifies and configuration attributes of an authenticated gateway with octets for a shell, for a
// terminal and for a path in them: the client's log stays harmless (the oracle), and nothing but addresses is believed.
func TestT099_HostileGateway(t *testing.T) {
	w := Open(t, Options{})
	evil := []byte("$(reboot)`id`;\n../\x00\x1b[2J" + strings.Repeat("A", 5000))
	o := w.Out(1, "vips = 0.0.0.0", func(c *bogus.Config) {
		c.GiveAddress = netip.MustParseAddr("10.20.0.77")
		c.Bugs.Edit = bogus.On(bogus.AuthResponse, func(m *bogus.Message) {
			m.Payloads = append([]bogus.Payload{bogus.N(40960, evil...), bogus.N(16385, evil...)}, m.Payloads...)
			if cp := m.Find(bogus.PayloadCP); cp != nil {
				*cp = bogus.CP(2, bogus.Attribute{Type: 1, Data: []byte{10, 20, 0, 77}}, bogus.Attribute{Type: 3, Data: []byte{10, 20, 0, 1}},
					bogus.Attribute{Type: 7, Data: evil}, bogus.Attribute{Type: 25, Data: evil}, bogus.Attribute{Type: 28672, Data: evil})
			}
		})
	})
	if err := o.Initiate(); err != nil {
		t.Errorf("the connection: %v", err)
	}
	bad := w.Out(2, "", func(c *bogus.Config) {
		c.Bugs.Edit = bogus.On(bogus.AuthResponse, func(m *bogus.Message) { m.Payloads = []bogus.Payload{bogus.N(bogus.AuthenticationFailed, evil...)} })
	})
	err := bad.Initiate()
	if err == nil {
		t.Error("a refusal was taken for success")
	} else if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
		t.Errorf("the operator is told %q", err)
	}
}

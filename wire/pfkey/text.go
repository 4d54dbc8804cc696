// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A message in words, for monitors and tests: one line for the header and one for each extension. Keys are never among them, only how
// long they are. Text from others is quoted.

package pfkey

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/crypt/secret"
)

// Text is the message in the words of a dialect.
func (m *Message) Text(d Dialect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s satype=%s seq=%d pid=%d", m.Type.Name(d), m.SAType.Name(d), m.Seq, m.PID)
	if m.Errno != OK {
		fmt.Fprintf(&b, " error=%s", m.Errno)
	}
	if m.Inner != nil {
		fmt.Fprintf(&b, " (with a message of %d octets)", len(m.Inner))
	}
	var done [maxExt]bool
	one := func(t ExtType) {
		i := t.index()
		if i < 0 || done[i] || !m.Has(t) {
			return
		}
		done[i] = true
		fmt.Fprintf(&b, "\n\t%s %s", strings.TrimPrefix(strings.TrimPrefix(t.String(), "SADB_EXT_"), "SADB_X_EXT_"), m.extText(d, t))
	}
	for _, t := range m.Order {
		one(t)
	}
	for _, t := range d.order(m.Type) {
		one(t)
	}
	for i := range ExtType(maxExt) {
		one(i.fromIndex())
	}
	for _, x := range m.Raw {
		fmt.Fprintf(&b, "\n\t%s %x", strings.TrimPrefix(x.Type.String(), "SADB_X_EXT_"), x.Data)
	}
	if m.UDPEncap != nil {
		fmt.Fprintf(&b, "\n\tUDPENCAP port=%d", *m.UDPEncap)
	}
	return b.String()
}

// String is the message in the words of FreeBSD.
func (m *Message) String() string { return m.Text(FreeBSD) }

func (m *Message) extText(d Dialect, t ExtType) string {
	switch t {
	case ExtSA:
		s := m.SA
		enc := s.Encrypt.Name(d)
		if m.SAType == SATypeIPComp {
			enc = s.Encrypt.CompressName()
		}
		return fmt.Sprintf("spi=%d(0x%08x) replay=%d state=%s auth=%s encrypt=%s flags=0x%08x", s.SPI, s.SPI, s.Replay, s.State, s.Auth.Name(d), enc, s.Flags)
	case ExtKeyAuth, ExtKeyEncrypt:
		return keyText(*m.key(t))
	case ExtIdentitySrc:
		return m.IdentitySrc.String()
	case ExtIdentityDst:
		return m.IdentityDst.String()
	case ExtProposal:
		return m.Proposal.text(d)
	case ExtSupportedAuth:
		return supportedText(m.SupportedAuth, func(id uint8) string { return AuthAlg(id).Name(d) })
	case ExtSupportedEncrypt:
		return supportedText(m.SupportedEncrypt, func(id uint8) string { return EncryptAlg(id).Name(d) })
	case ExtSPIRange:
		return fmt.Sprintf("min=0x%08x max=0x%08x", m.SPIRange.Min, m.SPIRange.Max)
	case ExtPolicy:
		return m.Policy.String()
	case ExtSA2:
		return fmt.Sprintf("mode=%s seq=%d reqid=%d", m.SA2.Mode, m.SA2.Seq, m.SA2.Reqid)
	case ExtNATType:
		return fmt.Sprintf("type=%d", *m.NATType)
	case ExtNATFrag:
		return fmt.Sprintf("length=%d", *m.NATFrag)
	case ExtSAReplay:
		return fmt.Sprintf("packets=%d", *m.SAReplay)
	case ExtSecCtx:
		return fmt.Sprintf("alg=%d doi=%d context=%q", m.SecCtx.Alg, m.SecCtx.DOI, m.SecCtx.Context)
	case ExtKMAddress:
		return fmt.Sprintf("src=%s dst=%s", m.KMAddr.Src, m.KMAddr.Dst)
	case ExtFilter:
		return fmt.Sprintf("src=%s dst=%s", m.Filter.Src, m.Filter.Dst)
	}
	return m.kindText(t)
}

func (m *Message) kindText(t ExtType) string {
	if p := m.lifetime(t); p != nil {
		return fmt.Sprintf("allocations=%d bytes=%d addtime=%d usetime=%d", (*p).Allocations, (*p).Bytes, (*p).AddTime, (*p).UseTime)
	}
	if p := m.address(t); p != nil {
		return fmt.Sprintf("proto=%d prefixlen=%d %s", (*p).Proto, (*p).PrefixLen, (*p).Sockaddr)
	}
	if p := m.opaque(t); p != nil {
		return fmt.Sprintf("%d octets", len((*p).Data)) // its owner's affair, and perhaps its secret
	}
	return fmt.Sprintf("port=%d", **m.port(t))
}

func keyText(k *secret.Key) string { return fmt.Sprintf("bits=%d [key]", k.Len()*bitsInOctet) }

// String is the address, with the port where there is one.
func (s Sockaddr) String() string {
	text := s.Addr.String()
	if s.Scope != 0 {
		text += fmt.Sprintf("%%%d", s.Scope)
	}
	switch {
	case s.Port == 0:
		return text
	case s.Addr.Is4():
		return fmt.Sprintf("%s:%d", text, s.Port)
	}
	return fmt.Sprintf("[%s]:%d", text, s.Port)
}

// String is the identity with its text quoted.
func (i *Identity) String() string {
	text, _, _ := bytes.Cut(i.Data, []byte{0})
	return fmt.Sprintf("type=%d id=%d %q", i.Type, i.ID, text)
}

// String is the policy as setkey writes one, with its numbers.
func (p *Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", p.Dir, p.Type)
	for i := range p.Requests {
		b.WriteByte(' ')
		b.WriteString(p.Requests[i].String())
	}
	fmt.Fprintf(&b, " id=%d priority=%d", p.ID, p.Priority)
	if p.Scope != 0 {
		fmt.Fprintf(&b, " scope=%d", p.Scope)
	}
	return b.String()
}

// String is setkey's protocol/mode/src-dst/level.
func (q *Request) String() string {
	proto := fmt.Sprint(q.Proto)
	switch q.Proto {
	case 50:
		proto = "esp"
	case 51:
		proto = "ah"
	case 108:
		proto = "ipcomp"
	}
	ends := ""
	if q.Src.Addr.IsValid() {
		ends = q.Src.text("[%d]") + "-" + q.Dst.text("[%d]")
	}
	level := q.Level.String()
	if q.Level == LevelUnique || q.Reqid != 0 {
		level = fmt.Sprintf("%s:%d", level, q.Reqid)
	}
	return fmt.Sprintf("%s/%s/%s/%s", proto, q.Mode, ends, level)
}

// text is the address with its port in setkey's brackets, where there is one.
func (s Sockaddr) text(port string) string {
	if s.Port == 0 {
		return s.Addr.String()
	}
	return s.Addr.String() + fmt.Sprintf(port, s.Port)
}

func (p *Proposal) text(d Dialect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "replay=%d", p.Replay)
	for i := range p.Combs {
		c := &p.Combs[i]
		fmt.Fprintf(&b, " %s:%d-%d/%s:%d-%d", c.Encrypt.Name(d), c.EncryptMinBits, c.EncryptMaxBits, c.Auth.Name(d), c.AuthMinBits, c.AuthMaxBits)
	}
	return b.String()
}

func supportedText(list []Supported, name func(uint8) string) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = fmt.Sprintf("%s:%d-%d", name(a.ID), a.MinBits, a.MaxBits)
	}
	return strings.Join(words, " ")
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ikev2msg turns IKEv2 messages into values and back (RFC 7296, Section 3; RFC 7383, Section 2.5). Every octet is
// attacker controlled. What parses appends to the same octets, but for reserved fields, which are ignored when read and
// zero when written; no strict prefix of a message parses.
package ikev2msg

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// Message is one message. Of an encrypted one Payloads ends with an *Encrypted.
type Message struct {
	isakmp.Header
	Payloads []Payload
}

// Payload is one payload. A Critical bit is only kept of unknown ones: of all others the RFC says to ignore it.
type Payload interface {
	Type() PayloadType
	append(dst []byte) []byte
	summary() string
}

// CriticalError is an unknown payload with the critical bit set (RFC 7296, Section 2.5).
type CriticalError struct{ Type PayloadType }

func (e *CriticalError) Error() string {
	return fmt.Sprintf("payload %d: unknown and critical", uint8(e.Type))
}

// Parse reads a whole datagram. The header's Length must be that of b.
func Parse(b []byte) (*Message, error) {
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if uint64(h.Length) != uint64(len(b)) {
		return nil, fmt.Errorf("header: length %d, expected %d", h.Length, len(b))
	}
	payloads, err := parseChain(PayloadType(h.NextPayload), b[isakmp.HeaderLen:], isakmp.HeaderLen)
	if err != nil {
		return nil, err
	}
	return &Message{Header: h, Payloads: payloads}, nil
}

// ParsePayloads reads what an Encrypted payload contained; a further Encrypted payload is refused.
func ParsePayloads(first PayloadType, b []byte) ([]Payload, error) {
	payloads, err := parseChain(first, b, 0)
	if err != nil {
		return nil, err
	}
	for _, p := range payloads {
		if t := p.Type(); t == TypeSK || t == TypeSKF {
			return nil, fmt.Errorf("payload %s inside an encrypted one", t)
		}
	}
	return payloads, nil
}

func parseChain(first PayloadType, b []byte, base int) ([]Payload, error) {
	generic, err := isakmp.Walk(uint8(first), b, func(t uint8) bool {
		return PayloadType(t) == TypeSK || PayloadType(t) == TypeSKF
	})
	if err != nil {
		return nil, err
	}
	payloads := make([]Payload, len(generic))
	for i, g := range generic {
		if payloads[i], err = parsePayload(g, base); err != nil {
			return nil, err
		}
	}
	return payloads, nil
}

func parsePayload(g isakmp.Generic, base int) (Payload, error) {
	t := PayloadType(g.Type)
	var p Payload
	var err error
	switch t {
	case TypeSA:
		p, err = parseSA(g.Body)
	case TypeKE:
		p, err = parseKE(g.Body)
	case TypeIDi, TypeIDr:
		p, err = parseID(t == TypeIDi, g.Body)
	case TypeCert:
		p, err = parseCert(g.Body)
	case TypeCertReq:
		p, err = parseCertReq(g.Body)
	case TypeAuth:
		p, err = parseAuth(g.Body)
	case TypeNonce:
		p, err = parseNonce(g.Body)
	case TypeNotify:
		p, err = parseNotify(g.Body)
	case TypeDelete:
		p, err = parseDelete(g.Body)
	case TypeVendor:
		p = &Vendor{Data: g.Body}
	case TypeTSi, TypeTSr:
		p, err = parseTS(t == TypeTSi, g.Body)
	case TypeCP:
		p, err = parseCP(g.Body)
	case TypeEAP:
		p = &EAP{Data: g.Body}
	case TypeSK, TypeSKF:
		p, err = parseEncrypted(t, g, base)
	default:
		if g.Critical {
			return nil, &CriticalError{Type: t}
		}
		p = &Unknown{Num: t, Body: g.Body}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return p, nil
}

// Append appends the message and sets its NextPayload and Length, whatever they were.
func (m *Message) Append(dst []byte) []byte {
	first, body := AppendPayloads(nil, m.Payloads)
	m.NextPayload = uint8(first)
	m.Length = uint32(isakmp.HeaderLen + len(body))
	dst = m.Header.Append(dst)
	return append(dst, body...)
}

// AppendPayloads appends a chain and returns the type of its first payload.
func AppendPayloads(dst []byte, payloads []Payload) (first PayloadType, out []byte) {
	for i, p := range payloads {
		var next PayloadType
		if i+1 < len(payloads) {
			next = payloads[i+1].Type()
		}
		critical := false
		switch p := p.(type) {
		case *Encrypted:
			next = p.First
		case *Unknown:
			critical = p.Critical
		}
		at := len(dst)
		dst = isakmp.AppendGeneric(dst, uint8(next), critical, 0)
		dst = p.append(dst)
		n := len(dst) - at
		dst[at+2], dst[at+3] = byte(n>>8), byte(n)
	}
	if len(payloads) > 0 {
		first = payloads[0].Type()
	}
	return first, dst
}

// Summary is the message in one line, as transcripts show it: "IKE_AUTH req 1 { IDi AUTH SA TSi TSr }".
func (m *Message) Summary() string {
	kind := "req"
	if m.Response() {
		kind = "resp"
	}
	return fmt.Sprintf("%s %s %d %s", Exchange(m.Exchange), kind, m.MessageID, summaryOf(m.Payloads, m.suffix()))
}

// suffix tells KEi from KEr and Ni from Nr, which have one payload type each: a request is the exchange initiator's.
func (m *Message) suffix() string {
	if m.Response() {
		return "r"
	}
	return "i"
}

// SummaryOf is a list of payloads in braces.
func SummaryOf(payloads []Payload) string { return summaryOf(payloads, "") }

func summaryOf(payloads []Payload, suffix string) string {
	parts := make([]string, 0, len(payloads)+2)
	parts = append(parts, "{")
	for _, p := range payloads {
		switch s := p.summary(); p.(type) {
		case *KE:
			parts = append(parts, s+suffix)
		case *Nonce:
			parts = append(parts, s[:1]+cmp.Or(suffix, s[1:]))
		default:
			parts = append(parts, s)
		}
	}
	return strings.Join(append(parts, "}"), " ")
}

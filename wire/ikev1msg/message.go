// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ikev1msg turns IKEv1 messages into values and back: RFC 2407, RFC 2408 and RFC 2409, the payloads of NAT-T (RFC 3947
// and its drafts), DPD (RFC 3706), Mode-Config and XAUTH (draft-dukes-ike-mode-cfg-02, draft-beaulieu-ike-xauth-02), the
// attributes of Cisco Unity and the fragments of IKEv1 (MS-IKEE, Section 2.2.3.1). Every octet is attacker controlled, those
// of decrypted messages too: IKEv1 decrypts before it authenticates.
//
// What parses appends to the same octets, and no strict prefix of a message parses. Reserved fields must be zero, as
// RFC 2408, Section 5, has it: behind a wrong key they are not. What is parsed are parts of the octets that were given, never
// copies; nothing is allocated by a length that was read.
package ikev1msg

import (
	"errors"
	"fmt"
	"strings"

	"github.com/natterjack/natterjack/wire/isakmp"
)

// Message is one message. Of one that is encrypted only the header is known: Encrypted has what follows it, and whoever
// has the key gives what it contained, with the header's NextPayload, to ParseDecrypted. Pad is how many zero octets, up to
// three, follow the payloads of one in the clear.
type Message struct {
	isakmp.Header
	Chain
	Encrypted []byte
	Pad       int
}

// Payload is one payload.
type Payload interface {
	Type() PayloadType
	append(dst []byte) []byte
	summary() string
}

// TypeError is a payload type that must not be where it is (RFC 2408, Section 5.3: INVALID-PAYLOAD-TYPE).
type TypeError struct{ Type PayloadType }

// Error names the type.
func (e *TypeError) Error() string {
	return fmt.Sprintf("payload type %d: not one of a message's", uint8(e.Type))
}

// Parse reads a whole datagram, without marker. The header's Length must be that of b.
//
// A message that begins with a fragment is read as that, whatever its encryption flag says: senders clear it, as MS-IKEE has
// it, or keep that of the message they cut, and no payload inside of an encrypted message is a fragment.
func Parse(b []byte) (*Message, error) {
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(h, len(b)); err != nil {
		return nil, err
	}
	m, body := &Message{Header: h}, b[isakmp.HeaderLen:]
	if m.Sealed() {
		m.Encrypted = body
		return m, nil
	}
	c, err := parseChain(PayloadType(h.NextPayload), body)
	if err != nil {
		return nil, err
	}
	if err := checkAligned(c.Padding(), len(b)); err != nil {
		return nil, err
	}
	m.Chain, m.Pad = *c, len(c.Padding())
	return m, nil
}

// checkAligned holds what may follow the payloads of a message in the clear: as many zeros as make its length a multiple of
// four, as some peers have it (RFC 2408, Section 3.6: attributes need not be aligned, and padding is added at the end of the
// message). One that is not aligned is taken as it is.
func checkAligned(pad []byte, n int) error {
	if len(pad) == 0 {
		return nil
	}
	if n%4 != 0 || len(pad) > 3 || string(pad) != "\x00\x00\x00"[:len(pad)] {
		return fmt.Errorf("payloads: %d octets behind the last one, expected none, or up to three zeros that make the length %d a multiple of 4", len(pad), n)
	}
	return nil
}

// checkHeader is RFC 2408, Section 5.2, but for what needs to know the SA: cookies, exchange and message ID.
func checkHeader(h isakmp.Header, n int) error {
	switch {
	case uint64(h.Length) != uint64(n):
		return fmt.Errorf("header: length %d, expected %d", h.Length, n)
	case n > isakmp.MaxMessage:
		return fmt.Errorf("header: %d octets, expected at most %d", n, isakmp.MaxMessage)
	case h.Major != 1 || h.Minor != 0:
		return fmt.Errorf("header: version %d.%d, expected 1.0", h.Major, h.Minor)
	case h.SPIi == 0:
		return errors.New("header: initiator cookie 0, expected another")
	case h.Flags&^flagsKnown != 0:
		return fmt.Errorf("header: flags %02x, expected no others than %02x", h.Flags, flagsKnown)
	case h.NextPayload == 0:
		return errors.New("header: next payload 0, expected a payload")
	case n == isakmp.HeaderLen:
		return errors.New("header: nothing behind it, expected a payload")
	}
	return nil
}

// Sealed reports whether what follows the header is encrypted.
func (m *Message) Sealed() bool {
	return m.Flags&FlagEncryption != 0 && PayloadType(m.NextPayload) != TypeFragment
}

// Append appends the message and sets its Length, whatever it was; and, of a message that is not encrypted, its NextPayload.
// Of an encrypted one NextPayload stays what it is: the type of the first payload inside.
func (m *Message) Append(dst []byte) []byte {
	body := m.Encrypted
	if body == nil {
		var first PayloadType
		first, body = AppendPayloads(nil, m.Payloads)
		body = append(body, make([]byte, m.Pad)...)
		m.NextPayload = uint8(first)
	}
	m.Length = uint32(isakmp.HeaderLen + len(body))
	dst = m.Header.Append(dst)
	return append(dst, body...)
}

// Summary is the message in one line, as transcripts show it: "MAIN 00000000 { SA V V }", "QUICK 1a2b3c4d *" if encrypted.
func (m *Message) Summary() string {
	if m.Sealed() {
		return fmt.Sprintf("%s %08x *", Exchange(m.Exchange), m.MessageID)
	}
	return fmt.Sprintf("%s %08x %s", Exchange(m.Exchange), m.MessageID, SummaryOf(m.Payloads))
}

// SummaryOf is a list of payloads in braces.
func SummaryOf(payloads []Payload) string {
	parts := make([]string, 0, len(payloads)+2)
	parts = append(parts, "{")
	for _, p := range payloads {
		parts = append(parts, p.summary())
	}
	return strings.Join(append(parts, "}"), " ")
}

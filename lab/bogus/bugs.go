// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What the peer does wrong. A hook runs with the peer's lock held: it must not call the peer's methods. The functions at
// the end make the common hooks.

package bogus

import "slices"

// Step is a message this peer sends.
type Step uint8

const (
	InitRequest Step = iota + 1
	InitResponse
	AuthRequest
	AuthResponse
	ChildRequest // a new child or a rekeyed one
	ChildResponse
	RekeyRequest // of the IKE SA
	RekeyResponse
	InfoRequest
	InfoResponse
)

// Bugs changes what the peer sends. The zero value changes nothing.
type Bugs struct {
	// Edit changes a message's header and payloads before it is protected and sent. AUTH covers what Edit made.
	Edit func(s Step, m *Message)
	// Seal changes how a message is protected.
	Seal func(s Step, o *Sealing)
	// Wire replaces the finished datagrams (without markers), as somebody on the path would: AUTH does not cover it.
	// An empty list sends nothing.
	Wire func(s Step, datagrams [][]byte) [][]byte
	// Ignore reports whether a received message is thrown away unseen; Sealed is not known yet.
	Ignore func(m *Message) bool
	// KE changes the key exchange payload, Shared the secret that is computed.
	KE     func(group uint16, public []byte) (uint16, []byte)
	Shared func(secret []byte) []byte
	// Nonce is used in place of a random one.
	Nonce []byte
	// Auth changes what AUTH is computed from, or replaces it.
	Auth func(a *AuthInput)
	// NATD replaces the NAT detection notifies; it gets the true hashes of this end and of the other.
	NATD func(source, destination []byte) []Payload
	// Cookie changes the cookie that is echoed; nil from it echoes none. round counts from 1.
	Cookie func(round int, cookie []byte) []byte
	// ForceCookie has a responder ask for a cookie so many times.
	ForceCookie int
	// AcceptAuth has a peer's wrong AUTH taken for right.
	AcceptAuth bool
	// FragmentSize sends protected messages in fragments of so many octets of plaintext, also where nobody offered it.
	FragmentSize int
	// NoFloat stays on the first port after IKE_SA_INIT; StartFloated begins on the NAT-T port, which is allowed.
	NoFloat, StartFloated bool
	// ESP changes every ESP packet that SendInner makes.
	ESP func(p *Packet)
}

// Edits joins hooks in order.
func Edits(list ...func(Step, *Message)) func(Step, *Message) {
	return func(s Step, m *Message) {
		for _, f := range list {
			f(s, m)
		}
	}
}

// On limits an edit to one step.
func On(step Step, edit func(*Message)) func(Step, *Message) {
	return func(s Step, m *Message) {
		if s == step {
			edit(m)
		}
	}
}

// Omit removes the payloads of a type from a step's message.
func Omit(step Step, kind uint8) func(Step, *Message) {
	return On(step, func(m *Message) { m.Omit(kind) })
}

// Double repeats the payloads of a type.
func Double(step Step, kind uint8) func(Step, *Message) {
	return On(step, func(m *Message) {
		var list []Payload
		for _, p := range m.Payloads {
			list = append(list, p)
			if p.Type == kind {
				list = append(list, p)
			}
		}
		m.Payloads = list
	})
}

// Add appends payloads.
func Add(step Step, list ...Payload) func(Step, *Message) {
	return On(step, func(m *Message) { m.Add(list...) })
}

// Prepend puts payloads in front.
func Prepend(step Step, list ...Payload) func(Step, *Message) {
	return On(step, func(m *Message) { m.Payloads = append(slices.Clone(list), m.Payloads...) })
}

// Replace puts p where the first payload of its type is.
func Replace(step Step, p Payload) func(Step, *Message) {
	return On(step, func(m *Message) {
		if old := m.Find(p.Type); old != nil {
			*old = p
		}
	})
}

// Critical sets or clears the critical bit of the payloads of a type.
func Critical(step Step, kind uint8, on bool) func(Step, *Message) {
	return On(step, func(m *Message) {
		for i := range m.Payloads {
			if m.Payloads[i].Type == kind {
				m.Payloads[i].Flags &^= 0x80
				if on {
					m.Payloads[i].Flags |= 0x80
				}
			}
		}
	})
}

// Reverse turns the order of payloads round.
func Reverse(step Step) func(Step, *Message) {
	return On(step, func(m *Message) { slices.Reverse(m.Payloads) })
}

// OmitNotify removes the notifies of a type.
func OmitNotify(step Step, kind uint16) func(Step, *Message) {
	return On(step, func(m *Message) {
		m.Payloads = slices.DeleteFunc(m.Payloads, func(p Payload) bool {
			n, err := ParseNotify(p.Body)
			return p.Type == PayloadNotify && err == nil && n.Type == kind
		})
	})
}

// SealOn limits a sealing to one step.
func SealOn(step Step, o Sealing) func(Step, *Sealing) {
	return func(s Step, to *Sealing) {
		if s == step {
			*to = o
		}
	}
}

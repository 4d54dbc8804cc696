// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package oracle asks a real kernel's AF_KEY what it answers to a list of messages, and our PF_KEY server the same, and compares.
// A case is a function that sends messages; what came back is its transcript. Transcripts of Linux lie in testdata; the lab
// (root, qemu) records them and checks that they are still what the kernel says, the unit test compares our server with them.
package oracle

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// System is what answers: a kernel in a virtual machine or a server of ours.
type System interface {
	// Reset forgets all SAs, policies and sockets.
	Reset() error
	// Open opens a socket under a name.
	Open(socket string) error
	// Step writes a message, unless it is empty, lets the time pass, and reads what every open socket received.
	Step(socket string, octets []byte, wait time.Duration) (errno int, received map[string][][]byte, err error)
	// Emit has the system send a UDP datagram with that many octets of zeros, Arrive receive an IPv4 packet from its peer.
	Emit(from, to netip.AddrPort, octets int) error
	Arrive(packet []byte) error
	// Close closes a socket.
	Close(socket string) error
	// Larval asks for larval SAs to live so long from now on, in seconds, and returns how long they do.
	Larval(seconds int) (int, error)
}

// Case is one conversation with a system that has neither SAs nor policies at its start.
type Case struct {
	Name string
	Talk func(*Session)
}

// Session is a conversation under way.
type Session struct {
	system System
	names  *names
	text   strings.Builder
	step   uint32
	err    error
	// last is what the last step received, by socket.
	last map[string][][]byte
}

// Transcript holds the conversation with a system and returns its text.
func (c Case) Transcript(system System) (string, error) {
	s := &Session{system: system, names: newNames()}
	if err := system.Reset(); err != nil {
		return "", err
	}
	s.open("a")
	c.Talk(s)
	return s.text.String(), s.err
}

// open opens sockets.
func (s *Session) open(sockets ...string) {
	for _, name := range sockets {
		if s.err == nil {
			s.err = s.system.Open(name)
		}
	}
}

// send writes a message to socket a.
func (s *Session) send(m message) { s.sendTo("a", m) }

// sendTo writes a message to a socket, opened at first use, and notes what came of it.
func (s *Session) sendTo(socket string, m message) {
	s.step++
	s.write(socket, m.octets(s.step))
}

// watch opens a socket and registers it for an SA type; what that is answered is register's cases' and not noted.
func (s *Session) watch(socket string, satype uint8) {
	s.open(socket)
	if s.err != nil {
		return
	}
	fmt.Fprintf(&s.text, "%s registered for %s\n", socket, saName(satype))
	errno, _, err := s.system.Step(socket, msg(register, satype).octets(0), 0)
	if s.err = err; err == nil && errno != 0 {
		s.err = fmt.Errorf("register: errno %d", errno)
	}
}

// write writes octets that need be no message.
func (s *Session) write(socket string, b []byte) {
	s.open(socket)
	if s.err != nil {
		return
	}
	seq, pid := uint32(s.step), uint32(ourPID)
	fmt.Fprintf(&s.text, "%s> %s", socket, s.names.print(b, seq, pid))
	if len(b) >= headerLen {
		seq, pid = binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])
	}
	errno, received, err := s.system.Step(socket, b, 0)
	if err != nil {
		s.err = err
		return
	}
	if errno != 0 {
		fmt.Fprintf(&s.text, "%s! errno %d\n", socket, errno)
	}
	s.note(received, seq, pid)
}

// wait lets time pass and notes what came by itself.
func (s *Session) wait(d time.Duration) {
	if s.err != nil {
		return
	}
	fmt.Fprintf(&s.text, "wait %v\n", d)
	_, received, err := s.system.Step("", nil, d)
	if err != nil {
		s.err = err
		return
	}
	s.note(received, 0, 0)
}

// close closes a socket.
func (s *Session) close(socket string) {
	if s.err == nil {
		fmt.Fprintf(&s.text, "%s closed\n", socket)
		s.err = s.system.Close(socket)
	}
}

// larval shortens the lifetime of larval SAs for what follows in this case, where the system lets it be chosen.
func (s *Session) larval(seconds int) {
	if s.err == nil {
		s.names.larval, s.err = s.system.Larval(seconds)
	}
}

// outlive waits until a larval SA has ended.
func (s *Session) outlive() {
	if s.err != nil {
		return
	}
	s.text.WriteString("wait longer than $larval\n")
	_, received, err := s.system.Step("", nil, time.Duration(s.names.larval)*time.Second+seconds(1.5))
	if err != nil {
		s.err = err
		return
	}
	s.note(received, 0, 0)
}

// note writes what was received: in the order of each socket, and a message that several received next once.
func (s *Session) note(received map[string][][]byte, seq, pid uint32) {
	s.last = received
	sockets := make([]string, 0, len(received))
	left := map[string][]string{}
	for name, list := range received {
		sockets = append(sockets, name)
		for _, b := range list {
			left[name] = append(left[name], s.names.print(b, seq, pid))
		}
	}
	slices.Sort(sockets)
	for _, name := range sockets {
		for len(left[name]) > 0 {
			head, who := left[name][0], ""
			for _, other := range sockets {
				if len(left[other]) > 0 && left[other][0] == head {
					who += other
					left[other] = left[other][1:]
				}
			}
			fmt.Fprintf(&s.text, "%s< %s", who, head)
		}
	}
}

// spi is the SPI in the last message that a socket received; 0 where there is none.
func (s *Session) spi(socket string) uint32 {
	if e := s.find(socket, extSA); len(e) >= 8 {
		return binary.BigEndian.Uint32(e[4:])
	}
	return 0
}

// policyID is the policy's number in the last message that a socket received; 0 where there is none.
func (s *Session) policyID(socket string) uint32 {
	if e := s.find(socket, extPolicy); len(e) >= 12 {
		return native.Uint32(e[8:])
	}
	return 0
}

// find is an extension of the last message that a socket received.
func (s *Session) find(socket string, kind uint16) []byte {
	list := s.last[socket]
	if len(list) == 0 || len(list[len(list)-1]) < headerLen {
		return nil
	}
	b := list[len(list)-1][headerLen:]
	for len(b) >= 4 {
		l := int(native.Uint16(b)) * word
		if l < word || l > len(b) {
			return nil
		}
		if native.Uint16(b[2:]) == kind {
			return b[:l]
		}
		b = b[l:]
	}
	return nil
}

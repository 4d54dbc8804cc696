// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// What arrives: the verdict of the port, opening, fragments, and to whom it goes.

package bogus

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// read begins to receive on a socket.
func (p *Peer) read(c *net.UDPConn, natt bool) {
	p.loops.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue // an ICMP error of a datagram sent before
			}
			p.datagram(path{natt, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}, slices.Clone(buf[:n]))
		}
	})
}

// datagram tells keepalives, ESP and IKE apart.
func (p *Peer) datagram(v path, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed()
	switch {
	case v.natt && len(b) == 1:
		p.Keepalives.Add(1)
	case v.natt && len(b) > 4 && binary.BigEndian.Uint32(b) != 0:
		p.esp(b)
	case v.natt && len(b) > 4:
		p.message(v, b[4:])
	case v.natt:
		p.Stray.Add(1)
	default:
		p.message(v, b)
	}
}

// message opens an IKE message and gives it to whoever waits for it or serves it.
func (p *Peer) message(v path, b []byte) {
	m, inner, err := Parse(b)
	if err != nil {
		p.Garbage.Add(1)
		return
	}
	if p.c.Bugs.Ignore != nil && p.c.Bugs.Ignore(m) {
		return
	}
	sa := p.find(m)
	if sa != nil && sa.Keys != nil && (m.Find(PayloadSK) != nil || m.Find(PayloadSKF) != nil) {
		if !p.unseal(sa, m, inner) {
			return
		}
	}
	if p.seen = append(p.seen, m); len(p.seen) > seenLimit {
		p.seen = p.seen[1:]
	}
	switch {
	case m.Response() && sa != nil:
		if w := sa.wait[m.ID]; w != nil {
			select {
			case w <- m:
			default:
			}
		}
	case m.Response():
	case sa == nil && m.Exchange == IKESAInit && p.c.Responder:
		p.serveInit(v, m)
	case sa != nil:
		p.serve(v, sa, m)
	}
}

// find returns the SA of a message: by the SPI that this peer chose, or by SPIi where it has not chosen yet.
func (p *Peer) find(m *Message) *SA {
	for _, spi := range []uint64{m.SPIi, m.SPIr} {
		if sa := p.sas[spi]; sa != nil && sa.LocalSPI() == spi && (sa.Initiator == (spi == m.SPIi)) {
			return sa
		}
	}
	if m.Exchange == IKESAInit && m.SPIr == 0 {
		return p.byFirst[m.SPIi]
	}
	return nil
}

// unseal opens SK and collects SKF; false: there is nothing to do yet.
func (p *Peer) unseal(sa *SA, m *Message, inner uint8) bool {
	part, number, total, err := sa.Keys.open(m, inner, !sa.Initiator)
	if err != nil {
		p.Garbage.Add(1)
		return false
	}
	if number == 0 {
		return true
	}
	key := uint64(m.ID)<<1 | uint64(m.Flags&FlagResponse>>5)
	set := sa.fragments[key]
	if set == nil {
		set = map[int][]byte{}
		sa.fragments[key] = set
	}
	if set[number] = part; number == 1 {
		set[0] = []byte{inner}
	}
	if len(set) != total+1 {
		return false
	}
	var text []byte
	for i := 1; i <= total; i++ {
		text = append(text, set[i]...)
	}
	first := set[0][0]
	delete(sa.fragments, key)
	list, _, err := ParseChain(first, text)
	if err != nil {
		p.Garbage.Add(1)
		return false
	}
	m.Payloads, m.Sealed = list, true
	return true
}

// Exchange sends one request of the current SA and waits for its answer. The ID is used up only by a sealed answer.
func (p *Peer) Exchange(s Step, exchange uint8, list ...Payload) (*Message, error) {
	p.mu.Lock()
	sa := p.sa
	p.mu.Unlock()
	return p.ExchangeOn(sa, s, exchange, list...)
}

// ExchangeOn is Exchange for any of the peer's SAs.
func (p *Peer) ExchangeOn(sa *SA, s Step, exchange uint8, list ...Payload) (*Message, error) {
	p.mu.Lock()
	m := sa.header(exchange, sa.NextOut, false)
	p.mu.Unlock()
	m.Payloads = list
	answer, err := p.ask(s, sa, m)
	if err == nil && answer.Sealed {
		p.mu.Lock()
		sa.NextOut++
		p.mu.Unlock()
	}
	return answer, err
}

// Post sends one request without waiting and without using up its ID. Datagrams that were sent are returned.
func (p *Peer) Post(s Step, exchange uint8, list ...Payload) ([][]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.sa.header(exchange, p.sa.NextOut, false)
	m.Payloads = list
	return p.transmit(s, p.sa, m)
}

// PostMessage sends a message of the current SA as it is.
func (p *Peer) PostMessage(s Step, m *Message) ([][]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.transmit(s, p.sa, m)
}

// Header begins a message of the current SA.
func (p *Peer) Header(exchange uint8, id uint32, response bool) *Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sa.header(exchange, id, response)
}

// ask sends m, repeats it, and returns the answer to its ID.
func (p *Peer) ask(s Step, sa *SA, m *Message) (*Message, error) {
	p.mu.Lock()
	w := make(chan *Message, 4)
	id := m.ID
	sa.wait[id] = w
	sent, err := p.transmit(s, sa, m)
	timeout, repeat := p.c.Timeout, p.c.Repeat
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(sa.wait, id)
		p.mu.Unlock()
	}()
	if err != nil {
		return nil, err
	}
	end, again := time.NewTimer(timeout), time.NewTicker(repeat)
	defer end.Stop()
	defer again.Stop()
	for {
		select {
		case answer := <-w:
			return answer, nil
		case <-again.C:
			p.mu.Lock()
			p.send(sa.via, sent)
			p.mu.Unlock()
		case <-end.C:
			return nil, ErrNoAnswer
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The peer: two sockets, its IKE SAs, and one goroutine a socket that takes what arrives. Everything of a Peer is guarded by
// its lock.

package bogus

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultTimeout is how long an answer is waited for; in between the request is repeated.
	defaultTimeout = 3 * time.Second
	defaultRepeat  = time.Second
	// seenLimit and innerLimit bound what is kept of what arrived.
	seenLimit  = 4096
	innerLimit = 512
)

// Config is what a correct peer needs. The zero value of a field means its default.
type Config struct {
	// Local is where the sockets are (127.0.0.1), Ports the two ports (free ones).
	Local             netip.Addr
	IKEPort, NATTPort uint16
	// Remote is the other side's port for IKE, RemoteNATT that for IKE and ESP.
	Remote, RemoteNATT netip.AddrPort
	ID                 ID
	RemoteID           *ID // sent as IDr by an initiator where not nil
	PSK                []byte
	// IKE and ESP are offered by an initiator and chosen by a responder.
	IKE, ESP Suite
	// Proposals replaces the IKE proposal that is offered, ESPProposals the child's (the SPI is filled in).
	Proposals    []Proposal
	ESPProposals []Proposal
	TSi, TSr     []Selector
	// AskAddress requests an inner IPv4 address (CP); GiveAddress is what a responder gives.
	AskAddress  bool
	GiveAddress netip.Addr
	// Responder answers IKE_SA_INIT.
	Responder bool
	// HonestNAT has the true NAT detection hashes sent. Otherwise they say that there is a NAT in front of this peer, so
	// that ESP travels in UDP.
	HonestNAT bool
	// Timeout is how long an answer is waited for, Repeat the time between two sendings.
	Timeout, Repeat time.Duration
	Bugs            Bugs
}

// path is where messages of an SA go.
type path struct {
	natt bool
	to   netip.AddrPort
}

// SA is one IKE SA. Its fields must not be changed while the peer runs, except by tests that mean to.
type SA struct {
	SPIi, SPIr uint64
	Initiator  bool // this peer is the original initiator
	Keys       *Keys
	Ni, Nr     []byte
	Up         bool
	// NextOut is the ID of the next request, NextIn that of the next one expected.
	NextOut, NextIn uint32
	PeerID          ID
	// InitRequest and InitResponse are the two first messages, as AUTH covers them.
	InitRequest, InitResponse []byte

	via       path
	wait      map[uint32]chan *Message
	answered  map[uint32][][]byte
	fragments map[uint64]map[int][]byte
	started   *exchange // initiator, until IKE_SA_INIT is answered
	cookies   int       // asked for by a responder
	gone      bool
}

// LocalSPI is the SPI that this peer chose.
func (sa *SA) LocalSPI() uint64 {
	if sa.Initiator {
		return sa.SPIi
	}
	return sa.SPIr
}

// Peer is one bogus peer. Its methods are safe for concurrent use, though most tests have one goroutine.
type Peer struct {
	c         Config
	ike, natt *net.UDPConn
	loops     sync.WaitGroup

	mu       sync.Mutex // protects the rest
	sas      map[uint64]*SA
	byFirst  map[uint64]*SA // responder: by SPIi
	sa       *SA            // the newest that is up, or the one being set up
	children []*Child
	mine     map[uint32]bool // inbound SPIs this peer drew
	seen     []*Message
	up       chan struct{} // closed and replaced when something changed

	// Address is the inner address that a responder gave.
	address netip.Addr
	inner   chan []byte

	// Keepalives and Stray count datagrams; BadESP counts ESP that could not be opened; Garbage IKE that could not.
	Keepalives, Stray, BadESP, Garbage, Overflow atomic.Uint64
}

// New opens the sockets and begins to receive.
func New(c Config) (*Peer, error) {
	if !c.Local.IsValid() {
		c.Local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Repeat == 0 {
		c.Repeat = defaultRepeat
	}
	if c.IKE == (Suite{}) {
		c.IKE = GCM128()
	}
	if c.ESP == (Suite{}) {
		c.ESP = Suite{Encr: EncrAESGCM16, Bits: 128}
	}
	p := &Peer{
		c: c, sas: map[uint64]*SA{}, byFirst: map[uint64]*SA{}, mine: map[uint32]bool{}, inner: make(chan []byte, innerLimit), up: make(chan struct{}),
	}
	var err error
	if p.ike, err = listen(c.Local, c.IKEPort); err != nil {
		return nil, err
	}
	if p.natt, err = listen(c.Local, c.NATTPort); err != nil {
		p.ike.Close()
		return nil, err
	}
	p.read(p.ike, false)
	p.read(p.natt, true)
	return p, nil
}

func listen(a netip.Addr, port uint16) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
}

// Close ends the peer without a word to the other side.
func (p *Peer) Close() {
	p.ike.Close()
	p.mu.Lock()
	p.natt.Close()
	p.mu.Unlock()
	p.loops.Wait()
}

// IKEAddr and NATTAddr are the peer's own two addresses.
func (p *Peer) IKEAddr() netip.AddrPort { return addrOf(p.ike) }

// NATTAddr is the address of the socket for ESP and IKE behind a marker.
func (p *Peer) NATTAddr() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return addrOf(p.natt)
}

func addrOf(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// SetBugs replaces what the peer does wrong.
func (p *Peer) SetBugs(b Bugs) {
	p.mu.Lock()
	p.c.Bugs = b
	p.mu.Unlock()
}

// SetTimeout changes how long an answer is waited for.
func (p *Peer) SetTimeout(d time.Duration) {
	p.mu.Lock()
	p.c.Timeout = d
	p.mu.Unlock()
}

// Rebind moves the NAT-T socket to another port, as a NAT that forgot its mapping does.
func (p *Peer) Rebind() error {
	c, err := listen(p.c.Local, 0)
	if err != nil {
		return err
	}
	p.mu.Lock()
	old := p.natt
	p.natt = c
	p.mu.Unlock()
	p.read(c, true)
	return old.Close()
}

// Current returns the IKE SA in use, nil before there is one.
func (p *Peer) Current() *SA {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sa
}

// Children returns the children that are installed, oldest first.
func (p *Peer) Children() []*Child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.children)
}

// Child returns the newest child, nil where there is none.
func (p *Peer) Child() *Child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child()
}

func (p *Peer) child() *Child {
	if len(p.children) == 0 {
		return nil
	}
	return p.children[len(p.children)-1]
}

// Address is the inner address that the other side gave.
func (p *Peer) Address() netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// Seen returns the messages that arrived since the last call, in order.
func (p *Peer) Seen() []*Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.seen
	p.seen = nil
	return list
}

// WaitFor waits until ok, which is asked under the lock whenever something arrived; false: it did not become true in time.
func (p *Peer) WaitFor(d time.Duration, ok func() bool) bool {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		p.mu.Lock()
		done, up := ok(), p.up
		p.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-up:
		case <-end.C:
			return false
		}
	}
}

// Up reports whether there is an established IKE SA with n children or more; for WaitFor only.
func (p *Peer) Up(n int) bool { return p.sa != nil && p.sa.Up && len(p.children) >= n }

func (p *Peer) changed() {
	close(p.up)
	p.up = make(chan struct{})
}

// SendRaw sends octets as they are, from the NAT-T socket or the other one, to the other side's port of that kind.
func (p *Peer) SendRaw(natt bool, b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if natt {
		_, err := p.natt.WriteToUDPAddrPort(b, p.c.RemoteNATT)
		return err
	}
	_, err := p.ike.WriteToUDPAddrPort(b, p.c.Remote)
	return err
}

// send gives finished datagrams to the socket of v.
func (p *Peer) send(v path, datagrams [][]byte) error {
	for _, d := range datagrams {
		c := p.ike
		if v.natt {
			c, d = p.natt, append(make([]byte, 4), d...)
		}
		if _, err := c.WriteToUDPAddrPort(d, v.to); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}

// transmit protects m, lets the bugs have their way, and sends it. It returns what was sent.
func (p *Peer) transmit(s Step, sa *SA, m *Message) ([][]byte, error) {
	if p.c.Bugs.Edit != nil {
		p.c.Bugs.Edit(s, m)
	}
	var out [][]byte
	if s == InitRequest || s == InitResponse {
		out = [][]byte{m.Append(nil)}
		if s == InitRequest {
			sa.InitRequest = out[0]
		} else {
			sa.InitResponse = out[0]
		}
	} else {
		if sa.Keys == nil {
			return nil, errors.New("no keys yet")
		}
		o := Sealing{FragmentSize: p.c.Bugs.FragmentSize}
		if p.c.Bugs.Seal != nil {
			p.c.Bugs.Seal(s, &o)
		}
		out = sa.Keys.seal(m, sa.Initiator, o)
	}
	sent := out
	if p.c.Bugs.Wire != nil {
		for i := range sent {
			sent[i] = slices.Clone(sent[i])
		}
		sent = p.c.Bugs.Wire(s, slices.Clone(sent))
	}
	return sent, p.send(sa.via, sent)
}

// newSA makes an SA with a random SPI of its own.
func (p *Peer) newSA(initiator bool) *SA {
	sa := &SA{
		Initiator: initiator, wait: map[uint32]chan *Message{}, answered: map[uint32][][]byte{},
		fragments: map[uint64]map[int][]byte{},
	}
	spi := random64()
	if initiator {
		sa.SPIi = spi
	} else {
		sa.SPIr = spi
	}
	p.sas[spi] = sa
	return sa
}

func random64() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}

func (p *Peer) nonce() []byte {
	if p.c.Bugs.Nonce != nil {
		return p.c.Bugs.Nonce
	}
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// header begins a message of sa.
func (sa *SA) header(exchange uint8, id uint32, response bool) *Message {
	m := &Message{SPIi: sa.SPIi, SPIr: sa.SPIr, Version: 0x20, Exchange: exchange, ID: id}
	if sa.Initiator {
		m.Flags |= FlagInitiator
	}
	if response {
		m.Flags |= FlagResponse
	}
	return m
}

// natHash is RFC 7296, Section 2.23.
func natHash(spiI, spiR uint64, a netip.AddrPort) []byte {
	b := binary.BigEndian.AppendUint64(nil, spiI)
	b = binary.BigEndian.AppendUint64(b, spiR)
	b = append(b, a.Addr().Unmap().AsSlice()...)
	h := sha1.Sum(binary.BigEndian.AppendUint16(b, a.Port()))
	return h[:]
}

// natD are the two notifies of NAT detection.
func (p *Peer) natD(sa *SA) []Payload {
	from := p.ike
	if sa.via.natt {
		from = p.natt
	}
	source := natHash(sa.SPIi, sa.SPIr, addrOf(from))
	destination := natHash(sa.SPIi, sa.SPIr, sa.via.to)
	if p.c.Bugs.NATD != nil {
		return p.c.Bugs.NATD(source, destination)
	}
	if !p.c.HonestNAT {
		source[0] ^= 1
	}
	return []Payload{N(NATDetectionSource, source...), N(NATDetectionDestination, destination...)}
}

// Refused is the error of an exchange that was answered with an error notify.
type Refused struct {
	Notify uint16
	Data   []byte
	Sealed bool
}

func (r *Refused) Error() string { return fmt.Sprintf("refused by notify %d %x", r.Notify, r.Data) }

// ErrNoAnswer is the error of a request that was not answered in time.
var ErrNoAnswer = errors.New("no answer")

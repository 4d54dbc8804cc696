// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our server as a system: keysock in the Linux dialect before an empty database, with a clock of the test's.

package oracle

import (
	"encoding/binary"
	"errors"
	"math/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/wire/natt"
	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// tick is how often the database looks at its clock while time passes.
	tick = 100 * time.Millisecond
	// larvalLife is how long larval SAs live, in seconds.
	larvalLife = 30
)

// ours is a server of ours. Each case has a new one.
type ours struct {
	db      *sadb.DB
	out     *dataplane.Outbound
	in      *dataplane.Inbound
	server  *keysock.Server
	now     time.Time
	clients map[string]keysock.ClientID
	// received is by client, until it is read.
	received map[keysock.ClientID][][]byte
}

func (o *ours) Reset() (err error) {
	o.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if o.db, err = sadb.New(o.now, sadb.Config{Rand: rand.New(rand.NewSource(1)), SPIPerDestination: true}); err != nil {
		return err
	}
	engine := dataplane.New(o.db, dataplane.Config{})
	o.out, o.in = engine.NewOutbound(), engine.NewInbound()
	o.server = keysock.New(o.db, keysock.Config{})
	o.clients, o.received = map[string]keysock.ClientID{}, map[keysock.ClientID][][]byte{}
	return nil
}

func (o *ours) Open(socket string) error {
	if _, ok := o.clients[socket]; ok {
		return nil
	}
	id, err := o.server.Attach(o.now, keysock.ClientInfo{Dialect: pfkey.Linux, Privileged: true})
	o.clients[socket] = id
	return err
}

func (o *ours) Close(socket string) error {
	o.server.Detach(o.now, o.clients[socket])
	delete(o.clients, socket)
	return nil
}

// Larval SAs of ours live as long as Linux's do unless it is told otherwise.
func (o *ours) Larval(int) (int, error) { return larvalLife, nil }

func (o *ours) Step(socket string, octets []byte, wait time.Duration) (int, map[string][][]byte, error) {
	errno := 0
	if len(octets) > 0 {
		id := o.clients[socket]
		out, err := o.server.Handle(o.now, id, octets)
		var e pfkey.Errno
		switch {
		case errors.As(err, &e):
			errno = int(e) // the bare answer besides is for sockets whose writes cannot fail so
		case err != nil:
			return 0, nil, err
		default:
			o.deliver(out)
		}
		for more := true; more; {
			var b []byte
			if b, more = o.server.Next(o.now, id); b != nil {
				o.received[id] = append(o.received[id], b)
			}
		}
	}
	o.pass(wait)
	received := map[string][][]byte{}
	for name, id := range o.clients {
		received[name] = o.received[id]
	}
	clear(o.received)
	return errno, received, nil
}

func (o *ours) deliver(out []keysock.Delivery) {
	for _, d := range out {
		o.received[d.To] = append(o.received[d.To], d.Msg)
	}
}

// Emit has the engine send a packet that came from its device. Where it goes is not this package's question.
func (o *ours) Emit(from, to netip.AddrPort, octets int) error {
	p := datagram(from, to, make([]byte, octets))
	buf := make([]byte, dataplane.Headroom+len(p))
	copy(buf[dataplane.Headroom:], p)
	o.out.Seal(o.now, [][]byte{buf}, []int{len(p)}, dataplane.Headroom)
	return nil
}

// Arrive has the engine read what the port of ESP in UDP received.
func (o *ours) Arrive(packet []byte) error {
	port := func(addr, port []byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), binary.BigEndian.Uint16(port))
	}
	payload := slices.Clone(packet[ipv4Header+udpHeader:])
	o.in.Open(o.now, []dataplane.Datagram{{Buf: payload, N: len(payload), Encap: natt.NonESP, Rules: natt.Linux,
		Remote: port(packet[12:16], packet[20:22]), Local: port(packet[16:20], packet[22:24])}})
	return nil
}

// pass lets time pass, and delivers what the database has to say.
func (o *ours) pass(d time.Duration) {
	for end := o.now.Add(d); ; o.now = o.now.Add(tick) {
		o.db.Tick(o.now)
		for o.db.Pending() {
			var list [16]sadb.Notice
			for _, n := range list[:o.db.Notices(list[:])] {
				o.deliver(o.server.Notice(o.now, n))
			}
		}
		if !o.now.Before(end) {
			return
		}
	}
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Our server as a system: keysock in the Linux dialect before an empty database, with a clock of the test's.

package oracle

import (
	"errors"
	"math/rand"
	"time"

	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
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

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// A PF_KEY socket of the program: one end of a socket pair is the program's, the other is here, and behind it stands a
// connection to the server, which is made again when the server ends. So the program's descriptor outlives the server,
// wherever it has travelled, and nothing spins on it. What the program sends is unverified and goes to the server as it is.

package redirect

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/wire/pfkey"
)

const (
	// answerLimit bounds how long a call waits for the server: a server that does not read is not waited for for ever.
	answerLimit = 2 * time.Second
	// spins is how often the queue is looked at before sleeping between two looks: an answer takes some 10 µs.
	spins   = 100
	lookGap = 20 * time.Microsecond
	// redialFirst and redialLimit are the pauses between two tries to reach the server again, which double.
	redialFirst, redialLimit = 20 * time.Millisecond, time.Second
	// maxReplayed is the longest REGISTER or X_PROMISC that is said again to a new server.
	maxReplayed = 256

	// The header of a message (RFC 2367, Section 2.1).
	offType, offSAType        = 1, 3
	typeRegister, typePromisc = 7, 11
)

// relay is one PF_KEY socket of the program.
type relay struct {
	dial   func() (*packetConn, error) // immutable
	client *packetConn                 // immutable
	inode  uint64                      // immutable: of the program's end
	log    *slog.Logger
	done   chan struct{} // closed at the end
	calls  atomic.Int32  // that are carried out

	mu      sync.Mutex    // protects all following fields and the order of what the program receives
	server  *packetConn   // nil: there is none at the moment
	back    chan struct{} // closed when there is one again
	said    map[[2]byte][]byte
	pending []byte // what the program had no room for
	buf     []byte
	ended   bool
}

// newRelay connects to the server and starts to carry; fd is this process's end and is taken.
func newRelay(fd int, inode uint64, dial func() (*packetConn, error), log *slog.Logger, gone func(*relay)) (*relay, error) {
	client, err := newPacketConn(fd)
	if err != nil {
		return nil, err
	}
	r := &relay{dial: dial, client: client, inode: inode, log: log, done: make(chan struct{}), back: make(chan struct{}),
		said: map[[2]byte][]byte{}, buf: make([]byte, maxMessage)}
	if r.server, err = dial(); err != nil {
		client.close()
		return nil, err
	}
	go r.answers()
	go func() {
		r.strays()
		gone(r)
		r.close()
	}()
	return r, nil
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	close(r.done)
	r.client.close()
	if r.server != nil {
		r.server.close()
	}
}

// check finds what the kernel refuses at write itself (EINVAL, EMSGSIZE), which a socket cannot.
func check(msg []byte) unix.Errno {
	return unix.Errno(pfkey.Codec{Dialect: pfkey.Linux, Order: binary.NativeEndian}.Check(msg))
}

// carry gives the server a message and returns when its answer lies at the program's end.
func (r *relay) carry(msg []byte) unix.Errno {
	if errno := check(msg); errno != 0 {
		return errno
	}
	deadline := time.Now().Add(answerLimit)
	for {
		r.mu.Lock()
		if r.ended {
			r.mu.Unlock()
			return unix.EPIPE
		}
		if r.server != nil {
			err := r.deliver(r.server, msg)
			r.mu.Unlock()
			switch {
			case err == nil:
				return 0
			case errors.Is(err, unix.EMSGSIZE):
				return unix.EMSGSIZE
			}
			if time.Now().After(deadline) {
				return unix.ENOBUFS
			}
			time.Sleep(redialFirst) // answers() sees the same end of the server
			continue
		}
		back := r.back
		r.mu.Unlock()
		select {
		case <-back:
		case <-r.done:
			return unix.EPIPE
		case <-time.After(time.Until(deadline)):
			return unix.ENOBUFS
		}
	}
}

// deliver sends, waits until the server has taken the message, which it does after it has answered, and moves what it
// said. The lock is held.
func (r *relay) deliver(server *packetConn, msg []byte) error {
	// Its end is seen by answers. A server whose queue is full of what the program has not read takes the message when there is
	// room in it again.
	err := exchange(server, msg, func() { _ = r.move(server) })
	if err == nil {
		r.remember(msg)
	}
	return err
}

// exchange sends a message and waits until it is answered; meanwhile and at the end it calls move.
func exchange(server *packetConn, msg []byte, move func()) error {
	defer move()
	if err := server.send(msg, answerLimit); err != nil {
		return err
	}
	for i, begin := 0, time.Now(); ; i++ {
		n, err := server.unread()
		if n == 0 || err != nil || time.Since(begin) > answerLimit {
			return nil // it was sent
		}
		if i < spins {
			runtime.Gosched()
		} else {
			move()
			time.Sleep(lookGap)
		}
	}
}

// remember keeps what a new server must be told.
func (r *relay) remember(msg []byte) {
	key := [2]byte{msg[offType], msg[offSAType]}
	switch {
	case len(msg) > maxReplayed:
	case key[0] == typeRegister:
		r.said[key] = msg
	case key[0] == typePromisc && key[1] == 1:
		r.said[key] = msg
	case key[0] == typePromisc:
		delete(r.said, [2]byte{typePromisc, 1})
	}
}

// move hands the program what the server has said, as far as there is room. The lock is held.
func (r *relay) move(server *packetConn) error {
	for {
		if r.pending != nil {
			switch err := r.client.send(r.pending, 0); {
			case errors.Is(err, errNotNow):
				return nil
			case err != nil && !errors.Is(err, unix.ENOBUFS):
				return err
			}
			r.pending = nil
		}
		n, err := server.next(r.buf)
		switch {
		case errors.Is(err, unix.EMSGSIZE):
			continue
		case err != nil:
			return err
		}
		r.pending = r.buf[:n]
	}
}

// answers moves what the server says by itself, and finds a new server when it has ended.
func (r *relay) answers() {
	for {
		r.mu.Lock()
		server := r.server
		r.mu.Unlock()
		if server == nil && !r.redial() {
			return
		} else if server == nil {
			continue
		}
		waited := server.readable()
		r.mu.Lock()
		err := r.move(server)
		full := err == nil && r.pending != nil
		if waited != nil || err != nil && !errors.Is(err, errNotNow) {
			server.close()
			r.server, r.back, r.pending = nil, make(chan struct{}), nil
		}
		ended := r.ended
		r.mu.Unlock()
		switch {
		case ended:
			return
		case full:
			_ = r.client.writable()
		}
	}
}

// redial connects again and says again what the program had registered for; false: the program has ended.
func (r *relay) redial() bool {
	r.log.Warn("the PF_KEY server has ended; the program's socket waits for a new one")
	for pause := redialFirst; ; pause = min(2*pause, redialLimit) {
		select {
		case <-r.done:
			return false
		case <-time.After(pause):
		}
		server, err := r.dial()
		if err != nil {
			continue
		}
		r.mu.Lock()
		if r.ended {
			r.mu.Unlock()
			server.close()
			return false
		}
		for _, msg := range r.said {
			_ = exchange(server, msg, func() { forget(server, r.buf) })
		}
		r.server = server
		close(r.back)
		r.mu.Unlock()
		r.log.Info("connected to the PF_KEY server again; SAs and policies of before are gone")
		return true
	}
}

// forget reads the answers to what was said again: the program has them already.
func forget(server *packetConn, buf []byte) {
	for {
		if _, err := server.next(buf); err != nil && !errors.Is(err, unix.EMSGSIZE) {
			return
		}
	}
}

// strays carries messages that came by calls the filter does not know (sendmmsg, io_uring), without an answer in time.
// It returns when the program has closed its end everywhere.
func (r *relay) strays() {
	buf := make([]byte, maxMessage)
	for {
		if r.client.readable() != nil {
			return
		}
		n, err := r.client.next(buf)
		switch {
		case err == nil:
			r.carry(append([]byte(nil), buf[:n]...))
		case errors.Is(err, errNotNow), errors.Is(err, unix.EMSGSIZE):
		case errors.Is(err, io.EOF):
			return
		default:
			return
		}
	}
}

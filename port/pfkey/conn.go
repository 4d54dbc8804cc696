// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The client for Go programs: a key daemon, or a tool. It speaks to a server of this package over a path, in the dialect that the path has.

package pfkey

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/port/unixsocket"
	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// maxPending is how many messages of others a Conn keeps while it waits for an answer. More are lost, as they are in a kernel's queue.
const maxPending = 4096

// Conn is a connection to a PF_KEY server. Send is safe for concurrent use; Receive, Request and Dump are used by one goroutine.
type Conn struct {
	conn   *net.UnixConn
	codec  wire.Codec
	packet bool
	buf    []byte
	have   int // octets of buf that a stream has brought of a message; a Receive that was interrupted goes on there

	pending []*wire.Message // came while Request waited
	lost    uint64

	mu  sync.Mutex // protects what follows, and whole messages on a stream
	seq uint32
}

// Dial connects to a path whose dialect is known; what kind of socket it is is found out. Who listens there must be root or this
// process's user: it is given keys.
func Dial(ctx context.Context, path string, d wire.Dialect) (*Conn, error) {
	var dialer net.Dialer
	kinds := []string{network(false), network(true)}
	if streamOnly() {
		kinds = kinds[1:]
	}
	var err error
	for _, kind := range kinds {
		var c net.Conn
		if c, err = dialer.DialContext(ctx, kind, path); err == nil {
			if err = unixsocket.CheckServer(c.(*net.UnixConn), path); err != nil {
				c.Close()
				return nil, err
			}
			return NewConn(c.(*net.UnixConn), d), nil
		}
		if !unixsocket.OtherKind(err) {
			break
		}
	}
	return nil, err
}

// NewConn makes a Conn of a connection.
func NewConn(c *net.UnixConn, d wire.Dialect) *Conn {
	return &Conn{conn: c, codec: codec(d), packet: keepsMessages(c), buf: make([]byte, wire.MaxMessage+1), seq: firstSeq()}
}

// ownSeqs is where the numbers of requests begin: below are those of ACQUIREs, which a request must not answer by accident.
const ownSeqs = 1 << 31

// firstSeq is anywhere among them: another connection of this process, whose requests everybody hears of, has others.
func firstSeq() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return ownSeqs | binary.NativeEndian.Uint32(b[:])
}

// Close closes the connection, also while others use it. SAs and policies stay.
func (c *Conn) Close() error { return c.conn.Close() }

// Dialect is the dialect of the path.
func (c *Conn) Dialect() wire.Dialect { return c.codec.Dialect }

// Codec is what messages are parsed and appended with.
func (c *Conn) Codec() wire.Codec { return c.codec }

// Lost is how many messages of others were dropped because a Request was waiting for its answer.
func (c *Conn) Lost() uint64 { return c.lost }

// Send sends a message as it is.
func (c *Conn) Send(ctx context.Context, m *wire.Message) error {
	b, err := c.codec.Append(nil, m)
	if err != nil {
		return err
	}
	defer clear(b) // there may be keys in it
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	err = interruptible(ctx, c.conn.SetWriteDeadline, func() (err error) {
		n, err = c.conn.Write(b)
		return err
	})
	if err != nil && n > 0 {
		c.conn.Close() // nobody could tell where the next message of the stream begins
		return fmt.Errorf("%d of %d octets were sent, and the connection is closed: %w", n, len(b), err)
	}
	return err
}

// Receive waits for the next message: an answer to what was sent, or what others caused. A message with an errno is returned as it is.
func (c *Conn) Receive(ctx context.Context) (*wire.Message, error) {
	if len(c.pending) > 0 {
		m := c.pending[0]
		c.pending = slices.Delete(c.pending, 0, 1)
		return m, nil
	}
	return c.next(ctx)
}

// next reads a message from the socket. One that cannot be parsed is an error, after which the next can be read.
func (c *Conn) next(ctx context.Context) (*wire.Message, error) {
	n := 0
	err := interruptible(ctx, c.conn.SetReadDeadline, func() error {
		var err error
		if c.packet {
			n, err = receive(c.conn, c.buf, 0)
		} else {
			n, err = c.frame()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := c.codec.Parse(c.buf[:n])
	clear(c.buf[:n]) // there may be keys in it
	if err != nil {
		return nil, fmt.Errorf("message from the server: %w", err)
	}
	return m, nil
}

// frame reads one message of a stream.
func (c *Conn) frame() (int, error) {
	want := wire.HeaderLen
	for {
		if c.have >= wire.HeaderLen {
			var err error
			if want, _, err = c.codec.FrameLen(c.buf[:c.have]); err != nil {
				return 0, err
			}
		}
		if c.have == want {
			break
		}
		n, err := c.conn.Read(c.buf[c.have:want])
		if c.have += n; err != nil {
			return 0, err
		}
	}
	c.have = 0
	return want, nil
}

// interruptible runs an operation that ends with the context, by a deadline in the past.
func interruptible(ctx context.Context, deadline func(time.Time) error, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := deadline(time.Time{}); err != nil {
		return err
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		deadline(time.Unix(1, 0))
	})
	err := f()
	if !stop() {
		<-over // or it would interrupt what comes next
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// number gives a request its sequence number and this process's id.
func (c *Conn) number(m *wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Seq == 0 {
		c.seq = ownSeqs | (c.seq + 1)
		m.Seq = c.seq
	}
	m.PID = uint32(os.Getpid())
}

// answers reports whether an answer is to the request: same type, process and sequence number.
func answers(a, request *wire.Message) bool {
	return a.Type == request.Type && a.PID == request.PID && a.Seq == request.Seq
}

// Request sends a request and waits for its answer; what else comes is kept for Receive. It sets m.PID, and m.Seq where that is zero: an
// answer to an ACQUIRE has the ACQUIRE's. An answer with an errno is the error, a wire.Errno.
func (c *Conn) Request(ctx context.Context, m *wire.Message) (*wire.Message, error) {
	c.number(m)
	if err := c.Send(ctx, m); err != nil {
		return nil, err
	}
	for {
		a, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		if !answers(a, m) {
			c.keep(a)
			continue
		}
		if a.Errno != wire.OK {
			return nil, a.Errno
		}
		return a, nil
	}
}

// Dump sends a DUMP or SPDDUMP and calls each with every message of the answer. An empty table is no error. It must be the only
// DUMP of this process in flight on the connection.
func (c *Conn) Dump(ctx context.Context, m *wire.Message, each func(*wire.Message) error) error {
	c.number(m)
	if err := c.Send(ctx, m); err != nil {
		return err
	}
	for {
		a, err := c.next(ctx)
		if err != nil {
			return err
		}
		if a.Type != m.Type || a.PID != m.PID {
			c.keep(a)
			continue
		}
		switch {
		case a.Errno == wire.ENOENT:
			return nil
		case a.Errno != wire.OK:
			return a.Errno
		}
		if err := each(a); err != nil {
			return err
		}
		if a.Seq == 0 { // the last: NATT.md, Section 2.5, item 8
			return nil
		}
	}
}

// keep keeps a message for Receive, or loses it with the keys that are in it.
func (c *Conn) keep(m *wire.Message) {
	if len(c.pending) >= maxPending {
		c.lost++
		for _, key := range []*secret.Key{m.KeyAuth, m.KeyEncrypt} {
			if key != nil {
				key.Wipe()
			}
		}
		return
	}
	c.pending = append(c.pending, m)
}

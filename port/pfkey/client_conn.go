// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One client: a goroutine reads its requests, one writes what could not be written at once. Everything it sends is untrusted; whatever it
// does ends nobody but itself.

package pfkey

import (
	"errors"
	"io"
	"log/slog"
	"net"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// client: conn and out are safe for concurrent use, lost is the owner's.
type client struct {
	h     *Hub
	id    wire.ClientID
	conn  *net.UnixConn
	codec wire.Codec
	out   *outbox
	wake  chan struct{} // holds one token: a DUMP has room
	lost  uint64
}

func newClient(h *Hub, id wire.ClientID, conn *net.UnixConn, d wire.Dialect) *client {
	c := &client{h: h, id: id, conn: conn, codec: codec(d), wake: make(chan struct{}, 1)}
	c.out = newOutbox(conn, c.again)
	h.ended.Go(c.pulls)
	return c
}

// end disconnects the client. It never waits, and may be called more than once.
func (c *client) end() {
	c.out.close()
	c.conn.Close()
}

// again asks for more of a running DUMP. It never waits.
func (c *client) again() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// pulls has the owner make more of a DUMP whenever there is room again.
func (c *client) pulls() {
	for {
		select {
		case <-c.out.done:
			return
		case <-c.wake:
			if !c.h.do(func() { c.h.pull(c) }) {
				return
			}
		}
	}
}

// write writes what waits until the client is gone; one that cannot be written to has no use of being connected.
func (c *client) write() {
	c.out.drain()
	c.end()
}

// read serves the client's requests until it is gone.
func (c *client) read() {
	defer c.h.forget(c)
	buf := make([]byte, wire.MaxMessage+1) // one more than a message may have: longer ones are seen to be
	next := c.stream
	if keepsMessages(c.conn) {
		next = c.packet
	}
	for {
		if !c.out.wait() { // a client that does not read its answers is not served
			return
		}
		err := next(buf)
		clear(buf) // there may have been a key in it
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !disconnected(err) {
				c.h.complain(slog.LevelInfo, "PF_KEY client disconnected", "client", uint64(c.id), "reason", err)
			}
			return
		}
	}
}

// packet serves one message of a SOCK_SEQPACKET: it is consumed when its answer can be read.
func (c *client) packet(buf []byte) error {
	n, err := peek(c.conn, buf)
	if err != nil {
		return err
	}
	if !c.h.handle(c, buf[:n]) {
		return io.EOF
	}
	return consume(c.conn)
}

// stream serves one message of a stream. One of an impossible length ends it: nobody knows where the next begins.
func (c *client) stream(buf []byte) error {
	n, err := readFrame(c.conn, c.codec, buf)
	if err != nil {
		return err
	}
	if !c.h.handle(c, buf[:n]) {
		return io.EOF
	}
	return nil
}

// readFrame reads one message of a stream. It returns io.EOF only where the stream ends between two.
func readFrame(r io.Reader, codec wire.Codec, buf []byte) (int, error) {
	if _, err := io.ReadFull(r, buf[:wire.HeaderLen]); err != nil {
		return 0, err
	}
	n, _, err := codec.FrameLen(buf[:wire.HeaderLen])
	if err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(r, buf[wire.HeaderLen:n]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return n, nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// One client of the server. Everything it sends is untrusted: a frame that is no packet, or one that only a server sends, ends
// the client and nothing else.

package vici

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/natterjack/natterjack/wire/vici"
)

// client is owned by its run; what others touch is out, conn, cancel, since and busy, and events under mu.
type client struct {
	s      *Server
	conn   *net.UnixConn
	peer   Peer
	out    *outbox
	ctx    context.Context
	cancel context.CancelFunc
	since  atomic.Int64 // Unix nanoseconds of the last thing it did
	busy   atomic.Bool  // a command runs

	mu     sync.Mutex // protects events
	events map[string]struct{}
}

func newClient(s *Server, conn *net.UnixConn, peer Peer) *client {
	c := &client{s: s, conn: conn, peer: peer, out: newOutbox(), events: map[string]struct{}{}}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.since.Store(time.Now().UnixNano())
	return c
}

// run serves the client until it is gone.
func (c *client) run() {
	defer c.conn.Close()
	defer c.s.forget(c)
	frames := make(chan []byte)
	written := make(chan struct{})
	go c.read(frames)
	go func() {
		defer close(written)
		c.write()
	}()
	for frame := range frames {
		c.busy.Store(true)
		err := c.serve(frame)
		clear(frame) // it may have been load-shared or load-key
		c.since.Store(time.Now().UnixNano())
		c.busy.Store(false)
		if err != nil {
			if !errors.Is(err, errGone) {
				c.s.log.Info("control client disconnected", "uid", c.peer.UID, "pid", c.peer.PID, "reason", err)
			}
			break
		}
	}
	c.cancel()
	c.conn.SetWriteDeadline(time.Now().Add(writeTime))
	c.out.close()
	<-written
	c.conn.Close()
	for range frames { // read ends because the connection is closed
	}
}

// read hands frames to run, and ends the client's context when nothing more can come.
func (c *client) read(frames chan<- []byte) {
	defer close(frames)
	defer c.cancel()
	for {
		frame, err := readFrame(c.conn, func() { c.conn.SetReadDeadline(time.Now().Add(c.s.frameTime)) })
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !c.s.closing.Load() {
				c.s.log.Info("control client disconnected", "uid", c.peer.UID, "pid", c.peer.PID, "reason", err)
			}
			return
		}
		c.conn.SetReadDeadline(time.Time{})
		select {
		case frames <- frame:
		case <-c.ctx.Done():
			return
		}
	}
}

// write writes what is queued. A client that does not read in time is gone.
func (c *client) write() {
	for b := c.out.take(); b != nil; b = c.out.take() {
		if c.ctx.Err() == nil { // afterwards the deadline is that of all that is queued
			c.conn.SetWriteDeadline(time.Now().Add(writeTime))
		}
		if _, err := c.conn.Write(b); err != nil {
			c.end()
			return
		}
	}
}

// end disconnects the client. It never waits.
func (c *client) end() {
	c.cancel()
	c.out.close()
	c.conn.Close()
}

// flush has the client end as soon as what is queued was written, and after flushTime in any case. It never waits.
func (c *client) flush() {
	c.cancel()
	c.conn.SetReadDeadline(time.Now())
	time.AfterFunc(flushTime, c.end)
}

// waiting reports whether the client only waits for its user.
func (c *client) waiting() bool {
	if c.busy.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events) == 0
}

func (c *client) registered(event string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.events[event]
	return ok
}

// serve answers one frame.
func (c *client) serve(frame []byte) error {
	p, err := wire.ParsePacket(frame)
	if err != nil {
		return err
	}
	switch p.Type {
	case wire.CmdRequest:
		return c.command(p)
	case wire.EventRegister, wire.EventUnregister:
		return c.send(&wire.Packet{Type: c.register(p)})
	}
	return fmt.Errorf("packet type: %v, expected a request", p.Type)
}

// register answers EVENT_REGISTER and EVENT_UNREGISTER.
func (c *client) register(p *wire.Packet) wire.PacketType {
	if !c.s.service.HasEvent(p.Name) {
		return wire.EventUnknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Type == wire.EventUnregister {
		if _, ok := c.events[p.Name]; !ok {
			return wire.EventUnknown
		}
		delete(c.events, p.Name)
		return wire.EventConfirm
	}
	if len(c.events) >= maxEventNames {
		return wire.EventUnknown
	}
	c.events[p.Name] = struct{}{}
	return wire.EventConfirm
}

// command carries out one command.
func (c *client) command(p *wire.Packet) error {
	reply, known := c.guard(p)
	if !known {
		return c.send(&wire.Packet{Type: wire.CmdUnknown})
	}
	err := c.send(&wire.Packet{Type: wire.CmdResponse, Message: reply})
	if err != nil && !errors.Is(err, errGone) {
		// The reply is larger than a packet: the client has to know.
		text := fmt.Sprintf("the reply cannot be sent: %v", err)
		return c.send(&wire.Packet{Type: wire.CmdResponse, Message: wire.New().Set("success", "no").Set("errmsg", text)})
	}
	return err
}

// guard keeps a defect in one command from taking the daemon along.
func (c *client) guard(p *wire.Packet) (reply *wire.Section, known bool) {
	defer func() {
		if r := recover(); r != nil {
			c.s.log.Error("a control command failed; please report this", "command", p.Name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			reply, known = wire.New().Set("success", "no").Set("errmsg", "internal failure, see the daemon's log"), true
		}
	}()
	return c.s.service.Serve(c.ctx, c.peer, p.Name, p.Message, c.emit)
}

// emit is the client's Emit.
func (c *client) emit(event string, m *wire.Section) error {
	if !c.registered(event) {
		return nil
	}
	return c.send(&wire.Packet{Type: wire.Event, Name: event, Message: m})
}

func (c *client) send(p *wire.Packet) error {
	b, err := p.Append(nil)
	if err != nil {
		return err
	}
	return c.out.put(b)
}

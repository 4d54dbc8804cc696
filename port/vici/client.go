// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The client side, for natterjack's own command line. What the server sends is parsed like anything else that was received;
// replies and events are read by whoever waits for one, so that there is no goroutine and nothing is lost or reordered.

package vici

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	wire "github.com/natterjack/natterjack/wire/vici"
)

// ErrUnknown says that the server has no command or event of that name.
var ErrUnknown = errors.New("the daemon does not know it")

// Event is an event that was registered.
type Event struct {
	Name    string
	Message *wire.Section
}

// Client is one connection. It is not safe for concurrent use: VICI has one command at a time.
type Client struct {
	conn    net.Conn
	pending []Event
}

// Dial connects to the socket: a path, or a URI unix://PATH.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", strings.TrimPrefix(path, "unix://"))
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn}, nil
}

// Close disconnects.
func (c *Client) Close() error { return c.conn.Close() }

// Call sends a command and returns its reply. Events that come meanwhile are kept for Next.
func (c *Client) Call(ctx context.Context, command string, args *wire.Section) (*wire.Section, error) {
	return c.call(ctx, command, args, c.keep)
}

// keep has an event wait for Next.
func (c *Client) keep(e Event) error {
	if len(c.pending) >= maxPending {
		return fmt.Errorf("more than %d events came before the reply", maxPending)
	}
	c.pending = append(c.pending, e)
	return nil
}

// CallStreaming registers an event, sends a command that sends such events, gives each to f, and returns the reply.
func (c *Client) CallStreaming(ctx context.Context, command, event string, args *wire.Section, f func(*wire.Section) error) (*wire.Section, error) {
	if err := c.Subscribe(ctx, event); err != nil {
		return nil, err
	}
	reply, err := c.call(ctx, command, args, func(e Event) error {
		if e.Name == event {
			return f(e.Message)
		}
		return c.keep(e)
	})
	if err != nil {
		return nil, err
	}
	return reply, c.register(ctx, wire.EventUnregister, event)
}

func (c *Client) call(ctx context.Context, command string, args *wire.Section, each func(Event) error) (*wire.Section, error) {
	defer c.bound(ctx)()
	if err := c.write(&wire.Packet{Type: wire.CmdRequest, Name: command, Message: args}); err != nil {
		return nil, ended(ctx, err)
	}
	for {
		p, err := c.read()
		if err != nil {
			return nil, ended(ctx, err)
		}
		switch p.Type {
		case wire.CmdResponse:
			return p.Message, nil
		case wire.CmdUnknown:
			return nil, fmt.Errorf("command %s: %w", command, ErrUnknown)
		case wire.Event:
			if err := each(Event{Name: p.Name, Message: p.Message}); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("command %s: %v in place of its reply", command, p.Type)
		}
	}
}

// Subscribe registers events, for Next.
func (c *Client) Subscribe(ctx context.Context, events ...string) error {
	for _, name := range events {
		if err := c.register(ctx, wire.EventRegister, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) register(ctx context.Context, t wire.PacketType, name string) error {
	defer c.bound(ctx)()
	if err := c.write(&wire.Packet{Type: t, Name: name}); err != nil {
		return ended(ctx, err)
	}
	for {
		p, err := c.read()
		if err != nil {
			return ended(ctx, err)
		}
		switch p.Type {
		case wire.EventConfirm:
			return nil
		case wire.EventUnknown:
			return fmt.Errorf("event %s: %w", name, ErrUnknown)
		case wire.Event:
			if err := c.keep(Event{Name: p.Name, Message: p.Message}); err != nil {
				return err
			}
		default:
			return fmt.Errorf("event %s: %v in place of a confirmation", name, p.Type)
		}
	}
}

// Next waits for the next event.
func (c *Client) Next(ctx context.Context) (Event, error) {
	if len(c.pending) > 0 {
		e := c.pending[0]
		c.pending = c.pending[1:]
		return e, nil
	}
	defer c.bound(ctx)()
	p, err := c.read()
	if err != nil {
		return Event{}, ended(ctx, err)
	}
	if p.Type != wire.Event {
		return Event{}, fmt.Errorf("%v in place of an event", p.Type)
	}
	return Event{Name: p.Name, Message: p.Message}, nil
}

// Failure is the error that a reply says, or nil.
func Failure(reply *wire.Section) error {
	if !reply.Has("success") || reply.Bool("success") {
		return nil
	}
	if text := reply.Get("errmsg"); text != "" {
		return errors.New(text)
	}
	return errors.New("the daemon gives no reason")
}

// bound has ctx interrupt what is read and written until the returned function is called.
func (c *Client) bound(ctx context.Context) (free func()) {
	c.conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// ended is ctx's error where it is the cause.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) write(p *wire.Packet) error {
	b, err := p.Append(nil)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	clear(b) // it may have been a secret
	return err
}

func (c *Client) read() (*wire.Packet, error) {
	frame, err := readFrame(c.conn, func() {})
	if err != nil {
		return nil, err
	}
	return wire.ParsePacket(frame)
}

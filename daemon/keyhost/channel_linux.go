// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The channel between an engine and the supervisor of a program in another process (pfkey run --socket): which of the program's
// ports are encapsulated, and the mark for its IKE sockets. Lines of JSON over a Unix socket beside the PF_KEY socket, whose other
// end must be root or this process's user. The supervisor connects again when the engine was restarted, and says again what it
// said; when it ends, its ports are given back.

package keyhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/natterjack/natterjack/port/redirect"
	"github.com/natterjack/natterjack/port/unixsocket"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// channelSuffix is behind the path of the PF_KEY socket.
	channelSuffix = ".ports"
	// channelLimit bounds the wait for an answer; channelPause lies between two tries to connect again.
	channelLimit, channelPause = 5 * time.Second, 200 * time.Millisecond
	// maxChannels bounds the supervisors of an engine.
	maxChannels = 64
)

// order is a line of the supervisor's; answer is one of the engine's. The first answer of a connection is not to an order.
type order struct {
	Bind    *wireSocket `json:",omitempty"`
	Release uint64      `json:",omitempty"`
}

type answer struct {
	Mark   uint32
	Device string `json:",omitempty"` // the engine's interface
	Error  string `json:",omitempty"`
}

type wireSocket struct {
	Local  netip.AddrPort
	NonIKE bool
	Inode  uint64
	V4     bool
}

func toWire(s redirect.Socket) *wireSocket {
	return &wireSocket{Local: s.Local, NonIKE: s.Mode == natt.NonIKE, Inode: s.Inode, V4: s.V4}
}

func (w *wireSocket) socket() redirect.Socket {
	s := redirect.Socket{Local: w.Local, Mode: natt.NonESP, Inode: w.Inode, V4: w.V4}
	if w.NonIKE {
		s.Mode = natt.NonIKE
	}
	return s
}

// ListenPorts serves supervisors beside the PF_KEY socket path.
func (e *Engine) ListenPorts(path string) error {
	l, err := unixsocket.Listen(path+channelSuffix, unixsocket.Config{
		Network: "unix", Mode: 0o600, Noun: "socket of the program's ports", Listener: "engine", Hint: "choose another path",
	})
	if err != nil {
		return err
	}
	e.loops.Go(func() { e.acceptPorts(l) })
	e.loops.Go(func() {
		<-e.stop
		l.Close()
	})
	return nil
}

func (e *Engine) acceptPorts(l *unixsocket.Listener) {
	room := make(chan struct{}, maxChannels)
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(pause)
			continue
		}
		room <- struct{}{}
		e.loops.Go(func() {
			defer func() { <-room }()
			e.servePorts(c)
		})
	}
}

// deviceName is the engine's interface; empty: none of the system's.
func (e *Engine) deviceName() string {
	if e.opts.Host == nil {
		return ""
	}
	return e.opts.Device.Name()
}

func (e *Engine) servePorts(c *net.UnixConn) {
	done := make(chan struct{})
	defer close(done)
	defer c.Close()
	e.loops.Go(func() {
		select {
		case <-e.stop:
			c.Close()
		case <-done:
		}
	})
	peer, err := unixsocket.PeerOf(c)
	if err != nil || !peer.Trusted() {
		e.log.Warn("a supervisor was refused: it is of another user", "uid", peer.UID)
		return
	}
	owner := &portOwner{pid: peer.PID}
	defer e.releaseAll(owner)
	in, out := json.NewDecoder(c), json.NewEncoder(c)
	if out.Encode(answer{Mark: e.opts.Mark, Device: e.deviceName()}) != nil {
		return
	}
	for {
		var o order
		if in.Decode(&o) != nil {
			return
		}
		a := answer{Mark: e.opts.Mark}
		switch {
		case o.Bind != nil:
			if err := e.bindFor(owner, o.Bind.socket()); err != nil {
				a.Error = err.Error()
			}
		case o.Release != 0:
			e.releaseFor(owner, o.Release)
		}
		if out.Encode(a) != nil {
			return
		}
	}
}

// Ports is the supervisor's end of a channel: a redirect.Engine. Its methods are safe for concurrent use.
type Ports struct {
	path  string
	log   *slog.Logger
	stop  chan struct{}
	loops sync.WaitGroup

	mu    sync.Mutex // protects all following fields, and an order with its answer
	conn  net.Conn   // nil: there is none at the moment
	in    *json.Decoder
	mark  uint32
	dev   string
	ports map[uint64]redirect.Socket
}

// DialPorts connects to the engine whose PF_KEY socket is path.
func DialPorts(path string, log *slog.Logger) (*Ports, error) {
	p := &Ports{path: path + channelSuffix, log: log, stop: make(chan struct{}), ports: map[uint64]redirect.Socket{}}
	if err := p.connect(); err != nil {
		return nil, err
	}
	p.loops.Go(p.keep)
	return p, nil
}

// connect connects and says what was said before. The caller holds mu, or is alone.
func (p *Ports) connect() error {
	c, err := net.DialTimeout("unix", p.path, channelLimit)
	if err != nil {
		return err
	}
	if err := unixsocket.CheckServer(c.(*net.UnixConn), p.path); err != nil {
		c.Close()
		return err
	}
	p.conn, p.in = c, json.NewDecoder(c)
	var first answer
	_ = c.SetDeadline(time.Now().Add(channelLimit))
	if err := p.in.Decode(&first); err != nil {
		c.Close()
		p.conn = nil
		return fmt.Errorf("%s: %w", p.path, err)
	}
	p.mark, p.dev = first.Mark, first.Device
	for _, s := range p.ports {
		if err := p.tell(order{Bind: toWire(s)}); err != nil {
			p.log.Error("ESP in UDP on the program's port cannot be had any more", "local", s.Local.String(), "reason", err)
		}
	}
	return nil
}

// tell sends an order and reads its answer. The caller holds mu, or is alone.
func (p *Ports) tell(o order) error {
	if p.conn == nil {
		return errors.New("the engine is not there at the moment")
	}
	var a answer
	_ = p.conn.SetDeadline(time.Now().Add(channelLimit))
	err := json.NewEncoder(p.conn).Encode(o)
	if err == nil {
		err = p.in.Decode(&a)
	}
	if err != nil {
		p.conn.Close()
		p.conn = nil
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// keep connects again when the engine has ended. An order of nothing finds that out.
func (p *Ports) keep() {
	for {
		select {
		case <-p.stop:
			return
		case <-time.After(channelPause):
		}
		p.mu.Lock()
		if p.conn == nil || p.tell(order{}) != nil {
			if p.connect() == nil {
				p.log.Info("connected to the engine again", "ports", len(p.ports))
			}
		}
		p.mu.Unlock()
	}
}

// Device is the name of the engine's interface; empty: its inner packets are in its own process.
func (p *Ports) Device() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dev
}

// Mark is for the program's IKE sockets.
func (p *Ports) Mark() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mark
}

// Bind tells the engine of a port.
func (p *Ports) Bind(s redirect.Socket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.tell(order{Bind: toWire(s)})
	if err == nil || p.conn == nil {
		p.ports[s.Inode] = s // where the engine is away, it is told when it is back
		return nil
	}
	return err
}

// Release tells the engine that a port is gone.
func (p *Ports) Release(inode uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ports, inode)
	_ = p.tell(order{Release: inode})
}

// Close ends the channel; the engine gives the ports back.
func (p *Ports) Close() error {
	close(p.stop)
	p.loops.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	return p.conn.Close()
}

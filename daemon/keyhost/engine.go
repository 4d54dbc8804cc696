// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// An engine of its own: what is between the device and the network, without IKE.

package keyhost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/ipsec/dataplane"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/ahead"
	"github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/port/udp"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// idle is the longest pause of the goroutine that does what time brings; floor the shortest: a deadline that does not move on
	// must not spin it.
	idle, floor = time.Minute, time.Millisecond
	// pause follows an error of the device or a socket that is not closed.
	pause = 20 * time.Millisecond
	// eventBatch is how many path events are taken at once.
	eventBatch = 8
)

// Options says what an Engine is made with.
type Options struct {
	// Device is where inner packets come from and go to. Close closes it.
	Device tun.Device
	// Host changes the operating system; nil: nothing does (the device is a netstack, or routes are somebody else's).
	Host interface {
		Host
		SetPorts([]uint16) error
	}
	// Mark is on everything that is sent; zero: none.
	Mark uint32
	// NoRaw opens no raw sockets: ESP goes by ports of this process alone.
	NoRaw bool
	Log   *slog.Logger
}

// Engine is the whole. Its methods are safe for concurrent use.
type Engine struct {
	// immutable after New
	opts   Options
	db     *sadb.DB
	dp     *dataplane.Engine
	server *Server
	log    *slog.Logger
	raw    [2][numRaw]*udp.Conn // [IPv6?]; nil: not to be had
	shared [2]*udp.Shared
	bypass [2]*udp.Conn

	kicks chan struct{} // capacity 1
	stop  chan struct{}
	loops sync.WaitGroup
	once  sync.Once

	bound    atomic.Pointer[[]*udp.Bound]
	mu       sync.Mutex // protects the rest, and changes of bound and of shared's ports
	ports    map[uint64]portOf
	warnings []string

	unsent, notPassed, deviceErrors atomic.Uint64
}

// New makes an engine and starts it. There are no listening paths and no ports yet.
func New(o Options) (*Engine, error) {
	if o.Device == nil {
		return nil, errors.New("device: none given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader, SPIPerDestination: true, View: ahead.View})
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: o, db: db, dp: dataplane.New(db, dataplane.Config{}), log: o.Log, kicks: make(chan struct{}, 1),
		stop: make(chan struct{}), ports: map[uint64]portOf{}}
	e.bound.Store(&[]*udp.Bound{})
	e.openRaw()
	so := ServerOptions{DB: db, Changed: e.kick, PassOthers: true, Log: o.Log}
	if o.Host != nil {
		so.Host = o.Host
	}
	e.server = NewServer(so)
	e.loops.Go(e.readDevice)
	e.loops.Go(e.keepTime)
	e.readRaw()
	return e, nil
}

// Server is PF_KEY on the engine.
func (e *Engine) Server() *Server { return e.server }

// Listen makes a listening path.
func (e *Engine) Listen(path string, c pfkey.Config) error { return e.server.Listen(path, c) }

// Warnings are sentences about what could not be had.
func (e *Engine) Warnings() []string { return e.warnings }

// Mark is on everything that is sent, and shall be on what the key daemon sends.
func (e *Engine) Mark() uint32 { return e.opts.Mark }

func (e *Engine) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

// BindIKE binds a port of this process: ESP goes to the engine, IKE to the caller.
func (e *Engine) BindIKE(local netip.AddrPort, m natt.Mode, r natt.Rules) (net.PacketConn, error) {
	in := e.newInbound()
	b, err := udp.Bind(udp.BoundConfig{Config: udp.Config{Local: local, Mark: e.opts.Mark}, Mode: m, Rules: r,
		ESP: func(list []udp.Message) {
			in.begin()
			for i := range list {
				in.add(&list[i], dataplane.Datagram{Encap: m, Rules: r})
			}
			in.open()
		}, Event: e.pathEvent})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.stop:
		return nil, errors.Join(errClosed, b.Close())
	default:
	}
	list := append(append([]*udp.Bound{}, *e.bound.Load()...), b)
	e.bound.Store(&list)
	if err := e.tellPorts(); err != nil {
		e.log.Warn("the packet filter does not know a port", "port", b.LocalAddr().Port(), "reason", err)
	}
	return b.IKE(), nil
}

// Close ends everything and takes back what was changed of the host.
func (e *Engine) Close() error {
	var errs []error
	e.once.Do(func() {
		e.server.Close()
		e.mu.Lock()
		close(e.stop)
		bound := *e.bound.Load()
		e.mu.Unlock()
		for _, b := range bound {
			errs = append(errs, b.Close())
		}
		for f := range e.raw {
			for _, c := range e.raw[f] {
				if c != nil {
					errs = append(errs, c.Close())
				}
			}
			if e.shared[f] != nil {
				errs = append(errs, e.shared[f].Close())
			}
			if e.bypass[f] != nil {
				errs = append(errs, e.bypass[f].Close())
			}
		}
		errs = append(errs, e.opts.Device.Close())
		e.loops.Wait()
		for _, p := range []uint8{sadb.ProtoESP, sadb.ProtoAH, sadb.ProtoIPComp} {
			e.db.FlushSAs(time.Now(), p) // wipes their keys
		}
	})
	return errors.Join(errs...)
}

// kick has the notices fetched and the deadline looked at anew.
func (e *Engine) kick() {
	select {
	case e.kicks <- struct{}{}:
	default:
	}
}

// look is kick for a data path: one atomic load where there is nothing.
func (e *Engine) look() {
	if e.db.Pending() {
		e.kick()
	}
}

// keepTime does what time brings to the SAD, and tells clients what the engine saw.
func (e *Engine) keepTime() {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	held := e.newOutbound()
	for {
		now := time.Now()
		if at := e.db.Deadline(); !at.IsZero() && !at.After(now) {
			e.db.Tick(now)
		}
		e.dp.Tick(now)
		e.tell()
		for sent := held.seal.Release(now); len(sent.Datagrams)+len(sent.Bypass) > 0; sent = held.seal.Release(now) {
			held.send(sent)
		}
		wait := idle
		if at := e.db.Deadline(); !at.IsZero() {
			wait = max(floor, min(wait, time.Until(at)))
		}
		timer.Reset(wait)
		select {
		case <-e.stop:
			return
		case <-e.kicks:
		case <-timer.C:
		}
	}
}

// tell hands the engine's notices to the key server.
func (e *Engine) tell() {
	var list [64]sadb.Notice
	for e.db.Pending() {
		n := e.db.Notices(list[:])
		for _, notice := range list[:n] {
			e.server.Notice(notice)
		}
		clear(list[:n])
		if n == 0 {
			return
		}
	}
}

// Counters are the engine's, and how many packets this host did not take.
func (e *Engine) Counters() (c dataplane.Counters, unsent, notPassed, deviceErrors uint64) {
	return e.dp.Counters(), e.unsent.Load(), e.notPassed.Load(), e.deviceErrors.Load()
}

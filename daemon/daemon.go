// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package daemon is the shell around the IKE machines and the ESP engine: sockets, shards, the executor of actions,
// configuration, events and the control socket. It acts; the machines below decide.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/credentials"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ike/mux"
	"github.com/natterjack/natterjack/ipsec/sadb"
	"github.com/natterjack/natterjack/port/ahead"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/wire/natt"
)

const (
	// shutdownLimit is how long Close waits for the peers to answer the deletes.
	shutdownLimit = 900 * time.Millisecond
	// defaultKeepalive is the pause after the last packet sent (RFC 3948, Section 4).
	defaultKeepalive = 20 * time.Second
	// halfOpenLife is how long a responder's IKE SA may stay unauthenticated.
	halfOpenLife = 30 * time.Second
	// defaultFragment is the IP datagram size in which IKE messages are sent (RFC 7383, Section 2.5.1; 1280 is what
	// every IPv6 path carries).
	defaultFragment = 1280
)

// Options is what a daemon is started with. The zero value of a field means its default.
type Options struct {
	// Keyed has SAs and policies go to an engine behind PF_KEY instead of one in this process; Device is not used then.
	Keyed *KeyedOptions
	Log   *slog.Logger
	// Listen limits the sockets to one local address; invalid: all addresses of both families.
	Listen netip.Addr
	// Port and PortNATT are the UDP ports of IKE (500 and 4500).
	Port, PortNATT uint16
	// Device carries the inner packets. It is closed by Close.
	Device tun.Device
	// Host is what is changed of the operating system; nil: nothing (user-space network stack).
	Host Host
	// Keepalive is the pause after which a host behind a NAT refreshes its mapping; negative: never.
	Keepalive time.Duration
	// GSO is "auto", "on" or "off" (UDP segmentation offload).
	GSO string
	// Mark is put on the daemon's own packets, so that they are never routed into the tunnel; zero: none.
	Mark uint32
	// KeyLog is written every key, for debugging; nil: off.
	KeyLog KeyLog
	// Retransmit overrides how IKE requests are repeated.
	Retransmit ike.Retransmit
	// DataPlane is how the data plane is described in status: "tun" or "netstack".
	DataPlane string
	// FragmentSize is the largest IP datagram, in octets, in which an IKE message is sent (RFC 7383).
	FragmentSize int
	// AnyPort binds free ports in the place of Port and PortNATT; Ports tells which.
	AnyPort bool
	// Hold keeps what arrives in the sockets' buffers until Receive is called, so that no peer is refused for a connection that
	// is about to be loaded.
	Hold bool
	// NoRawESP leaves IP protocol 50 alone: ESP always travels in UDP.
	NoRawESP bool
	// HalfOpenLife is how long a responder's IKE SA may stay unauthenticated.
	HalfOpenLife time.Duration
}

var errClosing = errors.New("the daemon is shutting down")

// KeyLog writes keys for tshark. Implementations hold 0600 files.
type KeyLog interface {
	Write(k *ike.Keys, ev ike.Event) error
}

// Host is what the daemon changes of the operating system beyond its sockets and device. All methods are called from
// one goroutine and may take a moment; what they set they also record, so that a crash leaves nothing for ever.
type Host interface {
	// ChildUp routes a child's remote selectors into the device and guards its inbound ones against cleartext.
	ChildUp(c *ike.ChildSA) error
	ChildDown(c *ike.ChildSA)
	// Configure sets or takes back virtual addresses and DNS servers.
	Configure(a ike.Configure) error
	// Shunt puts a pass or drop policy in force, or takes it back.
	Shunt(conn string, c *ike.ChildConfig, on bool) error
	// Trap routes the remote selectors of a policy that waits for traffic into the device, and guards its selectors, or
	// takes that back for the same value.
	Trap(c *ike.ChildSA, on bool) error
	// Warnings are sentences about what could not be had; for the start-up line and status.
	Warnings() []string
	// Close takes everything back.
	Close() error
}

// Daemon is one running key daemon with its data plane. Its methods are safe for concurrent use.
type Daemon struct {
	opts    Options
	log     *slog.Logger
	started time.Time

	hub         *hub
	registry    *registry
	holders     *holders
	connections *connections
	resolver    *resolver
	creds       *credentials.Store
	pools       *pools
	workers     *workers
	sockets     *sockets
	plane       *plane
	kernel      ipsec
	keyed       *keyed // the kernel, where it is behind PF_KEY; else nil
	client      *client
	shunts      *shunts
	traps       *traps
	starter     *starter
	requests    *requests
	watch       *watch
	keys        *keyWriter // nil: no key log
	router      *mux.Router
	shards      []*shard
	counters    counters

	loadMu    sync.Mutex // one configuration at a time; protects the next four
	applied   *config.Config
	fromFile  map[string]bool // connections that Apply loaded
	filePools map[string]bool
	dropped   []*ike.Connection

	nextUnique atomic.Uint64
	nextShard  atomic.Uint64
	begun      atomic.Int64   // machines that this host began
	mu         sync.Mutex     // protects owners
	owners     map[uint64]int // unique -> shard
	cancel     context.CancelFunc
	loops      sync.WaitGroup
	closing    atomic.Bool
}

// counters are totals of the whole daemon.
type counters struct {
	panics, ikeIn, ikeOut, ikeDropped, keepalivesIn, keepalivesOut atomic.Uint64
	// strays were neither IKE nor ESP where they arrived; unsent found a full queue or no socket; notPassed met a pass policy
	// and no way out; deviceErrors were not taken by the device.
	strays, unsent, notPassed, deviceErrors atomic.Uint64
	// keyExchanges were begun: each is two operations of a Diffie-Hellman group, which is what a flood wants to cost.
	keyExchanges atomic.Uint64
}

// New opens the sockets and starts the daemon's goroutines. Connections are loaded afterwards.
func New(opts Options) (*Daemon, error) {
	opts.setDefaults()
	if opts.Keyed != nil {
		opts.Device = newNowhere()
	}
	if opts.Device == nil {
		return nil, errors.New("device: none given")
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Daemon{
		opts: opts, log: opts.Log, started: time.Now(), cancel: cancel,
		hub: newHub(), registry: newRegistry(), holders: newHolders(), connections: newConnections(), resolver: newResolver(),
		creds: credentials.New(), pools: newPools(), requests: newRequests(), owners: map[uint64]int{}, fromFile: map[string]bool{},
	}
	db, err := sadb.New(d.started, sadb.Config{Rand: rand.Reader, SPIPerDestination: true, View: ahead.View})
	if err == nil {
		err = d.newShards(min(8, runtime.GOMAXPROCS(0)))
	}
	if err == nil {
		d.sockets, err = openSockets(d)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	d.workers = newWorkers(ctx)
	d.plane = newPlane(d, db)
	if err := d.openKernel(db); err != nil {
		d.sockets.closeConns()
		cancel()
		return nil, err
	}
	d.client = newClient(d, opts.Host)
	d.starter = newStarter(d, ctx)
	d.shunts = newShunts(d.kernel)
	d.traps = newTraps(d)
	d.watch = newWatch(d)
	if opts.KeyLog != nil {
		d.keys = newKeyWriter(opts.KeyLog, func(err error) { d.log.Error("key log", "reason", err.Error()) })
	}
	d.start(ctx)
	return d, nil
}

// start begins everything that runs.
func (d *Daemon) start(ctx context.Context) {
	log := newEventLog(d.log)
	sub := d.hub.subscribe()
	d.loops.Go(func() { log.run(sub) })
	for _, s := range d.shards {
		go s.run(ctx)
	}
	d.loops.Go(func() { d.watch.run(ctx) })
	d.client.start()
	d.plane.start()
	d.sockets.start()
	if !d.opts.Hold {
		d.Receive()
	}
}

// ServeKeys is for a PF_KEY server on the daemon's own engine: its database, and what is to be called when the server has changed
// it. notice is called, by one goroutine, with what the engine saw of SAs and policies that are not IKE's.
func (d *Daemon) ServeKeys(notice func(sadb.Notice)) (db *sadb.DB, changed func()) {
	d.plane.keyNotice.Store(&notice)
	return d.plane.db, d.plane.kick
}

// Receive ends Options.Hold.
func (d *Daemon) Receive() { d.sockets.receive() }

// Ports are the UDP ports in use, of IKE and of NAT-T; zero: there is none. family is any address of the family that is
// meant.
func (d *Daemon) Ports(family netip.Addr) (ikePort, nattPort uint16) {
	return d.sockets.port(family, natt.Raw), d.sockets.port(family, natt.NonESP)
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Port == 0 {
		o.Port = 500
	}
	if o.PortNATT == 0 {
		o.PortNATT = 4500
	}
	if o.FragmentSize == 0 {
		o.FragmentSize = defaultFragment
	}
	if o.Keepalive == 0 {
		o.Keepalive = defaultKeepalive
	}
	o.Keepalive = max(o.Keepalive, 0)
	if o.HalfOpenLife == 0 {
		o.HalfOpenLife = halfOpenLife
	}
	if o.GSO == "" {
		o.GSO = "auto"
	}
	if o.Retransmit == (ike.Retransmit{}) {
		// charon's: 4 s, then 1.8 times as long, five times; the peer is given up after 165 s.
		o.Retransmit = ike.Retransmit{Initial: 4 * time.Second, Base: 1.8, Tries: 5}
	}
}

// Close deletes all SAs (waiting at most shutdownLimit for the peers), takes back what was set on the host, and ends the
// daemon's goroutines. It returns within 2 s.
func (d *Daemon) Close() error {
	if !d.closing.CompareAndSwap(false, true) {
		return nil
	}
	d.starter.close()
	d.terminateAll()
	d.cancel()
	for _, s := range d.shards {
		<-s.done
	}
	d.requests.close()
	d.workers.wg.Wait()
	d.sockets.flush()
	err := d.client.close()
	d.sockets.close()
	err = errors.Join(err, d.plane.close())
	if d.keys != nil {
		d.keys.close()
	}
	if d.keyed != nil {
		d.keyed.close()
	}
	d.hub.close()
	d.loops.Wait()
	return err
}

// terminateAll deletes every IKE SA and waits until they are gone, or shutdownLimit.
func (d *Daemon) terminateAll() {
	left := time.NewTimer(shutdownLimit)
	defer left.Stop()
	for _, s := range d.shards {
		s.q.put(input{call: func(s *shard) {
			for _, e := range s.entries() {
				s.step(e, func() []ike.Action {
					return e.m.Do(time.Now(), ike.Terminate{Reason: ike.CloseShutdown})
				})
			}
		}})
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		n := 0
		for _, s := range d.shards {
			n += onShard(s, func(s *shard) int { return len(s.byUnique) })
		}
		if n == 0 {
			return
		}
		select {
		case <-left.C:
			return
		case <-poll.C:
		}
	}
}

// onShard runs f on the shard's goroutine and returns what it returns; the zero value when the shard has ended.
func onShard[T any](s *shard, f func(*shard) T) T {
	out := make(chan T, 1)
	s.q.put(input{call: func(s *shard) { out <- f(s) }})
	select {
	case v := <-out:
		return v
	case <-s.done:
		var zero T
		return zero
	}
}

// command gives a machine an order; unknown uniques are ignored.
func (d *Daemon) command(unique uint64, c ike.Command) {
	s := d.shardOf(unique)
	if s == nil {
		n := requestOf(c)
		d.requests.resolve(n, goneOutcome(n))
		return
	}
	s.q.put(input{unique: unique, command: c})
}

// notice tells one machine, or with unique zero all machines, what was seen.
func (d *Daemon) notice(unique uint64, n ike.Notice) {
	if unique == 0 {
		for _, s := range d.shards {
			s.q.put(input{notice: n})
		}
		return
	}
	if s := d.shardOf(unique); s != nil {
		s.q.put(input{unique: unique, notice: n})
	}
}

func (d *Daemon) shardOf(unique uint64) *shard {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i, ok := d.owners[unique]; ok {
		return d.shards[i]
	}
	return nil
}

// newOwner numbers a machine of shard s.
func (d *Daemon) newOwner(s *shard) uint64 {
	unique := d.nextUnique.Add(1)
	d.mu.Lock()
	d.owners[unique] = s.index
	d.mu.Unlock()
	return unique
}

// disown forgets a machine's number.
func (d *Daemon) disown(unique uint64) {
	d.mu.Lock()
	delete(d.owners, unique)
	d.mu.Unlock()
	d.registry.forget(unique)
}

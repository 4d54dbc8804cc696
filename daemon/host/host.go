// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package host is what the daemon changes of a real operating system: routes of remote selectors into the TUN, virtual
// addresses, DNS, the packet filter that keeps cleartext out (RFC 4301, Section 5.2), pass and drop policies for traffic
// that never enters the TUN, and updown commands. It implements the interface Host of package daemon.
//
// Selectors, virtual addresses, DNS servers and identities come from an authenticated peer, which may be hostile: they are
// typed, bounded, and never reach a shell. Everything is written into the crash journal before it is made; Close takes it
// back, and Cleanup does so for a daemon that died. What could not be had is said in Warnings, never silently left out.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/port/firewall"
	"github.com/natterjack/natterjack/port/route"
	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/tun"
)

// closeLimit is how long Close waits for updown commands and for the system's resolver; the rest takes milliseconds. The
// daemon has 2 s for its whole end, most of which its peers get.
const closeLimit = 300 * time.Millisecond

// Options is what a Host is made with. The zero value of a field other than Device means its default.
type Options struct {
	// Device is the TUN; New sets its MTU and brings it up. The caller closes it after Close.
	Device tun.Device
	// Journal is where every change is recorded first; see OpenJournal. The caller closes it after Close. Nil: nothing
	// is recorded, and a crash leaves what it leaves.
	Journal *store.Journal
	// Table and Mark are Linux's routing table and packet mark; zero: chosen from the device's name, and the next ones
	// where another daemon has these.
	Table int
	Mark  uint32
	// Ports are the daemon's own UDP ports; nil: 500 and 4500.
	Ports []uint16
	// NoRoutes leaves routes and virtual addresses to somebody else, NoDNS the resolver, NoFirewall the packet filter.
	NoRoutes, NoDNS, NoFirewall bool
	Log                         *slog.Logger
}

// Host is the changes of one daemon. Its methods are safe for concurrent use.
type Host struct {
	// immutable after New
	opts   Options
	log    *slog.Logger
	device string
	routes *route.Host
	table  *firewall.Table // nil: none here
	hooks  *hooks
	stop   context.CancelFunc
	loops  sync.WaitGroup

	mu       sync.Mutex // protects all following fields
	children map[uint32]*child
	policies map[uint32]*child // of PF_KEY, by number
	guards   map[string]int    // users of each policy in the packet filter
	shunts   map[string]*shunt
	traps    map[*ike.ChildSA]*child
	given    map[uint64]ike.Configure // what each IKE SA assigned
	resolver resolver
	warnings map[string]string
	closed   bool
}

// New prepares the system: the device is up, nothing is routed into it yet. An error means that the TUN data plane cannot
// be had; what is merely missing (a packet filter) is a warning.
func New(o Options) (*Host, error) {
	if o.Device == nil {
		return nil, errors.New("device: none given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ports == nil {
		o.Ports = []uint16{500, 4500}
	}
	h := &Host{
		opts: o, log: o.Log, device: o.Device.Name(), children: map[uint32]*child{}, guards: map[string]int{},
		shunts: map[string]*shunt{}, traps: map[*ike.ChildSA]*child{}, given: map[uint64]ike.Configure{}, warnings: map[string]string{},
	}
	var err error
	h.routes, err = route.Open(route.Options{Device: h.device, Table: o.Table, Mark: o.Mark, Journal: o.Journal, Passive: o.NoRoutes})
	if err != nil {
		return nil, err
	}
	if !o.NoRoutes {
		err = h.routes.LinkUp(o.Device.MTU())
	}
	if err == nil {
		err = h.openFirewall()
	}
	if err != nil {
		return nil, errors.Join(err, h.routes.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.hooks = newHooks(o.Journal, h.log)
	h.follow(ctx)
	h.allowMarked()
	return h, nil
}

func (h *Host) openFirewall() error {
	if h.opts.NoFirewall {
		h.warn("firewall", errors.New("the packet filter is switched off by configuration, so cleartext that arrives outside the tunnel is not dropped, and mode = drop holds only for what is routed"))
		return nil
	}
	table, err := firewall.Open(firewall.Options{
		Instance: h.device, Device: h.device, Mark: h.Mark(), MarkMask: h.routes.Options().Mask, Ports: h.opts.Ports, Journal: h.opts.Journal,
	})
	var unavailable *firewall.Unavailable
	if errors.As(err, &unavailable) {
		h.warn("firewall", err)
		return nil
	}
	h.table = table
	return err
}

// Mark is the packet mark for the daemon's own sockets; zero on systems without marks.
func (h *Host) Mark() uint32 { return h.routes.Options().Mark }

// Table is the routing table of our own; zero on systems that have only one.
func (h *Host) Table() int { return h.routes.Options().Table }

// Drops are what the packet filter has dropped by policy.
func (h *Host) Drops() ([]firewall.Drop, error) {
	if h.table == nil {
		return nil, nil
	}
	return h.table.Drops()
}

// Warnings are sentences about what could not be had, for the start-up line and status.
func (h *Host) Warnings() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]string, 0, len(h.warnings))
	for _, w := range h.warnings {
		list = append(list, w)
	}
	slices.Sort(list)
	return list
}

// warn sets the one warning of a topic, or takes it back. The caller holds mu, or is alone.
func (h *Host) warn(topic string, err error) {
	if err == nil {
		delete(h.warnings, topic)
		return
	}
	if text := err.Error(); h.warnings[topic] != text {
		h.warnings[topic] = text
		h.log.Warn(text)
	}
}

// allowMarked deals with strict reverse-path filters. The caller holds mu, or is alone.
func (h *Host) allowMarked() {
	if !h.opts.NoRoutes {
		h.warn("rp_filter", h.table.AllowMarked(h.device))
	}
}

// follow puts routes in force again when the host's addresses change: a route whose source address goes away is removed
// by the system.
func (h *Host) follow(ctx context.Context) {
	changes, err := route.Watch(ctx, h.device)
	if err != nil {
		h.warn("watch", fmt.Errorf("changes of addresses are not seen (%w): after one, reconnect", err))
		return
	}
	h.loops.Go(func() {
		for range changes {
			h.refresh()
		}
	})
}

// Close takes everything back, within a second. What could not be is still in the journal.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	lease := h.resolver.lease
	h.mu.Unlock()
	h.stop()
	errs := []error{h.hooks.closeWith(lease)}
	h.loops.Wait()
	errs = append(errs, h.routes.Close())
	if h.table != nil {
		errs = append(errs, h.table.Close())
	}
	return errors.Join(errs...)
}

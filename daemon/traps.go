// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Policies that wait for traffic (start_action = trap; RFC 4301, Section 4.4.1; PF_KEY's ACQUIRE): a packet that meets one is
// held, its child is initiated, and what is held leaves when it is up. Until then nothing of it leaves in the clear. The
// packets are this host's or routed to it; how often they can have something initiated is bounded.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/ipsec/sadb"
)

const (
	// acquirePause follows an attempt that came to nothing: packets alone have no more of them begun.
	acquirePause = 2 * time.Second
	// trapFirst and trapLimit are the pauses between attempts to put a trap in force where a name is not known or a route
	// not there yet.
	trapFirst, trapLimit = 2 * time.Second, time.Minute
)

// trap is one policy in force.
type trap struct {
	conn, child string
	policy      standing
	host        *ike.ChildSA // what the host was told
	busy        bool         // an initiation is under way because of it
}

// traps is safe for concurrent use.
type traps struct {
	d *Daemon

	mu      sync.Mutex // protects the rest
	byName  map[string]*trap
	byReqid map[uint32]*trap
	trying  map[string]context.CancelFunc // not in force yet
}

func newTraps(d *Daemon) *traps {
	return &traps{d: d, byName: map[string]*trap{}, byReqid: map[uint32]*trap{}, trying: map[string]context.CancelFunc{}}
}

func trapName(conn, child string) string { return conn + "\x00" + child }

// reqid is that of the trap of a child; zero: it has none. SAs of the child that this host begins have it, and so serve what is held.
func (t *traps) reqid(conn, child string) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.byName[trapName(conn, child)]; x != nil {
		return x.policy.reqid
	}
	return 0
}

// put makes a trap, in the place of the one of its name.
func (t *traps) put(ctx context.Context, conn *ike.Connection, child *ike.ChildConfig) error {
	if child.Mode.Shunt() {
		return fmt.Errorf("%s/%s: a policy that passes or drops is in force as long as it is loaded", conn.Name, child.Name)
	}
	path, _, err := t.d.paths(ctx, conn, 0)
	if err != nil {
		return err
	}
	local, peer := path.Local.Addr().Unmap(), path.Remote.Addr().Unmap()
	x := &trap{conn: conn.Name, child: child.Name, policy: standing{
		name: conn.Name + "/" + child.Name, action: sadb.Protect, mode: child.Mode, ah: child.AH(), ipcomp: child.IPComp,
		local: concreteAt(child.LocalTS, local), remote: concreteAt(child.RemoteTS, peer), outLocal: local, outPeer: peer,
	}}
	x.host = &ike.ChildSA{Name: child.Name, Connection: conn.Name, Mode: child.Mode, Path: path, TSLocal: x.policy.local, TSRemote: x.policy.remote}
	if err := t.d.client.trap(x.host, true); err != nil {
		return fmt.Errorf("%s/%s: %w", conn.Name, child.Name, err)
	}
	if err := t.engage(ctx, x); err != nil {
		t.d.client.dropTrap(x.host)
		return fmt.Errorf("%s/%s: %w", conn.Name, child.Name, err)
	}
	return nil
}

// engage puts the policy in force, unless it is not wanted any more: remove and want may have come before it.
func (t *traps) engage(ctx context.Context, x *trap) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	old := t.byName[trapName(x.conn, x.child)]
	if old != nil {
		x.policy.reqid = old.policy.reqid // SAs that are there go on serving it
	}
	if err := t.d.kernel.hold(&x.policy); err != nil {
		return err
	}
	t.byName[trapName(x.conn, x.child)], t.byReqid[x.policy.reqid] = x, x
	if old != nil {
		t.d.kernel.drop(&old.policy)
		t.d.client.dropTrap(old.host)
	}
	return nil
}

// remove takes a trap back, or ends the attempts to make it; false: there is none.
func (t *traps) remove(conn, child string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := trapName(conn, child)
	cancel := t.trying[name]
	if cancel != nil {
		cancel()
		delete(t.trying, name)
	}
	x := t.byName[name]
	if x == nil {
		return cancel != nil
	}
	delete(t.byName, name)
	delete(t.byReqid, x.policy.reqid)
	t.d.kernel.drop(&x.policy)
	t.d.client.dropTrap(x.host)
	return true
}

// follow has traps be those of a connection that took another's place; either may be nil.
func (t *traps) follow(old, to *ike.Connection) {
	if old != nil {
		for _, ch := range old.Children {
			if !hasTrap(to, ch.Name) {
				t.remove(old.Name, ch.Name)
			}
		}
	}
	if to == nil {
		return
	}
	for _, ch := range to.Children {
		if ch.Start.Traps() {
			t.want(to, ch)
		}
	}
}

func hasTrap(c *ike.Connection, child string) bool {
	return c != nil && slices.ContainsFunc(c.Children, func(ch *ike.ChildConfig) bool { return ch.Name == child && ch.Start.Traps() })
}

// want tries to make a trap until it is there or not wanted any more.
func (t *traps) want(conn *ike.Connection, child *ike.ChildConfig) {
	name := trapName(conn.Name, child.Name)
	ctx, cancel := context.WithCancel(t.d.starter.ctx)
	t.mu.Lock()
	if before := t.trying[name]; before != nil {
		before()
	}
	t.trying[name] = cancel
	t.mu.Unlock()
	t.d.loops.Go(func() {
		defer cancel()
		for pause := trapFirst; ctx.Err() == nil; pause = min(2*pause, trapLimit) {
			err := t.put(ctx, conn, child)
			if err == nil {
				return
			}
			t.d.log.Warn("a trap policy is not in force", "connection", conn.Name, "child_sa", child.Name, "reason", err.Error())
			if errors.Is(err, errNoRemote) || errors.Is(err, errNotSaid) || !sleep(ctx, pause) {
				return
			}
		}
	})
}

// acquire is told that a packet has met a policy without an SA.
func (t *traps) acquire(reqid uint32) {
	t.mu.Lock()
	x := t.byReqid[reqid]
	begin := x != nil && !x.busy
	if begin {
		x.busy = true
	}
	t.mu.Unlock()
	switch {
	case x == nil:
		t.d.kernel.acquireFailed(reqid)
	case begin:
		t.d.loops.Go(func() { t.answer(x) })
	}
}

// answer initiates the child of a trap. What is held is released by its SAs; where there are none it is dropped, and the next
// packet may ask again after a pause.
func (t *traps) answer(x *trap) {
	err := t.initiate(x)
	if err != nil {
		t.d.log.Warn("a packet asked for a child that does not come up", "connection", x.conn, "child_sa", x.child, "reason", err.Error())
	}
	sleep(t.d.starter.ctx, acquirePause)
	t.mu.Lock()
	x.busy = false
	t.mu.Unlock()
	t.d.kernel.acquireFailed(x.policy.reqid) // ends the Acquire also where SAs came; nothing is held any more then
}

func (t *traps) initiate(x *trap) error {
	conn := t.d.connections.byName(x.conn)
	if conn == nil {
		return errors.New("its connection is not loaded any more")
	}
	i := slices.IndexFunc(conn.Children, func(ch *ike.ChildConfig) bool { return ch.Name == x.child })
	if i < 0 {
		return errors.New("it is not configured any more")
	}
	in, err := t.d.starter.begin(conn, conn.Children[i], true)
	if err != nil {
		return err
	}
	<-in.done
	return in.err
}

// Trap is a policy that waits for traffic.
type Trap struct {
	Connection, Child string
	Mode              ike.Mode
	Local, Remote     []ike.Selector
}

// Traps are the policies that wait for traffic.
func (d *Daemon) Traps() []Trap {
	d.traps.mu.Lock()
	defer d.traps.mu.Unlock()
	var list []Trap
	for _, x := range d.traps.byName {
		list = append(list, Trap{x.conn, x.child, x.policy.mode, x.policy.local, x.policy.remote})
	}
	slices.SortFunc(list, func(a, b Trap) int {
		return slices.Compare([]string{a.Connection, a.Child}, []string{b.Connection, b.Child})
	})
	return list
}

// Install puts a trap in force for a child whatever its start_action says, until its connection changes or Uninstall.
// Either name may be empty as with Initiate, but not the child's.
func (d *Daemon) Install(ctx context.Context, conn, child string) error {
	c, ch, err := d.connections.named(conn, child)
	switch {
	case err != nil:
		return err
	case ch == nil:
		return errors.New("child: none named")
	}
	return d.traps.put(ctx, c, ch)
}

// Uninstall takes a trap back.
func (d *Daemon) Uninstall(conn, child string) error {
	for _, x := range d.Traps() {
		if x.Child == child && (conn == "" || x.Connection == conn) {
			d.traps.remove(x.Connection, x.Child)
			return nil
		}
	}
	return &NotFoundError{Kind: "policy", Name: child}
}

// concreteAt puts an address in the place of dynamic selectors.
func concreteAt(list []ike.Selector, a netip.Addr) []ike.Selector {
	out := slices.Clone(list)
	for i := range out {
		if out[i].Dynamic {
			out[i].Dynamic, out[i].From, out[i].To = false, a, a
		}
	}
	return out
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The table on Linux. Chains: "mark" puts our mark on the peer's datagrams before the reverse-path check and on what a pass
// policy keeps out of the tunnel's routes, "reroute" does the latter for this host's own packets, "in" and "out" judge what
// did not come through the tunnel. The rules are replaced in one transaction, so that no packet ever meets half of them;
// a gateway's clients come and go as elements of a set. The table is not owned by our socket on purpose: if the daemon
// dies, cleartext stays out.

package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/natterjack/natterjack/port/store"
)

// prefix begins the names of all our tables.
const prefix = "natterjack-"

// netlinkBuffer is room for 1 KiB a rule in each direction, four rules a policy.
const netlinkBuffer = 4 * ruleLimit << 10

// nameLimit is NFT_TABLE_MAXNAMELEN with room for the prefix.
const nameLimit = 200

// Table is our table in the kernel. Its methods are safe for concurrent use.
type Table struct {
	opts Options
	name string

	mu       sync.Mutex // protects all following fields
	policies []Policy   // by age
	ports    []uint16
	sets     map[scope]*set // what stands in the kernel
	nextSet  int
	id       store.ID
	closed   bool
	arp      bool // the table of arp_linux.go is there
	// validMark says that our table shows validMarkChain, recorded as validMarkID.
	validMark   bool
	validMarkID store.ID
}

// Open makes the table, replacing what a crash left of one with the same name. The error is *Unavailable where the
// system cannot have it.
func Open(o Options) (*Table, error) {
	if err := checkName(o.Instance); err != nil {
		return nil, err
	}
	if o.MarkMask == 0 {
		o.MarkMask = 0xffffffff
	}
	t := &Table{opts: o, name: prefix + o.Instance, ports: slices.Clone(o.Ports)}
	id, err := o.Journal.Record(store.Undo{Kind: KindTable, Name: t.name})
	if err != nil {
		return nil, err
	}
	t.id = id
	if err := t.rebuild(); err != nil {
		return nil, &Unavailable{errors.Join(err, o.Journal.Done(id))}
	}
	return t, nil
}

// checkName holds an instance to what nft(8) can also type.
func checkName(s string) error {
	if s == "" || len(s) > nameLimit {
		return fmt.Errorf("instance: %d octets, want 1 to %d", len(s), nameLimit)
	}
	for _, c := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", c) {
			return fmt.Errorf("instance %q: letters, digits, dot, dash and underscore only", s)
		}
	}
	return nil
}

// dial makes a connection that can carry ruleLimit rules, and their acknowledgements, in one transaction. Without the
// privilege for larger buffers a small transaction still works.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		_ = c.SetWriteBuffer(netlinkBuffer)
		_ = c.SetReadBuffer(netlinkBuffer)
		return nil
	}))
}

// Name is the table's name, of family inet.
func (t *Table) Name() string { return t.name }

// Add puts policies in force; one with a known ID replaces the old. On error nothing has changed.
func (t *Table) Add(policies ...Policy) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := slices.Clone(t.policies)
	index := make(map[string]int, len(next))
	for i, p := range next {
		index[p.ID] = i
	}
	for _, p := range policies {
		if err := p.check(); err != nil {
			return err
		}
		if i, ok := index[p.ID]; ok {
			next[i] = p
			continue
		}
		index[p.ID] = len(next)
		next = append(next, p)
	}
	if len(next) > policyLimit {
		return fmt.Errorf("firewall: more than %d policies", policyLimit)
	}
	return t.replace(next)
}

// Remove takes policies back; unknown IDs are ignored.
func (t *Table) Remove(ids ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(t.policies), func(p Policy) bool { return slices.Contains(ids, p.ID) })
	if len(next) == len(t.policies) {
		return nil
	}
	return t.replace(next)
}

// SetPorts says which UDP ports are the daemon's own now.
func (t *Table) SetPorts(ports []uint16) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosed
	}
	old := t.ports
	t.ports = slices.Clone(ports)
	if err := t.rebuild(); err != nil {
		t.ports = old
		return fmt.Errorf("firewall: %w", err)
	}
	return nil
}

var errClosed = errors.New("firewall: closed")

// replace puts a list of policies in force: where only the elements of sets differ, by these alone.
func (t *Table) replace(next []Policy) error {
	if t.closed {
		return errClosed
	}
	rules, scopes := arrange(next)
	if len(rules) > ruleLimit {
		return fmt.Errorf("firewall: more than %d policies with protocols, ports or other actions than protect", ruleLimit)
	}
	old := t.policies
	oldRules, _ := arrange(old)
	t.policies = next
	err := error(nil)
	if slices.Equal(rules, oldRules) && t.hasSets(scopes) {
		err = t.update(scopes)
	} else {
		err = t.rebuild()
	}
	if err != nil {
		t.policies = old
		return fmt.Errorf("firewall: %w", err)
	}
	return nil
}

// Policies returns what is in force, in the order in which it was set.
func (t *Table) Policies() []Policy {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.policies)
}

// Drops reads the counters of what the policies dropped. They begin anew at each change of the policies.
func (t *Table) Drops() ([]Drop, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	var list []Drop
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
	for _, name := range []string{"in", "out"} {
		rules, err := c.GetRules(table, &nftables.Chain{Table: table, Name: name})
		if err != nil {
			return nil, fmt.Errorf("firewall: %w", err)
		}
		for _, r := range rules {
			if d, ok := dropOf(r); ok {
				d.Direction = name
				list = append(list, d)
			}
		}
	}
	return list, nil
}

func dropOf(r *nftables.Rule) (Drop, bool) {
	var d Drop
	drops := false
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
			d.Packets, d.Octets = e.Packets, e.Bytes
		case *expr.Verdict:
			drops = e.Kind == expr.VerdictDrop
		}
	}
	d.ID, _ = userdata.GetString(r.UserData, userdata.TypeComment)
	return d, drops
}

// Close removes the table.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	if err := removeTable(t.name); err != nil {
		return err
	}
	err := t.opts.Journal.Done(t.id)
	if !t.validMark {
		return err
	}
	// After the table is gone, so that of two daemons that end together the later one sees nobody else.
	if uerr := UndoSysctl(store.Undo{Kind: KindSysctl, Name: validMark, Args: map[string]string{"value": "0", "table": t.name}}); uerr != nil {
		return errors.Join(err, uerr)
	}
	return errors.Join(err, t.opts.Journal.Done(t.validMarkID))
}

// Undo removes a table that a crash left.
func Undo(u store.Undo) error {
	if u.Kind != KindTable || !strings.HasPrefix(u.Name, prefix) {
		return fmt.Errorf("journal: table %q is not ours", u.Name)
	}
	return removeTable(u.Name)
}

func removeTable(name string) error {
	c, err := dial()
	if err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: name})
	err = c.Flush()
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	if err = errors.Join(err, removeARP(name)); err != nil {
		return fmt.Errorf("firewall: remove table %s: %w", name, err)
	}
	return nil
}

// Tables lists the tables of all natterjack daemons on this host.
func Tables() ([]string, error) {
	c, err := dial()
	if err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	all, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	var names []string
	for _, t := range all {
		if strings.HasPrefix(t.Name, prefix) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

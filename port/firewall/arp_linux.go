// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// ARP under a strict reverse-path filter. The kernel does not answer a request from an address that is routed into the
// tunnel, so a peer on the same link would lose this host as soon as its neighbour cache ages. A table of family arp with
// the same name marks what comes in, which decides nothing but that check.

package firewall

import (
	"errors"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// arpInput is NF_ARP_IN.
const arpInput = 0

func arpTable(name string) *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyARP, Name: name}
}

// markARP makes the table. The caller holds mu, or is alone.
func (t *Table) markARP() error {
	if t.opts.Mark == 0 || t.arp {
		return nil
	}
	c, err := dial()
	if err != nil {
		return err
	}
	table := arpTable(t.name)
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{Table: table, Name: "mark", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookRef(arpInput), Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: setMark(t.opts.Mark, t.opts.MarkMask)})
	err = c.Flush()
	t.arp = err == nil
	return err
}

func removeARP(name string) error {
	c, err := dial()
	if err != nil {
		return err
	}
	c.DelTable(arpTable(name))
	err = c.Flush()
	// A kernel that does not know the family has no table of it.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

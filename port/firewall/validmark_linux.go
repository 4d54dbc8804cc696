// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Strict reverse-path filtering (RFC 3704, Section 2.2). Once a peer's own address is routed into the tunnel, its outer
// datagrams seem to come from the wrong interface and a host with rp_filter = 1 drops them. With src_valid_mark the check
// takes the packet's mark into account, and our chain "mark" has marked these datagrams before.
//
// The setting belongs to all daemons of a host. Each that needs it and found it off, or found it on because of another
// daemon, has an empty chain in its table that says so; the last one puts the setting back.

package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/natterjack/natterjack/port/store"
	"github.com/natterjack/natterjack/port/sysctl"
)

const (
	validMark = "net/ipv4/conf/all/src_valid_mark"
	// validMarkChain is the chain that says: we need src_valid_mark, and it was 0 before any of us came.
	validMarkChain = "src_valid_mark-was-0"
)

// strictInterfaces returns the interfaces that filter strictly: the larger of all's and their own value counts.
func strictInterfaces(device string) []string {
	all := sysctl.Read("net/ipv4/conf/all/rp_filter")
	var strict []string
	for _, name := range sysctl.Interfaces() {
		if name != "lo" && name != device && max(all, sysctl.Read("net/ipv4/conf/"+name+"/rp_filter")) == "1" {
			strict = append(strict, name)
		}
	}
	slices.Sort(strict)
	return strict
}

// AllowMarked makes strict reverse-path filters honour the mark on the peer's datagrams. The error is one sentence that
// names the setting that stands in the way; without a strict filter there is nothing to do. A nil Table marks nothing.
func (t *Table) AllowMarked(device string) error {
	strict := strictInterfaces(device)
	if len(strict) == 0 {
		return nil
	}
	why := fmt.Sprintf("rp_filter = 1 on %s drops the peer's datagrams where its address is routed into the tunnel", strings.Join(strict, ", "))
	if t == nil {
		return fmt.Errorf("%s, and without nftables they cannot be marked: set net.ipv4.conf.all.rp_filter = 2", why)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.setValidMark(); err != nil {
		return fmt.Errorf("%s, and net.ipv4.conf.all.src_valid_mark cannot be set (%w): set it to 1, or net.ipv4.conf.all.rp_filter to 2", why, err)
	}
	if err := t.markARP(); err != nil {
		return fmt.Errorf("rp_filter = 1 on %s keeps ARP requests from being answered to a peer on the same link whose address is routed into the tunnel, and they cannot be marked (%w): set net.ipv4.conf.all.rp_filter = 2", strings.Join(strict, ", "), err)
	}
	return nil
}

func (t *Table) setValidMark() error {
	if t.closed {
		return errors.New("closed")
	}
	on := sysctl.Read(validMark) == "1"
	if on && (t.validMark || !neededBy(t.name)) {
		return nil // ours already, or the operator's
	}
	if !t.validMark {
		id, err := t.opts.Journal.Record(store.Undo{Kind: KindSysctl, Name: validMark, Args: map[string]string{"value": "0", "table": t.name}})
		if err != nil {
			return err
		}
		t.validMark, t.validMarkID = true, id
		if err := t.rebuild(); err != nil {
			t.validMark = false
			return errors.Join(err, t.opts.Journal.Done(id))
		}
	}
	if err := sysctl.Write(validMark, "1"); err != nil {
		return err
	}
	if sysctl.Read(validMark) != "1" {
		return errors.New("it keeps its value")
	}
	return nil
}

// neededBy reports whether the table of another daemon than own says that it needs the setting.
func neededBy(own string) bool {
	c, err := dial()
	if err != nil {
		return false
	}
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(chains, func(ch *nftables.Chain) bool {
		return ch.Name == validMarkChain && ch.Table.Name != own && strings.HasPrefix(ch.Table.Name, prefix)
	})
}

// UndoSysctl puts a setting back unless another daemon needs it.
func UndoSysctl(u store.Undo) error {
	if u.Kind != KindSysctl || u.Name != validMark || u.Args["value"] != "0" {
		return fmt.Errorf("journal: sysctl %q is not ours", u.Name)
	}
	if sysctl.Read(validMark) != "1" || neededBy(u.Args["table"]) {
		return nil
	}
	return sysctl.Write(validMark, "0")
}

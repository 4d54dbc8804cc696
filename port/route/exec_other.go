// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux

// How the systems without rtnetlink are told: their own tools with a fixed argument vector, a deadline, and no shell.
// Every argument is a typed address or prefix, or the name of our device.

package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/natterjack/natterjack/port/store"
)

// needsExclude is true: without marks a host route keeps the outer datagrams out of the tunnel.
const needsExclude = true

// toolLimit is how long one tool may take.
const toolLimit = 10 * time.Second

// claim has nothing to do: elsewhere there is one routing table and no mark.
func (h *Host) claim() error {
	h.opts.Table, h.opts.Mark, h.opts.Mask = 0, 0, 0
	return nil
}

// ForwardingOff is not asked on this system.
func ForwardingOff(netip.Addr) (setting string, off bool) { return "", false }

func undoRule(u store.Undo) error {
	return fmt.Errorf("journal: kind %q is Linux's", u.Kind)
}

// tool runs a program and returns what it printed; its words are part of the error.
func tool(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s %s: %w: %.200s", name, strings.Join(args, " "), err, text)
	}
	return text, nil
}

// missing says that the tool's complaint is that there was nothing to remove.
func missing(text string) bool {
	for _, s := range []string{"not in table", "No such process", "Can't assign requested address", "does not exist", "not found", "Element not found", "cannot find the file"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

func remove(name string, args ...string) error {
	if text, err := tool(name, args...); err != nil && !missing(text) {
		return err
	}
	return nil
}

// halves avoids replacing the default route: two more specific routes cover it and leave it where it is.
func halves(dst netip.Prefix) []netip.Prefix {
	if dst.Bits() != 0 {
		return []netip.Prefix{dst}
	}
	if dst.Addr().Is4() {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1")}
	}
	return []netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}
}

func addRoute(o Options, dst netip.Prefix, action Action, src netip.Addr) error {
	if action == Throw {
		return nil // there is one table: what is not routed into the device goes its own way
	}
	for _, p := range halves(dst) {
		if err := addOne(o.Device, p, action, src); err != nil {
			return err
		}
	}
	return nil
}

func delRoute(device string, _ int, dst netip.Prefix, action string) error {
	if action == Throw.String() {
		return nil
	}
	var errs []error
	for _, p := range halves(dst) {
		errs = append(errs, delOne(device, p, action))
	}
	return errors.Join(errs...)
}

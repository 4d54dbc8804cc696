// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package control has the commands and events of the control socket: VICI as strongSwan's charon speaks it, with its names,
// its keys and the formats of its values, so that swanctl and other clients of charon work unchanged. Arguments come from a
// local client that the socket's mode let in; they are decoded by the decoder of the configuration file, and what is not
// built is refused by its name. No secret is ever part of a reply, an event or an error.
package control

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/natterjack/natterjack/daemon"
	port "github.com/natterjack/natterjack/port/vici"
	"github.com/natterjack/natterjack/wire/vici"
)

// Options is what a Control is made with.
type Options struct {
	Daemon *daemon.Daemon
	// Log gets one line for each command that changes something, with the user and process that sent it.
	Log *slog.Logger
	// Version is natterjack's own.
	Version string
	// Reload reads the configuration files again and says what is wrong with them; nil: there are none.
	Reload func() error
}

// Control answers commands. Its methods are safe for concurrent use.
type Control struct {
	opts     Options
	d        *daemon.Daemon
	commands map[string]command
	counters *counters
}

var _ port.Service = (*Control)(nil)

// command is one command; changes: it is worth a line in the log.
type command struct {
	run     func(*call) *vici.Section
	changes bool
}

// call is one command with its arguments and its client.
type call struct {
	ctx  context.Context
	args *vici.Section
	emit port.Emit
}

// New makes the control of a running daemon.
func New(o Options) *Control {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Control{opts: o, d: o.Daemon, counters: newCounters()}
	reads := map[string]func(*call) *vici.Section{
		"version": c.version, "stats": c.stats, "list-sas": c.listSAs, "list-conns": c.listConns, "get-conns": c.getConns,
		"list-policies": c.listPolicies, "list-certs": c.listCerts, "list-authorities": c.listAuthorities,
		"get-authorities": c.getAuthorities, "get-pools": c.getPools, "get-keys": c.getKeys, "get-shared": c.getShared,
		"get-algorithms": c.getAlgorithms, "get-counters": c.getCounters,
	}
	changes := map[string]func(*call) *vici.Section{
		"initiate": c.initiate, "terminate": c.terminate, "rekey": c.rekey, "reload-settings": c.reloadSettings,
		"load-conn": c.loadConn, "unload-conn": c.unloadConn, "load-pool": c.loadPool, "unload-pool": c.unloadPool,
		"load-cert": c.loadCert, "load-key": c.loadKey, "unload-key": c.unloadKey, "load-shared": c.loadShared,
		"unload-shared": c.unloadShared, "load-authority": c.loadAuthority, "unload-authority": c.unloadAuthority,
		"clear-creds": c.clearCreds, "flush-certs": c.flushCerts, "reset-counters": c.resetCounters,
		"install": c.install, "uninstall": c.uninstall,
		"redirect":   refusal("redirect", "redirecting peers (RFC 5685) is not built yet"),
		"load-token": refusal("load-token", "keys on tokens are not built yet"),
	}
	c.commands = make(map[string]command, len(reads)+len(changes))
	for name, f := range reads {
		c.commands[name] = command{run: f}
	}
	for name, f := range changes {
		c.commands[name] = command{run: f, changes: true}
	}
	return c
}

// Serve implements port/vici.Service.
func (c *Control) Serve(ctx context.Context, peer port.Peer, name string, args *vici.Section, emit port.Emit) (*vici.Section, bool) {
	cmd, known := c.commands[name]
	if !known {
		c.opts.Log.Info("control command is not known", "command", daemon.Clean(name), "uid", peer.UID, "pid", peer.PID)
		return nil, false
	}
	reply := cmd.run(&call{ctx: ctx, args: args, emit: emit})
	if cmd.changes {
		attrs := []any{"command", name, "uid", peer.UID, "pid", peer.PID}
		if what := subject(args); what != "" {
			attrs = append(attrs, "subject", what)
		}
		if text := reply.Get("errmsg"); text != "" {
			attrs = append(attrs, "error", daemon.Clean(text))
		}
		c.opts.Log.Info("control command", attrs...)
	}
	return reply, true
}

// subject names what a command was about: the section it loads, or the names it gives. Other arguments may be secrets.
func subject(args *vici.Section) string {
	if args == nil {
		return ""
	}
	text := ""
	for _, it := range args.Items {
		switch {
		case it.Kind == vici.KindSection:
			text += " " + it.Key
		case it.Kind == vici.KindValue && slices.Contains([]string{"name", "id", "ike", "child", "ike-id", "child-id"}, it.Key):
			text += " " + it.Key + "=" + string(it.Value)
		}
	}
	if text == "" {
		return ""
	}
	return daemon.Clean(text[1:])
}

// HasEvent implements port/vici.Service.
func (c *Control) HasEvent(name string) bool {
	switch name {
	case eventLog, eventControlLog, "list-sa", "list-policy", "list-conn", "list-cert", "list-authority",
		eventIKEUpdown, eventIKERekey, eventChildUpdown, eventChildRekey:
		return true
	}
	return false
}

// The events that come without a command, and the log of one.
const (
	eventLog         = "log"
	eventControlLog  = "control-log"
	eventIKEUpdown   = "ike-updown"
	eventIKERekey    = "ike-rekey"
	eventChildUpdown = "child-updown"
	eventChildRekey  = "child-rekey"
)

// result is the reply of a command that has no other: success, or why not.
func result(err error) *vici.Section {
	if err != nil {
		return vici.New().Set("success", "no").Set("errmsg", err.Error())
	}
	return vici.New().Set("success", "yes")
}

// refusal answers commands that are known and not built.
func refusal(name, why string) func(*call) *vici.Section {
	return func(*call) *vici.Section { return result(fmt.Errorf("%s is refused: %s", name, why)) }
}

// only refuses arguments that the command does not have: charon would ignore them, and a misspelt selector would then
// terminate everything.
func (c *call) only(names ...string) error {
	if c.args == nil {
		return nil
	}
	for _, it := range c.args.Items {
		if !slices.Contains(names, it.Key) {
			return fmt.Errorf("%s: unknown argument", daemon.Clean(it.Key))
		}
		if it.Kind != vici.KindValue {
			return fmt.Errorf("%s: expected a value, found %s", it.Key, it.Kind)
		}
	}
	return nil
}

// number is an argument that is a number; absent is 0.
func (c *call) number(key string) (uint64, error) {
	v := c.args.Get(key)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: expected a number, found %q", key, daemon.Clean(v))
	}
	return n, nil
}

// named is the one section of a load command: its name and body.
func (c *call) named() (string, *vici.Section, error) {
	if c.args == nil || len(c.args.Items) != 1 || c.args.Items[0].Kind != vici.KindSection {
		return "", nil, fmt.Errorf("expected one section, named for what it loads")
	}
	return c.args.Items[0].Key, c.args.Items[0].Sub, nil
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The commands that act on SAs: initiate, terminate, rekey. While one runs, its client is told what happens by control-log
// events, if it registered them, up to the level it asked for.

package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/natterjack/natterjack/daemon"
	"github.com/natterjack/natterjack/ike"
	"github.com/natterjack/natterjack/wire/vici"
)

const (
	// rekeyWait is how long rekey waits for what it began; charon does not wait at all.
	rekeyWait = 10 * time.Second
	// maxTimeout bounds the argument timeout, in milliseconds: a day.
	maxTimeout = 24 * 3600 * 1000
	// defaultLogLevel is charon's.
	defaultLogLevel = 1
)

// errNoSelector is charon's sentence.
var errNoSelector = errors.New("missing terminate selector")

// target decodes the arguments that name SAs; more are the names of others that are allowed.
func (k *call) target(more ...string) (t daemon.Target, err error) {
	if err := k.only(append(more, "ike", "ike-id", "child", "child-id")...); err != nil {
		return t, err
	}
	t.IKE, t.Child = k.args.Get("ike"), k.args.Get("child")
	if t.IKEID, err = k.number("ike-id"); err != nil {
		return t, err
	}
	t.ChildID, err = k.number("child-id")
	return t, err
}

// how decodes timeout and loglevel: 0 or absent waits without end, a negative timeout not at all.
func (k *call) how() (ctx context.Context, cancel context.CancelFunc, c daemon.Command, err error) {
	level := defaultLogLevel
	if v := k.args.Get("loglevel"); v != "" {
		if level, err = strconv.Atoi(v); err != nil || level < -1 || level > 4 {
			return nil, nil, c, fmt.Errorf("loglevel: expected -1 to 4, found %q", daemon.Clean(v))
		}
	}
	c.Progress = func(ev ike.Event) {
		for _, l := range logLines(ev) {
			if l.level <= level {
				// A client that is gone ends the command by its context.
				_ = k.emit(eventControlLog, l.section(ev, ""))
			}
		}
	}
	timeout := 0
	if v := k.args.Get("timeout"); v != "" {
		if timeout, err = strconv.Atoi(v); err != nil || timeout > maxTimeout {
			return nil, nil, c, fmt.Errorf("timeout: expected milliseconds, at most a day, found %q", daemon.Clean(v))
		}
	}
	switch {
	case timeout > 0:
		ctx, cancel = context.WithTimeout(k.ctx, time.Duration(timeout)*time.Millisecond)
	default:
		ctx, cancel = context.WithCancel(k.ctx)
		c.NoWait = timeout < 0
	}
	return ctx, cancel, c, nil
}

// initiate is initiate {child ike timeout init-limits loglevel}.
func (c *Control) initiate(k *call) *vici.Section {
	if err := k.only("child", "ike", "timeout", "init-limits", "loglevel"); err != nil {
		return result(err)
	}
	if k.args.Bool("init-limits") {
		return result(errors.New("init-limits: refused: limits for initiators are not built; leave it out, or no"))
	}
	conn, child := k.args.Get("ike"), k.args.Get("child")
	if conn == "" && child == "" {
		return result(errors.New("missing configuration name"))
	}
	ctx, cancel, how, err := k.how()
	if err != nil {
		return result(err)
	}
	defer cancel()
	_, err = c.d.Initiate(ctx, conn, child, how)
	reply := result(err)
	if failed, ok := errors.AsType[*daemon.InitiateError](err); ok && failed.Timeout {
		// Our own client tells "not yet" from "no" by it.
		reply.Set("reason", "timeout")
	}
	return reply
}

// terminate is terminate {child ike child-id ike-id force timeout loglevel}.
func (c *Control) terminate(k *call) *vici.Section {
	t, err := k.target("force", "timeout", "loglevel")
	if err == nil && t == (daemon.Target{}) {
		err = errNoSelector
	}
	if err != nil {
		return result(err)
	}
	ctx, cancel, how, err := k.how()
	if err != nil {
		return result(err)
	}
	defer cancel()
	how.Force = k.args.Bool("force")
	m, err := c.d.Terminate(ctx, t, how)
	if how.NoWait && err == nil {
		m.Done = m.Matched
	}
	return matches(m, err, "no matching SAs to terminate found", "terminated")
}

// rekey is rekey {child ike child-id ike-id reauth}.
func (c *Control) rekey(k *call) *vici.Section {
	t, err := k.target("reauth")
	switch {
	case err != nil:
	case k.args.Bool("reauth"):
		err = errors.New("reauth: refused: reauthentication is not built yet; rekeying renews all keys")
	case t == (daemon.Target{}):
		err = errors.New("missing rekey selector")
	}
	if err != nil {
		return result(err)
	}
	ctx, cancel := context.WithTimeout(k.ctx, rekeyWait)
	defer cancel()
	m, err := c.d.Rekey(ctx, t, daemon.Command{})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // it goes on
	}
	return matches(m, err, "no matching SAs to rekey found", "")
}

// matches is the reply of a command for several SAs. none is charon's sentence where nothing matched.
func matches(m daemon.Matches, err error, none, done string) *vici.Section {
	s := vici.New().Set("success", "yes")
	if err != nil {
		s.Set("success", "no")
	}
	s.Set("matches", number(m.Matched))
	if done != "" {
		s.Set(done, number(m.Done))
	}
	if err == nil {
		return s
	}
	if _, nothing := errors.AsType[*daemon.NotFoundError](err); nothing {
		return s.Set("errmsg", none)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Set("errmsg", "not done within the time that was given; it goes on")
	}
	return s.Set("errmsg", err.Error())
}

// install is install {child ike}: a trap policy for a child, whatever its start_action.
func (c *Control) install(k *call) *vici.Section {
	if err := k.only("child", "ike"); err != nil {
		return result(err)
	}
	ctx, cancel := context.WithTimeout(k.ctx, rekeyWait)
	defer cancel()
	if k.args.Get("child") == "" {
		return result(errors.New("missing child config name"))
	}
	return result(c.d.Install(ctx, k.args.Get("ike"), k.args.Get("child")))
}

// uninstall is uninstall {child ike}.
func (c *Control) uninstall(k *call) *vici.Section {
	if err := k.only("child", "ike"); err != nil {
		return result(err)
	}
	return result(c.d.Uninstall(k.args.Get("ike"), k.args.Get("child")))
}

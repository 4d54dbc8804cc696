// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// `natterjack pfkey`: SAs and policies by hand, over a PF_KEY socket of ours. The commands are what setkey is for a kernel, and print
// what its users know; the arguments are read as setkey reads them, but for keys, which are never arguments.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// defaultPFKey is where the PF_KEY server listens.
const defaultPFKey = "/run/natterjack/pfkey.sock"

// pfkeyCommand is `natterjack pfkey`.
func pfkeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pfkey",
		Short: "Look at SAs and policies and change them by hand, as with setkey",
		Long: `SAs and policies over a PF_KEY socket of Natterjack. Where setkey talks to a kernel, these commands talk to the engine of a daemon,
by the same messages.`,
		Example: `  natterjack pfkey dump
  natterjack pfkey policies --json
  natterjack pfkey monitor`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(pfkeyDumpCommand(), pfkeyPoliciesCommand(), pfkeyFlushCommand(), pfkeyMonitorCommand(), pfkeyAddCommand(), pfkeyDeleteCommand(), pfkeyPolicyCommand(), pfkeyServeCommand())
	cmd.AddCommand(pfkeyRunCommands()...)
	return cmd
}

// pfkeyPath is where a command finds the server, and what it speaks there.
type pfkeyPath struct{ socket, dialect string }

func (p *pfkeyPath) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.socket, "socket", defaultPFKey, "the PF_KEY socket's `PATH`")
	cmd.Flags().StringVar(&p.dialect, "dialect", port.HostDialect().String(), "what the path speaks: `freebsd|netbsd|linux`")
	_ = cmd.MarkFlagFilename("socket", "sock")
}

// checked is the dialect that was asked for.
func (p *pfkeyPath) checked() (pfkey.Dialect, error) {
	d, err := pfkey.ParseDialect(p.dialect)
	if err != nil {
		return 0, usagef("--dialect: %v", err)
	}
	return d, nil
}

// dial connects, or says in one sentence what to do.
func (p *pfkeyPath) dial(ctx context.Context) (*port.Conn, error) {
	d, err := p.checked()
	if err != nil {
		return nil, err
	}
	c, err := port.Dial(ctx, p.socket, d)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("you may not use the PF_KEY socket %s: it is for root and the user who runs the daemon", p.socket)
	case errors.Is(err, fs.ErrNotExist), isOp(err, "dial"):
		return nil, fmt.Errorf("nothing serves PF_KEY at %s: start `natterjack pfkey serve`, or name the socket with --socket", p.socket)
	}
	return nil, err
}

// ask sends requests one after the other over a connection of its own.
func (p *pfkeyPath) ask(ctx context.Context, requests ...*pfkey.Message) error {
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	for _, m := range requests {
		if _, err := c.Request(ctx, m); err != nil {
			return pfkeyFailure(p, m.Type, err)
		}
	}
	return nil
}

// list collects a dump. An empty table is no error.
func (p *pfkeyPath) list(ctx context.Context, m *pfkey.Message) ([]*pfkey.Message, error) {
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// A long table takes its time; what ends the wait is that nothing comes.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(answerLimit, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	var all []*pfkey.Message
	err = c.Dump(ctx, m, func(m *pfkey.Message) error {
		silence.Reset(answerLimit)
		all = append(all, m)
		return nil
	})
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, pfkeyFailure(p, m.Type, err)
	}
	return all, nil
}

// pfkeyFailure says what an errno means for what was asked.
func pfkeyFailure(p *pfkeyPath, t pfkey.Type, err error) error {
	e, answered := errors.AsType[pfkey.Errno](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server did not answer within %s: does %s really speak %s (--dialect)?", answerLimit, p.socket, p.dialect)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the server at %s ended the connection: it serves root and the user who runs it, or has stopped", p.socket)
	case !answered:
		if bad, ok := errors.AsType[*pfkey.Error](err); ok {
			return fmt.Errorf("%s sends what is no message of %s (%w): does it really speak %s (--dialect)?", p.socket, p.dialect, bad, p.dialect)
		}
		return err
	case e == pfkey.EEXIST && t.SPD():
		return fmt.Errorf("a policy with these selectors is there already (%w): delete it first", e)
	case e == pfkey.EEXIST:
		return fmt.Errorf("an SA with this SPI is there already (%w): delete it first, or take another SPI", e)
	case e == pfkey.ESRCH:
		return fmt.Errorf("there is no such SA (%w): look with `natterjack pfkey dump`", e)
	case e == pfkey.ENOENT:
		return fmt.Errorf("there is no such policy (%w): look with `natterjack pfkey policies`", e)
	case e == pfkey.EPERM:
		return fmt.Errorf("the server lets you look only (%w): become root, or the user who runs it", e)
	case e == pfkey.EINVAL || e == pfkey.ENOSYS:
		return fmt.Errorf("the server refuses this as %w: an algorithm it has not, a key of another length, or a mode that does not fit; its log says more", e)
	}
	return fmt.Errorf("the server answers %w", e)
}

// protoNamed is the kind of SA that setkey calls so.
func protoNamed(name string) (pfkey.SAType, error) {
	switch strings.ToLower(name) {
	case "esp":
		return pfkey.SATypeESP, nil
	case "ah":
		return pfkey.SATypeAH, nil
	case "ipcomp":
		return pfkey.SATypeIPComp, nil
	}
	return 0, usagef("protocol %.20q: expected esp, ah or ipcomp", name)
}

// pfkeyFlushCommand is `natterjack pfkey flush`.
func pfkeyFlushCommand() *cobra.Command {
	var p pfkeyPath
	var policies bool
	cmd := &cobra.Command{
		Use:   "flush [esp|ah|ipcomp]",
		Short: "Delete all SAs, or those of one protocol, or all policies",
		Long:  `Deletes what was made over PF_KEY, as setkey -F does, and with --policies the policies, as setkey -FP. What a daemon's own IKE keeps stays.`,
		Example: `  natterjack pfkey flush
  natterjack pfkey flush esp
  natterjack pfkey flush --policies`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeFlush}}
			switch {
			case policies && len(args) > 0:
				return usagef("policies have no protocol of IPsec: leave out %q or --policies", args[0])
			case policies:
				m.Type = pfkey.TypeSPDFlush
			case len(args) > 0:
				var err error
				if m.SAType, err = protoNamed(args[0]); err != nil {
					return err
				}
			}
			return p.ask(cmd.Context(), m)
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVarP(&policies, "policies", "P", false, "delete the policies, not the SAs")
	return cmd
}

// pfkeyMonitorCommand is `natterjack pfkey monitor`.
func pfkeyMonitorCommand() *cobra.Command {
	var p pfkeyPath
	var all bool
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Show the messages that key daemons and the engine exchange, until interrupted",
		Long: `Registers for all kinds of SAs and prints what a registered key daemon is told: SAs that are wanted (ACQUIRE), that expire, whose peer has
a new address (NAT_T_NEW_MAPPING), and what others add and delete. With --all it sees the requests of all others too, as setkey -x
does. Keys are never printed.`,
		Example: `  natterjack pfkey monitor
  natterjack pfkey monitor --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if err := p.watch(cmd.Context(), c, all); err != nil {
				return err
			}
			for {
				m, err := c.Receive(cmd.Context())
				if cmd.Context().Err() != nil {
					return nil // interrupted, which is how watching ends
				}
				if err != nil {
					return pfkeyFailure(&p, 0, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", time.Now().Format("15:04:05.000"), cleanLines(m.Text(c.Dialect())))
			}
		},
	}
	p.flags(cmd)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show the requests of others too (promiscuous)")
	return cmd
}

// watch registers for everything.
func (p *pfkeyPath) watch(ctx context.Context, c *port.Conn, all bool) error {
	requests := []*pfkey.Message{
		{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}, {Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeAH}},
		{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeIPComp}}}
	if all {
		requests = append(requests, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypePromisc, SAType: 1}})
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	for _, m := range requests {
		if _, err := c.Request(ctx, m); err != nil {
			return pfkeyFailure(p, m.Type, err)
		}
	}
	return nil
}

// cleanLines makes text of several lines harmless for a terminal.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		rest := strings.TrimLeft(line, "\t")
		lines[i] = line[:len(line)-len(rest)] + clean(rest)
	}
	return strings.Join(lines, "\n")
}

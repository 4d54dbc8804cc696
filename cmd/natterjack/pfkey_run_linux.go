// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// `natterjack pfkey run`: an unmodified key daemon on our PF_KEY and our ESP.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/keyhost"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/port/redirect"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// runExec is the hidden command that becomes the program.
const runExec = "run-exec"

// statusError is the exit status of a program that was run.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the program ended with status %d", int(e)) }

// pfkeyRunCommands are `natterjack pfkey run` and what it needs.
func pfkeyRunCommands() []*cobra.Command {
	f := &engineFlags{}
	var socket string
	run := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run an unmodified key daemon on our PF_KEY and our ESP",
		Long: `Runs a program that knows nothing of Natterjack and gives it Natterjack's PF_KEY where it asks for the kernel's: socket(AF_KEY) is answered
with a socket of ours, what is written to it is carried to the server before the call returns, IPsec policies of sockets succeed where they bypass, and
setsockopt(UDP_ENCAP) makes ESP on that port ours while IKE stays the program's. Nothing is preloaded and nothing has to be compiled: the
program may be static, fork, and give up its privileges. It needs Linux 5.14, on amd64 or arm64.

Without --socket the engine runs in this process and ends with the program. With it the engine is one of ` + "`natterjack pfkey serve`" + ` in the same
network namespace, whose path must speak linux; it may be restarted, and the program's sockets go on.

This is no sandbox: the program has the privileges that it was started with. Its exit status is this command's: 128 and the number of the
signal that ended it, 127 where there is no such program, 126 where it cannot be run.`,
		Example: `  natterjack pfkey run -- iked -d
  natterjack pfkey run --socket /run/natterjack/pfkey.sock -- racoon -F -f /etc/racoon/racoon.conf`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), cmd.ErrOrStderr(), socket, args)
		},
	}
	run.Flags().SetInterspersed(false)
	f.flags(run, "")
	run.Flags().StringVar(&socket, "socket", "", "use the engine whose PF_KEY socket is `PATH`")
	_ = run.MarkFlagFilename("socket", "sock")
	become := &cobra.Command{
		Use: runExec, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return redirect.Exec(args) },
	}
	return []*cobra.Command{run, become}
}

// The statuses of a program that is not there, or is none, as of a shell, env and nohup.
const (
	notFound      = statusError(127)
	notExecutable = statusError(126)
)

// look finds the program before anything is changed for it.
func look(stderr io.Writer, name string) error {
	_, err := exec.LookPath(name)
	if err == nil {
		return nil
	}
	fmt.Fprintf(stderr, "natterjack: %v\n", err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return notFound
	}
	return notExecutable
}

func (f *engineFlags) run(ctx context.Context, stderr io.Writer, socket string, args []string) error {
	if err := look(stderr, args[0]); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := redirect.Config{Self: []string{self, "pfkey", runExec}, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Server: socket}
	// Signals are the program's: it ends, and then this command does.
	ctx = context.WithoutCancel(ctx)
	if socket != "" {
		o, err := f.options()
		if err != nil {
			return err
		}
		return f.runBeside(ctx, stderr, c, o)
	}
	list, err := f.listening()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "natterjack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.Server = filepath.Join(dir, "pfkey")
	e, err := f.start(stderr)
	if err != nil {
		return err
	}
	list = append(list, listening{c.Server, port.Config{Dialect: pfkey.Linux}})
	for _, l := range list {
		if err := e.Listen(l.path, l.Config); err != nil {
			return errors.Join(err, e.close())
		}
	}
	e.announce("natterjack is the kernel of", "command", args[0])
	c.Engine, c.Log = e.Engine, e.log
	status, err := redirect.Run(ctx, c)
	e.count()
	if cerr := e.close(); cerr != nil {
		e.log.Error("not everything could be taken back; `natterjack cleanup` tries again", "reason", cerr)
	}
	return ended(status, err)
}

// runBeside runs the program on the engine of another process.
func (f *engineFlags) runBeside(ctx context.Context, stderr io.Writer, c redirect.Config, o config.DaemonOptions) error {
	if len(f.paths)+len(f.streams)+len(f.encaps) > 0 || f.dataPlane != "" {
		return usagef("--socket: the engine is another process's: --pfkey, --pfkey-stream, --encap and --data-plane are flags of that one")
	}
	c.Log = newLog(stderr, o)
	if unreadable := beUnreadable(); unreadable != nil { // what the program writes to its PF_KEY socket passes here
		c.Log.Warn("other processes of this user may read the keys in this one's memory", "reason", unreadable)
	}
	ports, err := keyhost.DialPorts(c.Server, c.Log)
	if err != nil {
		return fmt.Errorf("--socket %s: %w: is `natterjack pfkey serve` running there?", c.Server, err)
	}
	defer ports.Close()
	c.Engine = ports
	return ended(redirect.Run(ctx, c))
}

func ended(status int, err error) error {
	if err == nil && status != 0 {
		return statusError(status)
	}
	return err
}

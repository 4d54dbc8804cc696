// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/keyhost"
)

// runFlags are the flags of run. Those that were given win over the section daemon of the configuration.
type runFlags struct {
	src                                         source
	vici, dataPlane, logLevel, logFormat, state string
	pfkey                                       []string
	ipsec                                       string
	keyedPath                                   string // of ipsec; empty: the engine in this process
}

// choices are the values of flags that have few, the default first.
var (
	dataPlanes = []string{"auto", "tun", "netstack"}
	logLevels  = []string{"info", "debug", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// runCommand is `natterjack run`.
func runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: `Runs the daemon until it is told to end. It starts with or without a configuration: without one, the control socket loads it (swanctl
--load-all). It logs to standard error.

  SIGHUP            reads the configuration again; a broken one leaves the old one in force and says which line is wrong
  SIGTERM, SIGINT   deletes its SAs, takes back what it set on the host, and ends with status 0 within two seconds

With the data plane "tun" it makes an interface and needs root or CAP_NET_ADMIN. With "netstack" it needs no privilege: the TCP/IP of the
inner network is in this process, and what peers send to the selectors of this side goes on through this host's own sockets (TCP and
UDP); programs of this host do not see the tunnel. "auto" takes tun where it may, and says which it took and why. Ports below 1024 need
a privilege too: daemon { port = … port_nat_t = … } chooses others.`,
		Example: `  natterjack run
  natterjack run --config office.conf --log-level debug
  natterjack run --swanctl /etc/swanctl --vici unix:///run/natterjack/vici.sock
  natterjack run --config my.conf --data-plane netstack --vici ./vici.sock      # without root`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.ErrOrStderr(), f)
		},
	}
	f.src.flags(cmd)
	// What is not given comes from the configuration, and then from these defaults.
	cmd.Flags().StringVar(&f.vici, "vici", "", "the control socket: `PATH` or unix://PATH (default "+defaultVICI+")")
	_ = cmd.MarkFlagFilename("vici", "sock")
	choice(cmd, &f.dataPlane, "data-plane", "how inner packets enter and leave", dataPlanes)
	choice(cmd, &f.logLevel, "log-level", "the least level that is logged", logLevels)
	choice(cmd, &f.logFormat, "log-format", "the form of the log", logFormats)
	cmd.Flags().StringArrayVar(&f.pfkey, "pfkey", nil, "serve PF_KEY on this daemon's engine at `SOCKET[=freebsd|netbsd|linux]`; may be repeated")
	cmd.Flags().StringVar(&f.ipsec, "ipsec", "", "who does IPsec: `engine`, the one in this process, or pfkey:PATH, one behind PF_KEY (natterjack pfkey serve --pfkey PATH=freebsd) (default engine)")
	stateFlag(cmd, &f.state)
	return cmd
}

// choice is a flag with few values. It is empty unless given.
func choice(cmd *cobra.Command, v *string, name, what string, values []string) {
	cmd.Flags().StringVar(v, name, "", fmt.Sprintf("%s: `%s` (default %s)", what, strings.Join(values, "|"), values[0]))
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses values of flags that are none.
func (f *runFlags) check() error {
	for _, c := range []struct {
		name, value string
		values      []string
	}{{"data-plane", f.dataPlane, dataPlanes}, {"log-level", f.logLevel, logLevels}, {"log-format", f.logFormat, logFormats}} {
		if c.value != "" && !slices.Contains(c.values, c.value) {
			return usagef("--%s: expected %s, found %q", c.name, strings.Join(c.values, ", "), c.value)
		}
	}
	switch path, found := strings.CutPrefix(f.ipsec, "pfkey:"); {
	case found:
		var err error
		if f.keyedPath, err = parseKeyedPath(path); err != nil {
			return usagef("--ipsec: %v", err)
		}
		if len(f.pfkey) > 0 || f.dataPlane != "" {
			return usagef("--ipsec pfkey: --pfkey and --data-plane are for an engine in this process")
		}
	case f.ipsec != "" && f.ipsec != "engine":
		return usagef("--ipsec: expected engine or pfkey:PATH, found %q", f.ipsec)
	}
	for _, text := range f.pfkey {
		if _, _, err := keyhost.ParsePath(text); err != nil {
			return usagef("--pfkey: %v", err)
		}
	}
	if f.vici = strings.TrimPrefix(f.vici, "unix://"); strings.Contains(f.vici, "://") {
		return usagef("--vici: expected PATH or unix://PATH, found %q", f.vici)
	}
	return nil
}

// options are the configuration's with the flags in their places.
func (f *runFlags) options(c *config.Config) config.DaemonOptions {
	o := c.Daemon
	over := func(v *string, flag, absent string) {
		switch {
		case flag != "":
			*v = flag
		case *v == "":
			*v = absent
		}
	}
	over(&o.VICI, f.vici, defaultVICI)
	over(&o.DataPlane, f.dataPlane, dataPlanes[0])
	over(&o.LogLevel, f.logLevel, logLevels[0])
	over(&o.LogFormat, f.logFormat, logFormats[0])
	return o
}

// newLog makes the log of options that were checked.
func newLog(w io.Writer, o config.DaemonOptions) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[o.LogLevel]
	h := &slog.HandlerOptions{Level: level}
	if o.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}

// run runs the daemon until a signal ends it.
func run(stderr io.Writer, f *runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	unreadable := beUnreadable() // before any key is read
	// Before anything else is done: a signal during the start must not leave anything behind.
	hangup, end := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(hangup, syscall.SIGHUP)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(hangup)
	defer signal.Stop(end)
	c, name, err := f.src.load()
	if err != nil {
		return err
	}
	o := f.options(c)
	s := &service{log: newLog(stderr, o), opts: o, flags: f}
	if unreadable != nil {
		s.log.Warn("other processes of this user may read the keys in this one's memory", "reason", unreadable)
	}
	if err := s.start(c, name); err != nil {
		return errors.Join(err, s.close())
	}
	for {
		select {
		case <-hangup:
			// Its failure is in the log.
			_ = s.reload()
		case sig := <-end:
			s.log.Info("ending", "signal", sig.String())
			go func() {
				<-end // a second signal does not wait
				os.Exit(exitFailed)
			}()
			return s.close()
		}
	}
}

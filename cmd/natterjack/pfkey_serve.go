// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// `natterjack pfkey serve`: the kernel's part for key daemons that speak PF_KEY, without IKE of our own.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/natterjack/natterjack/daemon/config"
	"github.com/natterjack/natterjack/daemon/keyhost"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/wire/natt"
)

// engineFlags are the flags of an engine without IKE.
type engineFlags struct {
	paths, streams, encaps               []string
	dataPlane, device, logLevel, logForm string
	state                                string
	mtu                                  int
}

func (f *engineFlags) flags(cmd *cobra.Command, paths string) {
	cmd.Flags().StringArrayVar(&f.paths, "pfkey", nil, "serve PF_KEY at `PATH[=freebsd|netbsd|linux]`, messages kept apart (SOCK_SEQPACKET); may be repeated"+paths)
	cmd.Flags().StringArrayVar(&f.streams, "pfkey-stream", nil, "serve PF_KEY at `PATH[=freebsd|netbsd|linux]` as a stream of messages; may be repeated")
	cmd.Flags().StringArrayVar(&f.encaps, "encap", nil, "receive ESP in UDP at `PORT[=udp|udp-non-ike|cisco-udp]` without a key daemon that has the port: for manual keys; may be repeated")
	choice(cmd, &f.dataPlane, "data-plane", "how inner packets enter and leave", dataPlanes)
	cmd.Flags().StringVar(&f.device, "tun", tun.DefaultName, "the `NAME` of the interface")
	cmd.Flags().IntVar(&f.mtu, "mtu", 0, "the interface's `MTU` in octets; 0: "+strconv.Itoa(tun.DefaultMTU))
	choice(cmd, &f.logLevel, "log-level", "the least level that is logged", logLevels)
	choice(cmd, &f.logForm, "log-format", "the form of the log", logFormats)
	stateFlag(cmd, &f.state)
}

// options are what the data plane is opened with.
func (f *engineFlags) options() (config.DaemonOptions, error) {
	r := runFlags{dataPlane: f.dataPlane, logLevel: f.logLevel, logFormat: f.logForm}
	if err := r.check(); err != nil {
		return config.DaemonOptions{}, err
	}
	o := r.options(&config.Config{})
	o.Tun, o.MTU, o.Routes = f.device, f.mtu, true
	o.Port, o.PortNATT = 500, 4500
	return o, nil
}

// listening is one path and what it speaks.
type listening struct {
	path string
	port.Config
}

func (f *engineFlags) listening() ([]listening, error) {
	var list []listening
	for i, texts := range [][]string{f.paths, f.streams} {
		for _, text := range texts {
			path, d, err := keyhost.ParsePath(text)
			if err != nil {
				return nil, usagef("%v", err)
			}
			list = append(list, listening{path, port.Config{Dialect: d, Stream: i == 1}})
		}
	}
	return list, nil
}

// encapPort is one value of --encap.
type encapPort struct {
	port uint16
	mode natt.Mode
}

func (f *engineFlags) encapPorts() ([]encapPort, error) {
	var list []encapPort
	for _, text := range f.encaps {
		number, word, given := strings.Cut(text, "=")
		n, err := strconv.ParseUint(number, 10, 16)
		modes := []natt.Mode{natt.NonESP, natt.NonIKE, natt.CiscoUDP}
		i := slices.IndexFunc(modes, func(m natt.Mode) bool { return !given && m == natt.NonESP || m.String() == word })
		if err != nil || n == 0 || i < 0 {
			return nil, usagef("--encap: expected PORT or PORT=udp, =udp-non-ike or =cisco-udp, found %q", text)
		}
		list = append(list, encapPort{uint16(n), modes[i]})
	}
	return list, nil
}

// engine is an engine with what is around it.
type engine struct {
	*keyhost.Engine
	plane *dataPlane
	log   *slog.Logger
}

// startEngine starts what the flags say. After an error nothing is left.
func (f *engineFlags) start(stderr io.Writer) (e *engine, err error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	encaps, err := f.encapPorts()
	if err != nil {
		return nil, err
	}
	e = &engine{log: newLog(stderr, o)}
	if unreadable := beUnreadable(); unreadable != nil { // before any key is read
		e.log.Warn("other processes of this user may read the keys in this one's memory", "reason", unreadable)
	}
	if e.plane, err = openDataPlane(o, f.state, e.log); err != nil {
		return nil, err
	}
	ko := keyhost.Options{Device: e.plane.device, Log: e.log}
	if h := e.plane.host; h != nil {
		ko.Host, ko.Mark = h, h.Mark()
	}
	if e.Engine, err = keyhost.New(ko); err != nil {
		return nil, errors.Join(err, e.plane.close())
	}
	for _, p := range encaps {
		if err := e.encap(p); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	return e, nil
}

// encap binds a port for ESP alone, in both families where there are two.
func (e *engine) encap(p encapPort) error {
	for i, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		conn, err := e.BindIKE(netip.AddrPortFrom(a, p.port), p.mode, natt.Strict)
		if err != nil && i == 0 {
			return err
		}
		if err != nil {
			e.log.Warn("no IPv6", "port", p.port, "reason", err)
			continue
		}
		go nobodyReads(conn)
	}
	return nil
}

// nobodyReads empties a port for which there is no key daemon, until it is closed.
func nobodyReads(conn net.PacketConn) {
	var b [1]byte
	for {
		if _, _, err := conn.ReadFrom(b[:]); err != nil {
			return
		}
	}
}

// close takes back what was changed of the host.
func (e *engine) close() error {
	err := e.Engine.Close() // the device as well; the host's changes are the plane's
	return errors.Join(err, e.plane.close())
}

// announce is the start-up line, and one for everything that this host could not be given.
func (e *engine) announce(what string, args ...any) {
	e.log.Info(what, append([]any{"version", version(), "data_plane", e.plane.mode, "device", e.plane.device.Name(), "because", e.plane.why}, args...)...)
	list := e.Warnings()
	if e.plane.host != nil {
		list = append(list, e.plane.host.Warnings()...)
	}
	for _, w := range list {
		e.log.Warn(w)
	}
}

// pfkeyServeCommand is `natterjack pfkey serve`.
func pfkeyServeCommand() *cobra.Command {
	f := &engineFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be the kernel for key daemons that speak PF_KEY, in the foreground",
		Long: `Runs an engine without IKE: SAs and policies come by PF_KEY, from key daemons or from ` + "`natterjack pfkey add`" + `. What policies say must be
protected is routed into an interface and kept out of the clear; ESP, AH and IPComp are done in this process. Packets that meet no policy
pass, as with a kernel. A client cannot choose what it speaks, so each path has a dialect; without one it is this system's.

On Linux an unmodified daemon is started by ` + "`natterjack pfkey run --socket PATH -- COMMAND`" + `. Whoever may open the sockets may change every SA:
they are for root and the user who runs this (mode 0600, and the peer's credentials are checked).

  SIGTERM, SIGINT, SIGHUP   takes back what it set on the host and ends with status 0; SAs and policies end with it`,
		Example: `  natterjack pfkey serve
  natterjack pfkey serve --pfkey /run/natterjack/pfkey.sock=freebsd --pfkey /run/natterjack/linux.sock=linux
  natterjack pfkey serve --pfkey-stream /var/run/pfkey.stream --encap 4500`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.ErrOrStderr()) },
	}
	f.flags(cmd, " (default "+defaultPFKey+")")
	return cmd
}

func (f *engineFlags) serve(stderr io.Writer) error {
	end := make(chan os.Signal, 2)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(end)
	if len(f.paths)+len(f.streams) == 0 {
		f.paths = []string{defaultPFKey}
	}
	list, err := f.listening()
	if err != nil {
		return err
	}
	e, err := f.start(stderr)
	if err != nil {
		return err
	}
	var at []string
	for _, l := range list {
		if err := e.Listen(l.path, l.Config); err != nil {
			return errors.Join(err, e.close())
		}
		if err := e.ListenPorts(l.path); err != nil && l.Dialect == port.HostDialect() {
			return errors.Join(err, e.close())
		}
		at = append(at, fmt.Sprintf("%s=%s", l.path, l.Dialect))
	}
	e.announce("natterjack serves PF_KEY", "pfkey", strings.Join(at, " "))
	sig := <-end
	e.log.Info("ending", "signal", sig.String())
	go func() {
		<-end // a second signal does not wait
		os.Exit(exitFailed)
	}()
	e.count()
	return e.close()
}

// count logs what was carried.
func (e *engine) count() {
	n, unsent, notPassed, deviceErrors := e.Counters()
	args := []any{"unsent", unsent, "not_passed", notPassed, "device_errors", deviceErrors, "lost_messages", e.Server().Lost()}
	for i, v := range n {
		if v != 0 {
			args = append(args, "n"+strconv.Itoa(i), v)
		}
	}
	e.log.LogAttrs(context.Background(), slog.LevelDebug, "the engine counted", slog.Group("counters", args...))
}

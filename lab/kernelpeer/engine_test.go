// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The lab's own program in the client's namespace: an engine whose SAs can begin at any sequence number. It is told by its standard
// input, a line for each thing.

package kernelpeer

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/natterjack/natterjack/daemon/keyhost"
	"github.com/natterjack/natterjack/lab/netlab"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/port/tun"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// helpers are the programs by the names that StartHelper gives.
func helpers() map[string]func(args []string) error {
	return map[string]func([]string) error{"engine": engineMain}
}

// helperMain runs the program that this process is, if it is one of this package's.
func helperMain() {
	if os.Getenv("NETLAB_HELPER") == "" || len(os.Args) < 2 || helpers()[os.Args[1]] == nil {
		return
	}
	if err := helpers()[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// engineMain is `pfkey serve` without a host: routes are the lab's. Arguments: the interface's name, the path of the socket (FreeBSD's
// dialect). A line "PROTOCOL SPI DST out|in SEQ" sets where an SA begins.
func engineMain(args []string) error {
	device, err := tun.Open(args[0], 1400)
	if err != nil {
		return err
	}
	e, err := keyhost.New(keyhost.Options{Device: device, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Listen(args[1], port.Config{Dialect: pfkey.FreeBSD}); err != nil {
		return err
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var proto uint8
		var spi uint32
		var dst, way string
		var seq uint64
		if _, err := fmt.Sscanf(lines.Text(), "%d %v %s %s %d", &proto, &spi, &dst, &way, &seq); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		addr, err := netip.ParseAddr(dst)
		if err != nil {
			return err
		}
		if err := e.StartAt(proto, spi, addr, way == "out", seq); err != nil {
			return err
		}
		fmt.Println("started")
	}
	return nil
}

// tell writes a line to a program of this file and waits for its answer.
func tell(t *testing.T, p *netlab.Process, want, format string, args ...any) {
	t.Helper()
	if format != "" {
		if _, err := fmt.Fprintf(p.Stdin, format+"\n", args...); err != nil {
			t.Fatalf("%v: %s", err, p.Log())
		}
	}
	select {
	case line, ok := <-p.Lines:
		if !ok || line != want {
			t.Fatalf("%q, expected %q: %s", line, want, p.Log())
		}
	case <-time.After(upLimit):
		t.Fatalf("no %q: %s", want, p.Log())
	}
}

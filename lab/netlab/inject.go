// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// IPv4 packets sent as they are, whoever they say that they are from: replays of what was captured, and what no peer would send. The
// packets are a test's.

package netlab

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Injector sends packets in a namespace.
type Injector struct{ proc *Process }

// StartInjector starts one.
func (s *Space) StartInjector() *Injector {
	s.lab.Helper()
	i := &Injector{s.StartHelper("inject", "inject")}
	i.proc.Line(injectLimit)
	return i
}

const injectLimit = 10 * time.Second

// Send sends a packet, IP header included, and returns when the kernel has taken it.
func (i *Injector) Send(packet []byte) {
	i.proc.lab.Helper()
	if _, err := fmt.Fprintf(i.proc.Stdin, "%x\n", packet); err != nil {
		i.proc.lab.Fatalf("inject: %v: %s", err, i.proc.Log())
	}
	i.proc.Line(injectLimit)
}

// Close ends it.
func (i *Injector) Close() { i.proc.Kill() }

// inject sends the packets of its standard input, each a line of hexadecimal digits.
func inject([]string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<18) // two digits an octet
	for lines.Scan() {
		b, err := hex.DecodeString(lines.Text())
		if err != nil || len(b) < 20 {
			return errors.Join(errors.New("inject: expected an IPv4 packet"), err)
		}
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: [4]byte(b[16:20])}); err != nil {
			return err
		}
		fmt.Println("sent")
	}
	return lines.Err()
}

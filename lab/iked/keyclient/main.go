// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Command keyclient is a PF_KEY client as impatient as OpenIKED, written by hand on socket(AF_KEY) and nothing of ours: each answer
// must be readable a millisecond after the write has returned. It is built static. Its arguments: ROUNDS, or "get" for a GET of an
// SA that does not exist, again and again, once for each line of standard input.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// Numbers of RFC 2367 and <linux/pfkeyv2.h>.
const (
	afKey, pfKeyV2 = 15, 2

	getSPI, update, add, del, get, register = 1, 2, 3, 4, 5, 7
	satypeESP                               = 3

	extSA, extSrc, extDst, extKeyAuth, extKeyEncrypt, extRange = 1, 5, 6, 8, 9, 16

	authSHA512, encryptAES = 7, 12
)

// answerLimit is OpenIKED's.
const answerLimit = time.Millisecond

type client struct {
	fd   int
	seq  uint32
	lost int
	took time.Duration
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("expected ROUNDS or get")
	}
	fd, err := syscall.Socket(afKey, syscall.SOCK_RAW, pfKeyV2)
	if err != nil {
		return fmt.Errorf("socket(AF_KEY): %w", err)
	}
	c := &client{fd: fd}
	if _, err := c.ask(register, nil); err != nil {
		return err
	}
	if args[0] == "get" {
		fmt.Println("ready")
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			errno, err := c.ask(get, append(sa(0x12345, 0, 0), addresses()...))
			fmt.Println(errno, err)
		}
		return in.Err()
	}
	rounds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range rounds {
		if err := c.round(uint32(i)); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	fmt.Println("rounds", rounds, "lost", c.lost, "mean", c.took/time.Duration(c.seq))
	return nil
}

// round is a rekeying: an SPI, keys for it, an SA for the other direction, and the end of both.
func (c *client) round(n uint32) error {
	spi := 0x10000 + 2*n
	keys := append(key(extKeyAuth, 64), key(extKeyEncrypt, 32)...)
	rangeExt := make([]byte, 16)
	header(rangeExt, extRange)
	binary.NativeEndian.PutUint32(rangeExt[4:], spi)
	binary.NativeEndian.PutUint32(rangeExt[8:], spi)
	for _, step := range []struct {
		kind byte
		body []byte
	}{
		{getSPI, append(rangeExt, addresses()...)},
		{update, append(append(sa(spi, authSHA512, encryptAES), addresses()...), keys...)},
		{add, append(append(sa(spi+1, authSHA512, encryptAES), addresses()...), keys...)},
		{del, append(sa(spi, 0, 0), addresses()...)},
		{del, append(sa(spi+1, 0, 0), addresses()...)},
	} {
		errno, err := c.ask(step.kind, step.body)
		if err != nil {
			return err
		}
		if errno != 0 {
			return fmt.Errorf("message %d: errno %d", step.kind, errno)
		}
	}
	return nil
}

// ask sends a request and reads until its answer has come. One that is not there in time is counted, and waited for longer.
func (c *client) ask(kind byte, body []byte) (errno byte, err error) {
	c.seq++
	m := make([]byte, 16, 16+len(body))
	m[0], m[1], m[3] = pfKeyV2, kind, satypeESP
	binary.NativeEndian.PutUint16(m[4:], uint16((16+len(body))/8))
	binary.NativeEndian.PutUint32(m[8:], c.seq)
	binary.NativeEndian.PutUint32(m[12:], uint32(os.Getpid()))
	begin := time.Now()
	if _, err := syscall.Write(c.fd, append(m, body...)); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	c.took += time.Since(begin)
	buf := make([]byte, 65536)
	for limit := answerLimit; ; {
		ready, err := poll(c.fd, limit)
		if err != nil {
			return 0, err
		}
		if !ready {
			if limit > answerLimit {
				return 0, errors.New("no answer at all")
			}
			c.lost++
			limit = time.Second
			continue
		}
		n, err := syscall.Read(c.fd, buf)
		if err != nil || n < 16 {
			return 0, fmt.Errorf("read: %d %w", n, err)
		}
		if buf[1] == kind && binary.NativeEndian.Uint32(buf[8:]) == c.seq && binary.NativeEndian.Uint32(buf[12:]) == uint32(os.Getpid()) {
			return buf[2], nil
		}
	}
}

// poll waits until there is something to read.
func poll(fd int, limit time.Duration) (bool, error) {
	p := struct {
		fd              int32
		events, revents int16
	}{int32(fd), 1, 0}
	ts := syscall.NsecToTimespec(int64(limit))
	for {
		n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		switch errno {
		case 0:
			return n > 0, nil
		case syscall.EINTR:
			continue
		}
		return false, errno
	}
}

func header(b []byte, kind uint16) {
	binary.NativeEndian.PutUint16(b, uint16(len(b)/8))
	binary.NativeEndian.PutUint16(b[2:], kind)
}

func sa(spi uint32, auth, encrypt byte) []byte {
	b := make([]byte, 16)
	header(b, extSA)
	binary.BigEndian.PutUint32(b[4:], spi)
	b[8], b[9], b[10], b[11] = 64, 1, auth, encrypt
	return b
}

// addresses are those of a tunnel that nobody uses.
func addresses() []byte {
	var all []byte
	for i, kind := range []uint16{extSrc, extDst} {
		b := make([]byte, 24)
		header(b, kind)
		binary.NativeEndian.PutUint16(b[8:], syscall.AF_INET)
		copy(b[12:], []byte{192, 0, 2, byte(1 + i)})
		all = append(all, b...)
	}
	return all
}

func key(kind uint16, octets int) []byte {
	b := make([]byte, 8+octets)
	header(b, kind)
	binary.NativeEndian.PutUint16(b[4:], uint16(8*octets))
	for i := range b[8:] {
		b[8+i] = byte(i)
	}
	return b
}

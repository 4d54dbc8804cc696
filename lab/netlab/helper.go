// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The programs that run inside namespaces: the test binary itself, told so by its environment. They measure what passes a
// tunnel: a TCP transfer each way whose payload repeats a pattern, datagrams that are counted, streams as fast as may be.

package netlab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	helperVariable = "NETLAB_HELPER"
	// helperLimit bounds every helper's connection.
	helperLimit = 60 * time.Second
	// PatternLen is the length of the pattern that a payload repeats; blockLen of a block, the rest of which is random,
	// so that a hash sees octets that moved.
	PatternLen, blockLen = 32, 128
)

// Main runs the helper that this process is, if it is one, and does not return then. TestMain calls it first.
func Main() {
	if os.Getenv(helperVariable) == "" {
		return
	}
	if err := helper(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func helper(args []string) error {
	if len(args) == 0 {
		return errors.New("helper: no name")
	}
	programs := map[string]func([]string) error{
		"transfer-server": transferServer, "transfer-client": transferClient, "udp-count": udpCount, "udp-send": udpSend,
		"tcp-sink": tcpSink, "tcp-blast": tcpBlast, "udp-blast": udpBlast, "box": boxMain, "inject": inject,
	}
	run := programs[args[0]]
	if run == nil {
		return fmt.Errorf("helper %q: unknown", args[0])
	}
	return run(args[1:])
}

// say writes a line of JSON to standard output.
func say(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", b)
	return err
}

// payload gives n octets: blocks of the pattern and octets drawn from the seed.
type payload struct {
	pattern []byte
	random  *rand.ChaCha8
	left    int
	block   bytes.Reader
}

func newPayload(pattern []byte, seed byte, n int) *payload {
	var key [32]byte
	copy(key[:], pattern)
	key[0] ^= seed
	return &payload{pattern: pattern, random: rand.NewChaCha8(key), left: n}
}

func (p *payload) Read(b []byte) (int, error) {
	if p.block.Len() == 0 {
		if p.left <= 0 {
			return 0, io.EOF
		}
		block := make([]byte, blockLen)
		_, _ = p.random.Read(block[copy(block, p.pattern):])
		block = block[:min(blockLen, p.left)]
		p.left -= len(block)
		p.block.Reset(block)
	}
	return p.block.Read(b)
}

// sums is what one end of a transfer says: hashes of what it sent and of what it received.
type sums struct {
	Sent, Received           string
	SentOctets, Octets       int64
	Seconds                  float64
	LocalAddress, PeerAddres string
}

// exchange sends n octets and receives until the peer ends, both at once.
func exchange(c *net.TCPConn, pattern []byte, seed byte, n int) (sums, error) {
	_ = c.SetDeadline(time.Now().Add(helperLimit))
	sent, received := sha256.New(), sha256.New()
	begin := time.Now()
	var out int64
	var sendErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 64*1024)
		out, sendErr = io.CopyBuffer(struct{ io.Writer }{c}, io.TeeReader(bufferedPayload(pattern, seed, n), sent), buf)
		if sendErr == nil {
			sendErr = c.CloseWrite()
		}
	})
	in, err := io.Copy(received, c)
	wg.Wait()
	return sums{Sent: hex.EncodeToString(sent.Sum(nil)), Received: hex.EncodeToString(received.Sum(nil)), SentOctets: out, Octets: in,
		Seconds: time.Since(begin).Seconds(), LocalAddress: c.LocalAddr().String(), PeerAddres: c.RemoteAddr().String(),
	}, errors.Join(sendErr, err)
}

func bufferedPayload(pattern []byte, seed byte, n int) io.Reader {
	b, _ := io.ReadAll(newPayload(pattern, seed, n))
	return bytes.NewReader(b)
}

// transferArgs are ADDRESS OCTETS PATTERN [SOURCE].
func transferArgs(args []string) (addr string, n int, pattern []byte, source *net.TCPAddr, err error) {
	if len(args) < 3 {
		return "", 0, nil, nil, errors.New("expected ADDRESS OCTETS PATTERN")
	}
	if n, err = strconv.Atoi(args[1]); err != nil {
		return "", 0, nil, nil, err
	}
	if pattern, err = hex.DecodeString(args[2]); err != nil {
		return "", 0, nil, nil, err
	}
	if len(args) > 3 && args[3] != "" {
		source = &net.TCPAddr{IP: net.ParseIP(args[3])}
	}
	return args[0], n, pattern, source, nil
}

func transferServer(args []string) error {
	addr, n, pattern, _, err := transferArgs(args)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if err := say("ready"); err != nil {
		return err
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(helperLimit))
	c, err := l.Accept()
	if err != nil {
		return err
	}
	s, err := exchange(c.(*net.TCPConn), pattern, 's', n)
	if err != nil {
		return err
	}
	return say(s)
}

func transferClient(args []string) error {
	addr, n, pattern, source, err := transferArgs(args)
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	if source != nil {
		d.LocalAddr = source
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	s, err := exchange(c.(*net.TCPConn), pattern, 'c', n)
	if err != nil {
		return err
	}
	return say(s)
}

// udpCount counts datagrams at ADDRESS until standard input ends, then says how many, and how many octets.
func udpCount(args []string) error {
	c, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return err
	}
	_ = c.(*net.UDPConn).SetReadBuffer(8 << 20)
	if err := say("ready"); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = c.SetReadDeadline(time.Now())
	}()
	var count counted
	buf := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return say(count)
		}
		if count.Packets == 0 {
			count.From = from.String()
		}
		count.Packets++
		count.Octets += int64(n)
	}
}

type counted struct {
	Packets, Octets int64
	From            string
}

// transparent lets a socket send from addresses that are not the host's.
func transparent(network, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1)
		}
	})
	return errors.Join(cerr, err)
}

// udpSend sends COUNT datagrams of SIZE octets from SOURCE, which may be forged, to ADDRESS.
func udpSend(args []string) error {
	if len(args) != 4 {
		return errors.New("expected SOURCE ADDRESS COUNT SIZE")
	}
	local, err := net.ResolveUDPAddr("udp", args[0])
	if err != nil {
		return err
	}
	remote, err := net.ResolveUDPAddr("udp", args[1])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	d := net.Dialer{LocalAddr: local, Control: transparent}
	c, err := d.Dial("udp", remote.String())
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, size)
	for range n {
		if _, err := c.Write(b); err != nil {
			_, _ = c.Write(b) // that was the ICMP error of an earlier datagram, and nothing was sent
		}
		time.Sleep(time.Millisecond)
	}
	return say("sent")
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The helpers of the benchmark: one TCP stream for a while, datagrams as fast as the socket takes them.

package netlab

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
)

// flow is what a stream's receiver says.
type flow struct {
	Octets  int64
	Seconds float64
}

// tcpSink receives one connection at ADDRESS and says how fast it was, or sends for SECONDS where these are given.
func tcpSink(args []string) error {
	l, err := net.Listen("tcp", args[0])
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
	defer c.Close()
	return stream(c, args[1:])
}

// tcpBlast is the other end of tcpSink: it sends for SECONDS to ADDRESS, or receives where none are given.
func tcpBlast(args []string) error {
	c, err := net.DialTimeout("tcp", args[0], 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	return stream(c, args[1:])
}

func stream(c net.Conn, args []string) error {
	_ = c.SetDeadline(time.Now().Add(helperLimit))
	buf := make([]byte, 256*1024)
	begin := time.Now()
	if len(args) == 0 {
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, buf)
		if err != nil {
			return err
		}
		return say(flow{n, time.Since(begin).Seconds()})
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return err
	}
	var n int64
	for end := begin.Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); {
		m, err := c.Write(buf)
		if err != nil {
			return err
		}
		n += int64(m)
	}
	return say(flow{n, time.Since(begin).Seconds()})
}

// blastBatch is how many datagrams one system call sends.
const blastBatch = 32

// udpBlast sends datagrams of SIZE octets to ADDRESS for SECONDS, at most RATE a second.
func udpBlast(args []string) error {
	if len(args) != 4 {
		return errors.New("expected ADDRESS SIZE SECONDS RATE")
	}
	var v [3]int
	for i := range v {
		var err error
		if v[i], err = strconv.Atoi(args[1+i]); err != nil {
			return err
		}
	}
	size, seconds, rate := v[0], v[1], v[2]
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	batch := make([]ipv4.Message, blastBatch)
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, size)}
	}
	pc := ipv4.NewPacketConn(c.(*net.UDPConn))
	begin := time.Now()
	var sent int64
	for {
		took := time.Since(begin)
		if took > time.Duration(seconds)*time.Second {
			return say(counted{Packets: sent, Octets: sent * int64(size)})
		}
		if float64(sent) > took.Seconds()*float64(rate) {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		n, err := pc.WriteBatch(batch, 0)
		if err != nil {
			continue // a full queue, or an ICMP error of an earlier datagram
		}
		sent += int64(n)
	}
}

// Stream sends one TCP stream for some seconds between two spaces, and returns what its receiver saw in Mbit/s.
func (l *Lab) Stream(client, server *Space, addr string, back bool, seconds float64) float64 {
	l.Helper()
	at := net.JoinHostPort(addr, transferPort)
	duration := []string{strconv.FormatFloat(seconds, 'f', -1, 64)}
	sink, blast := append([]string{"tcp-sink", at}, duration...), []string{"tcp-blast", at}
	if !back {
		sink, blast = []string{"tcp-sink", at}, append([]string{"tcp-blast", at}, duration...)
	}
	s := server.StartHelper("tcp-sink", sink...)
	defer s.Kill()
	s.Line(5 * time.Second)
	c := client.StartHelper("tcp-blast", blast...)
	defer c.Kill()
	receiver := s
	if back {
		receiver = c
	}
	var f flow
	if err := json.Unmarshal([]byte(receiver.Line(helperLimit)), &f); err != nil {
		l.Fatal(err)
	}
	return float64(f.Octets) * 8 / f.Seconds / 1e6
}

// Packets offers datagrams at a rate for some seconds, and returns how many a second arrived, and how many were offered.
func (l *Lab) Packets(client, server *Space, addr string, payload, seconds, rate int) (arrived, offered float64) {
	l.Helper()
	at := net.JoinHostPort(addr, "7778")
	counter := server.CountUDP(at)
	p := client.StartHelper("udp-blast", "udp-blast", at, strconv.Itoa(payload), strconv.Itoa(seconds), strconv.Itoa(rate))
	var sent counted
	if err := json.Unmarshal([]byte(p.Line(helperLimit)), &sent); err != nil {
		l.Fatal(err)
	}
	p.Kill()
	time.Sleep(300 * time.Millisecond)
	got, _, _ := counter.Stop()
	counter.proc.Kill()
	return float64(got) / float64(seconds), float64(sent.Packets) / float64(seconds)
}

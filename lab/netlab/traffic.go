// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// What the labs send through a tunnel.

package netlab

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"
)

// Transfer is a TCP transfer each way through a tunnel.
type Transfer struct {
	From, To *Space
	Source   string // empty: the kernel's choice
	Addr     string
	Octets   int // each way
	Pattern  []byte
}

const transferPort = "7777"

// NewPattern draws the pattern that a payload repeats.
func NewPattern() []byte {
	b := make([]byte, PatternLen)
	_, _ = rand.Read(b)
	return b
}

// Transfer moves octets each way and fails unless the hashes are equal. It returns the address that the server saw.
func (l *Lab) Transfer(tr Transfer) (client string, took time.Duration) {
	l.Helper()
	args := []string{net.JoinHostPort(tr.Addr, transferPort), strconv.Itoa(tr.Octets), hex.EncodeToString(tr.Pattern)}
	server := tr.To.StartHelper("transfer-server", append([]string{"transfer-server"}, args...)...)
	defer server.Kill()
	server.Line(5 * time.Second)
	c := tr.From.StartHelper("transfer-client", append([]string{"transfer-client"}, append(args, tr.Source)...)...)
	defer c.Kill()
	var cs, ss sums
	for _, end := range []struct {
		p *Process
		s *sums
	}{{c, &cs}, {server, &ss}} {
		if err := json.Unmarshal([]byte(end.p.Line(helperLimit)), end.s); err != nil {
			l.Fatalf("transfer: %v", err)
		}
	}
	switch {
	case cs.SentOctets != int64(tr.Octets) || ss.SentOctets != int64(tr.Octets) || ss.Octets != cs.SentOctets || cs.Octets != ss.SentOctets:
		l.Fatalf("transfer: octets differ: %+v %+v", cs, ss)
	case cs.Sent != ss.Received || ss.Sent != cs.Received:
		l.Fatalf("transfer: hashes differ: %+v %+v", cs, ss)
	}
	host, _, _ := net.SplitHostPort(ss.PeerAddres)
	return host, time.Duration(cs.Seconds * float64(time.Second))
}

// Pings is a series of echo requests under way.
type Pings struct {
	lab  *Lab
	proc *Process
}

// StartPings sends count echo requests, one each interval.
func (s *Space) StartPings(interval time.Duration, count int, args ...string) *Pings {
	s.lab.Helper()
	return &Pings{s.lab, s.Start("ping", nil, append([]string{"ping", "-n", "-q", "-W", "2", "-i", fmt.Sprintf("%.3f", interval.Seconds()),
		"-c", strconv.Itoa(count)}, args...)...)}
}

var pingStatistics = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// Lost waits for the end of the series and returns how many requests had no answer.
func (p *Pings) Lost() int {
	p.lab.Helper()
	_ = p.proc.Wait(helperLimit)
	p.proc.Kill()
	all := pingStatistics.FindAllStringSubmatch(p.proc.Log(), -1)
	if len(all) == 0 {
		p.lab.Fatalf("ping: %s", p.proc.Log())
	}
	m := all[len(all)-1]
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	return sent - received
}

// Counter counts datagrams.
type Counter struct {
	lab  *Lab
	proc *Process
}

// CountUDP starts to count datagrams at an address.
func (s *Space) CountUDP(addr string) *Counter {
	s.lab.Helper()
	c := &Counter{s.lab, s.StartHelper("udp-count", "udp-count", addr)}
	c.proc.Line(5 * time.Second)
	return c
}

// Stop returns how many datagrams came, how many octets, and from where the first.
func (c *Counter) Stop() (packets, octets int64, from string) {
	c.lab.Helper()
	c.proc.Stdin.Close()
	var n counted
	if err := json.Unmarshal([]byte(c.proc.Line(5*time.Second)), &n); err != nil {
		c.lab.Fatal(err)
	}
	return n.Packets, n.Octets, n.From
}

// SendUDP sends datagrams.
func (s *Space) SendUDP(source, addr string, count, size int) {
	s.lab.Helper()
	p := s.StartHelper("udp-send", "udp-send", source, addr, strconv.Itoa(count), strconv.Itoa(size))
	p.Line(10 * time.Second)
	p.Kill()
}

// SendForged sends datagrams whose source address is not this namespace's, by way of a neighbour.
func (s *Space) SendForged(source, target, via string, port, count int) {
	s.lab.Helper()
	s.IP("route replace " + target + " via " + via)
	s.SendUDP(net.JoinHostPort(source, "0"), net.JoinHostPort(target, strconv.Itoa(port)), count, 100)
}

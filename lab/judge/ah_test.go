// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

package judge

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/natterjack/natterjack/crypt/suite"
	"github.com/natterjack/natterjack/ipsec/ah"
)

// ahCase is one AH SA of ours with its job. In transport mode inner is the packet that AH is put into.
type ahCase struct {
	name    string
	integ   suite.Integ
	esn     bool
	tunnel  bool
	options bool
	v6      bool
	key     []byte
	inner   [][]byte
}

func ahCases() []*ahCase {
	var list []*ahCase
	for i := range authNames() {
		for n := range 16 {
			c := &ahCase{integ: i, esn: n&1 != 0, tunnel: n&2 != 0, options: n&4 != 0, v6: n&8 != 0, key: random(i.KeyLen())}
			c.name = fmt.Sprintf("AH %v, ESN %v, tunnel %v, options %v, IPv6 %v", i, c.esn, c.tunnel, c.options, c.v6)
			for k := range 4 {
				p := udp(c.v6, k*5)
				if c.options && !c.tunnel {
					p = withOptions(p)
				}
				c.inner = append(c.inner, p)
			}
			list = append(list, c)
		}
	}
	return list
}

// withOptions puts options behind the IPv4 header (router alert, which is covered, and record route, which is not), or extension
// headers behind the IPv6 header (hop-by-hop with router alert and an option that may change on the way, destination options).
func withOptions(p []byte) []byte {
	if p[0]>>4 == 4 {
		out := append(bytes.Clone(p[:20]), unhexed("9404000007070401020304"+"00")...)
		out = append(out, p[20:]...)
		out[0] += 3
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
		out[10], out[11] = 0, 0
		binary.BigEndian.PutUint16(out[10:], checksum(out[:32]))
		return out
	}
	chain := unhexed("3c01" + "05020000" + "3e04deadbeef" + "01020000" + "ff00" + "0104aabbccdd")
	chain[16] = p[6]
	out := append(bytes.Clone(p[:40]), chain...)
	out[6] = 0
	out = append(out, p[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

// front is what is in front of AH, with room for n octets more behind it, and what follows.
func (c *ahCase) front(inner []byte) (front, payload []byte, next uint8) {
	if c.tunnel {
		front = header(c.v6, ah.Proto, 0)
		if c.options {
			front = withOptions(front)
		}
		next = 4
		if c.v6 {
			next = 41
		}
		return front, inner, next
	}
	at := map[bool]int{false: 20, true: 40}[c.v6]
	if c.options {
		at += map[bool]int{false: 12, true: 24}[c.v6]
	}
	return bytes.Clone(inner[:at]), inner[at:], 17
}

// seal is the whole packet that we make.
func (c *ahCase) seal(t *testing.T, s *ah.Sealer, inner []byte) []byte {
	t.Helper()
	front, payload, next := c.front(inner)
	at := len(front)
	pkt := append(append(front, make([]byte, s.Len(c.v6))...), payload...)
	switch {
	case !c.v6:
		pkt[9] = ah.Proto
		binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
		pkt[10], pkt[11] = 0, 0
		binary.BigEndian.PutUint16(pkt[10:], checksum(pkt[:at]))
	default:
		pkt[6] = ah.Proto
		if c.options {
			pkt[6], pkt[56] = 0, ah.Proto
		}
		binary.BigEndian.PutUint16(pkt[4:], uint16(len(pkt)-40))
	}
	if err := s.Seal(pkt, at, next); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return pkt
}

func (c *ahCase) job(t *testing.T) job {
	t.Helper()
	j := job{Proto: "ah", Auth: authNames()[c.integ], AuthKey: hex.EncodeToString(c.key), SPI: testSPI, ESN: -1}
	if c.esn {
		j.ESN = 0
	}
	if c.tunnel {
		front, _, next := c.front(nil)
		if c.options && c.v6 {
			front[56] = next // scapy takes AH's next header from where AH will be named
		}
		j.Tunnel = hex.EncodeToString(front)
	}
	s, err := ah.NewSealer(testSPI, c.integ, key(c.key), c.esn, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, inner := range c.inner {
		j.Inner = append(j.Inner, hex.EncodeToString(inner))
		j.Packets = append(j.Packets, hex.EncodeToString(c.seal(t, s, inner)))
	}
	return j
}

func (c *ahCase) check(t *testing.T, a answer) {
	t.Helper()
	if a.Error != "" || len(a.Opened) != len(c.inner) || len(a.Sealed) != len(c.inner) {
		t.Errorf("%s: scapy opened %d and sealed %d of %d: %s", c.name, len(a.Opened), len(a.Sealed), len(c.inner), a.Error)
		return
	}
	o, err := ah.NewOpener(testSPI, c.integ, key(c.key), c.esn, 64)
	if err != nil {
		t.Fatal(err)
	}
	for i, inner := range c.inner {
		if a.Opened[i] != hex.EncodeToString(inner) {
			t.Errorf("%s: scapy opened\n%s, expected\n%x", c.name, a.Opened[i], inner)
		}
		pkt := unhex(t, a.Sealed[i])
		got, err := o.Open(pkt)
		_, payload, next := c.front(inner)
		if err != nil || got.Next != next || !bytes.Equal(got.Payload, payload) {
			t.Errorf("%s: scapy's packet %d: %v\n%x", c.name, i, err, pkt)
			continue
		}
		if out := ah.Strip(pkt, got); !c.tunnel && !bytes.Equal(out, inner) {
			t.Errorf("%s: scapy's packet %d without AH:\n%x, expected\n%x", c.name, i, out, inner)
		}
	}
}

func TestScapyAH(t *testing.T) {
	cases := ahCases()
	jobs := make([]job, len(cases))
	for i, c := range cases {
		jobs[i] = c.job(t)
	}
	for i, a := range ask(t, jobs) {
		cases[i].check(t, a)
	}
	t.Logf("%d SAs of %d algorithms", len(cases), len(authNames()))
}

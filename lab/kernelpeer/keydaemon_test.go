// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// The test as a key daemon: of the engine, by one connection that owns what it adds; of the guest's kernel, which tells it of new mappings.

package kernelpeer

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	secrets "github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/lab/qemu/agent"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// natSocket is the guest's AF_KEY socket.
const natSocket = "nat"

// write adds an SA by a connection.
func (c natCase) write(t *testing.T, conn net.Conn, spi int, src, dst string, out bool) {
	t.Helper()
	const port, nonESP = uint16(nonESPPort), uint8(pfkey.NATTNonESP)
	encrypt, known := pfkey.Linux.EncryptNamed(c.alg.ours[1])
	address := func(a string) *pfkey.Address {
		ip := netip.MustParseAddr(a)
		return &pfkey.Address{PrefixLen: uint8(ip.BitLen()), Sockaddr: pfkey.Addressed(netip.AddrPortFrom(ip, 0))}
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: pfkey.SATypeESP, Seq: uint32(spi)},
		SA:  &pfkey.SA{SPI: uint32(spi), Replay: 64, State: pfkey.StateMature, Encrypt: encrypt},
		Src: address(src), Dst: address(dst), NATType: new(nonESP), NATSrcPort: new(port), NATDstPort: new(port),
		SA2: &pfkey.SA2{Mode: pfkey.ModeTransport}}
	if c.tunnel {
		m.SA2.Mode = pfkey.ModeTunnel
	}
	k := secrets.New(key(spi, c.alg.encr))
	m.KeyEncrypt = &k
	if c.alg.auth > 0 {
		a := secrets.New(key(spi+64, c.alg.auth))
		auth, ok := pfkey.Linux.AuthNamed(c.alg.ours[3])
		m.KeyAuth, m.SA.Auth, known = &a, auth, known && ok
	}
	if c.oa && !out {
		_, far := manualCase{ipv6: c.ipv6}.outside()
		m.NATOAi = address(far)
	}
	codec := pfkey.Codec{Dialect: pfkey.Linux}
	b, err := codec.Append(nil, m)
	if err != nil || !known {
		t.Fatal(known, err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(upLimit))
	for { // what others change is told too
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Parse(answer[:n])
		if err != nil || got.Errno != 0 {
			t.Fatalf("ADD: %v %v", got, err)
		}
		if got.Type == pfkey.TypeAdd && got.Seq == m.Seq {
			return
		}
	}
}

// listen has the guest's AF_KEY socket hear of new mappings, and forgets those it heard of.
func (m *manual) listen(t *testing.T) {
	t.Helper()
	register, err := hex.DecodeString("02070003020000000100000001000000")
	if err != nil {
		t.Fatal(err)
	}
	var r agent.KeyRead
	m.guest.Call("KeyStep", agent.KeyWrite{Socket: natSocket, Octets: register}, &r)
	if r.Errno != 0 {
		t.Fatalf("REGISTER: errno %d", r.Errno)
	}
}

// mapping is where the kernel says that it has heard the client from.
func (m *manual) mapping(t *testing.T) netip.AddrPort {
	t.Helper()
	var seen netip.AddrPort
	m.Eventually(upLimit, "the kernel tells of a new mapping", func() (bool, string) {
		var r agent.KeyRead
		m.guest.Call("KeyStep", agent.KeyWrite{}, &r)
		for _, b := range r.Received[natSocket] {
			msg, err := pfkey.Codec{Dialect: pfkey.Linux}.Parse(b)
			if err == nil && msg.Type == pfkey.TypeNewMapping && msg.Dst != nil && msg.NATDstPort != nil && msg.SA != nil && msg.SA.SPI == natSPIOut {
				seen = netip.AddrPortFrom(msg.Dst.Addr, *msg.NATDstPort)
			}
		}
		return seen.IsValid(), m.kernelErrors()
	})
	return seen
}

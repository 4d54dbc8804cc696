// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux

package pfkey_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

func addNumber(i int) *pfkey.Message {
	auth, encrypt := secret.New(make([]byte, 20)), secret.New(make([]byte, 16))
	src := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeAdd, SAType: pfkey.SATypeESP}, SA: &pfkey.SA{SPI: uint32(0x10000 + i), Auth: 3, Encrypt: 12}, SA2: &pfkey.SA2{Mode: pfkey.ModeTunnel},
		Src: &pfkey.Address{PrefixLen: 32, Sockaddr: pfkey.Sockaddr{Addr: src}}, Dst: &pfkey.Address{PrefixLen: 32, Sockaddr: pfkey.Sockaddr{Addr: netip.MustParseAddr("192.0.2.1")}},
		KeyAuth: &auth, KeyEncrypt: &encrypt,
	}
}

// TestT098 has a hundred clients that read nothing and have a DUMP of 100,000 SAs run, others that register and leave, and a FLUSH in the
// middle of a DUMP that is read slowly (CVE-2017-16939, CVE-2022-3028): nobody waits for them, and who reads gets an end.
func TestT098(t *testing.T) {
	hub, path, ctx := started(t, pfkey.Linux, manySAs)
	dial := func() *port.Conn {
		c, err := port.Dial(ctx, path, pfkey.Linux)
		if err != nil {
			t.Error(err)
			panic(err)
		}
		return c
	}
	dump := &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump, Seq: 1, PID: 1}}
	for range 100 {
		c := dial()
		defer c.Close()
		if err := c.Send(ctx, dump); err != nil {
			t.Fatal(err)
		}
	}
	// Some of the hundred have the server's places for a DUMP until they leave; a client that finds none is told so.
	slow := dial()
	defer slow.Close()
	if err := slow.Dump(ctx, dump, func(*pfkey.Message) error { return nil }); !errors.Is(err, pfkey.EBUSY) {
		t.Errorf("one DUMP more than the server runs at once: %v, expected EBUSY", err)
	}
	var racers sync.WaitGroup
	for range 4 {
		racers.Go(func() {
			for range 50 {
				c := dial()
				if _, err := c.Request(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}}); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
	one := dial()
	defer one.Close()
	slowest := time.Duration(0)
	for i := range 300 {
		begin := time.Now()
		if _, err := one.Request(ctx, addNumber(manySAs+i)); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin))
	}
	racers.Wait()
	if _, err := one.Request(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeFlush}}); err != nil {
		t.Fatal(err)
	}
	if slowest > 2*time.Second {
		t.Errorf("a request was answered after %s", slowest)
	}
	err := one.Dump(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump}}, func(m *pfkey.Message) error {
		t.Errorf("an SA is left: %v", m)
		return nil
	})
	if err != nil && !errors.Is(err, pfkey.EBUSY) {
		t.Error(err)
	}
	t.Logf("slowest answer %s, %d messages lost by those who do not read", slowest, hub.Lost())
}

// started is a server with so many SAs behind a socket, and a context for what is done with it.
func started(t *testing.T, d pfkey.Dialect, sas int) (hub *port.Hub, path string, ctx context.Context) {
	t.Helper()
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	server := keysock.New(db, keysock.Config{Order: binary.NativeEndian})
	fill(t, server, sas)
	path = filepath.Join(t.TempDir(), "k")
	l, err := port.Listen(path, port.Config{Dialect: d})
	if err != nil {
		t.Fatal(err)
	}
	hub = port.NewHub(server, slog.New(slog.DiscardHandler))
	go hub.Serve(l)
	t.Cleanup(hub.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return hub, path, ctx
}

// fill adds the SAs without sockets.
func fill(t *testing.T, server *keysock.Server, n int) {
	t.Helper()
	now := time.Now()
	id, err := server.Attach(now, keysock.ClientInfo{Dialect: pfkey.Linux, Privileged: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Detach(now, id)
	codec := pfkey.Codec{Dialect: pfkey.Linux, Order: binary.NativeEndian}
	var b []byte
	for i := range n {
		m := addNumber(i)
		m.Seq = uint32(i + 1)
		if b, err = codec.Append(b[:0], m); err != nil {
			t.Fatal(err)
		}
		out, _ := server.Handle(now, id, b)
		if len(out) != 1 || out[0].Msg[2] != 0 {
			t.Fatalf("SA %d: %x", i, out)
		}
	}
}

// TestSlowDumpDuringFlush: the SAs go while a client reads its DUMP of them; it ends, and nothing that is gone is invented.
func TestSlowDumpDuringFlush(t *testing.T) {
	_, path, ctx := started(t, pfkey.Linux, manySAs/2)
	reader, err := port.Dial(ctx, path, pfkey.Linux)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	other, err := port.Dial(ctx, path, pfkey.Linux)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	n := 0
	err = reader.Dump(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump}}, func(m *pfkey.Message) error {
		if n++; n == 1000 {
			_, err := other.Request(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeFlush}})
			return err
		}
		return nil
	})
	if err != nil || n < 1000 || n >= manySAs/2 {
		t.Errorf("%d messages of the DUMP, %v: expected those before the FLUSH and what was on its way", n, err)
	}
}

// TestT096Sockets sends what no client should to the real server: each is answered with an errno, and another client is served all the
// while.
func TestT096Sockets(t *testing.T) {
	for _, d := range []pfkey.Dialect{pfkey.FreeBSD, pfkey.NetBSD, pfkey.Linux} {
		_, path, ctx := started(t, d, 0)
		other, err := port.Dial(ctx, path, d)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		raw, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer := make([]byte, pfkey.MaxMessage)
		good, err := other.Codec().Append(nil, addNumber(1))
		if err != nil {
			t.Fatal(err)
		}
		// Each octet of the lengths, types and small numbers in turn: whatever it becomes, there is an answer and no end.
		for at := range good {
			for _, v := range []byte{0, 1, 33, 0x7f, 0x80, 0xff} {
				b := bytes.Clone(good)
				if b[at] == v {
					continue
				}
				b[at] = v
				if _, err := raw.Write(b); err != nil {
					t.Fatalf("octet %d as %#x: %v", at, v, err)
				}
				if n, err := raw.Read(answer); err != nil || n < pfkey.HeaderLen {
					t.Fatalf("%v: octet %d as %#x was not answered: %d octets, %v", d, at, v, n, err)
				}
			}
		}
		for n := 1; n < len(good); n += 3 {
			if _, err := raw.Write(good[:n]); err != nil {
				t.Fatal(err)
			}
			if k, err := raw.Read(answer); err != nil || k < pfkey.HeaderLen || answer[2] == 0 {
				t.Fatalf("%v: %d of %d octets: %x %v", d, n, len(good), answer[:k], err)
			}
		}
		if _, err := other.Request(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeAH}}); err != nil {
			t.Errorf("%v: another client: %v", d, err)
		}
	}
}

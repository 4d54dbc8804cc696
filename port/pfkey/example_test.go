// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build unix

package pfkey_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/natterjack/natterjack/crypt/secret"
	"github.com/natterjack/natterjack/ipsec/keysock"
	"github.com/natterjack/natterjack/ipsec/sadb"
	port "github.com/natterjack/natterjack/port/pfkey"
	"github.com/natterjack/natterjack/wire/pfkey"
)

// Example is a key daemon's conversation with a server in the same process: it registers, reserves an SPI, completes its SA, and looks at it.
func Example() {
	dir, err := os.MkdirTemp("", "pfkey")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pfkey.sock")

	// The server: a database of SAs, the state machine in front of it, and a socket.
	db, err := sadb.New(time.Now(), sadb.Config{Rand: rand.Reader})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := port.Listen(path, port.Config{Dialect: pfkey.FreeBSD})
	if err != nil {
		fmt.Println(err)
		return
	}
	hub := port.NewHub(keysock.New(db, keysock.Config{Order: binary.NativeEndian}), slog.New(slog.DiscardHandler))
	go hub.Serve(listener)
	defer hub.Close()

	if err := daemon(path); err != nil {
		fmt.Println(err)
	}
	// Output:
	// algorithms for ESP: true
	// reserved an SPI, larval
	// an SA with hmac-sha256 is mature
}

// daemon is the client.
func daemon(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := port.Dial(ctx, path, pfkey.FreeBSD)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Request(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeRegister, SAType: pfkey.SATypeESP}})
	if err != nil {
		return err
	}
	fmt.Println("algorithms for ESP:", len(answer.SupportedEncrypt) > 0)

	peer := &pfkey.Address{PrefixLen: 32, Sockaddr: pfkey.Addressed(netip.MustParseAddrPort("198.51.100.1:0"))}
	me := &pfkey.Address{PrefixLen: 32, Sockaddr: pfkey.Addressed(netip.MustParseAddrPort("192.0.2.1:0"))}
	answer, err = c.Request(ctx, &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeGetSPI, SAType: pfkey.SATypeESP}, Src: peer, Dst: me,
		SPIRange: &pfkey.SPIRange{Min: 0xc0000000, Max: 0xcfffffff},
	})
	if err != nil {
		return err
	}
	fmt.Println("reserved an SPI,", answer.SA.State)

	auth, _ := pfkey.FreeBSD.AuthNamed("hmac-sha256")
	encrypt, _ := pfkey.FreeBSD.EncryptNamed("aes-cbc")
	// Keys come from an exchange with the peer, in a real daemon.
	keyAuth, keyEncrypt := secret.New(make([]byte, 32)), secret.New(make([]byte, 16))
	natt, port4500 := pfkey.NATTNonESP, uint16(4500)
	update := &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.TypeUpdate, SAType: pfkey.SATypeESP, Seq: answer.Seq},
		SA:     &pfkey.SA{SPI: answer.SA.SPI, Replay: 8, State: pfkey.StateMature, Auth: auth, Encrypt: encrypt},
		SA2:    &pfkey.SA2{Mode: pfkey.ModeTunnel}, Src: peer, Dst: me, KeyAuth: &keyAuth, KeyEncrypt: &keyEncrypt,
		NATType: &natt, NATSrcPort: &port4500, NATDstPort: &port4500,
	}
	if _, err = c.Request(ctx, update); err != nil {
		return err
	}
	return c.Dump(ctx, &pfkey.Message{Header: pfkey.Header{Type: pfkey.TypeDump}}, func(m *pfkey.Message) error {
		fmt.Println("an SA with", m.SA.Auth.Name(c.Dialect()), "is", m.SA.State)
		return nil
	})
}

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !unix

package pfkey

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/sys/windows"

	wire "github.com/natterjack/natterjack/wire/pfkey"
)

// Windows has stream sockets only.

func codec(d wire.Dialect) wire.Codec { return wire.Codec{Dialect: d, Order: binary.NativeEndian} }

func keepsMessages(*net.UnixConn) bool { return false }

func peek(*net.UnixConn, []byte) (int, error) { return 0, io.EOF }

func receive(*net.UnixConn, []byte, int) (int, error) { return 0, io.EOF }

func consume(*net.UnixConn) error { return io.EOF }

// tryWrite leaves it to the goroutine that may wait.
func tryWrite(_ *net.UnixConn, b []byte) (rest []byte, err error) { return b, nil }

func disconnected(err error) bool {
	return errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.WSAECONNABORTED)
}

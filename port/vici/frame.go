// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package vici is the control socket: a server and a client of VICI, strongSwan's control protocol, over a unix socket. What
// a client sends is not trusted: sizes, clients, queues and the time that a frame may take are bounded, and nothing the server
// calls ever waits for a client (HOSTILE T-100). The messages are package wire/vici; what commands mean is a [Service].
package vici

import (
	"io"
	"time"

	wire "github.com/natterjack/natterjack/wire/vici"
)

// The limits of the control socket. Its users are an administrator's tools: a handful at a time.
const (
	// maxClients is how many clients are served at once. One more takes the place of one that is idle.
	maxClients = 64
	// maxOutbox is how many octets may wait for one client: two of the largest packets. Events beyond it end the client.
	maxOutbox = 2 * (wire.MaxPacket + wire.HeaderLen)
	// maxOutboxPackets bounds their number: a burst of 100 logins with 20 log lines each.
	maxOutboxPackets = 2048
	// frameTime is how long a frame may take from its first octet to its last.
	frameTime = 10 * time.Second
	// writeTime is how long a client may take to read what was sent to it.
	writeTime = 10 * time.Second
	// maxEventNames is how many events one client may register; there are nine.
	maxEventNames = 32
	// firstPiece is how many octets of a frame are allocated before any were received; keys and secrets are smaller.
	firstPiece = 64 * 1024
	// maxPending is how many events a client of ours keeps while it waits for the reply of a command.
	maxPending = 4096
)

// readFrame reads one frame. Between frames the peer may be silent for ever; begun is called at the first octet of one, so that
// the caller can set a deadline. It returns io.EOF only where the stream ends between two frames. No more is allocated than
// was received, up to a factor of two.
func readFrame(r io.Reader, begun func()) ([]byte, error) {
	var header [wire.HeaderLen]byte
	if _, err := io.ReadFull(r, header[:1]); err != nil {
		return nil, err
	}
	begun()
	if _, err := io.ReadFull(r, header[1:]); err != nil {
		return nil, unexpected(err)
	}
	n, err := wire.Length(header)
	if err != nil {
		return nil, err
	}
	// A frame that may hold a key is read into one piece, so that it can be overwritten after use.
	b := make([]byte, min(n, firstPiece))
	for read := 0; ; {
		if _, err := io.ReadFull(r, b[read:]); err != nil {
			return nil, unexpected(err)
		}
		if len(b) == n {
			return b, nil
		}
		read = len(b)
		b = append(b, make([]byte, min(n-read, read))...)
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

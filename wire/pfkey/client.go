// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// The words in which sockets (port/pfkey) and a server (ipsec/keysock) speak of clients, here because neither imports the other.

package pfkey

// ClientID names a client of a server. It is never used again in the server's life.
type ClientID uint64

// ClientInfo is what the owner of the sockets knows of a client.
type ClientInfo struct {
	// Dialect is of the path that it connected to: it cannot be asked.
	Dialect Dialect
	// Privileged by its credentials: it may do everything and sees keys. Another may GET and DUMP.
	Privileged bool
}

// Delivery is a message for a client. Msg may be shared with other deliveries of the same call: who delivers them clears it when all are
// done, since there may be keys in it, and nobody else writes into it.
type Delivery struct {
	To  ClientID
	Msg []byte
}

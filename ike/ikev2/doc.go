// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ikev2 is IKEv2 (RFC 7296) as a machine: [SA] implements ike.Machine. It never blocks, reads a clock or does I/O.
//
// A machine holds one IKE SA and its successors; each is a generation (generation.go) with SPIs, keys and message IDs of
// its own. Children belong to the machine and pass from generation to generation.
//
// One file an exchange, each with the same functions in the same order:
//
//	ask     begins the exchange as its initiator
//	serve   answers the peer's request
//	finish  takes the peer's response
//
// Where a question must be asked in the middle (an SPI, a key exchange, a signature) the rest stands in a continuation that
// the answer resumes. While the peer's request is parked like that, its retransmissions are absorbed.
//
// Receive has three ends for a datagram: dropped (machine unchanged, nothing sent, one report), refused (a notify in the
// response) or fatal (Close with a reason).
package ikev2

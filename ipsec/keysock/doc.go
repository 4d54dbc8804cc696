// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package keysock is the server side of PF_KEY version 2 (RFC 2367) in front of sadb.DB, as a state machine: who may ask what, what
// is answered, and who else hears of it, with the differences between FreeBSD, NetBSD and Linux (NATT.md, Sections 1.6 and 2.5).
// Messages come from local processes: a privileged one may do whatever root may do with a kernel's IPsec, another may look, without
// keys. Neither is trusted to send well-formed messages; what either can make the server keep is bounded.
//
// A [Server] does no I/O, reads no clock and starts nothing: one owner calls its methods, with the time, and carries the
// deliveries to the sockets. A DUMP is fetched message by message with [Server.Next], so that a slow reader stalls nobody.
//
// What differs from the kernels on purpose is marked "Deviation:" in the code, and listed with reasons in oracle_test.go and
// lab/oracle:
//
//   - An error is answered with the bare header in all dialects (the BSDs send the request back, keys included).
//   - What a kernel refuses in write(2) is also answered as a message; Handle returns the errno for those that can fail a write.
//   - ESP without integrity protection, SPIs below 256 and keys of a wrong length are EINVAL.
//   - Keys of an SA that has keys do not change: an UPDATE with others is EINVAL (Linux ignores them, NetBSD takes them).
//   - A policy without requests is EINVAL (in Linux it lets everything out in the clear); a UDP port of zero is the well-known one.
//   - An UPDATE is the owner's in FreeBSD's dialect by connection, not by sadb_msg_pid, which anybody can write.
//   - EXPIRE, ACQUIRE and NEW_MAPPING go to those registered for their kind of SA, not to all that are registered for any.
//   - After an ACQUIRE has failed there is none for the same for a second (FreeBSD: ten packets or 20 s; Linux: 30 s).
//   - A policy for an ICMP type or code above 255 is EINVAL (in Linux it is one that no packet meets).
//   - What a daemon's dialect cannot say (a reqid of more than 16 bits to a BSD) is ERANGE to who asks for it, and left out of listings.
//   - Nobody can have the server deliver a message of his own making to other sockets (BSD's X_PROMISC with a message in it).
package keysock

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package pfkey has the messages of PF_KEY version 2 (RFC 2367) as real systems speak it: the SPD messages and NAT-T extensions of
// KAME, in the numbers and structures of FreeBSD, of NetBSD with ipsec-tools, and of Linux; those of OpenBSD can be read only.
// All input is from a local process, privileged or not, and is not trusted: every length is checked before it is used, what is kept
// is bounded, and what is refused is an [Error] with the field and the errno that a kernel answers.
//
// Everything is in the byte order of the host but SPIs, ports and addresses. A [Codec] is one dialect in one byte order, a [Message]
// a header with the extensions that are present. Reserved octets and padding are zeros in whatever is appended (CVE-2013-2234), and
// ignored in what is parsed, as kernels do. Keys are secret.Key; octets that a caller parsed or appended hold them in the clear,
// and are the caller's to clear.
//
// Extensions that a dialect does not know: Linux skips them, so they are not in the Message; the BSDs refuse them with EINVAL.
// RFC 2367, Section 2.3 asks for the former. An extension twice, of length 0 or longer than its message is EINVAL everywhere.
package pfkey

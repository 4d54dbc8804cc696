// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package hostile has the cases of the hostile catalogue that concern IKEv2 and its data plane, each a test that is named
// for its number (T-005 is TestT005…). A case runs against a live daemon in this process, over real UDP sockets of the
// loopback interface, with the bogus peer as the attacker. The oracle that all cases share is in oracle.go: whatever a
// case did, afterwards the daemon lives, serves others, has kept nothing and has said nothing it must not say.
//
// Where the catalogue names a time the work is counted here instead: key exchanges, IKE SAs, octets, answers. What needs
// minutes is in lab/soak.
package hostile

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ikev1 is the cryptographic core of IKEv1 (RFC 2409): what a phase 1 may be made of (suite.go), its keys
// (key_schedule.go, keymat.go), the hashes that authenticate its messages (hash.go, verify.go) and the encryption that chains
// them (chain.go, exchange.go), NAT detection of every version of NAT-T (natd.go, natoa.go), what is offered and chosen
// (proposal.go, proposal_child.go), and fragments (fragment.go). There is no machine yet that speaks it: nothing imports this
// package, and the daemon refuses IKEv1 by name. It is deletable: nothing but ike/mux may ever import it.
//
// IKEv1 decrypts before it authenticates, its header is covered by no hash but for the message ID, and one IV follows from
// the message before. So here what was decrypted is a tentative until its HASH or signature has been verified, and only
// then does the chain of IVs move and is there an opened message.
package ikev1

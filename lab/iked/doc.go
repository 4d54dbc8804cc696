// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build lab

// Package iked runs stock OpenIKED 7.2, which nobody here wrote, on our PF_KEY and our ESP: unmodified, under `natterjack pfkey
// run`, behind a NAT of nftables, against itself and against strongSwan.
package iked

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build race

package pfkey_test

// manySAs: the race detector makes everything ten times as slow, and sees no other races among more.
const manySAs = 10_000

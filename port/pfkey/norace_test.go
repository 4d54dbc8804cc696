// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !race

package pfkey_test

// manySAs are as many as the issue asks for.
const manySAs = 100_000

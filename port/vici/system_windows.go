// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build windows

package vici

// System is what Go knows.
func System() SystemInfo { return unknownSystem() }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package rooms holds the house rule as a test: which package lives in which room, that imports go down only, and that
// the rooms below the line do no I/O, read no clock, start no goroutine and keep no state of their own.
package rooms

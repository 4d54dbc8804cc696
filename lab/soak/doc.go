// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package soak has what needs minutes: the hostile catalogue's floods and slopes (T-059, T-062, T-071, T-015's timing, goal
// G1) with the numbers it names. It runs by `make soak` only, prints what it measured, and fails only by the common oracle
// of lab/hostile. `-scale 0.01` after -args makes everything a hundredth.
package soak

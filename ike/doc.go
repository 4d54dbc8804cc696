// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package ike is the vocabulary that the IKE machines and the shell share: paths and datagrams, the actions a machine
// asks for, the questions it asks and the answers it gets, the notices and commands it is given, the events it reports,
// and the configuration values (connections, identities, selectors) it works from.
//
// The package is pure. Everything in it is a value: a machine decides and returns an ordered list of [Action]; the shell
// (package daemon) carries them out, by one goroutine, in that order. What takes time (a key exchange, a signature, an
// SPI from the SAD) is a [Question] with a [Token]; its [Answer] comes in later by [Machine.Answer], or never.
package ike

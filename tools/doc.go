// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package tools holds nothing but this module's `tool` directives: the checkers that `make test` builds and runs.
package tools

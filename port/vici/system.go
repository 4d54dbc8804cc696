// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package vici

import "runtime"

// SystemInfo is what the command version says of the operating system.
type SystemInfo struct{ Name, Release, Machine string }

// unknownSystem is what Go was built for.
func unknownSystem() SystemInfo { return SystemInfo{Name: runtime.GOOS, Machine: runtime.GOARCH} }

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Systems where no program runs under supervision.

//go:build !linux

package keyhost

// ListenPorts does nothing: there are no supervisors here.
func (e *Engine) ListenPorts(string) error { return nil }

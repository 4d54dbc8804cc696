// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !linux

package main

import (
	"errors"

	"github.com/natterjack/natterjack/daemon"
)

type keyedEngine struct{}

func (k *keyedEngine) close() error { return nil }

func (s *service) openKeyed(string, *daemon.Options) error { return errKeyed }

var errKeyed = errors.New("pfkey needs Linux: ESP in UDP on another process's port is taken by a raw socket there")

func parseKeyedPath(string) (string, error) { return "", errKeyed }

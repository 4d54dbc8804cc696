// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !unix

package updown

import (
	"io/fs"
	"os/exec"
)

const hasModes = false

func ownGroup(*exec.Cmd) {}

func checkOwner(string, fs.FileInfo) error { return nil }

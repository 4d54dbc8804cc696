// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build !unix

// Opening files in the state folder on systems whose folders are protected by access lists that the installer sets.

package store

import (
	"fmt"
	"os"
)

func secureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("state folder %s: not a folder (a link is not followed)", dir)
	}
	return nil
}

func openFile(path string, flags int) (*os.File, error) {
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return os.OpenFile(path, flags, 0o600)
}

// syncFolder has nothing to do: folders cannot be synced here.
func syncFolder(string) error { return nil }

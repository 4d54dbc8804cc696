// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package store

import "os"

// OpenPrivate opens a file that must be for us alone, as the journal's files are: a regular file of this process's user with one
// name, never through a link, and never waiting for the other end of a FIFO (HOSTILE T-102). One that is made gets mode 0600.
func OpenPrivate(path string, flags int) (*os.File, error) { return openFile(path, flags) }

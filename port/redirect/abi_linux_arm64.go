// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

package redirect

import "golang.org/x/sys/unix"

// abi is what the kernel calls the system calls that the filter's numbers are of.
const abi = unix.AUDIT_ARCH_AARCH64

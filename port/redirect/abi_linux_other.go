// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

//go:build linux && !amd64 && !arm64

package redirect

// abi: none is known here, and the filter is refused.
const abi = 0

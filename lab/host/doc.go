// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package host proves daemon/host on a real kernel: what it sets stands, keeps out what it should, and is gone after Close,
// or after Cleanup when the daemon was killed. The tests need root, TUN and nftables (build tag lab). Each runs in a
// process of its own in a network namespace of its own, nj-host-…, which is removed when the process has ended.
package host

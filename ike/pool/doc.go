// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package pool leases virtual addresses to authenticated peers (RFC 7296, Section 2.19). A lease belongs to an identity:
// it is not given to another while it is used, and it comes back to the same identity as long as the pool does not run
// out. Identities and wishes are a peer's choice; memory is bounded by the size of the pools and by maxLeases, and the same
// calls in the same order always give the same addresses.
package pool

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package swanctl holds Natterjack's control socket to charon's, by Debian's unmodified swanctl: the same commands are given to
// two pairs of daemons in the same world, one of strongSwan and one of Natterjack, and what swanctl prints must be the same but
// for numbers. Tests only, with the build tag lab; they need root.
package swanctl

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package bogus is an IKEv2 and ESP peer that is correct unless it is told to be wrong: initiator or responder, over real
// UDP sockets, with a codec and a key schedule of its own. It shares no code with the product (the test beside it holds
// that), so that a mistake made there is not made here too. What it does wrong is said by [Bugs].
//
// It is for tests only: secrets are not wiped, comparisons are not constant in time, MODP uses math/big.
package bogus

// Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.

// Package judge has programs that others wrote verify our ESP, AH and IPComp octets, and verifies theirs: scapy (with python's
// cryptography, which is OpenSSL), zlib and tshark. It needs no root and no network; it is a lab because the programs are.
package judge
